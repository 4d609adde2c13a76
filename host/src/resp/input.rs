//! The bytes a client sent that are not answered yet.

/// Memory that an empty buffer may keep, so that an idle connection is small and a busy one does not allocate.
const KEPT_CAPACITY: usize = 16 * 1024;

/// A growable buffer, filled at its end and consumed at its front. It holds at most twice the memory of the bytes
/// that arrived, and moves each byte a bounded number of times however it is filled and consumed.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Input {
    /// An empty buffer; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what arrived.
    pub fn extend(&mut self, bytes: &[u8]) {
        // Moving the rest to the front only once it is the smaller half makes the cost of a byte constant.
        if self.consumed > self.bytes.len() / 2 {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// What arrived and was not consumed.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// As [`Input::unread`], for a decoder that unquotes in place.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.consumed..]
    }

    /// Gives up the first `len` unread bytes. Gives memory back once a large request is done with.
    pub fn consume(&mut self, len: usize) {
        self.consumed = (self.consumed + len).min(self.bytes.len());
        if self.consumed == self.bytes.len() {
            self.consumed = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY);
        }
    }

    /// How many bytes are unread.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    /// Whether nothing is unread.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory the buffer occupies, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
