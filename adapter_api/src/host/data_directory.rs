//! A data directory, claimed: locked against other processes, marked with its engine.
//!
//! ```text
//! DIR/LOCK       locked by the process that serves the directory; holds its number
//! DIR/MARKER     which engine wrote the data, in which format (`marker.rs`)
//! DIR/data/      the engine's own directory; data-1 and so on once data was moved (`incoming.rs`)
//! ```
//!
//! Promises: two processes never open one directory; an engine never sees another engine's files, nor those
//! of a newer format; a directory that is not ours is left as it was. Every name on the way to the engine's files is
//! durable once the directory is claimed, also one that a start created which was killed.

use std::error::Error;
use std::fmt;
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::marker::{MARKER, MARKER_NEW, Marker, MarkerError, data_name, generation_of};
use crate::describe::Description;
use crate::environment::real::{IoCounters, RealDirectory};
use crate::environment::{Directory, DirectoryEntry};

const LOCK: &str = "LOCK";
/// What a first start that was cut off leaves behind.
pub(super) const LEFT_BY_A_START: [&str; 2] = [LOCK, MARKER_NEW];

/// A data directory that belongs to this process and to one engine for as long as this value lives.
pub struct DataDirectory {
    pub(super) top: RealDirectory,
    pub(super) generation: u32,
    directory: Arc<dyn Directory>,
    counters: Arc<IoCounters>,
    /// Locked until it is closed.
    _lock: File,
}

/// Why a data directory cannot be used. `Display` is one line: what, which directory, what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClaimError {
    /// The operating system refused something.
    Unusable {
        /// The data directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The directory holds files that are not Enginebay's.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the files.
        found: String,
    },
    /// Another process serves the directory.
    Locked {
        /// The data directory.
        path: PathBuf,
        /// What the other process wrote into the lock file.
        holder: String,
    },
    /// There is no data directory.
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Data was to come into the directory, and it holds data already.
    Used {
        /// The data directory.
        path: PathBuf,
        /// The engine that wrote it.
        engine: String,
    },
    /// Data is coming into the directory, or was and did not arrive.
    Unfinished {
        /// The data directory.
        path: PathBuf,
    },
    /// Another engine wrote the data.
    OtherEngine {
        /// The data directory.
        path: PathBuf,
        /// The engine that wrote it.
        found: String,
        /// The engine that was asked for.
        wanted: String,
    },
    /// A newer version of the engine wrote the data.
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// The engine.
        engine: String,
        /// The version of the format found.
        found: u32,
        /// The newest version that the engine knows.
        known: u32,
    },
    /// The marker is damaged.
    DamagedMarker {
        /// The marker's path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable { path, doing, source } => {
                write!(f, "data directory {} cannot be used: {doing}: {source}", path.display())
            }
            Self::Foreign { path, found } => write!(
                f,
                "{} is not a data directory and is not empty (it holds {found:?}); choose another one with --dir",
                path.display()
            ),
            Self::Locked { path, holder } => write!(
                f,
                "data directory {} is in use by another process ({holder}); stop it or choose another one with --dir",
                path.display()
            ),
            Self::Absent { path } => write!(
                f,
                "{} is no data directory: it has no {MARKER}; name the directory that a server used",
                path.display()
            ),
            Self::Used { path, engine } => write!(
                f,
                "data directory {} holds data of engine {engine} already; choose a new one with --dir",
                path.display()
            ),
            Self::Unfinished { path } => write!(
                f,
                "data directory {} is being filled, or that was cut off; wait for it, run the command again, or remove \
                 the directory",
                path.display()
            ),
            Self::OtherEngine { path, found, wanted } => write!(
                f,
                "data directory {0} holds data of engine {found}, not {wanted}; start with --engine {found}, choose \
                 another directory with --dir, or move the data: enginebay migrate {0} --to {wanted}",
                path.display()
            ),
            Self::NewerFormat { path, engine, found, known } => write!(
                f,
                "data directory {} was written by a newer {engine} (format {found}, this one knows {known}); use the \
                 newer plugin",
                path.display()
            ),
            Self::DamagedMarker { path, reason } => write!(
                f,
                "{} is damaged: {reason}; restore it from a backup, the data beside it is untouched",
                path.display()
            ),
        }
    }
}

