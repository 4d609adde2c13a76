//! What commands work with besides the request: the parts of the server below them, and facts about it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::cursors::Cursors;
use super::table::TABLE;
use crate::config::LiveSettings;
use crate::observe::{Calls, Observe};
use crate::sequencer::Sequencer;
use crate::storage::{ReaderPool, Storage};

/// The parts of the server that commands use. One for the whole server.
pub struct Context {
    /// The open engine.
    pub storage: Arc<Storage>,
    /// The owner of all writes.
    pub sequencer: Arc<Sequencer>,
    /// The threads on which reads may wait.
    pub readers: Arc<ReaderPool>,
    /// Counters and the list of clients.
    pub observe: Arc<Observe>,
    /// Facts for INFO and CONFIG GET, and limits.
    pub settings: Arc<ServerFacts>,
    /// How a command ends the server.
    pub shutdown: ShutdownHandle,
    /// Finds the plugins there are, for ENGINE LIST. May block: it is called on a reader thread.
    pub engines: Arc<dyn Fn() -> Vec<EngineSummary> + Send + Sync>,
    pub(super) cursors: Cursors,
    /// What is counted of each command, in the order of the table.
    pub(super) calls: Box<[Calls]>,
}

impl Context {
    /// Puts the parts together; ENGINE LIST shows what `engines` returns.
    pub fn new(
        storage: Arc<Storage>,
        sequencer: Arc<Sequencer>,
        observe: Arc<Observe>,
        settings: Arc<ServerFacts>,
        shutdown: ShutdownHandle,
        engines: Arc<dyn Fn() -> Vec<EngineSummary> + Send + Sync>,
    ) -> Self {
        let readers = Arc::clone(storage.readers());
        Self {
            storage,
            sequencer,
            readers,
            observe,
            settings,
            shutdown,
            engines,
            cursors: Cursors::default(),
            calls: TABLE.iter().map(|_| Calls::default()).collect(),
        }
    }
}

/// Facts about the server that clients may ask for, and the limits that commands check.
#[derive(Debug)]
pub struct ServerFacts {
    /// Every setting with its value as text, for CONFIG GET.
    pub settings: Vec<(String, String)>,
    /// The TCP port it listens on; 0 if on none.
    pub tcp_port: u16,
    /// The config file; empty if there is none.
    pub config_file: PathBuf,
    /// The data directory.
    pub data_directory: PathBuf,
    /// The longest value that a client may store, in bytes.
    pub value_bytes_max: usize,
    /// How many clients the open files of the process allow at once.
    pub clients_possible: usize,
    /// Whether DEBUG is allowed.
    pub debug_commands: bool,
    /// The settings that change while the server runs.
    pub live: LiveSettings,
}

impl Default for ServerFacts {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            tcp_port: 0,
            config_file: PathBuf::new(),
            data_directory: PathBuf::new(),
            value_bytes_max: 64 << 20,
            clients_possible: usize::MAX,
            debug_commands: false,
            live: LiveSettings::default(),
        }
    }
}

/// One plugin that the server could serve with, for ENGINE LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSummary {
    /// Its name, from its description; from the file's name if it cannot be loaded.
    pub name: String,
    /// Its version; empty if it cannot be loaded.
    pub version: String,
    /// The file.
    pub path: PathBuf,
    /// What it is good for, or why it cannot be loaded.
    pub summary: String,
}

/// How the server is told to end. Clones tell the same server.
#[derive(Clone, Default)]
pub struct ShutdownHandle {
    inner: Arc<ShutdownState>,
}

#[derive(Default)]
struct ShutdownState {
    requested: AtomicBool,
    listeners: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl ShutdownHandle {
    /// A handle that nobody has used or listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the server to end: drain, close the engine, exit. Returns at once; asking again changes nothing.
    pub fn request(&self) {
        if !self.inner.requested.swap(true, Ordering::SeqCst) {
            for listener in self.listeners().iter() {
                listener();
            }
        }
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.inner.requested.load(Ordering::SeqCst)
    }

    /// Calls `listener` when the end is asked for, at once if it was already. It must not block, nor use the
    /// handle.
    pub fn on_request(&self, listener: impl Fn() + Send + Sync + 'static) {
        let mut listeners = self.listeners();
        if self.is_requested() {
            listener();
        }
        listeners.push(Box::new(listener));
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Fn() + Send + Sync>>> {
        self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
