//! An open file on the simulated disk. It is its inode's: removing or renaming the name changes nothing.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use adapter_api::environment::{Cause, File, OpenFile, Ticket};

use super::disk::{Disk, Inner, Target};
use crate::image::mix_bytes;
use crate::state::{Change, Standing};

/// What positions and lengths of direct I/O are a multiple of, as in the real environment.
const DIRECT_ALIGNMENT: usize = 4096;

pub(super) struct SimulatedFile {
    disk: Disk,
    number: usize,
    /// As it was called when it was opened, for the recording.
    name: Arc<str>,
    how: OpenFile,
}

impl SimulatedFile {
    pub(super) fn new(disk: Disk, number: usize, name: &str, how: OpenFile) -> Self {
        Self { disk, number, name: name.into(), how }
    }

    /// Does a change that is not durable yet.
    fn change(&self, inner: &mut Inner, what: &str, change: Change, standing: Standing) -> io::Result<()> {
        if !self.how.write && !self.how.create_new {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "the file was opened for reading"));
        }
        inner.begin_change(|| {
            let digest = if let Change::Write { bytes, .. } = &change { mix_bytes(0, bytes) } else { 0 };
            format!("{}: {what} {change}, digest {digest:016x}", self.name)
        })?;
        if let Change::Write { .. } | Change::Extend(_) = &change {
            inner.find_room(self.number, change.len_after(0))?;
        }
        inner.file(self.number).change(change, standing);
        inner.moment();
        Ok(())
    }

    fn write(
        &self,
        inner: &mut Inner,
        slices: &[IoSlice<'_>],
        offset: u64,
        what: &str,
        standing: Standing,
    ) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let offset = self.position(offset)?;
        self.aligned(offset, bytes.len())?;
        self.change(inner, what, Change::Write { offset, bytes: bytes.into() }, standing)
    }

    fn position(&self, offset: u64) -> io::Result<usize> {
        // A simulated file has a few megabytes at most: what is asked beyond is a mistake of the engine.
        match usize::try_from(offset) {
            Ok(offset) if offset < 1 << 32 => Ok(offset),
            _ => Err(io::Error::new(ErrorKind::FileTooLarge, format!("byte {offset} is too far"))),
        }
    }

    fn aligned(&self, offset: usize, len: usize) -> io::Result<()> {
        let alignment = self.alignment();
        match offset.is_multiple_of(alignment) && len.is_multiple_of(alignment) {
            true => Ok(()),
            false => {
                let message = format!("direct I/O of {len} bytes at {offset} is not aligned to {alignment}");
                Err(io::Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }

    fn sync(&self, what: &str) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.begin_change(|| format!("{}: {what}", self.name))?;
        inner.sync(Target::File(self.number))
    }
}

impl File for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = self.position(offset)?;
        self.aligned(offset, bytes.len())?;
        let mut inner = self.disk.inner();
        let read = inner.state.files[self.number].current.read(offset, bytes);
        inner.note(|| format!("{}: read {read} bytes at {offset}", self.name));
        Ok(read)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.write(&mut self.disk.inner(), slices, offset, cause.name(), Standing::Dirty)
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        let ticket = self.start_durable(slices, offset, cause)?;
        self.wait(ticket)
    }

    fn start_durable(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<Ticket> {
        let mut inner = self.disk.inner();
        let number = inner.next_ticket();
        let what = format!("durable {}", cause.name());
        self.write(&mut inner, slices, offset, &what, Standing::Started(number))?;
        Ok(Ticket::new(number))
    }

    fn wait(&self, ticket: Ticket) -> io::Result<()> {
        self.disk.inner().sync(Target::Write(self.number, ticket.number()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync("sync the data")
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync("sync all")
    }

    fn len(&self) -> io::Result<u64> {
        let mut inner = self.disk.inner();
        inner.note(|| format!("{}: length", self.name));
        Ok(inner.state.files[self.number].current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let change = Change::SetLen(self.position(len)?);
        self.change(&mut self.disk.inner(), "set", change, Standing::Dirty)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        if !self.disk.inner().features.allocate {
            return Err(ErrorKind::Unsupported.into());
        }
        let change = Change::Extend(self.position(offset.saturating_add(len))?);
        self.change(&mut self.disk.inner(), "allocate", change, Standing::Dirty)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        if !self.disk.inner().features.punch {
            return Err(ErrorKind::Unsupported.into());
        }
        let (offset, len) = (self.position(offset)?, self.position(len)?);
        self.change(&mut self.disk.inner(), "punch", Change::Punch { offset, len }, Standing::Dirty)
    }

    fn alignment(&self) -> usize {
        if self.how.direct { DIRECT_ALIGNMENT } else { 1 }
    }
}
