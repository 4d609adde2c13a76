//! How nodes split and join: the part of an edit that keeps the tree in the shape that `tree` promises.
//!
//! Called by `edit` alone.

use std::ops::Range;

use super::edit::Edit;
use super::node::{Branch, Child, Items, Leaf, Node, Parts, Sibling, separator, size_of_children};
use super::record::Cell;

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

impl Edit<'_> {
    /// Runs a change on the root, then makes the tree as high as it must be.
    pub(super) fn edit_root(&mut self, change: impl FnOnce(&mut Self, &mut Child) -> Vec<Sibling>) {
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

    pub(super) fn is_poor(&self, child: &Child) -> bool {
        child.node.len() < self.fan_out.least(&child.node)
    }

    fn new_leaf(&self, cells: &[Cell]) -> Child {
        let leaf = Leaf::of(cells);
        let size = leaf.size_of(0..leaf.len(), self.turn.version);
        Child::new(Node::leaf(self.turn.version, leaf), size)
    }

    /// Puts the cells in the place of those of a leaf; returns the leaves that do not fit.
    pub(super) fn fill(&mut self, child: &mut Child, cells: Vec<Cell>) -> Vec<Sibling> {
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
    pub(super) fn rebuild(&mut self, child: &mut Child, parts: Parts) -> Vec<Sibling> {
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

    pub(super) fn repair_branch(&mut self, branch: &mut Branch) {
        let mut parts = branch.parts();
        self.repair(&mut parts);
        *branch = Branch::of(parts);
    }

    /// Removes empty children and joins those with too few items with a neighbour, as long as there is one.
    pub(super) fn repair(&mut self, parts: &mut Parts) {
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
