//! Data that comes into a data directory as a whole: loaded, restored, or moved from another engine.
//!
//! ```text
//! DIR/data-3/    not named by the marker: it is coming, or was cut off; removed before the next one begins
//! DIR/MARKER     replaced: from this instant on data-3 is the data
//! DIR/data-2/    what was in use before; kept until `DataDirectory::remove_unused`
//! ```
//!
//! Promises: the marker alone says which data is in use, and it is replaced atomically; so a crash at any
//! moment leaves the data of before or the new data, whole. What did not arrive is never opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data_directory::{
    ClaimError, DataDirectory, LEFT_BY_A_START, create, generations, holds_data, is_arrival, lock,
    read_marker, refuse_foreign,
};
use super::marker::{MARKER, Marker, data_name};
use crate::describe::Description;
use crate::environment::Directory;
use crate::environment::real::{IoCounters, RealDirectory};

/// An empty engine's directory that is not in use yet.
pub struct Incoming {
    top: RealDirectory,
    generation: u32,
    directory: Arc<dyn Directory>,
    counters: Arc<IoCounters>,
    /// Locked until it is closed; `None` beside data that is in use, whose `DataDirectory` holds the lock.
    _lock: Option<fs::File>,
}

impl Incoming {
    /// Into a directory that holds no data, which is created if it is not there and locked for as long as this
    /// value lives. What did not arrive earlier is removed.
    pub fn into_vacant(path: &Path) -> Result<Self, ClaimError> {
        let counters = Arc::default();
        create(path, &counters).map_err(unusable(path, "creating it"))?;
        let top = RealDirectory::open(path, Arc::clone(&counters)).map_err(unusable(path, "opening it"))?;
        match refuse_foreign(&top) {
            Err(ClaimError::Unfinished { .. }) => refuse_more_than_arrivals(&top)?,
            outcome => outcome?,
        }
        let lock = lock(path)?;
        let current = match read_marker(&top) {
            Ok(found) if holds_data(&top, found.generation)? => {
                return Err(ClaimError::Used { path: path.to_path_buf(), engine: found.engine });
            }
            Ok(found) => found.generation,
            Err(ClaimError::Absent { .. }) => 0,
            Err(error) => return Err(error),
        };
        Self::begin(top, counters, current, Some(lock))
    }

    /// Beside the data of a claimed directory, which must stay claimed until this has taken over or is
    /// discarded. What did not arrive earlier is removed.
    pub fn beside(current: &DataDirectory) -> Result<Self, ClaimError> {
        let path = current.top.path();
        let counters = current.counters();
        let top = RealDirectory::open(path, Arc::clone(&counters)).map_err(unusable(path, "opening it"))?;
        Self::begin(top, counters, current.generation, None)
    }

    fn begin(
        top: RealDirectory,
        counters: Arc<IoCounters>,
        current: u32,
        lock: Option<fs::File>,
    ) -> Result<Self, ClaimError> {
        for cut_off in generations(&top)?.into_iter().filter(|generation| *generation > current) {
            remove(&top, cut_off)?;
        }
        let generation = current.checked_add(1).ok_or_else(|| ClaimError::DamagedMarker {
            path: top.path().join(MARKER),
            reason: format!("it says that data was moved here {current} times"),
        })?;
        let name = data_name(generation);
        let path = top.path().to_path_buf();
        let made = top.create_directory(&name).and_then(|()| top.sync());
        made.map_err(unusable(&path, "creating the engine's directory"))?;
        let directory = top.open_directory(&name);
        let directory = directory.map_err(unusable(&path, "opening the engine's directory"))?;
        Ok(Self { top, generation, directory, counters, _lock: lock })
    }

    /// The engine's own directory.
    pub fn directory(&self) -> Arc<dyn Directory> {
        Arc::clone(&self.directory)
    }

    /// What is done to files below the data directory.
    pub fn counters(&self) -> Arc<IoCounters> {
        Arc::clone(&self.counters)
    }

    /// Where the engine's own directory is.
    pub fn path(&self) -> PathBuf {
        self.top.path().join(data_name(self.generation))
    }

