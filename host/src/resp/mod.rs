//! The bytes of the Redis protocol: requests in, replies out. No socket, no command.
//!
//! ```text
//! request   *2\r\n $3\r\nGET\r\n $1\r\nk\r\n      multibulk: a count, then that many lengths with their bytes
//!           GET "k"\r\n                           inline: one line, words with Redis's quoting
//!
//! reply     RESP2                 RESP3
//!  simple   +OK\r\n               the same
//!  error    -ERR text\r\n         the same
//!  integer  :7\r\n                the same
//!  bulk     $3\r\nabc\r\n         the same
//!  verbatim as bulk               =7\r\ntxt:abc\r\n
//!  null     $-1\r\n               _\r\n
//!  array    *2\r\n …              the same
//!  map      *4\r\n k v k v        %2\r\n k v k v
//! ```
//!
//! Requests look the same in both versions. `server` owns one [`Input`], one [`Decoder`] and one [`Encoder`] a
//! connection; bytes flow `Input → Decoder → words` and `replies → Encoder`.
//!
//! Promises: the outcome does not depend on where the bytes were split on their way; no byte is looked at twice
//! because a request came in pieces; no memory is sized by a count or a length that a client merely claims.

mod decode;
mod encode;
mod inline;
mod input;

pub use decode::{
    BULK_BYTES_MAX, Decoder, LINE_BYTES_MAX, Limits, ProtocolError, REQUEST_BYTES_MAX,
    STRANGER_BULK_BYTES_MAX, STRANGER_WORDS_MAX, WORDS_MAX,
};
pub use encode::{Encoder, Version};
pub use input::Input;

#[cfg(test)]
mod tests;
