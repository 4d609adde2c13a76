//! Broken: the journal engine with one bug, chosen by an option, to see that the kit finds it and finds nothing else.
//!
//! Each bug is one that stores had, and costs one badge; the last three end or eat the process that they run in.

#![forbid(unsafe_code)]

#[path = "../../journal/src/log.rs"]
mod log;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapter_api::*;

use crate::log::Log;

const BUGS: [&str; 16] = [
    "none",
    "large-values-not-resident", // L0
    "close-keeps-1000-keys",     // L1
    "batch-in-pieces",           // L2
    "ok-before-sync",            // L3
    "views-of-now",              // L4
    "old-views-are-of-now",      // L4
    "views-never-end",           // L4
    "failed-sync-tried-again",   // L5
    "panics-without-space",      // L5
    "salvage-tells-nothing",     // L5
    "opens-a-socket",            // L6
    "opens-a-file",              // L6
    "aborts",
    "hangs",
    "eats-memory",
];

/// The engine.
pub struct Broken {
    map: VersionedMap,
    /// `None` if the directory was opened to salvage what it holds.
    log: Option<Mutex<Log>>,
    bug: String,
}

impl Broken {
    fn has(&self, bug: &str) -> bool {
        self.bug == bug
    }

    fn log(&self) -> Result<MutexGuard<'_, Log>> {
        let log = self.log.as_ref().ok_or_else(|| EngineError::rejected("it was opened for reading only"))?;
        Ok(log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does what no engine should do to its process.
    fn misbehave(&self) {
        match self.bug.as_str() {
            "aborts" => std::process::abort(),
            "hangs" => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            "eats-memory" => {
                let mut eaten = Vec::new();
                loop {
                    eaten.push(vec![1_u8; 64 << 20]);
                }
            }
            _ => {}
        }
    }

    fn make_durable(&self) -> Result<()> {
        let synced = self.log()?.make_durable();
        match synced {
            Err(_) if self.has("failed-sync-tried-again") => self.log()?.make_durable(),
            Err(error) if self.has("panics-without-space") => panic!("{error}"),
            done => done,
        }
    }

    /// Takes away all but the first 1,000 keys, as a fixed table of an orderly end would.
    fn forget(&self) -> Result<()> {
        let mut batch = BatchBuilder::new();
        self.map.view().cursor(KeyRange::all(), Direction::Forward).and_then(|mut cursor| {
            let mut kept = 0;
            while let Some(entry) = cursor.next()? {
                kept += 1;
                if kept > 1_000 {
                    batch.delete(entry.key)?;
                }
            }
            Ok(())
        })?;
        match batch.is_empty() {
            true => Ok(()),
            false => self.log()?.append(batch.as_batch()),
        }
    }
}

impl Plugin for Broken {
    fn describe() -> Description {
        let mut about = Description::new("broken", env!("CARGO_PKG_VERSION"), "has one bug, by choice");
        about.capabilities = Capabilities::READ_VIEW
            | Capabilities::RESIDENT
            | Capabilities::ESTIMATE
            | Capabilities::EXACT_COUNT
            | Capabilities::DURABLE
            | Capabilities::SALVAGE;
        // Not a choice of words: whoever tries all that are declared would meet every bug.
        about.options = vec![OptionSpec::text("bug", BUGS[0], "The bug that it has.")];
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        let bug = request.options.text("bug").to_string();
        match bug.as_str() {
            unknown if !BUGS.contains(&unknown) => {
                return Err(EngineError::rejected(format!("no bug is called {unknown:?}")));
            }
            "opens-a-socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
            "opens-a-file" => drop(std::fs::read("/proc/self/stat")),
            _ => {}
        }
        let map = match bug.as_str() {
            "old-views-are-of-now" => VersionedMap::with_view_limit(1 << 20),
            "views-never-end" => VersionedMap::with_view_limit(u64::MAX),
            _ => VersionedMap::new(),
        };
        let directory = request.environment.directory;
        let log = match request.salvage {
            None => Some(Mutex::new(Log::open(directory, &map)?)),
            Some(watch) => {
                let damage = log::recover(&*directory, &map).err().filter(|_| bug != "salvage-tells-nothing");
                damage.into_iter().for_each(|damage| watch.finding(damage));
                None
            }
        };
        Ok(Self { map, log, bug })
    }
}

impl StorageEngine for Broken {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        self.misbehave();
        let staged = self.map.stage(batch);
        if self.has("ok-before-sync") {
            // That of the batch before.
            self.make_durable()?;
        }
        if self.has("batch-in-pieces") {
            for mutation in batch {
                let mut piece = BatchBuilder::new();
                match mutation {
                    Mutation::Put { key, value } => piece.put(key, value)?,
                    Mutation::Delete { key } => piece.delete(key)?,
                    Mutation::DeleteRange(range) => piece.delete_range(range)?,
                }
                self.log()?.append(piece.as_batch())?;
                self.make_durable()?;
            }
        } else {
            self.log()?.append(batch)?;
        }
        if !self.has("ok-before-sync") {
            self.make_durable()?;
        }
        staged.publish();
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.map.get(key, value))
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        let start = value.len();
        let is_found = self.map.get(key, value);
        let is_large = value.len() - start > 4_096 && self.has("large-values-not-resident");
        Ok(if is_found && !is_large { Resident::Hit } else { Resident::Absent })
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        match self.bug.as_str() {
            "views-of-now" => Ok(Box::new(ViewOfNow(&self.map))),
            "old-views-are-of-now" => Ok(Box::new(ViewOfThenOrNow(self.map.view(), ViewOfNow(&self.map)))),
            _ => Ok(Box::new(self.map.view())),
        }
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        Ok(self.map.estimate(range))
    }

    fn close(&self) -> Result<()> {
        if self.log.is_none() {
            return Ok(());
        }
        if self.has("close-keeps-1000-keys") {
            self.forget()?;
        }
        self.log()?.close()
    }
}

/// A view whose reads are of the moment at which they are made.
struct ViewOfNow<'a>(&'a VersionedMap);

impl ReadView for ViewOfNow<'_> {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.0.get(key, value))
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.0.view().walk(range, direction)))
    }
}

/// A view that is of the moment at which it is read once it is too old.
struct ViewOfThenOrNow<'a>(versioned_map::View, ViewOfNow<'a>);

impl ReadView for ViewOfThenOrNow<'_> {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        self.0.get(key, value).or_else(|_| self.1.get(key, value))
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        match self.0.contains(b"k") {
            Ok(_) => self.0.cursor(range, direction),
            Err(_) => self.1.cursor(range, direction),
        }
    }
}

export_engine!(Broken);
