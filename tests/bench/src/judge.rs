//! Targets, and whether they are met.
//!
//! Promises: a ratio target is met within a tolerance of 0.05, which is what runs differ by; a tie is met
//! from 0.9 on, which is its own tolerance. What has no target is not judged.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::pairs::Spread;

/// By how much a ratio may miss its target.
const TOLERANCE: f64 = 0.05;
/// From which ratio on two servers are equally fast.
const TIE: f64 = 0.9;

/// What the ratio ours / rival is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// As good as the rival's.
    Tie,
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Target {
    /// The ratio that it asks for, without the tolerance of [`is_met`](Self::is_met).
    pub fn ratio(self) -> f64 {
        match self {
            Self::Tie => TIE,
            Self::AtLeast(target) | Self::AtMost(target) => target,
        }
    }

    /// Whether the median ratio meets the target.
    pub fn is_met(self, median: f64) -> bool {
        match self {
            Self::Tie => median >= TIE,
            Self::AtLeast(target) => median >= target - TOLERANCE,
            Self::AtMost(target) => median <= target + TOLERANCE,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tie => f.write_str("tie"),
            Self::AtLeast(target) => write!(f, "≥{target}"),
            Self::AtMost(target) => write!(f, "≤{target}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is expected of a row, and what we are after.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Targets {
    /// Expected: a miss is a defect.
    pub must: Option<Target>,
    /// What we are after.
    pub reach: Option<Target>,
}

/// What became of a row's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What is expected was missed.
    Missed,
    /// What is expected is met; what we are after is not, if there is such a thing.
    Met,
    /// What we are after is met.
    Reached,
    /// Nothing is expected of this row.
    Informative,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missed => "MISSED",
            Self::Met => "met",
            Self::Reached => "reached",
            Self::Informative => "–",
        })
    }
}

impl Targets {
    /// The verdict on the spread of a row's ratios; its median counts.
    pub fn judge(self, ratio: Spread) -> Verdict {
        let is_met = |target: Option<Target>| target.map(|target| target.is_met(ratio.median));
        match (is_met(self.must), is_met(self.reach)) {
            (None, None) => Verdict::Informative,
            (Some(false), _) => Verdict::Missed,
            (_, Some(true)) => Verdict::Reached,
            (Some(true), _) => Verdict::Met,
            (None, Some(false)) => Verdict::Informative,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(must: Option<Target>, reach: Option<Target>, median: f64) -> Verdict {
        Targets { must, reach }.judge(Spread { median, min: 0.1, max: 9.0 })
    }

    #[test]
    fn a_target_is_met_within_the_tolerance_and_not_beyond() {
        use Target::{AtLeast, AtMost, Tie};
        for (target, met, missed) in
            [(AtLeast(1.3), 1.251, 1.249), (AtMost(0.7), 0.749, 0.751), (Tie, 0.9, 0.899)]
        {
            assert!(target.is_met(met) && !target.is_met(missed), "{target}");
        }
    }

    #[test]
    fn the_median_decides_between_missed_met_and_reached() {
        let (must, reach) = (Some(Target::Tie), Some(Target::AtLeast(1.1)));
        assert_eq!(verdict(must, reach, 0.8), Verdict::Missed);
        assert_eq!(verdict(must, reach, 1.0), Verdict::Met);
        assert_eq!(verdict(must, reach, 1.06), Verdict::Reached);
        assert_eq!(verdict(must, None, 5.0), Verdict::Met);
        assert_eq!(verdict(None, None, 0.1), Verdict::Informative);
    }

    #[test]
    fn less_is_better_where_the_target_says_so() {
        let (must, reach) = (Some(Target::AtMost(0.8)), Some(Target::AtMost(0.6)));
        assert_eq!(verdict(must, reach, 0.9), Verdict::Missed);
        assert_eq!(verdict(must, reach, 0.8), Verdict::Met);
        assert_eq!(verdict(must, reach, 0.5), Verdict::Reached);
    }
}
