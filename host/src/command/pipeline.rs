//! A run of requests of one connection, in order, on its way through the sequencer.
//!
//! Promises: replies come in the order in which requests and replies were pushed, whatever the sequencer
//! discards and evaluates again in between; a request that fails leaves no write behind.

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use adapter_api::EngineError;

use super::access::GroupAccess;
use super::errors::{self, Outcome};
use super::table::{Handler, Row};
use super::timing::{Timing, note_latency};
use super::{Arguments, Caller, Context, Replies};
use crate::sequencer::{Overlay, Submission};
use crate::storage::keyspace;

/// A run of requests of one connection, in order, on its way through the sequencer.
pub struct Pipeline<R> {
    replies: R,
    context: Arc<Context>,
    done: Box<dyn FnOnce(R) + Send>,
    items: Vec<Item>,
    /// The words of all requests with what lay between them, and the encoded replies.
    bytes: Vec<u8>,
    /// Where words lie, counted from the beginning of their item.
    words: Vec<Range<u32>>,
    /// Where the reply of each item that was evaluated or refused begins.
    answered: Vec<usize>,
    /// When it was begun, if the operator wants to know of runs that take long.
    begun: Option<Instant>,
}

struct Item {
    kind: Kind,
    bytes: Range<usize>,
    words: Range<usize>,
    counted: Counted,
}

/// What was counted of a request: it may be evaluated more than once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Nothing,
    /// That it was worked out.
    Made,
    /// That its reply is an error too.
    Failed,
}

#[derive(Clone, Copy)]
enum Kind {
    /// `muted`: the client does not want the reply.
    Request {
        row: &'static Row,
        caller: Caller,
        muted: bool,
    },
    Reply,
}

impl<R: Replies + Send + 'static> Pipeline<R> {
    /// A run without requests yet, whose replies are appended to `replies`. `done` is called with them on the
    /// thread that holds the sequencer's role; it must not block.
    pub fn new(replies: R, context: Arc<Context>, done: impl FnOnce(R) + Send + 'static) -> Self {
        let begun = (context.settings.live.latency_threshold_ms() > 0).then(Instant::now);
        Self {
            replies,
            context,
            begun,
            done: Box::new(done),
            items: Vec::new(),
            bytes: Vec::new(),
            words: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// The same with room for about so many requests, whose words have so many bytes together.
    #[must_use]
    pub fn with_room(mut self, requests: usize, bytes: usize) -> Self {
        const WORDS: usize = 3;
        self.items.reserve(requests);
        self.answered.reserve(requests);
        self.words.reserve(requests * WORDS);
        self.bytes.reserve(bytes);
        self
    }

    /// Appends a request of class `Read` or `Write`, whose reply is left out if it is `muted`; copies the words.
    pub fn push_request(&mut self, row: &'static Row, caller: Caller, muted: bool, arguments: Arguments<'_>) {
        let (first_byte, first_word) = (self.bytes.len(), self.words.len());
        self.bytes.extend_from_slice(arguments.whole());
        self.words.extend(arguments.places());
        self.items.push(Item {
            kind: Kind::Request { row, caller, muted },
            bytes: first_byte..self.bytes.len(),
            words: first_word..self.words.len(),
            counted: Counted::Nothing,
        });
    }

    /// Appends an already encoded reply that must keep its place.
    pub fn push_reply(&mut self, encoded: &[u8]) {
        let first_byte = self.bytes.len();
        self.bytes.extend_from_slice(encoded);
        self.items.push(Item {
            kind: Kind::Reply,
            bytes: first_byte..self.bytes.len(),
            words: 0..0,
            counted: Counted::Nothing,
        });
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How much memory the requests and replies occupy.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.words.len() * size_of::<Range<u32>>() + self.items.len() * size_of::<Item>()
    }

    fn arguments(&self, item: &Item) -> Arguments<'_> {
        Arguments::new(&self.bytes[item.bytes.clone()], &self.words[item.words.clone()])
    }
}

