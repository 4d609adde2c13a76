//! Opens a directory: the newest checkpoint, and the log done again from there.
//!
//! Promises: what is shown is exactly what was acknowledged, or that and some of what was in flight, in
//! order; opening twice gives the same. Doing a record again changes nothing more than doing it once, and
//! the log begins where the checkpoint ends. A damaged checkpoint is passed over only if an older one, or
//! nothing, continues with the log without a gap up to where the damaged one was; else `Corrupt` names it.
//! With a watch, to salvage, everything damaged is skipped and told, and nothing is written.

use std::sync::Arc;

use adapter_api::environment::{Directory, Environment, OpenFile};
use adapter_api::{Batch, BatchBuilder, EngineError, Entry, Mutation, Result, VersionedMap, Watch};
use wal::{Log, LogOptions, Lsn};

use crate::checkpoint::{self, Reader};
use crate::files::{self, checkpoint_name};
use crate::{record, store};

/// How many bytes of mutations are done again at once: many, for a version of the map then costs little, and
/// neighbours in key order are found in the same nodes.
const REDO_BYTES: usize = 64 << 20;

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
    redo.finish()?;
    let wants_checkpoint = base.position < newest;
    if !wants_checkpoint {
        files::remove_older(&**directory, newest);
    }
    if recovery.replayed > 0 {
        log::info!("did {} log records again behind record {}", recovery.replayed, base.position);
    }
    Ok(Recovered {
        log,
        checkpoint: base.position,
        checkpoint_bytes: base.bytes,
        backlog: redo.log_bytes,
        wants_checkpoint,
    })
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

/// Does records again, many at once.
struct Redo<'a> {
    map: &'a VersionedMap,
    batch: BatchBuilder,
    /// About how much of the log the records take.
    log_bytes: u64,
}

impl<'a> Redo<'a> {
    fn new(map: &'a VersionedMap) -> Self {
        Self { map, batch: BatchBuilder::new(), log_bytes: 0 }
    }

    fn take(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<()> {
        record::decode(bytes, &mut self.batch).map_err(|malformed| {
            let message = format!(
                "{}; the log itself is whole, so the record was written like this: restore a backup, or take out \
                 the rest with `enginebay salvage`",
                malformed.why
            );
            EngineError::corrupt(format!("log record {lsn}"), malformed.position as u64, message)
        })?;
        self.log_bytes += store::log_bytes(bytes.len());
        if self.batch.bytes() >= REDO_BYTES {
            self.finish()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.map.stage(in_key_order(self.batch.as_batch())?.as_batch()).publish();
        self.batch.clear();
        Ok(())
    }
}

/// The same change with its mutations in the order of their keys, and the last one of each key alone. Nothing
/// is moved past a delete of a range.
fn in_key_order(batch: Batch<'_>) -> Result<BatchBuilder> {
    let mut mutations: Vec<Mutation<'_>> = batch.iter().collect();
    let mut ordered = BatchBuilder::new();
    for run in mutations.split_inclusive_mut(|mutation| key_of(mutation).is_none()) {
        let points = run.iter().take_while(|mutation| key_of(mutation).is_some()).count();
        let (points, range) = run.split_at_mut(points);
        points.sort_by(|one, other| key_of(one).cmp(&key_of(other)));
        for same_key in points.chunk_by(|one, other| key_of(one) == key_of(other)) {
            same_key.last().map_or(Ok(()), |last| append(last, &mut ordered))?;
        }
        range.iter().try_for_each(|range| append(range, &mut ordered))?;
    }
    Ok(ordered)
}

fn key_of<'a>(mutation: &Mutation<'a>) -> Option<&'a [u8]> {
    match *mutation {
        Mutation::Put { key, .. } | Mutation::Delete { key } => Some(key),
        Mutation::DeleteRange(_) => None,
    }
}

fn append(mutation: &Mutation<'_>, batch: &mut BatchBuilder) -> Result<()> {
    match *mutation {
        Mutation::Put { key, value } => batch.put(key, value),
        Mutation::Delete { key } => batch.delete(key),
        Mutation::DeleteRange(range) => batch.delete_range(range),
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
    redo.finish()?;
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
    let mut batch = BatchBuilder::new();
    checkpoint::salvage(&*file, &name, watch, &mut |entry: Entry<'_>| {
        batch.put(entry.key, entry.value)?;
        if batch.bytes() >= REDO_BYTES {
            map.stage(batch.as_batch()).publish();
            batch.clear();
        }
        Ok(())
    })?;
    map.stage(batch.as_batch()).publish();
    Ok(())
}
