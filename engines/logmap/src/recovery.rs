//! Opens a directory: the newest checkpoint, and the log done again from there.
//!
//! Promises: what is shown is exactly what was acknowledged, or that and some of what was in flight, in
//! order; opening twice gives the same. Doing a record again changes nothing more than doing it once, and
//! the log begins where the checkpoint ends. A damaged checkpoint is passed over only if an older one, or
//! nothing, continues with the log without a gap up to where the damaged one was; else `Corrupt` names it.
//! With a watch, to salvage, everything damaged is skipped and told, and nothing is written.

use std::sync::Arc;

use adapter_api::environment::{Directory, Environment, OpenFile};
use adapter_api::versioned_map::{Changes, Staged};
use adapter_api::{BatchBuilder, EngineError, Entry, Mutation, Result, VersionedMap, Watch};
use wal::{Log, LogOptions, Lsn};

use crate::checkpoint::{self, Reader};
use crate::files::{self, checkpoint_name};
use crate::{record, store};

/// How many bytes of mutations are gathered before they are done again at once, in the order of their keys;
/// or a quarter of what the map holds, if that is more. Many, for each time the leaves of the map are read.
const REDO_BYTES: u64 = 256 << 20;

/// The store as it was found.
pub(crate) struct Recovered {
    pub(crate) log: Log,
    /// The position of the checkpoint that was read; 0 if there was none.
    pub(crate) checkpoint: Lsn,
    /// The length of its file.
    pub(crate) checkpoint_bytes: u64,
    /// Log bytes behind it.
    pub(crate) backlog: u64,
    /// A newer checkpoint was damaged.
    pub(crate) wants_checkpoint: bool,
}

/// Reads everything into the empty map, and makes it durable.
pub(crate) fn open(environment: &Environment, options: LogOptions, map: &VersionedMap) -> Result<Recovered> {
    let directory = &environment.directory;
    let removed = files::remove_temporary(&**directory)
        .map_err(|error| EngineError::failed_by(format!("could not remove {}", files::TEMPORARY), error))?;
    if removed {
        log::info!("removed {}, a checkpoint that was not finished", files::TEMPORARY);
    }
    let positions = files::checkpoints(&**directory)?;
    let newest = positions.last().copied().unwrap_or(0);
    let base = read_newest_valid(directory, &positions, map)?;
    let mut redo = Redo::new(map);
    let opened = Log::open(directory, &environment.clock, options, base.position + 1, &mut |lsn, record| {
        redo.take(lsn, record)
    });
    let (log, recovery) = match (opened, base.damage) {
        (Ok((log, recovery)), None) => (log, recovery),
        (Ok((log, recovery)), Some(damage)) if recovery.last >= newest => {
            log::warn!(
                "{damage}; everything was read from {} and the log instead",
                if base.position > 0 { checkpoint_name(base.position) } else { "nothing".to_string() }
            );
            (log, recovery)
        }
        // The log does not make up for the checkpoint: what has to be said is that the checkpoint is damaged.
        (Ok(_) | Err(EngineError::Corrupt { .. }), Some(damage)) => return Err(damage),
        (Err(error), _) => return Err(error),
    };
    let backlog = redo.finish();
    let wants_checkpoint = base.position < newest;
    if !wants_checkpoint {
        files::remove_older(&**directory, newest);
    }
    if recovery.replayed > 0 {
        log::info!("did {} log records again behind record {}", recovery.replayed, base.position);
    }
    Ok(Recovered { log, checkpoint: base.position, checkpoint_bytes: base.bytes, backlog, wants_checkpoint })
}

/// The checkpoint that recovery begins with; position 0 is before the first record.
struct Base {
    position: Lsn,
    bytes: u64,
    /// What is wrong with the newest one, if this is not it.
    damage: Option<EngineError>,
}

fn read_newest_valid(directory: &Arc<dyn Directory>, positions: &[Lsn], map: &VersionedMap) -> Result<Base> {
    let mut damage = None;
    for position in positions.iter().rev().copied() {
        match read(&**directory, position, map) {
            Ok(bytes) => return Ok(Base { position, bytes, damage }),
            Err(found @ EngineError::Corrupt { .. }) => drop(damage.get_or_insert(found)),
            Err(error) => return Err(error),
        }
    }
    Ok(Base { position: 0, bytes: 0, damage })
}

