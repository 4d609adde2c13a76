//! Edits of the map: puts, deletes, range deletes and whole sorted runs, and how nodes split and join.
//!
//! An overwrite puts a record in front of the one that is there, in the very leaf that readers see: they pass over it
//! until its version is published. Everything else copies the nodes on its way and edits the copies, each
//! once in an edit. What the new version does not have any more is retired.
//!
//! Promises: what `tree` promises of shape holds after each call; nothing shows in any version that others read; an
//! edit that is dropped takes back what it put into leaves of others. Called by `versioned_map` alone.

use std::sync::{Arc, MutexGuard};
use std::vec::IntoIter;

use super::changes::Change;
use super::history::{History, Moment, Retired, Turn, ViewRow};
use super::node::{Branch, Child, Items, Leaf, Node, Parts, Sibling, Size, size_of_children};
use super::pointer::Shared;
use super::record::{Cell, OwnedRecord, RECORD_BYTES, RetiredRecord, Stored};
use super::shape::FanOut;
use super::tree::Tree;
use crate::KeyRange;

/// What an entry costs beside its key and value, about: its record's head, its cell, its share of the node.
const ENTRY_OVERHEAD_BYTES: u64 = RECORD_BYTES + 16;
/// How many changes are merged at once: many, for each time the nodes on the way to them are made anew.
const MERGED_AT_ONCE: usize = 1 << 14;
/// How many records ahead are fetched while others are merged.
const AHEAD: usize = 12;

/// One group of changes, and the writer's turn.
pub(super) struct Edit<'a> {
    history: &'a Arc<History>,
    pub(super) turn: MutexGuard<'a, Turn>,
    pub(super) root: Child,
    pub(super) fan_out: FanOut,
    /// Nodes and records of this version and later ones were made by this edit; those of `turn.version` nobody
    /// else has seen, unless a cell that others see leads to the record.
    first_version: u64,
    /// How long the queue of what was retired was when the edit began.
    retired_before: usize,
    /// Records put into cells that others see, in order.
    puts: Vec<SharedPut>,
    /// Bytes that no later version shares with the one before: what views may come to hold alone.
    discarded: u64,
    is_published: bool,
}

/// How to take back what others see.
struct SharedPut {
    record: RetiredRecord,
    /// By how much the sizes of subtrees changed.
    difference: Size,
    /// In how many branches that others see, counted from the leaf.
    branches: usize,
}

impl<'a> Edit<'a> {
    /// Waits for the writer's turn.
    pub(super) fn begin(history: &'a Arc<History>, fan_out: FanOut) -> Self {
        let mut turn = history.turn();
        turn.version += 1;
        let (root, first_version) = (history.newest(&turn).root.duplicate(), turn.version);
        let (retired_before, puts) = (turn.retired.len(), Vec::new());
        Self {
            history,
            turn,
            root,
            fan_out,
            first_version,
            retired_before,
            puts,
            discarded: 0,
            is_published: false,
        }
    }

