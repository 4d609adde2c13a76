//! How any thread asks the event loops to look at their clients: one has to go, a pause ended, lines wait for a
//! MONITOR, a timeout changed.
//!
//! Promises: a loop that compares `calls` with what it saw last misses no call; who never calls costs the loops
//! one load of a number each round.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

type Listener = Box<dyn Fn() + Send + Sync>;

/// The number of calls so far, and who is woken by the next.
#[derive(Default)]
pub struct Attention {
    calls: AtomicU64,
    listeners: Mutex<Vec<Listener>>,
}

impl Attention {
    /// Wakes every listener. What it is about must have been stored before.
    pub fn call(&self) {
        self.calls.fetch_add(1, Ordering::Release);
        for listener in self.listeners.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            listener();
        }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Acquire)
    }

    /// Calls `listener` at every call from now on. It must neither block nor call.
    pub fn on_call(&self, listener: impl Fn() + Send + Sync + 'static) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }
}

impl fmt::Debug for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attention").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_listener_hears_every_call() {
        let attention = Attention::default();
        let heard = Arc::new(AtomicU64::new(0));
        for _ in 0..2 {
            let heard = Arc::clone(&heard);
            attention.on_call(move || {
                heard.fetch_add(1, Ordering::Relaxed);
            });
        }
        attention.call();
        attention.call();
        assert_eq!((attention.calls(), heard.load(Ordering::Relaxed)), (2, 4));
    }
}