    /// Makes it the data of this engine, durably. The engine has been closed, and everything in its directory
    /// is durable.
    ///
    /// # Errors
    /// If the marker could not be replaced; the data of before is in use then, or the new data.
    pub fn take_over(self, engine: &Description) -> Result<(), ClaimError> {
        let generation = self.generation;
        let marker = Marker { engine: engine.name.clone(), format: engine.format, generation };
        marker.write(&self.top).map_err(unusable(self.top.path(), "writing its marker"))
    }

    /// Removes it. The engine has been closed.
    pub fn discard(self) -> Result<(), ClaimError> {
        remove(&self.top, self.generation)
    }
}

impl DataDirectory {
    /// Removes all data that is not in use in a directory that nobody has claimed: what was replaced, and what
    /// did not arrive, with the marker of it. Answers which directories those were.
    pub fn remove_unused(path: &Path) -> Result<Vec<PathBuf>, ClaimError> {
        let top = RealDirectory::open(path, Arc::default());
        let top = top.map_err(unusable(path, "opening it"))?;
        // First of all: in a directory without a marker not even a lock is created.
        read_marker(&top)?;
        let _lock = lock(path)?;
        let current = read_marker(&top)?.generation;
        let mut removed = Vec::new();
        for generation in generations(&top)?.into_iter().filter(|one| *one != current) {
            remove(&top, generation)?;
            removed.push(path.join(data_name(generation)));
        }
        Marker::remove_unfinished(&top).map_err(unusable(path, "removing a marker that was cut off"))?;
        Ok(removed)
    }

    /// Where the engine's own directory is.
    pub fn data_path(&self) -> PathBuf {
        self.top.path().join(data_name(self.generation))
    }
}

/// Refuses a directory without a marker that holds anything but what did not arrive.
fn refuse_more_than_arrivals(top: &RealDirectory) -> Result<(), ClaimError> {
    let names = top.list().map_err(unusable(top.path(), "listing it"))?;
    let strange = names
        .iter()
        .find(|entry| !is_arrival(&names, &entry.name) && !LEFT_BY_A_START.contains(&entry.name.as_str()));
    match strange {
        None => Ok(()),
        Some(entry) => Err(ClaimError::Foreign { path: top.path().to_path_buf(), found: entry.name.clone() }),
    }
}

fn remove(top: &RealDirectory, generation: u32) -> Result<(), ClaimError> {
    let path = top.path().join(data_name(generation));
    let removed = fs::remove_dir_all(&path).and_then(|()| top.sync());
    removed.map_err(unusable(top.path(), "removing data that is not in use"))
}

