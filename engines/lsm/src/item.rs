//! What a sorted source, be it a memtable or a table, says of a key: one encoding for both.
//!
//! ```text
//! offset  size  field      integers little-endian
//!      0     1  tag        0 value · 1 tombstone · 2 blob
//!      1     …  value      the bytes of the value
//!               blob       file u64 │ offset u64 │ value length u32 │ checksum u32 of the value (CRC-32)
//! ```
//!
//! Promises: what `decode` accepts is what `encode` wrote; nothing is copied. Called by whoever writes or reads a
//! source.

/// The bytes in front of a value.
pub(crate) const TAG_BYTES: usize = 1;

const VALUE: u8 = 0;
const TOMBSTONE: u8 = 1;
const BLOB: u8 = 2;
const BLOB_BYTES: usize = TAG_BYTES + 24;

/// What a source says of a key. A source that says nothing of it leaves the word to older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// The key has this value.
    Value(&'a [u8]),
    /// The key is not there, whatever older sources say.
    Tombstone,
    /// The key has a value that lies in a blob file.
    Blob(BlobRef),
}

/// Where a value lies that is too long for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobRef {
    /// The number of the blob file.
    pub(crate) file: u64,
    /// Where its record begins there, in bytes.
    pub(crate) offset: u64,
    /// The length of the value, in bytes.
    pub(crate) bytes: u32,
    /// The CRC-32 of the value.
    pub(crate) checksum: u32,
}

impl<'a> Item<'a> {
    /// Appends the encoding.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Value(value) => {
                out.push(VALUE);
                out.extend_from_slice(value);
            }
            Self::Tombstone => out.push(TOMBSTONE),
            Self::Blob(blob) => {
                out.push(BLOB);
                out.extend_from_slice(&blob.file.to_le_bytes());
                out.extend_from_slice(&blob.offset.to_le_bytes());
                out.extend_from_slice(&blob.bytes.to_le_bytes());
                out.extend_from_slice(&blob.checksum.to_le_bytes());
            }
        }
    }

    /// How many bytes the encoding has.
    pub(crate) fn encoded_bytes(&self) -> usize {
        match self {
            Self::Value(value) => TAG_BYTES + value.len(),
            Self::Tombstone => TAG_BYTES,
            Self::Blob(_) => BLOB_BYTES,
        }
    }

    /// Reads an encoding; `None` if it is none.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        match (*tag, rest.len() + TAG_BYTES) {
            (VALUE, _) => Some(Self::Value(rest)),
            (TOMBSTONE, TAG_BYTES) => Some(Self::Tombstone),
            (BLOB, BLOB_BYTES) => {
                let (file, rest) = rest.split_first_chunk()?;
                let (offset, rest) = rest.split_first_chunk()?;
                let (length, checksum) = rest.split_first_chunk()?;
                Some(Self::Blob(BlobRef {
                    file: u64::from_le_bytes(*file),
                    offset: u64::from_le_bytes(*offset),
                    bytes: u32::from_le_bytes(*length),
                    checksum: u32::from_le_bytes(*checksum.first_chunk()?),
                }))
            }
            _ => None,
        }
    }

    /// How many bytes of value the key has, wherever they lie.
    pub(crate) fn value_bytes(&self) -> u64 {
        match self {
            Self::Value(value) => value.len() as u64,
            Self::Tombstone => 0,
            Self::Blob(blob) => u64::from(blob.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_and_nothing_else_is() {
        let blob = BlobRef { file: 7, offset: 1 << 40, bytes: 9, checksum: 3 };
        let mut bytes = Vec::new();
        for item in [Item::Value(b""), Item::Value(b"v"), Item::Tombstone, Item::Blob(blob)] {
            bytes.clear();
            item.encode(&mut bytes);
            assert_eq!(bytes.len(), item.encoded_bytes());
            assert_eq!(Item::decode(&bytes), Some(item));
        }
        for wrong in [&[][..], &[3], &[TOMBSTONE, 0], &[BLOB; 24], &[BLOB; 26]] {
            assert_eq!(Item::decode(wrong), None, "{wrong:?}");
        }
    }
}
