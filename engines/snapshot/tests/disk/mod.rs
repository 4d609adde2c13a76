//! A disk in memory that knows what a power cut leaves: bytes that were synced, names whose directory was
//! synced, and nothing else.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Directory, DirectoryEntry, File, FileFeatures, OpenFile};

type Names = BTreeMap<String, Arc<Inode>>;

#[derive(Default)]
struct Inode {
    bytes: Mutex<Vec<u8>>,
    durable: Mutex<Vec<u8>>,
}

/// One directory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk {
    names: Arc<Mutex<Names>>,
    durable_names: Arc<Mutex<Names>>,
    /// Names changed since the last sync; without such a change a sync does nothing.
    dirty: Arc<AtomicBool>,
}

impl Disk {
    /// What another start finds after a power cut that kept nothing that was not made durable.
    pub fn after_power_cut(&self) -> Self {
        let disk = Self::default();
        for (name, inode) in self.durable_names.lock().unwrap().iter() {
            disk.put(name, &inode.durable.lock().unwrap());
        }
        disk
    }

    /// What another start finds after a kill: all that was written.
    pub fn after_kill(&self) -> Self {
        let disk = Self::default();
        for (name, inode) in self.names.lock().unwrap().iter() {
            disk.put(name, &inode.bytes.lock().unwrap());
        }
        disk
    }

    /// What a failed sync of the directory does on common systems: the names count as synced and are not.
    pub fn forget_dirty_names(&self) {
        self.dirty.store(false, Ordering::SeqCst);
    }

    /// Puts a durable file there.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let inode = Inode { bytes: Mutex::new(bytes.to_vec()), durable: Mutex::new(bytes.to_vec()) };
        let inode = Arc::new(inode);
        self.names.lock().unwrap().insert(name.to_string(), Arc::clone(&inode));
        self.durable_names.lock().unwrap().insert(name.to_string(), inode);
    }

    /// The bytes of a file, as the operating system shows them.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.names.lock().unwrap().get(name).map(|inode| inode.bytes.lock().unwrap().clone())
    }

    /// All names.
    pub fn files(&self) -> Vec<String> {
        self.names.lock().unwrap().keys().cloned().collect()
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Directory for Disk {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        let mut names = self.names.lock().unwrap();
        if how.create_new {
            if names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            names.insert(name.to_string(), Arc::default());
            self.dirty.store(true, Ordering::SeqCst);
        }
        let inode = names.get(name).ok_or_else(missing)?;
        Ok(Arc::new(DiskFile { inode: Arc::clone(inode), writable: how.write }))
    }

    fn open_directory(&self, _: &str) -> io::Result<Arc<dyn Directory>> {
        Err(missing())
    }

    fn create_directory(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        let entry = |name| DirectoryEntry { name, is_directory: false };
        Ok(self.files().into_iter().map(entry).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        let inode = names.remove(from).ok_or_else(missing)?;
        names.insert(to.to_string(), inode);
        self.dirty.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn link(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.dirty.store(true, Ordering::SeqCst);
        self.names.lock().unwrap().remove(name).map(|_| ()).ok_or_else(missing)
    }

    fn sync(&self) -> io::Result<()> {
        if self.dirty.swap(false, Ordering::SeqCst) {
            *self.durable_names.lock().unwrap() = self.names.lock().unwrap().clone();
        }
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::default()
    }
}

struct DiskFile {
    inode: Arc<Inode>,
    writable: bool,
}

impl File for DiskFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let stored = self.inode.bytes.lock().unwrap();
        let rest = stored.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        assert!(self.writable && matches!(cause, Cause::Checkpoint | Cause::Backup));
        let mut stored = self.inode.bytes.lock().unwrap();
        let mut at = offset as usize;
        for slice in slices {
            let end = at + slice.len();
            if stored.len() < end {
                stored.resize(end, 0);
            }
            stored[at..end].copy_from_slice(slice);
            at = end;
        }
        Ok(())
    }

    fn write_durable_at(&self, _: &[IoSlice<'_>], _: u64, _: Cause) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        *self.inode.durable.lock().unwrap() = self.inode.bytes.lock().unwrap().clone();
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.bytes.lock().unwrap().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inode.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
