//! Opens a directory: the newest superblock, the map that it names, and the log done again from there. Pages are read
//! when somebody needs them.
//!
//! Promises: what is shown is exactly what was acknowledged, or that and some of what was in flight, in order; opening
//! twice gives the same. A superblock that is damaged, or whose map or root is, is passed over only if the log goes
//! on from an older one, whose pages are all read then, or from nothing; else `Corrupt` names it. A superblock that counts is written again, durably:
//! after a kill the page cache may show one that is on no disk.

use std::sync::Arc;

use adapter_api::environment::Environment;
use adapter_api::{EngineError, Result};
use page::{Kind, PageRef};
use wal::{Log, LogOptions, Lsn};

use crate::checkpointer::Stored;
use crate::data_file::{DataFile, Found, corrupt};
use crate::frames::Bounds;
use crate::pending::Pending;
use crate::places::Places;
use crate::redo::Redo;
use crate::space::BLOCK;
use crate::superblock::Superblock;
use crate::tree::{ROOT, Size, Tree};

/// The store as it was found.
pub(crate) struct Recovered {
    pub(crate) tree: Tree,
    pub(crate) log: Log,
    pub(crate) stored: Stored,
    /// What the next checkpoint has to take in.
    pub(crate) pending: Pending,
    /// Bytes of the records behind the checkpoint.
    pub(crate) backlog: u64,
}

/// How the tree is kept in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TreeOptions {
    pub(crate) page_bytes: usize,
    pub(crate) bounds: Bounds,
}

/// A checkpoint that was read.
#[derive(Default)]
struct Loaded {
    stored: Stored,
    size: Size,
    position: Lsn,
    version: u64,
}

/// Reads everything, and makes it durable.
pub(crate) fn open(
    environment: &Environment,
    log_options: LogOptions,
    options: TreeOptions,
) -> Result<Recovered> {
    let Environment { directory, clock, .. } = environment;
    let file = DataFile::open(&**directory)?;
    let (loaded, damage) = match &file {
        Some(file) => load(file)?,
        None => (Loaded::default(), None),
    };
    let Loaded { stored, size, position, version } = loaded;
    let TreeOptions { page_bytes, bounds } = options;
    let tree = Tree::new(version, Arc::clone(&stored.places), size, page_bytes, bounds);
    let mut redo = Redo::new(&tree, version, damage.is_some());
    let opened =
        Log::open(directory, clock, log_options, position + 1, &mut |lsn, record| redo.take(lsn, record));
    let (log, recovery) = match (opened, damage) {
        (Ok(opened), None) => opened,
        (Ok(opened), Some(damage)) => {
            log::warn!("{damage}; everything was read from log record {} on instead", position + 1);
            opened
        }
        // The log does not make up for the checkpoint: what has to be said first is that the checkpoint is damaged.
        (Err(log @ EngineError::Corrupt { .. }), Some(EngineError::Corrupt { file, position, message })) => {
            let message = format!("{message}; and the log does not go on from an older checkpoint: {log}");
            return Err(EngineError::corrupt(file, position, message));
        }
        (Err(error), _) => return Err(error),
    };
    let (mut pending, backlog) = redo.finish()?;
    if stored.found.is_none() {
        // Not even the empty root is in the file.
        pending.rewrite([ROOT]);
    }
    if let (Some(file), Some(found)) = (stored.places.file(), &stored.found) {
        file.write_superblock(found).map_err(crate::page_writer::failure)?;
    }
    if recovery.replayed > 0 {
        log::info!("did {} log records again behind record {position}", recovery.replayed);
    }
    Ok(Recovered { tree, log, stored, pending, backlog })
}

/// Reads the newest checkpoint that is whole, and what is wrong with a newer one.
fn load(file: &DataFile) -> Result<(Loaded, Option<EngineError>)> {
    let found = file.superblocks()?;
    let what = "this superblock is damaged, or its write was not finished";
    let mut damage = found.invalid.map(|slot| corrupt(slot * BLOCK, what));
    for found in found.valid {
        let loaded = load_one(file, found).and_then(|loaded| match damage.is_some() {
            // Blocks that an older checkpoint names may have been used again since.
            true => read_every_page(file, &loaded.stored).map(|()| loaded),
            false => Ok(loaded),
        });
        match loaded {
            Ok(loaded) => return Ok((loaded, damage)),
            Err(error @ EngineError::Corrupt { .. }) => drop(damage.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    Ok((Loaded::default(), damage))
}

fn load_one(file: &DataFile, found: Found) -> Result<Loaded> {
    let (map, maps, space) = file.read_map(found.superblock.map)?;
    let places = Arc::new(Places::new(file.clone(), map, space));
    let is_root =
        |page: PageRef<'_>| page.kind() != Kind::Value && page.lower().is_empty() && page.upper().is_none();
    if !places.read(ROOT)?.is_some_and(|page| is_root(page.view())) {
        return Err(corrupt(found.superblock.map.start.saturating_mul(BLOCK), "the map names no root"));
    }
    let Superblock { position, version, size, .. } = found.superblock;
    let stored = Stored { found: Some(found), places, maps };
    Ok(Loaded { stored, size, position, version })
}

/// Reads the pages that the map names, one after the other.
fn read_every_page(file: &DataFile, stored: &Stored) -> Result<()> {
    let map = stored.places.map();
    map.pages().try_for_each(|(id, place)| file.read_page(id, place).map(drop))
}
