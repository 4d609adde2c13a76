//! What a store was doing when it was crashed, counted by distinct states: so that a judge can say how many crashes lay in
//! what it is asked about.
//!
//! ```text
//! by the disk    the last call that changed it: "data: checkpoint write", "log: durable log write", …
//! by the engine  its counters that grew in the call that the crash cut short, or in the recovery
//! ```
//!
//! Promises: it looks on; what is judged, and in what order, does not depend on it. Called by `judge`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::environment::Recording;

/// What a store was doing at one moment.
#[derive(Clone, Debug, Default)]
pub struct Doing {
    call: Option<Arc<str>>,
    counters: Vec<Arc<str>>,
}

impl Doing {
    /// What a store was doing at each moment of a recording.
    pub fn at_moments(recording: &Recording) -> Vec<Self> {
        let mut kinds: BTreeMap<usize, Arc<str>> = BTreeMap::new();
        let mut call = |change: Option<usize>| {
            let change = change?;
            let line = recording.lines.get(change)?;
            Some(Arc::clone(kinds.entry(change).or_insert_with(|| kind(line).into())))
        };
        let mut doings: Vec<_> = recording
            .moments
            .iter()
            .map(|moment| Self { call: call(moment.change), counters: Vec::new() })
            .collect();
        for (moments, counter) in &recording.growth {
            let some = doings.get_mut(moments.clone()).into_iter().flatten();
            some.for_each(|doing| doing.counters.push(Arc::clone(counter)));
        }
        doings
    }
}

/// A line of a recording without what differs from one call to the next: numbers, and the numbers in names.
fn kind(line: &str) -> String {
    let words = line.split(' ').take_while(|word| *word != "of" && !word.starts_with(char::is_numeric));
    let word = |word: &str| {
        let letters: String = word.chars().take_while(char::is_ascii_alphabetic).collect();
        if word.ends_with(':') { letters + ":" } else { letters }
    };
    words.map(word).collect::<Vec<_>>().join(" ")
}

/// How many distinct states lay in what.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    calls: BTreeMap<Arc<str>, u64>,
    counters: BTreeMap<Arc<str>, u64>,
}

impl Activity {
    /// One more state.
    pub fn add(&mut self, doing: &Doing) {
        if let Some(call) = &doing.call {
            *self.calls.entry(Arc::clone(call)).or_default() += 1;
        }
        for counter in &doing.counters {
            *self.counters.entry(Arc::clone(counter)).or_default() += 1;
        }
    }

    /// In how many states a counter grew in the call that the crash cut short.
    pub fn states_in(&self, counter: &str) -> u64 {
        self.counters.get(counter).copied().unwrap_or(0)
    }

    /// How many states lay right behind such a call to the disk.
    pub fn states_behind(&self, call: &str) -> u64 {
        self.calls.get(call).copied().unwrap_or(0)
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<Arc<str>, u64>| {
            counts.iter().map(|(what, states)| format!("{what} {states}")).collect::<Vec<_>>().join(", ")
        };
        if !self.calls.is_empty() {
            writeln!(f, "states by the last call before the crash: {}", list(&self.calls))?;
        }
        if !self.counters.is_empty() {
            writeln!(f, "states in a call in which a counter grew: {}", list(&self.counters))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_of_one_kind_whatever_their_numbers() {
        for (line, expected) in [
            ("data: durable metadata write of 72 bytes at 4096, digest 01ab", "data: durable metadata write"),
            (
                "log-000000000000a1: durable log write of 4096 bytes at 8192, digest 00",
                "log: durable log write",
            ),
            ("rename spare-3 to log-000f", "rename spare to log"),
            ("snapshot.json: set length 728, digest 0000", "snapshot: set length"),
            ("sync the directory", "sync the directory"),
        ] {
            assert_eq!(kind(line), expected);
        }
    }
}
