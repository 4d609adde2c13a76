// NOTE FROM THE LEAD: tree.rs, edit.rs and view.rs are being rewritten by the lead right now (packed leaves with key heads: far faster searches and
// copies, ~130 B a key). Do not edit them; build on the public API of VersionedMap (add to mod.rs if you must). `git merge main` gets it at about 03:30.
// Remove these two lines (git checkout this file) before you merge.
//! Edits of the tree: puts, deletes, range deletes and whole sorted runs, and how nodes split and join.
//!
//! Promises: what `tree` promises of shape holds after each call; nothing shows in any other clone of the
//! tree; an edit adds up what its result no longer shares with the version it began with, so that
//! `versioned_map` can bound what views hold. Called by `versioned_map` alone.

use std::sync::Arc;
use std::vec::IntoIter;

use super::changes::Change;
use super::record::Record;
use super::tree::{
    Items, Node, Size, Subtree, Tree, rank, route, separator, size_of_children, size_of_records,
};
use crate::KeyRange;

/// What an entry costs beside its key and value, about: counters, allocator, its place in a leaf.
const ENTRY_OVERHEAD_BYTES: u64 = 64;
/// Spare room when a full leaf grows by one: doubling would waste memory on every leaf that never fills.
const GROWTH: usize = 4;

/// One group of changes to a clone of the tree.
pub(super) struct Edit {
    tree: Tree,
    /// Newer than the version of every node that somebody else may see.
    version: u64,
    /// No view that was open when the edit began sees nodes made later than this version.
    newest_seen: u64,
    /// The most items of a node.
    fan_out: usize,
    pub(super) discarded: Discarded,
}

/// The bytes that the new version no longer shares with the one before: what views may come to hold alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Discarded {
    /// Entries replaced or removed.
    pub(super) entries: u64,
    /// Copied nodes that a view taken before the edit may see.
    pub(super) nodes_seen: u64,
    /// All copied nodes: what counts if a view was taken while the edit went on.
    pub(super) nodes: u64,
}

