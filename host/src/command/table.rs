//! Every command, one row each: what COMMAND says of it, where it is worked out and by what.
//!
//! Promises: rows are in the order of their names, so that `lookup` finds a name by halving. A subcommand is a row of its
//! own, called `command|subcommand`. Arity, flags and places of keys are those of Redis 7.0; RANGE, DELRANGE and
//! ENGINE are our own.

use super::access::{GroupAccess, Reads};
use super::errors::Outcome;
use super::lookup::place_of;
use super::{Arguments, Context, Replies, Session};
use super::{
    auth, bitfield, bits, client, connection, debug, dump, engine, function, info, introspection, keys,
    latency, lcs, monitor, object, parameters, random_key, range, scan, server, slowlog, strings,
};

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
    /// With so many words at most it does not look at the values of its keys.
    blind_words_max: usize,
    /// Whether rows of subcommands follow; then the row itself runs only if no subcommand is given.
    pub(super) has_subcommands: bool,
    /// Whether its flags say that it takes about the same short time whatever is stored.
    pub(super) is_fast: bool,
    /// Whether its flags say that it only reads data.
    pub(super) is_read_only: bool,
    /// Its place in the table, or `UNPLACED` for a row that stands elsewhere.
    place: usize,
    pub(super) handler: Handler,
}