    /// The map as the edit has it.
    pub(super) fn tree(&self) -> Tree<'_> {
        Tree::new(&self.root, self.turn.version)
    }

    fn moment(&self) -> Moment {
        let discarded = self.history.newest(&self.turn).discarded + self.discarded;
        Moment { root: self.root.duplicate(), version: self.turn.version, discarded }
    }

    /// A view of the map as the edit has it now. What follows has another version.
    pub(super) fn view(&mut self) -> ViewRow {
        let moment = Shared::new(self.moment());
        let row = self.history.view_of(moment.duplicate());
        self.turn.version += 1;
        let version = self.turn.version;
        self.turn.retire(version, Retired::Moment(moment));
        row
    }

    /// Makes the edit visible. Views end once more than `limit` bytes were discarded since they were taken.
    pub(super) fn publish(mut self, limit: u64) {
        let (moment, retired) = (self.moment(), self.turn.retired.len() - self.retired_before);
        self.is_published = true;
        self.history.publish(&mut self.turn, moment, limit, retired);
    }

    /// Stores an entry, replacing the one with its key.
    pub(super) fn put(&mut self, key: &[u8], value: Stored<'_>) {
        let version = self.turn.version;
        let mut record = OwnedRecord::new(key, value);
        record.set_version(version);
        let leaf = Tree::new(&self.root, version).leaf_of(key, |_| ());
        let Some(cell) = leaf.entries().find(key) else {
            return self.edit_root(|edit, root| edit.insert_below(root, record));
        };
        let difference = record.lend().size().minus(cell.newest().size());
        let is_shared = leaf.version != version;
        let before = cell.put(record, is_shared).retire();
        if is_shared {
            let record = cell.newest().retire();
            self.puts.push(SharedPut { record, difference, branches: 0 });
        }
        if difference != Size::default() {
            self.add_bytes(key, difference);
        }
        self.discard_record(before);
    }

    /// Counts an overwrite by an entry of another length, in each branch on its way.
    fn add_bytes(&mut self, key: &[u8], difference: Size) {
        let mut branches = 0;
        self.root.add_bytes(difference);
        self.tree().leaf_of(key, |step| {
            step.children[step.at].add_bytes(difference);
            branches += usize::from(step.version < self.first_version);
        });
        if let Some(put) = self.puts.last_mut().filter(|_| branches > 0) {
            put.branches = branches;
        }
    }

    /// Makes many changes, which ascend by key, one for each key.
    pub(super) fn merge(&mut self, run: Vec<Change>) {
        let mut run = run.into_iter();
        while !run.as_slice().is_empty() {
            let count = run.len().min(MERGED_AT_ONCE);
            self.edit_root(|edit, root| edit.merge_below(root, &mut run, count));
        }
    }

    /// Removes an entry, if it is there.
    pub(super) fn delete(&mut self, key: &[u8]) {
        self.delete_range(KeyRange::new(key, &[key, &[0]].concat()));
    }

    /// Removes every entry of the range; subtrees inside the range go as a whole.
    pub(super) fn delete_range(&mut self, range: KeyRange<'_>) {
        // Looking first spares copies of nodes if nothing is there.
        if !self.tree().is_empty_in(range) {
            self.edit_root(|edit, root| {
                edit.delete_below(root, range);
                Vec::new()
            });
        }
    }

    fn insert_below(&mut self, child: &mut Child, record: OwnedRecord) -> Vec<Sibling> {
        let size = child.size().plus(record.lend().size());
        child.set_size(size);
        let most = self.fan_out.leaf;
        match self.open(child) {
            Items::Leaf(leaf) => {
                leaf.insert(leaf.rank(record.lend().key()), record);
                if leaf.len() <= most {
                    return Vec::new();
                }
                let cells = leaf.cells().iter().map(Cell::duplicate).collect();
                self.fill(child, cells)
            }
            Items::Branch(branch) => {
                let at = branch.route(record.lend().key());
                let siblings = self.insert_below(&mut branch.children[at], record);
                if siblings.is_empty() {
                    return siblings;
                }
                let mut parts = branch.parts();
                parts.add_behind(at, siblings);
                self.rebuild(child, parts)
            }
        }
    }

    /// Makes the next changes of the run, so many.
    fn merge_below(&mut self, child: &mut Child, run: &mut IntoIter<Change>, count: usize) -> Vec<Sibling> {
        match self.open(child) {
            Items::Leaf(leaf) => {
                let merged = self.merged(leaf, run, count);
                self.fill(child, merged)
            }
            Items::Branch(branch) => {
                let Parts { bounds, children } = branch.parts();
                let (mut merged, mut left) = (Parts::default(), count);
                let mut bounds = bounds.into_iter();
                for mut part in children {
                    let bound = bounds.next();
                    let changes = &run.as_slice()[..left];
                    let below = |bound: &[u8]| changes.partition_point(|change| change.key() < bound);
                    let count = bound.as_deref().map_or(left, below);
                    let siblings = match count {
                        0 => Vec::new(),
                        _ => self.merge_below(&mut part, run, count),
                    };
                    left -= count;
                    merged.children.push(part);
                    merged.add_behind(merged.children.len() - 1, siblings);
                    merged.bounds.extend(bound);
                }
                self.repair(&mut merged);
                self.rebuild(child, merged)
            }
        }
    }

    /// The cells of a leaf with so many changes of the run made to them.
    fn merged(&mut self, leaf: &Leaf, run: &mut IntoIter<Change>, count: usize) -> Vec<Cell> {
        let before = leaf.cells();
        let (mut merged, mut superseded) = (Vec::with_capacity(before.len() + count), Vec::new());
        let mut at = 0;
        for _ in 0..count {
            if let Some(ahead) = run.as_slice().get(AHEAD) {
                ahead.record.lend().prefetch();
            }
            let Some(change) = run.next() else { break };
            let rank = leaf.rank(change.key());
            merged.extend(before[at..rank].iter().map(Cell::duplicate));
            at = rank;
            if let Some(cell) = before.get(at).filter(|cell| cell.newest().key() == change.key()) {
                superseded.push(cell.newest().retire());
                at += 1;
            }
            if !change.record.lend().is_deletion() {
                let mut record = change.record;
                record.set_version(self.turn.version);
                merged.push(Cell::new(record));
            }
        }
        merged.extend(before[at..].iter().map(Cell::duplicate));
        // Not before the leaf was searched for the last time.
        superseded.into_iter().for_each(|record| self.discard_record(record));
        merged
    }

    /// Removes the entries of the range; answers what they were.
    fn delete_below(&mut self, child: &mut Child, range: KeyRange<'_>) -> Size {
        let (version, size) = (self.turn.version, child.size());
        let removed = match self.open(child) {
            Items::Leaf(leaf) => {
                let end = range.end().map_or(leaf.len(), |end| leaf.rank(end));
                let start = leaf.rank(range.start()).min(end);
                let removed = leaf.size_of(start..end, version);
                for cell in &leaf.cells()[start..end] {
                    self.discard_record(cell.newest().retire());
                }
                leaf.remove(start..end);
                removed
            }
            Items::Branch(branch) => {
                let first = branch.route(range.start());
                let last = range.end().map_or(branch.children.len(), |end| branch.route(end));
                match first == last {
                    true => self.delete_inside(branch, first, range),
                    false => self.delete_across(branch, first, last, range),
                }
            }
        };
        child.set_size(size.minus(removed));
        removed
    }

    /// Removes entries of one child.
    fn delete_inside(&mut self, branch: &mut Branch, at: usize, range: KeyRange<'_>) -> Size {
        let removed = self.delete_below(&mut branch.children[at], range);
        if self.is_poor(&branch.children[at]) {
            self.repair_branch(branch);
        }
        removed
    }

    /// Removes entries of two children, if there is a last one, and all children between them.
    fn delete_across(&mut self, branch: &mut Branch, first: usize, last: usize, range: KeyRange<'_>) -> Size {
        let before = size_of_children(&branch.children);
        self.delete_below(&mut branch.children[first], KeyRange::from_start(range.start()));
        if let Some(child) = branch.children.get_mut(last) {
            self.delete_below(child, KeyRange::with_end(&[], range.end()));
        }
        let mut parts = branch.parts();
        for child in parts.remove(first + 1..last) {
            self.discard_subtree(child);
        }
        self.repair(&mut parts);
        *branch = Branch::of(parts);
        before.minus(size_of_children(&branch.children))
    }

    /// The items of a node, to be changed. Copies the node if somebody else may see it.
    pub(super) fn open<'c>(&mut self, child: &'c mut Child) -> &'c mut Items {
        if child.node.version != self.turn.version {
            let copy = Shared::new(child.node.copy(self.turn.version));
            self.discard_node(std::mem::replace(&mut child.node, copy));
        }
        // SAFETY: the node was made in this edit, and no view of the edit was taken since; so the one pointer to it
        // that anybody can come across is the child's, whose node was made likewise, or which is that of the root.
        let node = unsafe { child.node.get_mut() };
        &mut node.items
    }

    /// Gives up a node whose items are in another one.
    pub(super) fn discard_node(&mut self, node: Shared<Node>) {
        if node.version == self.turn.version {
            // SAFETY: as in `open`; and it is out of the edit's tree.
            return unsafe { node.free() };
        }
        self.discarded += node.footprint();
        self.retire(Retired::Node(node));
    }

    /// Gives up a record that is out of the edit's tree.
    fn discard_record(&mut self, record: RetiredRecord) {
        let lent = record.lend();
        if lent.version() == self.turn.version && !lent.is_shared() {
            // SAFETY: it was made in this edit, no view of the edit was taken since, and no cell that others see
            // ever led to it.
            return unsafe { record.free() };
        }
        self.discarded += lent.size().here() + RECORD_BYTES;
        self.retire(Retired::Record(record));
    }

    fn discard_subtree(&mut self, child: Child) {
        let size = child.size();
        self.discarded += size.here() + size.entries * ENTRY_OVERHEAD_BYTES;
        self.retire(Retired::Subtree(child.node));
    }

    fn retire(&mut self, retired: Retired) {
        let version = self.turn.version;
        self.turn.retire(version, retired);
    }

    /// Takes everything back, and retires what was made. What is published again is as it was, with a version of its
    /// own: else nothing of it could go before something else is published, and a disk that stays full would fill memory.
    fn abandon(&mut self) {
        self.history.end_views_from(self.first_version);
        // Readers may be passing over it: so it goes with the next version, as if that superseded it.
        let (version, first) = (self.turn.version + 1, self.first_version);
        let retired = self.turn.retired.split_off(self.retired_before);
        let published = self.history.newest(&self.turn);
        while let Some(put) = self.puts.pop() {
            put.take_back(published.tree());
            self.turn.retire(version, Retired::Record(put.record));
        }
        for (_, retired) in retired {
            match retired {
                Retired::Record(record) => self.turn.retire_if_made_since(first, version, record),
                Retired::Subtree(node) => abandon_below(&mut self.turn, &node, first, version),
                Retired::Node(node) if node.version < first => {}
                made @ (Retired::Node(_) | Retired::Moment(_)) => self.turn.retire(version, made),
            }
        }
        abandon_below(&mut self.turn, &self.root.node, first, version);
        self.turn.version = version;
        let again = Moment { root: published.root.duplicate(), version, discarded: published.discarded };
        self.history.publish(&mut self.turn, again, u64::MAX, 0);
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            self.abandon();
        }
    }
}

