//! The directory of the engine, which remembers how often its names could not be made durable.
//!
//! The system tells of a failed sync of a directory once: a second sync answers Ok although the first lost names that
//! both should have covered. So whoever creates files, and makes their names durable later, has to know whether anybody's
//! sync failed in between; then he begins anew, with other names. Called by all parts of the engine, the log among them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Directory, DirectoryEntry, File, FileFeatures, OpenFile};
use wal::lock;

/// A directory whose failed syncs are counted.
pub(crate) struct Names {
    directory: Arc<dyn Directory>,
    failed: Arc<AtomicU64>,
    /// Held by who syncs: a sync that failed is counted before a later one can answer Ok.
    syncing: Mutex<()>,
}

/// How many syncs of the directory failed.
#[derive(Clone)]
pub(crate) struct FailedSyncs(Arc<AtomicU64>);

impl FailedSyncs {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Names {
    /// The same directory, and what counts its failed syncs.
    pub(crate) fn around(directory: Arc<dyn Directory>) -> (Arc<dyn Directory>, FailedSyncs) {
        let failed = Arc::<AtomicU64>::default();
        let names = Self { directory, failed: Arc::clone(&failed), syncing: Mutex::default() };
        (Arc::new(names), FailedSyncs(failed))
    }
}

impl Directory for Names {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        self.directory.open_file(name, how)
    }

    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        self.directory.open_directory(name)
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.directory.create_directory(name)
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        self.directory.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.link(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        let _one = lock(&self.syncing);
        self.directory.sync().inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::SeqCst);
        })
    }

    fn free_space(&self) -> io::Result<u64> {
        self.directory.free_space()
    }

    fn features(&self) -> FileFeatures {
        self.directory.features()
    }
}
