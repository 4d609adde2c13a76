//! Batches of mutations: what the host hands to `apply`, in one frozen encoding.
//!
//! Promises: a `Batch` is well formed whoever made it, because the only ways to one are `BatchBuilder` and
//! `Batch::parse`; walking it allocates nothing. The encoding is frozen, so an engine may store
//! `Batch::as_bytes` as it is and replay it with `Batch::parse`.
//!
//! ```text
//! mutation, repeated to the end of the batch; integers little-endian:
//!
//! offset  size  field
//!      0     1  tag     1 put · 2 delete · 3 delete range · 4 delete range without an end
//!      1     4  a_len   put, delete: 1 ..= 65,535 · delete range: 0 ..= 65,535
//!      5     4  b_len   put: 0 ..= 512 Mi · delete: 0 · delete range: 0 ..= 65,535 · without an end: 0
//!      9     …  a       put, delete: the key · delete range: the first key deleted
//!      …     …  b       put: the value · delete range: the first key kept behind the range
//! ```

use crate::range::KeyRange;
use crate::{EngineError, Result};

/// The largest key, in bytes; the smallest has one byte.
pub const KEY_BYTES_MAX: usize = 64 * 1024 - 1;
/// The largest value, in bytes; the smallest has none.
pub const VALUE_BYTES_MAX: usize = 512 * 1024 * 1024;

const HEADER_BYTES: usize = 9;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const DELETE_RANGE_WITHOUT_END: u8 = 4;

/// One change to the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation<'a> {
    /// Store the value under the key, whatever was there.
    Put {
        /// 1 … 65,535 bytes.
        key: &'a [u8],
        /// 0 … 512 MiB.
        value: &'a [u8],
    },
    /// Remove the key if it is there.
    Delete {
        /// 1 … 65,535 bytes.
        key: &'a [u8],
    },
    /// Remove every key of the range.
    DeleteRange(KeyRange<'a>),
}

/// A sequence of mutations that happens as a whole or not at all. Later mutations win over earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads the encoding above.
    ///
    /// # Errors
    /// `Rejected`, naming the byte, if `bytes` is not a sequence of whole, well-formed mutations.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match split_checked(rest) {
                Some((_, rest)) => rest,
                None => {
                    let position = bytes.len() - rest.len();
                    return Err(EngineError::rejected(format!(
                        "malformed mutation at byte {position} of a batch"
                    )));
                }
            };
        }
        Ok(Self { bytes })
    }

    /// Takes `bytes` for a batch without looking at them again.
    ///
    /// Sound in any case, but walking a malformed batch ends early: only for bytes that `parse` has accepted
    /// or a `BatchBuilder` has written.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The mutations in order.
    pub fn iter(&self) -> Mutations<'a> {
        Mutations { rest: self.bytes }
    }

    /// How many mutations the batch has. Walks the batch.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The encoding drawn at the top of the module.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> IntoIterator for Batch<'a> {
    type Item = Mutation<'a>;
    type IntoIter = Mutations<'a>;

    fn into_iter(self) -> Mutations<'a> {
        self.iter()
    }
}

/// The mutations of a batch in order.
#[derive(Debug, Clone)]
pub struct Mutations<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Mutations<'a> {
    type Item = Mutation<'a>;

    fn next(&mut self) -> Option<Mutation<'a>> {
        let (mutation, rest) = split(self.rest)?;
        self.rest = rest;
        Some(mutation)
    }
}

/// Splits the first mutation off, reading no byte that is not there; trusts the lengths' limits.
fn split(bytes: &[u8]) -> Option<(Mutation<'_>, &[u8])> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    let [tag, a0, a1, a2, a3, b0, b1, b2, b3] = *header;
    let a_len = u32::from_le_bytes([a0, a1, a2, a3]) as usize;
    let b_len = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
    let (a, rest) = bytes[HEADER_BYTES..].split_at_checked(a_len)?;
    let (b, rest) = rest.split_at_checked(b_len)?;
    let mutation = match tag {
        PUT => Mutation::Put { key: a, value: b },
        DELETE => Mutation::Delete { key: a },
        DELETE_RANGE => Mutation::DeleteRange(KeyRange::new(a, b)),
        DELETE_RANGE_WITHOUT_END => Mutation::DeleteRange(KeyRange::from_start(a)),
        _ => return None,
    };
    Some((mutation, rest))
}

/// Splits the first mutation off and checks every limit.
fn split_checked(bytes: &[u8]) -> Option<(Mutation<'_>, &[u8])> {
    let (mutation, rest) = split(bytes)?;
    let used = bytes.len() - rest.len() - HEADER_BYTES;
    let within_limits = match mutation {
        Mutation::Put { key, value } => is_key(key) && value.len() <= VALUE_BYTES_MAX,
        Mutation::Delete { key } => is_key(key) && used == key.len(),
        Mutation::DeleteRange(range) => {
            let end = range.end().unwrap_or_default();
            range.start().len() <= KEY_BYTES_MAX
                && end.len() <= KEY_BYTES_MAX
                && used == range.start().len() + end.len()
        }
    };
    within_limits.then_some((mutation, rest))
}

fn is_key(key: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
}

