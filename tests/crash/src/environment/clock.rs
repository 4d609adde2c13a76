//! A clock that moves when it is told to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use adapter_api::environment::Clock;

/// How long one look at the clock takes: engines that measure see time pass.
const LOOK: Duration = Duration::from_micros(1);
/// Wall time when a clock is made: some day of 2033.
const START: Duration = Duration::from_secs(2_000_000_000);

/// The time of one life of a store. The next life has a clock of its own, whose wall time may be earlier.
pub struct SimulatedClock {
    /// Monotone time, and wall time.
    now: Mutex<(Duration, Duration)>,
}

impl Default for SimulatedClock {
    fn default() -> Self {
        Self::new(0)
    }
}

impl SimulatedClock {
    /// A clock whose wall time is `hours` after the usual start, or before it.
    pub fn new(hours: i32) -> Self {
        let jump = Duration::from_secs(u64::from(hours.unsigned_abs()) * 3600);
        let wall = if hours < 0 { START.saturating_sub(jump) } else { START + jump };
        Self { now: Mutex::new((Duration::from_secs(1), wall)) }
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (now.0 + by, now.1 + by);
    }

    /// Moves wall time alone, by hours.
    pub fn jump(&self, hours: i32) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let jump = Duration::from_secs(u64::from(hours.unsigned_abs()) * 3600);
        now.1 = if hours < 0 { now.1.saturating_sub(jump) } else { now.1 + jump };
    }

    fn look(&self) -> (Duration, Duration) {
        self.advance(LOOK);
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimulatedClock {
    fn monotonic(&self) -> Duration {
        self.look().0
    }

    fn wall(&self) -> Duration {
        self.look().1
    }
}
