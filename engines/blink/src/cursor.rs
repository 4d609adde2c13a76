//! A walk over the keys of a snapshot in either direction.
//!
//! A cursor copies the references of one leaf after the other, from the left to the right, as the writer moves them: so it
//! misses none, and meets some twice, one right behind the other. Then it looks at the fence: what lies behind it is in the
//! next leaf too. What came in after the snapshot is left out when its turn comes.
//!
//! Promises: each key that the snapshot has in the range comes once, in order; nothing waits for the writer. Called by whoever
//! reads ranges.

use std::sync::Arc;

use adapter_api::{Direction, KeyRange};

use crate::node::Leaf;
use crate::records::{Record, Ref};
use crate::row::Sought;
use crate::tree::{Snapshot, Tree};

/// A walk over a range of a snapshot.
pub struct Cursor {
    tree: Arc<Tree>,
    snapshot: Snapshot,
    direction: Direction,
    start: Box<[u8]>,
    end: Option<Box<[u8]>>,
    /// Those of a leaf that have not come yet, the next one last.
    ahead: Vec<Ref>,
    /// What it is at.
    current: Option<Ref>,
    /// Where it goes on behind those.
    rest: Rest,
}

/// Where a cursor goes on.
enum Rest {
    /// The range has nothing more.
    Nothing,
    /// At the end of the range where walks in its direction begin.
    Beginning,
    /// At the key that was sought.
    At(Box<[u8]>),
    /// At a fence of the leaf that it was in.
    Fence(Ref),
}

impl Cursor {
    /// A cursor in front of the first key of the range in its direction.
    pub fn new(tree: &Arc<Tree>, snapshot: Snapshot, range: KeyRange<'_>, direction: Direction) -> Self {
        Self {
            tree: Arc::clone(tree),
            snapshot,
            direction,
            start: range.start().into(),
            end: range.end().map(Into::into),
            ahead: Vec::new(),
            current: None,
            rest: Rest::Beginning,
        }
    }

    /// Moves so that `advance` goes to the first key of the range at or behind this one, in the direction of the walk.
    pub fn seek(&mut self, key: &[u8]) {
        (self.current, self.rest) = (None, Rest::At(key.into()));
        self.ahead.clear();
    }

    /// Goes to the next key; answers whether there is one.
    pub fn advance(&mut self) -> bool {
        loop {
            while let Some(newest) = self.ahead.pop() {
                let record = self.tree.records.as_of(self.snapshot.0, newest);
                // The same once more, if it moved while it was copied.
                if record.is_some() && record != self.current {
                    self.current = record;
                    return true;
                }
            }
            if matches!(self.rest, Rest::Nothing) {
                self.current = None;
                return false;
            }
            self.load();
        }
    }

    /// The key that it is at; an empty one if it is at none.
    pub fn key(&self) -> &[u8] {
        self.record().map_or(&[], |record| record.key)
    }

    /// The value of that key.
    pub fn value(&self) -> &[u8] {
        self.record().map_or(&[], |record| record.value)
    }

    fn record(&self) -> Option<Record<'_>> {
        self.current.map(|record| self.tree.records.get(record))
    }

    /// Copies what the next leaf has of the range.
    fn load(&mut self) {
        let tree = Arc::clone(&self.tree);
        let rest = std::mem::replace(&mut self.rest, Rest::Nothing);
        let key = match &rest {
            Rest::Nothing => return,
            Rest::Beginning => None,
            Rest::At(key) => Some(&**key),
            Rest::Fence(fence) => Some(tree.records.key(*fence)),
        };
        let mut ahead = std::mem::take(&mut self.ahead);
        self.rest = match self.direction {
            Direction::Forward => self.load_from(&tree, key.unwrap_or_default(), &mut ahead),
            Direction::Reverse => self.load_to(&tree, key, matches!(rest, Rest::At(_)), &mut ahead),
        };
        ahead.iter().for_each(|record| tree.records.prefetch(*record));
        self.ahead = ahead;
    }

    /// Copies what the leaf of a key has from there on, the first one last.
    fn load_from(&self, tree: &Tree, key: &[u8], ahead: &mut Vec<Ref>) -> Rest {
        let (key, key_of) = (key.max(&self.start), |record: &Ref| tree.records.key(*record));
        let mut leaf = tree.leaf_for(Sought { key, passes_equal: true });
        let fence = loop {
            let from = leaf.node.row.rank(&tree.records, Sought { key, passes_equal: false });
            match copy(tree, leaf, from, ahead) {
                Some(fence) if key_of(&fence) <= key => leaf = tree.leaves.get(leaf.node.next()),
                fence => break fence,
            }
        };
        ahead.reverse();
        while ahead.last().is_some_and(|first| key_of(first) < key) {
            ahead.pop();
        }
        let Some(end) = self.end.as_deref() else { return fence.map_or(Rest::Nothing, Rest::Fence) };
        let behind = ahead.iter().take_while(|record| key_of(record) >= end).count();
        ahead.drain(..behind);
        fence.filter(|fence| key_of(fence) < end).map_or(Rest::Nothing, Rest::Fence)
    }

    /// Copies what the leaf of a key has before it, with that key itself or without; without a key, what the last leaf has.
    fn load_to(&self, tree: &Tree, key: Option<&[u8]>, with_it: bool, ahead: &mut Vec<Ref>) -> Rest {
        let key_of = |record: &Ref| tree.records.key(*record);
        let (key, with_it) = match (key, self.end.as_deref()) {
            (Some(key), Some(end)) if key >= end => (Some(end), false),
            (Some(key), _) => (Some(key), with_it),
            (None, end) => (end, false),
        };
        let is_inside = |other: &[u8]| key.is_none_or(|key| other < key || (with_it && other == key));
        let mut leaf = match key {
            Some(key) => tree.leaf_for(Sought { key, passes_equal: with_it }),
            None => tree.last_leaf(),
        };
        while let Some(fence) = copy(tree, leaf, 0, ahead)
            && is_inside(key_of(&fence))
        {
            leaf = tree.leaves.get(leaf.node.next());
        }
        while ahead.last().is_some_and(|last| !is_inside(key_of(last))) {
            ahead.pop();
        }
        let before = ahead.partition_point(|record| key_of(record) < &*self.start);
        ahead.drain(..before);
        leaf.node.low().filter(|low| key_of(low) > &*self.start).map_or(Rest::Nothing, Rest::Fence)
    }
}

/// Copies the references of a leaf from a place on, in order; answers the fence that it had behind them. One may come twice,
/// one right behind the other.
fn copy(tree: &Tree, leaf: &Leaf, from: usize, ahead: &mut Vec<Ref>) -> Option<Ref> {
    ahead.clear();
    let (row, key_of) = (&leaf.node.row, |record: &Ref| tree.records.key(*record));
    let generation = row.generation();
    let mut at = from;
    while at < row.count() {
        ahead.extend(row.get(at));
        at += 1;
    }
    if generation != row.generation() {
        // More than one insertion may have moved keys: some that came before others come behind them once more.
        let mut ascending = Vec::with_capacity(ahead.len());
        for record in ahead.drain(..) {
            ascending.truncate(ascending.partition_point(|other| key_of(other) < key_of(&record)));
            ascending.push(record);
        }
        *ahead = ascending;
    }
    let fence = leaf.node.high();
    while ahead.last().is_some_and(|last| fence.is_some_and(|fence| key_of(last) >= key_of(&fence))) {
        ahead.pop();
    }
    fence
}
