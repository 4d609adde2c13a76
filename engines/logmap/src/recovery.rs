//! Opens a directory: the newest checkpoint, and the log done again from there.
//!
//! Promises: what is shown is exactly what was acknowledged, or that and some of what was in flight, in
//! order; opening twice gives the same. Doing a record again changes nothing more than doing it once, and
//! the log begins where the checkpoint ends. A damaged checkpoint is passed over only if an older one, or
//! nothing, continues with the log without a gap up to where the damaged one was; else `Corrupt` names it.
//! With a watch, to salvage, everything damaged is skipped and told, and nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_api::environment::{Directory, Environment, OpenFile};
use adapter_api::versioned_map::{Away, Changes, Staged, Stored};
use adapter_api::{
    BatchBuilder, Buffer, Direction, EngineError, KeyRange, Mutation, Result, VersionedMap, Watch,
};
use wal::{Log, LogOptions, Lsn};

use crate::checkpoint::{self, Found, FoundValue, Reader};
use crate::files::{self, checkpoint_name};
use crate::record;
use crate::values::{self, Resolver, Usage, ValuesFile};

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
    /// The files of values that it refers to.
    pub(crate) values: BTreeMap<u64, Usage>,
    /// Log bytes behind it.
    pub(crate) backlog: u64,
    /// A checkpoint is wanted soon: a newer one was damaged, there is more than one, or values lie elsewhere than
    /// they should.
    pub(crate) wants_checkpoint: bool,
}

/// Reads everything into the empty map, and makes it durable. Values of `disk_value_bytes` and more stay on disk.
pub(crate) fn open(
    environment: &Environment,
    options: LogOptions,
    disk_value_bytes: Option<u64>,
    map: &VersionedMap,
) -> Result<Recovered> {
    let directory = &environment.directory;
    let removed = files::remove_temporary(&**directory).map_err(|error| {
        EngineError::failed_by("could not remove a checkpoint that was not finished", error)
    })?;
    if removed {
        log::info!("removed a checkpoint that was not finished");
    }
    let positions = files::checkpoints(&**directory)?;
    let newest = positions.last().copied().unwrap_or(0);
    let base = read_newest_valid(directory, &positions, disk_value_bytes, map)?;
    let (mut redo, mut backlog) = (Redo::new(map), 0);
    let opened = Log::open(directory, &environment.clock, options, base.position + 1, &mut |lsn, record| {
        backlog += options.disk_bytes(record.len());
        redo.take(lsn, record)
    });
    let is_whole = base.damage.is_none();
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
    redo.finish();
    let is_alone = is_whole && positions.len() < 2;
    if is_alone {
        // Left behind by a checkpoint that was never finished: no other one can refer to them.
        files::remove_others(&**directory, newest, |number| base.loaded.values.contains_key(&number));
    }
    if recovery.replayed > 0 {
        log::info!("did {} log records again behind record {}", recovery.replayed, base.position);
    }
    Ok(Recovered {
        log,
        checkpoint: base.position,
        checkpoint_bytes: base.loaded.bytes,
        values: base.loaded.values,
        backlog,
        wants_checkpoint: !is_alone || base.loaded.is_misplaced,
    })
}

/// The checkpoint that recovery begins with; position 0 is before the first record.
struct Base {
    position: Lsn,
    loaded: Loaded,
    /// What is wrong with the newest one, if this is not it.
    damage: Option<EngineError>,
}

/// A checkpoint that was read.
#[derive(Default)]
struct Loaded {
    /// The length of the file.
    bytes: u64,
    values: BTreeMap<u64, Usage>,
    /// A value is in memory or in the checkpoint itself that belongs into a file of values, or the other way round.
    is_misplaced: bool,
}

fn read_newest_valid(
    directory: &Arc<dyn Directory>,
    positions: &[Lsn],
    disk_value_bytes: Option<u64>,
    map: &VersionedMap,
) -> Result<Base> {
    let mut damage = None;
    for position in positions.iter().rev().copied() {
        match read(&**directory, position, disk_value_bytes, map) {
            Ok(loaded) => return Ok(Base { position, loaded, damage }),
            Err(found @ EngineError::Corrupt { .. }) => drop(damage.get_or_insert(found)),
            Err(error) => return Err(error),
        }
    }
    Ok(Base { position: 0, loaded: Loaded::default(), damage })
}

