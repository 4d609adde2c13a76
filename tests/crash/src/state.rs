//! What a disk holds: for each file and each directory what is durable, and in order what is not yet.
//!
//! ```text
//! a file        durable bytes │ write, length, hole, …      a sync of the file makes all of it durable
//! a directory   durable names │ add, rename, remove, …      a sync of the directory makes all of it durable
//! ```
//!
//! The two know nothing of each other: a durable name may lead to a file without bytes, and durable bytes may
//! have no name. Promises: a copy of a state is cheap and shares every byte; two states with the same names
//! and bytes have the same digest. `environment` changes states, `power_cut` makes others of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::image::{Image, mix, mix_bytes};

/// What a device writes as a whole, in bytes.
pub const SECTOR: usize = 512;
/// The number of the directory that everything else is in.
pub const ROOT: usize = 0;

/// A change of a file's bytes or length.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes written at an offset.
    Write {
        /// Where the first of them goes.
        offset: usize,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// Cut, or made longer with zeros.
    SetLen(usize),
    /// Made longer with zeros, if it is shorter.
    Extend(usize),
    /// A range that reads as zeros now.
    Punch {
        /// Where it begins.
        offset: usize,
        /// How long it is, in bytes.
        len: usize,
    },
}

impl Change {
    pub(crate) fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, bytes } => image.write(*offset, bytes),
            Self::SetLen(len) => image.set_len(*len),
            Self::Extend(len) => image.set_len((*len).max(image.len())),
            Self::Punch { offset, len } => image.punch(*offset, *len),
        }
    }

    /// The length that a file of this length has after it.
    pub(crate) fn len_after(&self, len: usize) -> usize {
        match self {
            Self::Write { offset, bytes } => len.max(offset + bytes.len()),
            Self::SetLen(len) => *len,
            Self::Extend(end) => len.max(*end),
            Self::Punch { .. } => len,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { offset, bytes } => write!(f, "write of {} bytes at {offset}", bytes.len()),
            Self::SetLen(len) => write!(f, "length {len}"),
            Self::Extend(len) => write!(f, "room up to {len}"),
            Self::Punch { offset, len } => write!(f, "hole of {len} bytes at {offset}"),
        }
    }
}

/// How a change that is not durable stands with the next sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The next sync makes it durable.
    Dirty,
    /// A sync failed and left it marked clean: no later sync makes it durable, and reads show it.
    Clean,
    /// A durable write that was started; `File::wait` with this number makes it durable, or the next sync.
    Started(u64),
    /// Durable, behind a change that is not.
    Forced,
}

/// A change that is not durable, or not alone.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The change.
    pub change: Change,
    /// How it stands.
    pub standing: Standing,
}

/// A file, whatever its names.
#[derive(Clone, Default)]
pub struct FileState {
    /// The bytes on the device.
    pub durable: Image,
    /// What came after, in order.
    pub pending: Vec<Pending>,
    /// The bytes that reads show.
    pub current: Image,
}

impl FileState {
    /// Does a change that is visible at once.
    pub(crate) fn change(&mut self, change: Change, standing: Standing) {
        change.apply(&mut self.current);
        self.pending.push(Pending { change, standing });
    }

    /// Makes everything durable that a sync can.
    pub(crate) fn sync(&mut self) {
        self.force(|standing| standing != Standing::Clean);
    }

    /// Makes a started write durable: its own bytes, and nothing that was written before it.
    pub(crate) fn finish(&mut self, ticket: u64) {
        self.force(|standing| standing == Standing::Started(ticket));
    }

    fn force(&mut self, which: impl Fn(Standing) -> bool) {
        for pending in self.pending.iter_mut().filter(|it| which(it.standing)) {
            pending.standing = Standing::Forced;
        }
        self.settle();
    }

    /// A sync that fails, and leaves what it should have written marked clean.
    pub(crate) fn lose(&mut self) {
        for pending in &mut self.pending {
            if pending.standing != Standing::Forced {
                pending.standing = Standing::Clean;
            }
        }
    }

    /// Moves what is durable to the bytes on the device, as far as nothing else comes before it.
    fn settle(&mut self) {
        let forced = self.pending.iter().take_while(|it| it.standing == Standing::Forced).count();
        if forced == self.pending.len() {
            self.durable = self.current.clone();
            self.pending.clear();
        } else {
            let durable = &mut self.durable;
            self.pending.drain(..forced).for_each(|it| it.change.apply(durable));
        }
    }

    /// A file with these bytes, durable.
    pub(crate) fn durable(image: Image) -> Self {
        Self { durable: image.clone(), pending: Vec::new(), current: image }
    }
}

/// What a name leads to, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A file.
    File(usize),
    /// A directory.
    Directory(usize),
}

