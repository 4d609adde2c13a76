//! The sink that commands write their replies to: an encoder with a bound.

use crate::command::{Protocol, Replies};
use crate::resp::{Encoder, Version};

/// Encoded replies, bounded: a value that would make them too large becomes an error in its place, so that many
/// small requests for large values cannot take all memory.
#[derive(Debug)]
pub(super) struct Answers {
    encoder: Encoder,
    bytes_max: usize,
}

impl Answers {
    /// No reply yet; at most about `bytes_max` bytes of them.
    pub(super) fn new(version: Version, bytes_max: usize) -> Self {
        Self { encoder: Encoder::new(version), bytes_max }
    }

    /// The bytes to send.
    pub(super) fn bytes(&self) -> &[u8] {
        self.encoder.bytes()
    }

    /// The version that replies are written in.
    pub(super) fn version(&self) -> Version {
        self.encoder.version()
    }

    /// Writes as `other` does from now on.
    pub(super) fn speak_as(&mut self, other: &Self) {
        self.encoder.set_version(other.encoder.version());
    }

    /// Appends the replies of `other`.
    pub(super) fn append(&mut self, other: Self) {
        self.encoder.append(other.encoder);
    }

    /// Removes the first `len` bytes.
    pub(super) fn remove_front(&mut self, len: usize) {
        self.encoder.remove_front(len);
    }

    /// How much memory the replies occupy, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.encoder.capacity()
    }

    /// Makes room for so many more bytes.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.encoder.reserve(bytes);
    }

    /// Forgets all replies.
    pub(super) fn clear(&mut self) {
        self.encoder.clear();
    }

    fn has_room(&mut self, len: usize) -> bool {
        let fits = len <= self.bytes_max.saturating_sub(self.encoder.position());
        if !fits {
            let max = self.bytes_max;
            self.encoder.error(&format!(
                "ERR the value is left out: the replies to one run of requests may have {max} bytes; ask for \
                 less at once"
            ));
        }
        fits
    }
}

impl Replies for Answers {
    fn simple(&mut self, text: &str) {
        self.encoder.simple(text);
    }

    fn error(&mut self, text: &str) {
        self.encoder.error(text);
    }

    fn integer(&mut self, number: i64) {
        self.encoder.integer(number);
    }

    fn bulk(&mut self, bytes: &[u8]) {
        if self.has_room(bytes.len()) {
            self.encoder.bulk(bytes);
        }
    }

    fn verbatim(&mut self, text: &str) {
        if self.has_room(text.len()) {
            self.encoder.verbatim(text);
        }
    }

    fn null(&mut self) {
        self.encoder.null();
    }

    fn array(&mut self, len: usize) {
        self.encoder.array(len);
    }

    fn set(&mut self, len: usize) {
        self.encoder.set(len);
    }

    fn map(&mut self, pairs: usize) {
        self.encoder.map(pairs);
    }

    fn position(&self) -> usize {
        self.encoder.position()
    }

    fn truncate(&mut self, position: usize) {
        self.encoder.truncate(position);
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.encoder.set_version(match protocol {
            Protocol::Resp2 => Version::Two,
            Protocol::Resp3 => Version::Three,
        });
    }

    fn encoded(&mut self, bytes: &[u8]) {
        self.encoder.encoded(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Answers;
    use crate::command::Replies;
    use crate::resp::Version;

    #[test]
    fn a_value_above_the_bound_becomes_an_error_in_its_place() {
        let mut answers = Answers::new(Version::Two, 100);
        answers.array(3);
        answers.bulk(&[b'x'; 60]);
        answers.bulk(&[b'y'; 60]);
        answers.integer(1);
        let text = String::from_utf8_lossy(answers.bytes()).into_owned();
        assert!(text.contains("\r\n-ERR the value is left out") && text.ends_with("\r\n:1\r\n"), "{text}");
        assert!(!text.contains('y'.to_string().repeat(60).as_str()));
    }
}
