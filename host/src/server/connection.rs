//! One client: its socket, the bytes in and out, and what of its requests is under way.
//!
//! Promises: replies leave in the order of the requests; what a client makes the server keep is bounded
//! ([`Connection::may_step`] names every bound); the socket is read only when the requests that are here have been
//! handed on. `routing` decides what becomes of a request; the event loop calls both.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::Token;

use super::completion::{Completion, CompletionQueue, Ticket, Worker};
use super::replies::Answers;
use super::settings::Settings;
use super::socket::Socket;
use crate::command::{Class, Context, Pipeline, Replies, Row, Session};
use crate::observe::{Client, ClientFlag};
use crate::resp::{Decoder, Input, Limits, Version};
use crate::sequencer::Submission;

/// Runs of requests of one connection that the sequencer may have at a time. Two keep the disk busy while more
/// is parsed; what comes above waits in the socket and makes the next run longer.
const SUBMISSIONS_MAX: usize = 4;

/// The bytes of requests in one run, above which it is handed on and another is begun.
pub(super) const PIPELINE_BYTES_MAX: usize = 1024 * 1024;

/// What a pipeline makes room for at first is told by the bytes that have arrived, at so many a request and a reply.
const SMALL_REQUEST_BYTES: usize = 32;
const SMALL_REPLY_BYTES: usize = 8;
const ROOM_REQUESTS_MAX: usize = 128;

/// An unfinished request of so many bytes is welcome even when the inputs of all clients are too large.
const INPUT_BYTES_ALWAYS: usize = 64 * 1024;

/// The unsent replies with which further requests wait of a client that has not given its password.
const STRANGER_OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// What connections of one event loop share.
pub(super) struct Shared {
    pub(super) context: Arc<Context>,
    pub(super) settings: Arc<Settings>,
    pub(super) completions: Arc<CompletionQueue>,
    /// The connected clients of all loops.
    pub(super) clients: Arc<AtomicUsize>,
}

impl Shared {
    /// Whether clients have to go because they leave too many replies untaken.
    pub(super) fn owes_too_much(&self) -> bool {
        self.context.observe.unsent_bytes.load(Ordering::Relaxed) > self.settings.unsent_bytes_max
    }
}

/// A request that is whole but has not run: its length in the input, and what it asks for.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) length: usize,
    pub(super) row: &'static Row,
}

/// What became of an attempt to read from the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// Bytes arrived.
    Bytes,
    /// Nothing is there now.
    Nothing,
    /// The client is gone or must go; nothing can be sent to it.
    Broken,
}

/// One connected client.
pub(super) struct Connection {
    pub(super) token: Token,
    pub(super) session: Session,
    pub(super) input: Input,
    pub(super) decoder: Decoder,
    /// The request at the front of the input, if it has to wait.
    pub(super) waiting: Option<Request>,
    pub(super) output: Answers,
    /// Requests of this turn that go through the sequencer, and the replies that must stay behind them.
    pub(super) pipeline: Option<Pipeline<Answers>>,
    /// Pipelines that the sequencer has not answered.
    pub(super) submissions: usize,
    /// Whether a reader thread works on a request.
    pub(super) reading: bool,
    /// The input holds no whole request.
    pub(super) starved: bool,
    /// No further request is looked at: QUIT, an error of the protocol, or the client sends no more.
    pub(super) stopped: bool,
    /// Waits for the sequencer to have room.
    pub(super) stalled: bool,
    /// Waits until then because of a wrong password; nothing is sent either.
    pub(super) punished_until: Option<Instant>,
    /// Stands in the event loop's queue of connections with work.
    pub(super) queued: bool,
    /// Had a turn in this round of the event loop.
    pub(super) touched: bool,
    /// The last command of this turn.
    pub(super) last_command: Option<&'static str>,
    socket: Socket,
    /// The front of the output that the socket took.
    sent: usize,
    /// The socket may have bytes; cleared once it says that it has none.
    readable: bool,
    /// The client closed its half: the end comes after its last bytes without another event.
    read_closed: bool,
    /// Nothing more is read.
    ended: bool,
    /// Since when the client takes none of its replies.
    blocked_since: Option<Instant>,
    last_arrival: Instant,
    /// What this connection added to `Observe::input_bytes` and `Observe::unsent_bytes`.
    counted_input: usize,
    counted_unsent: usize,
}

