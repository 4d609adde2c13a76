//! Edits of the map: puts, deletes, range deletes and whole sorted runs, and how nodes split and join.
//!
//! An overwrite puts a record in front of the one that is there, in the very leaf that readers see: they pass over it
//! until its version is published. Everything else copies the nodes on its way and edits the copies, each
//! once in an edit. What the new version does not have any more is retired.
//!
//! Promises: what `tree` promises of shape holds after each call; nothing shows in any version that others read; an
//! edit that is dropped takes back what it put into leaves of others. Called by `versioned_map` alone.

use std::ops::Range;
use std::sync::{Arc, MutexGuard};
use std::vec::IntoIter;

use super::changes::Change;
use super::history::{History, Moment, Retired, Turn, ViewRow};
use super::node::{Branch, Child, Items, Leaf, Node, Parts, Sibling, Size, separator, size_of_children};
use super::record::{Cell, OwnedRecord, RECORD_BYTES, RetiredRecord, Stored};
use super::shared::Shared;
use super::tree::Tree;
use crate::KeyRange;

/// What an entry costs beside its key and value, about: its record's head, its cell, its share of the node.
const ENTRY_OVERHEAD_BYTES: u64 = RECORD_BYTES + 16;
/// How many records ahead are fetched while others are merged.
const AHEAD: usize = 12;

/// The most items of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct FanOut {
    pub(super) leaf: usize,
    pub(super) branch: usize,
}

impl FanOut {
    fn of(self, node: &Node) -> usize {
        match node.items {
            Items::Leaf(_) => self.leaf,
            Items::Branch(_) => self.branch,
        }
    }

    /// The fewest items of a node that is not the root. A third of the most, and `join` keeps away from both
    /// ends: so a node does not go back and forth between being split and being joined.
    fn least(self, node: &Node) -> usize {
        (self.of(node) / 3).max(2)
    }
}

