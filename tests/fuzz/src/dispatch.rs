//! A server without sockets on an engine in memory, and requests of every command made of a fuzzer's bytes.
//!
//! Promises: each request is answered with exactly one well-formed reply, and no reply where the client wants none;
//! whatever a request is, it ends nobody but itself. The target `command_dispatch` calls it.
//!
//! ```text
//! request   [command][count and riding][word]…     the commands are those of COMMAND LIST, so that none is left out
//! word      [kind][literal bytes]                  below 0xd0 a word of the list, else that many bytes of the input
//! ```

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};

use adapter_api::host::LoadedPlugin;
use adapter_api::{Durability, Options};
use engine_memory::MemoryEngine;
use enginebay::command::{
    Admission, Ahead, Arguments, Class, Context, Pipeline, Protocol, ReadOutcome, Replies, Row, ServerFacts,
    Session, ShutdownHandle, admit, run_blocking, run_local, run_read,
};
use enginebay::observe::Observe;
use enginebay::resp::{Encoder, Version};
use enginebay::sequencer::{Limits, Sequencer};
use enginebay::storage::Storage;

use crate::{HandClock, MemoryDirectory, replies};

/// The longest value; small, so that no request takes long.
const VALUE_BYTES_MAX: usize = 4096;

/// Words that commands know, and keys and numbers on the edge.
const WORDS: [&str; 96] = [
    "",
    "a",
    "b",
    "c",
    "key:1",
    "0",
    "1",
    "-1",
    "2",
    "7",
    "8",
    "16",
    "63",
    "64",
    "100",
    "4095",
    "4096",
    "4097",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "4294967295",
    "4294967296",
    "1.5",
    "-0",
    "nan",
    "inf",
    "1e308",
    "3.0e-5",
    "abc",
    "*",
    "a*",
    "[a-c]",
    "[^",
    "\\",
    "?",
    "%",
    "#0",
    "#1",
    "u8",
    "i64",
    "u63",
    "i1",
    "u64",
    "NX",
    "XX",
    "GET",
    "SET",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "list",
    "LIMIT",
    "REV",
    "REPLACE",
    "DB",
    "ABSTTL",
    "IDLETIME",
    "FREQ",
    "AND",
    "OR",
    "XOR",
    "NOT",
    "BIT",
    "BYTE",
    "OVERFLOW",
    "WRAP",
    "SAT",
    "FAIL",
    "INCRBY",
    "LEN",
    "IDX",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "ASYNC",
    "SYNC",
    "ON",
    "OFF",
    "SKIP",
    "ALL",
    "WRITE",
    "ID",
    "ADDR",
    "USER",
    "AUTH",
    "SETNAME",
    "FILTERBY",
    "PATTERN",
    "timeout",
];

/// Loaded once: a plugin is never unloaded.
static PLUGIN: LazyLock<LoadedPlugin> = LazyLock::new(LoadedPlugin::in_process::<MemoryEngine>);

/// Encoded replies.
struct Sink(Encoder);

impl Replies for Sink {
    fn simple(&mut self, text: &str) {
        self.0.simple(text);
    }
    fn error(&mut self, text: &str) {
        // Further back it may be what the client sent.
        let what = text.split_once(' ').map_or(text, |(_, what)| what);
        assert!(!what.starts_with("the server has a defect"), "{text}");
        self.0.error(text);
    }
    fn integer(&mut self, number: i64) {
        self.0.integer(number);
    }
    fn bulk(&mut self, bytes: &[u8]) {
        self.0.bulk(bytes);
    }
    fn verbatim(&mut self, text: &str) {
        self.0.verbatim(text);
    }
    fn null(&mut self) {
        self.0.null();
    }
    fn array(&mut self, len: usize) {
        self.0.array(len);
    }
    fn set(&mut self, len: usize) {
        self.0.set(len);
    }
    fn map(&mut self, pairs: usize) {
        self.0.map(pairs);
    }
    fn position(&self) -> usize {
        self.0.position()
    }
    fn truncate(&mut self, position: usize) {
        self.0.truncate(position);
    }
    fn encoded(&mut self, bytes: &[u8]) {
        self.0.encoded(bytes);
    }
    fn set_protocol(&mut self, protocol: Protocol) {
        self.0.set_version(version(protocol));
    }
}

fn version(protocol: Protocol) -> Version {
    match protocol {
        Protocol::Resp2 => Version::Two,
        Protocol::Resp3 => Version::Three,
    }
}

/// The words of one request, one behind the other.
#[derive(Default)]
struct Request {
    bytes: Vec<u8>,
    words: Vec<std::ops::Range<u32>>,
}

impl Request {
    fn push(&mut self, word: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(word);
        self.words.push(start..self.bytes.len() as u32);
    }

    fn arguments(&self) -> Arguments<'_> {
        Arguments::new(&self.bytes, &self.words)
    }
}

/// Requests that go through the sequencer together.
struct Group {
    pipeline: Pipeline<Sink>,
    answered: Receiver<Sink>,
    /// How many replies there must be.
    replies: usize,
}

/// One client of a server that has just started.
struct Client {
    context: Arc<Context>,
    session: Session,
    group: Option<Group>,
}

