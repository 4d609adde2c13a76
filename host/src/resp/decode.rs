//! Requests out of bytes that arrive in pieces.
//!
//! The decoder remembers how far it understood the request at the front of the buffer, so that a request in a
//! thousand pieces costs as much as one in a single piece. Positions are relative to the first byte of the
//! request: the buffer may move its bytes between two calls.

use std::fmt;
use std::ops::Range;

use super::inline;

/// The most words a request may have.
pub const WORDS_MAX: usize = 1024 * 1024;

/// The longest inline request and the longest line with a count or a length, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The longest word that any setting may allow, in bytes.
pub const BULK_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The longest request that any setting may allow, in bytes; positions are kept in 32 bits.
pub const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;

/// The most words that a request of a stranger may have: of a client that has not given its password.
pub const STRANGER_WORDS_MAX: usize = 10;

/// The longest word of a stranger's request, in bytes.
pub const STRANGER_BULK_BYTES_MAX: usize = 16 * 1024;

/// Words whose places are kept allocated between requests.
const KEPT_WORDS: usize = 1024;

/// Requests of more words are not looked at before their turn.
const PEEKED_WORDS_MAX: usize = 8;

/// What a request may at most be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest word, in bytes; at most [`BULK_BYTES_MAX`] counts.
    pub bulk_bytes: usize,
    /// The longest request with its framing, in bytes; at most [`REQUEST_BYTES_MAX`] counts.
    pub request_bytes: usize,
}

/// Why the bytes are no request. What follows them cannot be understood either: the connection has to end. The
/// texts are Redis's own, where Redis has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// The count behind `*` is no number or above [`WORDS_MAX`].
    InvalidMultibulkLength,
    /// The length behind `$` is no number, negative or above the limit.
    InvalidBulkLength,
    /// The count behind `*` is above [`STRANGER_WORDS_MAX`], and the client is a stranger.
    StrangersMultibulkLength,
    /// The length behind `$` is above [`STRANGER_BULK_BYTES_MAX`], and the client is a stranger.
    StrangersBulkLength,
    /// A word does not begin with `$` but with this byte.
    ExpectedBulk(u8),
    /// A word is not followed by a line break: its length was wrong.
    ExpectedLineBreak,
    /// The line with the count is longer than [`LINE_BYTES_MAX`].
    TooBigMultibulkCount,
    /// The line with a length is longer than [`LINE_BYTES_MAX`].
    TooBigBulkCount,
    /// The inline request is longer than [`LINE_BYTES_MAX`].
    TooBigInline,
    /// A quote of an inline request is not closed or followed by more than a space.
    UnbalancedQuotes,
    /// The request is longer than the limit, in bytes.
    TooBigRequest(usize),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Protocol error: ")?;
        match self {
            Self::InvalidMultibulkLength => out.write_str("invalid multibulk length"),
            Self::InvalidBulkLength => out.write_str("invalid bulk length"),
            Self::StrangersMultibulkLength => out.write_str("unauthenticated multibulk length"),
            Self::StrangersBulkLength => out.write_str("unauthenticated bulk length"),
            Self::ExpectedBulk(byte @ b' '..=b'~') => {
                write!(out, "expected '$', got '{}'", char::from(*byte))
            }
            Self::ExpectedBulk(b'\r' | b'\n') => out.write_str("expected '$', got ' '"),
            Self::ExpectedBulk(byte) => write!(out, "expected '$', got '\\x{byte:02x}'"),
            Self::ExpectedLineBreak => {
                out.write_str("expected a line break after the bytes of a bulk string")
            }
            Self::TooBigMultibulkCount => out.write_str("too big mbulk count string"),
            Self::TooBigBulkCount => out.write_str("too big bulk count string"),
            Self::TooBigInline => out.write_str("too big inline request"),
            Self::UnbalancedQuotes => out.write_str("unbalanced quotes in request"),
            Self::TooBigRequest(limit) => write!(out, "the request is longer than {limit} bytes"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// What is expected at `Decoder::position`.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The first byte of a request.
    Request,
    /// The line with a word's length; so many words are missing.
    Length { missing: usize },
    /// The bytes of a word and a line break; so many words are missing, this one included.
    Word { missing: usize, bytes: usize },
}

/// Finds the words of one request after another.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    words: Vec<Range<u32>>,
    peeked: Vec<Range<u32>>,
    expected: Expected,
    /// The first byte that is not understood yet.
    position: usize,
    /// No line break begins before this byte.
    searched: usize,
    /// The requests are those of a client that has not given its password.
    stranger: bool,
}

