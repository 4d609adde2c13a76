//! Writes checkpoints of the tree, one bounded step at a time.
//!
//! | step | what the data file stands for if it ends here |
//! |---|---|
//! | make the log durable up to the position | the older superblock, and the log behind it |
//! | write changed pages into free blocks, at most 256 KiB at once | the same |
//! | write the map of them | the same |
//! | sync the file | the same |
//! | write the other superblock, durably | the new one |
//! | retire the log before the position, free what only the older one named | the new one |
//!
//! Nothing that the older superblock names is written over before the new one is durable, nor after that where a read may
//! still look (`holds`). Whether a superblock whose
//! write failed is on the disk is unknown; until a later one is durable, neither its blocks nor those of the one before
//! are used again, and the next one goes to the same place.
//!
//! Promises: a failed checkpoint harms nothing, and the next one writes every page again: a sync that failed is not
//! tried again. Called by the store, one step at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use adapter_api::Result;
use adapter_api::environment::Directory;
use page::{Kind, PageId};
use wal::{Log, Lsn};

use crate::data_file::{DataFile, Found};
use crate::map::{self, MapChain, MapRef};
use crate::pace::{Headway, Pace};
use crate::page_writer::{PageWriter, failure};
use crate::pending::Pending;
use crate::places::Places;
use crate::space::{BLOCK, Extent, Space};
use crate::superblock::Superblock;
use crate::tree::{Size, View};

/// Less than this part of the file is not worth moving pages for.
const FREE_PART: u64 = 64;

/// What a checkpoint is made of.
pub(crate) struct Basis {
    pub(crate) view: View,
    /// The last record whose effect the view has.
    pub(crate) position: Lsn,
    pub(crate) size: Size,
    /// What happened since the basis before.
    pub(crate) pending: Pending,
    /// The bytes of the log that the checkpoint makes needless.
    pub(crate) log_bytes: u64,
}

/// What the data file stands for, and what is free in it.
#[derive(Default)]
pub(crate) struct Stored {
    /// `None` if no superblock counts.
    pub(crate) found: Option<Found>,
    pub(crate) places: Arc<Places>,
    pub(crate) maps: MapChain,
}

/// A checkpoint that is durable.
pub(crate) struct Done {
    pub(crate) log_bytes: u64,
    pub(crate) bytes_written: u64,
}

/// How far a checkpoint is.
enum Stage {
    Pages,
    /// The map, and whether it is a full one.
    Map(MapRef, bool),
    Written(MapRef, bool),
}

struct Running {
    basis: Basis,
    writer: PageWriter,
    stage: Stage,
}

pub(crate) struct Checkpointer {
    directory: Arc<dyn Directory>,
    log: Arc<Log>,
    pub(crate) stored: Stored,
    /// The highest generation that may be on the disk.
    generation: u64,
    /// Blocks of a checkpoint whose superblock may or may not be on the disk.
    doubtful: Vec<Extent>,
    running: Option<Running>,
    /// When the lane goes on with the running one.
    pub(crate) pace: Pace,
    /// What checkpoints that were given up had to take in.
    left_over: Pending,
    /// The next checkpoint is written whatever the log has, and says of every page where it lies.
    wants_move: bool,
}

impl Checkpointer {
    pub(crate) fn new(directory: Arc<dyn Directory>, log: Arc<Log>, stored: Stored) -> Self {
        let generation = stored.found.map_or(0, |found| found.superblock.generation);
        let (doubtful, running, left_over) = (Vec::new(), None, Pending::default());
        let (pace, wants_move) = (Pace::default(), false);
        Self { directory, log, stored, generation, doubtful, running, pace, left_over, wants_move }
    }

    /// The position of the durable checkpoint; 0 if there is none.
    pub(crate) fn newest(&self) -> Lsn {
        self.stored.found.map_or(0, |found| found.superblock.position)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How many pages of the running checkpoint were written, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.running.as_ref().map_or((0, 0), |running| running.writer.progress())
    }