impl Error for ClaimError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unusable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl DataDirectory {
    /// Claims the directory at `path` for an engine, creating it if it is not there. Where an engine left
    /// nothing behind, as one in memory does, another may follow it.
    pub fn claim(path: &Path, engine: &Description) -> Result<Self, ClaimError> {
        let unusable = |doing| move |source| ClaimError::Unusable { path: path.to_path_buf(), doing, source };
        let counters = Arc::new(IoCounters::default());
        create(path, &counters).map_err(unusable("creating it"))?;
        let top = RealDirectory::open(path, Arc::clone(&counters)).map_err(unusable("opening it"))?;
        refuse_foreign(&top)?;
        let lock = lock(path)?;
        let generation = claim_for(&top, engine)?;
        let name = data_name(generation);
        // Later generations are named by the marker only when they are there.
        if generation == 0 && !has(&top, &name).map_err(unusable("listing it"))? {
            top.create_directory(&name).map_err(unusable("creating the engine's directory"))?;
        }
        // Also where it was there: whoever created it may have been killed before this.
        top.sync().map_err(unusable("making the engine's directory durable"))?;
        let directory = top.open_directory(&name).map_err(unusable("opening the engine's directory"))?;
        Ok(Self { top, generation, directory, counters, _lock: lock })
    }

    /// Claims an existing directory for an engine that only reads it: locked against servers, and nothing in it
    /// is created or changed. A damaged marker is passed over, for whoever calls this has named the engine.
    pub fn claim_for_reading(path: &Path, engine: &Description) -> Result<Self, ClaimError> {
        let unusable = |doing| move |source| ClaimError::Unusable { path: path.to_path_buf(), doing, source };
        let counters = Arc::new(IoCounters::default());
        let top = RealDirectory::open(path, Arc::clone(&counters)).map_err(unusable("opening it"))?;
        let lock = lock_for_reading(path)?;
        let generation = match read_marker(&top) {
            Ok(found) if found.engine != engine.name => {
                let wanted = engine.name.clone();
                return Err(ClaimError::OtherEngine {
                    path: path.to_path_buf(),
                    found: found.engine,
                    wanted,
                });
            }
            Ok(found) => {
                refuse_newer(&found, engine, path)?;
                found.generation
            }
            Err(damage @ ClaimError::DamagedMarker { .. }) => {
                // Which of several the marker named, nobody knows any more.
                let [only] = generations(&top)?[..] else { return Err(damage) };
                only
            }
            Err(error) => return Err(error),
        };
        let name = data_name(generation);
        let directory = top.open_directory(&name).map_err(unusable("opening the engine's directory"))?;
        Ok(Self { top, generation, directory, counters, _lock: lock })
    }

    /// The name of the engine that wrote the data in `path`. Locks and changes nothing.
    pub fn engine_of(path: &Path) -> Result<String, ClaimError> {
        match RealDirectory::open(path, Arc::default()) {
            Ok(top) => read_marker(&top).map(|marker| marker.engine),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                Err(ClaimError::Absent { path: path.to_path_buf() })
            }
            Err(source) => {
                Err(ClaimError::Unusable { path: path.to_path_buf(), doing: "opening it", source })
            }
        }
    }

    /// The engine's own directory.
    pub fn directory(&self) -> Arc<dyn Directory> {
        Arc::clone(&self.directory)
    }

    /// What is done to files below the data directory.
    pub fn counters(&self) -> Arc<IoCounters> {
        Arc::clone(&self.counters)
    }
}

/// Creates the directory, closed to other users, if it is not there, and makes its name durable. Those above it are
/// created first, each durable before the next: whatever a start that was killed left, its last name alone may be
/// on no disk yet, and is made durable by the next one.
pub(super) fn create(path: &Path, counters: &Arc<IoCounters>) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync = || RealDirectory::open(parent, Arc::clone(counters))?.sync();
    if path.is_dir() {
        return match sync() {
            // What lies in a directory that may not be listed was made by its owner, and not just now.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            outcome => outcome,
        };
    }
    create(parent, counters)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => Err(error),
        _ => sync(),
    }
}

/// Refuses a directory that has no marker but files that a first start does not leave behind.
pub(super) fn refuse_foreign(top: &RealDirectory) -> Result<(), ClaimError> {
    let names = top.list().map_err(|source| ClaimError::Unusable {
        path: top.path().to_path_buf(),
        doing: "listing it",
        source,
    })?;
    if names.iter().any(|entry| entry.name == MARKER) {
        return Ok(());
    }
    let path = top.path().to_path_buf();
    match names.iter().find(|entry| !LEFT_BY_A_START.contains(&entry.name.as_str())) {
        None => Ok(()),
        Some(entry) if is_arrival(&names, &entry.name) => Err(ClaimError::Unfinished { path }),
        Some(entry) => Err(ClaimError::Foreign { path, found: entry.name.clone() }),
    }
}

/// Whether a name beside a lock and without a marker is that of data that did not arrive.
pub(super) fn is_arrival(names: &[DirectoryEntry], name: &str) -> bool {
    generation_of(name).is_some_and(|generation| generation > 0)
        && names.iter().any(|entry| entry.name == LOCK)
}

