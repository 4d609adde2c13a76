//! A directory in memory, a clock that stands still, and lanes that nobody runs.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapter_api::Environment;
use adapter_api::environment::{
    Cause, Clock, Directory, DirectoryEntry, File, FileFeatures, Lane, Lanes, OpenFile,
};

/// The largest file there is room for, in bytes; a sound log never asks for so much here.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files by name. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryDirectory(Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>);

/// The bytes of one file.
#[derive(Default)]
pub struct MemoryFile(Mutex<Vec<u8>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error<T>(kind: ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

impl MemoryDirectory {
    /// A directory with these files.
    pub fn with(files: &[(String, Vec<u8>)]) -> Self {
        let file = |(name, bytes): &(String, Vec<u8>)| {
            (name.clone(), Arc::new(MemoryFile(Mutex::new(bytes.clone()))))
        };
        Self(Arc::new(Mutex::new(files.iter().map(file).collect())))
    }

    /// Every file, sorted by name.
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        lock(&self.0).iter().map(|(name, file)| (name.clone(), lock(&file.0).clone())).collect()
    }
}

impl Directory for MemoryDirectory {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        let mut files = lock(&self.0);
        match (files.get(name), how.create_new) {
            (Some(_), true) => error(ErrorKind::AlreadyExists),
            (None, false) => error(ErrorKind::NotFound),
            (Some(file), false) => Ok(Arc::clone(file) as Arc<dyn File>),
            (None, true) => {
                let file = Arc::new(MemoryFile::default());
                files.insert(name.to_string(), Arc::clone(&file));
                Ok(file)
            }
        }
    }

    fn open_directory(&self, _: &str) -> io::Result<Arc<dyn Directory>> {
        error(ErrorKind::NotFound)
    }

    fn create_directory(&self, _: &str) -> io::Result<()> {
        error(ErrorKind::Unsupported)
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        let entry = |name: &String| DirectoryEntry { name: name.clone(), is_directory: false };
        Ok(lock(&self.0).keys().map(entry).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.0);
        let Some(file) = files.remove(from) else { return error(ErrorKind::NotFound) };
        files.insert(to.to_string(), file);
        Ok(())
    }

    fn link(&self, _: &str, _: &str) -> io::Result<()> {
        error(ErrorKind::Unsupported)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.0).remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(FILE_BYTES_MAX)
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::default()
    }
}

impl File for MemoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let held = lock(&self.0);
        let rest = usize::try_from(offset).ok().and_then(|at| held.get(at..)).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, _: Cause) -> io::Result<()> {
        let mut at = offset as usize;
        for slice in slices {
            if (at + slice.len()) as u64 > FILE_BYTES_MAX {
                return error(ErrorKind::StorageFull);
            }
            let mut held = lock(&self.0);
            let end = held.len().max(at + slice.len());
            held.resize(end, 0);
            held[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        Ok(())
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.write_at(slices, offset, cause)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > FILE_BYTES_MAX {
            return error(ErrorKind::StorageFull);
        }
        lock(&self.0).resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        error(ErrorKind::Unsupported)
    }

    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        error(ErrorKind::Unsupported)
    }
}

/// A clock that always shows the same time, so that the same input gives the same files.
pub struct HandClock;

impl Clock for HandClock {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }
}

struct NoLanes;

impl Lanes for NoLanes {
    fn wake(&self, _: Lane) {}
    fn wait_for(&self, _: Lane) {}
}

/// An environment over the directory.
pub fn environment(directory: &MemoryDirectory) -> Environment {
    Environment {
        directory: Arc::new(directory.clone()),
        clock: Arc::new(HandClock),
        lanes: Arc::new(NoLanes),
    }
}
