//! One record of a manifest: an edit, or a mark that proves the edit before it.
//!
//! ```text
//! offset  size  field         integers little-endian; a record begins on a multiple of 4,096 bytes
//!      0     4  checksum      CRC-32 of the payload, begun with the header check
//!      4     4  header check  CRC-32 of the bytes from 8 to 48, begun with the salt
//!      8     4  magic         "EBM1"
//!     12     4  kind          1 edit · 2 seal · 3 close
//!     16     8  manifest      its number
//!     24     8  edit          its number, from 0; of a seal or a close that of the edit before it
//!     32     8  length        of the payload
//!     40     4  previous      checksum of the edit before; 0 for the first
//!     44     4  zeros
//!     48     …  payload       of an edit; zeros behind it to the next multiple of 4,096
//! ```
//!
//! The header has a checksum of its own, so that no length is believed before it is checked. A record is told from
//! one of another manifest, of another place or of another past by its number, its place in the chain and the
//! salt: that is the checksum of the first edit, which counts for all behind it.
//!
//! Promises: a record that is read is one that was written there, whole. Called by `manifest` and `reader`.

use std::io;

use adapter_api::environment::{File, read_exact_at};

/// Records begin on a multiple of this many bytes.
pub(crate) const BLOCK: u64 = 4096;
/// The bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 48;
const MAGIC: &[u8; 4] = b"EBM1";

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Holds an edit; the first one of a manifest adds up all before it.
    Edit = 1,
    /// Says that the edit before it is durable, and the name of the file too. The next edit takes its place.
    Seal = 2,
    /// Says the same, and is durable itself: an orderly end.
    Close = 3,
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Of the manifest.
    pub(crate) manifest: u64,
    /// The number of the edit.
    pub(crate) edit: u64,
    /// Of the payload, in bytes.
    pub(crate) length: u64,
    /// The checksum of the edit before.
    pub(crate) previous: u32,
}

impl Header {
    /// Where the next record begins, for one that begins at `start`.
    pub(crate) fn end(&self, start: u64) -> u64 {
        start + (HEADER_BYTES as u64 + self.length).next_multiple_of(BLOCK)
    }

    /// Whether it proves that the edit with this number was durable when it was written.
    pub(crate) fn proves(&self, edit: u64) -> bool {
        match self.kind {
            Kind::Edit => self.edit > edit,
            Kind::Seal | Kind::Close => self.edit >= edit,
        }
    }

    /// Reads the header of a record of this manifest; `None` if there is none.
    pub(crate) fn decode(bytes: &[u8], manifest: u64, salt: u32) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        if u32_at(header, 4) != check(salt, &header[8..]) || header[8..12] != *MAGIC {
            return None;
        }
        let kinds = [Kind::Edit, Kind::Seal, Kind::Close];
        let decoded = Self {
            kind: kinds.into_iter().find(|kind| *kind as u32 == u32_at(header, 12))?,
            manifest: u64_at(header, 16),
            edit: u64_at(header, 24),
            length: u64_at(header, 32),
            previous: u32_at(header, 40),
        };
        (decoded.manifest == manifest).then_some(decoded)
    }
}

/// The whole record, with the zeros behind it, and its checksum.
pub(crate) fn encode(header: Header, salt: u32, payload: impl FnOnce(&mut Vec<u8>)) -> (Vec<u8>, u32) {
    let mut bytes = vec![0; HEADER_BYTES];
    payload(&mut bytes);
    let length = (bytes.len() - HEADER_BYTES) as u64;
    bytes[8..12].copy_from_slice(MAGIC);
    bytes[12..16].copy_from_slice(&(header.kind as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&header.manifest.to_le_bytes());
    bytes[24..32].copy_from_slice(&header.edit.to_le_bytes());
    bytes[32..40].copy_from_slice(&length.to_le_bytes());
    bytes[40..44].copy_from_slice(&header.previous.to_le_bytes());
    let header_check = check(salt, &bytes[8..HEADER_BYTES]);
    let checksum = check(header_check, &bytes[HEADER_BYTES..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes[4..8].copy_from_slice(&header_check.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
    (bytes, checksum)
}

/// A record as it was read.
pub(crate) struct Record {
    pub(crate) header: Header,
    pub(crate) checksum: u32,
    /// With the header, and with the zeros behind it.
    bytes: Vec<u8>,
}

impl Record {
    /// Reads the record at `start` of a file of `len` bytes; `None` if there is no whole one of this manifest.
    pub(crate) fn read(
        file: &dyn File,
        len: u64,
        start: u64,
        manifest: u64,
        salt: u32,
    ) -> io::Result<Option<Self>> {
        if len.saturating_sub(start) < BLOCK {
            return Ok(None);
        }
        let mut bytes = vec![0; BLOCK as usize];
        read_exact_at(file, &mut bytes, start)?;
        let header = Header::decode(&bytes, manifest, salt);
        // What is left of the file bounds the length before anything is allocated or added.
        let Some(header) = header.filter(|header| header.length <= len - start - HEADER_BYTES as u64) else {
            return Ok(None);
        };
        if header.end(start) > len {
            return Ok(None);
        }
        bytes.resize((header.end(start) - start) as usize, 0);
        read_exact_at(file, &mut bytes[BLOCK as usize..], start + BLOCK)?;
        let checksum = u32_at(&bytes, 0);
        let (record, padding) = bytes.split_at(HEADER_BYTES + header.length as usize);
        let is_whole = checksum == check(u32_at(record, 4), &record[HEADER_BYTES..])
            && padding.iter().all(|byte| *byte == 0);
        Ok(is_whole.then_some(Self { header, checksum, bytes }))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..HEADER_BYTES + self.header.length as usize]
    }
}

fn check(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_counts_in_its_own_manifest_and_every_flipped_bit_is_noticed() {
        let header = Header { kind: Kind::Edit, manifest: 7, edit: 3, length: 5, previous: 11 };
        let (bytes, _) = encode(header, 42, |out| out.extend_from_slice(b"bytes"));
        assert_eq!(bytes.len(), BLOCK as usize);
        assert_eq!(Header::decode(&bytes, 7, 42), Some(header));
        assert_eq!((Header::decode(&bytes, 8, 42), Header::decode(&bytes, 7, 43)), (None, None));
        for bit in 4 * 8..HEADER_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, 7, 42), None, "bit {bit}");
        }
    }

    #[test]
    fn a_mark_proves_its_own_edit_and_an_edit_those_before_it() {
        let header = |kind| Header { kind, manifest: 1, edit: 3, length: 0, previous: 0 };
        assert!(header(Kind::Edit).proves(2) && !header(Kind::Edit).proves(3));
        assert!(header(Kind::Seal).proves(3) && !header(Kind::Close).proves(4));
    }
}