/// Takes the lock and writes down who holds it. The lock ends with the process, however that ends.
pub(super) fn lock(path: &Path) -> Result<File, ClaimError> {
    let unusable = |source| ClaimError::Unusable { path: path.to_path_buf(), doing: "locking it", source };
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(unusable)?;
    refuse_locked(path, &file, file.try_lock())?;
    file.set_len(0).and_then(|()| file.rewind()).map_err(unusable)?;
    writeln!(file, "process {}", std::process::id()).map_err(unusable)?;
    Ok(file)
}

/// Takes the lock beside others who only read, and writes nothing. Where there is no lock file, as in a copy,
/// no server is running either; the directory itself stands in for it.
fn lock_for_reading(path: &Path) -> Result<File, ClaimError> {
    let unusable = |source| ClaimError::Unusable { path: path.to_path_buf(), doing: "locking it", source };
    let file = match File::open(path.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(path),
        opened => opened,
    };
    let file = file.map_err(unusable)?;
    refuse_locked(path, &file, file.try_lock_shared())?;
    Ok(file)
}

fn refuse_locked(path: &Path, file: &File, outcome: Result<(), TryLockError>) -> Result<(), ClaimError> {
    let path = path.to_path_buf();
    match outcome {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a help for people; that it is held is enough to refuse.
            let _ = file.take(64).read_to_string(&mut holder);
            Err(ClaimError::Locked { path, holder: holder.trim().to_string() })
        }
        Err(TryLockError::Error(source)) => Err(ClaimError::Unusable { path, doing: "locking it", source }),
    }
}

/// The marker of a directory that has one.
pub(super) fn read_marker(top: &RealDirectory) -> Result<Marker, ClaimError> {
    let path = top.path();
    Marker::read(top).map_err(|error| match error {
        MarkerError::Absent => ClaimError::Absent { path: path.to_path_buf() },
        MarkerError::Damaged(reason) => ClaimError::DamagedMarker { path: path.join(MARKER), reason },
        MarkerError::Io(source) => {
            ClaimError::Unusable { path: path.to_path_buf(), doing: "reading its marker", source }
        }
    })
}

fn refuse_newer(found: &Marker, engine: &Description, path: &Path) -> Result<(), ClaimError> {
    if found.format <= engine.format {
        return Ok(());
    }
    let (path, engine, known) = (path.to_path_buf(), engine.name.clone(), engine.format);
    Err(ClaimError::NewerFormat { path, engine, found: found.format, known })
}

/// Compares the marker with the engine and writes a new one where that is right. Answers where the data lies.
fn claim_for(top: &RealDirectory, engine: &Description) -> Result<u32, ClaimError> {
    let path = || top.path().to_path_buf();
    let ours = |generation| Marker { engine: engine.name.clone(), format: engine.format, generation };
    let generation = match read_marker(top) {
        Ok(found) if found == ours(found.generation) => return Ok(found.generation),
        Ok(found) if found.engine == engine.name => {
            refuse_newer(&found, engine, top.path())?;
            found.generation
        }
        Ok(found) if holds_data(top, found.generation)? => {
            let wanted = engine.name.clone();
            return Err(ClaimError::OtherEngine { path: path(), found: found.engine, wanted });
        }
        Ok(found) => found.generation,
        Err(ClaimError::Absent { .. }) => 0,
        Err(error) => return Err(error),
    };
    // Also over an older format: from now on the engine may write its newer one.
    ours(generation).write(top).map_err(|source| ClaimError::Unusable {
        path: path(),
        doing: "writing its marker",
        source,
    })?;
    Ok(generation)
}

/// Every generation that has an engine's directory.
pub(super) fn generations(top: &RealDirectory) -> Result<Vec<u32>, ClaimError> {
    let names = top.list().map_err(|source| ClaimError::Unusable {
        path: top.path().to_path_buf(),
        doing: "listing it",
        source,
    })?;
    Ok(names.iter().filter_map(|entry| generation_of(&entry.name)).collect())
}

