//! The index of a table: which block a key belongs to, where that lies, and how many entries lie before it.
//!
//! ```text
//! tops        every sixteenth head: few, and always in the caches
//! heads       the first eight bytes of each separator behind what all keys of the table begin with alike, as the number
//!             that a comparison of bytes would see: side by side, so a search touches few lines of memory
//! separators  one behind the other; looked at where heads are equal
//! offsets     of each block, and where the last one ends
//! entries     before each block, and all
//! ```
//!
//! Promises: a search costs no allocation and no read; what `decode` accepts ascends. Called by the reader, walks and the
//! builder.

use std::ops::Range;

use page::{common_prefix, first_bytes};

use crate::version::TableInfo;

/// Where blocks lie, in memory.
#[derive(Default)]
pub(super) struct Index {
    /// How many bytes every key of the table begins with alike.
    prefix: usize,
    tops: Box<[u64]>,
    heads: Box<[u64]>,
    separators: Box<[u8]>,
    /// Where each separator ends.
    ends: Box<[u32]>,
    offsets: Box<[u64]>,
    entries: Box<[u64]>,
    /// Every key is less, if there is a bound.
    end: Option<Box<[u8]>>,
    /// The number that each block was written with, where it is not its place: blocks are missing, and others stand for them.
    ids: Box<[u32]>,
}

/// A block that was found without an index.
pub(super) struct FoundBlock {
    pub(super) id: u32,
    pub(super) place: Range<u64>,
    pub(super) lower: Box<[u8]>,
    pub(super) upper: Option<Box<[u8]>>,
    pub(super) entries: u64,
}

/// What stands for blocks that were not found has this number: that of no block.
const MISSING: u32 = u32::MAX;

/// So many heads have one top: two lines of memory.
const HEADS_A_TOP: usize = 16;

/// The first eight bytes of a key as a number that has the order of the bytes.
fn head_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(first_bytes(key))
}

impl Index {
    /// How many blocks there are.
    pub(super) fn count(&self) -> usize {
        self.heads.len()
    }

    /// All entries of the table.
    pub(super) fn total(&self) -> u64 {
        self.entries.last().copied().unwrap_or(0)
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        let separators = self.separators.len() + self.end.as_ref().map_or(0, |end| end.len());
        (separators + self.count() * 28 + self.tops.len() * 8) as u64
    }

    /// The number that a block was written with.
    pub(super) fn id(&self, number: usize) -> u32 {
        self.ids.get(number).copied().unwrap_or(number as u32)
    }

    /// Where a block lies, trailer included.
    pub(super) fn place(&self, number: usize) -> Range<u64> {
        self.offsets[number]..self.offsets[number + 1]
    }

