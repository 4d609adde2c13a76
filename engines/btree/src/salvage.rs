//! Opens a damaged directory for reading what can still be read.
//!
//! | what is whole | what is read |
//! |---|---|
//! | the newest superblock and its map | the pages that the map names, but those that are damaged |
//! | an older superblock, its map and all its pages, and the log goes on from it | the same |
//! | anything else | every block of the data file: of each key the newest leaf, be it an old one |
//!
//! and then the log behind it, as far as it goes. Without a map it cannot be told whether a page still counted: what was
//! deleted or changed may come back as it was, where the page that said so is lost and the log has it no more. That
//! is a finding.
//!
//! Promises: each damage is told, with the file, where in it, and the keys that it took as far as a page that is left
//! says them; nothing is written. Memory is the budget of the cache, an index of the leaves, what damage touched, and what
//! the log changed. Called by `engine`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::environment::Directory;
use adapter_api::{EngineError, Result, Watch};
use page::UNNAMED;
use wal::{Lsn, without_advice};

use crate::data_file::{DATA, DataFile, Found, Superblocks};
use crate::losses;
use crate::map::{MapRef, Place};
use crate::rebuild::rebuild;
use crate::record::{Items, Record, RecordBuilder};
use crate::recovery::TreeOptions;
use crate::redo::Redo;
use crate::space::BLOCK;
use crate::superblock::Superblock;
use crate::survivors::Survivors;
use crate::tree::{Size, Tree};

/// Reads what is left, and tells `watch` what is not.
pub(crate) fn open(directory: &Arc<dyn Directory>, options: TreeOptions, watch: &dyn Watch) -> Result<Tree> {
    let file = DataFile::open_to_salvage(&**directory)?;
    let (tree, from) = match &file {
        Some(file) => find(file, directory, options, watch)?,
        None => (empty(options), 1),
    };
    let mut redo = Redo::new(&tree, 0, false);
    let recovery = wal::salvage(directory, from, watch, &mut |lsn, record| match Record::parse(record) {
        Ok(Record::Batch(_)) => redo.take(lsn, record),
        Ok(Record::Ahead { items, .. }) => {
            let mut whole = whole_items(file.as_ref(), lsn, items, watch)?;
            redo.take(lsn, &whole.take())
        }
        Err(error) => {
            watch.finding(wrong(lsn, &error));
            Ok(())
        }
    })?;
    redo.finish()?;
    let entries = tree.size().entries;
    log::info!("salvaged {entries} entries, {} log records among what was read", recovery.replayed);
    Ok(tree)
}

fn wrong(lsn: Lsn, error: &EngineError) -> EngineError {
    EngineError::corrupt(format!("log record {lsn}"), 0, error.to_string())
}

/// A record of those of the items whose pages are whole.
fn whole_items(
    file: Option<&DataFile>,
    lsn: Lsn,
    items: Items<'_>,
    watch: &dyn Watch,
) -> Result<RecordBuilder> {
    let mut whole = RecordBuilder::new(0);
    for item in items {
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                watch.finding(wrong(lsn, &error));
                break;
            }
        };
        let read = |place: Place| match file.filter(|file| file.has(place)) {
            Some(file) => file.read_page(UNNAMED, place).map(drop),
            None => Err(EngineError::failed("the file ends before this page, which the log names, does")),
        };
        let outcome = item.place().map_or(Ok(()), read);
        match outcome {
            Ok(()) => whole.item(&item)?,
            Err(error) => losses::tell_item(&item, error, watch),
        }
    }
    Ok(whole)
}

/// The tree before the first checkpoint.
fn empty(options: TreeOptions) -> Tree {
    Tree::new(0, Arc::default(), Size::default(), options.page_bytes, options.bounds)
}

