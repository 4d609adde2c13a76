//! A sorted row of keys that one writer inserts into while readers search it.
//!
//! ```text
//! heads   | the 8 bytes behind the prefix of each key, as the number that a comparison of bytes would see | × ROOM
//!         | the least number for a key that is less than all with the prefix, the largest for one behind them
//! refs    | where the record of each key lies                                                             | × ROOM
//! ```
//!
//! To insert, everything behind the place moves one to the right, the last one first, each complete at its new place
//! before the old one is written over. So at every instant each key is there, one of them perhaps twice, and what is at
//! any one place only ever becomes smaller. (The idea: Hwang, Kim, Won, Nam, "Endurable Transient Inconsistency in
//! Byte-Addressable Persistent B+-Tree", FAST 2018, sections 3.1 and 4.1.)
//!
//! Promises: a reader finds every key that was inserted before it began, whatever is inserted meanwhile, and does not wait:
//! a key once seen to be less than the one sought stays so, therefore a search from the left loses nothing. What was cut off
//! stays readable where it was until something is inserted. Called by `node`, `tree` and `insert`.

use std::cmp::Ordering as Order;
use std::hint::select_unpredictable;

use page::{common_prefix, first_bytes};

use crate::records::{Records, Ref};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// So many keys have room in a row: with what a node has beside it, a leaf takes six lines of the caches.
pub(crate) const ROOM: usize = if cfg!(all(test, any(loom, miri))) { 4 } else { 30 };

/// The lower bits of the count.
const COUNT: u32 = 0xff;
/// Where a prefix is a guess, heads begin so many bytes before the first difference: keys that come later may differ there.
const SPARE: usize = 4;

pub(crate) struct Row {
    /// How many keys there are, and in the upper bits how often some were cut off.
    count: AtomicU32,
    /// How many bytes keys begin with alike.
    prefix: AtomicU32,
    /// A record whose key has the prefix, where another key may not; 0 if all that come here have it.
    like: AtomicU32,
    heads: [AtomicU64; ROOM],
    refs: [AtomicU32; ROOM],
}

/// A key that is sought in the rows of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) key: &'a [u8],
    /// Whether a key that is equal counts as less.
    pub(crate) passes_equal: bool,
}

/// Where a key is in a row.
pub(crate) enum Found {
    /// There.
    At(usize, Ref),
    /// Not there: the key at this place is larger.
    Before(usize),
    /// Not there: this place was behind all others.
    Behind(usize),
}

