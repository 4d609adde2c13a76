//! Commands over a test engine, without sockets: replies are written down as text.

mod ahead;
mod bits;
mod databases;
mod dump;
mod keys;
mod objects;
mod operation;
mod ordered;
pub(super) mod random;
mod strings;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use adapter_api::{EngineError, Mutation};

use super::*;
use crate::observe::Observe;
use crate::sequencer::{Limits, Sequencer, Submission};
use crate::storage::Databases;
use crate::storage::keyspace::{USER_KEY_BYTES_MAX, data_key};
use crate::storage::test_engine::{State, TestEngine, opened};
use random::Random;

/// Replies as text: `+OK`, `-ERR …`, `:1`, `"bulk"`, `nil`, `[a b]` as `[2` before its parts, `{` for maps.
#[derive(Default)]
struct Recorder {
    parts: Vec<String>,
}

impl Recorder {
    fn push(&mut self, part: String) {
        self.parts.push(part);
    }
    fn text(&self) -> String {
        self.parts.join(" ")
    }
}

impl Replies for Recorder {
    fn simple(&mut self, text: &str) {
        self.push(format!("+{text}"));
    }
    fn error(&mut self, text: &str) {
        self.push(format!("-{text}"));
    }
    fn integer(&mut self, number: i64) {
        self.push(format!(":{number}"));
    }
    fn bulk(&mut self, bytes: &[u8]) {
        self.push(format!("\"{}\"", bytes.escape_ascii()));
    }
    fn verbatim(&mut self, text: &str) {
        self.push(text.to_string());
    }
    fn null(&mut self) {
        self.push("nil".to_string());
    }
    fn array(&mut self, len: usize) {
        self.push(format!("[{len}"));
    }
    fn set(&mut self, len: usize) {
        self.array(len);
    }
    fn map(&mut self, pairs: usize) {
        self.push(format!("{{{pairs}"));
    }
    fn position(&self) -> usize {
        self.parts.len()
    }
    fn truncate(&mut self, position: usize) {
        self.parts.truncate(position);
    }
    fn encoded(&mut self, bytes: &[u8]) {
        self.push(String::from_utf8_lossy(bytes).into_owned());
    }
    fn set_protocol(&mut self, protocol: Protocol) {
        self.push(format!("(protocol {})", protocol.version()));
    }
}

struct Words {
    bytes: Vec<u8>,
    words: Vec<Range<u32>>,
}

impl Words {
    fn of<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut all = Self { bytes: Vec::new(), words: Vec::new() };
        for word in words {
            let start = all.bytes.len() as u32;
            all.bytes.extend_from_slice(word.as_ref());
            all.words.push(start..all.bytes.len() as u32);
        }
        all
    }

    fn arguments(&self) -> Arguments<'_> {
        Arguments::new(&self.bytes, &self.words)
    }
}

/// A server without sockets and one client of it.
struct Bench {
    context: Arc<Context>,
    engine: Arc<State>,
    session: Session,
}

impl Bench {
    fn new() -> Self {
        Self::over(TestEngine::new())
    }

    fn over(engine: TestEngine) -> Self {
        Self::with(engine, ServerFacts { value_bytes_max: 100_000, ..ServerFacts::default() })
    }

    fn with(engine: TestEngine, facts: ServerFacts) -> Self {
        let state = engine.state();
        let storage = Arc::new(opened(engine));
        let sequencer = Arc::new(Sequencer::start(Arc::clone(&storage), Limits::default()).unwrap());
        let observe = Arc::new(Observe::new());
        let client = observe.clients.connected("1.2.3.4:5", "127.0.0.1:6379");
        let summary = EngineSummary {
            name: "test".to_string(),
            version: "1.2.3".to_string(),
            path: PathBuf::from("/plugins/libengine_test.so"),
            summary: "for tests".to_string(),
        };
        let engines = Arc::new(move || vec![summary.clone()]);
        let facts = Arc::new(facts);
        let context = Context::new(storage, sequencer, observe, facts, ShutdownHandle::new(), engines);
        let session = Session::new(client, &context);
        Self { context: Arc::new(context), engine: state, session }
    }

    /// Runs one request as the server would, words parted by spaces.
    fn run(&mut self, request: &str) -> String {
        self.run_words(request.split(' '))
    }

