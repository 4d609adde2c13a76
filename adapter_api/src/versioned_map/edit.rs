//! Edits of the tree: puts, deletes, range deletes and whole sorted runs, and how nodes split and join.
//!
//! Promises: what `tree` promises of shape holds after each call; nothing shows in any other clone of the
//! tree; an edit adds up what its result no longer shares with the version it began with, so that
//! `versioned_map` can bound what views hold. Called by `versioned_map` alone.

use std::sync::Arc;
use std::vec::IntoIter;

use super::changes::Change;
use super::packed::{self, Packed, repack};
use super::record::Stored;
use super::tree::{Branch, Items, Node, Sibling, Size, Subtree, Tree, separator, size_of_children};
use crate::KeyRange;

/// What an entry costs beside its key and value, about: its slot, its frame, its share of the node.
const ENTRY_OVERHEAD_BYTES: u64 = 16;

/// The most items of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct FanOut {
    pub(super) leaf: usize,
    pub(super) branch: usize,
}

impl FanOut {
    fn of(self, items: &Items) -> usize {
        match items {
            Items::Leaf(_) => self.leaf,
            Items::Branch(_) => self.branch,
        }
    }

    /// The fewest items of a node that is not the root. A third of the most, and `join` keeps away from both
    /// ends: so a node does not go back and forth between being split and being joined.
    fn least(self, items: &Items) -> usize {
        (self.of(items) / 3).max(2)
    }
}

/// One group of changes to a clone of the tree.
pub(super) struct Edit {
    tree: Tree,
    /// Newer than the version of every node that somebody else may see.
    version: u64,
    /// No view that was open when the edit began sees nodes made later than this version.
    newest_seen: u64,
    fan_out: FanOut,
    pub(super) discarded: Discarded,
}

/// The bytes that the new version no longer shares with the one before: what views may come to hold alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Discarded {
    /// Large entries replaced or removed, and all that went with whole subtrees.
    pub(super) entries: u64,
    /// Copied nodes that a view taken before the edit may see.
    pub(super) nodes_seen: u64,
    /// All copied nodes: what counts if a view was taken while the edit went on.
    pub(super) nodes: u64,
}

