//! The writer: records at the end, keys into leaves, and nodes that are divided when they are full.
//!
//! ```text
//! full leaf    a … f | g … k        1. the right half into a new leaf     2. next, fence, count     3. key and child into the branch
//! ```
//!
//! Promises: a batch becomes visible at one instant, when all of it is there. Called by the public `apply`.

use crate::node::{Leaf, NodeId};
use crate::records::{Appender, Record, Ref};
use crate::row::{Found, ROOM, Sought};
use crate::segments::Segments;
use crate::sync::Ordering;
use crate::tree::{FIRST_LEAF, Tree};

/// What the writer has.
pub(crate) struct Writer {
    last_leaf: NodeId,
    last_branch: NodeId,
    /// The branches on the way down to a leaf.
    path: Vec<NodeId>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { last_leaf: FIRST_LEAF, last_branch: 0, path: Vec::new() }
    }
}

impl Tree {
    /// Gives keys values, later ones winning over earlier ones; all of them become visible at one instant. Waits while
    /// another thread does the same.
    ///
    /// # Panics
    /// If a key has more than 65,535 bytes or a value 4 GiB, if there are 32 GiB, or if a call has panicked before.
    pub fn apply<'a>(&self, entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
        let Ok(mut writer) = self.writer.lock() else {
            panic!("a batch has come in halfway, and nothing can come in behind it");
        };
        let batch = self.published.load(Ordering::Relaxed) + 1;
        let mut records = self.records.appender();
        for (key, value) in entries {
            let record = Record { older: None, batch, key, value };
            self.put(&mut writer, &mut records, record);
        }
        self.published.store(batch, Ordering::Release);
    }

    fn put(&self, writer: &mut Writer, records: &mut Appender<'_>, mut record: Record<'_>) {
        let key = record.key;
        let (height, mut node) = self.root();
        writer.path.clear();
        for level in (0..height).rev() {
            writer.path.push(node);
            let branch = self.branches.get(node);
            node = branch.child(branch.node.row.rank(&self.records, Sought { key, passes_equal: true }));
            self.prefetch(level, node);
        }
        let leaf = self.leaves.get(node);
        match leaf.node.row.find(&self.records, key) {
            Found::At(at, newest) => {
                record.older = Some(self.records.older(newest));
                leaf.node.row.replace(at, records.append(&record));
            }
            Found::Before(at) | Found::Behind(at) => {
                let record = records.append(&record);
                self.keys.store(self.keys.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                self.insert(writer, leaf, at, record);
            }
        }
    }

    fn insert(&self, writer: &mut Writer, leaf: &Leaf, at: usize, record: Ref) {
        let row = &leaf.node.row;
        if row.count() < ROOM {
            row.insert(&self.records, at, record, |_| {});
            return;
        }
        // Behind all others, the others stay together: so keys that come in order leave full leaves.
        let middle = if at == ROOM { ROOM } else { ROOM / 2 };
        let fence = (middle..ROOM).find_map(|place| row.get(place)).unwrap_or(record);
        writer.last_leaf += 1;
        let right = self.add(&self.leaves, writer.last_leaf);
        right.node.begin_right_of(&leaf.node, &self.records, fence);
        for moved in (middle..ROOM).filter_map(|place| row.get(place)) {
            right.node.row.push(&self.records, moved);
        }
        let goes_right = at > middle || at == ROOM;
        if goes_right {
            right.node.row.insert(&self.records, at - middle, record, |_| {});
        }
        leaf.node.end_at(fence, writer.last_leaf, middle);
        if !goes_right {
            row.insert(&self.records, at, record, |_| {});
        }
        self.insert_child(writer, fence, writer.last_leaf);
    }

    /// Names a new node in the branch above the one that it was divided from.
    fn insert_child(&self, writer: &mut Writer, mut fence: Ref, mut child: NodeId) {
        while let Some(id) = writer.path.pop() {
            let branch = self.branches.get(id);
            let row = &branch.node.row;
            let sought = Sought { key: self.records.key(fence), passes_equal: false };
            let at = row.rank(&self.records, sought);
            if row.count() < ROOM {
                branch.insert(&self.records, at, fence, child);
                return;
            }
            let middle = if at == ROOM { ROOM - 1 } else { ROOM / 2 };
            let Some(up) = row.get(middle) else { return };
            writer.last_branch += 1;
            let right = self.add(&self.branches, writer.last_branch);
            right.node.begin_right_of(&branch.node, &self.records, up);
            right.set_child(0, branch.child(middle + 1));
            for place in middle + 1..ROOM {
                right.set_child(place - middle, branch.child(place + 1));
                if let Some(moved) = row.get(place) {
                    right.node.row.push(&self.records, moved);
                }
            }
            if at > middle {
                right.insert(&self.records, at - middle - 1, fence, child);
            }
            branch.node.end_at(up, writer.last_branch, middle);
            if at <= middle {
                branch.insert(&self.records, at, fence, child);
            }
            (fence, child) = (up, writer.last_branch);
        }
        self.grow(writer, fence, child);
    }

    fn add<'a, T: Default>(&self, nodes: &'a Segments<T>, id: NodeId) -> &'a T {
        self.node_bytes
            .store(self.node_bytes.load(Ordering::Relaxed) + size_of::<T>() as u64, Ordering::Relaxed);
        nodes.add(id)
    }

    /// Puts a new root above the old one and the node to the right of it.
    fn grow(&self, writer: &mut Writer, fence: Ref, child: NodeId) {
        let (height, old) = self.root();
        writer.last_branch += 1;
        let root = self.add(&self.branches, writer.last_branch);
        root.set_child(0, old);
        root.set_child(1, child);
        root.node.row.push(&self.records, fence);
        self.root.store(u64::from(height + 1) << 32 | u64::from(writer.last_branch), Ordering::Release);
    }
}