    /// Where the last block ends.
    pub(super) fn blocks_end(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// How many entries lie in the blocks before this one.
    pub(super) fn entries_before(&self, number: usize) -> u64 {
        self.entries.get(number).copied().unwrap_or(0)
    }

    /// No key of the block is less.
    pub(super) fn separator(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.separators[start..self.ends[number] as usize]
    }

    /// Every key of the block is less, if there is a bound.
    pub(super) fn upper(&self, number: usize) -> Option<&[u8]> {
        if number + 1 < self.count() { Some(self.separator(number + 1)) } else { self.end.as_deref() }
    }

    /// The block that a key would be in.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        if self.is_behind_all(key) {
            return None;
        }
        self.up_to(key).checked_sub(1)
    }

    /// The blocks that may have keys at or behind `from` and before `to`.
    pub(super) fn between(&self, from: &[u8], to: Option<&[u8]>) -> Range<usize> {
        if self.is_behind_all(from) || to.is_some_and(|to| to <= from) {
            return 0..0;
        }
        let first = self.up_to(from).saturating_sub(1);
        let behind = to.map_or(self.count(), |to| match self.up_to(to) {
            0 => 0,
            // A block whose separator is the bound itself has no key before it.
            count if self.separator(count - 1) == to => count - 1,
            count => count,
        });
        first.min(behind)..behind
    }

    fn is_behind_all(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_some_and(|end| end <= key)
    }

    /// How many separators are not larger than a key that is less than the end.
    fn up_to(&self, key: &[u8]) -> usize {
        if self.heads.is_empty() {
            return 0;
        }
        // A key that does not begin as all do is less than all, or behind all.
        let common = self.separator(0).get(..self.prefix).unwrap_or_default();
        let Some(suffix) = key.strip_prefix(common) else {
            return if key < common { 0 } else { self.count() };
        };
        let head = head_of(suffix);
        let less = self.count_less(head);
        // Most heads are unlike their neighbours.
        let ties = match self.heads.get(less) {
            Some(next) if *next == head => self.heads[less..].partition_point(|it| *it == head),
            _ => 0,
        };
        let (mut low, mut high) = (less, less + ties);
        while low < high {
            let middle = low.midpoint(high);
            if self.separator(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// How many heads are less than this one.
    #[inline]
    fn count_less(&self, head: u64) -> usize {
        // The last top that is less has the last head that is less.
        let Some(top) = self.tops.partition_point(|it| *it < head).checked_sub(1) else { return 0 };
        let first = top * HEADS_A_TOP;
        let heads = &self.heads[first..self.heads.len().min(first + HEADS_A_TOP)];
        first + heads.iter().map(|it| usize::from(*it < head)).sum::<usize>()
    }

    /// Reads what `IndexWriter` wrote; `None` if it did not.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        u32::try_from(bytes.len()).ok()?;
        let (count, rest) = bytes.split_first_chunk()?;
        let count = u32::from_le_bytes(*count) as usize;
        let (end, mut rest) = decode_bound(rest)?;
        let mut blocks = Blocks { separators: Vec::with_capacity(rest.len()), ..Blocks::new(0) };
        for _ in 0..count {
            let (length, behind) = rest.split_first_chunk()?;
            let (separator, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into())?;
            let (length, behind) = behind.split_first_chunk()?;
            let (block_entries, behind) = behind.split_first_chunk()?;
            let block_entries = u32::from_le_bytes(*block_entries);
            if blocks.last_separator().is_some_and(|last| last >= separator) || block_entries == 0 {
                return None;
            }
            blocks.add(separator, u32::from_le_bytes(*length).into(), block_entries.into());
            rest = behind;
        }
        let ascends = blocks.last_separator().is_none_or(|last| end.is_none_or(|end| end > last));
        (rest.is_empty() && ascends).then(|| blocks.into_index(end, Vec::new()))
    }

    /// An index of the blocks that were found, in the order of the file, of a table of which this is known. Where none
    /// of them may have a key of the table, one stands that is not there.
    pub(super) fn of_blocks(found: Vec<FoundBlock>, info: Option<&TableInfo>) -> Self {
        let first = found.first().map(|block| block.lower.clone()).unwrap_or_default();
        let last = found.last().and_then(|block| block.upper.clone());
        let lower = info.map_or(&*first, |info| &*info.lower);
        let upper = info.map_or(last.as_deref(), |info| info.upper.as_deref());
        let begin = found.first().map_or(0, |first| first.place.start);
        let (mut blocks, mut ids) = (Blocks::new(begin), Vec::new());
        let (mut fence, mut at) = (Some(lower.to_vec()), begin);
        for block in found {
            let Some(expected) = &fence else { break };
            let order = (**expected).cmp(&block.lower);
            // Whoever wrote the table wrote no such block behind the one before.
            if order.is_gt() || order.is_eq() && at != block.place.start {
                continue;
            }
            if order.is_lt() {
                blocks.add(expected, block.place.start - at, 0);
                ids.push(MISSING);
            }
            blocks.add(&block.lower, block.place.end - block.place.start, block.entries);
            ids.push(block.id);
            (fence, at) = (block.upper.map(Vec::from), block.place.end);
        }
        if let Some(fence) = fence.filter(|fence| upper.is_none_or(|upper| **fence < *upper)) {
            blocks.add(&fence, 0, 0);
            ids.push(MISSING);
        }
        blocks.into_index(upper, ids)
    }

    /// What it says of a table of which nothing else is known.
    pub(super) fn describe(&self, id: u64, bytes: u64) -> TableInfo {
        let lower = if self.count() == 0 { [].into() } else { self.separator(0).into() };
        let upper = self.end.as_deref().map(Into::into);
        let (entries, tombstones, data_bytes, blobs) = (self.total(), 0, bytes, Vec::new());
        TableInfo { id, bytes, lower, upper, entries, tombstones, data_bytes, blobs }
    }

    fn with_heads(mut self) -> Self {
        let count = self.ends.len();
        if count > 0 {
            self.prefix = common_prefix(self.separator(0), self.end.as_deref().unwrap_or_default());
        }
        self.heads = (0..count).map(|number| head_of(&self.separator(number)[self.prefix..])).collect();
        self.tops = self.heads.iter().step_by(HEADS_A_TOP).copied().collect();
        self
    }
}

/// Blocks one behind the other, on their way into an index.
struct Blocks {
    separators: Vec<u8>,
    ends: Vec<u32>,
    offsets: Vec<u64>,
    entries: Vec<u64>,
}

impl Blocks {
    /// The first one begins here.
    fn new(offset: u64) -> Self {
        Self { separators: Vec::new(), ends: Vec::new(), offsets: vec![offset], entries: vec![0] }
    }

    fn last_separator(&self) -> Option<&[u8]> {
        let start = self.ends.len().checked_sub(2).map_or(0, |at| self.ends[at] as usize);
        self.ends.last().map(|end| &self.separators[start..*end as usize])
    }

    fn add(&mut self, separator: &[u8], bytes: u64, entries: u64) {
        self.separators.extend_from_slice(separator);
        self.ends.push(self.separators.len() as u32);
        self.offsets.push(self.offsets[self.offsets.len() - 1] + bytes);
        self.entries.push(self.entries[self.entries.len() - 1] + entries);
    }

    /// Every key is less than `end`; `ids` are empty if each block has the number of its place.
    fn into_index(self, end: Option<&[u8]>, ids: Vec<u32>) -> Index {
        let index = Index {
            separators: self.separators.into(),
            ends: self.ends.into(),
            offsets: self.offsets.into(),
            entries: self.entries.into(),
            end: end.map(Into::into),
            ids: ids.into(),
            ..Index::default()
        };
        index.with_heads()
    }
}

/// Collects what becomes an index.
#[derive(Default)]
pub(super) struct IndexWriter {
    count: u32,
    blocks: Vec<u8>,
}

impl IndexWriter {
    /// How many blocks there are so far.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Adds a block behind the others.
    pub(super) fn add(&mut self, separator: &[u8], bytes: usize, entries: usize) {
        self.count += 1;
        self.blocks.extend_from_slice(&(separator.len() as u16).to_le_bytes());
        self.blocks.extend_from_slice(separator);
        self.blocks.extend_from_slice(&(bytes as u32).to_le_bytes());
        self.blocks.extend_from_slice(&(entries as u32).to_le_bytes());
    }

    /// How long the encoding is, about.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len()
    }

    /// The encoding, where every key is less than `end`.
    pub(super) fn encode(&self, end: Option<&[u8]>) -> Vec<u8> {
        let mut out = self.count.to_le_bytes().to_vec();
        encode_bound(end, &mut out);
        out.extend_from_slice(&self.blocks);
        out
    }
}

/// Appends a bound that may be absent.
pub(super) fn encode_bound(bound: Option<&[u8]>, out: &mut Vec<u8>) {
    let bytes = bound.unwrap_or_default();
    out.push(u8::from(bound.is_some()));
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a bound, and answers what stands behind it.
pub(super) fn decode_bound(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (&[bounded, a, b], rest) = bytes.split_first_chunk()?;
    let (bound, rest) = rest.split_at_checked(u16::from_le_bytes([a, b]).into())?;
    match bounded {
        0 if bound.is_empty() => Some((None, rest)),
        1 => Some((Some(bound), rest)),
        _ => None,
    }
}
