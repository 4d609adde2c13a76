//! The `StorageAdapter`: the host's handle on an open engine, and the only caller of one.
//!
//! What it adds to what the engine does: one `apply` at a time; no write after an outcome was unknown or the
//! engine panicked; buffers as they were unless a read succeeded; scans in chunks, so that the engine holds
//! no lock while the host works. Calls block as `StorageEngine` says.

use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use abi_stable::std_types::{RBox, RErr, ROk, RSlice};

use crate::abi::cursor::{CursorProxy, cursor_object};
use crate::abi::engine_glue::engine_object;
use crate::abi::environment_glue::directory_object;
use crate::abi::errors::{AbiError, AbiResult};
use crate::abi::tables::{EngineObject, ViewObject, WatchObject};
use crate::abi::watch::watch_object;
use crate::batch::Batch;
use crate::buffer::{Buffer, Values};
use crate::describe::{Description, Estimate, Metric, Pressure};
use crate::engine::{Cursor, Entry, ReadView, Resident, Step, StorageEngine, Visit, Watch};
use crate::environment::{Directory, Lane};
use crate::error::{EngineError, Result};
use crate::range::{Direction, KeyRange};

/// How many keys of a `multi_get` cross the border without allocating.
const KEYS_ON_STACK: usize = 32;
/// The room that a scan's chunk has from the start: enough for what the engine's side collects of small
/// entries, so that it grows for large ones alone.
const SCAN_CHUNK_BYTES: usize = 72 * 1024;
const SCAN_CHUNK_VALUES: usize = 2 * 1024;

/// An open engine. Implements `StorageEngine`, so what drives an engine in process drives a loaded one too.
/// Clones are handles on the same engine, which is dropped with the last of them and of its views.
#[derive(Clone)]
pub struct StorageAdapter {
    shared: Arc<Shared>,
}

struct Shared {
    engine: EngineObject,
    about: Description,
    /// Held by whoever applies.
    writer: Mutex<()>,
    /// Why no further write is admitted, once there is a reason.
    refusal: OnceLock<String>,
}

impl StorageAdapter {
    pub(super) fn new(engine: EngineObject, about: Description) -> Self {
        let shared = Shared { engine, about, writer: Mutex::new(()), refusal: OnceLock::new() };
        Self { shared: Arc::new(shared) }
    }

    /// An engine made by hand, behind the same border as a loaded one: for tests whose engine follows a script.
    pub fn around(engine: impl StorageEngine + 'static, about: Description) -> Self {
        Self::new(engine_object(engine), about)
    }

    /// What the engine says of itself.
    pub fn description(&self) -> &Description {
        &self.shared.about
    }

    /// A read view that owns what it needs, for callers that keep it. See [`StorageEngine::read_view`].
    pub fn view(&self) -> Result<View> {
        let view = self.shared.check(self.shared.engine.read_view())?;
        Ok(View { view, shared: Arc::clone(&self.shared) })
    }

    /// Why no further write is admitted until the engine is reopened, if so.
    pub fn write_refusal(&self) -> Option<&str> {
        self.shared.refusal.get().map(String::as_str)
    }

    fn admit_write(&self) -> Result<()> {
        match self.write_refusal() {
            None => Ok(()),
            Some(reason) => {
                Err(EngineError::rejected(format!("no write is admitted until a restart: {reason}")))
            }
        }
    }
}

impl Shared {
    /// Translates an answer; after a panic, whatever the call was, no further write is admitted.
    #[inline]
    fn check<T>(&self, answer: AbiResult<T>) -> Result<T> {
        match answer {
            ROk(value) => Ok(value),
            RErr(error) => Err(self.note(error)),
        }
    }

    #[cold]
    fn note(&self, error: RBox<AbiError>) -> EngineError {
        let panicked = error.is_panic();
        let error = EngineError::from(RBox::into_inner(error));
        if panicked {
            self.refuse_writes(&error);
        }
        error
    }

    #[cold]
    fn refuse_writes(&self, error: &EngineError) {
        if self.refusal.set(error.to_string()).is_ok() {
            log::error!(
                "engine {}: {error}; no write is admitted until a restart, reads go on",
                self.about.name
            );
        }
    }

    fn watch<'a>(watch: &'a dyn Watch) -> WatchObject<'a> {
        watch_object(Borrowed(watch))
    }
}

/// A borrowed watch in the form that crosses the border.
struct Borrowed<'a>(&'a dyn Watch);

impl<'a> AsRef<dyn Watch + 'a> for Borrowed<'a> {
    fn as_ref(&self) -> &(dyn Watch + 'a) {
        self.0
    }
}

/// Runs a read that appends, and takes back what it appended unless it succeeded.
#[inline]
fn appending<T: PartialEq>(
    value: &mut Buffer,
    found: T,
    read: impl FnOnce(&mut Buffer) -> Result<T>,
) -> Result<T> {
    let start = value.len();
    let answer = read(value);
    if !matches!(&answer, Ok(answer) if *answer == found) {
        value.truncate(start);
    }
    answer
}