impl Edit {
    pub(super) fn new(tree: Tree, version: u64, newest_seen: u64, fan_out: FanOut) -> Self {
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
    pub(super) fn put(&mut self, key: &[u8], value: Stored<'_>) {
        self.edit_root(|edit, root| edit.put_below(root, key, value));
    }

    /// Stores entries in ascending order; no key from the first to the last of them may exist.
    pub(super) fn graft(&mut self, runs: Vec<Packed>) {
        let runs: Vec<Packed> = runs.into_iter().filter(|run| run.len() > 0).collect();
        if !runs.is_empty() {
            self.edit_root(|edit, root| edit.graft_below(root, runs));
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
    fn edit_root(&mut self, change: impl FnOnce(&mut Self, &mut Subtree) -> Vec<Sibling>) {
        let mut root = std::mem::take(&mut self.tree.root);
        let mut siblings = change(self, &mut root);
        while !siblings.is_empty() {
            let mut branch = Branch { bounds: Packed::default(), children: vec![root] };
            branch.add_behind(0, siblings);
            root = Subtree::new(self.version, Items::Branch(branch));
            siblings = self.divide(&mut root);
        }
        loop {
            let child = match &root.node.items {
                Items::Branch(branch) if root.size.entries == 0 || branch.children.is_empty() => {
                    Subtree::default()
                }
                Items::Branch(branch) if branch.children.len() == 1 => branch.children[0].clone(),
                _ => break,
            };
            root = child;
        }
        self.tree.root = root;
    }

    fn put_below(&mut self, subtree: &mut Subtree, key: &[u8], value: Stored<'_>) -> Vec<Sibling> {
        match self.open(subtree, packed::room_for(key, value)) {
            Items::Leaf(entries) => {
                let at = entries.rank(key);
                if at < entries.len() && entries.key(at) == key {
                    let discarded = entries.large_bytes_of(at);
                    entries.replace(at, key, value);
                    self.discarded.entries += discarded;
                } else {
                    entries.insert(at, key, value);
                }
            }
            Items::Branch(branch) => {
                let child = branch.route(key);
                let siblings = self.put_below(&mut branch.children[child], key, value);
                branch.add_behind(child, siblings);
            }
        }
        self.divide(subtree)
    }

    fn graft_below(&mut self, subtree: &mut Subtree, runs: Vec<Packed>) -> Vec<Sibling> {
        let (first, last) = (runs[0].first_key(), runs[runs.len() - 1].last_key());
        match self.open(subtree, 0) {
            Items::Leaf(entries) => {
                let right = entries.split_off(entries.rank(first));
                let left = std::mem::take(entries);
                self.fill(subtree, &[vec![left], runs, vec![right]].concat())
            }
            Items::Branch(branch) => {
                let child = branch.route(first);
                // The bound of the next child may lie inside the run: it moves up behind it.
                if let Some(next) = branch.children.get(child + 1)
                    && branch.bounds.key(child) <= last
                {
                    let bound = separator(last, next.first_key());
                    branch.bounds.remove(child..child + 1);
                    branch.bounds.insert(child, &bound, Stored::Here(&[]));
                }
                let siblings = self.graft_below(&mut branch.children[child], runs);
                branch.add_behind(child, siblings);
                self.divide(subtree)
            }
        }
    }

    /// Makes the changes of the run that lie before `end`.
    fn merge_below(
        &mut self,
        subtree: &mut Subtree,
        run: &mut IntoIter<Change>,
        end: Option<&[u8]>,
    ) -> Vec<Sibling> {
        let changes = run.as_slice();
        let count = end.map_or(changes.len(), |end| changes.partition_point(|change| change.key() < end));
        match self.open(subtree, 0) {
            Items::Leaf(entries) => {
                let old = std::mem::take(entries);
                let merged = self.merged(&old, run.by_ref().take(count));
                self.fill(subtree, &merged)
            }
            Items::Branch(branch) => {
                let Branch { bounds, children } = std::mem::take(branch);
                let mut merged = Branch::default();
                let last = run.len() - count;
                for (at, mut child) in children.into_iter().enumerate() {
                    let bound = (at < bounds.len()).then(|| bounds.key(at));
                    let reaches = |bound: &[u8]| run.as_slice()[0].key() < bound;
                    let siblings = match run.len() > last && bound.is_none_or(reaches) {
                        true => self.merge_below(&mut child, run, bound.or(end)),
                        false => Vec::new(),
                    };
                    if at > 0 {
                        merged.bounds.push(bounds.key(at - 1), Stored::Here(&[]));
                    }
                    merged.children.push(child);
                    merged.add_behind(merged.children.len() - 1, siblings);
                }
                self.repair(&mut merged);
                *branch = merged;
                self.divide(subtree)
            }
        }
    }

    /// The entries of a leaf with changes made to them, in runs of a leaf each.
    fn merged(&mut self, old: &Packed, changes: impl Iterator<Item = Change>) -> Vec<Packed> {
        let mut runs = Vec::new();
        let mut at = 0;
        for change in changes {
            let before = old.rank(change.key());
            let run = self.run_with_room(&mut runs);
            run.extend_from(old, at..before);
            at = before;
            if at < old.len() && old.key(at) == change.key() {
                self.discarded.entries += old.large_bytes_of(at);
                at += 1;
            }
            if let Change::Put(record) = change {
                run.push_record(record);
            }
        }
        self.run_with_room(&mut runs).extend_from(old, at..old.len());
        runs
    }

    /// The last run, or another one if that has as much as a leaf.
    fn run_with_room<'r>(&self, runs: &'r mut Vec<Packed>) -> &'r mut Packed {
        if runs.last().is_none_or(|run| run.len() >= self.fan_out.leaf) {
            runs.push(Packed::default());
        }
        let last = runs.len() - 1;
        &mut runs[last]
    }

    /// Puts the runs in the place of a leaf's entries; returns the leaves that do not fit.
    fn fill(&mut self, subtree: &mut Subtree, runs: &[Packed]) -> Vec<Sibling> {
        let mut parts = repack(runs, self.fan_out.leaf).into_iter();
        let first = parts.next().unwrap_or_default();
        let mut last_key = first.last_key().to_vec();
        if let Items::Leaf(entries) = self.open(subtree, 0) {
            *entries = first;
        }
        subtree.recount();
        let mut siblings = Vec::with_capacity(parts.len());
        for part in parts {
            let bound = separator(&last_key, part.first_key());
            last_key = part.last_key().to_vec();
            siblings.push(Sibling { bound, subtree: Subtree::new(self.version, Items::Leaf(part)) });
        }
        siblings
    }

    fn delete_below(&mut self, subtree: &mut Subtree, key: &[u8]) {
        match self.open(subtree, 0) {
            Items::Leaf(entries) => {
                let at = entries.rank(key);
                if at < entries.len() && entries.key(at) == key {
                    let discarded = entries.large_bytes_of(at);
                    entries.remove(at..at + 1);
                    self.discarded.entries += discarded;
                }
            }
            Items::Branch(branch) => {
                let child = branch.route(key);
                self.delete_below(&mut branch.children[child], key);
                if self.is_poor(&branch.children[child]) {
                    self.repair(branch);
                }
            }
        }
        subtree.recount();
    }

    fn delete_range_below(&mut self, subtree: &mut Subtree, range: KeyRange<'_>) {
        match self.open(subtree, 0) {
            Items::Leaf(entries) => {
                let end = range.end().map_or(entries.len(), |end| entries.rank(end));
                let start = entries.rank(range.start()).min(end);
                self.discarded.entries += (start..end).map(|at| entries.large_bytes_of(at)).sum::<u64>();
                entries.remove(start..end);
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
                    self.discard(size_of_children(&branch.children[first + 1..last]));
                    branch.remove(first + 1..last);
                }
                self.repair(branch);
            }
        }
        subtree.recount();
    }

