//! The two kinds of nodes: leaves have records, branches have nodes.
//!
//! ```text
//! leaf     keys  k0 … kn                     low fence ≤ k0, kn < high fence, next: the leaf behind it
//! branch   keys  k0 … kn                     the same
//!          children  c0 | c1 … cn+1          c0 from the low fence on, ci+1 from ki on
//! ```
//!
//! A node that is full gives its right half to a new one, which it names as the next one before it says that its fence has
//! moved: whoever came to it for a key behind the fence goes on to the right. So a parent may learn of it later. (Lehman,
//! Yao, "Efficient Locking for Concurrent Operations on B-Trees", TODS 1981, section 3.)
//!
//! Promises: nodes are found by number and stay until the tree goes. What a node was made for never grows, so the prefix that
//! its fences had then is in front of every key that comes to it. A node without an upper fence has a prefix that is a guess.
//! Called by `tree`, `insert` and `cursor`.

use crate::records::{Records, Ref};
use crate::row::{ROOM, Row};
use crate::sync::{AtomicU32, Ordering};

/// The number of a node, which is never 0.
pub(crate) type NodeId = u32;

/// What leaves and branches have in common.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) row: Row,
    /// The record whose key is the low fence; 0 if nothing bounds the keys.
    low: AtomicU32,
    high: AtomicU32,
    next: AtomicU32,
}

#[derive(Default)]
pub(crate) struct Leaf {
    pub(crate) node: Node,
}

pub(crate) struct Branch {
    pub(crate) node: Node,
    children: [AtomicU32; ROOM + 1],
}

impl Default for Branch {
    fn default() -> Self {
        Self { node: Node::default(), children: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Node {
    /// The lower fence.
    pub(crate) fn low(&self) -> Option<Ref> {
        Ref::from_bits(self.low.load(Ordering::Relaxed))
    }

    /// The upper fence as it is now. Whoever has seen that the node was divided sees the new one.
    pub(crate) fn high(&self) -> Option<Ref> {
        Ref::from_bits(self.high.load(Ordering::Acquire))
    }

    /// The node to the right.
    pub(crate) fn next(&self) -> NodeId {
        self.next.load(Ordering::Acquire)
    }

    /// Says what a node is for, before anybody sees it: the right part of `whole`, from a fence on.
    pub(crate) fn begin_right_of(&self, whole: &Self, records: &Records, fence: Ref) {
        self.low.store(fence.to_bits(), Ordering::Relaxed);
        self.high.store(whole.high.load(Ordering::Relaxed), Ordering::Relaxed);
        self.next.store(whole.next.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(high) = whole.high() {
            self.row.set_fences(records, fence, high);
        } else if let Some(first) = whole.row.get(0) {
            self.row.expect_like(records, first, fence);
        }
    }

    /// Gives what is from `count` on to the node to the right, which has it.
    pub(crate) fn end_at(&self, fence: Ref, next: NodeId, count: usize) {
        self.next.store(next, Ordering::Release);
        self.high.store(fence.to_bits(), Ordering::Release);
        self.row.cut(count);
    }
}

impl Branch {
    pub(crate) fn child(&self, at: usize) -> NodeId {
        self.children[at].load(Ordering::Acquire)
    }

    /// Names a child of a branch that nobody sees yet.
    pub(crate) fn set_child(&self, at: usize, child: NodeId) {
        self.children[at].store(child, Ordering::Release);
    }

    /// Inserts a child from a key on.
    pub(crate) fn insert(&self, records: &Records, at: usize, key: Ref, child: NodeId) {
        self.node.row.insert(records, at, key, |place| {
            let moved = if place == at { child } else { self.child(place) };
            self.set_child(place + 1, moved);
        });
    }
}
