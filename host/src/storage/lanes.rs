//! The background lanes of the engine: one thread for each, run as the engine asks.
//!
//! Promises: one step of a lane runs at a time; a lane that was woken takes a step soon; whoever waits for a
//! lane is let go when a step that began after the call has ended, or when the lane runs no more. A lane
//! whose step fails is logged and runs no more: an error of unknown outcome must not be tried again.
//! The engine calls `wake` and `wait_for`; `Storage` makes the lanes before it opens the engine, starts
//! them behind, and stops them before it closes it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use adapter_api::environment::Lanes;
use adapter_api::{EngineError, Lane, LaneSpec, Step};

/// One bounded step of background work, as the engine does it.
pub(super) type Background = Arc<dyn Fn(Lane) -> Result<Step, EngineError> + Send + Sync>;

/// The lanes of one engine.
pub(super) struct LaneThreads {
    lanes: Vec<Arc<LaneState>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct LaneState {
    lane: Lane,
    name: String,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    /// Whether a thread runs the lane. Nobody waits for a lane without one.
    running: bool,
    stopping: bool,
    woken: bool,
    steps_begun: u64,
    steps_ended: u64,
}

impl LaneThreads {
    /// The lanes that an engine describes, not yet running. What is woken before `start` is remembered.
    pub(super) fn new(specs: &[LaneSpec]) -> Self {
        let lane = |(number, spec): (usize, &LaneSpec)| {
            Arc::new(LaneState {
                lane: Lane(number as u32),
                name: spec.name.clone(),
                progress: Mutex::default(),
                changed: Condvar::new(),
            })
        };
        Self { lanes: specs.iter().enumerate().map(lane).collect(), threads: Mutex::default() }
    }

