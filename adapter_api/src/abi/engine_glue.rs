//! The plugin's side of an engine: answers the host's calls with the author's `StorageEngine`.
//!
//! Promises: no panic leaves, drops included; a view or a cursor keeps what it borrows from alive. The host
//! calls it through `EngineTable`, `ViewTable` and `CursorTable`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RSlice, RVec};

use super::cursor::{CursorProxy, lend};
use super::data::{AbiEntry, AbiEstimate, AbiMetric, AbiPressure, AbiRange, AbiStep, direction};
use super::environment_proxy::DirectoryProxy;
use super::errors::{AbiError, AbiResult};
use super::guard::{DropPanicked, Guarded, guard};
use super::tables::{
    CursorObject, CursorTable, CursorTable_TO, DirectoryObject, EngineObject, EngineTable, EngineTable_TO,
    ViewObject, ViewTable, ViewTable_TO, WatchObject,
};
use super::watch::WatchProxy;
use crate::batch::Batch;
use crate::buffer::{Buffer, Values};
use crate::engine::{Cursor, ReadView, Resident, StorageEngine};
use crate::environment::Lane;

/// How many bytes of keys and values one chunk of a scan collects before the scan is interrupted.
const SCAN_CHUNK_BYTES: usize = 64 * 1024;
/// How many keys of a `multi_get` are handed over without allocating.
const KEYS_ON_STACK: usize = 32;

/// Wraps an open engine for the host.
pub(crate) fn engine_object(engine: impl StorageEngine + 'static) -> EngineObject {
    let drop_panicked = DropPanicked::default();
    let parts = Arc::new(EngineParts { engine: Guarded::new(engine, &drop_panicked), drop_panicked });
    EngineTable_TO::from_value(EngineGlue(parts), TD_Opaque)
}

/// An engine and what its views share with it. Generic, so that the compiler sees through a call of the table
/// into the author's method.
struct EngineParts<E> {
    engine: Guarded<E>,
    drop_panicked: DropPanicked,
}

struct EngineGlue<E>(Arc<EngineParts<E>>);

impl<E: StorageEngine + 'static> EngineGlue<E> {
    fn engine(&self) -> &E {
        &self.0.engine
    }

    /// Runs a call that writes, unless something of the engine panicked where no call could say so.
    #[inline]
    fn write(&self, call: &str, write: impl FnOnce(&E) -> crate::error::Result<()>) -> AbiResult<()> {
        if self.0.drop_panicked.load(Ordering::Relaxed) {
            return AbiError::panicked(
                "a view or a cursor of the engine panicked while it was dropped".into(),
            );
        }
        guard(call, || write(self.engine()))
    }
}

