//! How finished work comes back to the event loop whose connection asked for it.
//!
//! ```text
//! sequencer, reader threads ── Ticket::answer ──► CompletionQueue ── wakes ──► event loop
//! ```
//!
//! Promises: every ticket comes back exactly once, also when the work panicked or was thrown away; the loop is
//! woken for each completion that it has not seen.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use mio::{Poll, Token, Waker};

use super::replies::Answers;

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

/// The finished work of one event loop's connections.
pub(super) struct CompletionQueue {
    completions: Mutex<Vec<Completion>>,
    waker: Waker,
}

impl CompletionQueue {
    /// A queue that wakes `poll` by an event of `token`.
    pub(super) fn new(poll: &Poll, token: Token) -> io::Result<Self> {
        Ok(Self { completions: Mutex::default(), waker: Waker::new(poll.registry(), token)? })
    }

    /// Wakes the loop although nothing is finished.
    pub(super) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake an event loop: {error}; its clients may wait for their replies");
        }
    }

    /// Everything finished since the last call, in the order in which it finished.
    pub(super) fn take(&self) -> Vec<Completion> {
        mem::take(&mut *self.completions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, completion: Completion) {
        let mut completions = self.completions.lock().unwrap_or_else(PoisonError::into_inner);
        completions.push(completion);
        // The loop takes all at once, so that only the first needs to wake it.
        let first = completions.len() == 1;
        drop(completions);
        if first {
            self.wake();
        }
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
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::{CompletionQueue, Ticket, Worker};
    use crate::command::Replies;
    use crate::resp::Version;
    use crate::server::replies::Answers;

    #[test]
    fn a_ticket_comes_back_once_with_or_without_its_answer() {
        let mut poll = Poll::new().expect("a poll");
        let queue = Arc::new(CompletionQueue::new(&poll, Token(0)).expect("a waker"));
        let answered = Ticket::new(&queue, Token(1), Worker::Sequencer);
        let lost = Ticket::new(&queue, Token(2), Worker::Reader);
        std::thread::spawn(move || {
            let mut answers = Answers::new(Version::Two, 1000);
            answers.simple("OK");
            answered.answer(answers);
            drop(lost);
        });
        let mut seen = Vec::new();
        let mut events = Events::with_capacity(4);
        while seen.len() < 2 {
            poll.poll(&mut events, Some(Duration::from_secs(20))).expect("poll works");
            assert!(!events.is_empty(), "a completion did not wake the loop");
            seen.extend(queue.take());
        }
        assert_eq!(seen[0].answers.as_ref().map(|answers| answers.bytes()), Some(&b"+OK\r\n"[..]));
        assert!(seen[1].answers.is_none() && seen[1].connection == Token(2));
        assert!(queue.take().is_empty());
    }
}
