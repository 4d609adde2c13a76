//! The contract of an engine: one ordered map from byte keys to byte values, one writer, many readers.
//!
//! Authors implement `Plugin` and `StorageEngine`; the host holds a `StorageAdapter`, which implements
//! `StorageEngine` too, so the same code drives an engine in process and a loaded one. Keys have 1 to
//! 65,535 bytes and are ordered as unsigned bytes; values have 0 bytes to 512 MiB.
//!
//! Any method but `apply` and `background` may be called by any number of threads at once, beside `apply`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::buffer::{Buffer, Values};
use crate::describe::{Description, Estimate, Guarantees, Metric, Pressure};
use crate::environment::{Directory, Environment, Lane};
use crate::error::{EngineError, Result};
use crate::options::Options;
use crate::range::{Direction, KeyRange};

/// What is known of an engine before it is open, and how it is opened. `export_engine!` takes the type that
/// implements it.
pub trait Plugin: StorageEngine + Sized + 'static {
    /// Says what the engine is. The same every time; does no work.
    fn describe() -> Description;

    /// Opens the engine's directory, recovering what it holds.
    ///
    /// The directory is locked, and belongs to this engine in this format or an older one. What was replayed
    /// beyond what was provably durable is written again and made durable before this returns: after a kill
    /// the page cache may show bytes that no disk has. Blocks as long as recovery takes.
    ///
    /// # Errors
    /// `Corrupt` names the file and the position. Nothing is skipped silently.
    fn open(request: OpenRequest) -> Result<Self>;

    /// The table of promises for these options and this class of durability. Promises nothing by default.
    fn guarantees(options: &Options, durability: Durability) -> Guarantees {
        let _ = (options, durability);
        Guarantees::new()
    }
}

/// What an engine is opened with.
#[derive(Clone)]
pub struct OpenRequest {
    /// The files, the clock and the lanes that the engine may use.
    pub environment: Environment,
    /// Every option that the engine declares, inside its range.
    pub options: Options,
    /// When `apply` may answer Ok.
    pub durability: Durability,
    /// If set: open for reading only, skip damage and report each finding here.
    pub salvage: Option<Arc<dyn Watch>>,
}

impl OpenRequest {
    /// A request with the given environment, no options, and `Durability::Always`.
    pub fn new(environment: Environment) -> Self {
        Self { environment, options: Options::new(), durability: Durability::Always, salvage: None }
    }
}

/// When `apply` may answer Ok.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the batch survives a power cut.
    #[default]
    Always,
    /// When the operating system has the batch; it is made durable at most this much later. After a power
    /// cut a prefix of the acknowledged batches is there.
    Interval(Duration),
    /// When the operating system has the batch. After a power cut a prefix of the acknowledged batches is
    /// there.
    Os,
}

/// What `get_resident` found without waiting for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resident {
    /// The key is there and its value was appended.
    Hit,
    /// The key is not there.
    Absent,
    /// Only a device can tell. Ask `get`, on a thread that may wait.
    WouldBlock,
}

/// What a step of background work left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do now.
    More,
    /// Nothing to do until the lane is woken.
    Idle,
    /// Nothing to do until the lane is woken or this much time has passed.
    IdleFor(Duration),
}

/// One entry of the map, lent until the next call to whoever lends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// What a scan calls with each entry, until it answers `Break`.
pub type Visit<'a> = dyn FnMut(Entry<'_>) -> ControlFlow<()> + 'a;

/// An open engine. `apply`, `get` and one of `scan` and `read_view` are mandatory.
pub trait StorageEngine: Send + Sync {
    /// Makes every mutation of the batch happen, in order, as a whole or not at all.
    ///
    /// One caller at a time. The batch becomes visible at one instant, never before it is durable in the
    /// class the engine was opened with; then this returns. May wait when background work is behind, and
    /// says why in the metrics.
    ///
    /// # Errors
    /// `Rejected` and `Full`: nothing changed. `Failed`: the outcome is unknown, and the adapter rejects every
    /// further write until the engine is reopened.
    fn apply(&self, batch: Batch<'_>) -> Result<()>;

    /// Appends the newest visible value of the key and answers `true`, or answers `false`.
    ///
    /// Never waits for the writer; may wait for a device. The buffer counts only when the answer is `true`.
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool>;

    /// Like `get`, but never waits for a device.
    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        let _ = (key, value);
        Ok(Resident::WouldBlock)
    }

