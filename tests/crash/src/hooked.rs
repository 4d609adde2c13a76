//! A directory that tells a hook what is about to be asked of it. The hook may wait, do something else meanwhile, or have
//! the call fail.
//!
//! Promises: what the hook lets pass reaches the directory within as it came. Called by tests that need something to
//! happen between two calls of an engine.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use adapter_api::environment::{
    Cause, Directory, DirectoryEntry, File, FileFeatures, OpenFile, ReadRequest, Ticket,
};

/// What is about to happen. A file has the name that it was opened under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call<'a> {
    /// A file is opened.
    Open(&'a str),
    /// A file was created: the only call that is told of afterwards.
    Created(&'a str),
    /// A file is removed.
    Remove(&'a str),
    /// The names of the directory are made durable.
    SyncNames,
    /// These bytes of a file are read.
    Read(&'a str, Range<u64>),
    /// These bytes of a file are written.
    Write(&'a str, Range<u64>),
    /// What was written to a file is made durable.
    Sync(&'a str),
}

/// What is called with each call, from the thread that makes it.
pub type Hook = dyn Fn(Call<'_>) -> io::Result<()> + Send + Sync;

/// A directory with a hook.
pub struct Hooked {
    inner: Arc<dyn Directory>,
    hook: Arc<Hook>,
}

impl Hooked {
    /// This directory and everything below it, with the hook.
    pub fn around(
        inner: Arc<dyn Directory>,
        hook: impl Fn(Call<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<dyn Directory> {
        Arc::new(Self { inner, hook: Arc::new(hook) })
    }
}

impl Directory for Hooked {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        (self.hook)(Call::Open(name))?;
        let inner = self.inner.open_file(name, how)?;
        if how.create_new {
            (self.hook)(Call::Created(name))?;
        }
        Ok(Arc::new(HookedFile { inner, name: name.into(), hook: Arc::clone(&self.hook) }))
    }

    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(Self { inner: self.inner.open_directory(name)?, hook: Arc::clone(&self.hook) }))
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.inner.create_directory(name)
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        self.inner.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.link(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (self.hook)(Call::Remove(name))?;
        self.inner.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        (self.hook)(Call::SyncNames)?;
        self.inner.sync()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }

    fn features(&self) -> FileFeatures {
        self.inner.features()
    }
}

struct HookedFile {
    inner: Arc<dyn File>,
    name: Box<str>,
    hook: Arc<Hook>,
}

impl HookedFile {
    fn reads(&self, bytes: usize, offset: u64) -> io::Result<()> {
        (self.hook)(Call::Read(&self.name, offset..offset + bytes as u64))
    }

    fn writes(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        (self.hook)(Call::Write(&self.name, offset..offset + bytes))
    }

    fn syncs(&self) -> io::Result<()> {
        (self.hook)(Call::Sync(&self.name))
    }
}

impl File for HookedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads(bytes.len(), offset)?;
        self.inner.read_at(bytes, offset)
    }

    fn read_many(&self, reads: &mut [ReadRequest<'_>]) -> io::Result<()> {
        reads.iter().try_for_each(|read| self.reads(read.bytes.len(), read.offset))?;
        self.inner.read_many(reads)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.writes(slices, offset)?;
        self.inner.write_at(slices, offset, cause)
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.writes(slices, offset)?;
        self.syncs()?;
        self.inner.write_durable_at(slices, offset, cause)
    }

    fn start_durable(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<Ticket> {
        self.writes(slices, offset)?;
        self.inner.start_durable(slices, offset, cause)
    }

    fn wait(&self, ticket: Ticket) -> io::Result<()> {
        self.syncs()?;
        self.inner.wait(ticket)
    }

    fn write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.write_back(offset, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs()?;
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.syncs()?;
        self.inner.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.allocate(offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.punch(offset, len)
    }

    fn alignment(&self) -> usize {
        self.inner.alignment()
    }
}
