//! An environment whose n-th call fails: wraps any directory, for tests of what engines do then.
//!
//! Promises: calls that write, sync or change names are counted over the directory and everything below it;
//! the n-th one fails as planned, and after it all or none of the later ones, as planned too. Reads never
//! fail here.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cause, Directory, DirectoryEntry, File, FileFeatures, OpenFile};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error; nothing was done.
    Error,
    /// An I/O error after half of the bytes were written. A call that writes nothing just fails.
    ShortWrite,
    /// No space; nothing was done. A call that needs no space succeeds.
    NoSpace,
}

/// Which call fails, and how.
#[derive(Debug)]
pub struct FaultPlan {
    fault: Fault,
    /// The number of the first call that fails, counted from 1.
    at: u64,
    /// Whether the later ones fail too.
    lasting: bool,
    calls: AtomicU64,
}

impl FaultPlan {
    /// The `at`-th call fails, and only that one. Call 0 never comes: nothing fails, and calls are counted.
    pub fn once(fault: Fault, at: u64) -> Arc<Self> {
        Arc::new(Self { fault, at, lasting: false, calls: AtomicU64::new(0) })
    }

    /// The `at`-th call fails, and all after it.
    pub fn from(fault: Fault, at: u64) -> Arc<Self> {
        Arc::new(Self { fault, at, lasting: true, calls: AtomicU64::new(0) })
    }

    /// How many calls were made that can fail.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Whether the planned call was made.
    pub fn reached(&self) -> bool {
        self.at != 0 && self.calls() >= self.at
    }

    /// Counts a call; the fault it meets, if any.
    fn meet(&self, needs_space: bool) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let hit = self.at != 0 && (call == self.at || self.lasting && call > self.at);
        (hit && (needs_space || self.fault != Fault::NoSpace)).then_some(self.fault)
    }

    /// Runs a call that writes no bytes, or its fault.
    fn run<T>(&self, needs_space: bool, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.meet(needs_space) {
            None => call(),
            Some(fault) => Err(fault.error()),
        }
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::NoSpace => io::Error::new(io::ErrorKind::StorageFull, "injected: no space left"),
            Self::Error | Self::ShortWrite => io::Error::other("injected: I/O error"),
        }
    }
}

/// A directory whose calls fail as planned.
pub struct FaultyDirectory {
    inner: Arc<dyn Directory>,
    plan: Arc<FaultPlan>,
}

impl FaultyDirectory {
    /// Wraps a directory; directories and files opened through it share the plan.
    pub fn new(inner: Arc<dyn Directory>, plan: Arc<FaultPlan>) -> Self {
        Self { inner, plan }
    }
}

impl Directory for FaultyDirectory {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        let open = || self.inner.open_file(name, how);
        let inner = if how.create_new { self.plan.run(true, open)? } else { open()? };
        Ok(Arc::new(FaultyFile { inner, plan: Arc::clone(&self.plan) }))
    }

    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(Self::new(self.inner.open_directory(name)?, Arc::clone(&self.plan))))
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.plan.run(true, || self.inner.create_directory(name))
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        self.inner.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.run(true, || self.inner.rename(from, to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.run(true, || self.inner.link(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.plan.run(false, || self.inner.remove(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.plan.run(true, || self.inner.sync())
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }

    fn features(&self) -> FileFeatures {
        self.inner.features()
    }
}

struct FaultyFile {
    inner: Arc<dyn File>,
    plan: Arc<FaultPlan>,
}

impl FaultyFile {
    fn write(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause, durable: bool) -> io::Result<()> {
        match self.plan.meet(true) {
            None if durable => self.inner.write_durable_at(slices, offset, cause),
            None => self.inner.write_at(slices, offset, cause),
            Some(Fault::ShortWrite) => {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                self.inner.write_at(&[IoSlice::new(&bytes[..bytes.len() / 2])], offset, cause)?;
                Err(Fault::ShortWrite.error())
            }
            Some(fault) => Err(fault.error()),
        }
    }
}

impl File for FaultyFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(bytes, offset)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.write(slices, offset, cause, false)
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.write(slices, offset, cause, true)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.plan.run(true, || self.inner.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.plan.run(true, || self.inner.sync_all())
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.plan.run(true, || self.inner.set_len(len))
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.plan.run(true, || self.inner.allocate(offset, len))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.plan.run(false, || self.inner.punch(offset, len))
    }

    fn alignment(&self) -> usize {
        self.inner.alignment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::real::{IoCounters, RealDirectory, read_whole};

    fn faulty(plan: &Arc<FaultPlan>) -> (tempfile::TempDir, FaultyDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let real = RealDirectory::open(folder.path(), Arc::new(IoCounters::default())).unwrap();
        (folder, FaultyDirectory::new(Arc::new(real), Arc::clone(plan)))
    }

    fn workload(directory: &FaultyDirectory) -> Vec<bool> {
        let Ok(file) = directory.open_file("f", OpenFile::CREATE_NEW) else { return vec![false] };
        let write = |bytes| file.write_at(&[IoSlice::new(bytes)], 0, Cause::Log).is_ok();
        vec![true, write(b"abcd"), file.sync_data().is_ok(), write(b"wxyz"), directory.remove("f").is_ok()]
    }

    #[test]
    fn exactly_the_planned_call_fails() {
        let plan = FaultPlan::once(Fault::Error, 3);
        let (_folder, directory) = faulty(&plan);
        assert_eq!(workload(&directory), [true, true, false, true, true]);
        assert!(plan.reached() && plan.calls() == 5);
    }

    #[test]
    fn a_lasting_lack_of_space_lets_removals_pass() {
        let plan = FaultPlan::from(Fault::NoSpace, 2);
        let (_folder, directory) = faulty(&plan);
        assert_eq!(workload(&directory), [true, false, false, false, true]);
    }

    #[test]
    fn a_short_write_leaves_half_of_the_bytes() {
        let plan = FaultPlan::once(Fault::ShortWrite, 2);
        let (_folder, directory) = faulty(&plan);
        let file = directory.open_file("f", OpenFile::CREATE_NEW).unwrap();
        assert!(file.write_at(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")], 0, Cause::Log).is_err());
        assert_eq!(read_whole(&directory, "f", 100).unwrap(), b"ab");
    }
}