    fn run_words<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> String {
        let words = Words::of(words);
        let arguments = words.arguments();
        let mut replies = Recorder::default();
        let admission = admit(arguments, &mut self.session, &self.context, &mut replies);
        let row = match admission {
            Admission::Run(row) => row,
            Admission::WaitUntil(..) => return "(waits)".to_string(),
            Admission::Refused => return replies.text(),
        };
        let caller = self.session.caller();
        match row.class {
            Class::Local => run_local(row, arguments, &mut self.session, &self.context, &mut replies),
            Class::Scan => run_blocking(row, arguments, caller, &self.context, &mut replies),
            Class::Read => {
                if run_read(row, arguments, caller, &self.context, &Ahead::default(), &mut replies)
                    == ReadOutcome::WouldBlock
                {
                    assert_eq!(replies.position(), 0, "a read that would block has written nothing");
                    run_blocking(row, arguments, caller, &self.context, &mut replies);
                }
            }
            Class::Write => return self.pipeline(&[(row, &words)]),
        }
        replies.text()
    }

    fn pipeline(&self, requests: &[(&'static Row, &Words)]) -> String {
        let (sender, receiver) = channel();
        let done = move |replies: Recorder| sender.send(replies.text()).unwrap();
        let mut pipeline = Pipeline::new(Recorder::default(), Arc::clone(&self.context), done);
        for (row, words) in requests {
            pipeline.push_request(row, self.session.caller(), self.session.is_muted(), words.arguments());
        }
        self.context.sequencer.submit(Box::new(pipeline));
        receiver.recv().unwrap()
    }

    fn check(&mut self, table: &[(&str, &str)]) {
        for (request, expected) in table {
            assert_eq!(self.run(request), *expected, "{request}");
        }
    }
}

#[test]
fn strings_answer_as_in_redis() {
    Bench::new().check(&[
        ("GET k", "nil"),
        ("SET k v", "+OK"),
        ("get k", "\"v\""),
        ("STRLEN k", ":1"),
        ("STRLEN none", ":0"),
        ("APPEND k wx", ":3"),
        ("APPEND new a", ":1"),
        ("MSET a 1 b 2 a 3", "+OK"),
        ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
        ("MGET a none b", "[3 \"3\" nil \"2\""),
        ("EXISTS a a none", ":2"),
        ("TYPE a", "+string"),
        ("TYPE none", "+none"),
        ("DEL a a none k", ":2"),
        ("GET a", "nil"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
    ]);
}

#[test]
fn counting_keeps_to_the_limits_of_redis() {
    Bench::new().check(&[
        ("INCR n", ":1"),
        ("INCRBY n 41", ":42"),
        ("DECR n", ":41"),
        ("DECRBY n 41", ":0"),
        ("GET n", "\"0\""),
        ("INCRBY n x", "-ERR value is not an integer or out of range"),
        ("INCRBY n 9223372036854775808", "-ERR value is not an integer or out of range"),
        ("SET n 9223372036854775807", "+OK"),
        ("INCR n", "-ERR increment or decrement would overflow"),
        ("DECRBY n -9223372036854775808", "-ERR decrement would overflow"),
        ("GET n", "\"9223372036854775807\""),
        ("SET n 01", "+OK"),
        ("INCR n", "-ERR value is not an integer or out of range"),
    ]);
}

#[test]
fn a_value_or_key_beyond_its_limit_is_refused_and_nothing_changes() {
    let mut bench = Bench::new();
    let limit = 100_000;
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    let full = vec![b'x'; limit];
    assert_eq!(bench.run_words([&b"SET"[..], b"k", &full]), "+OK");
    assert_eq!(bench.run("APPEND k y"), too_long);
    assert_eq!(bench.run("STRLEN k"), ":100000");
    assert_eq!(bench.run_words([&b"SET"[..], b"k", &vec![b'x'; limit + 1]]), too_long);
    let longest = vec![b'k'; USER_KEY_BYTES_MAX];
    assert_eq!(bench.run_words([&b"SET"[..], &longest, b"v"]), "+OK");
    assert_eq!(bench.run_words([&b"GET"[..], &longest]), "\"v\"");
    let refused = "-ERR a key has at most 61440 bytes, this one has 61441";
    let longer = vec![b'k'; USER_KEY_BYTES_MAX + 1];
    assert_eq!(bench.run_words([&b"MSET"[..], b"a", b"1", &longer, b"v"]), refused);
    assert_eq!(bench.run("GET a"), "nil");
    assert_eq!(bench.run_words([&b"SET"[..], b"", b"empty"]), "+OK");
    assert_eq!(bench.run_words([&b"GET"[..], b""]), "\"empty\"");
}

#[test]
fn databases_are_apart_and_flushed_apart() {
    let mut bench = Bench::new();
    bench.check(&[("SET k 0", "+OK"), ("SELECT 15", "+OK"), ("GET k", "nil"), ("SET k 15", "+OK")]);
    bench.check(&[("SET l 15", "+OK"), ("DBSIZE", ":2"), ("FLUSHDB", "+OK"), ("DBSIZE", ":0")]);
    bench.check(&[("SELECT 0", "+OK"), ("GET k", "\"0\""), ("FLUSHALL ASYNC", "+OK"), ("DBSIZE", ":0")]);
    bench.check(&[
        ("FLUSHALL foo", "-ERR syntax error"),
        ("FLUSHDB sync sync", "-ERR syntax error"),
        ("SELECT 16", "-ERR DB index is out of range"),
        ("SELECT -1", "-ERR DB index is out of range"),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("SELECT 2147483648", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
    ]);
    assert!(bench.engine.map().keys().all(|key| key[0] == 0), "only what the host stores for itself is left");
}

#[test]
fn a_read_that_would_block_writes_nothing_and_is_answered_on_a_reader_thread() {
    let mut bench = Bench::over(TestEngine::plain());
    bench.check(&[("SET k v", "+OK"), ("GET k", "\"v\""), ("STRLEN k", ":1"), ("EXISTS k", ":1")]);
    assert_eq!(bench.context.observe.counters.keyspace_hits.get(), 3);
}

#[test]
fn reads_of_several_keys_that_wait_hold_one_value_at_a_time() {
    let mut bench = Bench::new();
    bench.run_words([&b"SET"[..], b"big", &[b'x'; 90_000]]);
    for command in ["MGET", "EXISTS"] {
        let words = Words::of([command].into_iter().chain(["big"; 20]));
        let row = lookup::find(command.as_bytes()).unwrap();
        let mut replies = Recorder::default();
        run_blocking(row, words.arguments(), bench.session.caller(), &bench.context, &mut replies);
        assert!(replies.parts.len() == 21 || replies.text() == ":20", "{}", replies.parts[0]);
    }
    let held = bench.engine.held_max.load(std::sync::atomic::Ordering::SeqCst);
    assert!((90_000..100_000).contains(&held), "{held} bytes at once");
}

#[test]
fn several_keys_are_read_in_the_sequencer_where_the_engine_has_no_views() {
    let mut bench = Bench::over(TestEngine::plain());
    let (words, one) = (Words::of(["MGET", "a", "b"]), Words::of(["MGET", "a"]));
    let mut class = |words: &Words| {
        let mut replies = Recorder::default();
        match admit(words.arguments(), &mut bench.session, &bench.context, &mut replies) {
            Admission::Run(row) => Some(row.class),
            _ => None,
        }
    };
    assert_eq!(class(&words), Some(Class::Write));
    assert_eq!(class(&one), Some(Class::Read));
    bench.check(&[("MSET a 1 b 2", "+OK"), ("MGET a b c", "[3 \"1\" \"2\" nil"), ("EXISTS a b c", ":2")]);
    assert!(bench.engine.read_together.lock().unwrap().is_empty());
    let counters = &bench.context.observe.counters;
    assert_eq!((counters.keyspace_hits.get(), counters.keyspace_misses.get()), (4, 2));
}

#[test]
fn a_pipeline_keeps_the_order_of_requests_and_replies() {
    let bench = Bench::new();
    let row = |name: &str| lookup::find(name.as_bytes()).unwrap();
    let requests = [
        (row("set"), Words::of(["SET", "k", "1"])),
        (row("get"), Words::of(["GET", "k"])),
        (row("incr"), Words::of(["INCR", "k"])),
        (row("append"), Words::of(["APPEND", "k", "x"])),
        (row("incr"), Words::of(["INCR", "k"])),
        (row("get"), Words::of(["GET", "k"])),
    ];
    let (sender, receiver) = channel();
    let done = move |replies: Recorder| sender.send(replies.text()).unwrap();
    let mut pipeline = Pipeline::new(Recorder::default(), Arc::clone(&bench.context), done);
    assert!(pipeline.is_empty());
    for (index, (row, words)) in requests.iter().enumerate() {
        pipeline.push_request(row, Caller { client: 1, database: 0 }, false, words.arguments());
        if index == 2 {
            pipeline.push_reply(b"<encoded>");
        }
    }
    assert!(!pipeline.is_empty() && pipeline.bytes() > 0);
    bench.context.sequencer.submit(Box::new(pipeline));
    let not_a_number = "-ERR value is not an integer or out of range";
    assert_eq!(receiver.recv().unwrap(), format!("+OK \"1\" :2 <encoded> :2 {not_a_number} \"2x\""));
}

#[test]
fn a_write_of_many_keys_that_fails_half_way_changes_none() {
    let mut bench = Bench::new();
    // Put behind the host's back: a value in a form that a later version may write.
    bench.engine.map().insert(data_key(Databases::default().slot(0), b"new"), b"\x80?".to_vec());
    bench.run("SET old 1");
    let refused = bench.run("DEL old new");
    assert!(refused.starts_with("-ERR damaged"), "{refused}");
    assert_eq!(bench.run("GET old"), "\"1\"");
}

#[test]
fn errors_of_the_engine_are_told_to_the_client_whose_write_it_was() {
    let mut bench = Bench::new();
    let error = Arc::new(Mutex::new(Some(EngineError::full("the disk has 0 bytes left"))));
    let planted = Arc::clone(&error);
    bench.engine.script(move |_| {
        // The group is refused, and so is the request on its own.
        match &*planted.lock().unwrap() {
            Some(EngineError::Full { message }) => Err(EngineError::full(message)),
            Some(_) => Err(EngineError::failed("the device answered nonsense")),
            None => Ok(()),
        }
    });
    let full = bench.run("SET k v");
    assert!(
        full.starts_with("-FULL nothing changed") && full.ends_with("the disk has 0 bytes left"),
        "{full}"
    );
    *error.lock().unwrap() = Some(EngineError::failed("x"));
    let unknown = bench.run("SET k v");
    assert!(
        unknown.starts_with("-UNKNOWN ") && unknown.contains("the device answered nonsense"),
        "{unknown}"
    );
    let later = bench.run("SET k v");
    assert!(later.starts_with("-ERR nothing changed: no write is admitted"), "{later}");
    assert_eq!(bench.run("GET k"), "nil");
    assert!(bench.run("ENGINE STATUS").contains("\"writes\" \"refused\""));
}

#[test]
fn connection_commands_answer_as_in_redis() {
    let mut bench = Bench::new();
    bench.check(&[
        ("PING", "+PONG"),
        ("ping hi", "\"hi\""),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
        ("ECHO x", "\"x\""),
        ("CLIENT ID", ":1"),
        ("CLIENT GETNAME", "nil"),
        ("CLIENT SETNAME alice", "+OK"),
        ("CLIENT GETNAME", "\"alice\""),
        ("CLIENT SETINFO LIB-NAME lib", "+OK"),
        ("CLIENT SETINFO lib-ver 1.0", "+OK"),
        ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command"),
        ("CLIENT foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP."),
        ("CLIENT LIST foo", "-ERR syntax error"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID"),
        ("CLIENT LIST ID 7 8", ""),
        ("CLIENT LIST TYPE replica", ""),
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 foo", "-ERR Syntax error in HELLO option 'foo'"),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
    ]);
    let list = bench.run("CLIENT LIST");
    assert!(list.contains("name=alice") && list.contains("lib-name=lib lib-ver=1.0"), "{list}");
    assert_eq!(bench.session.protocol, Protocol::Resp2);
    let hello = bench.run("HELLO 3 AUTH default pw SETNAME bob");
    assert!(
        hello.starts_with("(protocol 3) {7 \"server\" \"redis\" \"version\" \"7.0.15\" \"proto\" :3"),
        "{hello}"
    );
    assert_eq!((bench.session.protocol, bench.session.client().name().as_str()), (Protocol::Resp3, "bob"));
    let bad = bench.run_words(["CLIENT", "SETNAME", "a b"]);
    assert_eq!(bad, "-ERR Client names cannot contain spaces, newlines or special characters.");
    assert_eq!(bench.run("QUIT"), "+OK");
    assert!(bench.session.closing);
}

#[test]
fn what_is_not_a_command_is_named_with_its_first_arguments() {
    Bench::new().check(&[
        ("FOO", "-ERR unknown command 'FOO', with args beginning with: "),
        ("foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
    ]);
    let mut bench = Bench::new();
    let long = bench.run_words([vec![b'f'; 300], vec![b'a'; 300], vec![b'b'; 300]]);
    let (f, a) = ("f".repeat(128), "a".repeat(128));
    assert_eq!(long, format!("-ERR unknown command '{f}', with args beginning with: '{a}' "));
    assert_eq!(bench.context.observe.errors.total(), 1);
}

#[test]
fn command_is_printed_from_the_table() {
    let mut bench = Bench::new();
    let rows = table::TABLE.iter().filter(|row| !row.is_subcommand()).count();
    bench.check(&[
        ("COMMAND COUNT", &format!(":{rows}")),
        (
            "COMMAND INFO get nope",
            "[2 [10 \"get\" :2 [2 +readonly +fast :1 :1 :1 [3 @read @string @fast [0 [0 [0 nil"
                .replace(" @", " +@")
                .as_str(),
        ),
        (
            "COMMAND DOCS get nope",
            "{1 \"get\" {3 \"summary\" \"Gets a value\" \"since\" \"1.0.0\" \"group\" \"string\"",
        ),
        ("COMMAND LIST FILTERBY PATTERN mge*", "[1 \"mget\""),
        ("COMMAND LIST foo", "-ERR syntax error"),
        ("COMMAND GETKEYS mset a 1 b 2", "[2 \"a\" \"b\""),
        ("COMMAND GETKEYS object encoding a", "[1 \"a\""),
        ("COMMAND GETKEYS object nope a", "-ERR Invalid command specified"),
        ("COMMAND GETKEYSANDFLAGS set a v", "[1 [2 \"a\" [2 +OW +update"),
        ("COMMAND GETKEYSANDFLAGS set a v get", "[1 [2 \"a\" [3 +RW +access +update"),
        ("COMMAND GETKEYSANDFLAGS rename a b", "[2 [2 \"a\" [3 +RW +access +delete [2 \"b\" [2 +OW +update"),
        ("COMMAND GETKEYSANDFLAGS bitfield a get u8 0", "[1 [2 \"a\" [2 +RO +access"),
        ("COMMAND GETKEYSANDFLAGS bitfield a set u8 0 1", "[1 [2 \"a\" [3 +RW +access +update"),
        ("COMMAND GETKEYSANDFLAGS ping x", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS get", "-ERR wrong number of arguments for 'command|getkeys' command"),
        ("COMMAND GETKEYS ping x", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command"),
        ("COMMAND foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP."),
    ]);
    assert!(bench.run("COMMAND").starts_with(&format!("[{rows} [10 \"append\"")));
}

#[test]
fn info_has_the_sections_asked_for_and_the_fields_clients_read() {
    let mut bench = Bench::new();
    bench.run("MSET a 1 b 2");
    let all = bench.run("INFO");
    for field in [
        "redis_version:7.0.15",
        "redis_mode:standalone",
        "arch_bits:64",
        "cluster_enabled:0",
        "role:master",
        "loading:0",
        "uptime_in_seconds:",
        "connected_clients:1",
        "used_memory:",
        "maxmemory:0",
        "total_commands_processed:1",
        "expired_keys:0",
        "keyspace_hits:0",
        "db0:keys=2,expires=0,avg_ttl=0",
        "engine:test",
        "durability:always",
    ] {
        assert!(all.contains(&format!("\n{field}")), "{field} in {all}");
    }
    assert!(bench.run("INFO keyspace CLIENTS").starts_with("# Clients\r\nconnected_clients:1\r\n"));
    assert!(!bench.run("INFO keyspace").contains("redis_version"));
    assert_eq!(bench.run("INFO nothing"), "");
}

#[test]
fn engine_prints_promises_options_and_numbers() {
    let mut bench = Bench::new();
    bench.run("SET k v");
    bench.check(&[
        ("ENGINE GUARANTEES", "[3 [3 \"durability\" \"always\" \"the class in use, set by storage.durability; the lines below are under it\" [3 \"API semantics\" \"kept\" \"it is an ordered map\" [3 \"restart\" \"not kept\" \"it is only in memory\""),
        ("ENGINE OPTIONS", "[0"),
        (
            "ENGINE METRICS",
            "entries 2\nfile_durable_writes 0\nfile_data_syncs 0\nfile_full_syncs 0\ndirectory_syncs 0\n\
             files_created 0\nfiles_grown 0\nnames_changed 0\nfile_reads 0\nfile_read_bytes 0\n",
        ),
        ("ENGINE LIST x", "-ERR wrong number of arguments for 'engine|list' command"),
        ("ENGINE foo", "-ERR unknown subcommand 'foo'. Try ENGINE HELP."),
    ]);
    assert!(
        bench
            .run("ENGINE LIST")
            .starts_with("[1 {5 \"name\" \"test\" \"version\" \"1.2.3\" \"serving\" \"yes\"")
    );
    assert!(bench.run("ENGINE STATUS").contains("\"durability\" \"always\""));
}

#[test]
fn a_request_that_is_evaluated_again_is_counted_once() {
    let mut bench = Bench::new();
    bench.engine.script(|batch| {
        let is_bad = batch.iter().any(|mutation| matches!(mutation, Mutation::Put { value: b"\0bad", .. }));
        if is_bad { Err(EngineError::full("the disk")) } else { Ok(()) }
    });
    let requests =
        ["SET a x", "GET a", "GET none", "INCR a", "SET b bad"].map(|line| Words::of(line.split(' ')));
    let rows = ["set", "get", "get", "incr", "set"].map(|name| lookup::find(name.as_bytes()).unwrap());
    let requests: Vec<_> = rows.into_iter().zip(&requests).collect();
    let replies = bench.pipeline(&requests);
    assert!(replies.starts_with("+OK \"x\" nil -ERR value is not an integer"), "{replies}");
    assert!(replies.contains("-FULL nothing changed"), "{replies}");
    let info = bench.run("INFO commandstats errorstats stats");
    let has = |line: &str| assert!(info.contains(line), "{line} in {info}");
    for (name, calls, failed) in [("set", 2, 1), ("get", 2, 0), ("incr", 1, 1)] {
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let line = line.unwrap_or_else(|| panic!("{name} in {info}"));
        assert!(line.contains(&format!(":calls={calls},")), "{line}");
        assert!(line.ends_with(&format!(",failed_calls={failed}")), "{line}");
    }
    has("errorstat_ERR:count=1\r\n");
    has("errorstat_FULL:count=1\r\n");
    has("keyspace_hits:1\r\n");
    has("keyspace_misses:1\r\n");
    has("total_error_replies:2\r\n");
    bench.run("CONFIG RESETSTAT");
    assert_eq!(bench.run("INFO errorstats"), "# Errorstats\r\n");
}

#[test]
fn shutdown_asks_the_server_to_end_and_answers_nothing() {
    let mut bench = Bench::new();
    bench.check(&[
        ("SHUTDOWN foo", "-ERR syntax error"),
        ("SHUTDOWN NOSAVE SAVE", "-ERR syntax error"),
        ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
    ]);
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    bench.context.shutdown.on_request(move || *counted.lock().unwrap() += 1);
    assert!(!bench.context.shutdown.is_requested());
    bench.check(&[("SHUTDOWN NOSAVE", ""), ("SHUTDOWN", "")]);
    assert!(bench.session.closing && bench.context.shutdown.is_requested());
    assert_eq!(*asked.lock().unwrap(), 1);
}

#[test]
fn time_is_seconds_and_microseconds() {
    assert_eq!(Bench::new().run("TIME"), "[2 \"0\" \"0\"");
}
