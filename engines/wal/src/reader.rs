//! Reads the groups of one segment: the one at a position, or the next valid one behind it.
//!
//! Promises: a group is handed out only if both checksums hold; memory is bounded by the length of the file,
//! never by what its bytes claim. Recovery and salvage call it.

use std::io;

use crate::group::{self, GroupHeader, HEADER_BYTES, SEGMENT_AT, claims_place};
use crate::segment::Segment;
use crate::{ALIGNMENT, blocks};

/// How much is read at once, in bytes.
const WINDOW: u64 = 1 << 20;

/// A valid group, lent by the reader.
pub(crate) struct Group<'a> {
    pub header: GroupHeader,
    /// The checksum of the group: what the next one names as `previous`.
    pub check: u32,
    /// The whole group without padding.
    pub bytes: &'a [u8],
}

/// Reads one segment.
pub(crate) struct SegmentReader<'a> {
    segment: &'a Segment,
    /// The bytes of the file from `start`.
    window: Vec<u8>,
    start: u64,
}

impl<'a> SegmentReader<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Self {
        Self { segment, window: Vec::new(), start: 0 }
    }

    /// The valid group at `position`, if there is one.
    pub(crate) fn group_at(&mut self, position: u64) -> io::Result<Option<Group<'_>>> {
        let (number, seal) = (self.segment.number, self.segment.seal);
        let head = self.bytes_at(position, HEADER_BYTES as u64)?;
        let Some(header) = head.and_then(|head| GroupHeader::decode(head, number, position, seal)) else {
            return Ok(None);
        };
        let Some(bytes) = self.bytes_at(position, u64::from(header.length))? else { return Ok(None) };
        Ok(group::verify(bytes, seal).map(|check| Group { header, check, bytes }))
    }

    /// Where the group behind one that ends at `end` begins: right there if there is anything, else with the next block.
    pub(crate) fn place_behind(&mut self, end: u64) -> io::Result<u64> {
        let head = (blocks(end) - end).min(HEADER_BYTES as u64);
        let shares = self.bytes_at(end, head)?.is_some_and(|head| head.iter().any(|byte| *byte != 0));
        Ok(if shares { end } else { blocks(end) })
    }

    /// The first valid group at or behind `position`.
    pub(crate) fn next_group(&mut self, mut position: u64) -> io::Result<Option<GroupHeader>> {
        while position < self.segment.len {
            let end = blocks(position + 1);
            if self.may_begin_in(position, end)? {
                for place in (position..end).step_by(ALIGNMENT as usize) {
                    if let Some(group) = self.group_at(place)? {
                        return Ok(Some(group.header));
                    }
                }
            }
            position = end;
        }
        Ok(None)
    }

    /// Whether a group may begin in this part of a block: then the number of the segment is there. This is what is looked
    /// at in all of a segment when a log is opened, so it has no branches.
    fn may_begin_in(&mut self, start: u64, end: u64) -> io::Result<bool> {
        let number = self.segment.number;
        let end = (end + SEGMENT_AT as u64).min(self.segment.len);
        let Some(bytes) = self.bytes_at(start, end - start)? else { return Ok(false) };
        let words = bytes.get(SEGMENT_AT..).unwrap_or_default().as_chunks().0;
        Ok(words.iter().fold(false, |is_there, word| is_there | (u64::from_le_bytes(*word) == number)))
    }

    /// How many bytes of a group that is not whole lie at `position`; 0 if no write shows.
    pub(crate) fn torn_bytes(&mut self, position: u64) -> io::Result<u64> {
        let (number, seal, len) = (self.segment.number, self.segment.seal, self.segment.len);
        let Some(head) = self.bytes_at(position, HEADER_BYTES as u64)? else { return Ok(0) };
        if let Some(header) = GroupHeader::decode(head, number, position, seal) {
            return Ok(header.end().min(len) - position);
        }
        Ok(if claims_place(head, number, position) { blocks(position + 1) - position } else { 0 })
    }

    /// The bytes of a range, `None` if it reaches behind the end of the file.
    fn bytes_at(&mut self, position: u64, len: u64) -> io::Result<Option<&[u8]>> {
        if position.checked_add(len).is_none_or(|end| end > self.segment.len) {
            return Ok(None);
        }
        let held = self.start..self.start + self.window.len() as u64;
        if !(held.contains(&position) && position + len <= held.end) {
            let wanted = len.max(WINDOW).min(self.segment.len - position);
            self.window.resize(wanted as usize, 0);
            self.start = position;
            let read = self.segment.file.read_at(&mut self.window, position)?;
            // A file that was cut meanwhile reads as if it ended in zeros.
            self.window[read..].fill(0);
        }
        let at = (position - self.start) as usize;
        Ok(Some(&self.window[at..at + len as usize]))
    }
}