/// The place of a row that is not in the table.
const UNPLACED: usize = usize::MAX;

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
        let (class, blind_words_max) = match handler {
            Handler::Local(_) => (Class::Local, usize::MAX),
            Handler::Read(_) => (Class::Read, 0),
            Handler::Scan(_) => (Class::Scan, usize::MAX),
            Handler::Write(_) => (Class::Write, 0),
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
            blind_words_max,
            has_subcommands: false,
            is_fast: false,
            is_read_only: false,
            place: UNPLACED,
            handler,
        }
    }

    /// A command that does nothing without a subcommand.
    const fn container(name: &'static str, group: &'static str, since: &'static str) -> Self {
        Self::new(name, -2, group, since, Handler::Local(connection::container)).with_subcommands()
    }

    const fn with_subcommands(self) -> Self {
        Self { has_subcommands: true, ..self }
    }

    const fn keys(self, first_key: i32, last_key: i32, step: i32) -> Self {
        Self { first_key, last_key, step, ..self }
    }

    const fn flags(self, flags: &'static [&'static str]) -> Self {
        let (is_fast, is_read_only) = (contains(flags, "fast"), contains(flags, "readonly"));
        Self { flags, is_fast, is_read_only, ..self }
    }

    const fn does(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Says that it writes its keys without looking at them if it has so many words at most.
    const fn blind_up_to(self, words: usize) -> Self {
        Self { blind_words_max: words, ..self }
    }

    /// Whether it reads the values of its keys if it has so many words: they are fetched before its group is evaluated.
    pub(super) fn reads_keys(&self, words: usize) -> bool {
        words > self.blind_words_max
    }

    /// Its place in the table; a row that stands elsewhere has that of its name.
    pub(super) fn place(&self) -> usize {
        if self.place != UNPLACED { self.place } else { place_of(self.name.as_bytes()).unwrap_or_default() }
    }

    /// Whether it changes data.
    pub(super) fn is_write(&self) -> bool {
        self.class == Class::Write && !self.is_read_only
    }

    /// Whether it is a subcommand.
    pub(super) fn is_subcommand(&self) -> bool {
        self.name.contains('|')
    }

    /// The rows of its subcommands.
    pub(super) fn subcommands(&'static self) -> impl Iterator<Item = &'static Self> {
        let rows = if self.has_subcommands { &TABLE[self.place() + 1..] } else { &[] };
        rows.iter().take_while(|row| row.name.starts_with(self.name) && row.is_subcommand())
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

const fn contains(flags: &[&str], flag: &str) -> bool {
    let mut place = 0;
    while place < flags.len() {
        let (one, mut same) = (flags[place].as_bytes(), flags[place].len() == flag.len());
        let mut byte = 0;
        while same && byte < one.len() {
            same = one[byte] == flag.as_bytes()[byte];
            byte += 1;
        }
        if same {
            return true;
        }
        place += 1;
    }
    false
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
const NO_SCRIPT: &[&str] = &["noscript", "loading", "stale"];
const ADMIN: &[&str] = &["admin", "noscript", "loading", "stale"];
const SAVING: &[&str] = &["admin", "noscript", "no_async_loading"];
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
pub(super) static IN_SEQUENCER: [Row; 3] = [
    Row { class: Class::Write, ..EXISTS },
    Row { class: Class::Write, ..MGET },
    Row { class: Class::Write, ..TOUCH },
];

/// The commands.
#[rustfmt::skip]
pub(super) static TABLE: [Row; 132] = placed([
    Row::new("append", 3, "string", "2.0.0", Handler::Write(strings::append)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Appends to a value, creating it if need be"),
    Row::new("auth", -2, "connection", "1.0.0", Handler::Local(auth::auth)).flags(HANDSHAKE)
        .does("Says who the client is"),
    Row::new("bgrewriteaof", 1, "server", "1.0.0", Handler::Local(server::bgrewriteaof)).flags(SAVING)
        .does("Answers as Redis; there is nothing to rewrite"),
    Row::new("bgsave", -1, "server", "1.0.0", Handler::Local(server::bgsave)).flags(SAVING)
        .does("Answers as Redis; what is answered OK is saved already"),
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
    Row::container("client", "connection", "2.4.0")
        .does("Who is connected, and what becomes of them"),
    Row::new("client|getname", 2, "connection", "2.6.9", Handler::Local(client::getname)).flags(NO_SCRIPT)
        .does("The name of the connection"),
    Row::new("client|help", 2, "connection", "5.0.0", Handler::Local(client::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("client|id", 2, "connection", "5.0.0", Handler::Local(client::id)).flags(NO_SCRIPT)
        .does("The number of the connection"),
    Row::new("client|info", 2, "connection", "6.2.0", Handler::Local(client::info)).flags(NO_SCRIPT)
        .does("Describes the connection"),
    Row::new("client|kill", -3, "connection", "2.4.0", Handler::Local(client::kill)).flags(ADMIN)
        .does("Closes connections"),
    Row::new("client|list", -2, "connection", "2.4.0", Handler::Local(client::list)).flags(ADMIN)
        .does("Describes connections, a line each"),
    Row::new("client|no-evict", 3, "connection", "7.0.0", Handler::Local(client::no_evict)).flags(ADMIN)
        .does("Keeps the connection when others are closed to make room"),
    Row::new("client|pause", -3, "connection", "3.0.0", Handler::Local(client::pause)).flags(ADMIN)
        .does("Lets requests or writes of all clients wait"),
    Row::new("client|reply", 3, "connection", "3.2.0", Handler::Local(client::reply)).flags(NO_SCRIPT)
        .does("Chooses which replies the server sends"),
    Row::new("client|setinfo", 4, "connection", "7.2.0", Handler::Local(client::setinfo)).flags(NO_SCRIPT)
        .does("Notes the client library and its version"),
    Row::new("client|setname", 3, "connection", "2.6.9", Handler::Local(client::setname)).flags(NO_SCRIPT)
        .does("Names the connection"),
    Row::new("client|unpause", 2, "connection", "6.2.0", Handler::Local(client::unpause)).flags(ADMIN)
        .does("Ends a pause"),
    Row::new("command", -1, "server", "2.8.13", Handler::Local(introspection::command)).with_subcommands()
        .flags(ANY_TIME_SLOW).does("Which commands there are"),
    Row::new("command|count", 2, "server", "2.8.13", Handler::Local(introspection::count)).flags(ANY_TIME_SLOW)
        .does("How many commands there are"),
    Row::new("command|docs", -2, "server", "7.0.0", Handler::Local(introspection::docs)).flags(ANY_TIME_SLOW)
        .does("What commands do"),
    Row::new("command|getkeys", -4, "server", "2.8.13", Handler::Local(introspection::getkeys)).flags(ANY_TIME_SLOW)
        .does("Which words of a request are keys"),
    Row::new("command|getkeysandflags", -4, "server", "7.0.0", Handler::Local(introspection::getkeysandflags))
        .flags(ANY_TIME_SLOW).does("Which words of a request are keys, and what becomes of them"),
    Row::new("command|help", 2, "server", "5.0.0", Handler::Local(introspection::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("command|info", -2, "server", "2.8.13", Handler::Local(introspection::command_info)).flags(ANY_TIME_SLOW)
        .does("What there is to know of commands"),
    Row::new("command|list", -2, "server", "7.0.0", Handler::Local(introspection::list)).flags(ANY_TIME_SLOW)
        .does("The names of the commands"),
    Row::container("config", "server", "2.0.0")
        .does("The settings of the server"),
    Row::new("config|get", -3, "server", "2.0.0", Handler::Local(parameters::get)).flags(ADMIN)
        .does("The settings whose names match"),
    Row::new("config|help", 2, "server", "5.0.0", Handler::Local(parameters::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("config|resetstat", 2, "server", "2.0.0", Handler::Local(parameters::resetstat)).flags(ADMIN)
        .does("Starts every counter of INFO again at zero"),
    Row::new("config|rewrite", 2, "server", "2.8.0", Handler::Local(parameters::rewrite)).flags(ADMIN)
        .does("Refused: the server never writes its configuration"),
    Row::new("config|set", -4, "server", "2.0.0", Handler::Local(parameters::set)).flags(ADMIN)
        .does("Changes settings that can change while the server runs"),
    Row::new("copy", -3, "generic", "6.2.0", Handler::Write(keys::copy)).flags(WRITE_GROWING).keys(1, 2, 1)
        .does("Copies a value to another key, also of another database"),
    Row::new("dbsize", 1, "server", "1.0.0", Handler::Scan(keys::dbsize)).flags(READ)
        .does("Counts the keys of the database"),
    Row::new("debug", -2, "server", "1.0.0", Handler::Local(debug::debug)).flags(ADMIN)
        .does("SLEEP: for tests, if server.debug_commands allows it"),
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
    Row::container("engine", "server", "0.1.0")
        .does("The storage engine"),
    Row::new("engine|backup", 3, "server", "0.1.0", Handler::Scan(engine::backup)).flags(ADMIN)
        .does("Begins a backup of that name in storage.backup_dir, beside everything"),
    Row::new("engine|compact", 2, "server", "0.1.0", Handler::Scan(engine::compact)).flags(ADMIN)
        .does("Begins to give the space of deleted and overwritten keys back, beside everything"),
    Row::new("engine|guarantees", 2, "server", "0.1.0", Handler::Scan(engine::guarantees))
        .does("What the engine promises with its options, and why"),
    Row::new("engine|help", 2, "server", "0.1.0", Handler::Local(engine::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("engine|list", 2, "server", "0.1.0", Handler::Scan(engine::list))
        .does("Every engine that is found"),
    Row::new("engine|metrics", 2, "server", "0.1.0", Handler::Scan(engine::metrics))
        .does("The numbers that the engine reports"),
    Row::new("engine|options", 2, "server", "0.1.0", Handler::Scan(engine::options))
        .does("The engine's options and their values"),
    Row::new("engine|status", 2, "server", "0.1.0", Handler::Scan(engine::status))
        .does("Which engine serves, and what it is doing"),
    Row::new("engine|verify", 2, "server", "0.1.0", Handler::Scan(engine::verify)).flags(ADMIN)
        .does("Begins to read everything that the engine keeps and to log each damage, beside everything"),
    EXISTS,
    Row::new("flushall", -1, "server", "1.0.0", Handler::Write(keys::flushall)).flags(WRITE)
        .does("Deletes all keys of all databases"),
    Row::new("flushdb", -1, "server", "1.0.0", Handler::Write(keys::flushdb)).flags(WRITE)
        .does("Deletes all keys of the database"),
    Row::container("function", "scripting", "7.0.0")
        .does("There are no functions; what clients ask of them is answered"),
    Row::new("function|delete", 3, "scripting", "7.0.0", Handler::Local(function::delete)).flags(&["write", "noscript"])
        .does("Answers that there is no such library"),
    Row::new("function|dump", 2, "scripting", "7.0.0", Handler::Local(function::dump)).flags(&["noscript"])
        .does("The dump of no library"),
    Row::new("function|flush", -2, "scripting", "7.0.0", Handler::Local(function::flush)).flags(&["write", "noscript"])
        .does("Deletes nothing"),
    Row::new("function|help", 2, "scripting", "7.0.0", Handler::Local(function::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("function|kill", 2, "scripting", "7.0.0", Handler::Local(function::kill)).flags(&["noscript", "allow_busy"])
        .does("Answers that nothing runs"),
    Row::new("function|list", -2, "scripting", "7.0.0", Handler::Local(function::list)).flags(&["noscript"])
        .does("Lists nothing"),
    Row::new("function|load", -3, "scripting", "7.0.0", Handler::Local(function::load)).flags(&["write", "denyoom", "noscript"])
        .does("Refused: the server runs no scripts"),
    Row::new("function|restore", -3, "scripting", "7.0.0", Handler::Local(function::restore)).flags(&["write", "denyoom", "noscript"])
        .does("Refused: the server runs no scripts"),
    Row::new("function|stats", 2, "scripting", "7.0.0", Handler::Local(function::stats)).flags(&["noscript", "allow_busy"])
        .does("Says that nothing runs"),
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
    Row::new("hello", -1, "connection", "6.0.0", Handler::Local(auth::hello)).flags(HANDSHAKE)
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
    Row::new("lastsave", 1, "server", "1.0.0", Handler::Scan(server::lastsave)).flags(ANY_TIME)
        .does("When a write was last made durable, or the server started"),
    Row::container("latency", "server", "2.8.13")
        .does("What took long, by kind of event"),
    Row::new("latency|help", 2, "server", "2.8.13", Handler::Local(latency::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("latency|histogram", -2, "server", "7.0.0", Handler::Local(latency::histogram)).flags(ADMIN)
        .does("How long calls of commands took, in doublings of a microsecond"),
    Row::new("latency|history", 3, "server", "2.8.13", Handler::Local(latency::history)).flags(ADMIN)
        .does("The samples of an event"),
    Row::new("latency|latest", 2, "server", "2.8.13", Handler::Local(latency::latest)).flags(ADMIN)
        .does("The newest sample of every event"),
    Row::new("latency|reset", -2, "server", "2.8.13", Handler::Local(latency::reset)).flags(ADMIN)
        .does("Forgets events"),
    Row::new("lcs", -3, "string", "7.0.0", Handler::Scan(lcs::lcs)).flags(READ_SLOW).keys(1, 2, 1)
        .does("The longest common subsequence of two values"),
    Row::container("memory", "server", "4.0.0")
        .does("How much room keys take"),
    Row::new("memory|doctor", 2, "server", "4.0.0", Handler::Local(object::doctor))
        .does("Where to look for what takes memory"),
    Row::new("memory|help", 2, "server", "4.0.0", Handler::Local(object::memory_help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("memory|usage", -3, "server", "4.0.0", Handler::Read(object::usage)).flags(READ_SLOW).keys(2, 2, 1)
        .does("The bytes that the engine is handed for a key and its value"),
    MGET,
    Row::new("monitor", 1, "server", "1.0.0", Handler::Local(monitor::monitor)).flags(ADMIN)
        .does("Shows every request that the server receives"),
    Row::new("move", 3, "generic", "1.0.0", Handler::Write(keys::move_key)).flags(WRITE_NOT_GROWING).keys(1, 1, 1)
        .does("Moves a key to another database"),
    Row::new("mset", -3, "string", "1.0.1", Handler::Write(strings::mset)).flags(WRITE_GROWING).keys(1, -1, 2).blind_up_to(usize::MAX)
        .does("Sets several values at one instant"),
    Row::new("msetnx", -3, "string", "1.0.1", Handler::Write(strings::msetnx)).flags(WRITE_GROWING).keys(1, -1, 2)
        .does("Sets several values at one instant unless one of the keys exists"),
    Row::container("object", "generic", "2.2.3")
        .does("How a value is kept"),
    Row::new("object|encoding", 3, "generic", "2.2.3", Handler::Read(object::encoding)).flags(READ_SLOW).keys(2, 2, 1)
        .does("How Redis would keep the value"),
    Row::new("object|freq", 3, "generic", "4.0.0", Handler::Read(object::freq)).flags(READ_SLOW).keys(2, 2, 1)
        .does("Refused: no frequency of access is kept"),
    Row::new("object|help", 2, "generic", "6.2.0", Handler::Local(object::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("object|idletime", 3, "generic", "2.2.3", Handler::Read(object::idletime)).flags(READ_SLOW).keys(2, 2, 1)
        .does("Answers 0: no time of access is kept"),
    Row::new("object|refcount", 3, "generic", "2.2.3", Handler::Read(object::refcount)).flags(READ_SLOW).keys(2, 2, 1)
        .does("How many references Redis would keep of the value"),
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
    Row::new("reset", 1, "connection", "6.2.0", Handler::Local(auth::reset)).flags(HANDSHAKE)
        .does("Makes the connection as if it were new"),
    Row::new("restore", -4, "generic", "2.6.0", Handler::Write(dump::restore)).flags(WRITE_GROWING).keys(1, 1, 1)
        .does("Stores a value that DUMP gave"),
    Row::new("role", 1, "server", "2.8.12", Handler::Local(server::role)).flags(&["noscript", "loading", "stale", "fast"])
        .does("Answers that the server is a master without replicas"),
    Row::new("save", 1, "server", "1.0.0", Handler::Local(server::save)).flags(&["admin", "noscript", "no_async_loading", "no_multi"])
        .does("Answers as Redis; what is answered OK is saved already"),
    Row::new("scan", -2, "generic", "2.8.0", Handler::Scan(scan::scan)).flags(&["readonly"])
        .does("The keys of the database, a few at a time"),
    Row::new("select", 2, "connection", "1.0.0", Handler::Local(connection::select)).flags(ANY_TIME)
        .does("Chooses the database"),
    Row::new("set", -3, "string", "1.0.0", Handler::Write(strings::set)).flags(WRITE_GROWING).keys(1, 1, 1).blind_up_to(3)
        .does("Sets a value"),
    Row::new("setbit", 4, "bitmap", "2.2.0", Handler::Write(bits::setbit)).flags(WRITE_GROWING).keys(1, 1, 1)
        .does("Sets or clears one bit of a value"),
    Row::new("setnx", 3, "string", "1.0.0", Handler::Write(strings::setnx)).flags(WRITE_FAST).keys(1, 1, 1)
        .does("Sets a value unless the key exists"),
    Row::new("setrange", 4, "string", "2.2.0", Handler::Write(strings::setrange)).flags(WRITE_GROWING).keys(1, 1, 1)
        .does("Overwrites a part of a value"),
    Row::new("shutdown", -1, "server", "1.0.0", Handler::Local(server::shutdown)).flags(ENDING)
        .does("Ends the server in order"),
    Row::container("slowlog", "server", "2.2.12")
        .does("The newest requests that took long"),
    Row::new("slowlog|get", -2, "server", "2.2.12", Handler::Local(slowlog::get)).flags(&["admin", "loading", "stale"])
        .does("The newest slow requests"),
    Row::new("slowlog|help", 2, "server", "2.2.12", Handler::Local(slowlog::help)).flags(ANY_TIME_SLOW)
        .does("Explains the subcommands"),
    Row::new("slowlog|len", 2, "server", "2.2.12", Handler::Local(slowlog::len)).flags(&["admin", "loading", "stale"])
        .does("How many slow requests are kept"),
    Row::new("slowlog|reset", 2, "server", "2.2.12", Handler::Local(slowlog::reset)).flags(&["admin", "loading", "stale"])
        .does("Forgets the slow requests"),
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
    Row::new("wait", 3, "generic", "3.0.0", Handler::Local(server::wait)).flags(&["noscript"])
        .does("Answers 0: there are no replicas to wait for"),
]);

/// The rows, each with its place.
const fn placed<const ROWS: usize>(mut rows: [Row; ROWS]) -> [Row; ROWS] {
    let mut place = 0;
    while place < ROWS {
        rows[place].place = place;
        place += 1;
    }
    rows
}
