//! The records of the log: what was done, to be done again at open.
//!
//! A batch is one record of the write-ahead log, because only such a record is there as a whole or not at
//! all. It holds one record of the following form for each mutation, in order, one behind the other:
//!
//! ```text
//! [total length][operation][key length][key][value length][value][checksum]
//!
//! offset  size  field           integers little-endian, k the length of the key, v that of the value
//!      0     4  total length    of all fields, this one and the checksum included: 17 + k + v
//!      4     1  operation       1 put · 2 delete · 3 delete range · 4 delete range without an end
//!      5     4  key length      put, delete: 1 ..= 65,535 · delete range: 0 ..= 65,535
//!      9     k  key             put, delete: the key · delete range: the first key deleted
//!    9+k     4  value length    put: 0 ..= 512 Mi · delete range: 0 ..= 65,535 · else 0
//!   13+k     v  value           put: the value · delete range: the first key kept behind the range
//! 13+k+v     4  checksum        CRC-32 (IEEE) of everything before it, total length included
//! ```
//!
//! Promises: what `decode` accepts is what `Encoder` wrote, within all limits; it reads no byte that is not
//! there and allocates nothing by what a length claims. Called by the store (to write) and recovery (to read).

use adapter_api::{Batch, KEY_BYTES_MAX, KeyRange, Mutation, VALUE_BYTES_MAX};
use crc32fast::hash;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const DELETE_RANGE_WITHOUT_END: u8 = 4;

/// The bytes of a record beside its key and value.
const FRAME_BYTES: usize = 17;

/// Appends one record for each mutation of the batch.
pub(crate) fn encode_batch(batch: Batch<'_>, out: &mut Vec<u8>) {
    for mutation in batch {
        match mutation {
            Mutation::Put { key, value } => encode_put(key, value, out),
            Mutation::Delete { key } => encode(DELETE, key, &[], out),
            Mutation::DeleteRange(range) => match range.end() {
                Some(end) => encode(DELETE_RANGE, range.start(), end, out),
                None => encode(DELETE_RANGE_WITHOUT_END, range.start(), &[], out),
            },
        }
    }
}

/// Appends the record of one put.
pub(crate) fn encode_put(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    encode(PUT, key, value, out);
}

/// How many bytes the record of a put takes.
pub(crate) fn put_bytes(key: &[u8], value: &[u8]) -> u64 {
    (FRAME_BYTES + key.len() + value.len()) as u64
}

fn encode(operation: u8, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let total = FRAME_BYTES + key.len() + value.len();
    out.reserve(total);
    out.extend_from_slice(&(total as u32).to_le_bytes());
    out.push(operation);
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
    let checksum = hash(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Where a run of records stops making sense, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The first byte of the record that is wrong.
    pub(crate) position: usize,
    pub(crate) why: String,
}

/// Reads a run of records: all of them, or none if one is malformed.
pub(crate) fn decode(bytes: &[u8]) -> Result<impl Iterator<Item = Mutation<'_>>, Malformed> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let checked = split_checked(rest).ok_or_else(|| "no record with a right checksum".to_string());
        rest = match checked.and_then(|(record, after)| record.check().map(|()| after)) {
            Ok(after) => after,
            Err(why) => return Err(Malformed { position: bytes.len() - rest.len(), why }),
        };
    }
    let mut rest = bytes;
    Ok(std::iter::from_fn(move || {
        let (record, after) = split(rest)?;
        rest = after;
        record.mutation()
    }))
}