    /// Runs every lane on a thread of its own, beginning with a step of each.
    ///
    /// # Errors
    /// What the operating system says when it has no more threads; `stop` ends those that run.
    pub(super) fn start(&self, engine_name: &str, background: &Background) -> io::Result<()> {
        for lane in &self.lanes {
            let (state, background) = (Arc::clone(lane), Arc::clone(background));
            let engine_name = engine_name.to_string();
            lane.lock().running = true;
            let spawned = thread::Builder::new()
                .name(format!("lane-{}", lane.name))
                .spawn(move || state.run(&engine_name, &background));
            match spawned {
                Ok(thread) => self.threads().push(thread),
                Err(error) => {
                    lane.end();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Lets every lane end the step it is in, ends the threads and lets go whoever waits.
    pub(super) fn stop(&self) {
        for lane in &self.lanes {
            lane.lock().stopping = true;
            lane.changed.notify_all();
        }
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            // The thread catches and logs the panics of its steps.
            let _ = thread.join();
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes for LaneThreads {
    fn wake(&self, lane: Lane) {
        if let Some(state) = self.lanes.get(lane.0 as usize) {
            state.lock().woken = true;
            state.changed.notify_all();
        }
    }

    fn wait_for(&self, lane: Lane) {
        let Some(state) = self.lanes.get(lane.0 as usize) else { return };
        let mut progress = state.lock();
        let awaited = progress.steps_begun + 1;
        progress.woken = true;
        state.changed.notify_all();
        while progress.running && !progress.stopping && progress.steps_ended < awaited {
            progress = state.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl LaneState {
    fn run(&self, engine_name: &str, background: &Background) {
        let mut wake_at = Some(Instant::now());
        while self.begin_step(wake_at) {
            let step = catch_unwind(AssertUnwindSafe(|| background(self.lane)));
            let outcome = step.unwrap_or_else(|_| Err(EngineError::failed("the step ended in a panic")));
            self.lock().steps_ended += 1;
            self.changed.notify_all();
            wake_at = match outcome {
                Ok(Step::More) => Some(Instant::now()),
                Ok(Step::Idle) => None,
                Ok(Step::IdleFor(pause)) => Instant::now().checked_add(pause),
                Err(error) => {
                    let name = &self.name;
                    log::error!(
                        "engine {engine_name}: lane {name} stops for good: {error}; restart the server"
                    );
                    break;
                }
            };
        }
        self.end();
    }

    /// Waits until the lane is woken or `wake_at` is reached; answers `false` if it is to stop instead.
    fn begin_step(&self, wake_at: Option<Instant>) -> bool {
        let mut progress = self.lock();
        loop {
            if progress.stopping {
                return false;
            }
            let pause = wake_at.map(|at| at.saturating_duration_since(Instant::now()));
            if progress.woken || pause.is_some_and(|pause| pause.is_zero()) {
                progress.woken = false;
                progress.steps_begun += 1;
                return true;
            }
            progress = match pause {
                None => self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    self.changed.wait_timeout(progress, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn end(&self) {
        self.lock().running = false;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn lanes(background: impl Fn(Lane) -> Result<Step, EngineError> + Send + Sync + 'static) -> LaneThreads {
        let lanes = LaneThreads::new(&[LaneSpec::new("first", ""), LaneSpec::new("second", "")]);
        lanes.start("test", &(Arc::new(background) as Background)).unwrap();
        lanes
    }

    #[test]
    fn a_lane_steps_until_it_is_idle_and_again_when_woken() {
        let (sender, receiver) = mpsc::channel();
        let left = AtomicU64::new(3);
        let lanes = lanes(move |lane| {
            sender.send(lane).unwrap();
            let more = lane == Lane(0) && left.fetch_sub(1, Ordering::SeqCst) > 1;
            Ok(if more { Step::More } else { Step::Idle })
        });
        let mut first: Vec<_> = (0..4).map(|_| receiver.recv().unwrap().0).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 0, 0, 1]);
        lanes.wake(Lane(1));
        assert_eq!(receiver.recv().unwrap(), Lane(1));
        lanes.wake(Lane(7));
        lanes.stop();
        assert_eq!(receiver.iter().count(), 0);
    }

    #[test]
    fn waiting_ends_only_after_a_step_that_began_later() {
        let steps = Arc::new(AtomicU64::new(0));
        let (begun, first_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let counted = Arc::clone(&steps);
        let lanes = Arc::new(lanes(move |lane| {
            if lane == Lane(0) {
                begun.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Step::Idle)
        }));
        first_begun.recv().unwrap();
        let (waiting, observed) = (Arc::clone(&lanes), Arc::clone(&steps));
        let waiter = thread::spawn(move || {
            waiting.wait_for(Lane(0));
            observed.load(Ordering::SeqCst)
        });
        // The wake of `wait_for` must come while the first step is still going on.
        while !lanes.lanes[0].lock().woken {
            thread::yield_now();
        }
        release.send(()).unwrap();
        first_begun.recv().unwrap();
        // A waiter that was let go too early gets the time to show it.
        thread::sleep(Duration::from_millis(20));
        release.send(()).unwrap();
        assert_eq!(waiter.join().unwrap(), 2);
        lanes.stop();
    }

    #[test]
    fn a_lane_whose_step_fails_never_steps_again_and_nobody_waits_for_it() {
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let lanes = lanes(move |lane| match lane {
            Lane(0) => {
                counted.fetch_add(1, Ordering::SeqCst);
                Err(EngineError::failed("planted"))
            }
            _ => Ok(Step::Idle),
        });
        lanes.wait_for(Lane(0));
        lanes.wait_for(Lane(0));
        lanes.stop();
        assert_eq!(steps.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_step_that_panics_lets_its_waiters_go() {
        let lanes = lanes(|_| panic!("planted"));
        lanes.wait_for(Lane(0));
        lanes.stop();
    }

    #[test]
    fn an_idle_lane_steps_again_when_its_pause_is_over() {
        let (sender, receiver) = mpsc::channel();
        let lanes = lanes(move |lane| {
            let _ = sender.send(lane);
            Ok(Step::IdleFor(Duration::from_millis(1)))
        });
        for _ in 0..6 {
            receiver.recv().unwrap();
        }
        lanes.stop();
    }

    #[test]
    fn nobody_waits_for_lanes_that_do_not_run() {
        let lanes = LaneThreads::new(&[LaneSpec::new("only", "")]);
        lanes.wait_for(Lane(0));
        lanes.wait_for(Lane(9));
    }
}
