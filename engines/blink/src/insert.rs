//! The writer: records at the end, keys into leaves, and nodes that are divided when they are full.
//!
//! ```text
//! full leaf    a … f | g … k        1. the right half into a new leaf     2. next, fence, count     3. key and child into the branch
//! ```
//!
//! Promises: a batch becomes visible at one instant, when all of it is there. Called by the public `apply`.

use crate::abreast::ABREAST;
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
        let (mut records, mut entries) = (self.records.appender(), entries.into_iter());
        let mut abreast = [(&[][..], &[][..]); ABREAST];
        loop {
            let mut count = 0;
            for (place, entry) in abreast.iter_mut().zip(&mut entries) {
                *place = entry;
                count += 1;
            }
            match &abreast[..count] {
                [] => break,
                [(key, value)] => {
                    let record = Record { older: None, batch, key, value };
                    self.put(&mut writer, &mut records, self.leaf_of(key), record);
                }
                some => self.put_each(&mut writer, &mut records, batch, some),
            }
        }
        self.published.store(batch, Ordering::Release);
    }

    /// Puts a few entries, whose ways down are gone side by side.
    fn put_each(
        &self,
        writer: &mut Writer,
        records: &mut Appender<'_>,
        batch: u32,
        entries: &[(&[u8], &[u8])],
    ) {
        let mut keys = [&[][..]; ABREAST];
        keys.iter_mut().zip(entries).for_each(|(place, (key, _))| *place = key);
        let leaves = self.leaves_for(&keys[..entries.len()], |node, sought| self.child_of(node, sought));
        let nexts = leaves.map(|leaf| leaf.map_or(0, |leaf| leaf.node.next()));
        for (((key, value), leaf), next) in entries.iter().zip(leaves.into_iter().flatten()).zip(nexts) {
            // What came in before this may have divided the leaf.
            let leaf = if leaf.node.next() == next { leaf } else { self.leaf_of(key) };
            self.put(writer, records, leaf, Record { older: None, batch, key, value });
        }
    }

    /// The leaf that a key belongs to, for the writer, beside whom nobody divides.
    fn leaf_of(&self, key: &[u8]) -> &Leaf {
        let (height, mut node) = self.root();
        for level in (0..height).rev() {
            node = self.child_of(node, Sought { key, passes_equal: true });
            self.prefetch(level, node);
        }
        self.leaves.get(node)
    }

    fn child_of(&self, node: NodeId, sought: Sought<'_>) -> NodeId {
        let branch = self.branches.get(node);
        branch.child(branch.node.row.rank(&self.records, sought))
    }

    /// Puts a record into the leaf that its key belongs to.
    fn put(&self, writer: &mut Writer, records: &mut Appender<'_>, leaf: &Leaf, mut record: Record<'_>) {
        match leaf.node.row.find(&self.records, record.key) {
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
        self.find_path(writer, self.records.key(record));
        // Behind all others, the others stay together: so keys that come in order leave full leaves.
        let middle = if at == ROOM { ROOM } else { ROOM / 2 };
        let fence = (middle..ROOM).find_map(|place| row.get(place)).unwrap_or(record);
        writer.last_leaf += 1;
        let right = self.add(&self.leaves, writer.last_leaf);
        right.node.begin_right_of(&leaf.node, &self.records, fence);
        right.node.row.take_from(&self.records, row, middle);
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

    /// Goes down to the leaf of a key once more, and notes the branches on the way.
    fn find_path(&self, writer: &mut Writer, key: &[u8]) {
        let (height, mut node) = self.root();
        writer.path.clear();
        for _ in 0..height {
            writer.path.push(node);
            node = self.child_of(node, Sought { key, passes_equal: true });
        }
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
            (middle + 1..ROOM).for_each(|place| right.set_child(place - middle, branch.child(place + 1)));
            right.node.row.take_from(&self.records, row, middle + 1);
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
        if let Some(first) = self.leaves.get(FIRST_LEAF).node.row.get(0) {
            root.node.row.expect_like(&self.records, first, fence);
        }
        root.node.row.push(&self.records, fence);
        self.root.store(u64::from(height + 1) << 32 | u64::from(writer.last_branch), Ordering::Release);
    }
}
