//! Several keys on their way down the tree at once: while a node for one of them comes into the processor's caches, the
//! others go on.
//!
//! ```text
//! keys       a   b   c   d         one level for all keys, then the next one
//! branches   └─┬─┘   └─┬─┘         each node is fetched as soon as it is known, and looked at a turn later
//! leaves     │   │   │   │
//! records    │       │   │         where the leaf has the key, or one whose head is the same
//! ```
//!
//! Promises: each key gets what it would get alone. Called by the public `find_each`, and by `insert` for a batch.

use crate::node::{Leaf, NodeId};
use crate::row::Sought;
use crate::tree::{Snapshot, Tree};

/// So many keys go down side by side: more would compete for the caches.
pub(crate) const ABREAST: usize = 16;

impl Tree {
    /// Hands on, for each key in order, its place and the value that it has in a snapshot of this tree.
    pub fn find_each<'t>(
        &'t self,
        keys: &[&[u8]],
        snapshot: Snapshot,
        mut found: impl FnMut(usize, Option<&'t [u8]>),
    ) {
        for (start, keys) in (0..).step_by(ABREAST).zip(keys.chunks(ABREAST)) {
            let leaves = self.leaves_for(keys, |node, sought| self.child_for(node, sought));
            for (at, (key, leaf)) in (start..).zip(keys.iter().zip(leaves.into_iter().flatten())) {
                found(at, self.find_from(leaf, key, snapshot));
            }
        }
    }

    /// The leaf of each of a few keys, as `child` leads there; what a search in it looks at is on its way to the caches.
    pub(crate) fn leaves_for(
        &self,
        keys: &[&[u8]],
        child: impl Fn(NodeId, Sought<'_>) -> NodeId,
    ) -> [Option<&Leaf>; ABREAST] {
        let (height, root) = self.root();
        let (mut nodes, mut leaves) = ([root; ABREAST], [None; ABREAST]);
        for level in (0..height).rev() {
            for (node, key) in nodes.iter_mut().zip(keys) {
                *node = child(*node, Sought { key, passes_equal: true });
                self.prefetch(level, *node);
            }
        }
        for ((leaf, node), key) in leaves.iter_mut().zip(nodes).zip(keys) {
            leaf.insert(self.leaves.get(node)).node.row.prefetch(&self.records, key);
        }
        leaves
    }
}
