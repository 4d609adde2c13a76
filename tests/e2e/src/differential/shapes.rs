//! The table of shapes: every command of ours that Redis 7.0 has too, and how often it is sent.
//!
//! Not here: what ends or blocks a connection or the server (QUIT, SHUTDOWN, MONITOR, CLIENT REPLY, DEBUG) or
//! describes one machine (INFO, CLIENT LIST). Those have tests of their own.

use std::collections::BTreeSet;

use super::grammar::{self, Part};
use super::words::Words;

/// Weight, shape. Data first; the shapes behind `CONNECTION` are sent as they are, never damaged.
const DATA: [(u32, &str); 66] = [
    (12, "SET key value"),
    (4, "SET key value [NX|XX] [GET]"),
    (1, "SET key value (NX|XX|GET|odd)+"),
    (4, "SET short brief"),
    (4, "SET fixed value"),
    (8, "GET key"),
    (2, "SETNX key value"),
    (2, "GETSET key value"),
    (2, "GETDEL key"),
    (3, "MGET key+"),
    (2, "MSET (key value)+"),
    (2, "MSETNX (key value)+"),
    (4, "INCR key"),
    (3, "DECR key"),
    (4, "INCRBY key integer"),
    (3, "DECRBY key integer"),
    (5, "INCRBYFLOAT key float"),
    (4, "APPEND key value"),
    (2, "STRLEN key"),
    (3, "SETRANGE key offset value"),
    (3, "GETRANGE key index index"),
    (1, "SUBSTR key index index"),
    (4, "SETBIT key bitoffset bit"),
    (3, "GETBIT key bitoffset"),
    (3, "BITCOUNT key"),
    (3, "BITCOUNT key index index [BYTE|BIT|odd]"),
    (2, "BITCOUNT key [index]"),
    (3, "BITPOS key bit"),
    (3, "BITPOS key bit index [index [BYTE|BIT|odd]]"),
    (3, "BITOP (AND|OR|XOR) key key+"),
    (2, "BITOP (NOT|odd) key key+"),
    (3, "BITFIELD key (GET width field|SET width field integer|INCRBY width field integer)+"),
    (3, "BITFIELD key (OVERFLOW (WRAP|SAT|FAIL|odd)|SET width field integer|INCRBY width field integer)+"),
    (2, "BITFIELD key (INCRBY 'u8' field integer|OVERFLOW (WRAP|SAT|FAIL)|INCRBY 'i64' field integer)+"),
    (1, "BITFIELD key odd*"),
    (2, "BITFIELD_RO key (GET width field)*"),
    (1, "BITFIELD_RO key SET width field integer"),
    (3, "LCS short short [LEN|IDX]"),
    (3, "LCS short short [IDX] [MINMATCHLEN count] [WITHMATCHLEN]"),
    (4, "DEL key+"),
    (2, "UNLINK key+"),
    (3, "EXISTS key+"),
    (1, "TOUCH key+"),
    (2, "TYPE key"),
    (3, "KEYS pattern"),
    (1, "RANDOMKEY"),
    (3, "RENAME key key"),
    (2, "RENAMENX key key"),
    (3, "COPY key key [DB database] [REPLACE]"),
    (1, "COPY key key (DB database|REPLACE|odd)*"),
    (2, "MOVE key database"),
    (1, "SWAPDB database database"),
    (4, "SELECT database"),
    (2, "DBSIZE"),
    (4, "SCAN 0 [MATCH pattern] [COUNT count] [TYPE (STRING|'hash'|odd)]"),
    (1, "SCAN odd [MATCH pattern|COUNT count|odd]"),
    (1, "FLUSHDB [ASYNC|SYNC]"),
    (1, "FLUSHALL [ASYNC|SYNC]"),
    (1, "FLUSHDB odd"),
    (1, "OBJECT (ENCODING|REFCOUNT|IDLETIME|FREQ) key"),
    (2, "OBJECT ENCODING fixed"),
    (1, "OBJECT odd [key]"),
    (1, "MEMORY USAGE key [SAMPLES count]"),
    (2, "DUMP key"),
    (4, "RESTORE key 0 dump [REPLACE]"),
    (1, "RESTORE key (0|-1|odd) dump (REPLACE|ABSTTL|IDLETIME count|FREQ count|odd)*"),
];

