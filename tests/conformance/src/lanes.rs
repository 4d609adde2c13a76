//! The lanes of an engine on a real disk: a thread for each, as a server runs them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adapter_api::environment::Lanes;
use adapter_api::host::StorageAdapter;
use adapter_api::{Lane, Step, StorageEngine};

/// How long a lane that has nothing to do sleeps at most before it looks whether it is to end.
const REST: Duration = Duration::from_secs(3_600);

#[derive(Default)]
struct Progress {
    is_running: bool,
    is_woken: bool,
    begun: u64,
    ended: u64,
    failure: Option<String>,
}

#[derive(Default)]
struct OneLane {
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl OneLane {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is a step to do; `false` if there will be none.
    fn begin(&self, mut pause: Duration) -> bool {
        let mut progress = self.progress();
        let due = Instant::now() + pause;
        while progress.is_running && !progress.is_woken && !pause.is_zero() {
            progress = self.changed.wait_timeout(progress, pause).unwrap_or_else(PoisonError::into_inner).0;
            pause = due.saturating_duration_since(Instant::now());
        }
        progress.is_woken = false;
        progress.begun += 1;
        progress.is_running
    }

    fn run(&self, lane: Lane, engine: &StorageAdapter) {
        let mut pause = Duration::ZERO;
        while self.begin(pause) {
            let step = engine.background(lane);
            let mut progress = self.progress();
            progress.ended += 1;
            pause = match step {
                Ok(Step::More) => Duration::ZERO,
                Ok(Step::Idle) => REST,
                Ok(Step::IdleFor(time)) => time.min(REST),
                Err(error) => {
                    progress.is_running = false;
                    progress.failure = Some(format!("lane {}: {error}", lane.0));
                    REST
                }
            };
            self.changed.notify_all();
        }
    }
}

/// The lanes of one open store.
#[derive(Default)]
pub struct LaneThreads {
    lanes: Vec<Arc<OneLane>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl LaneThreads {
    /// So many lanes, not yet running.
    pub fn new(count: usize) -> Self {
        let lanes = std::iter::repeat_with(Arc::default).take(count).collect();
        Self { lanes, threads: Mutex::default() }
    }

    /// Runs each on a thread, beginning with a step.
    pub fn start(&self, engine: &StorageAdapter) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, lane) in self.lanes.iter().enumerate() {
            let (lane, engine) = (Arc::clone(lane), engine.clone());
            lane.progress().is_running = true;
            threads.push(thread::spawn(move || lane.run(Lane(number as u32), &engine)));
        }
    }

    /// Lets each end its step, and ends them.
    ///
    /// # Errors
    /// What went wrong in one of them.
    pub fn stop(&self) -> Result<(), String> {
        for lane in &self.lanes {
            lane.progress().is_running = false;
            lane.changed.notify_all();
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The border catches the panics of its steps.
            let _ = thread.join();
        }
        self.lanes.iter().find_map(|lane| lane.progress().failure.take()).map_or(Ok(()), Err)
    }
}

impl Lanes for LaneThreads {
    fn wake(&self, lane: Lane) {
        if let Some(lane) = self.lanes.get(lane.0 as usize) {
            lane.progress().is_woken = true;
            lane.changed.notify_all();
        }
    }

    fn wait_for(&self, lane: Lane) {
        let Some(lane) = self.lanes.get(lane.0 as usize) else { return };
        let mut progress = lane.progress();
        let awaited = progress.begun + 1;
        progress.is_woken = true;
        lane.changed.notify_all();
        while progress.is_running && progress.ended < awaited {
            progress = lane.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
