//! How finished work comes back to the event loop whose connection asked for it.
//!
//! ```text
//! sequencer, reader threads ── Ticket::answer ──► CompletionQueue ── wakes ──► event loop
//! ```
//!
//! Promises: every ticket comes back exactly once, also when the work panicked or was thrown away; replies that the
//! loop has not taken count among the unsent ones; a loop that sleeps is woken for completions: for a reader's at once,
//! for the sequencer's once a run of them, when the sequencer says so (`announce`). One that is awake is left alone,
//! and looks before it sleeps (`may_sleep`).

use std::io;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::{Poll, Token, Waker};

use super::replies::Answers;
use crate::observe::Observe;

/// Who worked on the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worker {
    Sequencer,
    Reader,
}

/// Work that is finished.
pub(super) struct Completion {
    pub(super) connection: Token,
    pub(super) worker: Worker,
    /// The replies; `None` if the work was thrown away, so that the requests have no answer.
    pub(super) answers: Option<Answers>,
}

impl Completion {
    /// The memory of the replies.
    fn bytes(&self) -> usize {
        self.answers.as_ref().map_or(0, Answers::capacity)
    }
}

/// The finished work of one event loop's connections.
pub(super) struct CompletionQueue {
    unseen: Mutex<Unseen>,
    waker: Waker,
    observe: Arc<Observe>,
}

/// What the loop has not taken yet.
#[derive(Default)]
struct Unseen {
    completions: Vec<Completion>,
    /// Whole runs of them are there, or a reader's.
    announced: bool,
    /// The loop sleeps or is about to, and nobody has woken it since.
    sleeps: bool,
}

impl CompletionQueue {
    /// A queue that wakes `poll` by an event of `token`.
    pub(super) fn new(poll: &Poll, token: Token, observe: Arc<Observe>) -> io::Result<Self> {
        Ok(Self { unseen: Mutex::default(), waker: Waker::new(poll.registry(), token)?, observe })
    }

    /// Wakes the loop although nothing is finished.
    pub(super) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake an event loop: {error}; its clients may wait for their replies");
        }
    }

    /// Has the loop take what is finished and not seen, if there is anything; wakes it if it sleeps.
    pub(super) fn announce(&self) {
        let mut unseen = self.lock();
        unseen.announced = !unseen.completions.is_empty();
        if unseen.announced && mem::replace(&mut unseen.sleeps, false) {
            drop(unseen);
            self.wake();
        }
    }

    /// Whether the loop has seen all that was announced. If so it is woken for what comes, until it takes that. A run
    /// that is still growing does not keep it awake: its replies leave together.
    pub(super) fn may_sleep(&self) -> bool {
        let mut unseen = self.lock();
        unseen.sleeps = !unseen.announced;
        unseen.sleeps
    }

    /// Everything finished since the last call, in the order in which it finished, in the place of `taken`, which
    /// is empty: its memory is for what comes. The loop is not woken from here on.
    pub(super) fn take(&self, taken: &mut Vec<Completion>) {
        debug_assert!(taken.is_empty());
        let mut unseen = self.lock();
        (unseen.announced, unseen.sleeps) = (false, false);
        mem::swap(&mut unseen.completions, taken);
        drop(unseen);
        let bytes = taken.iter().map(Completion::bytes).sum();
        self.observe.unsent_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn push(&self, completion: Completion) {
        self.observe.unsent_bytes.fetch_add(completion.bytes(), Ordering::Relaxed);
        self.lock().completions.push(completion);
    }

    fn lock(&self) -> MutexGuard<'_, Unseen> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to answer one piece of work; goes with the work to whichever thread does it.
pub(super) struct Ticket {
    queue: Arc<CompletionQueue>,
    connection: Token,
    worker: Worker,
    answers: Option<Answers>,
}

impl Ticket {
    /// A ticket for work that `worker` does for `connection`.
    pub(super) fn new(queue: &Arc<CompletionQueue>, connection: Token, worker: Worker) -> Self {
        Self { queue: Arc::clone(queue), connection, worker, answers: None }
    }

    /// Hands the replies to the connection.
    pub(super) fn answer(mut self, answers: Answers) {
        self.answers = Some(answers);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let completion =
            Completion { connection: self.connection, worker: self.worker, answers: self.answers.take() };
        self.queue.push(completion);
        // The sequencer completes many at a time, and says when it has.
        if self.worker == Worker::Reader {
            self.queue.announce();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::{CompletionQueue, Ticket, Worker};
    use crate::command::Replies;
    use crate::observe::Observe;
    use crate::resp::Version;
    use crate::server::replies::Answers;

    #[test]
    fn a_ticket_comes_back_once_with_or_without_its_answer() {
        let mut poll = Poll::new().expect("a poll");
        let observe = Arc::new(Observe::new());
        let queue = Arc::new(CompletionQueue::new(&poll, Token(0), Arc::clone(&observe)).expect("a waker"));
        let answered = Ticket::new(&queue, Token(1), Worker::Sequencer);
        let lost = Ticket::new(&queue, Token(2), Worker::Reader);
        std::thread::spawn(move || {
            let mut answers = Answers::new(Version::Two, 1000);
            answers.simple("OK");
            answered.answer(answers);
            drop(lost);
        });
        let unsent = || observe.unsent_bytes.load(Ordering::Relaxed);
        let (mut seen, mut taken) = (Vec::new(), Vec::new());
        let mut events = Events::with_capacity(4);
        while seen.len() < 2 {
            if !queue.may_sleep() {
                queue.take(&mut taken);
                seen.append(&mut taken);
                continue;
            }
            poll.poll(&mut events, Some(Duration::from_secs(20))).expect("poll works");
            assert!(!events.is_empty(), "a completion did not wake the loop");
            assert!(unsent() >= 5 || !seen.is_empty(), "replies that wait here count");
            queue.take(&mut taken);
            seen.append(&mut taken);
        }
        assert_eq!(seen[0].answers.as_ref().map(|answers| answers.bytes()), Some(&b"+OK\r\n"[..]));
        assert!(seen[1].answers.is_none() && seen[1].connection == Token(2));
        queue.take(&mut taken);
        assert!(taken.is_empty() && unsent() == 0);
    }

    #[test]
    fn a_loop_is_woken_only_while_it_sleeps_and_only_for_whole_runs() {
        let mut poll = Poll::new().expect("a poll");
        let queue = Arc::new(CompletionQueue::new(&poll, Token(0), Arc::default()).expect("a waker"));
        let mut events = Events::with_capacity(4);
        let mut is_woken = || {
            poll.poll(&mut events, Some(Duration::ZERO)).expect("poll works");
            !events.is_empty()
        };
        let finish = |worker| drop(Ticket::new(&queue, Token(1), worker));
        let mut taken = Vec::new();
        finish(Worker::Reader);
        assert!(!queue.may_sleep() && !is_woken(), "it was awake");
        queue.take(&mut taken);
        assert!(queue.may_sleep());
        finish(Worker::Sequencer);
        assert!(queue.may_sleep() && !is_woken(), "the run is not over");
        queue.announce();
        assert!(is_woken());
        finish(Worker::Reader);
        assert!(!is_woken(), "it was woken before");
        taken.clear();
        queue.take(&mut taken);
        assert_eq!(taken.len(), 2);
        queue.announce();
        assert!(queue.may_sleep() && !is_woken(), "it has seen everything");
    }
}
