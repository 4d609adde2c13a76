//! A sorted run of entries in few allocations: the leaves of the tree, and the bounds between the children of
//! a branch (entries without values).
//!
//! Promises: entries ascend by key. A search looks at the heads of keys, which lie together, and at few keys.
//! A copy is a few moves of bytes, however many entries there are: entries of up to 256 bytes lie inside,
//! larger ones each in an allocation that copies share. A copy leaves no dead bytes behind. Called by `tree`
//! and `edit`.
//!
//! ```text
//! bytes   | slot | slot | … | room for slots | entry | entry | … |
//!   slot      head u32 · place u32    native order; ascending by key
//!               │          └─ of a small entry: where it begins in `bytes`; of a large one: LARGE + its index
//!               └─ the four bytes of the key behind the prefix that all keys share, zeros behind a short key
//!   entry     key length u16 · value length u16 · key · value      little-endian; the order is that of
//!                                                                  arrival; what was removed leaves a hole
//! large   an allocation each (see `record`)
//! ```
//! The idea of heads is that of poor man's normalised keys: Graefe, "Modern B-Tree Techniques" (2011), 3.5.

use std::ops::Range;

use super::record::{Record, Stored};
use super::room;
use super::tree::Size;

/// Entries with more bytes of key and value than this have an allocation of their own.
const SMALL_BYTES_MAX: usize = 256;
/// The bytes of a small entry before its key.
const FRAME_BYTES: usize = 4;
/// Set in the place of a large entry.
const LARGE: u32 = 1 << 31;

/// A sorted run of entries.
#[derive(Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    /// How many entries there are.
    len: usize,
    /// How many slots there is room for.
    slot_room: usize,
    large: Vec<Record>,
    size: Size,
    /// How many of `bytes` are holes.
    dead: usize,
    /// How many bytes all keys begin with in common, or fewer: what heads begin behind.
    prefix: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    head: u32,
    place: u32,
}

/// The bytes of a slot.
const SLOT_BYTES: usize = 8;
/// Room for slots comes in so many.
const SLOTS_STEP: usize = 8;