impl Edit {
    pub(super) fn new(tree: Tree, version: u64, newest_seen: u64, fan_out: usize) -> Self {
        Self { tree, version, newest_seen, fan_out, discarded: Discarded::default() }
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn into_tree(self) -> Tree {
        self.tree
    }

    /// Stores an entry, replacing the one with its key.
    pub(super) fn put(&mut self, record: Record) {
        self.edit_root(|edit, root| edit.put_below(root, record));
    }

    /// Stores entries in ascending order; no key from the first to the last of them may exist.
    pub(super) fn graft(&mut self, run: Vec<Record>) {
        if !run.is_empty() {
            self.edit_root(|edit, root| edit.graft_below(root, run));
        }
    }

    /// Makes many changes, which ascend by key, one for each key.
    pub(super) fn merge(&mut self, run: Vec<Change>) {
        if !run.is_empty() {
            let mut run = run.into_iter();
            self.edit_root(|edit, root| edit.merge_below(root, &mut run, None));
        }
    }

    /// Removes an entry, if it is there.
    pub(super) fn delete(&mut self, key: &[u8]) {
        // Looking first spares copies of nodes for keys that are not there.
        if self.tree.find(key).is_some() {
            self.edit_root(|edit, root| {
                edit.delete_below(root, key);
                Vec::new()
            });
        }
    }

    /// Removes every entry of the range; subtrees inside the range go as a whole.
    pub(super) fn delete_range(&mut self, range: KeyRange<'_>) {
        if !range.is_empty() && self.tree.size_of(range).entries > 0 {
            self.edit_root(|edit, root| {
                edit.delete_range_below(root, range);
                Vec::new()
            });
        }
    }

    /// Runs a change on the root, then makes the tree as high as it must be.
    fn edit_root(&mut self, change: impl FnOnce(&mut Self, &mut Subtree) -> Vec<Subtree>) {
        let mut root = std::mem::take(&mut self.tree.root);
        let mut siblings = change(self, &mut root);
        while !siblings.is_empty() {
            siblings.insert(0, root);
            root = Subtree::new(Arc::default(), self.version, Items::Branch(siblings));
            siblings = self.divide(&mut root);
        }
        loop {
            let child = match &root.node.items {
                Items::Branch(children) if root.size.entries == 0 || children.is_empty() => {
                    Subtree::default()
                }
                Items::Branch(children) if children.len() == 1 => children[0].clone(),
                _ => break,
            };
            root = child;
        }
        self.tree.root = root;
    }

    fn put_below(&mut self, subtree: &mut Subtree, record: Record) -> Vec<Subtree> {
        match self.open(subtree) {
            Items::Leaf(records) => {
                let at = rank(records, record.key());
                match records.get_mut(at) {
                    Some(old) if old.key() == record.key() => {
                        let old = std::mem::replace(old, record);
                        self.discard(size_of_records(&[old]));
                    }
                    _ => {
                        make_room(records);
                        records.insert(at, record);
                    }
                }
            }
            Items::Branch(children) => {
                let child = route(children, record.key());
                let siblings = self.put_below(&mut children[child], record);
                children.splice(child + 1..child + 1, siblings);
            }
        }
        self.divide(subtree)
    }

    fn graft_below(&mut self, subtree: &mut Subtree, run: Vec<Record>) -> Vec<Subtree> {
        let (Some(first), Some(last)) = (run.first(), run.last().cloned()) else { return Vec::new() };
        match self.open(subtree) {
            Items::Leaf(records) => {
                let at = rank(records, first.key());
                records.splice(at..at, run);
            }
            Items::Branch(children) => {
                let child = route(children, first.key());
                // The bound of the next child may lie inside the run: it moves up behind it.
                if let Some(next) = children.get_mut(child + 1)
                    && &*next.low <= last.key()
                {
                    next.low = separator(last.key(), next.first_key());
                }
                let siblings = self.graft_below(&mut children[child], run);
                children.splice(child + 1..child + 1, siblings);
            }
        }
        self.divide(subtree)
    }

    /// Makes the changes of the run that lie before `end`.
    fn merge_below(
        &mut self,
        subtree: &mut Subtree,
        run: &mut IntoIter<Change>,
        end: Option<&[u8]>,
    ) -> Vec<Subtree> {
        let changes = run.as_slice();
        let count = end.map_or(changes.len(), |end| changes.partition_point(|change| change.key() < end));
        match self.open(subtree) {
            Items::Leaf(records) => {
                let old = std::mem::take(records);
                *records = self.merged(old, run.by_ref().take(count));
            }
            Items::Branch(children) => {
                let mut merged = Vec::with_capacity(children.len());
                let last = run.len() - count;
                let mut rest = std::mem::take(children).into_iter().peekable();
                while let Some(mut child) = rest.next() {
                    let bound = rest.peek().map(|next| Arc::clone(&next.low));
                    let reaches = |bound: &Arc<[u8]>| run.as_slice()[0].key() < &**bound;
                    let is_touched = run.len() > last && bound.as_ref().is_none_or(reaches);
                    let end = bound.as_deref().or(end);
                    let siblings =
                        if is_touched { self.merge_below(&mut child, run, end) } else { Vec::new() };
                    merged.push(child);
                    merged.extend(siblings);
                }
                self.repair(&mut merged);
                *children = merged;
            }
        }
        self.divide(subtree)
    }

    /// The records of a leaf with changes made to them.
    fn merged(&mut self, old: Vec<Record>, changes: impl ExactSizeIterator<Item = Change>) -> Vec<Record> {
        let mut records = Vec::with_capacity(old.len() + changes.len());
        let mut old = old.into_iter();
        for change in changes {
            let before = rank(old.as_slice(), change.key());
            records.extend(old.by_ref().take(before));
            if old.as_slice().first().is_some_and(|record| record.key() == change.key())
                && let Some(replaced) = old.next()
            {
                self.discard(size_of_records(&[replaced]));
            }
            if let Change::Put(record) = change {
                records.push(record);
            }
        }
        records.extend(old);
        if records.capacity() > records.len() + GROWTH {
            records.shrink_to_fit();
        }
        records
    }

    fn delete_below(&mut self, subtree: &mut Subtree, key: &[u8]) {
        match self.open(subtree) {
            Items::Leaf(records) => {
                let at = rank(records, key);
                if records.get(at).is_some_and(|record| record.key() == key) {
                    let old = records.remove(at);
                    self.discard(size_of_records(&[old]));
                }
            }
            Items::Branch(children) => {
                let child = route(children, key);
                self.delete_below(&mut children[child], key);
                if children[child].node.items.len() < self.least() {
                    self.repair(children);
                }
            }
        }
        subtree.recount();
    }

    fn delete_range_below(&mut self, subtree: &mut Subtree, range: KeyRange<'_>) {
        match self.open(subtree) {
            Items::Leaf(records) => {
                let end = range.end().map_or(records.len(), |end| rank(records, end));
                let start = rank(records, range.start()).min(end);
                self.discard(size_of_records(&records[start..end]));
                records.drain(start..end);
            }
            Items::Branch(children) => {
                let first = route(children, range.start());
                let last = range.end().map_or(children.len(), |end| route(children, end));
                if first == last {
                    self.delete_range_below(&mut children[first], range);
                } else {
                    self.delete_range_below(&mut children[first], KeyRange::from_start(range.start()));
                    if let Some(child) = children.get_mut(last) {
                        self.delete_range_below(child, KeyRange::with_end(&[], range.end()));
                    }
                    self.discard(size_of_children(&children[first + 1..last]));
                    children.drain(first + 1..last);
                }
                self.repair(children);
            }
        }
        subtree.recount();
    }

    /// The items of a node, to be changed. Copies the node if somebody else may see it.
    fn open<'s>(&mut self, subtree: &'s mut Subtree) -> &'s mut Items {
        self.note_copy(&subtree.node);
        let node = Arc::make_mut(&mut subtree.node);
        node.version = self.version;
        &mut node.items
    }

    fn note_copy(&mut self, node: &Node) {
        if node.version < self.version {
            let bytes = node.items.footprint();
            self.discarded.nodes += bytes;
            if node.version <= self.newest_seen {
                self.discarded.nodes_seen += bytes;
            }
        }
    }

    fn discard(&mut self, size: Size) {
        self.discarded.entries += size.here() + size.entries * ENTRY_OVERHEAD_BYTES;
    }

    /// The fewest items of a node that is not the root. A third of the most, and `join` keeps away from both
    /// ends: so a node does not go back and forth between being split and being joined.
    fn least(&self) -> usize {
        (self.fan_out / 3).max(2)
    }

    /// Cuts a node with too many items into equal parts; returns all parts but the first.
    fn divide(&mut self, subtree: &mut Subtree) -> Vec<Subtree> {
        let len = subtree.node.items.len();
        let mut parts = Vec::new();
        let count = len.div_ceil(self.fan_out).max(1);
        for part in (1..count).rev() {
            let items = self.open(subtree).split_off(len * part / count);
            parts.push(Subtree::new(Arc::default(), self.version, items));
        }
        parts.reverse();
        if count > 1 {
            self.open(subtree).shrink_to_fit();
        }
        subtree.recount();
        let mut left: &Subtree = subtree;
        for part in &mut parts {
            part.low = match &part.node.items {
                Items::Leaf(_) => separator(left.last_key(), part.first_key()),
                Items::Branch(children) => {
                    children.first().map(|child| child.low.clone()).unwrap_or_default()
                }
            };
            left = part;
        }
        parts
    }

    /// Removes empty children and joins those with too few items with a neighbour, as long as there is one.
    fn repair(&mut self, children: &mut Vec<Subtree>) {
        children.retain(|child| child.size.entries > 0);
        while children.len() > 1
            && let Some(poor) = children.iter().position(|child| child.node.items.len() < self.least())
        {
            let left = poor.min(children.len() - 2);
            let right = children.remove(left + 1);
            let rest = self.join(&mut children[left], right);
            children.splice(left + 1..left + 1, rest);
        }
    }

    /// Moves the items of `right` into `left`; returns what is too much for one node as a node of its own.
    fn join(&mut self, left: &mut Subtree, right: Subtree) -> Vec<Subtree> {
        self.note_copy(&right.node);
        match (self.open(left), Arc::unwrap_or_clone(right.node).items) {
            (Items::Leaf(records), Items::Leaf(more)) => records.extend(more),
            (Items::Branch(children), Items::Branch(mut more)) => {
                if let Some(first) = more.first_mut() {
                    first.low = right.low;
                }
                children.append(&mut more);
                // A lone child may have had too few items: now it has neighbours.
                self.repair(children);
            }
            _ => unreachable!("siblings are equally deep"),
        }
        let len = left.node.items.len();
        if len <= self.fan_out * 3 / 4 {
            left.recount();
            return Vec::new();
        }
        let items = self.open(left).split_off(len / 2);
        left.recount();
        let low = match &items {
            Items::Leaf(records) => separator(left.last_key(), records.first().map_or(&[], Record::key)),
            Items::Branch(children) => children.first().map(|child| child.low.clone()).unwrap_or_default(),
        };
        vec![Subtree::new(low, self.version, items)]
    }
}

