//! The owner of all writes: it puts them in order, groups them, and alone calls `apply`.
//!
//! Promises: requests of a connection are decided in the order in which they were submitted; each is
//! evaluated on the engine plus what its group already wrote, so read-modify-write needs no lock; answers go
//! out after `apply` has returned. Nothing that was submitted waits for ever: should the commit thread end by a
//! defect, what waits is dropped, what comes is refused, and the server is told to end. The server submits;
//! `command::Pipeline` is the submission.
//!
//! ```text
//!   connection ─┐
//!   connection ─┼─ submit ─▶ queue ─▶ group ─▶ evaluate on the overlay ─▶ one batch ─▶ apply ─▶ complete
//!   connection ─┘   budget      ▲                                                       │
//!                               └── the next group forms while the engine works ────────┘
//! ```
//!
//! The sequencer is a role, not a thread: whoever holds the lock of the role takes the next group through. That is the
//! commit thread, or for a few writes that will not take long the thread that submits them (`inline`).

mod fetched;
mod group;
mod inline;
mod instant;
mod overlay;
mod queue;
mod submission;
#[cfg(test)]
mod tests;
mod written;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use adapter_api::EngineError;

use crate::observe::Counter;
use crate::storage::Storage;
use group::Role;
use inline::Pace;
pub use overlay::Overlay;
use queue::Queue;
pub use submission::Submission;

/// The bounds of the queue and of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Queued bytes from which on `has_room` says no.
    pub queued_bytes: usize,
    /// How many bytes of requests one group takes; a larger submission is a group of its own. Also the bytes of
    /// writes at which a batch ends.
    pub group_bytes: usize,
    /// How many requests one group takes. A longer submission is a group of its own.
    pub group_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queued_bytes: 256 << 20, group_bytes: 8 << 20, group_requests: 16_384 }
    }
}

/// The sequencer with its commit thread.
pub struct Sequencer {
    shared: Arc<Shared>,
    commit_thread: Mutex<Option<JoinHandle<()>>>,
}

type Listener = Box<dyn Fn() + Send + Sync>;

struct Shared {
    storage: Arc<Storage>,
    queue: Queue,
    role: Mutex<Role>,
    pace: Pace,
    /// Who hears of completions.
    listeners: Mutex<Vec<Listener>>,
    /// Who hears that the commit thread ended by a defect.
    failure_listeners: Mutex<Vec<Listener>>,
    groups: Counter,
    requests: Counter,
}

impl Sequencer {
    /// Starts the commit thread over an open engine.
    ///
    /// # Errors
    /// What the engine says when the clock's mark is read; `Failed` if the thread cannot be started.
    pub fn start(storage: Arc<Storage>, limits: Limits) -> Result<Self, EngineError> {
        let sequencer = Self::without_thread(storage, limits)?;
        let shared = Arc::clone(&sequencer.shared);
        let work = move || {
            let _end = EndOfThread(&shared);
            while shared.queue.wait() {
                shared.run_once();
            }
        };
        let thread = thread::Builder::new()
            .name("commit".to_string())
            .spawn(work)
            .map_err(|error| EngineError::failed_by("the commit thread could not be started", error))?;
        *sequencer.commit_thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(sequencer)
    }

    fn without_thread(storage: Arc<Storage>, limits: Limits) -> Result<Self, EngineError> {
        let role = Mutex::new(Role::new(&storage, limits.group_bytes)?);
        let shared = Shared {
            storage,
            queue: Queue::new(limits),
            role,
            pace: Pace::default(),
            listeners: Mutex::default(),
            failure_listeners: Mutex::default(),
            groups: Counter::default(),
            requests: Counter::default(),
        };
        Ok(Self { shared: Arc::new(shared), commit_thread: Mutex::default() })
    }

    /// Queues a submission. Returns at once; the submission is completed on the commit thread. After
    /// `shutdown` it is refused and completed at once, on the caller's thread.
    pub fn submit(&self, submission: Box<dyn Submission>) {
        self.submit_all(&mut vec![submission]);
    }

