//! The threads on which reads may wait for a device: cold reads, scans, counts, plugin discovery.
//!
//! Promises: a job that panics is logged and costs nobody else anything; `stop` waits for the jobs that run, drops
//! those that wait, and ends the threads. The server hands in jobs; one for each connection at a time, which bounds
//! the queue.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Something to do on a thread that may wait.
pub type Job = Box<dyn FnOnce() + Send>;

/// How many threads read when nobody says otherwise.
pub const READER_THREADS_DEFAULT: usize = 4;

/// A fixed number of threads that run jobs in the order in which they came.
pub struct ReaderPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopping: bool,
}

impl ReaderPool {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// What the operating system says when it has no more threads.
    pub fn start(threads: usize) -> io::Result<Self> {
        let pool = Self { shared: Arc::default(), threads: Mutex::default() };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let thread =
                thread::Builder::new().name(format!("reader-{number}")).spawn(move || shared.work())?;
            pool.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(pool)
    }

    /// Has the job run soon on one of the threads. Returns at once. After `stop` the job is dropped.
    pub fn run(&self, job: Job) {
        let mut queue = self.shared.lock();
        if !queue.stopping {
            queue.jobs.push_back(job);
            drop(queue);
            self.shared.arrived.notify_one();
        }
    }

    /// Drops the jobs that wait, then ends the threads and waits for them. Not to be called from a job.
    pub fn stop(&self) {
        let mut queue = self.shared.lock();
        queue.stopping = true;
        let waiting = std::mem::take(&mut queue.jobs);
        drop(queue);
        self.shared.arrived.notify_all();
        drop(waiting);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A job's panic is caught on its thread, so there is nothing left to report here.
            let _ = thread.join();
        }
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!("a read ended in a panic, which is a defect; its client gets no answer");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.stopping {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Far longer than anything takes; a test that waits so long has failed.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_job_that_panics_leaves_its_thread_working() {
        let pool = ReaderPool::start(1).unwrap();
        let (sender, receiver) = mpsc::channel();
        pool.run(Box::new(|| panic!("planted")));
        pool.run(Box::new(move || sender.send(7).unwrap()));
        assert_eq!(receiver.recv().unwrap(), 7);
    }

    #[test]
    fn stop_waits_for_what_runs_and_drops_what_waits_and_what_comes_later() {
        let pool = Arc::new(ReaderPool::start(1).unwrap());
        let (ends, ended) = mpsc::channel();
        let (begins, begun) = mpsc::channel();
        let (lets_go, waits) = mpsc::channel::<()>();
        let first = ends.clone();
        pool.run(Box::new(move || {
            begins.send(()).unwrap();
            waits.recv().unwrap();
            first.send(0).unwrap();
        }));
        begun.recv().unwrap();
        let (waiting, dropped) = mpsc::channel::<()>();
        for number in 1..100 {
            let (ends, waiting) = (ends.clone(), waiting.clone());
            pool.run(Box::new(move || {
                let _waiting = waiting;
                ends.send(number).unwrap();
            }));
        }
        drop(waiting);
        let stopping = Arc::clone(&pool);
        let stop = thread::spawn(move || stopping.stop());
        let heard = dropped.recv_timeout(PATIENCE);
        assert_eq!(heard, Err(mpsc::RecvTimeoutError::Disconnected), "dropped while the first one runs");
        pool.run(Box::new(move || ends.send(1000).unwrap()));
        lets_go.send(()).unwrap();
        stop.join().unwrap();
        assert_eq!(ended.iter().collect::<Vec<_>>(), [0]);
    }
}