impl Slot {
    fn of(bytes: [u8; SLOT_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { head: u32::from_ne_bytes([a, b, c, d]), place: u32::from_ne_bytes([e, f, g, h]) }
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        room::give_back(std::mem::take(&mut self.bytes));
    }
}

/// Without holes, and with the longest prefix.
impl Clone for Packed {
    fn clone(&self) -> Self {
        self.with_room(0, 0)
    }
}

impl Packed {
    /// A run without entries.
    pub(super) const fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            len: 0,
            slot_room: 0,
            large: Vec::new(),
            size: Size { entries: 0, bytes: 0, away: 0 },
            dead: 0,
            prefix: 0,
        }
    }

    /// No entries, with room for so many and so many bytes of small ones.
    fn with_capacity(entries: usize, bytes: usize) -> Self {
        let mut packed = Self::empty();
        packed.slot_room = entries.next_multiple_of(SLOTS_STEP);
        packed.bytes = room::take(packed.slot_room * SLOT_BYTES + bytes);
        packed.bytes.resize(packed.slot_room * SLOT_BYTES, 0);
        packed
    }

    /// A copy with room for so many further entries and bytes of theirs.
    pub(super) fn with_room(&self, entries: usize, bytes: usize) -> Self {
        let mut copy;
        if self.dead > 0 || self.has_large_holes() || self.slot_room < self.len + entries {
            let small_bytes = self.bytes.len() - self.slot_room * SLOT_BYTES - self.dead;
            copy = Self::with_capacity(self.len + entries, small_bytes + bytes);
            copy.extend_from(self, 0..self.len);
        } else {
            let room = room::take(self.bytes.len() + bytes);
            copy = Self { bytes: room, large: self.large.clone(), ..*self };
            copy.bytes.extend_from_slice(&self.bytes);
        }
        copy.lengthen_prefix();
        copy
    }

    fn slots(&self) -> &[[u8; SLOT_BYTES]] {
        self.bytes[..self.len * SLOT_BYTES].as_chunks().0
    }

    fn slot(&self, at: usize) -> Slot {
        Slot::of(self.slots()[at])
    }

    fn set_slot(&mut self, at: usize, slot: Slot) {
        let bytes = &mut self.bytes[at * SLOT_BYTES..(at + 1) * SLOT_BYTES];
        bytes[..4].copy_from_slice(&slot.head.to_ne_bytes());
        bytes[4..].copy_from_slice(&slot.place.to_ne_bytes());
    }

    /// How many heads are smaller.
    fn heads_below(&self, head: u32) -> usize {
        self.slots().partition_point(|slot| Slot::of(*slot).head < head)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many entries and bytes there are.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// How many entries and bytes there are in a range.
    pub(super) fn size_of(&self, range: Range<usize>) -> Size {
        let sizes = range.map(|at| self.entry(at)).map(|(key, value)| size_of_entry(key, value));
        sizes.fold(Size::default(), Size::plus)
    }

    /// The bytes of an entry, if it lies in an allocation of its own.
    pub(super) fn large_bytes_of(&self, at: usize) -> u64 {
        if self.slot(at).place < LARGE { 0 } else { self.size_of(at..at + 1).here() }
    }

    /// The memory that a copy takes, about.
    pub(super) fn footprint(&self) -> u64 {
        (self.bytes.len() + self.large.len() * size_of::<Record>()) as u64
    }

    /// The entry at a place, key and value.
    pub(super) fn entry(&self, at: usize) -> (&[u8], Stored<'_>) {
        let place = self.slot(at).place;
        if place >= LARGE {
            return self.large[(place - LARGE) as usize].parts();
        }
        let frame = &self.bytes[place as usize..];
        let key_len = usize::from(u16::from_le_bytes([frame[0], frame[1]]));
        let value_len = usize::from(u16::from_le_bytes([frame[2], frame[3]]));
        let (key, value) = frame[FRAME_BYTES..FRAME_BYTES + key_len + value_len].split_at(key_len);
        (key, Stored::Here(value))
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        self.entry(at).0
    }

    pub(super) fn first_key(&self) -> &[u8] {
        if self.len() == 0 { &[] } else { self.key(0) }
    }

    pub(super) fn last_key(&self) -> &[u8] {
        self.len().checked_sub(1).map_or(&[], |last| self.key(last))
    }

    /// The value of this key.
    pub(super) fn find(&self, key: &[u8]) -> Option<Stored<'_>> {
        // If some key has the very bytes, its head is where theirs would be: the prefix need not be looked at.
        let head = head_of(key, self.prefix);
        let mut at = self.heads_below(head);
        while at < self.len && self.slot(at).head == head {
            let entry = self.entry(at);
            if entry.0 == key {
                return Some(entry.1);
            }
            at += 1;
        }
        None
    }

    /// How many keys are smaller.
    pub(super) fn rank(&self, key: &[u8]) -> usize {
        self.partition_point(key, |held| held < key)
    }

    /// How many keys are smaller or the same.
    pub(super) fn rank_after(&self, key: &[u8]) -> usize {
        self.partition_point(key, |held| held <= key)
    }

    /// `is_before` must hold for every key below `key` and for none above.
    fn partition_point(&self, key: &[u8], is_before: impl Fn(&[u8]) -> bool) -> usize {
        if self.len == 0 {
            return 0;
        }
        let prefix = &self.first_key()[..self.prefix];
        if !key.starts_with(prefix) {
            return if key < prefix { 0 } else { self.len() };
        }
        let head = head_of(key, self.prefix);
        let mut low = self.heads_below(head);
        let same = self.slots()[low..].iter().take_while(|slot| Slot::of(**slot).head == head).count();
        let mut high = low + same;
        while low < high {
            let middle = (low + high) / 2;
            match is_before(self.key(middle)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Puts an entry at its place: behind so many smaller keys.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], value: Stored<'_>) {
        self.admit(key, value);
        let place = self.store(key, value);
        self.insert_slot(at, key, place);
    }

    /// Counts an entry that is about to come, and makes room for its slot and heads that fit its key.
    fn admit(&mut self, key: &[u8], value: Stored<'_>) {
        if self.len == self.slot_room {
            *self = self.with_room(1, room_for(key, value));
        }
        self.size = self.size.plus(size_of_entry(key, value));
        if self.len == 0 {
            self.prefix = key.len();
            return;
        }
        let shared = common(&self.first_key()[..self.prefix], key);
        if shared < self.prefix {
            self.set_prefix(shared);
        }
    }

    /// Makes a slot for a key that was admitted.
    fn insert_slot(&mut self, at: usize, key: &[u8], place: u32) {
        let (start, end) = (at * SLOT_BYTES, self.len * SLOT_BYTES);
        self.bytes.copy_within(start..end, start + SLOT_BYTES);
        self.len += 1;
        self.set_slot(at, Slot { head: head_of(key, self.prefix), place });
    }

    /// Replaces the value of an entry.
    pub(super) fn replace(&mut self, at: usize, key: &[u8], value: Stored<'_>) {
        let old = self.size_of(at..at + 1);
        let new = size_of_entry(key, value);
        let Slot { head, place } = self.slot(at);
        self.size = self.size.minus(old).plus(new);
        if let Stored::Here(value) = value
            && place < LARGE
            && old == new
        {
            let start = place as usize + FRAME_BYTES + key.len();
            self.bytes[start..start + value.len()].copy_from_slice(value);
            return;
        }
        self.give_up(at);
        let place = self.store(key, value);
        self.set_slot(at, Slot { head, place });
        self.fill_holes();
    }

    /// Removes entries.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.size = self.size.minus(self.size_of(range.clone()));
        for at in range.clone() {
            self.give_up(at);
        }
        self.bytes.copy_within(range.end * SLOT_BYTES..self.len * SLOT_BYTES, range.start * SLOT_BYTES);
        self.len -= range.len();
        self.fill_holes();
    }

    /// Appends an entry, whose key is the largest.
    pub(super) fn push(&mut self, key: &[u8], value: Stored<'_>) {
        self.insert(self.len(), key, value);
    }

    /// Appends an entry that has an allocation of its own, whose key is the largest.
    pub(super) fn push_record(&mut self, record: Record) {
        let (key, value) = record.parts();
        if room_for(key, value) > 0 {
            return self.push(key, value);
        }
        self.admit(key, value);
        self.insert_slot(self.len, key, LARGE | self.large.len() as u32);
        self.large.push(record);
    }

    /// Appends entries of another run, whose keys are larger than those here.
    pub(super) fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        for at in range {
            match other.slot(at).place {
                place if place >= LARGE => self.push_record(other.large[(place - LARGE) as usize].clone()),
                _ => {
                    let (key, value) = other.entry(at);
                    self.push(key, value);
                }
            }
        }
    }

    /// Some of the entries, in a run of their own.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let small = range.clone().filter(|at| self.slot(*at).place < LARGE);
        let bytes = small.map(|at| self.frame_bytes_of(at)).sum();
        let mut part = Self::with_capacity(range.len(), bytes);
        part.extend_from(self, range);
        part.lengthen_prefix();
        part
    }

    /// Removes the entries from `at` on and returns them.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let tail = self.part(at..self.len());
        *self = self.part(0..at);
        tail
    }

    /// Takes the longest prefix there is: the one that the first key and the last have in common.
    fn lengthen_prefix(&mut self) {
        let shared = common(self.first_key(), self.last_key());
        if shared > self.prefix {
            self.set_prefix(shared);
        }
    }

    fn set_prefix(&mut self, prefix: usize) {
        self.prefix = prefix;
        for at in 0..self.len() {
            let slot = Slot { head: head_of(self.key(at), prefix), ..self.slot(at) };
            self.set_slot(at, slot);
        }
    }

    /// Stores an entry and answers its place.
    fn store(&mut self, key: &[u8], value: Stored<'_>) -> u32 {
        let needed = room_for(key, value);
        if needed == 0 {
            self.large.push(Record::new(key, value));
            return LARGE | (self.large.len() - 1) as u32;
        }
        let value = value.here();
        if self.bytes.capacity() - self.bytes.len() < needed {
            let mut larger = room::take(self.bytes.len() + needed.max(self.bytes.len() / 8));
            larger.extend_from_slice(&self.bytes);
            room::give_back(std::mem::replace(&mut self.bytes, larger));
        }
        let place = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        place
    }

    /// What a small entry takes of the bytes.
    fn frame_bytes_of(&self, at: usize) -> usize {
        let (key, value) = self.entry(at);
        room_for(key, value)
    }

    /// Makes a hole of an entry's bytes.
    fn give_up(&mut self, at: usize) {
        match self.slot(at).place {
            place if place >= LARGE => self.large[(place - LARGE) as usize] = Record::hole(),
            _ => self.dead += self.frame_bytes_of(at),
        }
    }

    fn has_large_holes(&self) -> bool {
        self.large.iter().any(|entry| entry.is_hole())
    }

    /// Closes the holes once they are most of the memory.
    fn fill_holes(&mut self) {
        let large_held = || self.slots().iter().filter(|slot| Slot::of(**slot).place >= LARGE).count();
        let mostly_holes = self.large.len() > 8 && self.large.len() > 2 * large_held();
        if mostly_holes || self.dead > (self.bytes.len() - self.slot_room * SLOT_BYTES) / 2 {
            *self = self.part(0..self.len());
        }
    }
}