impl SharedPut {
    fn take_back(&self, published: Tree<'_>) {
        let record = self.record.lend();
        let mut path = Vec::new();
        let leaf = published.leaf_of(record.key(), |step| path.push(&step.children[step.at]));
        if let Some(cell) = leaf.entries().find(record.key()) {
            cell.undo(record);
        }
        let back = Size::default().minus(self.difference);
        path.iter().rev().take(self.branches).for_each(|child| child.add_bytes(back));
    }
}

/// Retires the nodes and records below a node that were made since a version.
fn abandon_below(turn: &mut Turn, node: &Shared<Node>, first: u64, version: u64) {
    if node.version < first {
        return;
    }
    match &node.items {
        Items::Leaf(leaf) => {
            let records = leaf.cells().iter().map(|cell| cell.newest().retire());
            records.for_each(|record| turn.retire_if_made_since(first, version, record));
        }
        Items::Branch(branch) => {
            branch.children.iter().for_each(|child| abandon_below(turn, &child.node, first, version));
        }
    }
    turn.retire(version, Retired::Node(node.duplicate()));
}

impl Turn {
    /// Retires a record of an abandoned edit, but for those that were put into cells of others.
    fn retire_if_made_since(&mut self, first: u64, version: u64, record: RetiredRecord) {
        if record.lend().version() >= first && !record.lend().is_shared() {
            self.retire(version, Retired::Record(record));
        }
    }
}