    /// How far the running checkpoint is, and how many bytes of the log it makes needless; `None` once its pages are
    /// written.
    pub(crate) fn headway(&self) -> Option<(Headway, u64)> {
        let running = self.running.as_ref().filter(|running| matches!(running.stage, Stage::Pages))?;
        let (pages, bytes_written) = (running.writer.progress(), running.writer.bytes_written);
        Some((Headway { pages, bytes_written }, running.basis.log_bytes))
    }

    /// Begins a checkpoint.
    pub(crate) fn begin(&mut self, mut basis: Basis) -> Result<()> {
        basis.pending.add_older(std::mem::take(&mut self.left_over), &self.stored.places);
        let ready =
            self.prepare().and_then(|file| Ok((file, in_key_order(&basis.view, &basis.pending.dirty)?)));
        match ready {
            Ok((file, pages)) => {
                let writer = PageWriter::new(file, pages, None);
                self.running = Some(Running { basis, writer, stage: Stage::Pages });
                Ok(())
            }
            Err(error) => {
                self.left_over = basis.pending;
                Err(error)
            }
        }
    }

    /// Makes the log durable, and sees to it that there is a file.
    fn prepare(&mut self) -> Result<DataFile> {
        // A checkpoint must not be ahead of the log: after a power cut the log would not reach it.
        self.log.sync()?;
        if let Some(file) = self.stored.places.file() {
            return Ok(file.clone());
        }
        let file = DataFile::create(&*self.directory).map_err(failure)?;
        *self.stored.places.space() =
            Space::besides(vec![crate::superblock::SUPERBLOCKS]).unwrap_or_default();
        Ok(self.stored.places.file_or(file).clone())
    }

    /// Does one bounded step of the running checkpoint; answers what came of it if that was the last.
    pub(crate) fn advance(&mut self) -> Result<Option<Done>> {
        let Some(mut running) = self.running.take() else { return Ok(None) };
        match self.step(&mut running) {
            Ok(true) => Ok(Some(self.finish(running))),
            Ok(false) => {
                self.running = Some(running);
                Ok(None)
            }
            Err(error) => {
                self.give_up(running);
                Err(error)
            }
        }
    }

    /// Answers whether the checkpoint is durable.
    fn step(&mut self, running: &mut Running) -> Result<bool> {
        match running.stage {
            Stage::Pages => {
                if running.writer.step(&running.basis.view, self.stored.places.free())? {
                    let ahead = running.basis.pending.ahead.iter();
                    running.writer.changes.extend(ahead.map(|(id, place)| (*id, Some(*place))));
                    running.stage = add_map(&mut self.stored, &mut running.writer, self.wants_move)?;
                }
                Ok(false)
            }
            Stage::Map(map, is_full) => {
                if running.writer.step(&running.basis.view, self.stored.places.free())? {
                    running.stage = Stage::Written(map, is_full);
                }
                Ok(false)
            }
            Stage::Written(map, _) => {
                self.publish(running, map)?;
                Ok(true)
            }
        }
    }

    /// Makes the pages durable, and then the superblock that names them.
    fn publish(&mut self, running: &mut Running, map: MapRef) -> Result<()> {
        let Some(file) = self.stored.places.file().cloned() else { return Ok(()) };
        running.writer.sync()?;
        self.generation += 1;
        let Basis { position, size, .. } = running.basis;
        let version = running.basis.view.version();
        let superblock = Superblock { generation: self.generation, position, version, size, map };
        let slot = self.stored.found.map_or(0, |found| 1 - found.slot);
        let found = Found { superblock, slot };
        if let Err(error) = file.write_superblock(&found) {
            self.doubtful.append(&mut running.writer.taken);
            return Err(failure(error));
        }
        self.stored.found = Some(found);
        Ok(())
    }

