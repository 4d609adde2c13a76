//! The disk: its state, what it was asked, and the directory that an engine is given.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapter_api::environment::{Directory, DirectoryEntry, File, FileFeatures, OpenFile};

use super::Lie;
use super::file::SimulatedFile;
use crate::enumerate::crashes;
use crate::image::mix_bytes;
use crate::oracle::History;
use crate::power_cut::Crash;
use crate::state::{DirectoryState, FileState, NameChange, Node, ROOT, State};

/// A moment at which the store may crash.
#[derive(Clone)]
pub struct Moment {
    /// The disk.
    pub state: State,
    /// What may be found after.
    pub history: History,
    /// How many lines of the recording come before it.
    pub lines: usize,
    /// Which of them is of the last call that changed something.
    pub change: Option<usize>,
}

/// What a disk noted down.
#[derive(Default)]
pub struct Recording {
    /// A line for each call.
    pub lines: Vec<String>,
    /// A digest of all the lines.
    pub digest: u64,
    /// A moment for each call that changed something, in order.
    pub moments: Vec<Moment>,
    /// Moments in which a counter of the engine grew.
    pub growth: Vec<(Range<usize>, Arc<str>)>,
    change: Option<usize>,
    /// The first moment since the counters were looked at.
    unlooked: usize,
}

pub(super) struct Inner {
    pub(super) state: State,
    history: History,
    recording: Option<Recording>,
    lie: Lie,
    is_opening: bool,
    /// What the last sync should have made durable, if it is late.
    late: Option<Target>,
    /// How many syncs were asked for, and which of them fails; 0: none.
    syncs: u64,
    failing_sync: u64,
    pub(super) features: FileFeatures,
    /// How many bytes all files that have a name may hold.
    capacity: Option<usize>,
    /// How many calls changed something, and how many more may.
    changes: u64,
    fuse: Option<u64>,
}

/// What a sync is to make durable.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// The names in a directory.
    Directory(usize),
    /// All bytes of a file.
    File(usize),
    /// One write of a file, by the number under which it was started.
    Write(usize, u64),
}

/// Files with their bytes.
pub type Contents = Vec<(String, Arc<Vec<u8>>)>;

/// A disk; clones share it.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Default for Disk {
    fn default() -> Self {
        Self::new(State::default())
    }
}

impl Disk {
    /// A disk in this state, with every optional feature.
    pub fn new(state: State) -> Self {
        let all = FileFeatures { direct: true, allocate: true, punch: true, link: true };
        Self(Arc::new(Mutex::new(Inner {
            state,
            history: History::default(),
            recording: None,
            lie: Lie::None,
            is_opening: false,
            late: None,
            syncs: 0,
            failing_sync: 0,
            features: all,
            capacity: None,
            changes: 0,
            fuse: None,
        })))
    }

    /// A disk that durably has these files.
    pub fn with_contents(contents: &[(String, Arc<Vec<u8>>)]) -> Self {
        let mut state = State::default();
        for (name, bytes) in contents {
            state.put(name, bytes);
        }
        Self::new(state)
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's own directory.
    pub fn root(&self) -> Arc<dyn Directory> {
        Arc::new(SimulatedDirectory { disk: self.clone(), number: ROOT })
    }

    /// The disk as it is now.
    pub fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// Begins to note down every call.
    pub fn record(&self) {
        self.inner().recording = Some(Recording::default());
    }

    /// How many lines were noted down so far.
    pub fn lines(&self) -> usize {
        self.inner().recording.as_ref().map_or(0, |recording| recording.lines.len())
    }

    /// What was noted down, if anything was; nothing is from now on.
    pub fn take_recording(&self) -> Recording {
        self.inner().recording.take().unwrap_or_default()
    }

    /// Whether calls are noted down.
    pub fn is_recording(&self) -> bool {
        self.inner().recording.is_some()
    }

    /// Notes down that these counters of the engine grew since this was called last.
    pub fn note_growth(&self, grown: impl Iterator<Item = Arc<str>>) {
        if let Some(recording) = &mut self.inner().recording {
            let moments = recording.unlooked..recording.moments.len();
            recording.unlooked = moments.end;
            recording.growth.extend(grown.map(|counter| (moments.clone(), counter)));
        }
    }

    /// From now on this may be found after a crash.
    pub fn set_history(&self, history: &History) {
        let mut inner = self.inner();
        inner.history = history.clone();
        inner.moment();
    }

    /// Plants a bug.
    pub fn plant(&self, lie: Lie) {
        self.inner().lie = lie;
    }

    /// Says that a store is being opened, or is open. A first start does not count.
    pub fn set_opening(&self, is_opening: bool) {
        let mut inner = self.inner();
        inner.is_opening = is_opening && !inner.state.directories[ROOT].current.is_empty();
    }

    /// The n-th sync from now on fails, be it of a file or of a directory, and leaves what it should have
    /// written marked clean; 0: none.
    pub fn fail_sync(&self, number: u64) {
        let mut inner = self.inner();
        (inner.syncs, inner.failing_sync) = (0, number);
    }

    /// How many syncs were asked for since the last `fail_sync`.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// The same disk, whose file system does not have some of the optional features.
    pub fn without(self, absent: FileFeatures) -> Self {
        let FileFeatures { direct, allocate, punch, link } = absent;
        self.inner().features =
            FileFeatures { direct: !direct, allocate: !allocate, punch: !punch, link: !link };
        self
    }

    /// How many calls changed something.
    pub fn changes(&self) -> u64 {
        self.inner().changes
    }

    /// From now on so many calls succeed that change something; then the disk is gone.
    pub fn light_fuse(&self, calls: u64) {
        self.inner().fuse = Some(calls);
    }

    /// Lets all files together have so many bytes at most.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.inner().capacity = bytes;
    }

