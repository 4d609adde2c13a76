//! How often each command was called, refused and failed, and how long it took.
//!
//! Promises: a call costs one addition to a number of its own command. Times are taken of one call in
//! [`SAMPLED_CALLS`] and of those that may be slow, so sums of times are estimates.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Counter;

/// Of so many calls of a command one is timed, whatever it is.
pub const SAMPLED_CALLS: u64 = 64;

/// Doublings of a microsecond that a histogram tells apart; the last takes everything above half an hour.
const BUCKETS: usize = 32;

/// What is counted of one command.
#[derive(Debug, Default)]
pub struct Calls {
    /// Calls that were worked out.
    pub made: Counter,
    /// Requests that were refused before they were worked out: the number of arguments, a missing password.
    pub rejected: Counter,
    /// Calls that were answered with an error.
    pub failed: Counter,
    nanoseconds: Counter,
    histogram: [AtomicU64; BUCKETS],
}

impl Calls {
    /// Whether the next call is one that is timed as a sample.
    pub fn is_sampled(&self) -> bool {
        self.made.get().is_multiple_of(SAMPLED_CALLS)
    }

    /// Notes that a timed call, which stands for `weight` calls, took so long.
    pub fn took(&self, time: Duration, weight: u64) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.add(nanoseconds.saturating_mul(weight));
        let bucket = (u64::BITS - (nanoseconds / 1000).leading_zeros()) as usize;
        self.histogram[bucket.min(BUCKETS - 1)].fetch_add(weight, Ordering::Relaxed);
    }

    /// How long all calls took together, in microseconds; an estimate.
    pub fn microseconds(&self) -> u64 {
        self.nanoseconds.get() / 1000
    }

    /// How many calls took at most so many microseconds, ascending, without the bounds at which nothing was
    /// added. Estimated as `microseconds`.
    pub fn histogram(&self) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let mut bounds = Vec::new();
        for (bucket, calls) in self.histogram.iter().enumerate() {
            let calls = calls.load(Ordering::Relaxed);
            sum += calls;
            if calls > 0 {
                bounds.push((1 << bucket, sum));
            }
        }
        bounds
    }

    /// Starts again at nothing.
    pub fn reset(&self) {
        for counter in [&self.made, &self.rejected, &self.failed, &self.nanoseconds] {
            counter.reset();
        }
        self.histogram.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_by_weight_and_sorted_into_doublings() {
        let calls = Calls::default();
        calls.took(Duration::from_micros(3), 1);
        calls.took(Duration::from_nanos(900), 64);
        calls.took(Duration::from_secs(1 << 40), 1);
        assert_eq!(calls.histogram(), [(1, 64), (4, 65), (1 << 31, 66)]);
        calls.reset();
        assert!(calls.histogram().is_empty() && calls.microseconds() == 0);
        calls.took(Duration::from_micros(3), 2);
        assert_eq!(calls.microseconds(), 6);
    }

    #[test]
    fn one_call_of_many_is_a_sample() {
        let calls = Calls::default();
        let sampled = (0..SAMPLED_CALLS * 3).filter(|_| {
            let sampled = calls.is_sampled();
            calls.made.add(1);
            sampled
        });
        assert_eq!(sampled.count(), 3);
    }
}
