//! Lanes that are stepped by hand, on the thread of whoever asks.
//!
//! In production a thread runs each lane; here the workload says when a lane takes a step, and `wait_for`
//! takes one itself. So steps fall between calls to the engine, or into a write that waits, never into the
//! middle of another call.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapter_api::environment::{Clock, Lane, Lanes};
use adapter_api::host::StorageAdapter;
use adapter_api::{EngineError, Step, StorageEngine};

use super::SimulatedClock;

/// When a lane has work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Now,
    At(Duration),
    Never,
}

#[derive(Default)]
struct Inner {
    engine: Option<StorageAdapter>,
    due: Vec<Due>,
    failures: Vec<String>,
}

/// The lanes of one life of a store.
#[derive(Default)]
pub struct SimulatedLanes {
    inner: Mutex<Inner>,
}

impl SimulatedLanes {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to run the lanes of an engine, or ends it.
    pub fn run(&self, engine: Option<StorageAdapter>) {
        let previous = std::mem::replace(&mut self.inner().engine, engine);
        // Without the lock: an engine that is dropped may still wake a lane.
        drop(previous);
    }

    /// How many lanes the engine has.
    pub fn count(&self) -> usize {
        self.inner().engine.as_ref().map_or(0, |engine| engine.description().lanes.len())
    }

    /// Takes one step of a lane if it has work; answers whether it had.
    pub fn step(&self, lane: usize, clock: &SimulatedClock) -> bool {
        let now = clock.monotonic();
        let (engine, due) = {
            let inner = self.inner();
            (inner.engine.clone(), inner.due.get(lane).copied().unwrap_or(Due::Now))
        };
        let is_due = match due {
            Due::Now => true,
            Due::At(time) => time <= now,
            Due::Never => false,
        };
        let Some(engine) = engine.filter(|_| is_due) else { return false };
        self.set(lane, Due::Never);
        match engine.background(Lane(lane as u32)) {
            Ok(Step::More) => self.set(lane, Due::Now),
            Ok(Step::Idle) => {}
            Ok(Step::IdleFor(time)) => self.set_unless_woken(lane, Due::At(clock.monotonic() + time)),
            Err(error) => self.note(lane, &error),
        }
        true
    }

    /// What went wrong in lanes so far.
    pub fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().failures)
    }

    fn note(&self, lane: usize, error: &EngineError) {
        self.inner().failures.push(format!("lane {lane}: {error}"));
    }

    fn set(&self, lane: usize, due: Due) {
        let mut inner = self.inner();
        if inner.due.len() <= lane {
            inner.due.resize(lane + 1, Due::Now);
        }
        inner.due[lane] = due;
    }

    fn set_unless_woken(&self, lane: usize, due: Due) {
        if self.inner().due.get(lane) != Some(&Due::Now) {
            self.set(lane, due);
        }
    }
}

impl Lanes for SimulatedLanes {
    fn wake(&self, lane: Lane) {
        // A lane that the engine does not have is nobody's.
        if lane.0 < 64 {
            self.set(lane.0 as usize, Due::Now);
        }
    }

    fn wait_for(&self, lane: Lane) {
        let engine = self.inner().engine.clone();
        let Some(engine) = engine else { return };
        match engine.background(lane) {
            Ok(_) => self.wake(lane),
            Err(error) => self.note(lane.0 as usize, &error),
        }
    }
}