/// Makes a tree of the pages that are whole, and says from which record on the log has what they have not.
fn find(
    file: &DataFile,
    directory: &Arc<dyn Directory>,
    options: TreeOptions,
    watch: &dyn Watch,
) -> Result<(Tree, Lsn)> {
    let superblocks = file.superblocks()?;
    if let Some(slot) = superblocks.invalid {
        let what = "this superblock is damaged, or its write was not finished";
        watch.finding(EngineError::corrupt(DATA, slot * BLOCK, what));
    }
    let newest = newest(&superblocks, directory, watch)?;
    for found in &superblocks.valid {
        let map = match file.read_maps(found.superblock.map) {
            Ok((map, _)) => map,
            Err(error) => {
                watch.finding(damage_of_map(error, found.superblock.map));
                continue;
            }
        };
        let (is_newest, position) = (newest == Some(found.superblock), found.superblock.position);
        if is_newest || log_goes_on(directory, position, watch)? {
            let survivors = Survivors::by_map(file, &map, watch)?;
            // Where an older checkpoint had a page there may be a newer one now.
            if is_newest || survivors.lost.is_empty() {
                return Ok((rebuild(file, survivors, options, watch)?, position + 1));
            }
        }
    }
    if log_goes_on(directory, 0, watch)? {
        return Ok((empty(options), 1));
    }
    let what = "the newest superblock or its map is lost, so every block was searched for pages: what was changed or \
                deleted may be there as it was where the page that says so is lost";
    watch.finding(EngineError::corrupt(DATA, 0, what));
    // The pages are of the newest superblock that is left, or newer. Where the log begins behind it, they have the rest.
    let from = superblocks.valid.first().map_or(1, |found| found.superblock.position + 1);
    let Survey { first, ahead, .. } = survey(directory, from, watch)?;
    let survivors = Survivors::by_looking(file, newest.map(|newest| newest.version), &ahead, watch)?;
    let from = first.unwrap_or(from);
    Ok((rebuild(file, survivors, options, watch)?, from))
}

fn damage_of_map(error: EngineError, map: MapRef) -> EngineError {
    match error {
        EngineError::Corrupt { position, message, .. } => {
            EngineError::corrupt(DATA, position, without_advice(&message))
        }
        error => EngineError::corrupt(DATA, map.start.saturating_mul(BLOCK), error.to_string()),
    }
}

/// The superblock of which it is certain that there was no newer one.
fn newest(
    superblocks: &Superblocks,
    directory: &Arc<dyn Directory>,
    watch: &dyn Watch,
) -> Result<Option<Superblock>> {
    match superblocks.valid[..] {
        [Found { superblock, .. }, _] => Ok(Some(superblock)),
        // The place of the second one is as good as new, and the log does not speak against it.
        [Found { superblock, .. }] if superblock.generation == 1 && superblocks.invalid.is_none() => {
            let next = superblock.position + 1;
            let goes_on = survey(directory, next, watch)?.first.is_none_or(|first| first == next);
            Ok(goes_on.then_some(superblock))
        }
        _ => Ok(None),
    }
}

/// Whether the log has every record behind a position.
fn log_goes_on(directory: &Arc<dyn Directory>, position: Lsn, watch: &dyn Watch) -> Result<bool> {
    let survey = survey(directory, position + 1, watch)?;
    Ok(survey.is_whole && survey.first == Some(position + 1))
}

/// What there is of the log.
struct Survey {
    /// The first record that can be read.
    first: Option<Lsn>,
    /// Nothing is damaged or missing from where it should begin.
    is_whole: bool,
    /// Where the pages begin, in blocks, that were written ahead.
    ahead: BTreeSet<u64>,
}

/// Looks for the records from a number on, and tells nobody what is wrong with them.
fn survey(directory: &Arc<dyn Directory>, from: Lsn, watch: &dyn Watch) -> Result<Survey> {
    let (mut first, mut ahead) = (None, BTreeSet::new());
    let quiet = Quiet { watch, is_damaged: AtomicBool::new(false) };
    wal::salvage(directory, from, &quiet, &mut |lsn, record| {
        first.get_or_insert(lsn);
        if let Ok(Record::Ahead { items, .. }) = Record::parse(record) {
            ahead.extend(items.flatten().filter_map(|item| Some(item.place()?.extent.start)));
        }
        Ok(())
    })?;
    Ok(Survey { first, is_whole: !quiet.is_damaged.into_inner(), ahead })
}

/// Takes note of damage, and leaves it to a later look to tell.
struct Quiet<'a> {
    watch: &'a dyn Watch,
    is_damaged: AtomicBool,
}

impl Watch for Quiet<'_> {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.watch.progress(done, total)
    }

    fn finding(&self, _: EngineError) {
        self.is_damaged.store(true, Ordering::Relaxed);
    }
}
