//! Ranges of keys and the direction in which they are walked.
//!
//! Promises: a range is half open, `start` inclusive and `end` exclusive; order is that of unsigned bytes.

/// A half-open range of keys.
///
/// ```
/// # use adapter_api::KeyRange;
/// let range = KeyRange::new(b"b", b"d");
/// assert!(range.contains(b"b") && range.contains(b"cz") && !range.contains(b"d"));
/// assert!(KeyRange::all().contains(b"anything"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange<'a> {
    start: &'a [u8],
    end: Option<&'a [u8]>,
}

impl<'a> KeyRange<'a> {
    /// Every key.
    pub const fn all() -> Self {
        Self { start: &[], end: None }
    }

    /// The keys at or after `start` and before `end`; empty if `end` is not after `start`.
    pub const fn new(start: &'a [u8], end: &'a [u8]) -> Self {
        Self { start, end: Some(end) }
    }

    /// The keys at or after `start`.
    pub const fn from_start(start: &'a [u8]) -> Self {
        Self { start, end: None }
    }

    /// The keys at or after `start` and, if there is an `end`, before it.
    pub const fn with_end(start: &'a [u8], end: Option<&'a [u8]>) -> Self {
        Self { start, end }
    }

    /// The first key that may belong to the range. No key is empty, so an empty start bounds nothing.
    pub const fn start(&self) -> &'a [u8] {
        self.start
    }

    /// The first key behind the range, or `None` if the range has no end.
    pub const fn end(&self) -> Option<&'a [u8]> {
        self.end
    }

    /// Whether `key` belongs to the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start && self.end.is_none_or(|end| key < end)
    }

    /// Whether no key can belong to the range.
    pub fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }
}

/// The direction of a walk, fixed when the walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key to the largest.
    Forward,
    /// From the largest key to the smallest.
    Reverse,
}