impl Client {
    fn new() -> Self {
        let storage = Storage::open(
            &PLUGIN,
            Arc::new(MemoryDirectory::default()),
            Arc::default(),
            Arc::new(HandClock),
            Options::new(),
            Durability::Always,
            1,
        );
        let storage = Arc::new(storage.expect("an engine in memory opens"));
        let sequencer = Sequencer::start(Arc::clone(&storage), Limits::default()).expect("a thread starts");
        let observe = Arc::new(Observe::new());
        let client = observe.clients.connected("127.0.0.1:1", "127.0.0.1:2");
        let facts = ServerFacts { value_bytes_max: VALUE_BYTES_MAX, ..ServerFacts::default() };
        let context = Context::new(
            storage,
            Arc::new(sequencer),
            observe,
            Arc::new(facts),
            ShutdownHandle::new(),
            Arc::new(Vec::new),
        );
        let session = Session::new(client, &context);
        Self { context: Arc::new(context), session, group: None }
    }

    /// Runs a request as the server would; one that can ride in a group does so if it `rides`.
    fn run(&mut self, request: &Request, rides: bool) {
        let mut sink = Sink(Encoder::new(version(self.session.protocol)));
        let arguments = request.arguments();
        let row = match admit(arguments, &mut self.session, &self.context, &mut sink) {
            Admission::Refused => return self.check(&sink, 1, "a refused request"),
            Admission::Run(row) => row,
            Admission::WaitUntil(_, row) => {
                self.context.observe.pause.end();
                row
            }
        };
        match row.class {
            Class::Write => return self.push(row, arguments),
            Class::Read if rides => return self.push(row, arguments),
            _ => self.end_group(),
        }
        let caller = self.session.caller();
        match row.class {
            Class::Local => run_local(row, arguments, &mut self.session, &self.context, &mut sink),
            Class::Read => {
                let outcome = run_read(row, arguments, caller, &self.context, &Ahead::default(), &mut sink);
                if outcome == ReadOutcome::WouldBlock {
                    assert_eq!(sink.position(), 0, "{} wrote before it knew that it must wait", row.name);
                    run_blocking(row, arguments, caller, &self.context, &mut sink);
                }
            }
            Class::Scan | Class::Write => run_blocking(row, arguments, caller, &self.context, &mut sink),
        }
        match row.name {
            // It answers nothing when it succeeds.
            "shutdown" if self.session.closing => self.check(&sink, 0, row.name),
            // The first decides whether it is answered; the second is not, as in Redis, when it is asked again.
            "client|reply" | "monitor" => {
                assert!(replies::count(sink.0.bytes()).is_ok_and(|count| count <= 1))
            }
            // What a monitor was to see comes first.
            "reset" => drop(replies::count(sink.0.bytes()).expect("well-formed replies")),
            _ => self.check(&sink, 1, row.name),
        }
    }

    fn check(&self, sink: &Sink, wanted: usize, of: &str) {
        match replies::count(sink.0.bytes()) {
            Ok(count) => {
                assert!(count == wanted || self.session.is_muted(), "{of}: {count} replies, not {wanted}")
            }
            Err(wrong) => panic!("{of}: {wrong}"),
        }
    }

    fn push(&mut self, row: &'static Row, arguments: Arguments<'_>) {
        let (caller, muted) = (self.session.caller(), self.session.is_muted());
        let group = self.group.get_or_insert_with(|| {
            let (answer, answered) = channel();
            let sink = Sink(Encoder::new(version(self.session.protocol)));
            // Nobody waits any more if an assertion has failed.
            let done = move |sink| drop(answer.send(sink));
            let pipeline = Pipeline::new(sink, Arc::clone(&self.context), done);
            Group { pipeline, answered, replies: 0 }
        });
        group.pipeline.push_request(row, caller, muted, arguments);
        group.replies += usize::from(!muted);
    }

    /// Has the sequencer answer the requests that ride, and looks at their replies.
    fn end_group(&mut self) {
        if let Some(Group { pipeline, answered, replies: wanted }) = self.group.take() {
            self.context.sequencer.submit(Box::new(pipeline));
            let sink = answered.recv().expect("every submission is completed");
            assert_eq!(replies::count(sink.0.bytes()), Ok(wanted), "a group");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.context.sequencer.shutdown();
        let _ = self.context.storage.close();
    }
}

/// The name of every command, `command|subcommand` for subcommands.
fn names(client: &mut Client) -> Vec<String> {
    let mut request = Request::default();
    ["COMMAND", "LIST", "FILTERBY", "PATTERN", "*"].iter().for_each(|word| request.push(word.as_bytes()));
    let mut sink = Sink(Encoder::new(Version::Two));
    if let Admission::Run(row) = admit(request.arguments(), &mut client.session, &client.context, &mut sink) {
        run_local(row, request.arguments(), &mut client.session, &client.context, &mut sink);
    }
    let text = String::from_utf8_lossy(sink.0.bytes()).into_owned();
    let names: Vec<String> = text
        .split("\r\n")
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .map(str::to_string)
        .collect();
    assert!(names.len() > 100, "{} commands", names.len());
    names
}

/// Runs the requests that the bytes spell.
pub fn run(input: &[u8]) {
    let mut client = Client::new();
    let names = names(&mut client);
    let mut input = input.iter();
    while let (Some(command), Some(count)) = (input.next(), input.next()) {
        let mut request = Request::default();
        names[usize::from(*command) % names.len()].split('|').for_each(|word| request.push(word.as_bytes()));
        for _ in 0..count % 8 {
            match input.next() {
                None => break,
                Some(kind @ 0..0xd0) => request.push(WORDS[usize::from(*kind) % WORDS.len()].as_bytes()),
                Some(kind) => {
                    let literal = input.as_slice();
                    let (literal, rest) = literal.split_at(literal.len().min(usize::from(kind - 0xd0)));
                    request.push(literal);
                    input = rest.iter();
                }
            }
        }
        client.run(&request, count & 0x80 != 0);
        if client.session.closing {
            break;
        }
    }
    client.end_group();
}
