//! The host's side of the environment: answers an engine's calls with the host's files, clock and lanes.

use std::sync::Arc;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RSlice, RSliceMut, RStr, RVec};

use super::data::{
    AbiDirectoryEntry, AbiDuration, AbiFeatures, AbiIoSlice, AbiRead, cause_from_abi, open_file_from_abi,
};
use super::errors::AbiIoResult;
use super::guard::{guard_io, guard_or};
use super::tables::{
    ClockObject, ClockTable, ClockTable_TO, DirectoryObject, DirectoryTable, DirectoryTable_TO, FileObject,
    FileTable, FileTable_TO, LanesObject, LanesTable, LanesTable_TO,
};
use crate::environment::{Clock, Directory, File, FileFeatures, Lane, Lanes, ReadRequest, Ticket};

pub(crate) fn directory_object(directory: Arc<dyn Directory>) -> DirectoryObject {
    DirectoryTable_TO::from_value(DirectoryGlue(directory), TD_Opaque)
}

pub(crate) fn clock_object(clock: Arc<dyn Clock>) -> ClockObject {
    ClockTable_TO::from_value(ClockGlue(clock), TD_Opaque)
}

pub(crate) fn lanes_object(lanes: Arc<dyn Lanes>) -> LanesObject {
    LanesTable_TO::from_value(LanesGlue(lanes), TD_Opaque)
}

struct DirectoryGlue(Arc<dyn Directory>);

impl DirectoryTable for DirectoryGlue {
    fn open_file(&self, name: RStr<'_>, how: u32) -> AbiIoResult<FileObject> {
        guard_io("open_file", || {
            let file = self.0.open_file(name.as_str(), open_file_from_abi(how))?;
            Ok(FileTable_TO::from_value(FileGlue(file), TD_Opaque))
        })
    }

    fn open_directory(&self, name: RStr<'_>) -> AbiIoResult<DirectoryObject> {
        guard_io("open_directory", || self.0.open_directory(name.as_str()).map(directory_object))
    }

    fn create_directory(&self, name: RStr<'_>) -> AbiIoResult<()> {
        guard_io("create_directory", || self.0.create_directory(name.as_str()))
    }

    fn list(&self) -> AbiIoResult<RVec<AbiDirectoryEntry>> {
        guard_io("list", || Ok(self.0.list()?.into_iter().map(AbiDirectoryEntry::from).collect()))
    }

    fn rename(&self, from: RStr<'_>, to: RStr<'_>) -> AbiIoResult<()> {
        guard_io("rename", || self.0.rename(from.as_str(), to.as_str()))
    }

    fn link(&self, from: RStr<'_>, to: RStr<'_>) -> AbiIoResult<()> {
        guard_io("link", || self.0.link(from.as_str(), to.as_str()))
    }

    fn remove(&self, name: RStr<'_>) -> AbiIoResult<()> {
        guard_io("remove", || self.0.remove(name.as_str()))
    }

    fn sync(&self) -> AbiIoResult<()> {
        guard_io("sync of a directory", || self.0.sync())
    }

    fn free_space(&self) -> AbiIoResult<u64> {
        guard_io("free_space", || self.0.free_space())
    }

    fn features(&self) -> AbiFeatures {
        guard_or(FileFeatures::default(), || self.0.features()).into()
    }
}

struct FileGlue(Arc<dyn File>);

impl FileTable for FileGlue {
    fn read_at(&self, mut bytes: RSliceMut<'_, u8>, offset: u64) -> AbiIoResult<usize> {
        guard_io("read_at", || self.0.read_at(bytes.as_mut_slice(), offset))
    }

    fn read_many(&self, reads: RSlice<'_, AbiRead>) -> AbiIoResult<()> {
        guard_io("read_many", || {
            let request = |read: &AbiRead| ReadRequest {
                offset: read.offset,
                // SAFETY: the proxy made each part from an exclusive borrow that lasts for the call.
                bytes: unsafe { std::slice::from_raw_parts_mut(read.start, read.len) },
            };
            self.0.read_many(&mut reads.iter().map(request).collect::<Vec<_>>())
        })
    }

    fn write_at(&self, slices: RSlice<'_, AbiIoSlice>, offset: u64, cause: u32) -> AbiIoResult<()> {
        // SAFETY: the proxy made the slices from borrows that last for the call.
        guard_io("write_at", || {
            self.0.write_at(unsafe { AbiIoSlice::as_std(slices) }, offset, cause_from_abi(cause))
        })
    }

    fn write_durable_at(&self, slices: RSlice<'_, AbiIoSlice>, offset: u64, cause: u32) -> AbiIoResult<()> {
        guard_io("write_durable_at", || {
            // SAFETY: as in `write_at`.
            self.0.write_durable_at(unsafe { AbiIoSlice::as_std(slices) }, offset, cause_from_abi(cause))
        })
    }

    fn start_durable(&self, slices: RSlice<'_, AbiIoSlice>, offset: u64, cause: u32) -> AbiIoResult<u64> {
        guard_io("start_durable", || {
            // SAFETY: as in `write_at`; the file takes the bytes before it returns.
            let ticket =
                self.0.start_durable(unsafe { AbiIoSlice::as_std(slices) }, offset, cause_from_abi(cause))?;
            Ok(ticket.number())
        })
    }

    fn wait(&self, ticket: u64) -> AbiIoResult<()> {
        guard_io("wait", || self.0.wait(Ticket::new(ticket)))
    }

    fn write_back(&self, offset: u64, len: u64) -> AbiIoResult<()> {
        guard_io("write_back", || self.0.write_back(offset, len))
    }

    fn sync_data(&self) -> AbiIoResult<()> {
        guard_io("sync_data", || self.0.sync_data())
    }

    fn sync_all(&self) -> AbiIoResult<()> {
        guard_io("sync_all", || self.0.sync_all())
    }

    fn len(&self) -> AbiIoResult<u64> {
        guard_io("len", || self.0.len())
    }

    fn set_len(&self, len: u64) -> AbiIoResult<()> {
        guard_io("set_len", || self.0.set_len(len))
    }

    fn allocate(&self, offset: u64, len: u64) -> AbiIoResult<()> {
        guard_io("allocate", || self.0.allocate(offset, len))
    }

    fn punch(&self, offset: u64, len: u64) -> AbiIoResult<()> {
        guard_io("punch", || self.0.punch(offset, len))
    }

    fn alignment(&self) -> usize {
        guard_or(1, || self.0.alignment())
    }
}

struct ClockGlue(Arc<dyn Clock>);

impl ClockTable for ClockGlue {
    fn monotonic(&self) -> AbiDuration {
        guard_or(Default::default(), || self.0.monotonic()).into()
    }

    fn wall(&self) -> AbiDuration {
        guard_or(Default::default(), || self.0.wall()).into()
    }
}

struct LanesGlue(Arc<dyn Lanes>);

impl LanesTable for LanesGlue {
    fn wake(&self, lane: u32) {
        guard_or((), || self.0.wake(Lane(lane)));
    }

    fn wait_for(&self, lane: u32) {
        guard_or((), || self.0.wait_for(Lane(lane)));
    }
}