struct Record<'a> {
    operation: u8,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Record<'a> {
    /// What the record says, if there is such an operation.
    fn mutation(&self) -> Option<Mutation<'a>> {
        let Self { operation, key, value } = *self;
        match (operation, value) {
            (PUT, value) => Some(Mutation::Put { key, value }),
            (DELETE, []) => Some(Mutation::Delete { key }),
            (DELETE_RANGE, end) => Some(Mutation::DeleteRange(KeyRange::new(key, end))),
            (DELETE_RANGE_WITHOUT_END, []) => Some(Mutation::DeleteRange(KeyRange::from_start(key))),
            _ => None,
        }
    }

    /// Checks the limits.
    fn check(&self) -> Result<(), String> {
        let (key, value) = (self.key.len(), self.value.len());
        let within = match self.mutation() {
            None => return Err(format!("no operation {} with a value of {value} bytes", self.operation)),
            Some(Mutation::DeleteRange(_)) => key <= KEY_BYTES_MAX && value <= KEY_BYTES_MAX,
            Some(_) => (1..=KEY_BYTES_MAX).contains(&key) && value <= VALUE_BYTES_MAX,
        };
        match within {
            true => Ok(()),
            false => Err(format!("a key of {key} bytes with a value of {value} bytes is outside the limits")),
        }
    }
}

/// Splits the first record off, if its checksum and its lengths hold.
fn split_checked(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let (fields, checksum) = bytes.get(..total)?.split_last_chunk::<4>()?;
    if u32::from_le_bytes(*checksum) != hash(fields) {
        return None;
    }
    split(bytes)
}

/// Splits the first record off, if its lengths hold.
fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let (record, after) = bytes.split_at_checked(total)?;
    let (fields, _) = record.split_last_chunk::<4>()?;
    let (operation, rest) = fields.get(4..)?.split_first()?;
    let (key, rest) = split_sized(rest)?;
    let (value, rest) = split_sized(rest)?;
    rest.is_empty().then_some((Record { operation: *operation, key, value }, after))
}

/// Splits a length and that many bytes off.
fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use adapter_api::BatchBuilder;

    use super::*;

    fn sample() -> BatchBuilder {
        let mut batch = BatchBuilder::new();
        batch.put(b"key", b"value").unwrap();
        batch.put(b"empty", b"").unwrap();
        batch.delete(b"gone").unwrap();
        batch.delete_range(KeyRange::new(b"a", b"c")).unwrap();
        batch.delete_range(KeyRange::all()).unwrap();
        batch
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_batch(sample().as_batch(), &mut bytes);
        bytes
    }

    #[test]
    fn the_encoding_is_the_one_drawn() {
        let mut bytes = Vec::new();
        encode_put(b"key", b"value", &mut bytes);
        assert_eq!(bytes[..21], *b"\x19\0\0\0\x01\x03\0\0\0key\x05\0\0\0value");
        assert_eq!(bytes[21..], hash(&bytes[..21]).to_le_bytes());
        assert_eq!(bytes.len() as u64, put_bytes(b"key", b"value"));
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let bytes = encoded();
        let decoded: Vec<_> = decode(&bytes).unwrap().collect();
        assert_eq!(decoded, sample().as_batch().iter().collect::<Vec<_>>());
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = encoded();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_inside_a_record_is_refused_at_its_first_byte() {
        let bytes = encoded();
        let boundaries = [0, 25, 47, 68, 87, 104];
        assert_eq!(bytes.len(), boundaries[5]);
        for cut in 0..=bytes.len() {
            let outcome = decode(&bytes[..cut]).map(drop);
            let start = boundaries.iter().rfind(|start| **start <= cut).copied().unwrap();
            assert_eq!(
                outcome.map_err(|malformed| malformed.position).err(),
                (start != cut).then_some(start)
            );
        }
    }

    #[test]
    fn records_with_a_right_checksum_that_break_a_limit_are_refused() {
        for (operation, key, value) in [
            (PUT, &b""[..], &b"v"[..]),
            (DELETE, b"", b""),
            (DELETE, b"k", b"v"),
            (9, b"k", b""),
            (4, b"", b"v"),
        ] {
            let mut bytes = Vec::new();
            encode(operation, key, value, &mut bytes);
            assert!(decode(&bytes).is_err(), "{operation} {key:?} {value:?}");
        }
    }
}