/// Runs a read of several keys, and takes back what it appended unless it answered for so many of them.
fn appending_all(
    keys: &[&[u8]],
    allowed: RangeInclusive<usize>,
    values: &mut Values,
    read: impl FnOnce(RSlice<'_, RSlice<'_, u8>>, &mut Values) -> Result<()>,
) -> Result<()> {
    let start = values.len();
    let mut few = [RSlice::EMPTY; KEYS_ON_STACK];
    let many: Vec<RSlice<'_, u8>>;
    let keys = match few.get_mut(..keys.len()) {
        Some(few) => {
            few.iter_mut().zip(keys).for_each(|(place, key)| *place = RSlice::from(*key));
            &*few
        }
        None => {
            many = keys.iter().map(|key| RSlice::from(*key)).collect();
            &many
        }
    };
    let answer = read(RSlice::from(keys), values);
    let answered = values.len().wrapping_sub(start);
    if answer.is_ok() && allowed.contains(&answered) {
        return Ok(());
    }
    values.truncate(start);
    answer?;
    Err(EngineError::failed(format!("the engine answered {answered} of {} keys", keys.len())))
}

impl StorageEngine for StorageAdapter {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        // Nothing panics while the turn is held: the engine's panics are caught on its side of the border.
        let _turn = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.admit_write()?;
        let answer = self.shared.check(self.shared.engine.apply(batch.as_bytes().into()));
        if let Err(error) = &answer
            && !error.changed_nothing()
        {
            self.shared.refuse_writes(error);
        }
        answer
    }

    #[inline]
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        appending(value, true, |value| self.shared.check(self.shared.engine.get(key.into(), value)))
    }

    #[inline]
    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        appending(value, Resident::Hit, |value| {
            Ok(match self.shared.check(self.shared.engine.get_resident(key.into(), value))? {
                0 => Resident::Absent,
                1 => Resident::Hit,
                _ => Resident::WouldBlock,
            })
        })
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        appending_all(keys, keys.len()..=keys.len(), values, |keys, values| {
            self.shared.check(self.shared.engine.multi_get(keys, values))
        })
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        appending_all(keys, 0..=keys.len(), values, |keys, values| {
            self.shared.check(self.shared.engine.multi_get_resident(keys, bytes_max, values))
        })
    }

    fn scan(&self, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        let reverse = direction == Direction::Reverse;
        let mut chunk = Values::with_capacity(SCAN_CHUNK_VALUES, SCAN_CHUNK_BYTES);
        let (mut start, mut end) = (range.start().to_vec(), range.end().map(<[u8]>::to_vec));
        loop {
            chunk.clear();
            let rest = KeyRange::with_end(&start, end.as_deref());
            let more = self.shared.check(self.shared.engine.scan_chunk(rest.into(), reverse, &mut chunk))?;
            let (mut last, mut values) = (None, chunk.iter());
            while let (Some(Some(key)), Some(Some(value))) = (values.next(), values.next()) {
                last = Some(key);
                if visit(Entry { key, value }) == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            match last {
                Some(key) if more && reverse => end = Some(key.to_vec()),
                Some(key) if more => start = successor(key),
                _ => return Ok(()),
            }
        }
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(self.view()?))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        self.shared.check(self.shared.engine.estimate(range.into())).map(Estimate::from)
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        self.admit_write()?;
        let answer = self.shared.check(self.shared.engine.ingest(cursor_object(entries)));
        if let Err(error) = &answer
            && !error.changed_nothing()
        {
            self.shared.refuse_writes(error);
        }
        answer
    }

    fn background(&self, lane: Lane) -> Result<Step> {
        self.shared.check(self.shared.engine.background(lane.0)).map(Step::from)
    }

    fn pressure(&self) -> Pressure {
        self.shared.check(self.shared.engine.pressure()).map_or_else(|_| Pressure::none(), Pressure::from)
    }

    fn metrics(&self) -> Vec<Metric> {
        let metrics = self.shared.check(self.shared.engine.metrics()).unwrap_or_default();
        metrics.into_iter().map(Metric::from).collect()
    }

    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        self.shared.check(self.shared.engine.backup(directory_object(target), Shared::watch(watch)))
    }

    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        self.shared.check(self.shared.engine.verify(Shared::watch(watch)))
    }

    fn compact(&self, range: KeyRange<'_>, watch: &dyn Watch) -> Result<()> {
        self.shared.check(self.shared.engine.compact(range.into(), Shared::watch(watch)))
    }

    /// Also refuses every later `apply`.
    fn close(&self) -> Result<()> {
        let _turn = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // An earlier reason stands: it says more than that the engine was closed.
        let _ = self.shared.refusal.set("the engine was closed".to_string());
        self.shared.check(self.shared.engine.close())
    }
}

impl fmt::Debug for StorageAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageAdapter({})", self.shared.about.name)
    }
}

/// The smallest key behind `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// A read view that owns what it needs: it outlives borrows of the adapter and moves between threads. It
/// keeps the engine open.
pub struct View {
    view: ViewObject,
    shared: Arc<Shared>,
}

impl View {
    /// A cursor that owns what it needs. See [`ReadView::cursor`].
    pub fn owned_cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<ViewCursor> {
        let cursor = self.shared.check(self.view.cursor(range.into(), direction == Direction::Reverse))?;
        Ok(ViewCursor { cursor: CursorProxy::new(cursor), shared: Arc::clone(&self.shared) })
    }
}

impl ReadView for View {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        appending(value, true, |value| self.shared.check(self.view.get(key.into(), value)))
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        appending_all(keys, keys.len()..=keys.len(), values, |keys, values| {
            self.shared.check(self.view.multi_get(keys, values))
        })
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.owned_cursor(range, direction)?))
    }
}

/// A cursor that owns what it needs: it outlives its view's handle and moves between threads.
pub struct ViewCursor {
    cursor: CursorProxy<'static>,
    shared: Arc<Shared>,
}

impl Cursor for ViewCursor {
    #[inline]
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.shared.check(self.cursor.next_raw())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.shared.check(self.cursor.seek_raw(key))
    }
}