/// Reads a checkpoint into the empty map; returns the length of its file. If it is damaged, the map stays
/// empty.
fn read(directory: &dyn Directory, position: Lsn, map: &VersionedMap) -> Result<u64> {
    let mut reader = open_checkpoint(directory, position)?;
    map.stage_sorted(&mut reader)?.publish();
    Ok(reader.progress().1)
}

/// Opens the checkpoint at a position and reads its head.
pub(crate) fn open_checkpoint(directory: &dyn Directory, position: Lsn) -> Result<Reader> {
    let name = checkpoint_name(position);
    let file = directory
        .open_file(&name, OpenFile::READ)
        .map_err(|error| EngineError::failed_by(format!("could not open {name}"), error))?;
    Reader::open(file, &name, position)
}

/// Does records again, many at once. Nobody reads the map meanwhile, so all of it is one change of the map.
struct Redo<'a> {
    staged: Staged<'a>,
    changes: Changes,
    /// About how much of the log the records take.
    log_bytes: u64,
}

impl<'a> Redo<'a> {
    fn new(map: &'a VersionedMap) -> Self {
        let staged = map.stage(BatchBuilder::new().as_batch());
        Self { staged, changes: Changes::new(), log_bytes: 0 }
    }

    fn take(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<()> {
        let mutations = record::decode(bytes).map_err(|malformed| {
            let message = format!(
                "{}; the log itself is whole, so the record was written like this: restore a backup, or take out \
                 the rest with `enginebay salvage`",
                malformed.why
            );
            EngineError::corrupt(format!("log record {lsn}"), malformed.position as u64, message)
        })?;
        mutations.for_each(|mutation| self.gather(mutation));
        self.log_bytes += store::log_bytes(bytes.len());
        Ok(())
    }

    fn gather(&mut self, mutation: Mutation<'_>) {
        match mutation {
            Mutation::Put { key, value } => self.changes.put(key, value),
            Mutation::Delete { key } => self.changes.delete(key),
            Mutation::DeleteRange(range) => {
                self.staged.merge(&mut self.changes);
                self.staged.delete_range(range);
            }
        }
        if self.changes.bytes() as u64 >= REDO_BYTES.max(self.staged.bytes_here() / 4) {
            self.staged.merge(&mut self.changes);
        }
    }

    /// Shows what was done. Returns about how much of the log it took.
    fn finish(mut self) -> u64 {
        self.staged.merge(&mut self.changes);
        self.staged.publish();
        self.log_bytes
    }
}

/// Reads what is left into the empty map. Writes nothing.
pub(crate) fn salvage(directory: &Arc<dyn Directory>, map: &VersionedMap, watch: &dyn Watch) -> Result<()> {
    let positions = files::checkpoints(&**directory)?;
    let mut base = read_newest_valid(directory, &positions, map)?;
    if let Some(damage) = base.damage.take() {
        watch.finding(damage);
        // An older checkpoint stands for itself; without one, what is left of the newest is more than nothing.
        if base.position == 0
            && let Some(newest) = positions.last().copied()
        {
            salvage_checkpoint(&**directory, newest, map, watch)?;
            base.position = newest;
        }
    }
    let mut redo = Redo::new(map);
    let mut take = |lsn: Lsn, bytes: &[u8]| match redo.take(lsn, bytes) {
        Err(damage @ EngineError::Corrupt { .. }) => {
            watch.finding(damage);
            Ok(())
        }
        taken => taken,
    };
    let recovery = wal::salvage(directory, base.position + 1, watch, &mut take)?;
    redo.finish();
    log::info!("salvaged {} entries, {} log records among what was read", map.len(), recovery.replayed);
    Ok(())
}

fn salvage_checkpoint(
    directory: &dyn Directory,
    position: Lsn,
    map: &VersionedMap,
    watch: &dyn Watch,
) -> Result<()> {
    let name = checkpoint_name(position);
    let file = directory
        .open_file(&name, OpenFile::READ)
        .map_err(|error| EngineError::failed_by(format!("could not open {name}"), error))?;
    let mut redo = Redo::new(map);
    checkpoint::salvage(&*file, &name, watch, &mut |entry: Entry<'_>| {
        redo.gather(Mutation::Put { key: entry.key, value: entry.value });
        Ok(())
    })?;
    redo.finish();
    Ok(())
}