/// The same entries, in as few runs of equal length as hold at most `most` each. Keys ascend from run to run.
pub(super) fn repack(runs: &[Packed], most: usize) -> Vec<Packed> {
    let total: usize = runs.iter().map(Packed::len).sum();
    let count = total.div_ceil(most).max(1);
    let (mut run, mut at) = (0, 0);
    let mut parts = Vec::with_capacity(count);
    for part in 0..count {
        let mut missing = total * (part + 1) / count - total * part / count;
        let mut packed = Packed::with_capacity(missing, 0);
        while missing > 0 {
            let taken = missing.min(runs[run].len() - at);
            packed.extend_from(&runs[run], at..at + taken);
            missing -= taken;
            at += taken;
            if at == runs[run].len() {
                (run, at) = (run + 1, 0);
            }
        }
        packed.lengthen_prefix();
        parts.push(packed);
    }
    parts
}

/// How many bytes an entry takes of the room for small ones.
pub(super) fn room_for(key: &[u8], value: Stored<'_>) -> usize {
    match value {
        Stored::Here(value) if key.len() + value.len() <= SMALL_BYTES_MAX => {
            FRAME_BYTES + key.len() + value.len()
        }
        _ => 0,
    }
}

fn size_of_entry(key: &[u8], value: Stored<'_>) -> Size {
    let away = if matches!(value, Stored::Away(_)) { value.len() as u64 } else { 0 };
    Size { entries: 1, bytes: (key.len() + value.len()) as u64, away }
}

