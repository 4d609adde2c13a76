//! The words of one request, as the client sent them.

use std::ops::Range;

/// The words of one request: the command's name and what follows it. Borrowed from whoever holds the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    bytes: &'a [u8],
    words: &'a [Range<u32>],
}

impl<'a> Arguments<'a> {
    /// The words that `words` marks in `bytes`; at least one.
    pub fn new(bytes: &'a [u8], words: &'a [Range<u32>]) -> Self {
        debug_assert!(!words.is_empty());
        Self { bytes, words }
    }

    /// How many words there are, the name included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no word at all; never so for a request.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The word at `index`; 0 is the command's name. Empty if there is none.
    pub fn word(&self, index: usize) -> &'a [u8] {
        self.words.get(index).map_or(&[], |word| &self.bytes[word.start as usize..word.end as usize])
    }

    /// The words from `index` on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        let words = self.words.get(index..).unwrap_or_default();
        words.iter().map(move |word| &bytes[word.start as usize..word.end as usize])
    }

    /// The words from `index` on, as a request of their own; it is empty if there are none.
    pub(super) fn behind(&self, index: usize) -> Self {
        Self { bytes: self.bytes, words: self.words.get(index..).unwrap_or_default() }
    }

    /// The bytes from the first word to the last, with what lies between them.
    pub(super) fn whole(&self) -> &'a [u8] {
        let (start, end) = self.ends();
        &self.bytes[start as usize..end as usize]
    }

    /// Where the words lie in `whole`.
    pub(super) fn places(&self) -> impl Iterator<Item = Range<u32>> + use<'a> {
        let (start, _) = self.ends();
        self.words.iter().map(move |word| word.start - start..word.end - start)
    }

    fn ends(&self) -> (u32, u32) {
        let ends = self.words.first().zip(self.words.last());
        ends.map_or((0, 0), |(first, last)| (first.start, last.end))
    }
}
