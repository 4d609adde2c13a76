//! One group's way through the sequencer: evaluate, apply, answer.
//!
//! Promises: every request of every submission is evaluated and applied, or refused, exactly once in the
//! end; no batch is larger than the engine takes, nor goes on behind a swap of databases; one ends when its
//! requests have written, read or answered more than the bounds, so that small requests for much neither hold
//! others up nor fill the memory; an answer goes out only after what it says is applied.
//!
//! ```text
//! run ─▶ evaluate requests in order on the overlay, until all are or the batch is full ─▶ apply ─▶ go on
//!                                                                       │
//!   Rejected, Full, Unsupported: discard, then one request at a time ◀──┤
//!   anything else: the outcome is unknown, refuse all of the batch   ◀──┘
//! ```
//!
//! After a failure of unknown outcome no write is tried again; requests go one at a time, so that reads
//! among them are answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use adapter_api::EngineError;

use super::Submission;
use super::instant::{Instants, MARK_BYTES_MAX};
use super::overlay::{Overlay, Writes};
use super::queue::Queued;
use crate::storage::Storage;

/// The bytes of values that requests of one batch were given, above which it ends.
const READ_BYTES_MAX: usize = 4 << 20;

/// The bytes of the answers to one batch, above which it ends.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What becomes of submissions whose requests are all decided.
pub(super) type Complete<'a> = dyn FnMut(&mut dyn Iterator<Item = Queued>) + 'a;

/// What the holder of the role keeps from group to group.
pub(super) struct Role {
    instants: Instants,
    writes: Writes,
    /// The bytes of writes at which a batch ends, if the engine takes so many.
    batch_bytes: usize,
}

/// The place of a request in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    submission: usize,
    request: usize,
}

/// What became of a batch that was not applied.
enum Refusal {
    /// The engine changed nothing.
    Unchanged(EngineError),
    /// Nobody knows what the engine did.
    Unknown(EngineError),
}

impl Role {
    /// The role over an open engine that nobody else writes to. A batch ends when it has `batch_bytes`, or what the
    /// engine takes if that is less.
    ///
    /// # Errors
    /// What the engine says when the mark of the clock is read.
    pub(super) fn new(storage: &Storage, batch_bytes: usize) -> Result<Self, EngineError> {
        Ok(Self { instants: Instants::resume(storage)?, writes: Writes::default(), batch_bytes })
    }

    /// Takes a group through; hands submissions to `complete`, in runs, once all of their requests are decided.
    pub(super) fn run(&mut self, group: Vec<Queued>, storage: &Storage, complete: &mut Complete<'_>) {
        let now = self.instants.next(storage.clock().wall());
        let submissions = group.into_iter().map(Some).collect();
        let mut run = Run { role: self, storage, now, submissions, completed: 0, answer_bytes: 0 };
        run.all(complete);
    }
}

struct Run<'a> {
    role: &'a mut Role,
    storage: &'a Storage,
    now: Duration,
    /// `None` once completed.
    submissions: Vec<Option<Queued>>,
    /// How many of them are completed: the first ones.
    completed: usize,
    /// The bytes of the answers to the requests of the batch.
    answer_bytes: usize,
}