    /// The running checkpoint counts, and nothing older does any more.
    fn finish(&mut self, running: Running) -> Done {
        let Running { basis, writer, stage } = running;
        basis.view.tree().frames.end_checkpoint(&writer.changes, basis.pending.spent);
        if let Stage::Written(map, is_full) = stage {
            // Nobody reads maps but whoever holds this, so their places are free at once.
            let maps = self.stored.maps.push(map, is_full, writer.changes.len());
            let free = maps.iter().map(MapRef::extent).chain(self.doubtful.drain(..));
            self.stored.places.give_back(free);
        }
        self.wants_move = false;
        drop(basis.view);
        self.log.retire_before(basis.position + 1);
        Done { log_bytes: basis.log_bytes, bytes_written: writer.bytes_written }
    }

    /// The pages that lie behind where the file would end if nothing in front of it were free; the next checkpoint
    /// moves them, and the maps that lie there. None if what is free is not worth the writes.
    pub(crate) fn pages_to_move(&mut self) -> BTreeSet<PageId> {
        let Stored { places, maps, .. } = &self.stored;
        let (end, free) = {
            let space = places.space();
            (space.end(), space.free_blocks())
        };
        if free * FREE_PART < end {
            return BTreeSet::new();
        }
        let dense = end - free;
        let pages: BTreeSet<_> =
            places.map().pages().filter(|(_, place)| place.extent.end() > dense).map(|(id, _)| id).collect();
        let is_map_behind = maps.maps.iter().any(|map| map.extent().end() > dense);
        self.wants_move = is_map_behind || !pages.is_empty();
        pages
    }

    /// Whether a checkpoint has to be written whatever the log has.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wants_move
    }

    /// Gives the free blocks at the end of the file back to the file system; the next time, if that fails.
    pub(crate) fn cut_file(&mut self) {
        let Some(file) = self.stored.places.file() else { return };
        // Held until the file is cut: what is taken meanwhile may lie behind its end.
        let space = self.stored.places.space();
        let end = space.end() * BLOCK;
        let is_longer = file.file().len().is_ok_and(|len| len > end);
        if is_longer && let Err(error) = file.file().set_len(end) {
            log::warn!(
                "could not cut the free end of the data file; it is tried again when compacting: {error}"
            );
        }
    }

    /// Its pages are still to be written; its blocks are free, unless its superblock may be on the disk.
    fn give_up(&mut self, running: Running) {
        let mut pending = running.basis.pending;
        pending.add_older(std::mem::take(&mut self.left_over), &self.stored.places);
        self.left_over = pending;
        self.stored.places.give_back(running.writer.taken);
    }

    /// Gives the running checkpoint up.
    pub(crate) fn abandon(&mut self) {
        if let Some(running) = self.running.take() {
            self.give_up(running);
        }
    }
}

/// Leaves that lie side by side in the tree are written side by side, so that a scan that has to read them finds them
/// together; what is no leaf comes behind them.
fn in_key_order(view: &View, pages: &BTreeSet<PageId>) -> Result<Vec<PageId>> {
    let pin = view.pin()?;
    let key = |id: PageId| {
        let leaf = pin.peek(id).filter(|page| page.kind() == Kind::Leaf);
        (leaf.is_none(), leaf.map_or([0; 16], |page| page::first_bytes(page.lower())), id)
    };
    let mut keyed: Vec<_> = pages.iter().map(|id| key(*id)).collect();
    keyed.sort_unstable();
    Ok(keyed.into_iter().map(|(_, _, id)| id).collect())
}

/// Adds the map of what was written: of the changes, or of everything.
fn add_map(stored: &mut Stored, writer: &mut PageWriter, is_full: bool) -> Result<Stage> {
    let (map, changes) = (stored.places.map(), &writer.changes);
    let is_full = is_full || stored.maps.wants_full(changes.len(), map.len());
    let before = stored.maps.maps.last().copied().filter(|_| !is_full);
    let bytes = match is_full {
        true => map::encode(&map.with(changes), None),
        false => map::encode(changes, before),
    };
    drop(map);
    let map = writer.add_map(bytes?, stored.places.free());
    Ok(Stage::Map(map, is_full))
}
