//! The room that is kept free on the data directory's file system.
//!
//! Promises: below the reserve a batch that puts anything is refused as `Full` before the engine hears of it,
//! one that only deletes passes, and writes resume by themselves. `Storage::apply` alone calls this, one call
//! at a time; the file system is asked at most every tenth of a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter_api::environment::Directory;
use adapter_api::{Batch, EngineError, Mutation};

use crate::config::size;

/// How long an answer of the file system counts.
const ASKED_EVERY: Duration = Duration::from_millis(100);

pub(super) struct DiskReserve {
    directory: Arc<dyn Directory>,
    bytes: u64,
    answer: Mutex<Answer>,
}

/// What the file system said last.
#[derive(Default)]
struct Answer {
    /// When, on the monotone clock; `None` before the first time.
    at: Option<Duration>,
    /// How much was free, if that was less than the reserve.
    too_little: Option<u64>,
}

impl DiskReserve {
    /// Keeps `bytes` free on the file system of `directory`.
    pub(super) fn new(directory: Arc<dyn Directory>, bytes: u64) -> Self {
        Self { directory, bytes, answer: Mutex::default() }
    }

    /// Whether the batch may go to the engine. `now` is of the monotone clock.
    ///
    /// # Errors
    /// `Full` with a sentence for the client and the operator.
    pub(super) fn admit(&self, batch: Batch<'_>, now: Duration) -> Result<(), EngineError> {
        if !batch.iter().any(|mutation| matches!(mutation, Mutation::Put { .. })) {
            return Ok(());
        }
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.at.is_none_or(|at| now.saturating_sub(at) >= ASKED_EVERY) {
            let before = answer.too_little;
            *answer = Answer { at: Some(now), too_little: self.ask() };
            self.log_change(before, answer.too_little);
        }
        answer.too_little.map_or(Ok(()), |free| Err(EngineError::full(self.sentence(free))))
    }

    /// How much is free, if that is less than the reserve. What is not known refuses nothing: the engine hears
    /// of a full disk by itself.
    fn ask(&self) -> Option<u64> {
        self.directory.free_space().ok().filter(|free| *free < self.bytes)
    }

    fn sentence(&self, free: u64) -> String {
        format!(
            "the disk of the data directory has {free} bytes free, less than limits.disk_reserve = {}; delete keys, \
             free space there or lower the setting",
            size(self.bytes)
        )
    }

    fn log_change(&self, before: Option<u64>, after: Option<u64>) {
        match (before, after) {
            (None, Some(free)) => log::warn!("writes are refused, deletes pass: {}", self.sentence(free)),
            (Some(_), None) => log::info!("there is room on the disk again, writes resume"),
            _ => {}
        }
    }
}