impl Run<'_> {
    fn all(&mut self, complete: &mut Complete<'_>) {
        self.role.writes.clear();
        self.fetch();
        let end = Place { submission: self.submissions.len(), request: 0 };
        let mut from = self.settle(Place { submission: 0, request: 0 });
        loop {
            self.complete_before(from, complete);
            if from >= end {
                break;
            }
            from = match self.storage.write_refusal() {
                None => self.one_batch(from),
                Some(_) => {
                    self.one_at_a_time(from, self.after(from));
                    self.after(from)
                }
            };
        }
        self.role.writes.clear();
    }

    /// Fetches what the requests will read together. Only a hint: what fails here fails again, with a
    /// client to tell, when it is read alone.
    fn fetch(&mut self) {
        let fetched = self.role.writes.fetched();
        for queued in self.submissions.iter().flatten() {
            queued.submission.reads(&mut |key| fetched.add(key));
        }
        let _ = fetched.fetch(self.storage);
    }

    /// Takes as many requests as one batch holds; returns the first one behind them.
    fn one_batch(&mut self, from: Place) -> Place {
        let end = self.submissions.len();
        let mut place = from;
        self.answer_bytes = 0;
        while place.submission < end {
            self.evaluate(place);
            if self.role.writes.bytes() > self.batch_bytes_max()
                && self.role.writes.bytes_before_request() > 0
            {
                // It belongs to the next batch, where it will be evaluated again.
                self.role.writes.undo();
                self.discard(place);
                break;
            }
            place = self.after(place);
            if self.is_full() {
                break;
            }
        }
        match self.apply(true) {
            Ok(()) => self.role.writes.clear(),
            Err(Refusal::Unknown(error)) => self.refuse(from, place, &error),
            Err(Refusal::Unchanged(_)) => {
                self.discard_from(from, place);
                self.one_at_a_time(from, place);
            }
        }
        place
    }

    /// Whether the batch ends with the request that was evaluated last.
    fn is_full(&self) -> bool {
        let writes = &self.role.writes;
        writes.bytes() > self.batch_bytes_max()
            || writes.bytes() >= self.role.batch_bytes
            || writes.read_bytes() > READ_BYTES_MAX
            || self.answer_bytes > ANSWER_BYTES_MAX
            || writes.databases().is_some()
    }

    /// Evaluates and applies requests each on its own, so that one that the engine refuses fails alone.
    fn one_at_a_time(&mut self, from: Place, to: Place) {
        let mut place = from;
        while place < to {
            self.role.writes.clear();
            self.evaluate(place);
            // Without a mark of the clock: on a full disk a delete must pass on its own.
            if let Err(Refusal::Unchanged(error) | Refusal::Unknown(error)) = self.apply(false) {
                self.refuse_one(place, &error);
            }
            place = self.after(place);
        }
        self.role.writes.clear();
    }

    /// Applies what was written so far, unless that is nothing.
    fn apply(&mut self, with_mark: bool) -> Result<(), Refusal> {
        let Role { instants, writes, .. } = &mut *self.role;
        if writes.bytes() == 0 {
            return Ok(());
        }
        let largest = self.storage.description().batch_bytes_max;
        if writes.bytes() as u64 > largest {
            let message =
                format!("the write takes {} bytes, the engine takes {largest} at once", writes.bytes());
            return Err(Refusal::Unchanged(EngineError::rejected(message)));
        }
        let room = largest - writes.bytes() as u64 >= MARK_BYTES_MAX as u64;
        let mark = instants.due_mark().filter(|_| with_mark && room);
        let marks = mark.is_some_and(|(key, value)| writes.put_unread(key, &value).is_ok());
        match self.storage.apply(writes.batch()) {
            Ok(()) => {
                if marks {
                    instants.marked();
                }
                if let Some(databases) = writes.databases() {
                    self.storage.set_databases(databases);
                }
                Ok(())
            }
            Err(error) if error.changed_nothing() => Err(Refusal::Unchanged(error)),
            Err(error) => Err(Refusal::Unknown(error)),
        }
    }

    fn batch_bytes_max(&self) -> usize {
        usize::try_from(self.storage.description().batch_bytes_max).unwrap_or(usize::MAX)
    }

    /// Evaluates one request. If that panics the request is refused, and nobody else hears of it.
    fn evaluate(&mut self, place: Place) {
        self.role.writes.begin_request();
        let Some(Some(queued)) = self.submissions.get_mut(place.submission) else { return };
        let before = queued.submission.answer_bytes();
        let mut overlay = Overlay { writes: &mut self.role.writes, storage: self.storage, now: self.now };
        let evaluated =
            catch_unwind(AssertUnwindSafe(|| queued.submission.evaluate(place.request, &mut overlay)));
        self.answer_bytes += queued.submission.answer_bytes().saturating_sub(before);
        if evaluated.is_err() {
            log::error!("a request ended in a panic, which is a defect; only its client gets an error");
            self.role.writes.undo();
            self.discard(place);
            self.refuse_discarded(place, &EngineError::rejected("the server has a defect here; see its log"));
        }
    }

    /// Discards and refuses the requests of a batch whose outcome nobody knows.
    fn refuse(&mut self, from: Place, to: Place, error: &EngineError) {
        self.discard_from(from, to);
        let mut place = from;
        while place < to {
            self.refuse_discarded(place, error);
            place = self.after(place);
        }
        self.role.writes.clear();
    }

    fn refuse_one(&mut self, place: Place, error: &EngineError) {
        self.discard(place);
        self.refuse_discarded(place, error);
    }

    fn refuse_discarded(&mut self, place: Place, error: &EngineError) {
        self.guarded(place, |submission| submission.refuse(place.request, error));
    }

    fn discard_from(&mut self, from: Place, to: Place) {
        self.discard(from);
        for submission in from.submission + 1..self.submissions.len().min(to.submission + 1) {
            self.discard(Place { submission, request: 0 });
        }
    }

    /// Discards the answer of a request and of those behind it in its submission.
    fn discard(&mut self, place: Place) {
        self.guarded(place, |submission| submission.discard(place.request));
    }

    fn guarded(&mut self, place: Place, act: impl FnOnce(&mut dyn Submission)) {
        if let Some(Some(queued)) = self.submissions.get_mut(place.submission)
            && catch_unwind(AssertUnwindSafe(|| act(&mut *queued.submission))).is_err()
        {
            log::error!("an answer could not be taken back, which is a defect");
        }
    }

    /// The request behind this one.
    fn after(&self, place: Place) -> Place {
        self.settle(Place { request: place.request + 1, ..place })
    }

    /// The place itself, or the first request of a later submission if its own has no more.
    fn settle(&self, mut place: Place) -> Place {
        while let Some(submission) = self.submissions.get(place.submission) {
            if submission.as_ref().is_some_and(|queued| place.request < queued.requests) {
                break;
            }
            place = Place { submission: place.submission + 1, request: 0 };
        }
        place
    }

    /// Hands over the submissions before that of the place that were not handed over yet.
    fn complete_before(&mut self, place: Place, complete: &mut Complete<'_>) {
        let decided = self.completed..place.submission.min(self.submissions.len());
        if !decided.is_empty() {
            self.completed = decided.end;
            complete(&mut self.submissions[decided].iter_mut().filter_map(Option::take));
        }
    }
}