const CONNECTION: [(u32, &str); 33] = [
    (1, "PING"),
    (1, "PING value"),
    (2, "ECHO value"),
    (2, "HELLO [2|3]"),
    (1, "HELLO (1|4|odd)"),
    (1, "HELLO (2|3) (SETNAME label|AUTH 'default' value|AUTH label value|odd)+"),
    (1, "RESET"),
    (1, "AUTH ['default'] value"),
    (1, "AUTH label value"),
    (1, "CLIENT GETNAME"),
    (1, "CLIENT SETNAME label"),
    (1, "CLIENT ID"),
    (1, "CLIENT NO-EVICT (ON|OFF|odd)"),
    (1, "CLIENT KILL ID 999999999"),
    (1, "CLIENT UNPAUSE"),
    (1, "CLIENT odd"),
    (1, "COMMAND COUNT [odd]"),
    (1, "COMMAND INFO name+"),
    (1, "COMMAND LIST FILTERBY PATTERN names"),
    (2, "COMMAND (GETKEYS|GETKEYSANDFLAGS) name key*"),
    (1, "COMMAND (GETKEYS|GETKEYSANDFLAGS) (MSET (key value)+|BITOP AND key key+|LCS key key|COPY key key)"),
    (1, "COMMAND (GETKEYS|GETKEYSANDFLAGS) (SET key value [NX] [GET]|RENAME key key|OBJECT odd key)"),
    (1, "COMMAND GETKEYSANDFLAGS BITFIELD key (GET|SET|INCRBY|OVERFLOW|odd|key)+"),
    (1, "CONFIG SET 'nosuch' value"),
    (1, "CONFIG GET 'nosuch'"),
    (1, "FUNCTION FLUSH [ASYNC|SYNC|odd]"),
    (1, "TIME"),
    (1, "LASTSAVE"),
    (1, "ROLE"),
    (1, "LATENCY (RESET|LATEST)"),
    (1, "SLOWLOG (RESET|LEN)"),
    (1, "WAIT 0 1"),
    (1, "(NOSUCH|GETT|S) (value|odd)*"),
];

/// Of how many requests one is damaged.
const DAMAGED_OF: u32 = 12;

/// The shapes that may be sent.
pub struct Shapes {
    /// Shape, whether it may be damaged; each as often as its weight says.
    weighted: Vec<(Vec<Part>, bool)>,
    left_out: BTreeSet<String>,
}

impl Shapes {
    /// The shapes whose commands a server has, by `has`.
    pub fn of_commands(has: impl Fn(&str) -> bool) -> Self {
        let mut shapes = Self { weighted: Vec::new(), left_out: BTreeSet::new() };
        let all = DATA.iter().map(|row| (row, true)).chain(CONNECTION.iter().map(|row| (row, false)));
        for ((weight, text), may_be_damaged) in all {
            let parts = grammar::parse(text);
            let name = match parts.first() {
                Some(Part::Literal(name)) => name.to_ascii_lowercase(),
                _ => String::new(),
            };
            // What nobody has must be answered alike too.
            match name.is_empty() || has(&name) {
                true => (0..*weight).for_each(|_| shapes.weighted.push((parts.clone(), may_be_damaged))),
                false => drop(shapes.left_out.insert(name)),
            }
        }
        shapes
    }

    /// The commands that have a shape and are never sent, because the server has them not.
    pub fn left_out(&self) -> Vec<String> {
        self.left_out.iter().cloned().collect()
    }

    /// A random request.
    pub fn request(&self, words: &mut Words) -> Vec<Vec<u8>> {
        let (parts, may_be_damaged) = &self.weighted[words.random.usize(..self.weighted.len())];
        let mut request = Vec::new();
        grammar::expand(parts, words, &mut request);
        if *may_be_damaged && words.random.u32(..DAMAGED_OF) == 0 {
            damage(&mut request, words);
        }
        request
    }
}

/// One word too few, too many, or another one; the name of the command stays.
fn damage(request: &mut Vec<Vec<u8>>, words: &mut Words) {
    let place = words.random.usize(1..=request.len());
    let odd = words.word("odd");
    match words.random.u8(..3) {
        0 if place < request.len() => drop(request.remove(place)),
        1 if place < request.len() => request[place] = odd,
        _ => request.insert(place, odd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_gives_requests_that_begin_with_its_command() {
        let shapes = Shapes::of_commands(|_| true);
        assert!(shapes.left_out().is_empty());
        let mut words = Words::new(1);
        let mut names = BTreeSet::new();
        for _ in 0..20_000 {
            let request = shapes.request(&mut words);
            assert!(!request.is_empty() && !request[0].is_empty());
            names.insert(String::from_utf8(request[0].to_ascii_lowercase()).unwrap());
        }
        for (_, shape) in DATA.iter().chain(&CONNECTION) {
            let name = shape.split([' ', '(', '|', ')']).find(|word| !word.is_empty()).unwrap();
            assert!(names.contains(&name.to_ascii_lowercase()), "{shape} was never sent");
        }
    }

    #[test]
    fn what_a_server_has_not_is_left_out_by_name() {
        let shapes = Shapes::of_commands(|name| name != "lcs");
        assert_eq!(shapes.left_out(), ["lcs"]);
        let mut words = Words::new(1);
        assert!((0..20_000).all(|_| !shapes.request(&mut words)[0].eq_ignore_ascii_case(b"lcs")));
    }
}
