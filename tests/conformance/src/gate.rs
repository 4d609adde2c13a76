//! A directory whose syncs wait at a gate: what an engine shows while its disk works can be looked at then.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adapter_api::environment::Directory;
use crash::hooked::{Call, Hooked};

/// How often somebody who waits looks around.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Default)]
struct State {
    is_closed: bool,
    waiting: usize,
}

/// The gate. Open at first.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on whoever syncs waits.
    pub fn close(&self) {
        self.state().is_closed = true;
    }

    /// Lets everybody through.
    pub fn open(&self) {
        self.state().is_closed = false;
        self.changed.notify_all();
    }

    /// Whether somebody waits.
    pub fn has_somebody(&self) -> bool {
        self.state().waiting > 0
    }

    /// Waits until somebody waits at the gate, or nobody will.
    pub fn wait_for_somebody(&self, will_not: impl Fn() -> bool) {
        while !self.has_somebody() && !will_not() {
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until something is so; answers `false` if it is not for as long as the patience lasts.
    pub fn wait_until(&self, patience: Duration, is_so: impl Fn() -> bool) -> bool {
        let end = Instant::now() + patience;
        while !is_so() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn pass(&self) {
        let mut state = self.state();
        state.waiting += 1;
        while state.is_closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }
}

/// This directory and everything below it, behind the gate.
pub fn gated(directory: Arc<dyn Directory>, gate: Arc<Gate>) -> Arc<dyn Directory> {
    Hooked::around(directory, move |call| {
        if let Call::Sync(_) | Call::SyncNames = call {
            gate.pass();
        }
        Ok(())
    })
}
