//! Where commands put their answers: a sink that knows no protocol.
//!
//! Promises: a command answers with exactly one reply (arrays and maps count with their parts). The server
//! implements the sink over `resp::Encoder`; commands and the sequencer's submissions write to it.

use super::Protocol;

/// A growing run of replies.
pub trait Replies {
    /// A short text without line breaks, such as `OK`.
    fn simple(&mut self, text: &str);

    /// An error; `text` begins with its code, such as `ERR unknown command`. Line breaks become spaces.
    fn error(&mut self, text: &str);

    /// A whole number.
    fn integer(&mut self, number: i64);

    /// A string of bytes.
    fn bulk(&mut self, bytes: &[u8]);

    /// A text for people: a bulk string in RESP2, a verbatim string in RESP3.
    fn verbatim(&mut self, text: &str);

    /// Nothing there.
    fn null(&mut self);

    /// The head of an array; `len` replies follow.
    fn array(&mut self, len: usize);

    /// The head of a set, which RESP2 shows as an array; `len` replies follow.
    fn set(&mut self, len: usize);

    /// The head of a map; `pairs` times a key and a value follow.
    fn map(&mut self, pairs: usize);

    /// How many bytes of replies there are.
    fn position(&self) -> usize;

    /// Takes back what was written since `position`.
    fn truncate(&mut self, position: usize);

    /// Replies that were encoded before, in the protocol of this sink.
    fn encoded(&mut self, bytes: &[u8]);

    /// Replies from here on are for a client that speaks `protocol`. HELLO calls it before it answers, so
    /// that its own answer comes in the new protocol.
    fn set_protocol(&mut self, protocol: Protocol);
}
