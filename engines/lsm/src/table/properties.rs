//! What a table says of itself: the same as the manifest does, and the ranges that it deletes.
//!
//! Promises: what `decode` accepts is what `encode` wrote; it allocates nothing by what a count claims. Called by the
//! builder, the reader and `verify`.

use std::collections::BTreeMap;

use super::index::{decode_bound, encode_bound};
use crate::blob;
use crate::item::Item;
use crate::ranges::Ranges;
use crate::version::TableInfo;

/// What the entries of a table add up to.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) entries: u64,
    pub(super) tombstones: u64,
    pub(super) data_bytes: u64,
    pub(super) blobs: BTreeMap<u64, u64>,
}

impl Tally {
    /// Counts an entry.
    pub(super) fn add(&mut self, key: &[u8], item: Item<'_>) {
        self.entries += 1;
        self.data_bytes += key.len() as u64 + item.value_bytes();
        match item {
            Item::Value(_) => {}
            Item::Tombstone => self.tombstones += 1,
            Item::Blob(at) => *self.blobs.entry(at.file).or_default() += blob::record_bytes(key, at.bytes),
        }
    }

    /// Whether it is what a table says of itself.
    pub(super) fn is_that_of(&self, info: &TableInfo) -> bool {
        let blobs = self.blobs.iter().map(|(file, bytes)| (*file, *bytes));
        (self.entries, self.tombstones, self.data_bytes) == (info.entries, info.tombstones, info.data_bytes)
            && blobs.eq(info.blobs.iter().copied())
    }
}

/// The encoding, drawn in `table`.
pub(super) fn encode(info: &TableInfo, ranges: &Ranges) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [info.entries, info.tombstones, info.data_bytes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&(info.lower.len() as u16).to_le_bytes());
    out.extend_from_slice(&info.lower);
    encode_bound(info.upper.as_deref(), &mut out);
    out.extend_from_slice(&(info.blobs.len() as u32).to_le_bytes());
    for (file, bytes) in &info.blobs {
        out.extend_from_slice(&file.to_le_bytes());
        out.extend_from_slice(&bytes.to_le_bytes());
    }
    ranges.encode(&mut out);
    out
}

/// Reads what a table with this number, in a file of this length, says of itself; `None` if it is nothing.
pub(super) fn decode(encoded: &[u8], id: u64, bytes: u64) -> Option<(TableInfo, Ranges)> {
    let (entries, rest) = number(encoded)?;
    let (tombstones, rest) = number(rest)?;
    let (data_bytes, rest) = number(rest)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (lower, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let (upper, rest) = decode_bound(rest)?;
    let (count, mut rest) = rest.split_first_chunk()?;
    let mut blobs = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (file, behind) = number(rest)?;
        let (live, behind) = number(behind)?;
        blobs.push((file, live));
        rest = behind;
    }
    let (ranges, rest) = Ranges::decode(rest)?;
    let (lower, upper) = (lower.into(), upper.map(Into::into));
    let info = TableInfo { id, bytes, lower, upper, entries, tombstones, data_bytes, blobs };
    let ascends = info.blobs.windows(2).all(|two| two[0].0 < two[1].0);
    (rest.is_empty() && ascends).then_some((info, ranges))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}
