//! One version of the map to read: a B+tree whose nodes later versions share.
//!
//! Promises: all leaves are equally deep; every node but the root has between `least` and `most` items; each
//! child knows how many entries there are below it, as of the versions that see it, which makes ranks and counts exact in
//! logarithmic time. Called by `versioned_map` alone.
//!
//! ```text
//!              ┌─ branch ─────────────────────┐
//!              │ 40 │ "k" │ 35 │ "t" │ 51 │ …  │   a bound between two children: all keys left of it are
//!              └──┬───────────┬───────────┬───┘   below it, none right of it is
//!     ┌─ leaf ────┴──┐  ┌─ leaf ┴───┐  ┌───┴───
//!     │ a b c … (40) │  │ kb kc …   │  │ t tz …     a cell for each entry, which leads to its records
//!     └──────────────┘  └───────────┘  └────────
//! ```

use super::node::{Child, Items, Leaf, Node, Size, size_of_children};
use super::pointer::Shared;
use super::record::{Record, Stored};
use crate::{Buffer, KeyRange, Result, Values};

/// How many searches go side by side: as many misses of the cache as a processor waits for at once.
pub(super) const SIDE_BY_SIDE: usize = 16;

/// One version of the map, lent by what keeps it alive.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    root: &'a Child,
    version: u64,
}

/// A branch on the way down, and which of its children the way goes on in.
pub(super) struct Step<'a> {
    /// The edit that made the branch.
    pub(super) version: u64,
    pub(super) children: &'a [Child],
    pub(super) at: usize,
}

/// A leaf and a place in it.
pub(super) type Place<'a> = (&'a Shared<Node>, usize);

impl Node {
    /// The entries of a leaf; a branch has none.
    pub(super) fn entries(&self) -> &Leaf {
        static NONE: Leaf = Leaf::empty();
        match &self.items {
            Items::Leaf(leaf) => leaf,
            Items::Branch(_) => &NONE,
        }
    }
}

impl<'a> Tree<'a> {
    /// The version below a root, which must be that of whatever keeps it alive.
    pub(super) fn new(root: &'a Child, version: u64) -> Self {
        Self { root, version }
    }

    pub(super) fn version(self) -> u64 {
        self.version
    }

    /// The size of the whole map.
    pub(super) fn size(self) -> Size {
        self.root.size()
    }

