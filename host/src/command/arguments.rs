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

    /// How many bytes the words have together.
    pub fn bytes(&self) -> usize {
        self.words.iter().map(|word| (word.end - word.start) as usize).sum()
    }
}
