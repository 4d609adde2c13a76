//! A directory whose syncs wait at a gate: what an engine shows while its disk works can be looked at then.

use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adapter_api::environment::{
    Cause, Directory, DirectoryEntry, File, FileFeatures, OpenFile, ReadRequest, Ticket,
};

/// How often somebody who waits looks around.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Default)]
struct State {
    is_closed: bool,
    waiting: usize,
}

/// The gate. Open at first.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on whoever syncs waits.
    pub fn close(&self) {
        self.state().is_closed = true;
    }

    /// Lets everybody through.
    pub fn open(&self) {
        self.state().is_closed = false;
        self.changed.notify_all();
    }

    /// Whether somebody waits.
    pub fn has_somebody(&self) -> bool {
        self.state().waiting > 0
    }

    /// Waits until somebody waits at the gate, or nobody will.
    pub fn wait_for_somebody(&self, will_not: impl Fn() -> bool) {
        while !self.has_somebody() && !will_not() {
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until something is so; answers `false` if it is not for as long as the patience lasts.
    pub fn wait_until(&self, patience: Duration, is_so: impl Fn() -> bool) -> bool {
        let end = Instant::now() + patience;
        while !is_so() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn pass(&self) {
        let mut state = self.state();
        state.waiting += 1;
        while state.is_closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }
}

/// A directory behind a gate.
pub struct GatedDirectory {
    inner: Arc<dyn Directory>,
    gate: Arc<Gate>,
}

impl GatedDirectory {
    /// This directory and everything below it, behind the gate.
    pub fn new(inner: Arc<dyn Directory>, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

impl Directory for GatedDirectory {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open_file(name, how)?;
        Ok(Arc::new(GatedFile { inner, gate: Arc::clone(&self.gate) }))
    }

    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(Self::new(self.inner.open_directory(name)?, Arc::clone(&self.gate))))
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
        self.inner.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }

    fn features(&self) -> FileFeatures {
        self.inner.features()
    }
}

struct GatedFile {
    inner: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl File for GatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(bytes, offset)
    }

    fn read_many(&self, reads: &mut [ReadRequest<'_>]) -> io::Result<()> {
        self.inner.read_many(reads)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.inner.write_at(slices, offset, cause)
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.gate.pass();
        self.inner.write_durable_at(slices, offset, cause)
    }

    fn start_durable(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<Ticket> {
        self.inner.start_durable(slices, offset, cause)
    }

    fn wait(&self, ticket: Ticket) -> io::Result<()> {
        self.gate.pass();
        self.inner.wait(ticket)
    }

    fn write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.write_back(offset, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.gate.pass();
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
