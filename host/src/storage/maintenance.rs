//! Long work of the engine itself: copies, checks, giving space back; done at once for the tools, or beside a
//! running server.
//!
//! Promises, beside a server: it runs on a thread of its own, one at a time, so nobody waits for it; how far it is
//! and how the last one ended can be asked at any time; it ends soon when the store is closed.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use adapter_api::host::StorageAdapter;
use adapter_api::{Capabilities, EngineError, KeyRange, StorageEngine, Watch};

use super::Storage;
use super::backup::{Backup, BackupError};

/// What is to be done beside a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A backup of that name.
    Backup(String),
    /// A check of everything there is.
    Verify,
    /// Give the space of deleted and overwritten entries back.
    Compact,
}

impl Work {
    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Self::Backup(name) => format!("backup {name}"),
            Self::Verify => "verify".to_string(),
            Self::Compact => "compact".to_string(),
        }
    }

    fn capability(&self) -> Capabilities {
        match self {
            Self::Backup(_) => Capabilities::BACKUP,
            Self::Verify => Capabilities::VERIFY,
            Self::Compact => Capabilities::COMPACT,
        }
    }
}

/// Why work is not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkRefusal {
    /// The engine lacks the primitive of that name.
    Unsupported(&'static str),
    /// Other work is going on, which is called this.
    Busy(String),
    /// No folder for backups is configured.
    NoFolder,
    /// That is no name of a backup.
    BadName,
    /// There is a backup of that name.
    Exists,
    /// There is no thread to be had.
    NoThread(String),
    /// The store is being closed.
    Closing,
}

/// How far the work is that runs beside the server, and how the last one ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkStatus {
    /// What is going on; `None` if nothing is.
    pub running: Option<String>,
    /// How much of it is done, in units of the engine's own.
    pub done: u64,
    /// About how many units there are.
    pub total: u64,
    /// What ended last and how, in a sentence; empty if nothing has.
    pub last: String,
}

/// The longest name of a backup.
const NAME_BYTES_MAX: usize = 64;

/// The work beside one store.
#[derive(Default)]
pub(super) struct Maintenance {
    /// Where backups go; `None` if clients may make none.
    backup_folder: Option<PathBuf>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    status: Mutex<WorkStatus>,
    done: AtomicU64,
    total: AtomicU64,
    findings: AtomicU64,
    stopping: AtomicBool,
}

impl Storage {
    /// Has the engine write a copy of everything into a folder, which is created, or empty. Durable when this
    /// returns. What an unsuccessful try has made is removed.
    ///
    /// # Errors
    /// Why there is no backup.
    pub fn backup(&self, folder: &Path, watch: &dyn Watch) -> Result<Backup, BackupError> {
        Backup::write(&self.engine, folder, watch)
    }

    /// Reads everything there is and tells `watch` of each damage.
    ///
    /// # Errors
    /// What the engine says; `Unsupported` if it makes no checks, `Rejected` if whoever watches ended it.
    pub fn verify(&self, watch: &dyn Watch) -> Result<(), EngineError> {
        self.engine.verify(watch)
    }

    /// The same, with a folder below which clients may make backups.
    #[must_use]
    pub fn with_backup_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.maintenance.backup_folder = folder;
        self
    }

    /// Begins work beside everything. Returns at once; `work_status` says how it goes.
    ///
    /// # Errors
    /// Why it is not begun.
    pub fn begin_work(&self, work: Work) -> Result<(), WorkRefusal> {
        self.maintenance.begin(&self.engine, work)
    }

    /// How far the work is that runs beside everything, and how the last one ended.
    pub fn work_status(&self) -> WorkStatus {
        self.maintenance.status()
    }
}