/// A change of the names in a directory. Each happens as a whole or not at all.
#[derive(Clone, Debug)]
pub enum NameChange {
    /// A new name.
    Add(String, Node),
    /// Another name, which may have replaced a file.
    Rename(String, String, Node),
    /// A name less.
    Remove(String, Node),
}

impl NameChange {
    pub(crate) fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Remove(name, node) => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
            Self::Rename(from, to, node) => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl fmt::Display for NameChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(name, _) => write!(f, "new name {name}"),
            Self::Rename(from, to, _) => write!(f, "rename {from} to {to}"),
            Self::Remove(name, _) => write!(f, "remove {name}"),
        }
    }
}

/// The names in a directory.
pub type Names = BTreeMap<String, Node>;

/// A directory.
#[derive(Clone, Default)]
pub struct DirectoryState {
    /// The names on the device.
    pub durable: Names,
    /// What came after, in order; `true`: a sync that failed left it marked clean.
    pub pending: Vec<(NameChange, bool)>,
    /// The names that `list` shows.
    pub current: Names,
}

impl DirectoryState {
    /// Does a change that is visible at once. It dirties the block of names again that a failed sync left marked
    /// clean: the names of a store fit into one.
    pub(crate) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.current);
        self.pending.iter_mut().for_each(|(_, is_clean)| *is_clean = false);
        self.pending.push((change, false));
    }

    /// Makes everything durable that a sync can.
    pub(crate) fn sync(&mut self) {
        // All of them are clean, or none.
        if self.pending.iter().all(|(_, is_clean)| !is_clean) {
            self.durable = self.current.clone();
            self.pending.clear();
        }
    }

    /// A sync that fails, and leaves what it should have written marked clean.
    pub(crate) fn lose(&mut self) {
        self.pending.iter_mut().for_each(|(_, is_clean)| *is_clean = true);
    }
}

/// A disk at one moment.
#[derive(Clone)]
pub struct State {
    /// Every file that ever was, by its number.
    pub files: Vec<Arc<FileState>>,
    /// Every directory that ever was, by its number; the first is the engine's own.
    pub directories: Vec<Arc<DirectoryState>>,
}

impl Default for State {
    fn default() -> Self {
        Self { files: Vec::new(), directories: vec![Arc::default()] }
    }
}

impl State {
    /// Puts a durable file into the engine's own directory.
    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) {
        let (mut image, node) = (Image::default(), Node::File(self.files.len()));
        image.write(0, bytes);
        self.files.push(Arc::new(FileState::durable(image)));
        let root = Arc::make_mut(&mut self.directories[ROOT]);
        root.durable.insert(name.to_string(), node);
        root.current.insert(name.to_string(), node);
    }

    /// Every file that has a name now, with its path, in the order of the paths.
    pub fn named_files(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        self.walk(ROOT, "", &mut found);
        found
    }

    fn walk(&self, directory: usize, path: &str, found: &mut Vec<(String, usize)>) {
        for (name, node) in &self.directories[directory].current {
            match node {
                Node::File(file) => found.push((format!("{path}{name}"), *file)),
                Node::Directory(inner) => self.walk(*inner, &format!("{path}{name}/"), found),
            }
        }
    }

    /// A digest of what there is, and of what is pending.
    pub fn digest(&self) -> u64 {
        let of_file = |file: usize| {
            let file = &self.files[file];
            file.pending.iter().fold(mix(file.durable.digest()) ^ file.current.digest(), |sum, it| {
                let what = mix_bytes(it.standing.digest(), it.change.to_string().as_bytes());
                mix(sum ^ what)
            })
        };
        self.directories.iter().enumerate().fold(0, |sum, (number, directory)| {
            let sum = directory.current.iter().fold(mix(sum ^ number as u64), |sum, (name, node)| {
                let node = match node {
                    Node::File(file) => of_file(*file),
                    Node::Directory(inner) => mix(*inner as u64),
                };
                mix(sum ^ mix_bytes(node, name.as_bytes()))
            });
            directory.pending.iter().fold(sum, |sum, (change, is_clean)| {
                mix(sum ^ mix_bytes(u64::from(*is_clean), change.to_string().as_bytes()))
            })
        })
    }
}

impl Standing {
    fn digest(self) -> u64 {
        match self {
            Self::Dirty => 0,
            Self::Clean => 1,
            Self::Forced => 2,
            Self::Started(_) => 3,
        }
    }
}

/// One line for each name, and one for each change that is pending.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, number) in self.named_files() {
            let file = &self.files[number];
            writeln!(f, "{path}: {} bytes, digest {:016x}", file.current.len(), file.current.digest())?;
            for pending in &file.pending {
                writeln!(f, "    {:?}: {}", pending.standing, pending.change)?;
            }
        }
        let changes = self.directories.iter().flat_map(|directory| &directory.pending);
        changes.into_iter().try_for_each(|(change, _)| writeln!(f, "    in the directory: {change}"))
    }
}
