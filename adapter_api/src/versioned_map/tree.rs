//! The persistent B+tree under `VersionedMap`: cloning it is cheap, and editing one clone never shows in another.
//!
//! Promises: a node that another clone can see is copied before it is changed, and a node that was copied
//! already is edited in place; so a group of writes copies each node it touches once. All leaves are equally
//! deep; every node but the root has between `least` and `most` items; each subtree knows how many entries
//! and bytes it holds, which makes ranks, counts and estimates exact in logarithmic time. Called by
//! `versioned_map` alone.
//!
//! ```text
//!              ┌─ branch ─────────────────────┐
//!              │ 40 │ "k" │ 35 │ "t" │ 51 │ …  │   a bound between two children: all keys left of it are
//!              └──┬───────────┬───────────┬───┘   below it, none right of it is
//!     ┌─ leaf ────┴──┐  ┌─ leaf ┴───┐  ┌───┴───
//!     │ a b c … (40) │  │ kb kc …   │  │ t tz …     entries, packed (see `packed`)
//!     └──────────────┘  └───────────┘  └────────
//! ```

use std::sync::Arc;

use super::packed::{Packed, common};
use super::record::Stored;
use crate::KeyRange;

/// How many entries and how many bytes of keys and values.
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
        self.bytes - self.away
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
            away: self.away + other.away,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
            away: self.away.saturating_sub(other.away),
        }
    }
}

/// A node and what is known of everything below it.
#[derive(Clone, Default)]
pub(super) struct Subtree {
    pub(super) size: Size,
    pub(super) node: Arc<Node>,
}

#[derive(Clone, Default)]
pub(super) struct Node {
    /// The edit that made the node: views of older versions cannot see it.
    pub(super) version: u64,
    pub(super) items: Items,
}

#[derive(Clone)]
pub(super) enum Items {
    Leaf(Packed),
    Branch(Branch),
}

/// Children, and a bound between each two of them.
#[derive(Clone, Default)]
pub(super) struct Branch {
    pub(super) bounds: Packed,
    pub(super) children: Vec<Subtree>,
}

impl Branch {
    /// The child that holds the key if any does.
    pub(super) fn route(&self, key: &[u8]) -> usize {
        self.bounds.rank_after(key)
    }

    /// Puts siblings, each with the bound before it, behind a child.
    pub(super) fn add_behind(&mut self, child: usize, siblings: Vec<Sibling>) {
        for (at, sibling) in (child..).zip(siblings) {
            self.bounds.insert(at, &sibling.bound, Stored::Here(&[]));
            self.children.insert(at + 1, sibling.subtree);
        }
    }

    /// Removes the children of a range, and with each a bound next to it.
    pub(super) fn remove(&mut self, children: std::ops::Range<usize>) {
        let bounds = match children.start {
            0 => 0..children.end.min(self.bounds.len()),
            start => start - 1..children.end - 1,
        };
        self.bounds.remove(bounds);
        self.children.drain(children);
    }
}

/// A part that a node was divided into, and the bound between it and the part before.
pub(super) struct Sibling {
    pub(super) bound: Vec<u8>,
    pub(super) subtree: Subtree,
}

impl Default for Items {
    fn default() -> Self {
        Self::Leaf(Packed::default())
    }
}

impl Items {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Branch(branch) => branch.children.len(),
        }
    }

    pub(super) fn size(&self) -> Size {
        match self {
            Self::Leaf(entries) => entries.size(),
            Self::Branch(branch) => size_of_children(&branch.children),
        }
    }

    /// A copy, with some room for more.
    pub(super) fn copy(&self, room: usize) -> Self {
        match self {
            Self::Leaf(entries) => Self::Leaf(entries.with_room(1, room)),
            Self::Branch(branch) => Self::Branch(branch.clone()),
        }
    }

    /// The memory that a copy of the node takes, about.
    pub(super) fn footprint(&self) -> u64 {
        let items = match self {
            Self::Leaf(entries) => entries.footprint(),
            Self::Branch(branch) => {
                branch.bounds.footprint() + (branch.children.len() * size_of::<Subtree>()) as u64
            }
        };
        size_of::<Node>() as u64 + items
    }
}

pub(super) fn size_of_children(children: &[Subtree]) -> Size {
    children.iter().fold(Size::default(), |sum, child| sum.plus(child.size))
}

