//! One reply as its bytes: what a difference of a single byte is seen by.
//!
//! Promises: keeps every byte of the head, so two spellings of one meaning stay apart. `Client` reads it, and
//! makes a `Reply` of it for tests that look at meanings.

use std::io::{self, BufRead};

/// A reply and the replies inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// The first line without its end.
    pub head: Vec<u8>,
    /// What follows a head that names a length.
    pub body: Option<Vec<u8>>,
    /// What follows a head that names a count; a map's keys and values take turns.
    pub parts: Vec<Frame>,
}

impl Frame {
    /// Reads one reply with everything inside it.
    pub fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut head = Vec::new();
        input.read_until(b'\n', &mut head)?;
        if head.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !head.ends_with(b"\r\n") {
            return Err(malformed(&head));
        }
        head.truncate(head.len() - 2);
        let mut frame = Self { head, body: None, parts: Vec::new() };
        match frame.kind() {
            b'$' | b'=' | b'!' if !frame.is_null() => {
                let mut body = vec![0; frame.count()? + 2];
                input.read_exact(&mut body)?;
                if body.split_off(body.len() - 2) != b"\r\n" {
                    return Err(malformed(&frame.head));
                }
                frame.body = Some(body);
            }
            b'*' | b'~' | b'>' if !frame.is_null() => frame.read_parts(frame.count()?, input)?,
            b'%' | b'|' => frame.read_parts(2 * frame.count()?, input)?,
            b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            _ => return Err(malformed(&frame.head)),
        }
        Ok(frame)
    }

    fn read_parts(&mut self, count: usize, input: &mut impl BufRead) -> io::Result<()> {
        for _ in 0..count {
            self.parts.push(Self::read(input)?);
        }
        Ok(())
    }

    /// A bulk string.
    pub fn bulk(body: &[u8]) -> Self {
        Self { head: format!("${}", body.len()).into_bytes(), body: Some(body.to_vec()), parts: Vec::new() }
    }

    /// An array.
    pub fn array(parts: Vec<Frame>) -> Self {
        Self { head: format!("*{}", parts.len()).into_bytes(), body: None, parts }
    }

    /// The first byte, which says what it is.
    pub fn kind(&self) -> u8 {
        self.head.first().copied().unwrap_or_default()
    }

    /// What stands behind the first byte of the head.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.head.get(1..).unwrap_or_default()).into_owned()
    }

    /// Whether it is one of the nulls of both protocols.
    pub fn is_null(&self) -> bool {
        matches!(self.head.as_slice(), b"$-1" | b"*-1" | b"_")
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self.kind(), b'-' | b'!')
    }

    fn count(&self) -> io::Result<usize> {
        self.text().parse().map_err(|_| malformed(&self.head))
    }

    /// All its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes.extend_from_slice(b"\r\n");
        if let Some(body) = &self.body {
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend(self.parts.iter().flat_map(Self::to_bytes));
        bytes
    }
}

/// The bytes are none that a server sends.
pub(crate) fn malformed(line: &[u8]) -> io::Error {
    let text = line[..line.len().min(80)].escape_ascii();
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent a malformed reply: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_comes_back_byte_for_byte() {
        let replies: [&[u8]; 8] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"*-1\r\n",
            b"*2\r\n$2\r\n\r\n\r\n*1\r\n:-7\r\n",
            b"%1\r\n+a\r\n,1.5\r\n",
            b"=5\r\ntxt:x\r\n",
        ];
        for bytes in replies {
            let frame = Frame::read(&mut &bytes[..]).unwrap();
            assert_eq!(frame.to_bytes(), bytes, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [&b""[..], b"+OK", b"OK\r\n", b"$3\r\nab\r\n", b"$x\r\n", b"*1\r\n", b"$1\r\naXX"] {
            assert!(Frame::read(&mut &bytes[..]).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
