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
//! checksum of each page a write that was lost, or went to the wrong place, is noticed. In memory the map is dense, so
//! that it takes little beside the cache. Called by the checkpointer, recovery, `places` and `verify`.

use std::collections::BTreeMap;

use adapter_api::{EngineError, Result};
use page::PageId;

use crate::space::{Extent, blocks};

const MAGIC: &[u8; 4] = b"EBM1";
const FULL: u32 = 1;
const CHANGES: u32 = 2;
const HEAD_BYTES: usize = 36;
const ENTRY_BYTES: usize = 4 + PLACE_BYTES;
/// How many bytes a place is encoded in.
pub(crate) const PLACE_BYTES: usize = 12;
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

impl Place {
    /// Appends it, as drawn above: a start, blocks, a checksum.
    ///
    /// # Errors
    /// `Full` if the file is too long for the numbers.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
        let too_long = |_| EngineError::full("the data file cannot have more than 16 TiB");
        let Self { extent, checksum } = self;
        let start = u32::try_from(extent.start).map_err(too_long)?;
        let blocks = u32::try_from(extent.blocks).map_err(too_long)?;
        [start, blocks, *checksum].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        Ok(())
    }

    /// Reads one; `None` if it has no blocks.
    pub(crate) fn decode(bytes: &[u8; PLACE_BYTES]) -> Option<Self> {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Packed { start: number(0), blocks: number(4), checksum: number(8) }.place()
    }
}

/// The pages that a checkpoint changed; `None` are those that are gone.
pub(crate) type Changes = Vec<(PageId, Option<Place>)>;

/// A map that was read.
pub(crate) struct Decoded {
    pub(crate) changes: Changes,
    /// The map before it, if this is not a full one.
    pub(crate) before: Option<MapRef>,
}

/// So many pages share a piece of the map in memory.
const PIECE: u32 = 256;

/// A place in as few bytes as it takes; no blocks: there is no page of that number.
#[derive(Clone, Copy, Default)]
struct Packed {
    start: u32,
    blocks: u32,
    checksum: u32,
}

/// Where every page lies, in memory: 12 bytes for each number.
#[derive(Default)]
pub(crate) struct PageMap {
    pieces: BTreeMap<u32, Box<[Packed; PIECE as usize]>>,
    pages: usize,
}

/// The maps in the file that say so.
#[derive(Debug, Default)]
pub(crate) struct MapChain {
    /// The newest last; the first is a full one.
    pub(crate) maps: Vec<MapRef>,
    /// Entries of all maps but the first.
    changes: usize,
}

impl PageMap {
    /// Puts a page elsewhere, or takes it out; answers where it was.
    pub(crate) fn set(&mut self, id: PageId, place: Option<Place>) -> Option<Place> {
        let before = self.place(id);
        if place.is_some() || before.is_some() {
            let piece = self.pieces.entry(id / PIECE);
            let piece = piece.or_insert_with(|| Box::new([Packed::default(); PIECE as usize]));
            piece[(id % PIECE) as usize] = place.map(Packed::of).unwrap_or_default();
        }
        self.pages = self.pages + usize::from(place.is_some()) - usize::from(before.is_some());
        before
    }

    pub(crate) fn place(&self, id: PageId) -> Option<Place> {
        self.pieces.get(&(id / PIECE))?[(id % PIECE) as usize].place()
    }

    /// How many pages there are.
    pub(crate) fn len(&self) -> usize {
        self.pages
    }

    /// Every page with its place, by number.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (PageId, Place)> + '_ {
        self.pieces.iter().flat_map(|(piece, places)| {
            let numbered = (piece * PIECE..).zip(places.iter());
            numbered.filter_map(|(id, packed)| Some((id, packed.place()?)))
        })
    }

    /// All pages as they are with these changes.
    pub(crate) fn with(&self, changes: &Changes) -> Changes {
        let changed: BTreeMap<_, _> = changes.iter().copied().collect();
        let kept =
            self.pages().filter(|(id, _)| !changed.contains_key(id)).map(|(id, place)| (id, Some(place)));
        kept.chain(changes.iter().copied().filter(|(_, place)| place.is_some())).collect()
    }
}

impl Packed {
    /// A place that `encode` took has no larger numbers.
    fn of(place: Place) -> Self {
        let Place { extent, checksum } = place;
        Self { start: extent.start as u32, blocks: extent.blocks as u32, checksum }
    }

    fn place(self) -> Option<Place> {
        let extent = Extent { start: self.start.into(), blocks: self.blocks.into() };
        (self.blocks > 0).then_some(Place { extent, checksum: self.checksum })
    }
}

impl MapChain {
    /// Takes the next map in, which has so many changes if it is not a full one. Answers which maps count no more.
    pub(crate) fn push(&mut self, map: MapRef, is_full: bool, changes: usize) -> Vec<MapRef> {
        let replaced = if is_full { std::mem::take(&mut self.maps) } else { Vec::new() };
        self.changes = if is_full { 0 } else { self.changes + changes };
        self.maps.push(map);
        replaced
    }

    /// Whether the next map should be a full one, with so many changes at hand and so many pages in all.
    pub(crate) fn wants_full(&self, changes: usize, pages: usize) -> bool {
        self.maps.is_empty() || self.maps.len() > MAPS_MAX || (self.changes + changes) * 4 > pages
    }
}

/// The bytes of a map; `before` is `None` for a full one.
///
/// # Errors
/// `Full` if the file is too long for its numbers.
pub(crate) fn encode(changes: &Changes, before: Option<MapRef>) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + changes.len() * ENTRY_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&if before.is_some() { CHANGES } else { FULL }.to_le_bytes());
    bytes.extend_from_slice(&(changes.len() as u64).to_le_bytes());
    let before = before.unwrap_or_default();
    bytes.extend_from_slice(&before.start.to_le_bytes());
    bytes.extend_from_slice(&before.bytes.to_le_bytes());
    bytes.extend_from_slice(&before.checksum.to_le_bytes());
    for (id, place) in changes {
        bytes.extend_from_slice(&id.to_le_bytes());
        match place {
            Some(place) => place.encode(&mut bytes)?,
            None => bytes.extend_from_slice(&[0; PLACE_BYTES]),
        }
    }
    Ok(bytes)
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
        let (id, place) = bytes.split_first_chunk()?;
        Some((PageId::from_le_bytes(*id), Place::decode(place.first_chunk()?)))
    };
    Some(Decoded { changes: entries.map(entry).collect::<Option<_>>()?, before })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_in_memory_has_what_was_set_last() {
        let place = |start| Some(Place { extent: Extent { start, blocks: 2 }, checksum: start as u32 });
        let (mut map, mut dice) = (PageMap::default(), crate::tests::Dice(3));
        let mut model = BTreeMap::new();
        for step in 1..if cfg!(miri) { 60 } else { 3_000 } {
            let id = dice.roll(700) as PageId * 5;
            let next = if dice.roll(3) == 0 { None } else { place(step) };
            let before = match next {
                Some(place) => model.insert(id, place),
                None => model.remove(&id),
            };
            assert_eq!((map.set(id, next), map.place(id), map.len()), (before, next, model.len()));
        }
        assert!(map.pages().eq(model.into_iter()));
    }

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
