//! The tables of functions that cross the border. Frozen but for methods appended at the end of each.

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, ROk, RSlice, RStr, RVec};

use super::data::{
    AbiDirectoryEntry, AbiDuration, AbiEntry, AbiEstimate, AbiFeatures, AbiIoSlice, AbiMetric, AbiPressure,
    AbiRange, AbiRead, AbiStep,
};
use super::errors::{AbiError, AbiIoResult, AbiResult};
use crate::buffer::{Buffer, Values};

/// An open engine, seen by the host.
pub(crate) type EngineObject = EngineTable_TO<'static, RBox<()>>;
/// A read view, seen by the host. It keeps its engine alive.
pub(crate) type ViewObject = ViewTable_TO<'static, RBox<()>>;
/// A cursor: of a view, seen by the host, or over entries to ingest, seen by the engine.
pub(crate) type CursorObject<'a> = CursorTable_TO<'a, RBox<()>>;
/// A directory, seen by the engine.
pub(crate) type DirectoryObject = DirectoryTable_TO<'static, RBox<()>>;
/// An open file, seen by the engine.
pub(crate) type FileObject = FileTable_TO<'static, RBox<()>>;
/// The clock, seen by the engine.
pub(crate) type ClockObject = ClockTable_TO<'static, RBox<()>>;
/// The background lanes, seen by the engine.
pub(crate) type LanesObject = LanesTable_TO<'static, RBox<()>>;
/// Whoever waits for long work, seen by the engine.
pub(crate) type WatchObject<'a> = WatchTable_TO<'a, RBox<()>>;

#[sabi_trait]
pub trait EngineTable: Send + Sync {
    fn apply(&self, batch: RSlice<'_, u8>) -> AbiResult<()>;
    fn get(&self, key: RSlice<'_, u8>, value: &mut Buffer) -> AbiResult<bool>;
    /// 0 absent, 1 hit, anything else: would block.
    fn get_resident(&self, key: RSlice<'_, u8>, value: &mut Buffer) -> AbiResult<u32>;
    fn multi_get(&self, keys: RSlice<'_, RSlice<'_, u8>>, values: &mut Values) -> AbiResult<()>;
    /// Appends keys and values in turns to `chunk`; whether the scan stopped only because the chunk is full.
    fn scan_chunk(&self, range: AbiRange<'_>, reverse: bool, chunk: &mut Values) -> AbiResult<bool>;
    fn read_view(&self) -> AbiResult<ViewObject>;
    fn estimate(&self, range: AbiRange<'_>) -> AbiResult<AbiEstimate>;
    fn ingest(&self, entries: CursorObject<'_>) -> AbiResult<()>;
    fn background(&self, lane: u32) -> AbiResult<AbiStep>;
    fn pressure(&self) -> AbiResult<AbiPressure>;
    fn metrics(&self) -> AbiResult<RVec<AbiMetric>>;
    fn backup(&self, target: DirectoryObject, watch: WatchObject<'_>) -> AbiResult<()>;
    fn verify(&self, watch: WatchObject<'_>) -> AbiResult<()>;
    fn close(&self) -> AbiResult<()>;
    fn compact(&self, range: AbiRange<'_>, watch: WatchObject<'_>) -> AbiResult<()> {
        let _ = (range, watch);
        AbiError::unsupported("compact")
    }
    // skew: last method begin
    fn multi_get_resident(
        &self,
        keys: RSlice<'_, RSlice<'_, u8>>,
        bytes_max: usize,
        values: &mut Values,
    ) -> AbiResult<()> {
        let _ = (keys, bytes_max, values);
        ROk(())
    }
    // skew: last method end
}

#[sabi_trait]
pub trait ViewTable: Send + Sync {
    fn get(&self, key: RSlice<'_, u8>, value: &mut Buffer) -> AbiResult<bool>;
    fn multi_get(&self, keys: RSlice<'_, RSlice<'_, u8>>, values: &mut Values) -> AbiResult<()>;
    fn cursor(&self, range: AbiRange<'_>, reverse: bool) -> AbiResult<CursorObject<'static>>;
}

#[sabi_trait]
pub trait CursorTable: Send {
    /// Fills `entry`, which is lent until the next call, and answers `true`; or answers `false` at the end.
    fn next(&mut self, entry: &mut AbiEntry) -> AbiResult<bool>;
    fn seek(&mut self, key: RSlice<'_, u8>) -> AbiResult<()>;
}

#[sabi_trait]
pub trait DirectoryTable: Send + Sync {
    /// `how`: bit 0 write, bit 1 create new, bit 2 direct.
    fn open_file(&self, name: RStr<'_>, how: u32) -> AbiIoResult<FileObject>;
    fn open_directory(&self, name: RStr<'_>) -> AbiIoResult<DirectoryObject>;
    fn create_directory(&self, name: RStr<'_>) -> AbiIoResult<()>;
    fn list(&self) -> AbiIoResult<RVec<AbiDirectoryEntry>>;
    fn rename(&self, from: RStr<'_>, to: RStr<'_>) -> AbiIoResult<()>;
    fn link(&self, from: RStr<'_>, to: RStr<'_>) -> AbiIoResult<()>;
    fn remove(&self, name: RStr<'_>) -> AbiIoResult<()>;
    fn sync(&self) -> AbiIoResult<()>;
    fn free_space(&self) -> AbiIoResult<u64>;
    fn features(&self) -> AbiFeatures;
}

#[sabi_trait]
pub trait FileTable: Send + Sync {
    /// The bytes may be uninitialised for the reader; they are written, never read.
    fn read_at(&self, bytes: abi_stable::std_types::RSliceMut<'_, u8>, offset: u64) -> AbiIoResult<usize>;
    fn read_many(&self, reads: RSlice<'_, AbiRead>) -> AbiIoResult<()>;
    fn write_at(&self, slices: RSlice<'_, AbiIoSlice>, offset: u64, cause: u32) -> AbiIoResult<()>;
    fn write_durable_at(&self, slices: RSlice<'_, AbiIoSlice>, offset: u64, cause: u32) -> AbiIoResult<()>;
    fn start_durable(&self, slices: RSlice<'_, AbiIoSlice>, offset: u64, cause: u32) -> AbiIoResult<u64>;
    fn wait(&self, ticket: u64) -> AbiIoResult<()>;
    fn write_back(&self, offset: u64, len: u64) -> AbiIoResult<()>;
    fn sync_data(&self) -> AbiIoResult<()>;
    fn sync_all(&self) -> AbiIoResult<()>;
    fn len(&self) -> AbiIoResult<u64>;
    fn set_len(&self, len: u64) -> AbiIoResult<()>;
    fn allocate(&self, offset: u64, len: u64) -> AbiIoResult<()>;
    fn punch(&self, offset: u64, len: u64) -> AbiIoResult<()>;
    fn alignment(&self) -> usize;
}

#[sabi_trait]
pub trait ClockTable: Send + Sync {
    fn monotonic(&self) -> AbiDuration;
    fn wall(&self) -> AbiDuration;
}

#[sabi_trait]
pub trait LanesTable: Send + Sync {
    fn wake(&self, lane: u32);
    fn wait_for(&self, lane: u32);
}

#[sabi_trait]
pub trait WatchTable: Send + Sync {
    /// Whether the work should go on.
    fn progress(&self, done: u64, total: u64) -> bool;
    fn finding(&self, finding: RBox<AbiError>);
}