/// How many bytes two keys begin with in common.
pub(super) fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}

fn head_of(key: &[u8], prefix: usize) -> u32 {
    u32::from_be_bytes(bytes_behind(key, prefix))
}

/// The bytes of a key behind a prefix, zeros behind a short key.
pub(super) fn bytes_behind<const COUNT: usize>(key: &[u8], prefix: usize) -> [u8; COUNT] {
    let rest = key.get(prefix..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; COUNT];
        bytes[..rest.len()].copy_from_slice(rest);
        bytes
    })
}

#[cfg(test)]
impl Packed {
    /// Panics at the first broken promise of the module.
    pub(super) fn check(&self) {
        let keys: Vec<&[u8]> = (0..self.len()).map(|at| self.key(at)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "keys ascend");
        assert!(keys.iter().all(|key| key.starts_with(&keys[0][..self.prefix])), "all share the prefix");
        assert!((0..self.len).all(|at| self.slot(at).head == head_of(keys[at], self.prefix)));
        assert_eq!(self.size, self.size_of(0..self.len()), "the sum of all entries");
        let small = |at: &usize| self.slot(*at).place < LARGE;
        let held = (0..self.len()).filter(small).map(|at| self.frame_bytes_of(at));
        let entries = held.sum::<usize>() + self.dead;
        assert_eq!(entries, self.bytes.len() - self.slot_room * SLOT_BYTES, "bytes are held or dead");
    }
}