    /// The files as they are now, in the order of their paths.
    pub fn contents(&self) -> Contents {
        let state = self.state();
        let bytes = |number: usize| Arc::new(state.files[number].current.range(0, usize::MAX));
        state.named_files().into_iter().map(|(name, number)| (name, bytes(number))).collect()
    }

    /// The disk after a crash now.
    pub fn after(&self, crash: Crash) -> Self {
        Self::new(self.inner().state.after(crash))
    }

    /// As a kill of the process leaves it: everything is there, and nothing more is durable.
    pub fn killed(&self) -> Self {
        self.after(Crash::Kill)
    }

    /// Only what is durable.
    pub fn cut_to_durable(&self) -> Self {
        self.after(Crash::TO_DURABLE)
    }

    /// The distinct disks that a power cut may leave now: chosen ones, and by the dice of `seed` so many more.
    pub fn power_cuts(&self, random: u64, seed: u64) -> Vec<Self> {
        let (before, mut seen) = (self.state(), HashSet::new());
        let cuts = crashes(&before, random, seed).into_iter().filter(|crash| *crash != Crash::Kill);
        let states = cuts.map(|crash| before.after(crash));
        states.filter(|state| seen.insert(state.digest())).map(Self::new).collect()
    }
}

impl Inner {
    /// Notes a call down.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            let line = line();
            recording.digest = mix_bytes(recording.digest, line.as_bytes());
            recording.lines.push(line);
        }
    }

    /// Notes down a call that changes something, unless the disk is gone; what a sync did too late is done now.
    pub(super) fn begin_change(&mut self, line: impl FnOnce() -> String) -> io::Result<()> {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.checked_sub(1).ok_or_else(|| io::Error::other("injected: the disk is gone"))?;
        }
        if let Some(late) = self.late.take() {
            self.make_durable(late);
        }
        self.changes += 1;
        self.note(line);
        if let Some(recording) = &mut self.recording {
            recording.change = recording.lines.len().checked_sub(1);
        }
        Ok(())
    }

    /// Refuses to make a file longer than the disk has room for.
    pub(super) fn find_room(&self, file: usize, len: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let len_of = |number: usize| self.state.files[number].current.len();
        let used: usize = self.state.named_files().into_iter().map(|(_, number)| len_of(number)).sum();
        match used + len.saturating_sub(len_of(file)) > capacity {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    /// A moment at which the store may crash.
    pub(super) fn moment(&mut self) {
        if let Some(recording) = &mut self.recording {
            let (state, history) = (self.state.clone(), self.history.clone());
            let (lines, change) = (recording.lines.len(), recording.change);
            recording.moments.push(Moment { state, history, lines, change });
        }
    }

    pub(super) fn file(&mut self, number: usize) -> &mut FileState {
        Arc::make_mut(&mut self.state.files[number])
    }

    pub(super) fn directory(&mut self, number: usize) -> &mut DirectoryState {
        Arc::make_mut(&mut self.state.directories[number])
    }

    /// The number of the next durable write.
    pub(super) fn next_ticket(&self) -> u64 {
        self.changes + 1
    }

    /// Syncs, as well as the disk does that.
    pub(super) fn sync(&mut self, target: Target) -> io::Result<()> {
        self.syncs += 1;
        if self.syncs == self.failing_sync {
            match target {
                Target::Directory(number) => self.directory(number).lose(),
                Target::File(number) | Target::Write(number, _) => self.file(number).lose(),
            }
            self.note(|| "the sync fails".to_string());
            self.moment();
            return match self.lie {
                Lie::RetriedSyncs => self.sync(target),
                _ => Err(io::Error::other("injected: the sync failed")),
            };
        }
        if matches!(self.lie, Lie::LateSyncs) {
            self.late = Some(target);
        } else if !self.is_lost(target) {
            self.make_durable(target);
        }
        self.moment();
        Ok(())
    }

    /// Whether the planted bug has a sync do nothing.
    fn is_lost(&self, target: Target) -> bool {
        match (self.lie, target) {
            (Lie::DataSyncs, Target::File(_) | Target::Write(..)) => true,
            (Lie::DirectorySyncsAfter(such), Target::Directory(number)) => {
                self.state.directories[number].pending.last().is_some_and(|(change, _)| such(change))
            }
            (Lie::SyncsAtOpen, _) => self.is_opening,
            _ => false,
        }
    }

    fn make_durable(&mut self, target: Target) {
        match target {
            Target::Directory(number) => self.directory(number).sync(),
            Target::File(number) => self.file(number).sync(),
            Target::Write(number, ticket) => self.file(number).finish(ticket),
        }
    }
}

/// A directory on the disk.
struct SimulatedDirectory {
    disk: Disk,
    number: usize,
}

impl SimulatedDirectory {
    /// Does a change of names.
    fn change(
        &self,
        line: impl FnOnce() -> String,
        change: impl FnOnce(&mut Inner) -> io::Result<NameChange>,
    ) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.begin_change(line)?;
        let change = change(&mut inner)?;
        inner.directory(self.number).change(change);
        inner.moment();
        Ok(())
    }
}

