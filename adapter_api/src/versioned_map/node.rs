//! The nodes of the tree: leaves of cells, branches of children, and how a key is searched in them.
//!
//! ```text
//! leaf     version │ length │ prefix │ head … │ cell …              one block, room for `LEAF_ROOM` entries
//! branch   version │ prefix │ head … │ end … │ bounds, children     these two outside of the block
//!            │                  │        └─ the four bytes of the key behind the prefix, zeros behind a short key
//!            │                  └─ how many bytes all keys, or bounds, begin with in common, or fewer
//!            └─ the edit that made the node: older versions cannot see it
//! ```
//!
//! Promises: keys ascend. A search looks at the heads, which lie together, and at few keys: those of the same
//! head, and for a place among keys that are there the first. The idea of heads is that of poor man's normalised keys:
//! Graefe, "Modern B-Tree Techniques" (2011), 3.5. Called by `tree` and `edit`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pointer::Shared;
use super::record::{CACHE_LINE_BYTES, Cell, OwnedRecord, prefetch};

/// How many entries a leaf has room for: one more than it keeps.
pub(super) const LEAF_ROOM: usize = 64;
/// How many children a branch has room for.
pub(super) const BRANCH_ROOM: usize = 64;

/// How many entries and how many bytes of keys and values. Arithmetic wraps, so it may be a difference too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Size {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// How many of the bytes are of values that are away.
    pub(super) away: u64,
}

impl Size {
    /// Bytes that the map itself holds.
    pub(super) fn here(self) -> u64 {
        self.bytes.saturating_sub(self.away)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.wrapping_add(other.entries),
            bytes: self.bytes.wrapping_add(other.bytes),
            away: self.away.wrapping_add(other.away),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            entries: self.entries.wrapping_sub(other.entries),
            bytes: self.bytes.wrapping_sub(other.bytes),
            away: self.away.wrapping_sub(other.away),
        }
    }
}

/// A node, and what is known of everything below it.
pub(super) struct Child {
    pub(super) node: Shared<Node>,
    entries: u64,
    /// An entry that is overwritten by one of another length changes these in place, in nodes that older
    /// versions share: so they are exact for the newest version, and nearly so for older ones.
    bytes: AtomicU64,
    away: AtomicU64,
}

impl Child {
    pub(super) fn new(node: Node, size: Size) -> Self {
        let Size { entries, bytes, away } = size;
        Self { node: Shared::new(node), entries, bytes: AtomicU64::new(bytes), away: AtomicU64::new(away) }
    }

    pub(super) fn size(&self) -> Size {
        let (bytes, away) = (self.bytes.load(Ordering::Relaxed), self.away.load(Ordering::Relaxed));
        Size { entries: self.entries, bytes, away }
    }

    pub(super) fn set_size(&mut self, size: Size) {
        let Size { entries, bytes, away } = size;
        (self.entries, self.bytes, self.away) = (entries, AtomicU64::new(bytes), AtomicU64::new(away));
    }

    /// Adds a difference of bytes. Called by the writer alone.
    pub(super) fn add_bytes(&self, difference: Size) {
        let sum = self.size().plus(difference);
        self.bytes.store(sum.bytes, Ordering::Relaxed);
        self.away.store(sum.away, Ordering::Relaxed);
    }

    pub(super) fn duplicate(&self) -> Self {
        let mut duplicate = Self {
            node: self.node.duplicate(),
            entries: 0,
            bytes: AtomicU64::default(),
            away: AtomicU64::default(),
        };
        duplicate.set_size(self.size());
        duplicate
    }
}

#[repr(C)]
pub(super) struct Node {
    pub(super) version: u64,
    pub(super) items: Items,
}

#[expect(clippy::large_enum_variant, reason = "there are many leaves to a branch")]
pub(super) enum Items {
    Leaf(Leaf),
    Branch(Branch),
}

impl Node {
    pub(super) fn leaf(version: u64, leaf: Leaf) -> Self {
        Self { version, items: Items::Leaf(leaf) }
    }

    pub(super) fn branch(version: u64, branch: Branch) -> Self {
        Self { version, items: Items::Branch(branch) }
    }

    /// A copy that an edit may change.
    pub(super) fn copy(&self, version: u64) -> Self {
        match &self.items {
            Items::Leaf(leaf) => Self::leaf(version, leaf.copy()),
            Items::Branch(branch) => Self::branch(version, branch.copy()),
        }
    }

    /// How many entries or children.
    pub(super) fn len(&self) -> usize {
        match &self.items {
            Items::Leaf(leaf) => leaf.len(),
            Items::Branch(branch) => branch.children.len(),
        }
    }

    /// The memory that the node takes, about.
    pub(super) fn footprint(&self) -> u64 {
        let children = match &self.items {
            Items::Leaf(_) => 0,
            Items::Branch(branch) => branch.children.len() * size_of::<Child>(),
        };
        (size_of::<Self>() + children) as u64
    }
}