fn make_room(records: &mut Vec<Record>) {
    if records.len() == records.capacity() {
        records.reserve_exact(GROWTH);
    }
}

#[cfg(test)]
impl Edit {
    /// Walks every node and panics at the first broken promise of the module.
    pub(super) fn check(&self) {
        check_below(&self.tree.root, None, None, true, self);
    }
}

/// Checks a subtree whose keys must lie at or above `low` and below `high`; returns its height.
#[cfg(test)]
fn check_below(
    subtree: &Subtree,
    low: Option<&[u8]>,
    high: Option<&[u8]>,
    is_root: bool,
    edit: &Edit,
) -> usize {
    let items = &subtree.node.items;
    assert_eq!(subtree.size, items.size(), "the size of a subtree is that of its items");
    assert!(items.len() <= edit.fan_out, "{} items in a node of {}", items.len(), edit.fan_out);
    assert!(is_root || items.len() >= edit.least(), "{} items, at least {}", items.len(), edit.least());
    match items {
        Items::Leaf(records) => {
            assert!(records.is_sorted_by(|a, b| a.key() < b.key()), "keys ascend");
            for record in records {
                assert!(low.is_none_or(|low| record.key() >= low), "no key below the bound of its subtree");
                assert!(high.is_none_or(|high| record.key() < high), "no key above the bound of its subtree");
            }
            1
        }
        Items::Branch(children) => {
            assert!(children.len() > 1, "a branch has two children or more");
            let heights = children.iter().enumerate().map(|(index, child)| {
                let low = if index == 0 { low } else { Some(&*child.low) };
                let high = children.get(index + 1).map_or(high, |next| Some(&*next.low));
                check_below(child, low, high, false, edit)
            });
            let heights: Vec<_> = heights.collect();
            assert!(heights.iter().all(|height| *height == heights[0]), "all leaves are equally deep");
            heights[0] + 1
        }
    }
}
