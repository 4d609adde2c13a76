//! What waits for the sequencer: submissions in the order in which they came, and the budget of their bytes.
//!
//! Promises: `next_group` takes from the front only, so the order of a connection holds; a submission larger
//! than a group is a group of its own; its bytes count against the budget until it is decided.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Limits, Submission};

/// The queue.
pub(super) struct Queue {
    limits: Limits,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// Bytes of what waits and of what is in the group now.
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    submissions: VecDeque<Queued>,
    closed: bool,
    /// The commit thread waits for something to arrive.
    sleeps: bool,
}

/// A submission with what it counts for.
pub(super) struct Queued {
    pub(super) submission: Box<dyn Submission>,
    /// To be released when it is completed.
    pub(super) bytes: usize,
    pub(super) requests: usize,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, waiting: Mutex::default(), arrived: Condvar::new(), bytes: AtomicUsize::new(0) }
    }

    /// Appends the submissions and has the commit thread take them, or answers `false` and leaves them where they
    /// are if the queue is closed.
    pub(super) fn push_all(&self, submissions: &mut Vec<Box<dyn Submission>>) -> bool {
        let mut waiting = self.lock();
        if waiting.closed {
            return false;
        }
        self.append(&mut waiting, submissions);
        self.rouse(waiting);
        true
    }

    /// Appends the submissions for whoever calls this to take, or answers `false` and leaves them where they are if
    /// others are queued, the commit thread is awake, or the queue is closed.
    pub(super) fn push_all_inline(&self, submissions: &mut Vec<Box<dyn Submission>>) -> bool {
        let mut waiting = self.lock();
        let idle = waiting.sleeps && waiting.submissions.is_empty() && !waiting.closed;
        if idle {
            self.append(&mut waiting, submissions);
        }
        idle
    }

    /// Has the commit thread take what waits, if anything does.
    pub(super) fn hand_over(&self) {
        let waiting = self.lock();
        if !waiting.submissions.is_empty() {
            self.rouse(waiting);
        }
    }

    /// Whether nothing waits, and the commit thread waits for something.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        let waiting = self.lock();
        waiting.sleeps && waiting.submissions.is_empty()
    }

    fn append(&self, waiting: &mut Waiting, submissions: &mut Vec<Box<dyn Submission>>) {
        for submission in submissions.drain(..) {
            let (bytes, requests) = (submission.bytes(), submission.requests());
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
            waiting.submissions.push_back(Queued { submission, bytes, requests });
        }
    }

    fn rouse(&self, waiting: MutexGuard<'_, Waiting>) {
        // To wake nobody would cost a call of the operating system too.
        let wakes = waiting.sleeps;
        drop(waiting);
        if wakes {
            self.arrived.notify_one();
        }
    }

    /// Takes the submissions of the next group without waiting; none if nothing waits.
    pub(super) fn next_group(&self) -> Vec<Queued> {
        let mut waiting = self.lock();
        let (mut taken, mut bytes, mut requests) = (0, 0_usize, 0_usize);
        for next in &waiting.submissions {
            bytes = bytes.saturating_add(next.bytes);
            requests = requests.saturating_add(next.requests);
            if taken > 0 && (bytes > self.limits.group_bytes || requests > self.limits.group_requests) {
                break;
            }
            taken += 1;
        }
        waiting.submissions.drain(..taken).collect()
    }

    /// Waits until something is there; answers `false` if nothing is and the queue is closed.
    pub(super) fn wait(&self) -> bool {
        let mut waiting = self.lock();
        while waiting.submissions.is_empty() && !waiting.closed {
            waiting.sleeps = true;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.sleeps = false;
        }
        !waiting.submissions.is_empty()
    }

    /// Gives the bytes of a submission back to the budget, before it is completed: whoever hears of its
    /// completion finds room.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Whether the bytes are below the budget.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) < self.limits.queued_bytes
    }

    /// Takes nothing in from here on.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes nothing in from here on, and everything that waits out: nobody is left to decide it.
    pub(super) fn abandon(&self) -> VecDeque<Queued> {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.bytes.store(0, Ordering::SeqCst);
        std::mem::take(&mut waiting.submissions)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