impl<R: Replies + Send + 'static> Submission for Pipeline<R> {
    fn requests(&self) -> usize {
        self.items.len()
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn reads(&self, visit: &mut dyn FnMut(&[u8])) {
        let databases = self.context.storage.databases();
        let mut key = Vec::new();
        for item in &self.items {
            if let Kind::Request { row, caller, .. } = item.kind
                && row.reads_keys(item.words.len())
            {
                let arguments = self.arguments(item);
                for place in row.key_places(arguments.len()) {
                    keyspace::write_data_key(
                        databases.slot(caller.database),
                        arguments.word(place),
                        &mut key,
                    );
                    visit(&key);
                }
            }
        }
    }

    fn evaluate(&mut self, request: usize, overlay: &mut Overlay<'_>) {
        let Self { replies, context, items, bytes, words, answered, .. } = self;
        let Some(item) = items.get_mut(request) else { return };
        let start = replies.position();
        answered.push(start);
        let Kind::Request { row, caller, muted } = item.kind else {
            return replies.encoded(&bytes[item.bytes.clone()]);
        };
        let arguments = Arguments::new(&bytes[item.bytes.clone()], &words[item.words.clone()]);
        let is_new = item.counted == Counted::Nothing;
        let timing = is_new.then(|| Timing::begin(row, arguments, context));
        let outcome = in_group(row, arguments, caller.database, context, overlay, replies);
        if let Some(timing) = timing {
            timing.end(outcome.is_err(), row, arguments, caller, context);
            item.counted = if outcome.is_err() { Counted::Failed } else { Counted::Made };
        }
        match outcome {
            Ok((hits, misses)) if is_new => {
                context.observe.counters.keyspace_hits.add(hits);
                context.observe.counters.keyspace_misses.add(misses);
            }
            Ok(_) => {}
            Err(failure) => {
                overlay.undo();
                replies.truncate(start);
                let text = failure.text();
                if is_new {
                    context.observe.errors.add(&text);
                }
                replies.error(&text);
            }
        }
        if muted {
            replies.truncate(start);
        }
    }

    fn discard(&mut self, request: usize) {
        if let Some(start) = self.answered.get(request) {
            self.replies.truncate(*start);
            self.answered.truncate(request);
        }
    }

    fn refuse(&mut self, request: usize, error: &EngineError) {
        let Some(item) = self.items.get_mut(request) else { return };
        self.answered.push(self.replies.position());
        match item.kind {
            Kind::Reply => self.replies.encoded(&self.bytes[item.bytes.clone()]),
            Kind::Request { muted: true, .. } => {}
            Kind::Request { row, .. } => {
                let text = match row.handler {
                    Handler::Write(_) => errors::of_write(error),
                    _ => errors::of_read(error),
                };
                if mem::replace(&mut item.counted, Counted::Failed) != Counted::Failed {
                    self.context.observe.errors.add(&text);
                    self.context.calls[row.place()].failed.add(1);
                }
                self.replies.error(&text);
            }
        }
    }

    fn answer_bytes(&self) -> usize {
        self.replies.position()
    }

    fn complete(self: Box<Self>) {
        if let Some(begun) = self.begun {
            note_latency("write-run", begun.elapsed(), &self.context);
        }
        (self.done)(self.replies);
    }
}

/// Works a request out; answers how many keys it found and how many not, if it only reads.
fn in_group(
    row: &Row,
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    overlay: &mut Overlay<'_>,
    replies: &mut dyn Replies,
) -> Outcome<(u64, u64)> {
    let mut access = GroupAccess::new(overlay, database, context.settings.value_bytes_max);
    match row.handler {
        Handler::Write(handler) => handler(arguments, &mut access, replies).map(|()| (0, 0)),
        Handler::Read(handler) => {
            handler(arguments, &mut access, replies)?;
            Ok(access.hits_and_misses())
        }
        Handler::Local(_) | Handler::Scan(_) => {
            debug_assert!(false, "{} does not go through the sequencer", row.name);
            Err(errors::Failure::fixed("ERR this command does not go through the sequencer"))
        }
    }
}