impl Shared<Node> {
    /// Begins to fetch what a search looks at first.
    pub(super) fn prefetch(&self) {
        (0..5).for_each(|line| prefetch(self.as_ptr().wrapping_byte_add(line * CACHE_LINE_BYTES)));
    }
}

/// Entries, in the order of their keys. What a search looks at first lies first.
#[repr(C)]
pub(super) struct Leaf {
    len: u16,
    prefix: u16,
    heads: [u32; LEAF_ROOM],
    cells: [Cell; LEAF_ROOM],
}

impl Leaf {
    pub(super) const fn empty() -> Self {
        Self { len: 0, prefix: 0, heads: [0; LEAF_ROOM], cells: [const { Cell::unused() }; LEAF_ROOM] }
    }

    /// A leaf that leads to the same records.
    pub(super) fn of(cells: &[Cell]) -> Self {
        let mut leaf = Self::empty();
        for (to, from) in leaf.cells.iter_mut().zip(cells) {
            *to = from.duplicate();
        }
        leaf.len = cells.len() as u16;
        leaf.take_longest_prefix();
        leaf
    }

    fn copy(&self) -> Self {
        let mut copy = Self { len: self.len, prefix: self.prefix, ..Self::empty() };
        copy.heads = self.heads;
        for (to, from) in copy.cells.iter_mut().zip(self.cells()) {
            *to = from.duplicate();
        }
        copy
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells[..self.len()]
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        self.cells()[at].newest().key()
    }

    /// How many entries and bytes there are in a range, as of a version.
    pub(super) fn size_of(&self, range: Range<usize>, version: u64) -> Size {
        self.cells()[range].iter().fold(Size::default(), |sum, cell| sum.plus(cell.at(version).size()))
    }

    /// The cell that has the head of the key, or the first of several.
    pub(super) fn candidate(&self, key: &[u8]) -> Option<&Cell> {
        let head = head_of(key, self.prefix.into());
        let at = heads_below(&self.heads[..self.len()], head);
        self.cells().get(at).filter(|_| self.heads[at] == head)
    }

    /// The cell of the key.
    pub(super) fn find(&self, key: &[u8]) -> Option<&Cell> {
        // If some key has the very bytes, its head is where theirs would be: the prefix need not be looked at.
        let (head, heads) = (head_of(key, self.prefix.into()), &self.heads[..self.len()]);
        let first = heads_below(heads, head);
        let same = heads[first..].iter().take_while(|same| **same == head).count();
        self.cells()[first..first + same].iter().find(|cell| cell.newest().key() == key)
    }

    /// How many keys are smaller.
    pub(super) fn rank(&self, key: &[u8]) -> usize {
        let heads = &self.heads[..self.len()];
        rank(heads, self.prefix.into(), key, |at| self.key(at), |held| held < key)
    }

    /// Puts an entry behind so many smaller keys. There is room.
    pub(super) fn insert(&mut self, at: usize, record: OwnedRecord) {
        let (key, len) = (record.lend(), self.len());
        let shared = match len {
            0 => key.key().len(),
            _ => common(&self.key(0)[..self.prefix.into()], key.key()),
        };
        if len == 0 || shared < self.prefix.into() {
            self.set_prefix(shared);
        }
        self.heads[at..=len].rotate_right(1);
        self.cells[at..=len].rotate_right(1);
        self.heads[at] = head_of(key.key(), self.prefix.into());
        self.cells[at] = Cell::new(record);
        self.len += 1;
    }

    /// Removes entries.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        self.heads[range.start..len].rotate_left(range.len());
        self.cells[range.start..len].rotate_left(range.len());
        self.len -= range.len() as u16;
    }

    fn take_longest_prefix(&mut self) {
        if let Some(last) = self.len().checked_sub(1) {
            self.cells().iter().for_each(|cell| cell.newest().prefetch());
            self.set_prefix(common(self.key(0), self.key(last)));
        }
    }

    fn set_prefix(&mut self, prefix: usize) {
        self.prefix = prefix as u16;
        for at in 0..self.len() {
            self.heads[at] = head_of(self.key(at), prefix);
        }
    }
}

/// Children, and a bound between each two of them: all keys left of it are below it, none right of it is.
#[repr(C)]
pub(super) struct Branch {
    prefix: usize,
    heads: [u32; BRANCH_ROOM],
    /// Where each bound ends in `bounds`.
    ends: [u32; BRANCH_ROOM],
    /// One behind the other. Copies of the branch share them.
    bounds: Arc<[u8]>,
    pub(super) children: Vec<Child>,
}