/// Reads a checkpoint into the empty map. If it is damaged, the map stays empty. Values for disk stay where they
/// are, if need be in the checkpoint itself.
fn read(
    directory: &dyn Directory,
    position: Lsn,
    disk_value_bytes: Option<u64>,
    map: &VersionedMap,
) -> Result<Loaded> {
    let mut reader = open_checkpoint(directory, position)?;
    let holder = ValuesFile::of_checkpoint(&checkpoint_name(position), Arc::clone(reader.file()));
    let is_for_disk = |bytes: usize| disk_value_bytes.is_some_and(|least| bytes as u64 >= least);
    let (mut redo, mut resolver) = (Redo::new(map), Resolver::new(directory));
    let mut is_misplaced = false;
    while let Some(Found { key, value }) = reader.next()? {
        match value {
            FoundValue::Here(value, start) if is_for_disk(value.len()) => {
                let (bytes, checksum) = (value.len() as u32, crc32fast::hash(value));
                redo.changes.put_away(key, Away { holder: Arc::clone(&holder) as _, start, bytes, checksum });
                is_misplaced = true;
            }
            FoundValue::Here(value, _) => redo.changes.put(key, value),
            FoundValue::Reference(reference) => {
                redo.changes.put_away(key, resolver.resolve(reference)?);
                is_misplaced |= !is_for_disk(reference.bytes as usize);
            }
        }
        redo.merge_if_many();
    }
    redo.finish();
    Ok(Loaded { bytes: reader.progress().1, values: resolver.files, is_misplaced })
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
}

impl<'a> Redo<'a> {
    fn new(map: &'a VersionedMap) -> Self {
        let staged = map.stage(BatchBuilder::new().as_batch());
        Self { staged, changes: Changes::new() }
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
        self.merge_if_many();
    }

    fn merge_if_many(&mut self) {
        if self.changes.bytes() as u64 >= REDO_BYTES.max(self.staged.bytes_here() / 4) {
            self.staged.merge(&mut self.changes);
        }
    }

    /// Shows what was done.
    fn finish(mut self) {
        self.staged.merge(&mut self.changes);
        self.staged.publish();
    }
}

/// Reads what is left into the empty map. Writes nothing.
pub(crate) fn salvage(
    directory: &Arc<dyn Directory>,
    disk_value_bytes: Option<u64>,
    map: &VersionedMap,
    watch: &dyn Watch,
) -> Result<()> {
    let positions = files::checkpoints(&**directory)?;
    let mut base = read_newest_valid(directory, &positions, disk_value_bytes, map)?;
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
    drop_damaged_values(map, watch)?;
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
    let (mut redo, mut resolver) = (Redo::new(map), Resolver::new(directory));
    checkpoint::salvage(&*file, &name, watch, &mut |Found { key, value }| {
        match value {
            FoundValue::Here(value, _) => redo.changes.put(key, value),
            FoundValue::Reference(reference) => match resolver.resolve(reference) {
                Ok(away) => redo.changes.put_away(key, away),
                Err(damage @ EngineError::Corrupt { .. }) => watch.finding(damage),
                Err(error) => return Err(error),
            },
        }
        redo.merge_if_many();
        Ok(())
    })?;
    redo.finish();
    Ok(())
}

/// Reads every value on disk, and takes those out of the map that are damaged: whoever copies the rest must not
/// stumble over them.
fn drop_damaged_values(map: &VersionedMap, watch: &dyn Watch) -> Result<()> {
    let mut cursor = map.view().walk(KeyRange::all(), Direction::Forward);
    let (mut damaged, mut value) = (Changes::new(), Buffer::new());
    while let Some((key, stored)) = cursor.next_stored()? {
        value.clear();
        match stored {
            Stored::Here(_) => {}
            away @ Stored::Away(_) => match values::append(away, &mut value) {
                Ok(()) => {}
                Err(damage @ EngineError::Corrupt { .. }) => {
                    watch.finding(damage);
                    damaged.delete(key);
                }
                Err(error) => return Err(error),
            },
        }
    }
    let mut staged = map.stage(BatchBuilder::new().as_batch());
    staged.merge(&mut damaged);
    staged.publish();
    Ok(())
}
