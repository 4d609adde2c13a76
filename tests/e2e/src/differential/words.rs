//! The random words of requests: keys that meet, numbers at their limits, bytes of every kind, and nonsense.
//!
//! Promises: the same words for the same seed.

use fastrand::Rng;

/// Keys are few, so that commands meet on them.
#[rustfmt::skip]
const KEYS: [&[u8]; 12] = [
    b"a", b"b", b"c", b"d", b"key:1", b"key:2", b"key:10", b"Key", b"", b"\x00\xff\r\n", b"with blank",
    b"[x]*\\?",
];
/// Keys that are set to short values and nothing else, for commands whose time is the product of lengths.
const SHORT_KEYS: [&str; 3] = ["short:1", "short:2", "short:3"];
/// Keys that are only ever set, never changed in place.
const SET_KEYS: [&str; 2] = ["set:1", "set:2"];

#[rustfmt::skip]
const INTEGERS: [&str; 26] = [
    "0", "1", "-1", "2", "7", "10", "100", "-100", "9999", "10000", "2147483647", "2147483648", "-2147483649",
    "4294967295", "4294967296", "9223372036854775807", "-9223372036854775808", "9223372036854775806",
    "-9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551615",
    "18446744073709551616", "99999999999999999999", "-0", "42",
];
#[rustfmt::skip]
const FLOATS: [&str; 26] = [
    "0", "1", "-1", "0.1", "-0.1", "1.5", "3.0e3", "5.0e-1", "1e5", "1E-5", "1e17", "1e18", "100000000000.25",
    ".5", "5.", "-.5", "0.30000000000000004", "3.14159", "1e308", "-1e308", "inf", "-inf", "nan", "1e-400",
    "0x1p3", "9223372036854775807",
];
#[rustfmt::skip]
const ODD: [&[u8]; 24] = [
    b"", b" ", b" 1", b"1 ", b"+1", b"007", b"1.0", b"1e3", b"0x10", b"--1", b"-", b"one", b"1\x002",
    b"\xff\xfe", b"12345678901234567890123456789012345678901234567890", b"GET", b"NX", b"XX", b"BIT",
    b"REPLACE", b"DB", b"*", b"99999999999999999999", b"-1",
];
const WIDTHS: [&str; 12] = ["u8", "i8", "u1", "i1", "u16", "i16", "u32", "i32", "u63", "i64", "u7", "i5"];
const NO_WIDTHS: [&str; 6] = ["u64", "i65", "u0", "x8", "u", "8"];
const FIELDS: [&str; 9] = ["0", "1", "7", "8", "100", "#0", "#1", "#3", "#100"];
const NO_FIELDS: [&str; 5] = ["-1", "#-1", "#", "4294967296", "9223372036854775807"];
#[rustfmt::skip]
const BIT_OFFSETS: [&str; 14] = [
    "0", "1", "7", "8", "9", "63", "64", "100", "4096", "100000", "-1", "4294967296", "9223372036854775807",
    "one",
];
#[rustfmt::skip]
const OFFSETS: [&str; 12] = [
    "0", "1", "5", "10", "100", "5000", "70000", "-1", "536870912", "4294967296", "9223372036854775807", "x",
];
#[rustfmt::skip]
const INDEXES: [&str; 18] = [
    "0", "1", "2", "3", "5", "10", "100", "-1", "-2", "-3", "-10", "-100", "1000000", "-1000000",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "x",
];
#[rustfmt::skip]
const PATTERNS: [&str; 24] = [
    "*", "?", "a", "a*", "*a", "key:*", "key:?", "key:1*", "[ab]", "[^a]", "[a-c]", "[c-a]", "[a", "[", "[]",
    "[^]", "\\[x\\]*", "*\\?", "\\", "k*:*", "**", "", "*with*", "[a\\-c]",
];
const NAMES: [&str; 12] =
    ["get", "set", "MGET", "mset", "Incr", "del", "bitop", "ping", "getrange", "nosuch", "", "copy"];
const GLOBS_OF_NAMES: [&str; 5] = ["get*", "*SET", "nosuch", "p?ng", "[s]et"];