/// Makes batches. The host fills one; engines' tests do too.
#[derive(Debug, Default, Clone)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Appends a put.
    ///
    /// # Errors
    /// `Rejected`, and nothing is appended, if key or value are outside their limits.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_parts(key, std::iter::once(value)).map(drop)
    }

    /// Appends a put of a value that lies in parts; answers how many bytes they have together.
    ///
    /// # Errors
    /// `Rejected`, and nothing is appended, if key or value are outside their limits.
    pub fn put_parts<'p>(
        &mut self,
        key: &[u8],
        parts: impl Iterator<Item = &'p [u8]> + Clone,
    ) -> Result<usize> {
        check_key(key)?;
        let bytes: usize = parts.clone().map(<[u8]>::len).sum();
        if bytes > VALUE_BYTES_MAX {
            return Err(EngineError::rejected(format!(
                "a value of {bytes} bytes is longer than {VALUE_BYTES_MAX}"
            )));
        }
        self.append(PUT, key, bytes, parts);
        Ok(bytes)
    }

    /// Appends a delete.
    ///
    /// # Errors
    /// `Rejected`, and nothing is appended, if the key is outside its limits.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        check_key(key)?;
        self.append(DELETE, key, 0, std::iter::empty());
        Ok(())
    }

    /// Appends a delete of every key of the range.
    ///
    /// # Errors
    /// `Rejected`, and nothing is appended, if a bound is longer than a key may be.
    pub fn delete_range(&mut self, range: KeyRange<'_>) -> Result<()> {
        let end = range.end().unwrap_or_default();
        let longest = range.start().len().max(end.len());
        if longest > KEY_BYTES_MAX {
            return Err(EngineError::rejected(format!(
                "a range bound of {longest} bytes is longer than {KEY_BYTES_MAX}"
            )));
        }
        let tag = if range.end().is_some() { DELETE_RANGE } else { DELETE_RANGE_WITHOUT_END };
        self.append(tag, range.start(), end.len(), std::iter::once(end));
        Ok(())
    }

    /// The mutations so far.
    pub fn as_batch(&self) -> Batch<'_> {
        Batch::trusted(&self.bytes)
    }

    /// The size of the encoding so far, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes back everything appended since the encoding had `bytes` bytes.
    pub fn truncate(&mut self, bytes: usize) {
        self.bytes.truncate(bytes);
    }

    /// Forgets the mutations and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends a mutation whose second run of bytes lies in parts, with `b_len` bytes together.
    fn append<'p>(&mut self, tag: u8, a: &[u8], b_len: usize, b: impl Iterator<Item = &'p [u8]>) {
        let mut header = [tag; HEADER_BYTES];
        header[1..5].copy_from_slice(&(a.len() as u32).to_le_bytes());
        header[5..].copy_from_slice(&(b_len as u32).to_le_bytes());
        self.bytes.reserve(HEADER_BYTES + a.len() + b_len);
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(a);
        b.for_each(|part| self.bytes.extend_from_slice(part));
    }
}

fn check_key(key: &[u8]) -> Result<()> {
    match is_key(key) {
        true => Ok(()),
        false => Err(EngineError::rejected(format!(
            "a key has 1 to {KEY_BYTES_MAX} bytes, this one has {}",
            key.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BatchBuilder {
        let mut batch = BatchBuilder::new();
        batch.put(b"k", b"value").unwrap();
        batch.delete(b"gone").unwrap();
        batch.delete_range(KeyRange::new(b"a", b"c")).unwrap();
        batch.delete_range(KeyRange::from_start(b"x")).unwrap();
        batch
    }

    #[test]
    fn the_encoding_is_the_one_drawn() {
        let golden = b"\x01\x01\0\0\0\x05\0\0\0kvalue\
                       \x02\x04\0\0\0\0\0\0\0gone\
                       \x03\x01\0\0\0\x01\0\0\0ac\
                       \x04\x01\0\0\0\0\0\0\0x";
        assert_eq!(sample().as_batch().as_bytes(), golden);
    }

    #[test]
    fn a_value_in_parts_is_the_same_as_in_one() {
        let (mut whole, mut parts) = (BatchBuilder::new(), BatchBuilder::new());
        whole.put(b"k", b"value").unwrap();
        assert_eq!(parts.put_parts(b"k", [&b"va"[..], b"", b"lue"].into_iter()).unwrap(), 5);
        assert_eq!(whole.as_batch(), parts.as_batch());
    }

    #[test]
    fn parse_returns_the_mutations_that_were_built() {
        let built = sample();
        let parsed = Batch::parse(built.as_batch().as_bytes()).unwrap();
        let expected = [
            Mutation::Put { key: b"k", value: b"value" },
            Mutation::Delete { key: b"gone" },
            Mutation::DeleteRange(KeyRange::new(b"a", b"c")),
            Mutation::DeleteRange(KeyRange::from_start(b"x")),
        ];
        assert_eq!(parsed.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn parse_refuses_every_cut_inside_a_mutation() {
        let whole = sample();
        let bytes = whole.as_batch().as_bytes();
        let boundaries = [0, 15, 28, 39, bytes.len()];
        for cut in 0..=bytes.len() {
            assert_eq!(Batch::parse(&bytes[..cut]).is_ok(), boundaries.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn parse_refuses_empty_keys_unknown_tags_and_deletes_with_values() {
        for bad in [
            &b"\x01\0\0\0\0\0\0\0\0"[..],
            b"\x05\x01\0\0\0\0\0\0\0k",
            b"\x02\x01\0\0\0\x01\0\0\0kv",
            b"\x04\0\0\0\0\x01\0\0\0k",
        ] {
            assert!(matches!(Batch::parse(bad), Err(EngineError::Rejected { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_builder_refuses_keys_outside_the_limits_and_keeps_the_rest() {
        let mut batch = BatchBuilder::new();
        batch.put(&vec![7; KEY_BYTES_MAX], b"").unwrap();
        let before = batch.bytes();
        assert!(batch.put(b"", b"v").is_err());
        assert!(batch.delete(&vec![7; KEY_BYTES_MAX + 1]).is_err());
        assert!(batch.delete_range(KeyRange::from_start(&vec![7; KEY_BYTES_MAX + 1])).is_err());
        assert_eq!(batch.bytes(), before);
    }
}
