//! The bytes of the Redis protocol, as far as load needs them: requests out, replies in.
//!
//! Promises: it takes nothing from the server's code, so the two cannot agree on a mistake; a reply is parsed
//! only when it is whole, without copying.

use anyhow::{Result, bail, ensure};

/// One reply that is no array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `+`
    Simple(&'a [u8]),
    /// `-`
    Error(&'a [u8]),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(&'a [u8]),
    /// `$-1`
    Null,
}

/// Appends a request.
pub fn encode(words: &[&[u8]], out: &mut Vec<u8>) {
    header(b'*', words.len(), out);
    for word in words {
        header(b'$', word.len(), out);
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn header(kind: u8, number: usize, out: &mut Vec<u8>) {
    out.push(kind);
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// The reply at the front of the bytes and its length, or `None` if it is not whole yet.
///
/// # Errors
/// If the bytes are no reply, or one that load never causes.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\r') else {
        ensure!(bytes.len() < 1 << 16, "a reply whose first line has no end: {}", shown(bytes));
        return Ok(None);
    };
    if bytes.len() < end + 2 {
        return Ok(None);
    }
    let (line, behind) = (&bytes[1.min(end)..end], end + 2);
    let reply = match bytes[0] {
        b'+' => Reply::Simple(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Integer(number(line)?),
        b'$' if line == b"-1" => Reply::Null,
        b'$' => {
            let len = usize::try_from(number(line)?)?;
            let whole = behind.saturating_add(len).saturating_add(2);
            if bytes.len() < whole {
                return Ok(None);
            }
            return Ok(Some((Reply::Bulk(&bytes[behind..behind + len]), whole)));
        }
        _ => bail!("this is no reply that was asked for: {}", shown(bytes)),
    };
    Ok(Some((reply, behind)))
}

fn number(digits: &[u8]) -> Result<i64> {
    Ok(std::str::from_utf8(digits)?.parse()?)
}

/// The beginning of some bytes, for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(120)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_lengths_of_its_words() {
        let mut out = Vec::new();
        encode(&[b"SET", b"", &[b'v'; 100]], &mut out);
        let expected = format!("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$100\r\n{}\r\n", "v".repeat(100));
        assert_eq!(out, expected.as_bytes());
    }

    #[test]
    fn every_kind_of_reply_is_parsed_once_it_is_whole() {
        let cases: [(&[u8], Reply<'_>); 6] = [
            (b"+OK\r\n", Reply::Simple(b"OK")),
            (b"-ERR no\r\n", Reply::Error(b"ERR no")),
            (b":-12\r\n", Reply::Integer(-12)),
            (b"$4\r\na\r\nb\r\n", Reply::Bulk(b"a\r\nb")),
            (b"$0\r\n\r\n", Reply::Bulk(b"")),
            (b"$-1\r\n", Reply::Null),
        ];
        for (bytes, reply) in cases {
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{} cut at {cut}", shown(bytes));
            }
            let more = [bytes, b"+next\r\n"].concat();
            assert_eq!(parse(&more).unwrap(), Some((reply, bytes.len())));
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [b"hello\r\n".as_slice(), b"$x\r\n", b":\r\n", b"$-2\r\n", b"\r\n\r\n"] {
            assert!(parse(bytes).is_err(), "{}", shown(bytes));
        }
    }
}