    /// The entry of the key.
    pub(super) fn find(self, key: &[u8]) -> Option<Record<'a>> {
        let cell = self.leaf_of(key, |_| ()).entries().find(key)?;
        Some(cell.at(self.version))
    }

    pub(super) fn get(self, key: &[u8], value: &mut Buffer) -> bool {
        let found = self.find(key);
        if let Some(record) = found {
            value.extend_from_slice(record.stored().here());
        }
        found.is_some()
    }

    pub(super) fn multi_get(self, keys: &[&[u8]], values: &mut Values) {
        for keys in keys.chunks(SIDE_BY_SIDE) {
            self.prefetch(keys);
            for key in keys {
                match self.find(key) {
                    Some(record) => values.push(record.stored().here()),
                    None => values.push_absent(),
                }
            }
        }
    }

    /// As `multi_get`, up to the first value that is away or does not fit.
    pub(super) fn multi_get_here(self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) {
        let end = values.bytes().saturating_add(bytes_max);
        for keys in keys.chunks(SIDE_BY_SIDE) {
            self.prefetch(keys);
            for key in keys {
                match self.find(key).map(|record| record.stored()) {
                    None => values.push_absent(),
                    Some(Stored::Here(value)) if value.len() <= end - values.bytes() => values.push(value),
                    Some(_) => return,
                }
            }
        }
    }

    /// Calls `with` with the entry of each key, in their order, until it fails.
    pub(super) fn find_each(
        self,
        keys: &[&[u8]],
        mut with: impl FnMut(Option<Record<'a>>) -> Result<()>,
    ) -> Result<()> {
        for keys in keys.chunks(SIDE_BY_SIDE) {
            self.prefetch(keys);
            keys.iter().try_for_each(|key| with(self.find(key)))?;
        }
        Ok(())
    }

    /// Whether no entry lies in the range.
    pub(super) fn is_empty_in(self, range: KeyRange<'_>) -> bool {
        let first = self.at_or_above(range.start());
        first.is_none_or(|(leaf, at)| !range.contains(leaf.entries().key(at)))
    }

    /// What the range holds: entries exactly, bytes as of the newest version.
    pub(super) fn size_of(self, range: KeyRange<'_>) -> Size {
        let below = self.size_below(range.start());
        let until = range.end().map_or(self.size(), |end| self.size_below(end));
        // The bytes of what is staged or newer may be in one of the sums alone.
        Size {
            entries: until.entries.saturating_sub(below.entries),
            bytes: until.bytes.saturating_sub(below.bytes),
            away: until.away.saturating_sub(below.away),
        }
    }

    fn size_below(self, key: &[u8]) -> Size {
        let mut size = Size::default();
        let passed = |step: Step<'_>| size = size.plus(size_of_children(&step.children[..step.at]));
        let leaf = self.leaf_of(key, passed).entries();
        size.plus(leaf.size_of(0..leaf.rank(key), self.version))
    }

    /// The leaf that the first entry with a key not below `key` is in, with its place.
    pub(super) fn at_or_above(self, key: &[u8]) -> Option<Place<'a>> {
        let mut following = None;
        let leaf = self.leaf_of(key, |step| following = step.children.get(step.at + 1).or(following));
        let at = leaf.entries().rank(key);
        match at < leaf.entries().len() {
            true => Some((leaf, at)),
            false => following.map(|child| (child.edge_leaf(false), 0)),
        }
    }

    /// The leaf that the last entry with a key below `key` is in, with its place; the very last one
    /// without a key.
    pub(super) fn below(self, key: Option<&[u8]>) -> Option<Place<'a>> {
        let last_of = |leaf: &'a Shared<Node>| leaf.entries().len().checked_sub(1).map(|at| (leaf, at));
        let Some(key) = key else {
            return last_of(self.root.edge_leaf(true));
        };
        let mut preceding = None;
        let leaf = self.leaf_of(key, |step| {
            preceding = step.at.checked_sub(1).map(|left| &step.children[left]).or(preceding);
        });
        match leaf.entries().rank(key).checked_sub(1) {
            Some(at) => Some((leaf, at)),
            None => last_of(preceding?.edge_leaf(true)),
        }
    }

    /// Descends to the leaf that would hold the key, telling `passed` each step.
    pub(super) fn leaf_of(self, key: &[u8], mut passed: impl FnMut(Step<'a>)) -> &'a Shared<Node> {
        let mut node = &self.root.node;
        while let Items::Branch(branch) = &node.items {
            let at = branch.route(key);
            passed(Step { version: node.version, children: &branch.children, at });
            node = &branch.children[at].node;
        }
        node
    }

    /// Fetches what a search for each of the keys will look at, level by level, so that the processor waits for
    /// all of them at once.
    pub(super) fn prefetch(self, keys: &[&[u8]]) {
        let mut nodes = [&self.root.node; SIDE_BY_SIDE];
        let nodes = &mut nodes[..keys.len().min(SIDE_BY_SIDE)];
        if nodes.len() < 2 {
            return;
        }
        // All leaves are equally deep.
        while let Items::Branch(_) = &nodes[0].items {
            for (node, key) in nodes.iter_mut().zip(keys) {
                if let Items::Branch(branch) = &node.items {
                    *node = &branch.children[branch.route(key)].node;
                    node.prefetch();
                }
            }
        }
        let mut cells = [None; SIDE_BY_SIDE];
        for ((cell, node), key) in cells.iter_mut().zip(&*nodes).zip(keys) {
            *cell = node.entries().candidate(key);
            cell.iter().for_each(|cell| cell.prefetch());
        }
        cells.iter().flatten().for_each(|cell| cell.newest().prefetch());
    }
}

impl Child {
    /// The first or the last leaf.
    fn edge_leaf(&self, last: bool) -> &Shared<Node> {
        let mut node = &self.node;
        while let Items::Branch(branch) = &node.items
            && let Some(child) = if last { branch.children.last() } else { branch.children.first() }
        {
            node = &child.node;
        }
        node
    }
}