fn unusable(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> ClaimError {
    let path = path.to_path_buf();
    move |source| ClaimError::Unusable { path, doing, source }
}

#[cfg(test)]
mod tests {
    use super::super::marker::MARKER_NEW;
    use super::*;

    fn engine(name: &str) -> Description {
        Description::new(name, "1", "")
    }

    fn claim(path: &Path, name: &str) -> Result<DataDirectory, ClaimError> {
        DataDirectory::claim(path, &engine(name))
    }

    fn put(directory: &Path, name: &str) {
        fs::write(directory.join(name), "x").unwrap();
    }

    #[test]
    fn every_directory_that_is_created_is_durable_before_anything_comes_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = Incoming::into_vacant(&folder.path().join("a/b")).unwrap();
        // Of `folder`'s parent, `folder`, `a`, and `b` for the engine's directory.
        assert_eq!(incoming.counters().counts().directory_syncs, 4);
    }

    #[test]
    fn what_came_into_a_new_directory_is_its_data_from_the_take_over_on() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = Incoming::into_vacant(folder.path()).unwrap();
        put(&incoming.path(), "file");
        let error = claim(folder.path(), "one").err().unwrap();
        assert!(matches!(error, ClaimError::Unfinished { .. }), "{error}");
        incoming.take_over(&engine("one")).unwrap();
        assert_eq!(DataDirectory::engine_of(folder.path()).unwrap(), "one");
        assert!(matches!(claim(folder.path(), "two"), Err(ClaimError::OtherEngine { .. })));
        let directory = claim(folder.path(), "one").unwrap();
        assert_eq!(directory.directory().list().unwrap().len(), 1);
        drop(directory);
        assert!(matches!(Incoming::into_vacant(folder.path()), Err(ClaimError::Used { .. })));
    }

    #[test]
    fn after_the_last_generation_none_begins() {
        let folder = tempfile::tempdir().unwrap();
        let top = RealDirectory::open(folder.path(), Arc::default()).unwrap();
        Marker { engine: "one".into(), format: 1, generation: u32::MAX }.write(&top).unwrap();
        let refused = Incoming::into_vacant(folder.path()).err().unwrap();
        assert!(matches!(refused, ClaimError::DamagedMarker { .. }), "{refused}");
    }

    #[test]
    fn what_did_not_arrive_is_removed_before_the_next_one_begins() {
        let folder = tempfile::tempdir().unwrap();
        let first = Incoming::into_vacant(folder.path()).unwrap();
        put(&first.path(), "half");
        assert!(matches!(Incoming::into_vacant(folder.path()), Err(ClaimError::Locked { .. })));
        drop(first);
        let second = Incoming::into_vacant(folder.path()).unwrap();
        assert_eq!(second.directory().list().unwrap(), []);
        second.discard().unwrap();
        claim(folder.path(), "one").unwrap();
    }

    #[test]
    fn data_is_replaced_at_the_take_over_and_kept_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let old = claim(folder.path(), "one").unwrap();
        put(&old.data_path(), "old");
        let cut_off = Incoming::beside(&old).unwrap();
        put(&cut_off.path(), "half");
        drop(cut_off);
        drop(old);

        let old = claim(folder.path(), "one").unwrap();
        assert_eq!(old.directory().list().unwrap()[0].name, "old");
        let incoming = Incoming::beside(&old).unwrap();
        assert_eq!(incoming.directory().list().unwrap(), []);
        put(&incoming.path(), "new");
        let (kept, new) = (old.data_path(), incoming.path());
        incoming.take_over(&engine("two")).unwrap();
        drop(old);
        let directory = claim(folder.path(), "two").unwrap();
        assert_eq!(
            (directory.data_path(), directory.directory().list().unwrap()[0].name.as_str()),
            (new, "new")
        );
        let remove = || DataDirectory::remove_unused(folder.path());
        assert!(matches!(remove(), Err(ClaimError::Locked { .. })));
        drop(directory);
        assert_eq!(remove().unwrap(), [kept]);
        assert!(remove().unwrap().is_empty());
        claim(folder.path(), "two").unwrap();
    }

    #[test]
    fn a_marker_that_was_cut_off_goes_with_the_data_that_is_not_in_use() {
        let folder = tempfile::tempdir().unwrap();
        drop(claim(folder.path(), "one").unwrap());
        put(folder.path(), MARKER_NEW);
        assert!(DataDirectory::remove_unused(folder.path()).unwrap().is_empty());
        assert!(!folder.path().join(MARKER_NEW).exists());
        claim(folder.path(), "one").unwrap();
    }

    #[test]
    fn a_directory_of_somebody_else_is_never_taken_for_data_that_did_not_arrive() {
        for strange in ["data", "data-1", "thesis.tex"] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(strange)).unwrap();
            let error = Incoming::into_vacant(folder.path()).err().unwrap();
            assert!(matches!(error, ClaimError::Foreign { .. }), "{strange}: {error}");
            let beside_an_arrival = tempfile::tempdir().unwrap();
            drop(Incoming::into_vacant(beside_an_arrival.path()).unwrap());
            put(beside_an_arrival.path(), "thesis.tex");
            assert!(matches!(
                Incoming::into_vacant(beside_an_arrival.path()),
                Err(ClaimError::Foreign { .. })
            ));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            assert_eq!(fs::read_dir(beside_an_arrival.path()).unwrap().count(), 3);
        }
    }

    #[test]
    fn a_damaged_marker_names_no_data_where_there_is_more_than_one() {
        let folder = tempfile::tempdir().unwrap();
        let old = claim(folder.path(), "one").unwrap();
        drop(Incoming::beside(&old).unwrap());
        drop(old);
        put(folder.path(), "MARKER");
        let refused = DataDirectory::claim_for_reading(folder.path(), &engine("one")).err().unwrap();
        assert!(matches!(refused, ClaimError::DamagedMarker { .. }), "{refused}");
    }
}
