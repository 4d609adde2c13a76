//! A disk that loses what was not made durable, for the tests of the log.
//!
//! Each file is an inode: the bytes that are durable, and in order the changes that are not. A directory is
//! the same for names. A power cut keeps any of the changes to files, torn at 512 bytes, and changes of names
//! up to some point or but for one; a kill keeps everything, durable or not.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use adapter_api::environment::{Cause, Clock, Directory, DirectoryEntry, File, FileFeatures, OpenFile};

pub mod workload;

const SECTOR: usize = 512;

/// Where the log under test lives.
pub type Files = Arc<dyn Directory>;

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    SetLen(usize),
}

#[derive(Clone, Default)]
struct Inode {
    durable: Arc<Vec<u8>>,
    /// What came after, in order; `true`: durable by itself.
    changes: Vec<(Change, bool)>,
    /// All of it applied.
    current: Arc<Vec<u8>>,
}

#[derive(Clone, Hash)]
enum NameChange {
    Add(String, usize),
    Rename(String, String),
    Remove(String),
}

type Names = BTreeMap<String, usize>;

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    durable_names: Names,
    name_changes: Vec<NameChange>,
    names: Names,
    /// How many more calls that change something succeed; then the disk is gone.
    fuse: Option<u64>,
    changes_made: u64,
    /// How many bytes all files together may have.
    capacity: Option<usize>,
    planted: Planted,
}

/// A lie of the disk, planted to see a test catch it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Planted {
    #[default]
    Nothing,
    SkippedDirectorySyncs,
    SkippedDataSyncs,
}

/// The disk; clones share it.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => bytes.resize(*len, 0),
        Change::Write { offset, bytes: new } => {
            let end = offset + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(new);
        }
    }
}

