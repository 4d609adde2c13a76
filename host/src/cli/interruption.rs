//! SIGINT and SIGTERM for work without a server: the first ends it in order, the second at once.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::failure::Failure;
use super::signals;

/// How long a read waits before it looks for a signal again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether a signal has asked for the end. Clones hear of the same signal.
#[derive(Clone, Default)]
pub struct Interruption {
    /// 0 before there was one.
    signal: Arc<AtomicI32>,
}

impl Interruption {
    /// Listens from now on.
    ///
    /// # Errors
    /// If signals cannot be caught.
    pub fn listen() -> Result<Self, Failure> {
        let interruption = Self::default();
        let signal = Arc::clone(&interruption.signal);
        let ask = move |number: i32, _: &str| {
            signal.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        signals::listen(ask).map_err(|error| Failure::Check(format!("cannot catch signals: {error}")))?;
        Ok(interruption)
    }

    /// The signal, if there was one.
    pub fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// What the command is to report: work that was interrupted fails for no other reason.
    pub fn or(&self, failure: Failure) -> Failure {
        self.signal().map_or(failure, |signal| Failure::Interrupted { signal })
    }
}

/// An input that ends in an error when a signal comes, also while it waits.
pub struct Interruptible<R> {
    input: R,
    interruption: Interruption,
}

impl<R: Read + AsFd> Interruptible<R> {
    /// The same input.
    pub fn new(input: R, interruption: &Interruption) -> Self {
        Self { input, interruption: interruption.clone() }
    }

    fn wait(&self) -> io::Result<()> {
        let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK_EVERY.subsec_nanos()) };
        loop {
            if self.interruption.signal().is_some() {
                return Err(io::Error::other("interrupted"));
            }
            let mut one = [PollFd::new(&self.input, PollFlags::IN)];
            match poll(&mut one, Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<R: Read + AsFd> Read for Interruptible<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.input.read(bytes)
    }
}