    /// The items of a node, to be changed. Copies the node if somebody else may see it, a leaf with so many
    /// bytes of room.
    fn open<'s>(&mut self, subtree: &'s mut Subtree, room: usize) -> &'s mut Items {
        self.note_copy(&subtree.node);
        if Arc::get_mut(&mut subtree.node).is_none() {
            let items = subtree.node.items.copy(room);
            subtree.node = Arc::new(Node { version: self.version, items });
        }
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

    fn is_poor(&self, subtree: &Subtree) -> bool {
        let items = &subtree.node.items;
        items.len() < self.fan_out.least(items)
    }

    /// Cuts a node with too many items into equal parts; returns all parts but the first.
    fn divide(&mut self, subtree: &mut Subtree) -> Vec<Sibling> {
        let items = &subtree.node.items;
        let len = items.len();
        let count = len.div_ceil(self.fan_out.of(items)).max(1);
        let mut siblings = Vec::new();
        for part in (1..count).rev() {
            siblings.push(self.cut(subtree, len * part / count));
        }
        siblings.reverse();
        subtree.recount();
        siblings
    }

    /// Cuts off the items from `at` on.
    fn cut(&mut self, subtree: &mut Subtree, at: usize) -> Sibling {
        let (bound, items) = match self.open(subtree, 0) {
            Items::Leaf(entries) => {
                let bound = separator(entries.key(at - 1), entries.key(at));
                (bound, Items::Leaf(entries.split_off(at)))
            }
            Items::Branch(branch) => {
                let bound = branch.bounds.key(at - 1).to_vec();
                let bounds = branch.bounds.split_off(at);
                branch.bounds.remove(at - 1..at);
                let children = branch.children.split_off(at);
                branch.children.shrink_to_fit();
                (bound, Items::Branch(Branch { bounds, children }))
            }
        };
        Sibling { bound, subtree: Subtree::new(self.version, items) }
    }

    /// Removes empty children and joins those with too few items with a neighbour, as long as there is one.
    fn repair(&mut self, branch: &mut Branch) {
        while let Some(empty) = branch.children.iter().position(|child| child.size.entries == 0) {
            branch.remove(empty..empty + 1);
        }
        while branch.children.len() > 1
            && let Some(poor) = branch.children.iter().position(|child| self.is_poor(child))
        {
            let left = poor.min(branch.children.len() - 2);
            let bound = branch.bounds.key(left).to_vec();
            let right = branch.children[left + 1].clone();
            branch.remove(left + 1..left + 2);
            let rest = self.join(&mut branch.children[left], &bound, right);
            branch.add_behind(left, rest.into_iter().collect());
        }
    }

    /// Moves the items of `right` into `left`; returns what is too much for one node as a node of its own.
    fn join(&mut self, left: &mut Subtree, bound: &[u8], right: Subtree) -> Option<Sibling> {
        self.note_copy(&right.node);
        match (self.open(left, 0), &right.node.items) {
            (Items::Leaf(entries), Items::Leaf(more)) => entries.extend_from(more, 0..more.len()),
            (Items::Branch(branch), Items::Branch(more)) => {
                // One that lost all of its children has no bounds either.
                if !branch.children.is_empty() && !more.children.is_empty() {
                    branch.bounds.push(bound, Stored::Here(&[]));
                }
                branch.bounds.extend_from(&more.bounds, 0..more.bounds.len());
                branch.children.extend_from_slice(&more.children);
                // A lone child may have had too few items: now it has neighbours.
                self.repair(branch);
            }
            _ => unreachable!("siblings are equally deep"),
        }
        let len = left.node.items.len();
        let rest = (len > self.fan_out.of(&left.node.items) * 3 / 4).then(|| self.cut(left, len / 2));
        left.recount();
        rest
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
    let (least, most) = (edit.fan_out.least(items), edit.fan_out.of(items));
    assert_eq!(subtree.size, items.size(), "the size of a subtree is that of its items");
    assert!(items.len() <= most, "{} items in a node of {most}", items.len());
    assert!(is_root || items.len() >= least, "{} items, at least {least}", items.len());
    match items {
        Items::Leaf(entries) => {
            entries.check();
            for key in (0..entries.len()).map(|at| entries.key(at)) {
                assert!(low.is_none_or(|low| key >= low), "no key below the bound of its subtree");
                assert!(high.is_none_or(|high| key < high), "no key above the bound of its subtree");
            }
            1
        }
        Items::Branch(Branch { bounds, children }) => {
            assert!(children.len() > 1, "a branch has two children or more");
            assert_eq!(bounds.len() + 1, children.len(), "a bound between each two children");
            bounds.check();
            let heights = children.iter().enumerate().map(|(index, child)| {
                let low = index.checked_sub(1).map_or(low, |left| Some(bounds.key(left)));
                let high = if index < bounds.len() { Some(bounds.key(index)) } else { high };
                check_below(child, low, high, false, edit)
            });
            let heights: Vec<_> = heights.collect();
            assert!(heights.iter().all(|height| *height == heights[0]), "all leaves are equally deep");
            heights[0] + 1
        }
    }
}