impl Connection {
    /// A client that has just connected.
    pub(super) fn new(
        token: Token,
        socket: Socket,
        client: Arc<Client>,
        shared: &Shared,
        now: Instant,
    ) -> Self {
        let settings = &shared.settings;
        // A word longer than a value may be is refused by its command, with an error for it alone: the bytes
        // behind it are still understood.
        let request_bytes = settings.request_bytes_max;
        let limits = Limits { bulk_bytes: request_bytes, request_bytes };
        let session = Session::new(client, &shared.context);
        let mut decoder = Decoder::new(limits);
        decoder.set_stranger(session.is_stranger());
        Self {
            token,
            session,
            input: Input::new(),
            decoder,
            waiting: None,
            output: Answers::new(Version::Two, settings.reply_bytes_max),
            pipeline: None,
            submissions: 0,
            reading: false,
            starved: true,
            stopped: false,
            stalled: false,
            punished_until: None,
            queued: false,
            touched: false,
            last_command: None,
            socket,
            sent: 0,
            readable: true,
            read_closed: false,
            ended: false,
            blocked_since: None,
            last_arrival: now,
            counted_input: 0,
            counted_unsent: 0,
        }
    }

    /// The socket, to register it.
    pub(super) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The operating system says that there may be bytes, or that no more will come.
    pub(super) fn note_readable(&mut self, closed: bool) {
        self.readable = !self.ended;
        self.read_closed |= closed;
    }

    /// No more is read; what has arrived is still answered.
    pub(super) fn stop_reading(&mut self) {
        self.readable = false;
        self.ended = true;
    }

    /// Whether replies must wait because earlier requests are unanswered.
    pub(super) fn is_behind(&self) -> bool {
        self.submissions > 0 || self.pipeline.is_some() || self.reading
    }

    /// Whether another request may be looked at now. Every way in which a client can be ahead of the server is
    /// bounded here; each ends with an event, a completion or a flush, after which the event loop asks again.
    pub(super) fn may_step(&self, shared: &Shared) -> bool {
        let too_many = self.submissions >= SUBMISSIONS_MAX && self.pipeline.is_none();
        let scan_waits =
            self.waiting.is_some_and(|request| request.row.class == Class::Scan) && self.is_behind();
        let most = shared.settings.output_bytes_max;
        let most = if self.session.is_stranger() { most.min(STRANGER_OUTPUT_BYTES_MAX) } else { most };
        let too_slow = self.unsent() > most;
        !(self.stopped || self.reading || too_many || scan_waits || too_slow)
    }

    /// Whether a turn would get anything done.
    pub(super) fn has_work(&self, shared: &Shared) -> bool {
        let something = self.waiting.is_some() || !self.starved || self.readable || self.ended;
        something && !self.stalled && self.may_step(shared)
    }

    /// Whether everything is answered and sent, and nothing will follow.
    pub(super) fn is_finished(&self) -> bool {
        self.stopped && !self.is_behind() && self.unsent() == 0
    }

    /// Reads once. The client's end of sending is noted, and that nothing is there.
    pub(super) fn fill(&mut self, shared: &Shared, scratch: &mut [u8], now: Instant) -> Filled {
        if self.ended {
            // Without another byte the request at the front cannot become whole.
            self.stopped = true;
        }
        if !self.readable {
            return Filled::Nothing;
        }
        match self.socket.read(scratch) {
            Ok(0) => {
                self.stop_reading();
                self.stopped = true;
                Filled::Nothing
            }
            Ok(len) => {
                // A short read emptied the socket, and what comes later is a new event; only the end of
                // the client's bytes may have been reported already.
                self.readable = len == scratch.len() || self.read_closed;
                self.last_arrival = now;
                self.accept_input(shared, &scratch[..len]);
                Filled::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Filled::Nothing
            }
            Err(_) => Filled::Broken,
        }
    }

