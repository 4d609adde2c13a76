//! What is counted and timed of each request: INFO commandstats, SLOWLOG, LATENCY.
//!
//! Promises: a request that nobody asked to time costs one addition and two loads. The clock is read for one
//! call in 64 of a command, for requests that may be slow by their kind or size, and for all while the operator
//! wants to see what takes less than a millisecond.

use std::time::{Duration, Instant};

use super::table::{Class, Row};
use super::{Arguments, Caller, Context};
use crate::observe::{Calls, SAMPLED_CALLS, SlowRequest, shortened};

/// A quick command with more words or bytes than these may be slow all the same.
const QUICK_WORDS_MAX: usize = 32;
const QUICK_BYTES_MAX: usize = 64 * 1024;

/// Below so many microseconds of `slowlog-log-slower-than`, or milliseconds of `latency-monitor-threshold`, every
/// request is timed.
const ALL_BELOW_MICROS: i64 = 1000;

/// One request that is worked out now.
pub(super) struct Timing<'a> {
    calls: &'a Calls,
    /// Since when, and how many calls it stands for; `None` if it is not timed.
    started: Option<(Instant, u64)>,
}

impl<'a> Timing<'a> {
    /// Called before the request is worked out.
    pub(super) fn begin(row: &Row, arguments: Arguments<'_>, context: &'a Context) -> Self {
        let calls = &context.calls[row.place()];
        let live = &context.settings.live;
        let all = (0..ALL_BELOW_MICROS).contains(&live.slowlog_micros()) || live.latency_threshold_ms() == 1;
        let timed = all || may_be_slow(row, arguments);
        let weight = if timed { 1 } else { SAMPLED_CALLS };
        let started = (timed || calls.is_sampled()).then(|| (Instant::now(), weight));
        Self { calls, started }
    }

    /// Called once it is worked out.
    pub(super) fn end(
        self,
        failed: bool,
        row: &Row,
        arguments: Arguments<'_>,
        caller: Caller,
        context: &Context,
    ) {
        self.calls.made.add(1);
        if failed {
            self.calls.failed.add(1);
        }
        if let Some((started, weight)) = self.started {
            let took = started.elapsed();
            self.calls.took(took, weight);
            let event = if row.is_fast { "fast-command" } else { "command" };
            note_latency(event, took, context);
            let threshold = context.settings.live.slowlog_micros();
            if u64::try_from(threshold).is_ok_and(|threshold| took.as_micros() >= u128::from(threshold)) {
                note_slow(took, row, arguments, caller, context);
            }
        }
    }
}

/// Whether the request is worth two looks at the clock.
fn may_be_slow(row: &Row, arguments: Arguments<'_>) -> bool {
    let blind_write = row.class == Class::Write && !row.reads_keys(arguments.len());
    let quick = row.is_fast || blind_write;
    !quick || arguments.len() > QUICK_WORDS_MAX || arguments.whole().len() > QUICK_BYTES_MAX
}

/// Notes an event for LATENCY if it took long enough.
pub(super) fn note_latency(event: &'static str, took: Duration, context: &Context) {
    let threshold = context.settings.live.latency_threshold_ms();
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if threshold > 0 && milliseconds >= threshold {
        context.observe.latency.add(event, context.storage.clock().wall().as_secs(), milliseconds);
    }
}

#[cold]
fn note_slow(took: Duration, row: &Row, arguments: Arguments<'_>, caller: Caller, context: &Context) {
    let client = context.observe.clients.find(caller.client);
    let words = shown_words(row, arguments);
    let request = SlowRequest {
        id: 0,
        time: context.storage.clock().wall(),
        took,
        words: shortened(words.iter().copied()),
        address: client.as_ref().map_or_else(String::new, |client| client.address().to_string()),
        name: client.map_or_else(String::new, |client| client.name()),
    };
    context.observe.slowlog.add(request, context.settings.live.slowlog_len_max());
}

/// The words of a request with `(redacted)` in the place of passwords.
pub(super) fn shown_words<'a>(row: &Row, arguments: Arguments<'a>) -> Vec<&'a [u8]> {
    const REDACTED: &[u8] = b"(redacted)";
    let mut words: Vec<&[u8]> = arguments.from(0).collect();
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match row.name {
        "auth" => words.iter_mut().skip(1).for_each(|word| *word = REDACTED),
        "hello" => {
            let auth =
                words.iter().skip(2).position(|word| is(word, "auth")).map_or(words.len(), |at| at + 3);
            words.iter_mut().skip(auth).take(2).for_each(|word| *word = REDACTED);
        }
        "config|set" => {
            for place in (2..words.len()).step_by(2) {
                if is(words[place], "requirepass") && place + 1 < words.len() {
                    words[place + 1] = REDACTED;
                }
            }
        }
        _ => {}
    }
    words
}