impl Inner {
    fn find(&self, directory: usize, name: &str) -> io::Result<Node> {
        plain(name)?;
        self.state.directories[directory].current.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn find_free(&self, directory: usize, name: &str) -> io::Result<()> {
        match self.find(directory, name) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Refuses what is no single component, as the real directory does.
fn plain(name: &str) -> io::Result<()> {
    match name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        true => Err(io::Error::new(ErrorKind::InvalidInput, format!("{name:?} is not a plain file name"))),
        false => Ok(()),
    }
}

impl Directory for SimulatedDirectory {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        if how.direct && !self.disk.inner().features.direct {
            return Err(io::Error::new(ErrorKind::Unsupported, "the file system has no direct I/O"));
        }
        if how.create_new {
            self.change(
                || format!("create {name}"),
                |inner| {
                    inner.find_free(self.number, name)?;
                    inner.state.files.push(Arc::default());
                    Ok(NameChange::Add(name.to_string(), Node::File(inner.state.files.len() - 1)))
                },
            )?;
        }
        let mut inner = self.disk.inner();
        inner.note(|| format!("open {name}"));
        match inner.find(self.number, name)? {
            Node::File(number) => Ok(Arc::new(SimulatedFile::new(self.disk.clone(), number, name, how))),
            Node::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        let mut inner = self.disk.inner();
        inner.note(|| format!("open directory {name}"));
        match inner.find(self.number, name)? {
            Node::Directory(number) => Ok(Arc::new(Self { disk: self.disk.clone(), number })),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.change(
            || format!("create directory {name}"),
            |inner| {
                inner.find_free(self.number, name)?;
                inner.state.directories.push(Arc::default());
                Ok(NameChange::Add(name.to_string(), Node::Directory(inner.state.directories.len() - 1)))
            },
        )
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        let mut inner = self.disk.inner();
        inner.note(|| "list".to_string());
        let names = inner.state.directories[self.number].current.iter();
        let entry = |(name, node): (&String, &Node)| DirectoryEntry {
            name: name.clone(),
            is_directory: matches!(node, Node::Directory(_)),
        };
        Ok(names.map(entry).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let inner = self.disk.inner();
        if inner.find(self.number, from).is_ok_and(|node| inner.find(self.number, to).ok() == Some(node)) {
            // Two names of one file: the call succeeds and does nothing.
            return Ok(());
        }
        drop(inner);
        self.change(
            || format!("rename {from} to {to}"),
            |inner| {
                let node = inner.find(self.number, from)?;
                match (node, inner.find(self.number, to)) {
                    (_, Err(error)) if error.kind() != ErrorKind::NotFound => return Err(error),
                    (Node::File(_), Ok(Node::Directory(_))) => return Err(ErrorKind::IsADirectory.into()),
                    (Node::Directory(_), Ok(Node::File(_))) => return Err(ErrorKind::NotADirectory.into()),
                    (_, Ok(Node::Directory(old))) if !inner.state.directories[old].current.is_empty() => {
                        return Err(ErrorKind::DirectoryNotEmpty.into());
                    }
                    _ => {}
                }
                Ok(NameChange::Rename(from.to_string(), to.to_string(), node))
            },
        )
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        if !self.disk.inner().features.link {
            return Err(ErrorKind::Unsupported.into());
        }
        self.change(
            || format!("link {from} to {to}"),
            |inner| {
                let node = inner.find(self.number, from)?;
                inner.find_free(self.number, to)?;
                match node {
                    Node::File(_) => Ok(NameChange::Add(to.to_string(), node)),
                    Node::Directory(_) => Err(ErrorKind::PermissionDenied.into()),
                }
            },
        )
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(
            || format!("remove {name}"),
            |inner| {
                let node = inner.find(self.number, name)?;
                match node {
                    Node::Directory(inside) if !inner.state.directories[inside].current.is_empty() => {
                        Err(ErrorKind::DirectoryNotEmpty.into())
                    }
                    _ => Ok(NameChange::Remove(name.to_string(), node)),
                }
            },
        )
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.begin_change(|| "sync the directory".to_string())?;
        inner.sync(Target::Directory(self.number))
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn features(&self) -> FileFeatures {
        self.disk.inner().features
    }
}
