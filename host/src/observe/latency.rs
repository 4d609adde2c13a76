//! LATENCY: when something took longer than the operator wants to know of, by kind of event.
//!
//! Promises: bounded: 160 samples of each event, and the events are those of the code, not of clients.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many samples of an event are kept.
const SAMPLES_MAX: usize = 160;

/// One second in which an event took long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The second, since 1970.
    pub second: u64,
    /// The longest of that second, in milliseconds.
    pub milliseconds: u64,
}

/// What is known of one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spikes {
    /// The longest since the start or the reset, in milliseconds.
    pub longest: u64,
    /// The newest samples, oldest first.
    pub samples: VecDeque<Sample>,
}

/// Everything that took long.
#[derive(Debug, Default)]
pub struct Latency {
    events: Mutex<BTreeMap<&'static str, Spikes>>,
}

impl Latency {
    /// Notes that an event took so many milliseconds in this second.
    pub fn add(&self, event: &'static str, second: u64, milliseconds: u64) {
        let mut events = self.lock();
        let spikes = events.entry(event).or_default();
        spikes.longest = spikes.longest.max(milliseconds);
        match spikes.samples.back_mut().filter(|last| last.second == second) {
            Some(last) => last.milliseconds = last.milliseconds.max(milliseconds),
            None => spikes.samples.push_back(Sample { second, milliseconds }),
        }
        if spikes.samples.len() > SAMPLES_MAX {
            spikes.samples.pop_front();
        }
    }

    /// Every event with what is known of it, in the order of their names.
    pub fn events(&self) -> Vec<(&'static str, Spikes)> {
        self.lock().iter().map(|(event, spikes)| (*event, spikes.clone())).collect()
    }

    /// Forgets the events that `wanted` says; answers how many there were.
    pub fn reset(&self, wanted: impl Fn(&str) -> bool) -> usize {
        let mut events = self.lock();
        let before = events.len();
        events.retain(|event, _| !wanted(event));
        before - events.len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Spikes>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_sample_and_samples_are_bounded() {
        let latency = Latency::default();
        latency.add("command", 1, 5);
        latency.add("command", 1, 9);
        latency.add("command", 1, 7);
        let (_, spikes) = &latency.events()[0];
        assert_eq!(spikes.samples, [Sample { second: 1, milliseconds: 9 }]);
        (2..1000).for_each(|second| latency.add("command", second, 1));
        let (_, spikes) = &latency.events()[0];
        assert_eq!((spikes.longest, spikes.samples.len()), (9, SAMPLES_MAX));
        assert_eq!(spikes.samples.back().map(|sample| sample.second), Some(999));
        latency.add("other", 1, 1);
        assert_eq!(latency.reset(|event| event == "command"), 1);
        assert_eq!(latency.reset(|_| true), 1);
        assert!(latency.events().is_empty());
    }
}