fn apply_name(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Add(name, inode) => drop(names.insert(name.clone(), *inode)),
        NameChange::Remove(name) => drop(names.remove(name)),
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

/// What of the un-synced changes to files is on the disk after a power cut.
#[derive(Clone, Copy)]
enum Kept {
    All,
    None,
    But(usize),
    Only(usize),
    /// All, but of one change only the sectors that the pattern picks.
    Torn(usize, Pattern),
    Random(u64),
}

#[derive(Clone, Copy)]
enum Pattern {
    First(usize),
    From(usize),
}

#[derive(Clone, Copy)]
enum KeptNames {
    First(usize),
    But(usize),
}

/// A number that looks random.
pub fn scramble(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

impl State {
    fn crashed(&self, kept: Kept, kept_names: KeptNames) -> Self {
        let mut names = self.durable_names.clone();
        for (at, change) in self.name_changes.iter().enumerate() {
            if match kept_names {
                KeptNames::First(count) => at < count,
                KeptNames::But(left_out) => at != left_out,
            } {
                apply_name(&mut names, change);
            }
        }
        let mut number = 0;
        let inodes = self.inodes.iter().map(|inode| {
            if inode.changes.is_empty() {
                return inode.clone();
            }
            let mut bytes = Vec::clone(&inode.durable);
            for (change, forced) in &inode.changes {
                if *forced {
                    apply(&mut bytes, change);
                } else {
                    keep(&mut bytes, change, kept, number);
                    number += 1;
                }
            }
            let bytes = Arc::new(bytes);
            Inode { durable: Arc::clone(&bytes), changes: Vec::new(), current: bytes }
        });
        let inodes = inodes.collect();
        Self { inodes, durable_names: names.clone(), names, ..Self::default() }
    }

    fn pending(&self) -> Vec<usize> {
        let changes = self.inodes.iter().flat_map(|inode| &inode.changes).filter(|(_, forced)| !forced);
        let len = |(change, _): &(Change, bool)| match change {
            Change::Write { bytes, .. } => bytes.len(),
            Change::SetLen(_) => 0,
        };
        changes.map(len).collect()
    }

    /// A digest of what is durable.
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, inode) in &self.names {
            (name, crc32fast::hash(&self.inodes[*inode].current)).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn keep(bytes: &mut Vec<u8>, change: &Change, kept: Kept, number: usize) {
    let whole = match kept {
        Kept::All => true,
        Kept::None => false,
        Kept::But(at) => at != number,
        Kept::Only(at) => at == number,
        Kept::Torn(at, _) => at != number,
        Kept::Random(_) => false,
    };
    if whole {
        return apply(bytes, change);
    }
    let Change::Write { offset, bytes: new } = change else { return };
    for (sector, part) in new.chunks(SECTOR).enumerate() {
        if match kept {
            Kept::Torn(at, Pattern::First(count)) => at == number && sector < count,
            Kept::Torn(at, Pattern::From(start)) => at == number && sector >= start,
            Kept::Random(seed) => {
                // Half of the writes are kept or lost as a whole, half of them are torn.
                let of_write = scramble(seed ^ number as u64);
                let of_sector = scramble(of_write ^ sector as u64);
                if of_write & 1 == 0 { of_write & 2 == 0 } else { of_sector & 4 == 0 }
            }
            _ => false,
        } {
            let part = Change::Write { offset: offset + sector * SECTOR, bytes: part.into() };
            apply(bytes, &part);
        }
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn from_state(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn files(&self) -> Files {
        Arc::new(Root(self.clone()))
    }

    /// From now on so many calls succeed that change something.
    pub fn light_fuse(&self, calls: u64) {
        self.state().fuse = Some(calls);
    }

    pub fn plant(&self, planted: Planted) {
        self.state().planted = planted;
    }

    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// How many calls have changed something.
    pub fn changes_made(&self) -> u64 {
        self.state().changes_made
    }

    /// As a kill of the process leaves it: everything is there, and nothing more is durable.
    pub fn killed(&self) -> Self {
        let planted = self.state().planted;
        Self::from_state(State { fuse: None, planted, ..self.state().clone() })
    }

    /// Only what is durable.
    pub fn cut_to_durable(&self) -> Self {
        Self::from_state(self.state().crashed(Kept::None, KeptNames::First(0)))
    }

    /// Different states that a power cut may leave now: chosen ones, and `random` more.
    pub fn power_cuts(&self, seen: &mut HashSet<u64>, random: u64, seed: u64) -> Vec<Self> {
        let state = self.state();
        let pending = state.pending();
        let mut kept = vec![Kept::All, Kept::None];
        for (at, len) in pending.iter().enumerate().rev().take(8) {
            kept.extend([Kept::But(at), Kept::Only(at)]);
            let sectors = len.div_ceil(SECTOR);
            for cut in (1..sectors).take(8) {
                kept.extend([Kept::Torn(at, Pattern::First(cut)), Kept::Torn(at, Pattern::From(cut))]);
            }
        }
        kept.extend((0..random).map(|number| Kept::Random(scramble(seed ^ number))));
        let count = state.name_changes.len();
        let names = (0..=count).map(KeptNames::First).chain((0..count).map(KeptNames::But));
        let mut states = Vec::new();
        for names in names {
            for kept in &kept {
                let crashed = state.crashed(*kept, names);
                if seen.insert(crashed.digest()) {
                    states.push(Self::from_state(crashed));
                }
            }
        }
        states
    }

    /// The names with their bytes as they are now.
    pub fn contents(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        let state = self.state();
        state
            .names
            .iter()
            .map(|(name, inode)| (name.clone(), Arc::clone(&state.inodes[*inode].current)))
            .collect()
    }

    /// A disk with these files, durable.
    pub fn with_contents(contents: &[(String, Arc<Vec<u8>>)]) -> Self {
        let inode = |bytes: &Arc<Vec<u8>>| Inode {
            durable: Arc::clone(bytes),
            changes: Vec::new(),
            current: Arc::clone(bytes),
        };
        let inodes = contents.iter().map(|(_, bytes)| inode(bytes)).collect();
        let names: Names = contents.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        Self::from_state(State { inodes, durable_names: names.clone(), names, ..State::default() })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        if let Some(fuse) = &mut state.fuse {
            *fuse = fuse.checked_sub(1).ok_or_else(|| io::Error::other("the disk is gone"))?;
        }
        state.changes_made += 1;
        change(&mut state)
    }
}

struct Root(Disk);

impl Directory for Root {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        if !how.create_new {
            let inode = self.0.state().names.get(name).copied().ok_or(ErrorKind::NotFound)?;
            return Ok(Arc::new(Open { disk: self.0.clone(), inode }));
        }
        let inode = self.0.change(|state| {
            if state.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let inode = state.inodes.len();
            state.inodes.push(Inode::default());
            state.rename(NameChange::Add(name.to_string(), inode));
            Ok(inode)
        })?;
        Ok(Arc::new(Open { disk: self.0.clone(), inode }))
    }

    fn open_directory(&self, _: &str) -> io::Result<Arc<dyn Directory>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn create_directory(&self, _: &str) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        let state = self.0.state();
        Ok(state
            .names
            .keys()
            .map(|name| DirectoryEntry { name: name.clone(), is_directory: false })
            .collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.change(|state| {
            let _ = state.names.get(from).ok_or(ErrorKind::NotFound)?;
            let is_replaced = state.names.contains_key(to) && !to.starts_with("checkpoint-");
            assert!(!is_replaced, "{to} would be replaced");
            state.rename(NameChange::Rename(from.to_string(), to.to_string()));
            Ok(())
        })
    }

    fn link(&self, _: &str, _: &str) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.change(|state| {
            let _ = state.names.get(name).ok_or(ErrorKind::NotFound)?;
            state.rename(NameChange::Remove(name.to_string()));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.0.change(|state| {
            if state.planted != Planted::SkippedDirectorySyncs {
                state.durable_names = state.names.clone();
                state.name_changes.clear();
            }
            Ok(())
        })
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::default()
    }
}

impl State {
    fn rename(&mut self, change: NameChange) {
        apply_name(&mut self.names, &change);
        self.name_changes.push(change);
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].current.len()).sum()
    }
}

struct Open {
    disk: Disk,
    inode: usize,
}

impl Open {
    fn write(&self, slices: &[IoSlice<'_>], offset: u64, durable: bool) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let offset = usize::try_from(offset).unwrap();
        self.disk.change(|state| {
            let grows = (offset + bytes.len()).saturating_sub(state.inodes[self.inode].current.len());
            if state.capacity.is_some_and(|capacity| state.used() + grows > capacity) {
                return Err(ErrorKind::StorageFull.into());
            }
            let durable = durable && state.planted != Planted::SkippedDataSyncs;
            let inode = &mut state.inodes[self.inode];
            let change = Change::Write { offset, bytes: bytes.into() };
            apply(Arc::make_mut(&mut inode.current), &change);
            inode.changes.push((change, durable));
            Ok(())
        })
    }
}

impl File for Open {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let current = &state.inodes[self.inode].current;
        let rest = current.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, _: Cause) -> io::Result<()> {
        self.write(slices, offset, false)
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, _: Cause) -> io::Result<()> {
        self.write(slices, offset, true)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.change(|state| {
            if state.planted != Planted::SkippedDataSyncs {
                let inode = &mut state.inodes[self.inode];
                inode.durable = Arc::clone(&inode.current);
                inode.changes.clear();
            }
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.disk.change(|state| {
            let inode = &mut state.inodes[self.inode];
            apply(Arc::make_mut(&mut inode.current), &Change::SetLen(len));
            inode.changes.push((Change::SetLen(len), false));
            Ok(())
        })
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// A clock that moves when told.
#[derive(Default)]
pub struct HandClock(AtomicU64);

impl HandClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Duration {
        // It stands still on purpose: no two files may need different times to be told apart.
        Duration::from_secs(1_700_000_000)
    }
}