/// One group of changes, and the writer's turn.
pub(super) struct Edit<'a> {
    history: &'a Arc<History>,
    turn: MutexGuard<'a, Turn>,
    root: Child,
    fan_out: FanOut,
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

    /// Stores entries in ascending order; no key from the first to the last of them may exist.
    pub(super) fn graft(&mut self, records: Vec<OwnedRecord>) {
        let version = self.turn.version;
        let cells = records.into_iter().map(|mut record| {
            record.set_version(version);
            Cell::new(record)
        });
        let cells: Vec<Cell> = cells.collect();
        if !cells.is_empty() {
            self.edit_root(|edit, root| edit.graft_below(root, cells));
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
        let Some(size) = self.tree().find(key).map(|record| record.size()) else { return };
        self.edit_root(|edit, root| {
            edit.delete_below(root, key, size);
            Vec::new()
        });
    }

    /// Removes every entry of the range; subtrees inside the range go as a whole.
    pub(super) fn delete_range(&mut self, range: KeyRange<'_>) {
        if !range.is_empty() && self.tree().size_of(range).entries > 0 {
            self.edit_root(|edit, root| {
                edit.delete_range_below(root, range);
                Vec::new()
            });
        }
    }

    /// Runs a change on the root, then makes the tree as high as it must be.
    fn edit_root(&mut self, change: impl FnOnce(&mut Self, &mut Child) -> Vec<Sibling>) {
        let mut root = self.root.duplicate();
        let mut siblings = change(self, &mut root);
        while !siblings.is_empty() {
            let mut parts = Parts { bounds: Vec::new(), children: vec![root] };
            parts.add_behind(0, siblings);
            let most = roomy(parts.children.len(), self.fan_out.branch);
            (root, siblings) = self.branches(parts, most);
        }
        while let Items::Branch(branch) = &root.node.items
            && branch.children.len() < 2
        {
            let child = match branch.children.first() {
                Some(child) => child.duplicate(),
                None => self.new_leaf(&[]),
            };
            self.discard_node(std::mem::replace(&mut root, child).node);
        }
        self.root = root;
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

    fn graft_below(&mut self, child: &mut Child, mut cells: Vec<Cell>) -> Vec<Sibling> {
        let ends = |cells: &[Cell]| {
            (cells[0].newest().key().to_vec(), cells[cells.len() - 1].newest().key().to_vec())
        };
        let (first, last) = ends(&cells);
        match self.open(child) {
            Items::Leaf(leaf) => {
                let (left, right) = leaf.cells().split_at(leaf.rank(&first));
                cells.splice(0..0, left.iter().map(Cell::duplicate));
                cells.extend(right.iter().map(Cell::duplicate));
                self.fill(child, cells)
            }
            Items::Branch(branch) => {
                let at = branch.route(&first);
                let mut parts = branch.parts();
                let siblings = self.graft_below(&mut parts.children[at], cells);
                // The bound of the next child may lie inside the run: it moves up behind it.
                if let Some(next) = parts.children.get(at + 1)
                    && *parts.bounds[at] <= *last
                {
                    parts.bounds[at] = separator(&last, next.first_key());
                }
                parts.add_behind(at, siblings);
                self.rebuild(child, parts)
            }
        }
    }

    /// Makes the changes of the run that lie before `end`.
    fn merge_below(
        &mut self,
        child: &mut Child,
        run: &mut IntoIter<Change>,
        end: Option<&[u8]>,
    ) -> Vec<Sibling> {
        let changes = run.as_slice();
        let count = end.map_or(changes.len(), |end| changes.partition_point(|change| change.key() < end));
        match self.open(child) {
            Items::Leaf(leaf) => {
                let merged = self.merged(leaf, run, count);
                self.fill(child, merged)
            }
            Items::Branch(branch) => {
                let Parts { bounds, children } = branch.parts();
                let (mut merged, last) = (Parts::default(), run.len() - count);
                for (at, mut part) in children.into_iter().enumerate() {
                    let bound = bounds.get(at).map(|bound| &**bound);
                    let reaches = |bound: &[u8]| run.as_slice()[0].key() < bound;
                    let siblings = match run.len() > last && bound.is_none_or(reaches) {
                        true => self.merge_below(&mut part, run, bound.or(end)),
                        false => Vec::new(),
                    };
                    if let Some(before) = at.checked_sub(1) {
                        merged.bounds.push(bounds[before].clone());
                    }
                    merged.children.push(part);
                    merged.add_behind(merged.children.len() - 1, siblings);
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
                ahead.prefetch();
            }
            let Some(change) = run.next() else { break };
            let rank = leaf.rank(change.key());
            merged.extend(before[at..rank].iter().map(Cell::duplicate));
            at = rank;
            if let Some(cell) = before.get(at).filter(|cell| cell.newest().key() == change.key()) {
                superseded.push(cell.newest().retire());
                at += 1;
            }
            if let Change::Put(mut record) = change {
                record.set_version(self.turn.version);
                merged.push(Cell::new(record));
            }
        }
        merged.extend(before[at..].iter().map(Cell::duplicate));
        // Not before the leaf was searched for the last time.
        superseded.into_iter().for_each(|record| self.discard_record(record));
        merged
    }

    fn delete_below(&mut self, child: &mut Child, key: &[u8], size: Size) {
        child.set_size(child.size().minus(size));
        match self.open(child) {
            Items::Leaf(leaf) => {
                let at = leaf.rank(key);
                let record = leaf.cells()[at].newest().retire();
                leaf.remove(at..at + 1);
                self.discard_record(record);
            }
            Items::Branch(branch) => {
                let at = branch.route(key);
                self.delete_below(&mut branch.children[at], key, size);
                if self.is_poor(&branch.children[at]) {
                    self.repair_branch(branch);
                }
            }
        }
    }

    fn delete_range_below(&mut self, child: &mut Child, range: KeyRange<'_>) {
        let version = self.turn.version;
        let size = child.size();
        let size = match self.open(child) {
            Items::Leaf(leaf) => {
                let end = range.end().map_or(leaf.len(), |end| leaf.rank(end));
                let start = leaf.rank(range.start()).min(end);
                let removed = leaf.size_of(start..end, version);
                for at in start..end {
                    self.discard_record(leaf.cells()[at].newest().retire());
                }
                leaf.remove(start..end);
                size.minus(removed)
            }
            Items::Branch(branch) => {
                let first = branch.route(range.start());
                let last = range.end().map_or(branch.children.len(), |end| branch.route(end));
                if first == last {
                    self.delete_range_below(&mut branch.children[first], range);
                } else {
                    self.delete_range_below(&mut branch.children[first], KeyRange::from_start(range.start()));
                    if let Some(child) = branch.children.get_mut(last) {
                        self.delete_range_below(child, KeyRange::with_end(&[], range.end()));
                    }
                    let mut parts = branch.parts();
                    for child in parts.remove(first + 1..last) {
                        self.discard_subtree(child);
                    }
                    *branch = Branch::of(parts);
                }
                self.repair_branch(branch);
                size_of_children(&branch.children)
            }
        };
        child.set_size(size);
    }

    /// The items of a node, to be changed. Copies the node if somebody else may see it.
    fn open<'c>(&mut self, child: &'c mut Child) -> &'c mut Items {
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
    fn discard_node(&mut self, node: Shared<Node>) {
        if node.version == self.turn.version {
            // SAFETY: as in `open`; and it is out of the edit's tree.
            return drop(unsafe { node.into_inner() });
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

    fn is_poor(&self, child: &Child) -> bool {
        child.node.len() < self.fan_out.least(&child.node)
    }

    fn new_leaf(&self, cells: &[Cell]) -> Child {
        let leaf = Leaf::of(cells);
        let size = leaf.size_of(0..leaf.len(), self.turn.version);
        Child::new(Node::leaf(self.turn.version, leaf), size)
    }

    /// Puts the cells in the place of those of a leaf; returns the leaves that do not fit.
    fn fill(&mut self, child: &mut Child, cells: Vec<Cell>) -> Vec<Sibling> {
        let most = roomy(cells.len(), self.fan_out.leaf);
        self.fill_to(child, cells, most)
    }

    fn fill_to(&mut self, child: &mut Child, cells: Vec<Cell>, most: usize) -> Vec<Sibling> {
        let mut leaves = parts_of(cells.len(), most).map(|part| self.new_leaf(&cells[part]));
        let first = leaves.next();
        let mut siblings = Vec::with_capacity(leaves.len());
        let mut end = first.as_ref().map_or(0, |first| first.node.len());
        for leaf in leaves {
            let bound = separator(cells[end - 1].newest().key(), cells[end].newest().key());
            end += leaf.node.len();
            siblings.push(Sibling { bound, child: leaf });
        }
        if let Some(first) = first {
            self.discard_node(std::mem::replace(child, first).node);
        }
        siblings
    }

    /// Puts the parts in the place of those of a branch; returns the branches that do not fit.
    fn rebuild(&mut self, child: &mut Child, parts: Parts) -> Vec<Sibling> {
        let most = roomy(parts.children.len(), self.fan_out.branch);
        self.rebuild_to(child, parts, most)
    }

    fn rebuild_to(&mut self, child: &mut Child, parts: Parts, most: usize) -> Vec<Sibling> {
        let (first, siblings) = self.branches(parts, most);
        self.discard_node(std::mem::replace(child, first).node);
        siblings
    }

    /// Divides parts among as few branches as hold them with so many children each.
    fn branches(&mut self, parts: Parts, most: usize) -> (Child, Vec<Sibling>) {
        let Parts { mut bounds, mut children } = parts;
        let mut siblings = Vec::new();
        let ranges: Vec<_> = parts_of(children.len(), most).collect();
        for range in ranges.into_iter().skip(1).rev() {
            let part =
                Parts { bounds: bounds.split_off(range.start), children: children.split_off(range.start) };
            let bound = bounds.pop().unwrap_or_default();
            siblings.push(Sibling { bound, child: self.new_branch(part) });
        }
        siblings.reverse();
        (self.new_branch(Parts { bounds, children }), siblings)
    }

    fn new_branch(&self, parts: Parts) -> Child {
        let size = size_of_children(&parts.children);
        Child::new(Node::branch(self.turn.version, Branch::of(parts)), size)
    }

    fn repair_branch(&mut self, branch: &mut Branch) {
        let mut parts = branch.parts();
        self.repair(&mut parts);
        *branch = Branch::of(parts);
    }

    /// Removes empty children and joins those with too few items with a neighbour, as long as there is one.
    fn repair(&mut self, parts: &mut Parts) {
        while let Some(empty) = parts.children.iter().position(|child| child.size().entries == 0) {
            for child in parts.remove(empty..empty + 1) {
                self.discard_node(child.node);
            }
        }
        while parts.children.len() > 1
            && let Some(poor) = parts.children.iter().position(|child| self.is_poor(child))
        {
            let left = poor.min(parts.children.len() - 2);
            let bound = parts.bounds[left].clone();
            for right in parts.remove(left + 1..left + 2) {
                let rest = self.join(&mut parts.children[left], &bound, right);
                parts.add_behind(left, rest);
            }
        }
    }

    /// Moves the items of `right` into `left`; returns what is too much for one node as a node of its own.
    fn join(&mut self, left: &mut Child, bound: &[u8], right: Child) -> Vec<Sibling> {
        let most = self.fan_out.of(&right.node) * 3 / 4;
        let rest = match (&left.node.items, &right.node.items) {
            (Items::Leaf(entries), Items::Leaf(more)) => {
                let cells = entries.cells().iter().chain(more.cells()).map(Cell::duplicate).collect();
                self.fill_to(left, cells, most)
            }
            (Items::Branch(branch), Items::Branch(more)) => {
                let (mut parts, more) = (branch.parts(), more.parts());
                parts.bounds.push(bound.into());
                parts.bounds.extend(more.bounds);
                parts.children.extend(more.children);
                // A lone child may have had too few items: now it has neighbours.
                self.repair(&mut parts);
                self.rebuild_to(left, parts, most)
            }
            _ => unreachable!("siblings are equally deep"),
        };
        self.discard_node(right.node);
        rest
    }

    /// Takes everything back, and retires what was made.
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

/// How many items each of the nodes gets at most that so many are divided among: if they do not fit into one,
/// some room is left.
fn roomy(items: usize, most: usize) -> usize {
    if items <= most { most } else { most * 7 / 8 }
}

/// Divides so many items into as few equal parts as have at most so many each; nothing into one part.
fn parts_of(items: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let count = items.div_ceil(most).max(1);
    (0..count).map(move |part| items * part / count..items * (part + 1) / count)
}

#[cfg(test)]
impl Edit<'_> {
    /// Walks every node and panics at the first broken promise of the module.
    pub(super) fn check(&self) {
        check_below(&self.root, None, None, true, self);
    }
}

/// Checks a subtree whose keys must lie at or above `low` and below `high`; returns its height.
#[cfg(test)]
fn check_below(
    child: &Child,
    low: Option<&[u8]>,
    high: Option<&[u8]>,
    is_root: bool,
    edit: &Edit<'_>,
) -> usize {
    let (least, most) = (edit.fan_out.least(&child.node), edit.fan_out.of(&child.node));
    let len = child.node.len();
    assert!(len <= most, "{len} items in a node of {most}");
    assert!(is_root || len >= least, "{len} items, at least {least}");
    match &child.node.items {
        Items::Leaf(leaf) => {
            leaf.check();
            assert_eq!(child.size(), leaf.size_of(0..len, edit.turn.version), "the sum of all entries");
            for key in (0..len).map(|at| leaf.key(at)) {
                assert!(low.is_none_or(|low| key >= low), "no key below the bound of its subtree");
                assert!(high.is_none_or(|high| key < high), "no key above the bound of its subtree");
            }
            1
        }
        Items::Branch(branch) => {
            assert!(len > 1, "a branch has two children or more");
            assert_eq!(child.size(), size_of_children(&branch.children), "the sum of all children");
            let heights = branch.children.iter().enumerate().map(|(at, child)| {
                let low = at.checked_sub(1).map_or(low, |left| Some(branch.bound(left)));
                let high = if at + 1 < len { Some(branch.bound(at)) } else { high };
                assert!(low.is_none() || high.is_none_or(|high| low < Some(high)), "bounds ascend");
                check_below(child, low, high, false, edit)
            });
            let heights: Vec<_> = heights.collect();
            assert!(heights.iter().all(|height| *height == heights[0]), "all leaves are equally deep");
            heights[0] + 1
        }
    }
}
