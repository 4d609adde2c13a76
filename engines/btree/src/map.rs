//! The map of pages: where in the data file each page of a checkpoint lies.
//!
//! ```text
//! offset  size  field           integers little-endian
//!      0     4  magic           "EBM1"
//!      4     4  kind            1 full: every page · 2 changes: what differs from the map before
//!      8     8  count           of entries
//!     16    20  the map before  start in blocks u64, bytes u64, checksum u32; zeros for a full one
//!     36     …  entries
//!
//! an entry: | page u32 | start in blocks u32 | blocks u32, 0: the page is gone | checksum of the page u32 |
//! ```
//!
//! A superblock names the newest map with its checksum, and each names the one before it, back to a full one. With the
//! checksum of each page a write that was lost, or went to the wrong place, is noticed. Called by the checkpointer,
//! recovery and `verify`.

use std::collections::BTreeMap;

use page::PageId;

use crate::space::{Extent, blocks};

const MAGIC: &[u8; 4] = b"EBM1";
const FULL: u32 = 1;
const CHANGES: u32 = 2;
const HEAD_BYTES: usize = 36;
const ENTRY_BYTES: usize = 16;
/// A full map is written when there would be more maps of changes than this.
const MAPS_MAX: usize = 16;

/// Where a map lies, and what its bytes must add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MapRef {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
}

impl MapRef {
    pub(crate) fn extent(&self) -> Extent {
        Extent { start: self.start, blocks: blocks(self.bytes) }
    }
}

/// Where a page lies, and what it was sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) extent: Extent,
    pub(crate) checksum: u32,
}

/// The pages that a checkpoint changed; `None` are those that are gone.
pub(crate) type Changes = Vec<(PageId, Option<Place>)>;

/// A map that was read.
pub(crate) struct Decoded {
    pub(crate) changes: Changes,
    /// The map before it, if this is not a full one.
    pub(crate) before: Option<MapRef>,
}

/// Where every page lies, and the maps that say so.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageMap {
    places: BTreeMap<PageId, Place>,
    /// The newest last; the first is a full one.
    pub(crate) maps: Vec<MapRef>,
    /// Entries of all maps but the first.
    changes: usize,
}

impl PageMap {
    /// Takes the next map in.
    pub(crate) fn push(&mut self, map: MapRef, is_full: bool, changes: &Changes) {
        if is_full {
            self.maps.clear();
            self.places.clear();
        }
        self.changes = if is_full { 0 } else { self.changes + changes.len() };
        self.maps.push(map);
        for (id, place) in changes {
            match place {
                Some(place) => self.places.insert(*id, *place),
                None => self.places.remove(id),
            };
        }
    }

    pub(crate) fn place(&self, id: PageId) -> Option<Place> {
        self.places.get(&id).copied()
    }

    /// Every page with its place.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (PageId, Place)> + '_ {
        self.places.iter().map(|(id, place)| (*id, *place))
    }

    /// Whether the next map should be a full one, with so many changes at hand.
    pub(crate) fn wants_full(&self, changes: usize) -> bool {
        self.maps.is_empty() || self.maps.len() > MAPS_MAX || (self.changes + changes) * 4 > self.places.len()
    }

    /// All pages as they are with these changes.
    pub(crate) fn with(&self, changes: &Changes) -> Changes {
        let changed: BTreeMap<_, _> = changes.iter().copied().collect();
        let kept =
            self.pages().filter(|(id, _)| !changed.contains_key(id)).map(|(id, place)| (id, Some(place)));
        kept.chain(changes.iter().copied().filter(|(_, place)| place.is_some())).collect()
    }

    /// Every extent that pages and maps take.
    pub(crate) fn extents(&self) -> Vec<Extent> {
        let pages = self.pages().map(|(_, place)| place.extent);
        pages.chain(self.maps.iter().map(MapRef::extent)).collect()
    }
}

/// The bytes of a map; `before` is `None` for a full one. `None` if the file is too large for its numbers.
pub(crate) fn encode(changes: &Changes, before: Option<MapRef>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + changes.len() * ENTRY_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&if before.is_some() { CHANGES } else { FULL }.to_le_bytes());
    bytes.extend_from_slice(&(changes.len() as u64).to_le_bytes());
    let before = before.unwrap_or_default();
    bytes.extend_from_slice(&before.start.to_le_bytes());
    bytes.extend_from_slice(&before.bytes.to_le_bytes());
    bytes.extend_from_slice(&before.checksum.to_le_bytes());
    for (id, place) in changes {
        let (extent, checksum) = place.map_or_else(Default::default, |place| (place.extent, place.checksum));
        let (start, blocks) = (u32::try_from(extent.start).ok()?, u32::try_from(extent.blocks).ok()?);
        [*id, start, blocks, checksum]
            .iter()
            .for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    }
    Some(bytes)
}

/// Reads a map whose checksum holds; `None` if it is none all the same.
pub(crate) fn decode(bytes: &[u8]) -> Option<Decoded> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let before = MapRef { start: u64_at(16)?, bytes: u64_at(24)?, checksum: u32_at(32)? };
    let before = match u32_at(4)? {
        FULL => None,
        CHANGES => Some(before),
        _ => return None,
    };
    let entries = bytes.get(HEAD_BYTES..)?.chunks_exact(ENTRY_BYTES);
    if bytes[..4] != *MAGIC || entries.len() as u64 != u64_at(8)? || !entries.remainder().is_empty() {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let extent = Extent { start: number(4).into(), blocks: number(8).into() };
        (number(0), (extent.blocks > 0).then(|| Place { extent, checksum: number(12) }))
    };
    Some(Decoded { changes: entries.map(entry).collect(), before })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_back_and_cuts_are_refused() {
        let place = |start| Some(Place { extent: Extent { start, blocks: 2 }, checksum: 77 });
        let changes = vec![(0, place(3)), (5, None), (9, place(11))];
        let before = MapRef { start: 100, bytes: 52, checksum: 3 };
        for before in [None, Some(before)] {
            let bytes = encode(&changes, before).unwrap();
            let decoded = decode(&bytes).unwrap();
            assert_eq!((decoded.changes, decoded.before), (changes.clone(), before));
            assert!((0..bytes.len()).all(|cut| decode(&bytes[..cut]).is_none()));
        }
    }
}