impl Branch {
    /// There are at most `BRANCH_ROOM` children, and one bound fewer.
    pub(super) fn of(parts: Parts) -> Self {
        let Parts { bounds, children } = parts;
        let prefix = match (bounds.first(), bounds.last()) {
            (Some(first), Some(last)) => common(first, last),
            _ => 0,
        };
        let (mut heads, mut ends, mut end) = ([0; BRANCH_ROOM], [0; BRANCH_ROOM], 0);
        for (at, bound) in bounds.iter().enumerate() {
            end += bound.len();
            (heads[at], ends[at]) = (head_of(bound, prefix), end as u32);
        }
        Self { prefix, heads, ends, bounds: bounds.concat().into(), children }
    }

    /// What the branch consists of, to be made into something else.
    pub(super) fn parts(&self) -> Parts {
        Parts {
            bounds: (1..self.children.len()).map(|child| self.bound(child - 1).into()).collect(),
            children: self.children.iter().map(Child::duplicate).collect(),
        }
    }

    fn copy(&self) -> Self {
        let children = self.children.iter().map(Child::duplicate).collect();
        Self { bounds: Arc::clone(&self.bounds), children, ..*self }
    }

    /// The bound behind the child at `at`.
    pub(super) fn bound(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bounds[start as usize..self.ends[at] as usize]
    }

    /// The child that holds the key if any does.
    pub(super) fn route(&self, key: &[u8]) -> usize {
        let heads = &self.heads[..self.children.len().saturating_sub(1)];
        rank(heads, self.prefix, key, |at| self.bound(at), |bound| bound <= key)
    }
}

/// What branches are made of: any number of children, and a bound between each two.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) bounds: Vec<Box<[u8]>>,
    pub(super) children: Vec<Child>,
}

/// A part that a node was divided into, and the bound between it and the part before.
pub(super) struct Sibling {
    pub(super) bound: Box<[u8]>,
    pub(super) child: Child,
}

impl Parts {
    /// Puts siblings behind a child.
    pub(super) fn add_behind(&mut self, child: usize, siblings: Vec<Sibling>) {
        let (bounds, children): (Vec<_>, Vec<_>) =
            siblings.into_iter().map(|sibling| (sibling.bound, sibling.child)).unzip();
        self.bounds.splice(child..child, bounds);
        self.children.splice(child + 1..child + 1, children);
    }

    /// Takes the children of a range out, and with each a bound next to it.
    pub(super) fn remove(&mut self, children: Range<usize>) -> Vec<Child> {
        let bounds = match children.start {
            0 => 0..children.end.min(self.bounds.len()),
            start => start - 1..children.end - 1,
        };
        self.bounds.drain(bounds);
        self.children.drain(children).collect()
    }
}

pub(super) fn size_of_children(children: &[Child]) -> Size {
    children.iter().fold(Size::default(), |sum, child| sum.plus(child.size()))
}

/// The shortest key above `left` and not above `right`, which keeps branches small.
pub(super) fn separator(left: &[u8], right: &[u8]) -> Box<[u8]> {
    right[..right.len().min(common(left, right) + 1)].into()
}

/// How many keys there are for which `is_before` holds; it must hold for every key below `key` and for none above.
fn rank<'k>(
    heads: &[u32],
    prefix: usize,
    key: &[u8],
    key_at: impl Fn(usize) -> &'k [u8],
    is_before: impl Fn(&[u8]) -> bool,
) -> usize {
    if heads.is_empty() {
        return 0;
    }
    let shared = &key_at(0)[..prefix];
    if !key.starts_with(shared) {
        return if key < shared { 0 } else { heads.len() };
    }
    let head = head_of(key, prefix);
    let first = heads_below(heads, head);
    let same = heads[first..].iter().take_while(|same| **same == head).count();
    first + (first..first + same).take_while(|at| is_before(key_at(*at))).count()
}

/// How many heads are smaller. Looks at all of them: that takes no branch which depends on them, and fetches their
/// cache lines at once.
fn heads_below(heads: &[u32], head: u32) -> usize {
    heads.iter().map(|held| u32::from(*held < head)).sum::<u32>() as usize
}

/// How many bytes two keys begin with in common.
pub(super) fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}

fn head_of(key: &[u8], prefix: usize) -> u32 {
    u32::from_be_bytes(bytes_behind(key, prefix))
}

/// The bytes of a key behind a prefix, zeros behind a short key.
pub(super) fn bytes_behind<const COUNT: usize>(key: &[u8], prefix: usize) -> [u8; COUNT] {
    let rest = key.get(prefix..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; COUNT];
        bytes[..rest.len()].copy_from_slice(rest);
        bytes
    })
}

#[cfg(test)]
impl Leaf {
    /// Panics at the first broken promise of the module.
    pub(super) fn check(&self) {
        let keys: Vec<&[u8]> = (0..self.len()).map(|at| self.key(at)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "keys ascend");
        let prefix = usize::from(self.prefix);
        assert!(keys.iter().all(|key| key.starts_with(&keys[0][..prefix])), "all share the prefix");
        assert!((0..keys.len()).all(|at| self.heads[at] == head_of(keys[at], prefix)));
    }
}
