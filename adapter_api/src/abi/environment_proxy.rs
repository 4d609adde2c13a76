//! The engine's side of the environment: files, clock and lanes of the host as the traits that authors see.

use std::io::{self, IoSlice};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use abi_stable::std_types::{RSlice, RSliceMut};

use super::data::{AbiIoSlice, AbiRead, open_file_to_abi};
use super::errors::io_from_abi;
use super::tables::{ClockObject, DirectoryObject, FileObject, LanesObject};
use crate::environment::{
    Cause, Clock, Directory, DirectoryEntry, File, FileFeatures, Lane, Lanes, OpenFile, ReadRequest, Ticket,
};

/// How many reads of a `read_many` cross the border at once, without allocating.
const READS_PER_CALL: usize = 32;

/// A directory of the host.
pub(crate) struct DirectoryProxy(DirectoryObject);

impl DirectoryProxy {
    pub(crate) fn new(directory: DirectoryObject) -> Self {
        Self(directory)
    }
}

impl Directory for DirectoryProxy {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        let file = io_from_abi(self.0.open_file(name.into(), open_file_to_abi(how)))?;
        Ok(Arc::new(FileProxy(file)))
    }

    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        let directory = io_from_abi(self.0.open_directory(name.into()))?;
        Ok(Arc::new(Self(directory)))
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        io_from_abi(self.0.create_directory(name.into()))
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        Ok(io_from_abi(self.0.list())?.into_iter().map(DirectoryEntry::from).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        io_from_abi(self.0.rename(from.into(), to.into()))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        io_from_abi(self.0.link(from.into(), to.into()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        io_from_abi(self.0.remove(name.into()))
    }

    fn sync(&self) -> io::Result<()> {
        io_from_abi(self.0.sync())
    }

    fn free_space(&self) -> io::Result<u64> {
        io_from_abi(self.0.free_space())
    }

    fn features(&self) -> FileFeatures {
        self.0.features().into()
    }
}

struct FileProxy(FileObject);

impl File for FileProxy {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        io_from_abi(self.0.read_at(RSliceMut::from(bytes), offset))
    }

    fn read_many(&self, reads: &mut [ReadRequest<'_>]) -> io::Result<()> {
        for some in reads.chunks_mut(READS_PER_CALL) {
            let mut parts = [const { AbiRead { offset: 0, start: ptr::null_mut(), len: 0 } }; READS_PER_CALL];
            for (part, read) in parts.iter_mut().zip(some.iter_mut()) {
                *part =
                    AbiRead { offset: read.offset, start: read.bytes.as_mut_ptr(), len: read.bytes.len() };
            }
            io_from_abi(self.0.read_many(RSlice::from(&parts[..some.len()])))?;
        }
        Ok(())
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        io_from_abi(self.0.write_at(AbiIoSlice::from_std(slices), offset, cause as u32))
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        io_from_abi(self.0.write_durable_at(AbiIoSlice::from_std(slices), offset, cause as u32))
    }

    fn start_durable(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<Ticket> {
        io_from_abi(self.0.start_durable(AbiIoSlice::from_std(slices), offset, cause as u32)).map(Ticket::new)
    }

    fn wait(&self, ticket: Ticket) -> io::Result<()> {
        io_from_abi(self.0.wait(ticket.number()))
    }

    fn write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        io_from_abi(self.0.write_back(offset, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        io_from_abi(self.0.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        io_from_abi(self.0.sync_all())
    }

    fn len(&self) -> io::Result<u64> {
        io_from_abi(self.0.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        io_from_abi(self.0.set_len(len))
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        io_from_abi(self.0.allocate(offset, len))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        io_from_abi(self.0.punch(offset, len))
    }

    fn alignment(&self) -> usize {
        self.0.alignment()
    }
}

/// The clock of the host.
pub(crate) struct ClockProxy(pub(crate) ClockObject);

impl Clock for ClockProxy {
    fn monotonic(&self) -> Duration {
        self.0.monotonic().into()
    }

    fn wall(&self) -> Duration {
        self.0.wall().into()
    }
}

/// The background lanes, run by the host.
pub(crate) struct LanesProxy(pub(crate) LanesObject);

impl Lanes for LanesProxy {
    fn wake(&self, lane: Lane) {
        self.0.wake(lane.0);
    }

    fn wait_for(&self, lane: Lane) {
        self.0.wait_for(lane.0);
    }
}