impl Decoder {
    /// A decoder at the start of a request.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits {
            bulk_bytes: limits.bulk_bytes.min(BULK_BYTES_MAX),
            request_bytes: limits.request_bytes.min(REQUEST_BYTES_MAX),
        };
        Self {
            limits,
            words: Vec::new(),
            peeked: Vec::new(),
            expected: Expected::Request,
            position: 0,
            searched: 0,
            stranger: false,
        }
    }

    /// From the next request on, whether they come from a client that has not given its password: what it may
    /// send is as little as Redis allows one.
    pub fn set_stranger(&mut self, stranger: bool) {
        self.stranger = stranger;
    }

    /// Looks at `bytes`, which begin with the request and hold all of it that arrived. `Some(length)`: the request
    /// is whole, [`Decoder::words`] marks its words and it takes the first `length` bytes, which the caller
    /// removes before the next call. `None`: call again with more bytes. After an error the decoder is of no use.
    ///
    /// The words of a whole inline request are unquoted in place.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, ProtocolError> {
        if let Expected::Request = self.expected {
            // The words of the last request were the caller's until now.
            self.words.clear();
            self.words.shrink_to(KEPT_WORDS);
            match bytes.first() {
                None => return Ok(None),
                Some(b'*') if self.searched == 0 => {
                    if let Some(length) = self.whole(bytes) {
                        return Ok(Some(length));
                    }
                    self.words.clear();
                }
                Some(b'*') => {}
                Some(_) => return self.inline(bytes),
            }
        }
        loop {
            let progressed = match self.expected {
                Expected::Request => self.count(bytes)?,
                Expected::Length { missing: 0 } => return Ok(Some(self.finish())),
                Expected::Length { missing } => self.length(bytes, missing)?,
                Expected::Word { missing, bytes: length } => self.word(bytes, missing, length)?,
            };
            if !progressed {
                return Ok(None);
            }
        }
    }

    /// Marks the words of a request and answers its length if it is whole and small, as nearly all are: in one pass
    /// without a look at where an earlier one ended. Otherwise what it marked does not count, and the way that
    /// remembers finds the same or what is wrong. Tried once a request, so that pieces cost no more.
    fn whole(&mut self, bytes: &[u8]) -> Option<usize> {
        let Self { limits, stranger, words, .. } = self;
        whole_request(bytes, *limits, *stranger, usize::MAX, words)
    }

    /// Looks at a request behind the one that was found last, without taking note of it: its length, if it is whole,
    /// and small in bytes and words. [`Decoder::peeked`] marks its words in `bytes`, which begin with it.
    pub fn peek(&mut self, bytes: &[u8]) -> Option<usize> {
        let Self { limits, stranger, peeked, .. } = self;
        peeked.clear();
        let is_multibulk = bytes.first() == Some(&b'*');
        let length = is_multibulk.then(|| whole_request(bytes, *limits, *stranger, PEEKED_WORDS_MAX, peeked));
        length.flatten().filter(|_| !peeked.is_empty())
    }

    /// The words of the request that [`Decoder::peek`] found last.
    pub fn peeked(&self) -> &[Range<u32>] {
        &self.peeked
    }

    /// The words of the request that [`Decoder::decode`] found last, as ranges of the bytes it was given. None for
    /// an empty line or an array of nothing: Redis skips those.
    pub fn words(&self) -> &[Range<u32>] {
        &self.words
    }

    /// How many words there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.words.capacity()
    }

    /// Gets ready for the next request; returns the length of this one.
    fn finish(&mut self) -> usize {
        self.expected = Expected::Request;
        self.searched = 0;
        std::mem::take(&mut self.position)
    }

    fn count(&mut self, bytes: &[u8]) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(bytes, ProtocolError::TooBigMultibulkCount)? else { return Ok(false) };
        let count = line.and_then(number).ok_or(ProtocolError::InvalidMultibulkLength)?;
        if count > WORDS_MAX as i64 {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if self.stranger && count > STRANGER_WORDS_MAX as i64 {
            return Err(ProtocolError::StrangersMultibulkLength);
        }
        self.expected = Expected::Length { missing: count.max(0) as usize };
        Ok(true)
    }

    fn length(&mut self, bytes: &[u8], missing: usize) -> Result<bool, ProtocolError> {
        match bytes.get(self.position) {
            None => return Ok(false),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
        }
        let Some(line) = self.line(bytes, ProtocolError::TooBigBulkCount)? else { return Ok(false) };
        let length = line.and_then(number).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= self.limits.bulk_bytes);
        let length = length.ok_or(ProtocolError::InvalidBulkLength)?;
        if self.stranger && length > STRANGER_BULK_BYTES_MAX {
            return Err(ProtocolError::StrangersBulkLength);
        }
        if self.position + length + 2 > self.limits.request_bytes {
            return Err(ProtocolError::TooBigRequest(self.limits.request_bytes));
        }
        self.expected = Expected::Word { missing, bytes: length };
        Ok(true)
    }

    fn word(&mut self, bytes: &[u8], missing: usize, length: usize) -> Result<bool, ProtocolError> {
        let end = self.position + length;
        let Some(line_break) = bytes.get(end..end + 2) else { return Ok(false) };
        if line_break != b"\r\n" {
            return Err(ProtocolError::ExpectedLineBreak);
        }
        self.words.push(self.position as u32..end as u32);
        self.position = end + 2;
        self.searched = self.position;
        self.expected = Expected::Length { missing: missing - 1 };
        Ok(true)
    }

    /// The line at `position` without its first byte and its line break, and moves behind it; the inner option is
    /// `None` if a lone carriage return ends it. The outer one is `None` if more bytes are needed.
    fn line<'a>(
        &mut self,
        bytes: &'a [u8],
        too_long: ProtocolError,
    ) -> Result<Option<Option<&'a [u8]>>, ProtocolError> {
        let from = self.searched.max(self.position + 1);
        let rest = bytes.get(from..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\r').map(|found| from + found);
        self.searched = end.unwrap_or(bytes.len());
        if self.searched - self.position > LINE_BYTES_MAX {
            return Err(too_long);
        }
        let Some(end) = end else { return Ok(None) };
        let Some(line_feed) = bytes.get(end + 1) else { return Ok(None) };
        let line = (*line_feed == b'\n').then(|| &bytes[self.position + 1..end]);
        self.position = end + 2;
        self.searched = self.position;
        Ok(Some(line))
    }

    fn inline(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, ProtocolError> {
        let found = bytes[self.searched..].iter().position(|byte| *byte == b'\n');
        let end = found.map(|found| self.searched + found);
        self.searched = end.unwrap_or(bytes.len());
        if self.searched > LINE_BYTES_MAX {
            return Err(ProtocolError::TooBigInline);
        }
        let Some(end) = end else { return Ok(None) };
        let line = &mut bytes[..end];
        // A carriage return before the line feed is white space to the splitter.
        inline::split(line, &mut self.words).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        self.position = end + 1;
        Ok(Some(self.finish()))
    }
}