/// The shortest key above `left` and not above `right`, which keeps branches small.
pub(super) fn separator(left: &[u8], right: &[u8]) -> Vec<u8> {
    right[..right.len().min(common(left, right) + 1)].into()
}

impl Node {
    /// The entries of a leaf; a branch has none.
    pub(super) fn entries(&self) -> &Packed {
        static NONE: Packed = Packed::empty();
        match &self.items {
            Items::Leaf(entries) => entries,
            Items::Branch(_) => &NONE,
        }
    }
}

impl Subtree {
    pub(super) fn new(version: u64, items: Items) -> Self {
        Self { size: items.size(), node: Arc::new(Node { version, items }) }
    }

    pub(super) fn recount(&mut self) {
        self.size = self.node.items.size();
    }

    /// The first or the last leaf.
    fn edge_leaf(&self, last: bool) -> &Arc<Node> {
        let mut node = &self.node;
        while let Items::Branch(Branch { children, .. }) = &node.items
            && let Some(child) = if last { children.last() } else { children.first() }
        {
            node = &child.node;
        }
        node
    }

    pub(super) fn first_key(&self) -> &[u8] {
        self.edge_leaf(false).entries().first_key()
    }
}

/// One version of the map. A clone costs one count.
#[derive(Clone, Default)]
pub(super) struct Tree {
    pub(super) root: Subtree,
}

impl Tree {
    /// The size of the whole map.
    pub(super) fn size(&self) -> Size {
        self.root.size
    }

    /// The value of the key.
    pub(super) fn find(&self, key: &[u8]) -> Option<Stored<'_>> {
        self.leaf_of(key, |_| ()).entries().find(key)
    }

    /// What the range holds, exactly.
    pub(super) fn size_of(&self, range: KeyRange<'_>) -> Size {
        let below = self.size_below(range.start());
        let until = range.end().map_or(self.size(), |end| self.size_below(end));
        until.minus(below)
    }

    fn size_below(&self, key: &[u8]) -> Size {
        let mut size = Size::default();
        let entries = self.leaf_of(key, |before| size = size.plus(size_of_children(before))).entries();
        let rank = entries.rank(key);
        size.plus(entries.size_of(0..rank))
    }

    /// The leaf that the first entry with a key not below `key` is in, with its place.
    pub(super) fn at_or_above(&self, key: &[u8]) -> Option<(Arc<Node>, usize)> {
        let mut following = None;
        let mut node = &self.root.node;
        while let Items::Branch(branch) = &node.items {
            let child = branch.route(key);
            following = branch.children.get(child + 1).or(following);
            node = &branch.children[child].node;
        }
        let at = node.entries().rank(key);
        if at < node.entries().len() {
            return Some((Arc::clone(node), at));
        }
        following.map(|subtree| (Arc::clone(subtree.edge_leaf(false)), 0))
    }

    /// The leaf that the last entry with a key below `key` is in, with its place; the very last one
    /// without a key.
    pub(super) fn below(&self, key: Option<&[u8]>) -> Option<(Arc<Node>, usize)> {
        let Some(key) = key else {
            let leaf = self.root.edge_leaf(true);
            return leaf.entries().len().checked_sub(1).map(|at| (Arc::clone(leaf), at));
        };
        let mut preceding = None;
        let mut node = &self.root.node;
        while let Items::Branch(branch) = &node.items {
            let child = branch.route(key);
            preceding = child.checked_sub(1).map(|left| &branch.children[left]).or(preceding);
            node = &branch.children[child].node;
        }
        if let Some(at) = node.entries().rank(key).checked_sub(1) {
            return Some((Arc::clone(node), at));
        }
        let leaf = preceding?.edge_leaf(true);
        leaf.entries().len().checked_sub(1).map(|at| (Arc::clone(leaf), at))
    }

    /// Descends to the leaf that would hold the key, showing `passed` the children left of the way.
    fn leaf_of<'t>(&'t self, key: &[u8], mut passed: impl FnMut(&'t [Subtree])) -> &'t Arc<Node> {
        let mut node = &self.root.node;
        while let Items::Branch(branch) = &node.items {
            let child = branch.route(key);
            passed(&branch.children[..child]);
            node = &branch.children[child].node;
        }
        node
    }
}