impl Maintenance {
    fn begin(&self, engine: &StorageAdapter, work: Work) -> Result<(), WorkRefusal> {
        let capability = work.capability();
        if !engine.description().capabilities.has(capability) {
            return Err(WorkRefusal::Unsupported(capability.names().next().unwrap_or_default()));
        }
        let folder = self.folder_of(&work)?;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.claim(&work)?;
        if let Some(ended) = thread.take() {
            // It has said how it ended; only its thread may still be going.
            let _ = ended.join();
        }
        let (engine, shared) = (engine.clone(), Arc::clone(&self.shared));
        let run = move || shared.run(&engine, &work, &folder);
        match thread::Builder::new().name("maintenance".to_string()).spawn(run) {
            Ok(started) => *thread = Some(started),
            Err(error) => {
                self.shared.status().running = None;
                return Err(WorkRefusal::NoThread(error.to_string()));
            }
        }
        Ok(())
    }

    /// Where the work puts what it makes; empty if it makes nothing.
    fn folder_of(&self, work: &Work) -> Result<PathBuf, WorkRefusal> {
        let Work::Backup(name) = work else { return Ok(PathBuf::new()) };
        let folder = self.backup_folder.as_ref().ok_or(WorkRefusal::NoFolder)?;
        // A plain name stays below the folder, whatever a client sends.
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_plain = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter);
        match folder.join(name) {
            _ if !is_plain || name.starts_with('.') => Err(WorkRefusal::BadName),
            // Whoever makes one meanwhile is found out by the backup itself.
            path if path.exists() => Err(WorkRefusal::Exists),
            path => Ok(path),
        }
    }

    fn status(&self) -> WorkStatus {
        let mut status = self.shared.status().clone();
        if status.running.is_some() {
            status.done = self.shared.done.load(Ordering::Relaxed);
            status.total = self.shared.total.load(Ordering::Relaxed);
        }
        status
    }

    /// Has the work end soon, waits for it, and lets no other begin.
    pub(super) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Panics of the engine are caught at the border.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, WorkStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, work: &Work) -> Result<(), WorkRefusal> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(WorkRefusal::Closing);
        }
        let mut status = self.status();
        if let Some(running) = &status.running {
            return Err(WorkRefusal::Busy(running.clone()));
        }
        status.running = Some(work.name());
        for number in [&self.done, &self.total, &self.findings] {
            number.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    fn run(&self, engine: &StorageAdapter, work: &Work, folder: &Path) {
        let started = Instant::now();
        let outcome = match work {
            Work::Backup(_) => Backup::write(engine, folder, self)
                .map(|backup| format!("{} files with {} bytes", backup.files(), backup.bytes()))
                .map_err(|error| error.to_string()),
            Work::Verify => match engine.verify(self) {
                Err(error) => Err(error.to_string()),
                Ok(()) => match self.findings.load(Ordering::Relaxed) {
                    0 => Ok("nothing is damaged".to_string()),
                    findings => Err(format!("damaged in {findings} places, which the log names")),
                },
            },
            Work::Compact => engine
                .compact(KeyRange::all(), self)
                .map(|()| "what was not in use was given back".to_string())
                .map_err(|error| error.to_string()),
        };
        let (name, took) = (work.name(), started.elapsed().as_millis());
        let last = match outcome {
            Ok(what) => {
                log::info!("{name}: {what}, in {took} ms");
                format!("{name}: ok, {what}, in {took} ms")
            }
            Err(why) => {
                log::error!("{name} failed after {took} ms: {why}");
                format!("{name}: failed after {took} ms: {why}")
            }
        };
        let mut status = self.status();
        status.running = None;
        status.last = last;
    }
}