/// Marks the words of a request in `words`, at most so many, and answers its length if it is whole and small.
fn whole_request(
    bytes: &[u8],
    limits: Limits,
    stranger: bool,
    words_max: usize,
    words: &mut Vec<Range<u32>>,
) -> Option<usize> {
    const BYTES_MAX: usize = 64 * 1024;
    let bytes = &bytes[..bytes.len().min(BYTES_MAX).min(limits.request_bytes)];
    let bulk_bytes = if stranger { STRANGER_BULK_BYTES_MAX } else { limits.bulk_bytes };
    let (count, mut position) = small_number(bytes, 0)?;
    if count > words_max || stranger && count > STRANGER_WORDS_MAX {
        return None;
    }
    for _ in 0..count {
        let (length, start) = small_number(bytes, position).filter(|_| bytes[position] == b'$')?;
        let end = start + length;
        if length > bulk_bytes || bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        words.push(start as u32..end as u32);
        position = end + 2;
    }
    Some(position)
}

/// The number in the line at `start`, behind its first byte, and where the next line begins, if it is a small one.
fn small_number(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    const DIGITS_MAX: usize = 6;
    let mut sum = 0;
    for (place, byte) in bytes.iter().enumerate().skip(start + 1).take(DIGITS_MAX + 1) {
        match byte {
            b'0'..=b'9' if sum > 0 || place == start + 1 => sum = sum * 10 + usize::from(byte - b'0'),
            b'\r' if place > start + 1 && bytes.get(place + 1) == Some(&b'\n') => {
                return Some((sum, place + 2));
            }
            _ => return None,
        }
    }
    None
}

/// A whole number as Redis reads it: no plus sign, no leading zeros, no white space, no `-0`.
fn number(text: &[u8]) -> Option<i64> {
    /// So many digits fit into the sum.
    const DIGITS_MAX: usize = 19;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = digits.len() < text.len();
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= DIGITS_MAX => {}
        _ => return None,
    }
    let mut sum = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum = sum * 10 + u64::from(digit);
    }
    if is_negative { 0_i64.checked_sub_unsigned(sum) } else { i64::try_from(sum).ok() }
}
