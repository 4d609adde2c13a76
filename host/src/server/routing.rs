//! What becomes of a request: answered here, by a reader thread, or by the sequencer.
//!
//! ```text
//!                nothing unanswered before it     behind unanswered requests
//! Local          here                             here; the reply waits in the pipeline
//! Read           here, from memory; else reader   in the pipeline
//! Scan           reader                           waits until they are answered
//! Write          in the pipeline                  in the pipeline
//! ```
//! While a reader works, the connection's next requests wait.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::completion::{Ticket, Worker};
use super::connection::{Connection, Request, Shared};
use crate::command::{self, Admission, Ahead, Arguments, Caller, Class, ReadOutcome, Replies, Row};

/// What came of looking at the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A request was answered or handed on.
    Ran,
    /// No whole request is here.
    NeedsBytes,
    /// The next request has to wait for something that ends with an event.
    Waits,
    /// The next request has to wait until the sequencer has room.
    NoRoom,
    /// The next request has to wait until then, or until a pause is ended.
    WaitsUntil(Instant),
}

impl Connection {
    /// Looks at the next request.
    pub(super) fn step(&mut self, shared: &Shared, ahead: &mut Ahead) -> Step {
        if let Some(until) = self.punished_until {
            return Step::WaitsUntil(until);
        }
        if !self.may_step(shared) {
            return Step::Waits;
        }
        let request = match self.waiting.take() {
            Some(request) => match command::pause_of(request.row, &shared.context) {
                None => request,
                Some(end) => {
                    self.waiting = Some(request);
                    return Step::WaitsUntil(end);
                }
            },
            None => match self.next_request(shared) {
                Ok(request) => request,
                Err(step) => return step,
            },
        };
        let behind = self.is_behind();
        self.last_command = Some(request.row.name);
        match request.row.class {
            Class::Local => self.run_local(request, shared),
            Class::Read if !behind => self.run_read(request, shared, ahead),
            Class::Scan if behind => {
                self.waiting = Some(request);
                return Step::Waits;
            }
            Class::Scan => self.start_reader(request, shared),
            Class::Read | Class::Write if shared.context.sequencer.has_room() => self.push(request, shared),
            Class::Read | Class::Write => {
                self.waiting = Some(request);
                return Step::NoRoom;
            }
        }
        self.input.consume(request.length);
        Step::Ran
    }

    /// Finds the next request and its row; answers it if there is no such command.
    fn next_request(&mut self, shared: &Shared) -> Result<Request, Step> {
        let length = match self.decoder.decode(self.input.unread_mut()) {
            Ok(Some(length)) => length,
            Ok(None) => {
                self.starved = true;
                return Err(Step::NeedsBytes);
            }
            Err(error) => {
                log::info!("closed client {}: {error}", self.session.id);
                self.answer(&format!("ERR {error}"), shared);
                self.stopped = true;
                return Err(Step::Ran);
            }
        };
        if self.decoder.words().is_empty() {
            self.input.consume(length);
            return Err(Step::Ran);
        }
        let mut refusal = self.fresh_answers(shared);
        let arguments = Arguments::new(self.input.unread(), self.decoder.words());
        match command::admit(arguments, &mut self.session, &shared.context, &mut refusal) {
            Admission::Run(row) => Ok(Request { length, row }),
            Admission::WaitUntil(end, row) => {
                self.waiting = Some(Request { length, row });
                Err(Step::WaitsUntil(end))
            }
            Admission::Refused => {
                if !self.session.is_muted() {
                    self.put(refusal.bytes(), shared);
                }
                self.input.consume(length);
                Err(Step::Ran)
            }
        }
    }

    fn run_local(&mut self, request: Request, shared: &Shared) {
        // It may list the clients, this one included.
        self.session.client().active(request.row.name);
        if !self.is_behind() {
            let start = self.output.position();
            let arguments = Arguments::new(self.input.unread(), self.decoder.words());
            command::run_local(request.row, arguments, &mut self.session, &shared.context, &mut self.output);
            if self.session.is_muted() {
                self.output.truncate(start);
            }
        } else {
            let mut answers = self.fresh_answers(shared);
            let arguments = Arguments::new(self.input.unread(), self.decoder.words());
            command::run_local(request.row, arguments, &mut self.session, &shared.context, &mut answers);
            if !self.session.is_muted() {
                self.put(answers.bytes(), shared);
            }
            if answers.version() != self.output.version() {
                // Requests from here on are answered in another protocol than those in the pipeline.
                self.submit(shared);
                self.output.speak_as(&answers);
            }
        }
        self.stopped |= self.session.closing;
        self.decoder.set_stranger(self.session.is_stranger());
        self.punished_until = self.session.penalty.take().map(|penalty| Instant::now() + penalty);
    }

    /// Puts an encoded reply behind the replies before it.
    fn put(&mut self, encoded: &[u8], shared: &Shared) {
        if self.is_behind() {
            self.pipeline(shared).push_reply(encoded);
        } else {
            self.output.encoded(encoded);
        }
    }

    fn run_read(&mut self, request: Request, shared: &Shared, ahead: &mut Ahead) {
        if ahead.advance() && self.input.len() > request.length {
            self.look_ahead(request, shared, ahead);
        }
        let arguments = Arguments::new(self.input.unread(), self.decoder.words());
        let caller = self.session.caller();
        let start = self.output.position();
        let outcome =
            command::run_read(request.row, arguments, caller, &shared.context, ahead, &mut self.output);
        if outcome == ReadOutcome::WouldBlock {
            self.start_reader(request, shared);
        } else if self.session.is_muted() {
            self.output.truncate(start);
        }
    }

    /// Reads what this request and those behind it ask for.
    fn look_ahead(&mut self, request: Request, shared: &Shared, ahead: &mut Ahead) {
        let mut bytes = self.input.unread();
        let mut goes_on = ahead.add(Arguments::new(bytes, self.decoder.words()));
        bytes = &bytes[request.length..];
        while goes_on && let Some(length) = self.decoder.peek(bytes) {
            goes_on = ahead.add(Arguments::new(bytes, self.decoder.peeked()));
            bytes = &bytes[length..];
        }
        ahead.read(self.session.caller().database, &shared.context);
    }

    fn push(&mut self, request: Request, shared: &Shared) {
        let (caller, muted) = (self.session.caller(), self.session.is_muted());
        self.pipeline(shared);
        let Some(pipeline) = &mut self.pipeline else { return };
        let arguments = Arguments::new(self.input.unread(), self.decoder.words());
        pipeline.push_request(request.row, caller, muted, arguments);
    }

    fn start_reader(&mut self, request: Request, shared: &Shared) {
        self.reading = true;
        let job = ReaderJob {
            row: request.row,
            caller: self.session.caller(),
            bytes: self.input.unread()[..request.length].into(),
            words: self.decoder.words().into(),
        };
        let ticket = Ticket::new(&shared.completions, self.token, Worker::Reader);
        let mut answers = self.fresh_answers(shared);
        let muted = self.session.is_muted();
        let context = Arc::clone(&shared.context);
        shared.context.readers.run(Box::new(move || {
            let arguments = Arguments::new(&job.bytes, &job.words);
            command::run_blocking(job.row, arguments, job.caller, &context, &mut answers);
            if muted {
                answers.truncate(0);
            }
            ticket.answer(answers);
        }));
    }
}

/// A request on its way to a reader thread.
struct ReaderJob {
    row: &'static Row,
    caller: Caller,
    bytes: Box<[u8]>,
    words: Box<[Range<u32>]>,
}
