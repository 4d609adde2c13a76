//! A block: some entries of a table, as a page in memory and as a framed payload in the file.
//!
//! Promises: what `decode` accepts is a leaf of the table and the number that were asked for, and every payload in it is an
//! item, so that nothing can go wrong with it later. Called by the builder, the reader and walks.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::EngineError;
use page::{HEADER_BYTES, Head, Kind, PAGE_BYTES_MAX, Page, PageRef, Payload};

use super::{Compression, Position};
use crate::item::Item;

/// The bytes behind a payload.
pub(super) const TRAILER_BYTES: usize = 20;
/// What a device and the page cache read as a whole, wherever in it the wanted bytes lie.
const SECTOR_BYTES: u64 = 4096;
/// A block that is stored as it is keeps so many of its free bytes that it ends with a sector, so that a read of the next one
/// takes no sector more than it has to; but such a part of it at most.
const FILLED_PART: usize = 8;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;

/// The fastest of its levels that compress better than LZ4 does.
const ZSTD_LEVEL: i32 = 1;
/// After so many blocks in a row that were tried in vain, one of 32 is tried.
const MOST_IN_VAIN: u32 = 5;

/// What a block takes in memory beside its page, about.
const HOLDER_BYTES: u64 = 64;

/// A block in memory.
pub(crate) struct Block {
    page: Page,
    /// Whether somebody looked at it since the cache last asked.
    is_used: AtomicBool,
}

impl Block {
    /// One that says nothing, in the place of one that is lost.
    pub(super) fn empty(lower: &[u8], upper: Option<&[u8]>) -> Self {
        let page = Page::build(Head { id: 0, level: 0, lower, upper }, std::iter::empty(), 0);
        Self { page, is_used: AtomicBool::new(false) }
    }

    pub(crate) fn page(&self) -> PageRef<'_> {
        self.page.view()
    }

    /// What it says of a key between its fences.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<Item<'_>> {
        self.page().find_inside(key).ok().map(|index| self.item(index))
    }

    /// The item at an index.
    #[inline]
    pub(super) fn item(&self, index: usize) -> Item<'_> {
        // `decode` has seen that there is one.
        item_in(self.page().payload(index)).unwrap_or(Item::Tombstone)
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.page().bytes().len() as u64 + HOLDER_BYTES
    }

    /// Notes that somebody looks at it. Most blocks that are looked at have the note, and are not written to.
    #[inline]
    pub(crate) fn touch(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the note away; answers whether it was there.
    pub(crate) fn take_use(&self) -> bool {
        self.is_used.load(Ordering::Relaxed) && self.is_used.swap(false, Ordering::Relaxed)
    }
}