/// Whether the engine's directory of a generation has anything in it.
pub(super) fn holds_data(top: &RealDirectory, generation: u32) -> Result<bool, ClaimError> {
    let name = data_name(generation);
    let names = match has(top, &name) {
        Ok(true) => top.open_directory(&name).and_then(|data| data.list()),
        Ok(false) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let unusable = |source| ClaimError::Unusable {
        path: top.path().to_path_buf(),
        doing: "listing the engine's directory",
        source,
    };
    names.map(|names| !names.is_empty()).map_err(unusable)
}

fn has(directory: &dyn Directory, name: &str) -> io::Result<bool> {
    Ok(directory.list()?.iter().any(|entry| entry.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn engine(name: &str, format: u32) -> Description {
        Description { format, ..Description::new(name, "1", "") }
    }

    fn claim(path: &Path, name: &str, format: u32) -> Result<DataDirectory, ClaimError> {
        DataDirectory::claim(path, &engine(name, format))
    }

    #[test]
    fn a_claim_makes_durable_what_a_start_that_was_killed_left() {
        let syncs = |directory: &DataDirectory| directory.counters().counts().directory_syncs;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        // The parent of what is there, what is there, `a`; then `b` for the marker and for `data`.
        assert_eq!(syncs(&claim(&path, "one", 1).unwrap()), 5);
        // The names `b` and `data` may be those that were not durable.
        assert_eq!(syncs(&claim(&path, "one", 1).unwrap()), 2);
    }

    fn put_data(path: &Path) {
        fs::write(path.join(data_name(0)).join("file"), "x").unwrap();
    }

    #[test]
    fn a_directory_with_data_is_refused_to_another_engine_by_name() {
        let folder = tempfile::tempdir().unwrap();
        drop(claim(folder.path(), "one", 1).unwrap());
        put_data(folder.path());
        let error = claim(folder.path(), "two", 1).err().unwrap();
        assert!(matches!(&error, ClaimError::OtherEngine { found, .. } if found == "one"), "{error}");
        claim(folder.path(), "one", 1).unwrap();
    }

    #[test]
    fn a_directory_without_data_may_change_its_engine() {
        let folder = tempfile::tempdir().unwrap();
        drop(claim(folder.path(), "one", 1).unwrap());
        drop(claim(folder.path(), "two", 1).unwrap());
        put_data(folder.path());
        assert!(matches!(claim(folder.path(), "one", 1), Err(ClaimError::OtherEngine { .. })));
    }

    #[test]
    fn a_newer_format_is_refused_and_an_older_one_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        drop(claim(folder.path(), "one", 1).unwrap());
        put_data(folder.path());
        drop(claim(folder.path(), "one", 2).unwrap());
        assert!(matches!(
            claim(folder.path(), "one", 1),
            Err(ClaimError::NewerFormat { found: 2, known: 1, .. })
        ));
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        assert!(matches!(claim(folder.path(), "one", 1), Err(ClaimError::Foreign { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_is_claimed_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path(), "one", 1).unwrap();
        let error = claim(folder.path(), "one", 1).err().unwrap();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        claim(folder.path(), "one", 1).unwrap();
    }

    #[test]
    fn a_damaged_marker_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(claim(folder.path(), "one", 1).unwrap());
        fs::write(folder.path().join(MARKER), "enginebay").unwrap();
        assert!(matches!(claim(folder.path(), "one", 1), Err(ClaimError::DamagedMarker { .. })));
    }

    #[test]
    fn claiming_for_reading_excludes_servers_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name, format| DataDirectory::claim_for_reading(folder.path(), &engine(name, format));
        assert!(matches!(DataDirectory::engine_of(folder.path()), Err(ClaimError::Absent { .. })));
        assert!(matches!(read("one", 1), Err(ClaimError::Absent { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let server = claim(folder.path(), "one", 2).unwrap();
        assert!(matches!(read("one", 2), Err(ClaimError::Locked { .. })));
        drop(server);
        assert_eq!(DataDirectory::engine_of(folder.path()).unwrap(), "one");
        let lock = fs::read(folder.path().join(LOCK)).unwrap();
        let marker = fs::read(folder.path().join(MARKER)).unwrap();
        assert!(matches!(read("one", 1), Err(ClaimError::NewerFormat { .. })));
        // Even of a directory without data, and from an engine whose format is newer.
        assert!(matches!(read("two", 2), Err(ClaimError::OtherEngine { .. })));
        let reader = read("one", 3).unwrap();
        read("one", 3).unwrap();
        assert!(matches!(claim(folder.path(), "one", 2), Err(ClaimError::Locked { .. })));
        assert_eq!(fs::read(folder.path().join(LOCK)).unwrap(), lock);
        assert_eq!(fs::read(folder.path().join(MARKER)).unwrap(), marker);
        drop(reader);

        fs::write(folder.path().join(MARKER), "enginebay").unwrap();
        read("one", 2).unwrap();
        assert!(matches!(DataDirectory::engine_of(folder.path()), Err(ClaimError::DamagedMarker { .. })));
    }

    #[test]
    fn a_first_start_that_was_cut_off_goes_on_at_the_next() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK), "").unwrap();
        fs::write(folder.path().join(MARKER_NEW), "enginebay da").unwrap();
        claim(folder.path(), "one", 1).unwrap();
    }
}
