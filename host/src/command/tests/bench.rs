//! A server without sockets for the tests of commands: one client of it, and a sink that writes replies down as
//! text.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::super::*;
use crate::observe::Observe;
use crate::sequencer::{Limits, Sequencer};
use crate::storage::test_engine::{State, TestEngine, opened};

/// Replies as text: `+OK`, `-ERR …`, `:1`, `"bulk"`, `nil`, `[a b]` as `[2` before its parts, `{` for maps.
#[derive(Default)]
pub(super) struct Recorder {
    parts: Vec<String>,
}

impl Recorder {
    fn push(&mut self, part: String) {
        self.parts.push(part);
    }
    pub(super) fn text(&self) -> String {
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

/// The words of one request, with the bytes they lie in.
pub(super) struct Words {
    bytes: Vec<u8>,
    words: Vec<Range<u32>>,
}

impl Words {
    pub(super) fn of<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut all = Self { bytes: Vec::new(), words: Vec::new() };
        for word in words {
            let start = all.bytes.len() as u32;
            all.bytes.extend_from_slice(word.as_ref());
            all.words.push(start..all.bytes.len() as u32);
        }
        all
    }

    pub(super) fn arguments(&self) -> Arguments<'_> {
        Arguments::new(&self.bytes, &self.words)
    }
}

/// A server without sockets and one client of it.
pub(super) struct Bench {
    pub(super) context: Arc<Context>,
    pub(super) engine: Arc<State>,
    pub(super) session: Session,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::over(TestEngine::new())
    }

    pub(super) fn over(engine: TestEngine) -> Self {
        Self::with(engine, ServerFacts { value_bytes_max: 100_000, ..ServerFacts::default() })
    }

    pub(super) fn with(engine: TestEngine, facts: ServerFacts) -> Self {
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
        Self { context: Arc::new(context), engine: state, session: Session::new(client) }
    }

    /// Runs one request as the server would, words parted by spaces.
    pub(super) fn run(&mut self, request: &str) -> String {
        self.run_words(request.split(' '))
    }

    pub(super) fn run_words<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> String {
        let words = Words::of(words);
        let arguments = words.arguments();
        let mut replies = Recorder::default();
        let Some(row) = resolve(arguments, &self.context, &mut replies) else { return replies.text() };
        let database = self.session.database;
        match row.class {
            Class::Local => run_local(row, arguments, &mut self.session, &self.context, &mut replies),
            Class::Scan => run_blocking(row, arguments, database, &self.context, &mut replies),
            Class::Read => {
                if run_read(row, arguments, database, &self.context, &mut replies) == ReadOutcome::WouldBlock
                {
                    assert_eq!(replies.position(), 0, "a read that would block has written nothing");
                    run_blocking(row, arguments, database, &self.context, &mut replies);
                }
            }
            Class::Write => return self.pipeline(&[(row, &words)]),
        }
        replies.text()
    }

    pub(super) fn pipeline(&self, requests: &[(&'static Row, &Words)]) -> String {
        let (sender, receiver) = channel();
        let done = move |replies: Recorder| sender.send(replies.text()).unwrap();
        let mut pipeline = Pipeline::new(Recorder::default(), Arc::clone(&self.context), done);
        for (row, words) in requests {
            pipeline.push_request(row, self.session.database, words.arguments());
        }
        self.context.sequencer.submit(Box::new(pipeline));
        receiver.recv().unwrap()
    }

    pub(super) fn check(&mut self, table: &[(&str, &str)]) {
        for (request, expected) in table {
            assert_eq!(self.run(request), *expected, "{request}");
        }
    }
}
