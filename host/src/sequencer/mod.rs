//! The owner of all writes.

mod overlay;
mod submission;

use std::sync::Arc;

use adapter_api::EngineError;

use crate::storage::Storage;
pub use overlay::Overlay;
pub use submission::Submission;

/// The bounds of the queue and of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Queued bytes above which `has_room` says no.
    pub queued_bytes: usize,
    /// How many bytes of requests one group takes. A larger request is a group of its own.
    pub group_bytes: usize,
    /// How many requests one group takes.
    pub group_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queued_bytes: 256 << 20, group_bytes: 8 << 20, group_requests: 16_384 }
    }
}

/// The sequencer with its commit thread.
pub struct Sequencer {}

impl Sequencer {
    /// Starts the commit thread over an open engine.
    ///
    /// # Errors
    /// What the engine says when the clock's mark is read; `Failed` if the thread cannot be started.
    pub fn start(storage: Arc<Storage>, limits: Limits) -> Result<Self, EngineError> {
        let _ = (storage, limits);
        Ok(Self {})
    }

    /// Queues a submission. Returns at once; the submission is completed on the commit thread. After
    /// `shutdown` it is refused and completed at once.
    pub fn submit(&self, submission: Box<dyn Submission>) {
        submission.complete();
    }

    /// Whether the queued bytes are below the budget. While they are not, read no more requests.
    pub fn has_room(&self) -> bool {
        true
    }

    /// Completes everything that was submitted, then ends the commit thread.
    pub fn shutdown(&self) {}
}
