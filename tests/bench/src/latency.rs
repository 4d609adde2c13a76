//! How long requests took, as a histogram: any percentile to three digits, without keeping each time.
//!
//! Promises: nothing recorded is lost: what is longer than the histogram holds counts as the longest it holds.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart, in nanoseconds.
const LONGEST_NS: u64 = 300_000_000_000;
/// The shares whose times a summary and a plot show, in percent.
pub const PERCENTILES: [f64; 7] = [50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];

/// A histogram of times.
#[derive(Clone)]
pub struct Latency {
    histogram: Histogram<u64>,
}

/// What a histogram says, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How many times were recorded.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// Half of them were no longer than this.
    pub p50_us: f64,
    /// 99 % of them were no longer than this.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Pairs of a share in percent and its time.
    pub percentiles_us: Vec<(f64, f64)>,
}

impl Latency {
    /// An empty histogram.
    pub fn new() -> Self {
        let histogram =
            Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are constants that it takes");
        Self { histogram }
    }

    /// Records one time.
    pub fn record(&mut self, time: Duration) {
        self.histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds what another histogram recorded.
    pub fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
    }

    /// How many times were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// This share of the times, in percent, was no longer than the answer, in microseconds.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        self.histogram.value_at_quantile(percent / 100.0) as f64 / 1000.0
    }

    /// What it says.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count(),
            mean_us: self.histogram.mean() / 1000.0,
            p50_us: self.percentile_us(50.0),
            p99_us: self.percentile_us(99.0),
            max_us: self.percentile_us(100.0),
            percentiles_us: PERCENTILES.map(|percent| (percent, self.percentile_us(percent))).to_vec(),
        }
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The histogram's own form lists thousands of counts.
        self.summary().fmt(f)
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(found: f64, expected: f64) -> bool {
        (found / expected - 1.0).abs() < 0.002
    }

    #[test]
    fn percentiles_of_known_times_are_right_to_three_digits() {
        let mut latency = Latency::new();
        (1..=1000).for_each(|us| latency.record(Duration::from_micros(us)));
        let summary = latency.summary();
        assert_eq!(summary.count, 1000);
        for (found, expected) in [
            (summary.p50_us, 500.0),
            (summary.p99_us, 990.0),
            (summary.max_us, 1000.0),
            (summary.mean_us, 500.5),
        ] {
            assert!(is_about(found, expected), "{found} is not about {expected}");
        }
    }

    #[test]
    fn times_outside_the_bounds_count() {
        let mut latency = Latency::new();
        latency.record(Duration::ZERO);
        latency.record(Duration::from_secs(10_000));
        assert_eq!(latency.count(), 2);
        assert!(is_about(latency.percentile_us(100.0), 300e6));
    }

    #[test]
    fn histograms_add_up() {
        let (mut one, mut other) = (Latency::new(), Latency::new());
        one.record(Duration::from_micros(10));
        other.record(Duration::from_micros(30));
        one.add(&other);
        assert_eq!(one.count(), 2);
        assert!(is_about(one.percentile_us(50.0), 10.0) && is_about(one.percentile_us(100.0), 30.0));
    }
}
