//! Every command, one row each: what COMMAND says of it, where it is worked out and by what.
//!
//! Promises: rows are in the order of their names, so that a name is found by halving. Arity, flags and
//! places of keys are those of Redis 7.0; RANGE, DELRANGE and ENGINE are our own.

use super::access::{GroupAccess, Reads};
use super::errors::Outcome;
use super::{Arguments, Context, Replies, Session};
use super::{bitfield, bits, dump, keys, lcs, object, random_key, range, scan, strings};
use super::{connection, engine, info, introspection, server};

/// Where a command is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Needs no data: answered by the event loop at once.
    Local,
    /// Point reads: answered by the event loop from memory, else by a reader thread.
    Read,
    /// Long reads: always on a reader thread.
    Scan,
    /// Goes through the sequencer.
    Write,
}

/// What works out a command of class `Read`.
pub(super) type ReadHandler = fn(Arguments<'_>, &mut dyn Reads, &mut dyn Replies) -> Outcome;

/// What works a command out.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    Local(fn(Arguments<'_>, &mut Session, &Context, &mut dyn Replies) -> Outcome),
    Read(ReadHandler),
    Scan(fn(Arguments<'_>, u8, &Context, &mut dyn Replies) -> Outcome),
    Write(fn(Arguments<'_>, &mut GroupAccess<'_, '_>, &mut dyn Replies) -> Outcome),
}

/// One command.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name in lower case.
    pub name: &'static str,
    /// How many words it takes, the name included; at least that many if negative.
    pub arity: i32,
    /// The flags that COMMAND shows.
    pub flags: &'static [&'static str],
    /// The place of the first key; 0 if it has none.
    pub first_key: i32,
    /// The place of the last key, from the end if negative.
    pub last_key: i32,
    /// How far one key is from the next.
    pub step: i32,
    /// Where it is worked out.
    pub class: Class,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// The group of commands that it belongs to.
    pub group: &'static str,
    /// The version of Redis that has it first; of Enginebay for our own.
    pub since: &'static str,
    /// Whether it reads the values of its keys: they are fetched before its group is evaluated.
    pub(super) reads_keys: bool,
    pub(super) handler: Handler,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({})", self.name)
    }
}

impl Row {
    const fn new(
        name: &'static str,
        arity: i32,
        group: &'static str,
        since: &'static str,
        handler: Handler,
    ) -> Self {
        let (class, reads_keys) = match handler {
            Handler::Local(_) => (Class::Local, false),
            Handler::Read(_) => (Class::Read, true),
            Handler::Scan(_) => (Class::Scan, false),
            Handler::Write(_) => (Class::Write, true),
        };
        let (first_key, last_key, step) = (0, 0, 0);
        let (flags, summary) = (&[], "");
        Self {
            name,
            arity,
            flags,
            first_key,
            last_key,
            step,
            class,
            summary,
            group,
            since,
            reads_keys,
            handler,
        }
    }

    const fn keys(self, first_key: i32, last_key: i32, step: i32) -> Self {
        Self { first_key, last_key, step, ..self }
    }

    const fn flags(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }

    const fn does(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Says that it writes its keys without looking at them.
    const fn blind(self) -> Self {
        Self { reads_keys: false, ..self }
    }

    /// Whether it takes this many words, its name included.
    pub(super) fn takes(&self, words: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { words >= least } else { words == least }
    }

    /// The places of the keys among this many words.
    pub(super) fn key_places(&self, words: usize) -> impl Iterator<Item = usize> + use<> {
        let from_end = self.last_key.unsigned_abs() as usize;
        let last = if self.last_key < 0 { words.saturating_sub(from_end) } else { from_end };
        let first = self.first_key.unsigned_abs() as usize;
        let end = if first == 0 { 0 } else { (last + 1).min(words) };
        (first..end).step_by(self.step.max(1) as usize)
    }

    /// The same command worked out in the sequencer, for an engine that shows several keys of one instant
    /// to nobody else.
    pub(super) fn in_sequencer(&'static self) -> &'static Self {
        IN_SEQUENCER.iter().find(|row| row.name == self.name).unwrap_or(self)
    }
}

const READ: &[&str] = &["readonly", "fast"];
const READ_SLOW: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write"];
const WRITE_GROWING: &[&str] = &["write", "denyoom"];
const WRITE_FAST: &[&str] = &["write", "denyoom", "fast"];
const WRITE_NOT_GROWING: &[&str] = &["write", "fast"];
const ANY_TIME: &[&str] = &["loading", "stale", "fast"];
const ANY_TIME_SLOW: &[&str] = &["loading", "stale"];
const HANDSHAKE: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];
const ENDING: &[&str] = &["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"];

const EXISTS: Row = Row::new("exists", -2, "generic", "1.0.0", Handler::Read(keys::exists))
    .flags(READ)
    .keys(1, -1, 1)
    .does("Counts which of the keys exist");
const MGET: Row = Row::new("mget", -2, "string", "1.0.0", Handler::Read(strings::mget))
    .flags(READ)
    .keys(1, -1, 1)
    .does("Gets the values of several keys as of one instant");

const TOUCH: Row = Row::new("touch", -2, "generic", "3.2.1", Handler::Read(keys::exists))
    .flags(READ)
    .keys(1, -1, 1)
    .does("Counts which of the keys exist; no time of access is kept");

/// Reads of several keys, for `Row::in_sequencer`.
static IN_SEQUENCER: [Row; 3] = [
    Row { class: Class::Write, ..EXISTS },
    Row { class: Class::Write, ..MGET },
    Row { class: Class::Write, ..TOUCH },
];

/// The commands.
#[rustfmt::skip]
pub(super) static TABLE: [Row; 60] = [
    Row::new("append", 3, "string", "2.0.0", Handler::Write(strings::append)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Appends to a value, creating it if need be"),
    Row::new("bitcount", -2, "bitmap", "2.6.0", Handler::Read(bits::bitcount)).flags(READ_SLOW).keys(1, 1, 1)
        .does("Counts the set bits of a value"),
    Row::new("bitfield", -2, "bitmap", "3.2.0", Handler::Write(bitfield::bitfield)).flags(WRITE_GROWING).keys(1, 1, 1)
        .does("Reads, sets and adds to integers of any width in a value"),
    Row::new("bitfield_ro", -2, "bitmap", "6.0.0", Handler::Read(bitfield::bitfield_ro)).flags(READ).keys(1, 1, 1)
        .does("Reads integers of any width in a value"),
    Row::new("bitop", -4, "bitmap", "2.6.0", Handler::Write(bits::bitop)).flags(WRITE_GROWING).keys(2, -1, 1)
        .does("Stores the AND, OR, XOR or NOT of values"),
    Row::new("bitpos", -3, "bitmap", "2.8.7", Handler::Read(bits::bitpos)).flags(READ_SLOW).keys(1, 1, 1)
        .does("Finds the first bit that is set, or clear"),
    Row::new("client", -2, "connection", "2.4.0", Handler::Local(connection::client))
        .does("ID, GETNAME, SETNAME, SETINFO, INFO, LIST: who is connected"),
    Row::new("command", -1, "server", "2.8.13", Handler::Local(introspection::command)).flags(ANY_TIME_SLOW)
        .does("COUNT, INFO, DOCS, LIST, GETKEYS: which commands there are"),
    Row::new("config", -2, "server", "2.0.0", Handler::Local(server::config))
        .does("GET, RESETSTAT: the settings of the server"),
    Row::new("copy", -3, "generic", "6.2.0", Handler::Write(keys::copy)).flags(WRITE_GROWING).keys(1, 2, 1)
        .does("Copies a value to another key, also of another database"),
    Row::new("dbsize", 1, "server", "1.0.0", Handler::Scan(keys::dbsize)).flags(READ)
        .does("Counts the keys of the database"),
    Row::new("decr", 2, "string", "1.0.0", Handler::Write(strings::decr)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Subtracts one from a whole number"),
    Row::new("decrby", 3, "string", "1.0.0", Handler::Write(strings::decrby)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Subtracts from a whole number"),
    Row::new("del", -2, "generic", "1.0.0", Handler::Write(keys::del)).flags(WRITE).keys(1, -1, 1)
        .does("Deletes keys"),
    Row::new("delrange", 3, "generic", "0.1.0", Handler::Write(range::delrange)).flags(WRITE)
        .does("Deletes the keys from start on and before end"),
    Row::new("dump", 2, "generic", "2.6.0", Handler::Read(dump::dump)).flags(READ_SLOW).keys(1, 1, 1)
        .does("The value as RESTORE takes it"),
    Row::new("echo", 2, "connection", "1.0.0", Handler::Local(connection::echo)).flags(ANY_TIME)
        .does("Returns its argument"),
    Row::new("engine", -2, "server", "0.1.0", Handler::Scan(engine::engine))
        .does("LIST, STATUS, GUARANTEES, OPTIONS, METRICS: the storage engine"),
    EXISTS,
    Row::new("flushall", -1, "server", "1.0.0", Handler::Write(keys::flushall)).flags(WRITE)
        .does("Deletes all keys of all databases"),
    Row::new("flushdb", -1, "server", "1.0.0", Handler::Write(keys::flushdb)).flags(WRITE)
        .does("Deletes all keys of the database"),
    Row::new("get", 2, "string", "1.0.0", Handler::Read(strings::get)).flags(READ).keys(1, 1, 1)
        .does("Gets a value"),
    Row::new("getbit", 3, "bitmap", "2.2.0", Handler::Read(bits::getbit)).flags(READ).keys(1, 1, 1)
        .does("One bit of a value"),
    Row::new("getdel", 2, "string", "6.2.0", Handler::Write(strings::getdel)).flags(WRITE_NOT_GROWING).keys(1, 1, 1)
        .does("Gets a value and deletes it"),
    Row::new("getrange", 4, "string", "2.4.0", Handler::Read(strings::getrange)).flags(READ_SLOW).keys(1, 1, 1)
        .does("A part of a value"),
    Row::new("getset", 3, "string", "1.0.0", Handler::Write(strings::getset)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Sets a value and returns the one before"),
    Row::new("hello", -1, "connection", "6.0.0", Handler::Local(connection::hello)).flags(HANDSHAKE)
        .does("Chooses the version of the protocol"),
    Row::new("incr", 2, "string", "1.0.0", Handler::Write(strings::incr)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Adds one to a whole number"),
    Row::new("incrby", 3, "string", "1.0.0", Handler::Write(strings::incrby)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Adds to a whole number"),
    Row::new("incrbyfloat", 3, "string", "2.6.0", Handler::Write(strings::incrbyfloat)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Adds to a floating-point number"),
    Row::new("info", -1, "server", "1.0.0", Handler::Scan(info::info)).flags(ANY_TIME_SLOW)
        .does("Facts about the server"),
    Row::new("keys", 2, "generic", "1.0.0", Handler::Scan(scan::keys)).flags(READ_SLOW)
        .does("The keys of the database that match a pattern"),
    Row::new("lcs", -3, "string", "7.0.0", Handler::Scan(lcs::lcs)).flags(READ_SLOW).keys(1, 2, 1)
        .does("The longest common subsequence of two values"),
    Row::new("memory", -2, "server", "4.0.0", Handler::Read(object::memory))
        .does("USAGE, DOCTOR: how much room keys take"),
    MGET,
    Row::new("move", 3, "generic", "1.0.0", Handler::Write(keys::move_key)).flags(WRITE_NOT_GROWING).keys(1, 1, 1)
        .does("Moves a key to another database"),
    Row::new("mset", -3, "string", "1.0.1", Handler::Write(strings::mset)).flags(WRITE_GROWING).keys(1, -1, 2).blind()
        .does("Sets several values at one instant"),
    Row::new("msetnx", -3, "string", "1.0.1", Handler::Write(strings::msetnx)).flags(WRITE_GROWING).keys(1, -1, 2)
        .does("Sets several values at one instant unless one of the keys exists"),
    Row::new("object", -2, "generic", "2.2.3", Handler::Read(object::object))
        .does("ENCODING, REFCOUNT, IDLETIME, FREQ: how a value is kept"),
    Row::new("ping", -1, "connection", "1.0.0", Handler::Local(connection::ping)).flags(&["fast"])
        .does("Answers PONG"),
    Row::new("quit", -1, "connection", "1.0.0", Handler::Local(connection::quit)).flags(HANDSHAKE)
        .does("Closes the connection"),
    Row::new("randomkey", 1, "generic", "1.0.0", Handler::Scan(random_key::randomkey)).flags(READ_SLOW)
        .does("Some key of the database"),
    Row::new("range", -3, "generic", "0.1.0", Handler::Scan(range::range)).flags(&["readonly"])
        .does("Entries from start on and before end, in order: start end [REV] [LIMIT n] [KEYS]"),
    Row::new("rename", 3, "generic", "1.0.0", Handler::Write(keys::rename)).flags(WRITE).keys(1, 2, 1)
        .does("Gives a value another key"),
    Row::new("renamenx", 3, "generic", "1.0.0", Handler::Write(keys::renamenx)).flags(WRITE_NOT_GROWING).keys(1, 2, 1)
        .does("Gives a value another key unless that exists"),
    Row::new("restore", -4, "generic", "2.6.0", Handler::Write(dump::restore)).flags(WRITE_GROWING).keys(1, 1, 1)
        .does("Stores a value that DUMP gave"),
    Row::new("scan", -2, "generic", "2.8.0", Handler::Scan(scan::scan)).flags(&["readonly"])
        .does("The keys of the database, a few at a time"),
    Row::new("select", 2, "connection", "1.0.0", Handler::Local(connection::select)).flags(ANY_TIME)
        .does("Chooses the database"),
    Row::new("set", -3, "string", "1.0.0", Handler::Write(strings::set)).flags(WRITE_GROWING).keys(1, 1, 1).blind()
        .does("Sets a value"),
    Row::new("setbit", 4, "bitmap", "2.2.0", Handler::Write(bits::setbit)).flags(WRITE_GROWING).keys(1, 1, 1)
        .does("Sets or clears one bit of a value"),
    Row::new("setnx", 3, "string", "1.0.0", Handler::Write(strings::setnx)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Sets a value unless the key exists"),
    Row::new("setrange", 4, "string", "2.2.0", Handler::Write(strings::setrange)).flags(WRITE_GROWING).keys(1, 1, 1)
        .does("Overwrites a part of a value"),
    Row::new("shutdown", -1, "server", "1.0.0", Handler::Local(server::shutdown)).flags(ENDING)
        .does("Ends the server in order"),
    Row::new("strlen", 2, "string", "2.2.0", Handler::Read(strings::strlen)).flags(READ).keys(1, 1, 1)
        .does("The length of a value in bytes"),
    Row::new("substr", 4, "string", "1.0.0", Handler::Read(strings::getrange)).flags(READ_SLOW).keys(1, 1, 1)
        .does("A part of a value; the old name of GETRANGE"),
    Row::new("swapdb", 3, "server", "4.0.0", Handler::Write(keys::swapdb)).flags(WRITE_NOT_GROWING)
        .does("Exchanges two databases"),
    Row::new("time", 1, "server", "2.6.0", Handler::Local(server::time)).flags(ANY_TIME)
        .does("The time of the server"),
    TOUCH,
    Row::new("type", 2, "generic", "1.0.0", Handler::Read(keys::key_type)).flags(READ).keys(1, 1, 1)
        .does("The type of a value"),
    Row::new("unlink", -2, "generic", "4.0.0", Handler::Write(keys::del)).flags(WRITE_NOT_GROWING).keys(1, -1, 1)
        .does("Deletes keys"),
];

/// The longest name of a command.
const NAME_BYTES_MAX: usize = 16;

/// The row of a command, by its name in any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Row> {
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let index = TABLE.binary_search_by(|row| row.name.as_bytes().cmp(lower)).ok()?;
    TABLE.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
        for row in &TABLE {
            assert_eq!(find(row.name.as_bytes()).map(|found| found.name), Some(row.name));
            assert_eq!(find(row.name.to_uppercase().as_bytes()).map(|found| found.name), Some(row.name));
            assert!(!row.summary.is_empty() && row.name.len() <= NAME_BYTES_MAX);
        }
        for name in [&b""[..], b"ge", b"gett", b"a name that is far too long for any command"] {
            assert!(find(name).is_none());
        }
    }

    #[test]
    fn places_of_keys_are_those_of_redis() {
        let places = |name: &str, words| find(name.as_bytes()).unwrap().key_places(words).collect::<Vec<_>>();
        assert_eq!(places("get", 2), [1]);
        assert_eq!(places("mget", 4), [1, 2, 3]);
        assert_eq!(places("mset", 5), [1, 3]);
        assert_eq!(places("ping", 2), [0; 0]);
        assert_eq!(places("get", 1), [0; 0]);
    }
}