    fn accept_input(&mut self, shared: &Shared, bytes: &[u8]) {
        shared.context.observe.counters.bytes_received.add(bytes.len() as u64);
        let all = shared.context.observe.input_bytes.load(Ordering::Relaxed);
        if self.input.len() > INPUT_BYTES_ALWAYS && all > shared.settings.input_bytes_max {
            log::warn!(
                "closed client {}: all clients' unfinished requests have {all} bytes",
                self.session.id
            );
            self.answer(
                "ERR the server holds too many bytes of unfinished requests; try again later",
                shared,
            );
            self.stopped = true;
            return;
        }
        self.input.extend(bytes);
        self.starved = false;
    }

    /// Counts the input and the unsent replies among those of all clients. Called after each turn and flush.
    pub(super) fn count_bytes(&mut self, shared: &Shared) {
        let (observe, held) = (&shared.context.observe, self.held());
        recount(&observe.input_bytes, &mut self.counted_input, self.input.len());
        recount(&observe.unsent_bytes, &mut self.counted_unsent, held);
    }

    /// Takes back what it added to the counts of all clients, at its end.
    pub(super) fn uncount_bytes(&mut self, shared: &Shared) {
        let observe = &shared.context.observe;
        recount(&observe.input_bytes, &mut self.counted_input, 0);
        recount(&observe.unsent_bytes, &mut self.counted_unsent, 0);
    }

    /// Answers with an error, behind the replies before it.
    pub(super) fn answer(&mut self, error: &str, shared: &Shared) {
        shared.context.observe.errors.add(error);
        if self.is_behind() {
            let mut answers = self.fresh_answers(shared);
            answers.error(error);
            self.pipeline(shared).push_reply(answers.bytes());
        } else {
            self.output.error(error);
        }
    }

    /// An empty sink in the session's protocol.
    pub(super) fn fresh_answers(&self, shared: &Shared) -> Answers {
        Answers::new(self.output.version(), shared.settings.reply_bytes_max)
    }

    /// The pipeline of this turn.
    pub(super) fn pipeline(&mut self, shared: &Shared) -> &mut Pipeline<Answers> {
        let mut answers = self.fresh_answers(shared);
        self.pipeline.get_or_insert_with(|| {
            let ticket = Ticket::new(&shared.completions, self.token, Worker::Sequencer);
            // Most of what has arrived will go the same way.
            let bytes = self.input.len().min(PIPELINE_BYTES_MAX);
            let requests = (bytes / SMALL_REQUEST_BYTES).clamp(1, ROOM_REQUESTS_MAX);
            answers.reserve(requests * SMALL_REPLY_BYTES);
            Pipeline::new(answers, Arc::clone(&shared.context), move |answers| ticket.answer(answers))
                .with_room(requests, bytes)
        })
    }

    /// Hands the pipeline over, for the sequencer.
    pub(super) fn take_pipeline(&mut self) -> Option<Box<dyn Submission>> {
        let pipeline = self.pipeline.take()?;
        self.submissions += 1;
        Some(Box::new(pipeline))
    }

    /// Hands the pipeline to the sequencer at once.
    pub(super) fn submit(&mut self, shared: &Shared) {
        if let Some(pipeline) = self.take_pipeline() {
            shared.context.sequencer.submit(pipeline);
        }
    }

    /// Takes the replies of work that is done. `Err` if there are none: the client must not mistake the next
    /// reply for the one that is missing.
    pub(super) fn complete(&mut self, completion: Completion) -> Result<(), ()> {
        match completion.worker {
            Worker::Sequencer => self.submissions -= 1,
            Worker::Reader => self.reading = false,
        }
        self.output.append(completion.answers.ok_or(())?);
        Ok(())
    }