    /// Appends the values of several keys, in their order, absent ones as absent, all as of one instant.
    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        self.read_view()?.multi_get(keys, values)
    }

    /// Like `multi_get`, but never waits for a device: appends the values of as many keys as are in memory, from the
    /// first on, and no more than `bytes_max` bytes of them, all as of one instant. How many it got to is what
    /// `values` has more.
    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        let _ = (keys, bytes_max, values);
        Ok(())
    }

    /// Calls `visit` with the entries of the range in order until it answers `Break`.
    ///
    /// Not a point in time: entries that change meanwhile may be seen before or after the change.
    fn scan(&self, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        let view = self.read_view()?;
        let mut cursor = view.cursor(range, direction)?;
        while let Some(entry) = cursor.next()? {
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// A consistent point in time. Cheap to take; blocks nobody; ends in `ViewTooOld` under a bound that the
    /// engine states, never in exhausted memory.
    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Err(EngineError::unsupported("read_view"))
    }

    /// About how many entries and bytes the range holds, in microseconds.
    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        let _ = range;
        Err(EngineError::unsupported("estimate"))
    }

    /// Stores sorted entries, which must fall into an empty range.
    ///
    /// Builds unseen, beside `apply`; the end of it takes the writer's turn, and all entries become visible
    /// and durable at one instant.
    ///
    /// # Errors
    /// `Rejected`, and nothing changed, if the entries are not in ascending order or a key within their
    /// range exists at the end.
    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        let _ = entries;
        Err(EngineError::unsupported("ingest"))
    }

    /// Does one bounded step of background work. One caller at a time for each lane.
    fn background(&self, lane: Lane) -> Result<Step> {
        let _ = lane;
        Ok(Step::Idle)
    }

    /// How far background work is behind. Asked before each `apply`, so it is cheap.
    fn pressure(&self) -> Pressure {
        Pressure::none()
    }

    /// The numbers that the engine reports. Not on the path of reads and writes.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// Writes a copy that `open` would accept into an empty directory, durable when this returns. Runs beside
    /// everything.
    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        let _ = (target, watch);
        Err(EngineError::unsupported("backup"))
    }

    /// Reads everything there is and reports each damage as a finding. Runs beside everything.
    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        let _ = watch;
        Err(EngineError::unsupported("verify"))
    }

    /// Gives space of deleted and overwritten entries back. Runs beside everything.
    fn compact(&self, range: KeyRange<'_>, watch: &dyn Watch) -> Result<()> {
        let _ = (range, watch);
        Err(EngineError::unsupported("compact"))
    }

    /// Ends in order: what is in flight becomes durable. No `apply` follows.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A point in time of the map. Every call may answer `ViewTooOld`.
pub trait ReadView: Send + Sync {
    /// Appends the value of the key as of the view and answers `true`, or answers `false`.
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool>;

    /// Appends the values of several keys, in their order, absent ones as absent.
    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        keys.iter().try_for_each(|key| values.push_with(|value| self.get(key, value)))
    }

    /// A walk over the entries of the range, in a direction that is fixed now.
    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>>;
}

/// A walk over entries in one direction.
pub trait Cursor: Send {
    /// The next entry, lent until the next call, or `None` at the end of the range.
    fn next(&mut self) -> Result<Option<Entry<'_>>>;

    /// Moves so that `next` returns the first entry of the range at or behind `key` in the direction of the
    /// walk: the smallest not below it, or in reverse the largest not above it.
    fn seek(&mut self, key: &[u8]) -> Result<()>;
}

/// Whoever waits for long work: hears of its progress, may cancel it, collects what it finds.
pub trait Watch: Send + Sync {
    /// `done` of about `total` units are done. After `Break` the work ends in `Rejected` soon.
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()>;

    /// The work found damage and goes on.
    fn finding(&self, finding: EngineError);
}
