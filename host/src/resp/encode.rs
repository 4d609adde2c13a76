//! Replies into bytes, in either version of the protocol.

/// Memory that an encoder without bytes may keep.
const KEPT_CAPACITY: usize = 16 * 1024;

/// The version of the protocol that a connection agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// RESP2, until a client asks for more.
    #[default]
    Two,
    /// RESP3: maps, verbatim strings and a null of its own.
    Three,
}

/// Appends replies to a buffer it owns.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    version: Version,
}

impl Encoder {
    /// An encoder without bytes; allocates nothing.
    pub fn new(version: Version) -> Self {
        Self { bytes: Vec::new(), version }
    }

    /// The version that replies are written in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Writes in `version` from now on.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// A short text without line breaks; should there be one, it becomes a space.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// An error whose text begins with its code. Line breaks become spaces, or the text could forge a reply.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text);
    }

    /// A whole number.
    pub fn integer(&mut self, number: i64) {
        self.head(b':', number.is_negative(), number.unsigned_abs());
    }

    /// A string of bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.head(b'$', false, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A text for people.
    pub fn verbatim(&mut self, text: &str) {
        match self.version {
            Version::Two => self.bulk(text.as_bytes()),
            Version::Three => {
                self.head(b'=', false, text.len() as u64 + 4);
                self.bytes.extend_from_slice(b"txt:");
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Nothing there.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(match self.version {
            Version::Two => b"$-1\r\n",
            Version::Three => b"_\r\n",
        });
    }

    /// The head of an array; `len` replies follow.
    pub fn array(&mut self, len: usize) {
        self.head(b'*', false, len as u64);
    }

    /// The head of a set; `len` replies follow.
    pub fn set(&mut self, len: usize) {
        match self.version {
            Version::Two => self.array(len),
            Version::Three => self.head(b'~', false, len as u64),
        }
    }

    /// The head of a map; `pairs` times a key and a value follow.
    pub fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Two => self.array(pairs * 2),
            Version::Three => self.head(b'%', false, pairs as u64),
        }
    }

    /// Replies that were encoded before.
    pub fn encoded(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes there are.
    pub fn position(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was written since `position`.
    pub fn truncate(&mut self, position: usize) {
        self.bytes.truncate(position);
    }

    /// The bytes of all replies.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How much memory the bytes occupy, with what was set aside for more.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for so many more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Forgets all bytes and gives back the memory of large ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
    }

    /// Removes the first `len` bytes.
    pub fn remove_front(&mut self, len: usize) {
        self.bytes.drain(..len);
    }

    /// Appends the bytes of `other`, without copying if there are none here.
    pub fn append(&mut self, other: Self) {
        if self.bytes.is_empty() {
            self.bytes = other.bytes;
        } else {
            self.bytes.extend_from_slice(&other.bytes);
        }
    }

    fn line(&mut self, kind: u8, text: &str) {
        self.bytes.reserve(1 + text.len() + 2);
        self.bytes.push(kind);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        for byte in &mut self.bytes[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A kind, a number and a line break.
    fn head(&mut self, kind: u8, negative: bool, mut number: u64) {
        // A kind, a sign, twenty digits, a line break; written from the end.
        const BYTES_MAX: usize = 24;
        let mut line = [b'\r'; BYTES_MAX];
        line[BYTES_MAX - 1] = b'\n';
        let mut start = BYTES_MAX - 2;
        loop {
            start -= 1;
            line[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        if negative {
            start -= 1;
            line[start] = b'-';
        }
        start -= 1;
        line[start] = kind;
        self.bytes.extend_from_slice(&line[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoder, Version};

    fn both(write: impl Fn(&mut Encoder)) -> (String, String) {
        let encode = |version| {
            let mut encoder = Encoder::new(version);
            write(&mut encoder);
            String::from_utf8(encoder.bytes().to_vec()).expect("the tests write text")
        };
        (encode(Version::Two), encode(Version::Three))
    }

    fn check(write: impl Fn(&mut Encoder), two: &str, three: &str) {
        assert_eq!(both(write), (two.to_owned(), three.to_owned()));
    }

    #[test]
    fn each_kind_of_reply_is_written_as_its_version_has_it() {
        check(|replies| replies.simple("OK"), "+OK\r\n", "+OK\r\n");
        check(|replies| replies.bulk(b"abc"), "$3\r\nabc\r\n", "$3\r\nabc\r\n");
        check(|replies| replies.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(|replies| replies.verbatim("abc"), "$3\r\nabc\r\n", "=7\r\ntxt:abc\r\n");
        check(Encoder::null, "$-1\r\n", "_\r\n");
        check(|replies| replies.array(2), "*2\r\n", "*2\r\n");
        check(|replies| replies.map(2), "*4\r\n", "%2\r\n");
    }

    #[test]
    fn integers_are_written_to_their_ends() {
        for number in [0, 7, -1, 10, -10, i64::MAX, i64::MIN] {
            let expected = format!(":{number}\r\n");
            check(|replies| replies.integer(number), &expected, &expected);
        }
    }

    #[test]
    fn a_line_break_in_an_error_cannot_forge_a_reply() {
        let expected = "-ERR a  +OK  b\r\n";
        check(|replies| replies.error("ERR a\r\n+OK\r\nb"), expected, expected);
    }

    #[test]
    fn truncate_takes_back_what_was_written_since() {
        let mut encoder = Encoder::new(Version::Two);
        encoder.simple("OK");
        let position = encoder.position();
        encoder.bulk(b"abc");
        encoder.truncate(position);
        encoder.null();
        assert_eq!(encoder.bytes(), b"+OK\r\n$-1\r\n");
    }
}