    /// Sends what the socket takes. `Err` if the client is gone.
    pub(super) fn flush(&mut self, shared: &Shared, now: Instant) -> Result<(), ()> {
        if self.punished_until.is_some_and(|until| until > now) {
            return Ok(());
        }
        let start = self.sent;
        let bytes = self.output.bytes();
        while self.sent < bytes.len() {
            match self.socket.write(&bytes[self.sent..]) {
                Ok(0) => return Err(()),
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(()),
            }
        }
        let progress = self.sent - start;
        shared.context.observe.counters.bytes_sent.add(progress as u64);
        if self.sent == bytes.len() {
            self.output.clear();
            self.sent = 0;
            self.blocked_since = None;
        } else {
            if self.sent > bytes.len() / 2 {
                self.output.remove_front(self.sent);
                self.sent = 0;
            }
            if progress > 0 || self.blocked_since.is_none() {
                self.blocked_since = Some(now);
            }
        }
        Ok(())
    }

    /// Takes the lines that wait for it if it monitors, unless it has not read those before; answers whether there
    /// are any. What is left waiting is bounded by `Monitors`.
    pub(super) fn take_lines(&mut self, shared: &Shared) -> bool {
        let monitors = &shared.context.observe.monitors;
        let is_due = monitors.is_watched()
            && self.session.client().has(ClientFlag::Monitors)
            && self.unsent() <= shared.settings.output_bytes_max;
        let lines = if is_due { monitors.take(self.session.id) } else { Vec::new() };
        self.output.encoded(&lines);
        !lines.is_empty()
    }

    /// Whether the clock alone may make the client go.
    pub(super) fn may_become_overdue(&self, idle_timeout: Option<Duration>) -> bool {
        self.blocked_since.is_some() || self.is_unfinished() || idle_timeout.is_some()
    }

    /// Whether it began a request and has not sent the rest.
    fn is_unfinished(&self) -> bool {
        self.starved && !self.input.is_empty()
    }

    /// Why the client has to go by the clock, if it has.
    pub(super) fn overdue(
        &self,
        settings: &Settings,
        idle_timeout: Option<Duration>,
        now: Instant,
    ) -> Option<String> {
        let late = |since: Instant, timeout: Duration| now.saturating_duration_since(since) >= timeout;
        let slow = settings.slow_client_timeout;
        if self.blocked_since.is_some_and(|since| late(since, slow)) {
            let (bytes, seconds) = (self.unsent(), slow.as_secs_f32());
            return Some(format!("it read none of {bytes} bytes of replies for {seconds} s"));
        }
        if self.is_unfinished() && late(self.last_arrival, slow) {
            return Some(format!("it left a request unfinished for {} s", slow.as_secs_f32()));
        }
        // Who monitors listens, and has nothing to say.
        let timeout = idle_timeout.filter(|_| !self.session.client().has(ClientFlag::Monitors))?;
        let idle = !self.is_behind() && self.unsent() == 0 && late(self.last_arrival, timeout);
        idle.then(|| format!("it sent nothing for {} s", timeout.as_secs_f32()))
    }

    /// The memory of its unsent replies, in bytes: with what was sent of them and what was set aside for more.
    fn held(&self) -> usize {
        if self.unsent() > 0 { self.output.capacity() } else { 0 }
    }

    /// The memory of the unsent replies of a client that takes none, unless it may keep its place.
    pub(super) fn debt(&self) -> Option<usize> {
        let keeps_place = self.session.client().has(ClientFlag::KeepsPlace);
        self.blocked_since.filter(|_| !keeps_place).map(|_| self.held())
    }

    fn unsent(&self) -> usize {
        self.output.position() - self.sent
    }
}

/// Corrects a sum of all clients by what one of them has now.
fn recount(sum: &AtomicUsize, counted: &mut usize, now: usize) {
    if now > *counted {
        sum.fetch_add(now - *counted, Ordering::Relaxed);
    } else if now < *counted {
        sum.fetch_sub(*counted - now, Ordering::Relaxed);
    }
    *counted = now;
}
