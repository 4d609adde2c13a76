//! The limit: raw loops that no store can be faster than on this machine. Writes are one durable write of a
//! group to a file that was filled before, whatever is in them; reads are a binary search in a sorted array.
//! It stores nothing: what is overwritten or deleted stays as it was loaded.

use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use adapter_api::environment::real::{IoCounters, RealDirectory};
use adapter_api::environment::{Cause, Directory, File, OpenFile};
use anyhow::{Context, Result, anyhow};

use crate::data::{Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit, sorted};

/// How long the file is; writes begin again at its start.
const FILE_BYTES: u64 = 256 << 20;

struct Limit {
    file: Arc<dyn File>,
    relaxed: bool,
    group: Mutex<Group>,
    written: Condvar,
    entries: OnceLock<Vec<(Key, Value)>>,
}

#[derive(Default)]
struct Group {
    /// What the next group writes.
    pending: Vec<u8>,
    /// The number of the next group, and of the last one that is written.
    next: u64,
    last: u64,
    is_writing: bool,
    failed: bool,
    at: u64,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let directory = RealDirectory::open(directory, Arc::new(IoCounters::default()))?;
    let file = directory.open_file("raw", OpenFile::CREATE_NEW)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_at(&[IoSlice::new(&zeros)], at, Cause::Other)?;
    }
    file.sync_all()?;
    directory.sync()?;
    let group = Mutex::new(Group { next: 1, ..Group::default() });
    let limit =
        Limit { file, relaxed: settings.relaxed, group, written: Condvar::new(), entries: OnceLock::new() };
    Ok(Box::new(limit))
}

impl Limit {
    fn put_out(&self, bytes: &[u8], at: u64) -> Result<()> {
        let slices = [IoSlice::new(bytes)];
        match self.relaxed {
            true => self.file.write_at(&slices, at, Cause::Log)?,
            false => self.file.write_durable_at(&slices, at, Cause::Log)?,
        }
        Ok(())
    }
}

impl Store for Limit {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        for Change { key, value } in changes {
            group.pending.extend_from_slice(key);
            group.pending.extend_from_slice(value.as_ref().map_or(&[], |value| &value[..]));
        }
        let mine = group.next;
        while group.last < mine && !group.failed {
            if group.is_writing {
                group = self.written.wait(group).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let bytes = std::mem::take(&mut group.pending);
            if group.at + bytes.len() as u64 > FILE_BYTES {
                group.at = 0;
            }
            let at = group.at;
            group.at += bytes.len() as u64;
            group.next += 1;
            group.is_writing = true;
            drop(group);
            let outcome = self.put_out(&bytes, at);
            group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
            group.is_writing = false;
            group.failed |= outcome.is_err();
            group.last = mine;
            self.written.notify_all();
            outcome?;
        }
        if group.failed { Err(anyhow!("a raw write failed")) } else { Ok(()) }
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let entries = sorted(entries);
        let mut at = 0;
        let mut bytes = Vec::with_capacity(1 << 20);
        for (key, value) in &entries {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            if bytes.len() + key.len() + value.len() > bytes.capacity() {
                self.file.write_at(&[IoSlice::new(&bytes)], at % FILE_BYTES, Cause::Ingest)?;
                at += bytes.capacity() as u64;
                bytes.clear();
            }
        }
        self.file.write_at(&[IoSlice::new(&bytes)], at % FILE_BYTES, Cause::Ingest)?;
        self.file.sync_data()?;
        self.entries.set(entries).map_err(|_| anyhow!("it was loaded before"))
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        work(&mut View(self.entries.get().context("it is loaded before it is read")?))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct View<'a>(&'a [(Key, Value)]);

impl Reader for View<'_> {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        match self.0.binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(at) => found(&self.0[at].1).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        let start = self.0.partition_point(|(key, _)| &key[..] < from);
        self.0[start..].iter().take(limit).try_for_each(|(key, value)| visit(key, value))
    }
}
