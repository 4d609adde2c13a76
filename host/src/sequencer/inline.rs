//! When a few writes are decided on the thread that submits them, instead of being handed to the commit thread.
//!
//! To hand over costs two wake-ups, which are more than what a small group costs beside its sync. What it gains is that
//! the event loop goes on meanwhile. So a group is decided inline where the loop would have little to go on with, and
//! would soon be back:
//!
//! - nothing else is queued or under way;
//! - its requests are few and only write, so that none of them waits for a device; and each is the only one of its
//!   client, which waits for the answer before it sends more;
//! - the last groups, whoever decided them, were short on average, and the engine's background work is not behind.
//!
//! Whether somebody reads meanwhile only the event loop knows; it does not ask then (`server::EventLoop`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Submission;
use crate::storage::Storage;

/// The bytes of requests that are decided inline at most.
const BYTES_MAX: usize = 64 << 10;

/// The loop is away for so long at most, on average.
const SHORT: Duration = Duration::from_millis(1);

/// The average of groups before any was seen: some dozens of short ones have to show that the disk is quick.
const UNKNOWN: Duration = Duration::from_millis(64);

/// One stalled group counts no more than this one, so that it is forgotten soon.
const LONGEST: Duration = Duration::from_secs(1);

/// How long groups take: an average in which the last eight weigh most.
pub(super) struct Pace {
    /// Noted by the holder of the role alone.
    average_nanos: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { average_nanos: AtomicU64::new(UNKNOWN.as_nanos() as u64) }
    }
}

impl Pace {
    /// Notes how long a group took.
    pub(super) fn took(&self, time: Duration) {
        let average = self.average_nanos.load(Ordering::Relaxed);
        let nanos = time.min(LONGEST).as_nanos() as u64;
        self.average_nanos.store(average - average / 8 + nanos / 8, Ordering::Relaxed);
    }

    fn is_short(&self) -> bool {
        self.average_nanos.load(Ordering::Relaxed) <= SHORT.as_nanos() as u64
    }
}

/// Whether these may be decided on the thread that submits them, as far as they, the pace and the engine go.
pub(super) fn suits(submissions: &[Box<dyn Submission>], pace: &Pace, storage: &Storage) -> bool {
    pace.is_short()
        && submissions.iter().all(|submission| submission.requests() == 1 && submission.only_writes())
        && submissions.iter().map(|submission| submission.bytes()).sum::<usize>() <= BYTES_MAX
        && storage.pressure().level == 0
}
