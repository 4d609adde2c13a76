//! How long a checkpoint rests between two parts of what it writes.
//!
//! Pages that go out as fast as memory gives them stand before the log's next sync, and take a processor from the readers.
//! So a checkpoint is spread over the time until the next one is due: how much of its pages is written keeps up with how
//! much of the log, or of the dirty pages, that calls for the next one is there.
//!
//! ```text
//! written  ████████████░░░░░░░░   60 %     in the t since it began
//! due      ████████░░░░░░░░░░░░   40 %     so it is ahead by t · (60 / 40 − 1)
//! ```
//!
//! Promises: one that is behind never rests, and a rest is short: where nobody writes any more it still ends soon. Called
//! by the store, in the lane of checkpoints alone: whoever waits for one has no time to rest.

use std::time::Duration;

/// So many bytes are written between two rests: what a device takes in a moment.
const PART_BYTES: u64 = 256 << 10;
/// The longest rest, so that a checkpoint writes some 25 MB a second at least.
const REST_MOST: Duration = Duration::from_millis(10);
/// A shorter one is not worth being woken for.
const REST_LEAST: Duration = Duration::from_micros(200);

/// How far a checkpoint is with its pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headway {
    /// The pages that were written, and how many there are.
    pub(crate) pages: (u64, u64),
    pub(crate) bytes_written: u64,
}

/// When a checkpoint began, by the monotone clock, and when its next part may be written.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    begun: Duration,
    part_ends: u64,
    resumes: Duration,
}

impl Pace {
    /// Of a checkpoint that begins now.
    pub(crate) fn new(now: Duration) -> Self {
        Self { begun: now, part_ends: PART_BYTES, resumes: now }
    }

    /// What is left of the rest that was taken last.
    pub(crate) fn rest_left(&self, now: Duration) -> Option<Duration> {
        self.resumes.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Begins a rest behind a step, if a part is written and the checkpoint is ahead. `due` is how much of what calls for
    /// the next one is there, in thousandths.
    pub(crate) fn rest(&mut self, now: Duration, headway: Headway, due: u64) -> Option<Duration> {
        if headway.bytes_written < self.part_ends {
            return None;
        }
        self.part_ends = headway.bytes_written + PART_BYTES;
        let (done, total) = headway.pages;
        let written = done as f64 * 1000.0 / total.max(1) as f64;
        // At first little is known: it rests no longer than it has worked.
        let ahead = (written / due as f64 - 1.0).clamp(0.0, 1.0);
        let rest = now.saturating_sub(self.begun).mul_f64(ahead).min(REST_MOST);
        if rest < REST_LEAST {
            return None;
        }
        self.resumes = now + rest;
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rest(done: u64, bytes_written: u64, due: u64) -> Option<Duration> {
        Pace::new(SECOND).rest(SECOND * 2, Headway { pages: (done, 1000), bytes_written }, due)
    }

    #[test]
    fn a_checkpoint_rests_as_long_as_it_is_ahead_and_never_for_long() {
        // In a second it wrote 402 of 1000 pages where 400 were due.
        let short = rest(402, PART_BYTES, 400).unwrap();
        assert!(short > Duration::from_millis(4) && short < Duration::from_millis(6), "{short:?}");
        for due in [0, 1, 100] {
            assert_eq!(rest(500, PART_BYTES, due), Some(REST_MOST), "{due}");
        }
    }

    #[test]
    fn a_checkpoint_that_began_just_now_does_not_rest() {
        let headway = Headway { pages: (500, 1000), bytes_written: PART_BYTES };
        assert_eq!(Pace::new(SECOND).rest(SECOND + REST_LEAST / 2, headway, 0), None);
    }

    #[test]
    fn a_checkpoint_that_is_behind_or_has_written_little_does_not_rest() {
        assert_eq!(rest(400, PART_BYTES, 400), None);
        assert_eq!(rest(400, PART_BYTES, 2_000), None);
        assert_eq!(rest(1000, PART_BYTES - 1, 1), None);
    }

    #[test]
    fn a_rest_is_over_when_its_time_is_and_not_before() {
        let mut pace = Pace::new(SECOND);
        let headway = Headway { pages: (1, 2), bytes_written: PART_BYTES };
        assert_eq!(pace.rest(SECOND * 2, headway, 1), Some(REST_MOST));
        assert_eq!(pace.rest_left(SECOND * 2 + REST_MOST / 2), Some(REST_MOST / 2));
        assert_eq!(pace.rest_left(SECOND * 2 + REST_MOST), None);
    }
}
