//! Records in memory: written once at the end, and where they are for as long as the tree.
//!
//! ```text
//! segment 0    64 KiB  | record | record | …          each segment is twice as long as the one before it
//! segment 1   128 KiB  | record | …
//!
//! record, from a multiple of 8 bytes on:
//! | older u32 | batch u32 | value length u32 | key length u16 | key | value |                       the first of a key
//! | older u32 | batch u32 | value length u32 | key length u16 | jump u32 | depth u32 | key | value |  one that is not
//!   older: where the record lies that the same key had before, in units of 8 bytes from the beginning of segment 0; 0 if
//!   there is none.
//!   jump: a still older one of the same key; depth: how many there are before it
//! ```
//!
//! What does not fit into the rest of a segment begins the next one. Jumps make it a matter of logarithmic steps to
//! find what a key had long ago, however often it was overwritten since (Myers, "An Applicative Random-Access Stack", IPL 1983).
//!
//! Promises: a record never changes and never moves. Segments from 2 MiB on lie in huge pages where there are some, and
//! take memory as they fill. All memory is given back when the tree goes. Called by `insert`, which writes, and by whoever
//! has a reference out of a node.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use page::Mapped;

/// Records begin at multiples of so many bytes.
const UNIT_BYTES: usize = 8;
/// The first segment has so many units.
const FIRST_UNITS: u64 = (64 << 10) / UNIT_BYTES as u64;
/// So many segments have 32 GiB, which is what references reach.
const SEGMENTS: usize = 19;
const HEADER_BYTES: usize = 14;
const JUMP_BYTES: usize = 8;

/// Where a record lies, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ref(NonZeroU32);

impl Ref {
    /// What was made of one; 0 is none.
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        NonZeroU32::new(bits).map(Self)
    }

    pub(crate) fn to_bits(self) -> u32 {
        self.0.get()
    }
}

/// A record as it lies there.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// What the same key had before.
    pub(crate) older: Option<Older>,
    /// The number of the batch that it came with.
    pub(crate) batch: u32,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// What a key had before a record.
#[derive(Clone, Copy)]
pub(crate) struct Older {
    pub(crate) record: Ref,
    /// Another of the same key that is not newer than this one.
    jump: Ref,
    /// How many there are.
    depth: u32,
}

#[derive(Default)]
pub(crate) struct Records {
    segments: [OnceLock<Mapped>; SEGMENTS],
    /// How many units are taken.
    end: AtomicU64,
    /// Of who appends.
    turn: Mutex<()>,
}

/// The turn to append records.
pub(crate) struct Appender<'a> {
    records: &'a Records,
    _turn: MutexGuard<'a, ()>,
}

/// Where a unit lies: the number of its segment, and how many bytes of it come before.
fn place(unit: u64) -> (usize, usize) {
    let from_first = unit + FIRST_UNITS;
    let segment = from_first.ilog2() - FIRST_UNITS.ilog2();
    (segment as usize, (from_first - (FIRST_UNITS << segment)) as usize * UNIT_BYTES)
}

fn segment_bytes(segment: usize) -> usize {
    (FIRST_UNITS << segment) as usize * UNIT_BYTES
}

impl Appender<'_> {
    /// Appends a record; answers where it lies.
    ///
    /// # Panics
    /// If there are 32 GiB of records, or if the key has more than 65,535 bytes or the value 4 GiB.
    pub(crate) fn append(&mut self, record: &Record<'_>) -> Ref {
        let Record { older, batch, key, value } = *record;
        let mut header = [0; HEADER_BYTES + JUMP_BYTES];
        header[4..8].copy_from_slice(&batch.to_le_bytes());
        let (Ok(key_bytes), Ok(value_bytes)) = (u16::try_from(key.len()), u32::try_from(value.len())) else {
            panic!("a key of {} bytes or a value of {} is too long for a record", key.len(), value.len());
        };
        header[8..12].copy_from_slice(&value_bytes.to_le_bytes());
        header[12..14].copy_from_slice(&key_bytes.to_le_bytes());
        let mut header_bytes = HEADER_BYTES;
        if let Some(Older { record, jump, depth }) = older {
            header[..4].copy_from_slice(&record.to_bits().to_le_bytes());
            header[14..18].copy_from_slice(&jump.to_bits().to_le_bytes());
            header[18..].copy_from_slice(&depth.to_le_bytes());
            header_bytes += JUMP_BYTES;
        }
        let parts = [&header[..header_bytes], key, value];
        let bytes = parts.iter().map(|part| part.len()).sum();
        let (reference, start) = self.reserve(bytes);
        let mut written = 0;
        for part in parts {
            // SAFETY: so many bytes from there on are in one segment, and nobody reads or writes what lies behind the end: who has
            // the turn alone appends, and the reference is given out afterwards.
            unsafe { start.add(written).copy_from_nonoverlapping(part.as_ptr(), part.len()) };
            written += part.len();
        }
        self.records
            .end
            .store(u64::from(reference.to_bits()) + bytes.div_ceil(UNIT_BYTES) as u64, Ordering::Relaxed);
        reference
    }

    /// Finds room for so many bytes behind the end, which does not move yet.
    fn reserve(&self, bytes: usize) -> (Ref, *mut u8) {
        // The first unit is nobody's: its number says that there is none.
        let mut unit = self.records.end.load(Ordering::Relaxed).max(1);
        let (mut segment, mut offset) = place(unit);
        while segment_bytes(segment) - offset < bytes {
            unit += ((segment_bytes(segment) - offset) / UNIT_BYTES) as u64;
            (segment, offset) = place(unit);
        }
        let reference = u32::try_from(unit).ok().and_then(Ref::from_bits);
        let (Some(reference), Some(memory)) = (reference, self.records.segments.get(segment)) else {
            panic!("there are more than 32 GiB of records in memory");
        };
        let memory = memory.get_or_init(|| match Mapped::new(segment_bytes(segment)) {
            Some(memory) => memory,
            None => panic!("the operating system has no memory for more records"),
        });
        (reference, memory.start().as_ptr().wrapping_add(offset))
    }
}

