//! The way down the tree, for readers.
//!
//! A reader first looks which batches it may see, and then goes down. What it comes to may be divided under its feet: it
//! notices where the key lies behind a fence, and goes on to the right.
//!
//! Promises: whoever comes down finds every key of the batches that were visible before, and waits for nobody. Called by
//! the public calls, and by `cursor`.

use std::sync::Mutex;

use adapter_api::{Estimate, KeyRange};

use crate::insert::Writer;
use crate::node::{Branch, Leaf, Node, NodeId};
use crate::records::Records;
use crate::row::{Found, ROOM, Sought};
use crate::segments::Segments;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// An ordered map in memory that only grows, with one writer, any number of readers, and every version of every key.
pub struct Tree {
    pub(crate) records: Records,
    pub(crate) leaves: Segments<Leaf>,
    pub(crate) branches: Segments<Branch>,
    /// The number of the root, and its height over the leaves in the upper half.
    pub(crate) root: AtomicU64,
    /// The last batch that is visible.
    pub(crate) published: AtomicU32,
    pub(crate) keys: AtomicU64,
    pub(crate) node_bytes: AtomicU64,
    pub(crate) writer: Mutex<Writer>,
}

/// The number of the first leaf.
pub(crate) const FIRST_LEAF: NodeId = 1;
/// In a range of so many leaves keys are counted.
const COUNTED_LEAVES: usize = 8;

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty one.
    pub fn new() -> Self {
        let tree = Self {
            records: Records::default(),
            leaves: Segments::default(),
            branches: Segments::default(),
            root: AtomicU64::new(FIRST_LEAF.into()),
            published: AtomicU32::new(0),
            keys: AtomicU64::new(0),
            node_bytes: AtomicU64::new(0),
            writer: Mutex::default(),
        };
        tree.leaves.add(FIRST_LEAF);
        tree
    }

    /// What is visible now. It needs no end, for nothing that it shows ever goes.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.published.load(Ordering::Acquire))
    }

    /// The value that a key has in a snapshot of this tree.
    pub fn find(&self, key: &[u8], snapshot: Snapshot) -> Option<&[u8]> {
        self.find_from(self.leaf_for(Sought { key, passes_equal: true }), key, snapshot)
    }

    /// The same, from a leaf on that `leaf_for` has found.
    pub(crate) fn find_from<'t>(
        &'t self,
        mut leaf: &'t Leaf,
        key: &[u8],
        snapshot: Snapshot,
    ) -> Option<&'t [u8]> {
        let sought = Sought { key, passes_equal: true };
        loop {
            match leaf.node.row.find(&self.records, key) {
                Found::At(_, newest) => {
                    let record = self.records.as_of(snapshot.0, newest)?;
                    return Some(self.records.get(record).value);
                }
                Found::Before(_) => return None,
                Found::Behind(_) => {
                    let leaves = |id| &self.leaves.get(id).node;
                    leaf = self.leaves.get(self.right_of(leaves, &leaf.node, sought)?);
                }
            }
        }
    }

    /// How many keys there are, those of batches that are being added too.
    pub fn len(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of memory it takes.
    pub fn bytes(&self) -> u64 {
        self.records.bytes() + self.node_bytes.load(Ordering::Relaxed)
    }

    /// How many keys the range has, and about how many bytes they and their values take: exactly if there are a few hundred at
    /// most, else about, and never none.
    pub fn estimate(&self, range: KeyRange<'_>) -> Estimate {
        let len = self.len();
        let entries = self.count(range).unwrap_or_else(|least| {
            let share = self.share_below(range.end()) - self.share_below(Some(range.start()));
            least.max((share * len as f64) as u64)
        });
        let bytes = (u128::from(entries) * u128::from(self.records.bytes()) / u128::from(len.max(1))) as u64;
        Estimate { entries, bytes, exact: false }
    }

    /// The keys of a range that lies in a few leaves; if it has more, those of the first ones.
    fn count(&self, range: KeyRange<'_>) -> Result<u64, u64> {
        let rank = |leaf: &Leaf, key| leaf.node.row.rank(&self.records, Sought { key, passes_equal: false });
        let mut leaf = self.leaf_for(Sought { key: range.start(), passes_equal: true });
        let (mut from, mut count) = (rank(leaf, range.start()), 0);
        for _ in 0..COUNTED_LEAVES {
            let keys = leaf.node.row.count();
            let is_before = |end: &&[u8]| leaf.node.high().is_none_or(|high| *end < self.records.key(high));
            let to = range.end().filter(is_before).map_or(keys, |end| rank(leaf, end));
            count += to.saturating_sub(from) as u64;
            if to < keys || leaf.node.next() == 0 {
                return Ok(count);
            }
            (leaf, from) = (self.leaves.get(leaf.node.next()), 0);
        }
        Err(count)
    }

    /// About which share of all keys is less; without a key, all are.
    fn share_below(&self, key: Option<&[u8]>) -> f64 {
        let Some(key) = key else { return 1.0 };
        let sought = Sought { key, passes_equal: true };
        let (height, mut node) = self.root();
        let (mut below, mut part) = (0.0, 1.0);
        for _ in 0..height {
            let branch = self.branches.get(node);
            let at = branch.node.row.rank(&self.records, sought);
            part /= (branch.node.row.count() + 1) as f64;
            below += at as f64 * part;
            node = branch.child(at);
        }
        let row = &self.leaves.get(node).node.row;
        below + part * row.rank(&self.records, sought).min(ROOM) as f64 / row.count().max(1) as f64
    }

    /// Height and number of the root.
    pub(crate) fn root(&self) -> (u32, NodeId) {
        let root = self.root.load(Ordering::Acquire);
        ((root >> 32) as u32, root as NodeId)
    }

    /// The leaf that a key belongs to, or one to the left of it from which it has just moved.
    pub(crate) fn leaf_for(&self, sought: Sought<'_>) -> &Leaf {
        let (height, mut node) = self.root();
        for level in (0..height).rev() {
            node = self.child_for(node, sought);
            self.prefetch(level, node);
        }
        self.leaves.get(node)
    }

    /// Fetches all of a node, whatever of it will be looked at first.
    pub(crate) fn prefetch(&self, level: u32, node: NodeId) {
        let (start, bytes) = match level {
            0 => (std::ptr::from_ref(self.leaves.get(node)).cast(), size_of::<Leaf>()),
            _ => (std::ptr::from_ref(self.branches.get(node)).cast(), size_of::<Branch>()),
        };
        page::prefetch(start, bytes);
    }

    /// The leaf with the largest keys, or one to the left of it.
    pub(crate) fn last_leaf(&self) -> &Leaf {
        let (height, mut node) = self.root();
        for _ in 0..height {
            let branch = self.branches.get(node);
            node = branch.child(branch.node.row.count());
        }
        self.leaves.get(node)
    }

    /// The child that a key belongs to, as the branch has it at this instant, or one to the right of the branch.
    pub(crate) fn child_for(&self, mut id: NodeId, sought: Sought<'_>) -> NodeId {
        loop {
            let branch = self.branches.get(id);
            let row = &branch.node.row;
            let head = row.head_of(&self.records, sought.key);
            let mut at = row.rank_by(&self.records, head, sought);
            loop {
                let child = branch.child(at);
                if at >= row.count() {
                    let branches = |id| &self.branches.get(id).node;
                    match self.right_of(branches, &branch.node, sought) {
                        Some(right) => break id = right,
                        None => return child,
                    }
                }
                // A child that moved right meanwhile had taken its key along.
                if !row.is_less(&self.records, at, head, sought) {
                    return child;
                }
                at += 1;
            }
        }
    }

    /// The node to the right where a key lies that was behind all keys of this one, if it is behind its fence too. The
    /// node that this one names may have been divided as well; and it may be one that was not there when the fence was looked at. So
    /// the search in it has to wait until its own fence was.
    fn right_of<'a>(
        &self,
        nodes: impl Fn(NodeId) -> &'a Node,
        mut node: &'a Node,
        sought: Sought<'_>,
    ) -> Option<NodeId> {
        let mut right = None;
        while node.high().is_some_and(|high| {
            let high = self.records.key(high);
            high < sought.key || (sought.passes_equal && high == sought.key)
        }) {
            let next = node.next();
            (right, node) = (Some(next), nodes(next));
        }
        right
    }
}

/// A point in the history of a tree: behind a batch and before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot(pub(crate) u32);