impl Watch for Shared {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        match self.stopping.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn finding(&self, finding: EngineError) {
        self.findings.fetch_add(1, Ordering::Relaxed);
        log::error!("{finding}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use adapter_api::{Batch, Buffer, Description};

    use super::*;

    /// An engine whose check reports 3 of 10, tells so, and then waits for the end or to be let go.
    struct Slow {
        begun: Mutex<Sender<()>>,
        go_on: Mutex<Receiver<()>>,
    }

    impl StorageEngine for Slow {
        fn apply(&self, _: Batch<'_>) -> Result<(), EngineError> {
            Ok(())
        }
        fn get(&self, _: &[u8], _: &mut Buffer) -> Result<bool, EngineError> {
            Ok(false)
        }
        fn verify(&self, watch: &dyn Watch) -> Result<(), EngineError> {
            let _ = watch.progress(3, 10);
            let _ = self.begun.lock().unwrap().send(());
            let go_on = self.go_on.lock().unwrap();
            loop {
                if go_on.try_recv().is_ok() {
                    return Ok(());
                }
                if watch.progress(3, 10).is_break() {
                    return Err(EngineError::rejected("ended by the watch"));
                }
                thread::yield_now();
            }
        }
    }

    fn slow() -> (StorageAdapter, Receiver<()>, Sender<()>) {
        let (begun, hears) = channel();
        let (lets, go_on) = channel();
        let mut about = Description::new("slow", "1", "");
        about.capabilities = Capabilities::VERIFY | Capabilities::BACKUP;
        let engine = Slow { begun: Mutex::new(begun), go_on: Mutex::new(go_on) };
        (StorageAdapter::around(engine, about), hears, lets)
    }

    fn wait_for_end(maintenance: &Maintenance) -> String {
        while maintenance.status().running.is_some() {
            thread::yield_now();
        }
        maintenance.status().last
    }

    #[test]
    fn one_work_runs_at_a_time_and_says_how_it_goes_and_ended() {
        let (engine, begun, go_on) = slow();
        let maintenance = Maintenance::default();
        assert_eq!(maintenance.status(), WorkStatus::default());
        for _ in 0..2 {
            maintenance.begin(&engine, Work::Verify).unwrap();
            begun.recv().unwrap();
            let busy = maintenance.begin(&engine, Work::Verify);
            assert_eq!(busy, Err(WorkRefusal::Busy("verify".to_string())));
            let status = maintenance.status();
            assert_eq!((status.running.as_deref(), status.done, status.total), (Some("verify"), 3, 10));
            go_on.send(()).unwrap();
            let last = wait_for_end(&maintenance);
            assert!(last.starts_with("verify: ok, nothing is damaged"), "{last}");
        }
    }

    #[test]
    fn closing_ends_the_work_and_lets_no_other_begin() {
        let (engine, begun, _go_on) = slow();
        let maintenance = Maintenance::default();
        maintenance.begin(&engine, Work::Verify).unwrap();
        begun.recv().unwrap();
        maintenance.stop();
        let status = maintenance.status();
        assert!(status.running.is_none() && status.last.contains("ended by the watch"), "{status:?}");
        assert_eq!(maintenance.begin(&engine, Work::Verify), Err(WorkRefusal::Closing));
    }

    #[test]
    fn a_client_chooses_a_plain_name_below_the_folder_and_nothing_else() {
        let (engine, ..) = slow();
        let begin = |maintenance: &Maintenance, name: &str| {
            maintenance.begin(&engine, Work::Backup(name.to_string()))
        };
        assert_eq!(begin(&Maintenance::default(), "nightly"), Err(WorkRefusal::NoFolder));
        let folder = tempfile::tempdir().unwrap();
        let backups = folder.path().join("backups");
        std::fs::create_dir_all(backups.join("there")).unwrap();
        let maintenance = Maintenance { backup_folder: Some(backups.clone()), ..Maintenance::default() };
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", "../out", "a/b", "/out", ".hidden", "a b", "a\n", "\u{e9}", &long] {
            assert_eq!(begin(&maintenance, name), Err(WorkRefusal::BadName), "{name:?}");
        }
        assert_eq!(begin(&maintenance, "there"), Err(WorkRefusal::Exists));
        assert_eq!(maintenance.begin(&engine, Work::Compact), Err(WorkRefusal::Unsupported("compact")));
        // This engine says that it makes backups and does not: what was begun is removed.
        begin(&maintenance, "nightly-1.0_x").unwrap();
        let last = wait_for_end(&maintenance);
        assert!(last.starts_with("backup nightly-1.0_x: failed"), "{last}");
        assert_eq!(std::fs::read_dir(&backups).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