impl Records {
    /// Bytes of memory that are taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.end.load(Ordering::Relaxed) * UNIT_BYTES as u64
    }

    /// Waits until nobody else appends.
    pub(crate) fn appender(&self) -> Appender<'_> {
        // Whoever panicked had not moved the end.
        Appender { records: self, _turn: self.turn.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// What a new record of the same key says of those before it, of which this is the newest.
    pub(crate) fn older(&self, newest: Ref) -> Older {
        let depth_and_jump = |record: Ref| match self.get(record).older {
            Some(older) => (older.depth, older.jump),
            None => (0, record),
        };
        let (depth, jump) = depth_and_jump(newest);
        let (jump_depth, jump_jump) = depth_and_jump(jump);
        let (further_depth, _) = depth_and_jump(jump_jump);
        let is_even = depth - jump_depth == jump_depth - further_depth;
        Older { record: newest, jump: if is_even { jump_jump } else { newest }, depth: depth + 1 }
    }

    /// What a key has as of a batch, of which this is the newest record.
    pub(crate) fn as_of(&self, batch: u32, newest: Ref) -> Option<Ref> {
        let mut reference = newest;
        loop {
            let record = self.get(reference);
            if record.batch <= batch {
                return Some(reference);
            }
            let older = record.older?;
            // All between it and the jump are newer than the jump.
            reference = if self.get(older.jump).batch > batch { older.jump } else { older.record };
        }
    }

    fn address(&self, reference: Ref) -> *const u8 {
        let (segment, offset) = place(reference.to_bits().into());
        match self.segments.get(segment).and_then(OnceLock::get) {
            Some(memory) => memory.start().as_ptr().wrapping_add(offset),
            None => unreachable!("a reference came before its segment"),
        }
    }

    /// The record that lies there.
    pub(crate) fn get(&self, reference: Ref) -> Record<'_> {
        let start = self.address(reference);
        // SAFETY: references come out of `append` alone and reach others through nodes of the same tree, which are written with
        // `Release` and read with `Acquire`, and a record never changes: so all of it is there, as long as `self` is.
        unsafe {
            let [o0, o1, o2, o3, b0, b1, b2, b3, v0, v1, v2, v3, k0, k1] =
                start.cast::<[u8; HEADER_BYTES]>().read();
            let older = Ref::from_bits(u32::from_le_bytes([o0, o1, o2, o3])).and_then(|record| {
                let [j0, j1, j2, j3, d0, d1, d2, d3] =
                    start.add(HEADER_BYTES).cast::<[u8; JUMP_BYTES]>().read();
                let jump = Ref::from_bits(u32::from_le_bytes([j0, j1, j2, j3]))?;
                Some(Older { record, jump, depth: u32::from_le_bytes([d0, d1, d2, d3]) })
            });
            let key = start.add(HEADER_BYTES + if older.is_some() { JUMP_BYTES } else { 0 });
            let key_bytes = usize::from(u16::from_le_bytes([k0, k1]));
            let value_bytes = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
            Record {
                older,
                batch: u32::from_le_bytes([b0, b1, b2, b3]),
                key: std::slice::from_raw_parts(key, key_bytes),
                value: std::slice::from_raw_parts(key.add(key_bytes), value_bytes),
            }
        }
    }

    /// How many records `as_of` looks for.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn steps_to(&self, batch: u32, newest: Ref) -> usize {
        let older = |record: &Ref| self.get(*record).older;
        let next = |record: &Ref| {
            let older = older(record)?;
            let is_newer = |record| self.get(record).batch > batch;
            is_newer(*record).then(|| if is_newer(older.jump) { older.jump } else { older.record })
        };
        std::iter::successors(Some(newest), next).count()
    }

    pub(crate) fn key(&self, reference: Ref) -> &[u8] {
        self.get(reference).key
    }

    /// Fetches the beginning of a record that will be read.
    pub(crate) fn prefetch(&self, reference: Ref) {
        page::prefetch(self.address(reference), 64);
    }
}