    /// Queues several submissions together, so that one group can take them all, and leaves the list empty.
    /// Otherwise as `submit`.
    pub fn submit_all(&self, submissions: &mut Vec<Box<dyn Submission>>) {
        if submissions.is_empty() || self.shared.queue.push_all(submissions) {
            return;
        }
        let error = EngineError::rejected("the server is shutting down");
        for mut refused in submissions.drain(..) {
            for request in 0..refused.requests() {
                refused.refuse(request, &error);
            }
            refused.complete();
        }
        self.shared.announce();
    }

    /// Like `submit_all`, but decides the submissions before it returns, on the caller's thread, if they only write, are
    /// few, and it seems that nobody has to wait long; answers whether it did.
    pub fn submit_all_inline(&self, submissions: &mut Vec<Box<dyn Submission>>) -> bool {
        if submissions.is_empty() {
            return false;
        }
        let shared = &self.shared;
        let mut role = match shared.role.try_lock() {
            Ok(role) => role,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.hand_over(submissions),
        };
        if !inline::suits(submissions, &shared.pace, &shared.storage)
            || !shared.queue.push_all_inline(submissions)
        {
            drop(role);
            return self.hand_over(submissions);
        }
        shared.run_group(&mut role);
        drop(role);
        // What other threads submitted meanwhile, they told the commit thread; it may have slept through nothing else.
        shared.queue.hand_over();
        true
    }

    fn hand_over(&self, submissions: &mut Vec<Box<dyn Submission>>) -> bool {
        self.submit_all(submissions);
        false
    }

    /// Calls `listener` after each run of submissions that were completed, on the thread that completed them. It
    /// must not block, nor use the sequencer.
    pub fn on_completions(&self, listener: impl Fn() + Send + Sync + 'static) {
        lock(&self.shared.listeners).push(Box::new(listener));
    }

    /// Calls `listener` should the commit thread end by a defect, on that thread. It must not block, nor use the
    /// sequencer.
    pub fn on_failure(&self, listener: impl Fn() + Send + Sync + 'static) {
        lock(&self.shared.failure_listeners).push(Box::new(listener));
    }

    /// Whether the queued bytes are below the budget. While they are not, read no more requests.
    pub fn has_room(&self) -> bool {
        self.shared.queue.has_room()
    }

    /// Completes everything that was submitted, then ends the commit thread. Answers `false` if that has ended
    /// by a defect before. Not to be called from a submission.
    pub fn shutdown(&self) -> bool {
        self.shared.queue.close();
        let thread = self.commit_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.is_none_or(|thread| thread.join().is_ok())
    }

    /// How many groups went through so far.
    pub fn groups(&self) -> u64 {
        self.shared.groups.get()
    }

    /// How many requests went through so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.get()
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    /// Takes the role and one group through it; answers `false` if nothing waits.
    fn run_once(&self) -> bool {
        // A poisoned role is whole: a group begins by clearing what the one before it left.
        self.run_group(&mut self.role.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run_group(&self, role: &mut Role) -> bool {
        let group = self.queue.next_group();
        if group.is_empty() {
            return false;
        }
        let begun = Instant::now();
        self.groups.add(1);
        self.requests.add(group.iter().map(|queued| queued.requests as u64).sum());
        role.run(group, &self.storage, &mut |decided| {
            for queued in decided {
                self.queue.release(queued.bytes);
                if catch_unwind(AssertUnwindSafe(|| queued.submission.complete())).is_err() {
                    log::error!("an answer could not be handed over, which is a defect");
                }
            }
            self.announce();
        });
        self.pace.took(begun.elapsed());
        true
    }

    fn announce(&self) {
        lock(&self.listeners).iter().for_each(|listener| listener());
    }
}

fn lock(listeners: &Mutex<Vec<Listener>>) -> MutexGuard<'_, Vec<Listener>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to it that nobody waits for a commit thread that ended in a panic.
struct EndOfThread<'a>(&'a Shared);

impl Drop for EndOfThread<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        log::error!("the commit thread ended in a panic, which is a defect; no more writes are taken");
        // Whoever waits for them hears that there is no answer.
        drop(self.0.queue.abandon());
        self.0.announce();
        lock(&self.0.failure_listeners).iter().for_each(|listener| listener());
    }
}