fn item_in(payload: Payload<'_>) -> Option<Item<'_>> {
    let Payload::Here(bytes) = payload else { return None };
    Item::decode(bytes)
}

/// Compresses blocks of one table, and keeps the memory that takes from one to the next. Where blocks in a row cannot be
/// compressed, fewer and fewer are tried: to find that out costs as much as all else that is done for a block.
pub(super) struct Compressor {
    method: Method,
    /// How many blocks in a row were tried in vain.
    in_vain: u32,
    /// How many of those that come next are not tried.
    untried: u32,
}

enum Method {
    None,
    Lz4,
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    /// # Errors
    /// If there is no memory.
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        let method = match compression {
            Compression::None => Method::None,
            Compression::Lz4 => Method::Lz4,
            Compression::Zstd => Method::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        Ok(Self { method, in_vain: 0, untried: 0 })
    }

    /// The parts of a page in fewer bytes, with the kind that is; nothing where they are stored as they are.
    fn compress(&mut self, parts: [&[u8]; 2]) -> Option<(u8, Vec<u8>)> {
        if let Some(rest) = self.untried.checked_sub(1) {
            self.untried = rest;
            return None;
        }
        let both: usize = parts.iter().map(|part| part.len()).sum();
        let compressed = match &mut self.method {
            Method::None => return None,
            Method::Lz4 => Some((LZ4, lz4_flex::block::compress(&parts.concat()))),
            // What cannot be compressed is stored plain.
            Method::Zstd(compressor) => compressor.compress(&parts.concat()).ok().map(|bytes| (ZSTD, bytes)),
        };
        let saved = compressed.filter(|(_, bytes)| bytes.len() <= both - both / 8);
        self.in_vain = if saved.is_some() { 0 } else { MOST_IN_VAIN.min(self.in_vain + 1) };
        self.untried = (1 << self.in_vain) - 1;
        saved
    }
}

/// Appends a page to what goes to the file, framed.
pub(super) fn encode(page: &mut Page, position: Position, compressor: &mut Compressor, out: &mut Vec<u8>) {
    page.seal();
    let view = page.view();
    let (bytes, gap) = (view.bytes(), view.gap());
    let (mut front, back) = (gap.start, &bytes[gap.end..]);
    let start = out.len();
    let kind = match compressor.compress([&bytes[..front], back]) {
        Some((kind, compressed)) => {
            out.extend_from_slice(&compressed);
            kind
        }
        None => {
            let length = front + back.len() + TRAILER_BYTES;
            let end = position.offset + length as u64;
            let free = (end.next_multiple_of(SECTOR_BYTES) - end) as usize;
            if free <= gap.len().min(length / FILLED_PART) {
                front += free;
            }
            out.extend_from_slice(&bytes[..front]);
            out.extend_from_slice(back);
            PLAIN
        }
    };
    out.extend_from_slice(&[kind, 0, 0, 0]);
    for number in [bytes.len(), front, front + back.len()] {
        out.extend_from_slice(&(number as u32).to_le_bytes());
    }
    let checksum = position.checksum(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Takes the bytes of a block, if they are that of this number as it was written here.
pub(super) fn decode(bytes: &[u8], position: Position, number: u32) -> Result<Block, EngineError> {
    match decode_any(bytes, position)? {
        block if block.page().id() == number => Ok(block),
        _ => Err(position.corrupt(format!("this is not block {number} of this table"))),
    }
}

/// Takes the bytes of a block, if they are one of this table as it was written here.
pub(super) fn decode_any(bytes: &[u8], position: Position) -> Result<Block, EngineError> {
    let framed = position.open(bytes, "a block")?;
    let Some((payload, trailer)) = framed.split_last_chunk::<{ TRAILER_BYTES - 4 }>() else {
        return Err(position.corrupt("a block is shorter than its trailer"));
    };
    let page = unpack(payload, trailer).ok_or_else(|| position.corrupt("a block does not unpack"))?;
    let page = Page::from_bytes(page).map_err(|damage| {
        position.corrupt(format!("byte {} of a block: {}", damage.position, damage.what))
    })?;
    let view = page.view();
    if view.kind() != Kind::Leaf || view.version() != position.table {
        return Err(position.corrupt("this is not a block of this table"));
    }
    if (0..view.count()).any(|index| item_in(view.payload(index)).is_none()) {
        return Err(position.corrupt("what stands behind a key in this block is no item"));
    }
    Ok(Block { page, is_used: AtomicBool::new(false) })
}

/// Whether bytes in front of a place may be the trailer of a block that ends there: most others are not.
pub(super) fn may_be_trailer(trailer: &[u8; TRAILER_BYTES]) -> bool {
    let number =
        |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    let (length, front, both) = (number(4) as usize, number(8), number(12));
    trailer[0] <= ZSTD
        && trailer[1..4] == [0; 3]
        && (HEADER_BYTES..=PAGE_BYTES_MAX).contains(&length)
        && front <= both
        && both as usize <= length
}

/// The bytes of the page; `None` if payload and trailer do not fit each other.
fn unpack(payload: &[u8], trailer: &[u8; TRAILER_BYTES - 4]) -> Option<Box<[u8]>> {
    let number = |at: usize| trailer[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let (length, front, both) = (number(4)?, number(8)?, number(12)?);
    if length > PAGE_BYTES_MAX || front > both || both > length {
        return None;
    }
    let mut page = vec![0; length];
    let place = |page: &mut [u8], dense: &[u8]| {
        page[..front].copy_from_slice(&dense[..front]);
        page[length - (both - front)..].copy_from_slice(&dense[front..]);
    };
    let [kind, 0, 0, 0] = trailer[..4] else { return None };
    if kind == PLAIN {
        (payload.len() == both).then(|| place(&mut page, payload))?;
        return Some(page.into_boxed_slice());
    }
    // Both write no further than this, whatever the payload says of its length.
    let mut dense = vec![0; both];
    let unpacked = match kind {
        LZ4 => lz4_flex::block::decompress_into(payload, &mut dense).ok()?,
        ZSTD => zstd::bulk::decompress_to_buffer(payload, &mut dense[..]).ok()?,
        _ => return None,
    };
    (unpacked == both).then(|| place(&mut page, &dense))?;
    Some(page.into_boxed_slice())
}