/// What Redis 7.0 answers DUMP with for values of every encoding; then damaged ones.
const DUMPS: [&[u8]; 13] = [
    b"\x00\xc0\x01\x0a\x00&x\xe7\xb6\xd1\x01\x11\xfc",
    b"\x00\xc18\xff\x0a\x00\x22;\x8f\xbb\xe8\xf4a\xf3",
    b"\x00\xc2p\x11\x01\x00\x0a\x00\x01\xa4\x08\xfe\x950\x95\xa5",
    b"\x00\x0a5000000000\x0a\x00i\xa9\x0f\xd5~\x0f\xf4%",
    b"\x00\x05hello\x0a\x00cr\xdfve4 \x0a",
    b"\x00\x00\x0a\x00]\x9b\x5c@\x0f\x7f\xa2\xda",
    b"\x00\xc3\x09@d\x01aa\xe0W\x00\x01aa\x0a\x00\xe8\xa3\xb5\x07\xb0m\xf2q",
    b"\x00\xc3\x1fA\x90\x14the quick brown fox t\xe0\xff\x13\xe1h\x17\x01x \x0a\x000\xb6c\x90\xa6\x17\xfd\xda",
    b"\x00\xc3\x0d-\x05raw\x00\xffr\xe0\x1c\x04\x01\x00\xff\x0a\x00\x97\xe7W\xfb\xcaqbM",
    b"\x00\x05hello\x0a\x00cr\xdfve4 \x0b",
    b"\x00\x05hellO\x0a\x00cr\xdfve4 \x0a",
    b"\x00\x05hello\xff\x00cr\xdfve4 \x0a",
    b"\x00",
];

/// A source of random words.
pub struct Words {
    /// Where all chance comes from.
    pub random: Rng,
}

impl Words {
    /// The words of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed) }
    }

    /// A word of a kind that a shape names.
    ///
    /// # Panics
    /// If there is no such kind.
    pub fn word(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "key" if self.random.u8(..) == 0 => vec![b'k'; 300],
            "key" => self.one_of(&KEYS),
            "short" => self.one_of(&SHORT_KEYS),
            "brief" => self.letters(40),
            "fixed" => self.one_of(&SET_KEYS),
            "value" => self.value(),
            "integer" => self.number(&INTEGERS),
            "float" => self.float(),
            "index" => self.number(&INDEXES),
            "offset" => self.one_of(&OFFSETS),
            "bit" => self.one_of(&["0", "1", "1", "0", "0", "1", "2", "-1", "x"]),
            "bitoffset" => self.number(&BIT_OFFSETS),
            // Several in a request must be right for it to do anything.
            "width" if self.random.u8(..20) == 0 => self.one_of(&NO_WIDTHS),
            "width" => self.one_of(&WIDTHS),
            "field" if self.random.u8(..20) == 0 => self.one_of(&NO_FIELDS),
            "field" => self.one_of(&FIELDS),
            "database" => self.one_of(&["0", "1", "2", "0", "1", "2", "15", "16", "-1", "x", "3000000000"]),
            "count" => {
                self.one_of(&["1", "2", "10", "1000", "1", "10", "0", "-1", "x", "9223372036854775807"])
            }
            "pattern" => self.one_of(&PATTERNS),
            "name" => self.one_of(&NAMES),
            "names" => self.one_of(&GLOBS_OF_NAMES),
            "odd" => self.one_of(&ODD),
            "dump" => self.one_of(&DUMPS),
            "label" => self.one_of(&["worker", "a-b_c", "", "two words", "line\nbreak", "\u{e4}"]),
            _ => panic!("no kind of word is called {kind}"),
        }
    }

    /// A word of the protocol, now and then in another case.
    pub fn spelled(&mut self, word: &str) -> Vec<u8> {
        if !word.starts_with(char::is_uppercase) {
            return word.as_bytes().to_vec();
        }
        match self.random.u8(..8) {
            0 => word.to_ascii_lowercase().into_bytes(),
            1 => {
                let letters = word.bytes();
                letters.map(|it| if self.random.bool() { it.to_ascii_lowercase() } else { it }).collect()
            }
            _ => word.as_bytes().to_vec(),
        }
    }

    fn one_of<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Vec<u8> {
        words[self.random.usize(..words.len())].as_ref().to_vec()
    }

    /// One of the limits, or any small number.
    fn number(&mut self, limits: &[&str]) -> Vec<u8> {
        match self.random.bool() {
            true => self.one_of(limits),
            false => self.random.i32(-20..60).to_string().into_bytes(),
        }
    }

    fn float(&mut self) -> Vec<u8> {
        match self.random.bool() {
            true => self.one_of(&FLOATS),
            false => format!("{}.{:02}", self.random.i32(-999..999), self.random.u8(..100)).into_bytes(),
        }
    }

    /// Mostly short, so that streams are fast; now and then longer than any buffer.
    fn value(&mut self) -> Vec<u8> {
        match self.random.u8(..64) {
            0..16 => self.number(&INTEGERS),
            16..24 => self.float(),
            24..28 => self.one_of(&ODD),
            28..32 => Vec::new(),
            32..40 => self.bytes(16),
            // Where Redis changes the encoding of a string.
            40..44 => self.letters(48),
            44 => self.bytes(3_000),
            45 => vec![self.random.u8(..); 60_000],
            _ => self.letters(8),
        }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.random.usize(..=most)).map(|_| self.random.u8(..)).collect()
    }

    fn letters(&mut self, most: usize) -> Vec<u8> {
        (0..self.random.usize(1..=most)).map(|_| self.random.u8(b'a'..=b'f')).collect()
    }
}
