//! CLIENT PAUSE: until when the requests of clients wait.
//!
//! Promises: nobody pays for a pause that is not there but by one load; a pause ends by itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Until when clients wait, and with which requests.
#[derive(Debug)]
pub struct Pause {
    started: Instant,
    /// Milliseconds after `started`; 0 while nobody waits.
    until: AtomicU64,
    /// Whether reads wait too.
    all: AtomicBool,
}

impl Default for Pause {
    fn default() -> Self {
        Self { started: Instant::now(), until: AtomicU64::new(0), all: AtomicBool::new(false) }
    }
}

impl Pause {
    /// Lets writes wait for so long, or every request if `all`. A pause under way is never made shorter or
    /// weaker, as in Redis.
    pub fn begin(&self, length: Duration, all: bool) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let end = milliseconds(self.started.elapsed()).saturating_add(milliseconds(length)).max(1);
        let under_way = self.end_of(false).is_some();
        self.all.store(all || (under_way && self.all.load(Ordering::Relaxed)), Ordering::Relaxed);
        self.until.fetch_max(end, Ordering::Release);
    }

    /// Ends the pause.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// When the pause ends that a request has to wait for; `None` if it need not wait.
    pub fn end_for(&self, writes: bool) -> Option<Instant> {
        if self.until.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.end_of(!writes)
    }

    #[cold]
    fn end_of(&self, reads: bool) -> Option<Instant> {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 || (reads && !self.all.load(Ordering::Relaxed)) {
            return None;
        }
        let end = self.started.checked_add(Duration::from_millis(until));
        // An end beyond what the clock counts is looked for again in a day.
        let end = end.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        if end > Instant::now() {
            return Some(end);
        }
        // From here on nobody looks at the clock again.
        let _ = self.until.compare_exchange(until, 0, Ordering::AcqRel, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_writes_lets_reads_pass_and_grows_only() {
        let pause = Pause::default();
        assert!(pause.end_for(true).is_none());
        pause.begin(Duration::from_secs(100), false);
        let first = pause.end_for(true).unwrap();
        assert!(pause.end_for(false).is_none());
        pause.begin(Duration::from_secs(1), true);
        assert_eq!(pause.end_for(true), Some(first), "it did not become shorter");
        assert!(pause.end_for(false).is_some(), "reads wait too");
        pause.begin(Duration::from_secs(200), false);
        assert!(pause.end_for(false).is_some(), "it did not become weaker");
        pause.end();
        assert!(pause.end_for(true).is_none());
    }

    #[test]
    fn a_pause_ends_by_itself_and_leaves_nothing_behind() {
        let pause = Pause::default();
        pause.begin(Duration::ZERO, true);
        std::thread::sleep(Duration::from_millis(3));
        assert!(pause.end_for(true).is_none());
        assert_eq!(pause.until.load(Ordering::Relaxed), 0);
        pause.begin(Duration::MAX, false);
        assert!(pause.end_for(false).is_none(), "the old pause of all requests is over");
    }
}