impl<E: StorageEngine + 'static> EngineTable for EngineGlue<E> {
    fn apply(&self, batch: RSlice<'_, u8>) -> AbiResult<()> {
        self.write("apply", |engine| engine.apply(Batch::trusted(batch.as_slice())))
    }

    fn get(&self, key: RSlice<'_, u8>, value: &mut Buffer) -> AbiResult<bool> {
        guard("get", || self.engine().get(key.as_slice(), value))
    }

    fn get_resident(&self, key: RSlice<'_, u8>, value: &mut Buffer) -> AbiResult<u32> {
        guard("get_resident", || {
            Ok(match self.engine().get_resident(key.as_slice(), value)? {
                Resident::Absent => 0,
                Resident::Hit => 1,
                Resident::WouldBlock => 2,
            })
        })
    }

    fn multi_get(&self, keys: RSlice<'_, RSlice<'_, u8>>, values: &mut Values) -> AbiResult<()> {
        guard("multi_get", || with_keys(keys, |keys| self.engine().multi_get(keys, values)))
    }

    fn scan_chunk(&self, range: AbiRange<'_>, reverse: bool, chunk: &mut Values) -> AbiResult<bool> {
        guard("scan", || {
            let mut full = false;
            self.engine().scan(range.into(), direction(reverse), &mut |entry| {
                chunk.push(entry.key);
                chunk.push(entry.value);
                full = chunk.bytes() >= SCAN_CHUNK_BYTES;
                if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(full)
        })
    }

    fn read_view(&self) -> AbiResult<ViewObject> {
        guard("read_view", || {
            let view = self.engine().read_view()?;
            // SAFETY: the view borrows from the engine, which lives on the heap behind `self.0`. `ViewParts`
            // holds both, and its fields are dropped in order: the view first.
            let view = unsafe { std::mem::transmute::<Box<dyn ReadView + '_>, Box<dyn ReadView>>(view) };
            let view = Guarded::new(view, &self.0.drop_panicked);
            let parts = Arc::new(ViewParts { view, engine: Arc::clone(&self.0) });
            Ok(ViewTable_TO::from_value(ViewGlue(parts), TD_Opaque))
        })
    }

    fn estimate(&self, range: AbiRange<'_>) -> AbiResult<AbiEstimate> {
        guard("estimate", || self.engine().estimate(range.into()).map(AbiEstimate::from))
    }

    fn ingest(&self, entries: CursorObject<'_>) -> AbiResult<()> {
        self.write("ingest", |engine| engine.ingest(&mut CursorProxy::new(entries)))
    }

    fn background(&self, lane: u32) -> AbiResult<AbiStep> {
        guard("background", || self.engine().background(Lane(lane)).map(AbiStep::from))
    }

    fn pressure(&self) -> AbiResult<AbiPressure> {
        guard("pressure", || Ok(self.engine().pressure().into()))
    }

    fn metrics(&self) -> AbiResult<RVec<AbiMetric>> {
        guard("metrics", || Ok(self.engine().metrics().into_iter().map(AbiMetric::from).collect()))
    }

    fn backup(&self, target: DirectoryObject, watch: WatchObject<'_>) -> AbiResult<()> {
        guard("backup", || {
            self.engine().backup(Arc::new(DirectoryProxy::new(target)), &WatchProxy::new(watch))
        })
    }

    fn verify(&self, watch: WatchObject<'_>) -> AbiResult<()> {
        guard("verify", || self.engine().verify(&WatchProxy::new(watch)))
    }

    fn close(&self) -> AbiResult<()> {
        guard("close", || self.engine().close())
    }

    fn compact(&self, range: AbiRange<'_>, watch: WatchObject<'_>) -> AbiResult<()> {
        guard("compact", || self.engine().compact(range.into(), &WatchProxy::new(watch)))
    }

    // skew: last method begin
    fn multi_get_resident(
        &self,
        keys: RSlice<'_, RSlice<'_, u8>>,
        bytes_max: usize,
        values: &mut Values,
    ) -> AbiResult<()> {
        guard("multi_get_resident", || {
            with_keys(keys, |keys| self.engine().multi_get_resident(keys, bytes_max, values))
        })
    }
    // skew: last method end
}

/// A view and what it borrows from; dropped in this order.
struct ViewParts<E> {
    view: Guarded<Box<dyn ReadView>>,
    engine: Arc<EngineParts<E>>,
}

struct ViewGlue<E>(Arc<ViewParts<E>>);

impl<E: StorageEngine + 'static> ViewTable for ViewGlue<E> {
    fn get(&self, key: RSlice<'_, u8>, value: &mut Buffer) -> AbiResult<bool> {
        guard("get of a view", || self.0.view.get(key.as_slice(), value))
    }

    fn multi_get(&self, keys: RSlice<'_, RSlice<'_, u8>>, values: &mut Values) -> AbiResult<()> {
        guard("multi_get of a view", || with_keys(keys, |keys| self.0.view.multi_get(keys, values)))
    }

    fn cursor(&self, range: AbiRange<'_>, reverse: bool) -> AbiResult<CursorObject<'static>> {
        guard("cursor", || {
            let cursor = self.0.view.cursor(range.into(), direction(reverse))?;
            // SAFETY: the cursor borrows from the view, which lives on the heap behind `self.0`. `CursorGlue`
            // holds both, and its fields are dropped in order: the cursor first.
            let cursor = unsafe { std::mem::transmute::<Box<dyn Cursor + '_>, Box<dyn Cursor>>(cursor) };
            let cursor = Guarded::new(cursor, &self.0.engine.drop_panicked);
            let glue = CursorGlue { cursor, _view: Arc::clone(&self.0) };
            Ok(CursorTable_TO::from_value(glue, TD_Opaque))
        })
    }
}

/// A cursor and what it borrows from; dropped in this order.
struct CursorGlue<E> {
    cursor: Guarded<Box<dyn Cursor>>,
    _view: Arc<ViewParts<E>>,
}

impl<E: StorageEngine + 'static> CursorTable for CursorGlue<E> {
    fn next(&mut self, entry: &mut AbiEntry) -> AbiResult<bool> {
        guard("next of a cursor", || lend(self.cursor.as_mut(), entry))
    }

    fn seek(&mut self, key: RSlice<'_, u8>) -> AbiResult<()> {
        guard("seek of a cursor", || self.cursor.seek(key.as_slice()))
    }
}

/// Hands the keys over as the slice of slices that authors expect; few keys without allocating.
fn with_keys<T>(keys: RSlice<'_, RSlice<'_, u8>>, read: impl FnOnce(&[&[u8]]) -> T) -> T {
    let mut few = [&[][..]; KEYS_ON_STACK];
    if keys.len() > KEYS_ON_STACK {
        return read(&keys.iter().map(|key| key.as_slice()).collect::<Vec<_>>());
    }
    for (place, key) in few.iter_mut().zip(keys.iter()) {
        *place = key.as_slice();
    }
    read(&few[..keys.len()])
}