impl Default for Row {
    fn default() -> Self {
        Self {
            count: AtomicU32::new(0),
            prefix: AtomicU32::new(0),
            like: AtomicU32::new(0),
            heads: std::array::from_fn(|_| AtomicU64::new(0)),
            refs: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl Row {
    /// How many keys there are. A reader that has seen a key move right sees the count that it moved into.
    pub(crate) fn count(&self) -> usize {
        (self.count.load(Ordering::Acquire) & COUNT) as usize
    }

    /// A number that is another one after every insertion that begins here, and whenever keys were cut off.
    pub(crate) fn generation(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, at: usize) -> Option<Ref> {
        Ref::from_bits(self.refs[at].load(Ordering::Acquire))
    }

    /// The first place whose key is not less than the one sought, as far as heads and what they tie with tell: while the
    /// writer is inserting it may be a place too far left, never one too far right.
    pub(crate) fn rank(&self, records: &Records, sought: Sought<'_>) -> usize {
        self.rank_by(records, self.head_of(records, sought.key), sought)
    }

    /// The same for whoever has the head that the key has here.
    pub(crate) fn rank_by(&self, records: &Records, head: u64, sought: Sought<'_>) -> usize {
        let mut low = self.count_less(head, self.count());
        if self.ties(low, head) {
            let mut high = low + 1;
            while self.ties(high, head) {
                high += 1;
            }
            while low < high {
                let middle = low.midpoint(high);
                if self.is_less(records, middle, head, sought) { low = middle + 1 } else { high = middle }
            }
        }
        low
    }

    fn ties(&self, at: usize, head: u64) -> bool {
        at < self.count() && self.heads[at].load(Ordering::Acquire) == head
    }

    /// How many of so many heads are less.
    fn count_less(&self, head: u64, count: usize) -> usize {
        let (mut low, mut len) = (0, ROOM);
        // As many steps for every count, and none of them a branch: neither can be foretold.
        while len > 0 {
            let half = len.div_ceil(2);
            let at = low + half - 1;
            let is_less = (at < count) & (self.heads[at].load(Ordering::Acquire) < head);
            low = select_unpredictable(is_less, low + half, low);
            len -= half;
        }
        low
    }

    /// Whether the key at a place is less than the one sought. Once it is, it stays so.
    pub(crate) fn is_less(&self, records: &Records, at: usize, head: u64, sought: Sought<'_>) -> bool {
        match self.heads[at].load(Ordering::Acquire).cmp(&head) {
            Order::Less => true,
            Order::Greater => false,
            Order::Equal => match self.get(at).map(|it| records.key(it).cmp(sought.key)) {
                Some(Order::Equal) => sought.passes_equal,
                order => order == Some(Order::Less),
            },
        }
    }

    /// The place of a key, or where it would be.
    pub(crate) fn find(&self, records: &Records, key: &[u8]) -> Found {
        let head = self.head_of(records, key);
        let mut at = self.rank_by(records, head, Sought { key, passes_equal: false });
        while at < self.count() {
            let here = self.heads[at].load(Ordering::Acquire);
            if here > head {
                return Found::Before(at);
            }
            if here == head
                && let Some(found) = self.get(at)
            {
                match records.key(found).cmp(key) {
                    Order::Greater => return Found::Before(at),
                    Order::Equal => return Found::At(at, found),
                    Order::Less => {}
                }
            }
            at += 1;
        }
        Found::Behind(at)
    }

    /// Fetches the record that a search for a key will compare, if there is one whose head is the same.
    pub(crate) fn prefetch(&self, records: &Records, key: &[u8]) {
        let head = self.head_of(records, key);
        let at = self.count_less(head, self.count());
        if self.ties(at, head) {
            self.get(at).into_iter().for_each(|record| records.prefetch(record));
        }
    }

    /// The head that a key has here: never less than that of a lesser key.
    pub(crate) fn head_of(&self, records: &Records, key: &[u8]) -> u64 {
        let prefix = self.prefix.load(Ordering::Relaxed) as usize;
        if let Some(like) = Ref::from_bits(self.like.load(Ordering::Relaxed)) {
            match key[..prefix.min(key.len())].cmp(&records.key(like)[..prefix]) {
                Order::Less => return 0,
                Order::Equal => {}
                Order::Greater => return u64::MAX,
            }
        }
        u64::from_be_bytes(first_bytes(key.get(prefix..).unwrap_or_default()))
    }
}

/// What the one writer does. Nobody else may be in one of these calls.
impl Row {
    /// Says, before anybody sees the row, that all its keys lie between these two.
    pub(crate) fn set_fences(&self, records: &Records, low: Ref, high: Ref) {
        self.prefix.store(common_prefix(records.key(low), records.key(high)) as u32, Ordering::Relaxed);
    }

    /// Says, before anybody sees the row, that its keys will mostly begin as these two do.
    pub(crate) fn expect_like(&self, records: &Records, one: Ref, other: Ref) {
        let prefix = common_prefix(records.key(one), records.key(other)).saturating_sub(SPARE);
        if prefix > 0 {
            self.prefix.store(prefix as u32, Ordering::Relaxed);
            self.like.store(one.to_bits(), Ordering::Relaxed);
        }
    }

    /// Puts a key at a place, and moves what is from there on one to the right. There is room. Before each place is
    /// written, `before` is called with it, and moves there what else belongs to the key that comes to it.
    pub(crate) fn insert(&self, records: &Records, at: usize, record: Ref, before: impl Fn(usize)) {
        self.insert_head(at, self.head_of(records, records.key(record)), record, before);
    }

    fn insert_head(&self, at: usize, head: u64, record: Ref, before: impl Fn(usize)) {
        let count = self.count();
        for place in (at..count).rev() {
            before(place + 1);
            self.set(
                place + 1,
                self.heads[place].load(Ordering::Relaxed),
                self.refs[place].load(Ordering::Relaxed),
            );
            if place + 1 == count {
                // Before its old place is written over.
                self.add_one();
            }
        }
        before(at);
        self.set(at, head, record.to_bits());
        if at == count {
            self.add_one();
        }
    }

    fn set(&self, at: usize, head: u64, bits: u32) {
        self.heads[at].store(head, Ordering::Release);
        self.refs[at].store(bits, Ordering::Release);
    }

    /// Puts another record of the same key at a place.
    pub(crate) fn replace(&self, at: usize, record: Ref) {
        self.refs[at].store(record.to_bits(), Ordering::Release);
    }

    /// Puts a key behind all others. There is room.
    pub(crate) fn push(&self, records: &Records, record: Ref) {
        self.insert(records, self.count(), record, |_| {});
    }

    /// Puts the keys that another row has from a place on behind all others. There is room.
    pub(crate) fn take_from(&self, records: &Records, other: &Self, at: usize) {
        let begins = |row: &Self| (row.prefix.load(Ordering::Relaxed), row.like.load(Ordering::Relaxed));
        let is_alike = begins(self) == begins(other);
        for place in at..other.count() {
            let Some(record) = other.get(place) else { return };
            // Where heads begin alike, records need not come out of memory for them.
            let head = match is_alike {
                true => other.heads[place].load(Ordering::Relaxed),
                false => self.head_of(records, records.key(record)),
            };
            self.insert_head(self.count(), head, record, |_| {});
        }
    }

    /// Leaves only the first keys.
    pub(crate) fn cut(&self, count: usize) {
        let cuts = self.count.load(Ordering::Relaxed) & !COUNT;
        self.count.store(cuts.wrapping_add(COUNT + 1) | count as u32, Ordering::Release);
    }

    fn add_one(&self) {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}
