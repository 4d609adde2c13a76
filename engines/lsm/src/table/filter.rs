//! The filter of a table: tells, without a look at blocks, that a key is not there.
//!
//! A binary fuse filter (Graf and Lemire, 2022): three reads of memory a question, about nine bits a key, and it cannot be
//! changed once it is built, just as a table. How hashes become places is that of the crate `xorf`; a test holds its bytes
//! against a table that was written before.
//!
//! Promises: never says of a key that was built in that it is absent. What `decode` accepts makes no search read outside
//! of it. Called by the builder and the reader.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

use xorf::{BinaryFuse8, BinaryFuse16, Descriptor, Filter as _};

use super::{FilterKind, Sought};

const NONE: u8 = 0;
const FUSE8: u8 = 1;
const FUSE16: u8 = 2;

/// One question of so many is counted, for so many: which, the hash of the key decides. A count that every
/// reader writes to would cost more than the question.
const SAMPLED: u64 = 16;

/// A filter in memory.
pub(super) enum Filter {
    /// There is none: every key may be there.
    None,
    Fuse8(BinaryFuse8),
    Fuse16(BinaryFuse16),
}

impl Filter {
    /// A filter of these hashes; none, if they cannot be built into one.
    pub(super) fn build(kind: FilterKind, mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        let built = match kind {
            FilterKind::Fuse8 => BinaryFuse8::try_from(&hashes).map(Self::Fuse8).ok(),
            FilterKind::Fuse16 => BinaryFuse16::try_from(&hashes).map(Self::Fuse16).ok(),
            FilterKind::Off => None,
        };
        // Each is asked for once: a filter that has lost a key would lose it for good.
        let holds = |filter: &Self| !hashes.is_empty() && hashes.iter().all(|hash| filter.may_have(*hash));
        built.filter(holds).unwrap_or(Self::None)
    }

    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether a key with this hash may be there.
    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        match self {
            Self::None => true,
            Self::Fuse8(filter) => filter.contains(&hash),
            Self::Fuse16(filter) => filter.contains(&hash),
        }
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Fuse8(filter) => filter.fingerprints.len() as u64,
            Self::Fuse16(filter) => 2 * filter.fingerprints.len() as u64,
        }
    }

    /// The encoding, drawn in `table`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes() as usize + 32);
        match self {
            Self::None => out.push(NONE),
            Self::Fuse8(filter) => {
                out.push(FUSE8);
                encode_descriptor(&filter.descriptor, &mut out);
                out.extend_from_slice(&filter.fingerprints);
            }
            Self::Fuse16(filter) => {
                out.push(FUSE16);
                encode_descriptor(&filter.descriptor, &mut out);
                out.extend(filter.fingerprints.iter().flat_map(|it| it.to_le_bytes()));
            }
        }
        out
    }

    /// Reads an encoding; `None` if it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        if *kind == NONE {
            return rest.is_empty().then_some(Self::None);
        }
        let (descriptor, fingerprints) = decode_descriptor(rest)?;
        match *kind {
            FUSE8 if fits(&descriptor, fingerprints.len()) => {
                Some(Self::Fuse8(BinaryFuse8 { descriptor, fingerprints: fingerprints.into() }))
            }
            FUSE16 if fingerprints.len().is_multiple_of(2) && fits(&descriptor, fingerprints.len() / 2) => {
                let numbers = fingerprints.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
                Some(Self::Fuse16(BinaryFuse16 { descriptor, fingerprints: numbers.collect() }))
            }
            _ => None,
        }
    }
}

fn encode_descriptor(descriptor: &Descriptor, out: &mut Vec<u8>) {
    out.extend_from_slice(&descriptor.seed.to_le_bytes());
    out.extend_from_slice(&descriptor.segment_length.to_le_bytes());
    out.extend_from_slice(&descriptor.segment_length_mask.to_le_bytes());
    out.extend_from_slice(&descriptor.segment_count_length.to_le_bytes());
}

fn decode_descriptor(bytes: &[u8]) -> Option<(Descriptor, &[u8])> {
    let (seed, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (mask, rest) = rest.split_first_chunk()?;
    let (count_length, rest) = rest.split_first_chunk()?;
    let descriptor = Descriptor {
        seed: u64::from_le_bytes(*seed),
        segment_length: u32::from_le_bytes(*length),
        segment_length_mask: u32::from_le_bytes(*mask),
        segment_count_length: u32::from_le_bytes(*count_length),
    };
    Some((descriptor, rest))
}

/// Whether no search can leave so many fingerprints: it looks into three segments in a row, the first of which begins
/// anywhere in the first `segment_count_length` of them.
fn fits(descriptor: &Descriptor, fingerprints: usize) -> bool {
    let length = u64::from(descriptor.segment_length);
    let all = u64::from(descriptor.segment_count_length) + 2 * length;
    length.is_power_of_two()
        && descriptor.segment_count_length > 0
        && u64::from(descriptor.segment_length_mask) == length - 1
        && u64::from(descriptor.segment_count_length).is_multiple_of(length)
        && all == fingerprints as u64
        && u32::try_from(all).is_ok()
}

/// How often a filter was asked and how often it was right, about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FilterUsage {
    /// Questions.
    pub(crate) checks: u64,
    /// It said "perhaps", and the key was there.
    pub(crate) true_positives: u64,
    /// It said "perhaps", and the key was not there.
    pub(crate) false_positives: u64,
}

impl Add for FilterUsage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            checks: self.checks + other.checks,
            true_positives: self.true_positives + other.true_positives,
            false_positives: self.false_positives + other.false_positives,
        }
    }
}

/// Counts what becomes a `FilterUsage`, on a line of the caches of its own: what lies around it is read by everybody.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct FilterCounters {
    checks: AtomicU64,
    true_positives: AtomicU64,
    false_positives: AtomicU64,
}

impl FilterCounters {
    #[inline]
    pub(super) fn checked(&self, sought: &Sought<'_>) {
        count(&self.checks, sought);
    }

    #[inline]
    pub(super) fn looked(&self, sought: &Sought<'_>, is_there: bool) {
        count(if is_there { &self.true_positives } else { &self.false_positives }, sought);
    }

    pub(super) fn usage(&self) -> FilterUsage {
        FilterUsage {
            checks: self.checks.load(Ordering::Relaxed),
            true_positives: self.true_positives.load(Ordering::Relaxed),
            false_positives: self.false_positives.load(Ordering::Relaxed),
        }
    }
}

#[inline]
fn count(counter: &AtomicU64, sought: &Sought<'_>) {
    if sought.hash.is_multiple_of(SAMPLED) {
        counter.fetch_add(SAMPLED, Ordering::Relaxed);
    }
}
