//! One sync at a time, and none behind a failed one.
//!
//! The system tells of a failed write-back once for each open file: a second sync of the file answers Ok although the
//! first lost what both should have covered. So a sync that runs beside the writer, in a lane, and one of the writer
//! itself come one behind the other, and the second knows of the first. Called by `handle` and `writer`.

use std::io;
use std::sync::Mutex;

use crate::mutex::lock;

/// The syncs of one log.
#[derive(Default)]
pub(crate) struct Syncs {
    /// Why one failed.
    failure: Mutex<Option<String>>,
}

impl Syncs {
    /// Runs a sync, unless one failed before.
    ///
    /// # Errors
    /// Its own, or that of the one that failed.
    pub(crate) fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut failure = lock(&self.failure);
        if let Some(failure) = &*failure {
            return Err(io::Error::other(format!("another sync failed: {failure}")));
        }
        sync().inspect_err(|error| *failure = Some(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn a_sync_that_began_beside_one_that_fails_fails_too() {
        let syncs = Syncs::default();
        let ((begun, has_begun), (go_on, waits)) = (channel(), channel());
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                syncs.run(move || {
                    begun.send(()).unwrap();
                    waits.recv().unwrap();
                    Err(io::Error::other("lost"))
                })
            });
            has_begun.recv().unwrap();
            // As the system answers the second of two: Ok.
            let second = scope.spawn(|| syncs.run(|| Ok(())));
            go_on.send(()).unwrap();
            assert!(first.join().unwrap().is_err() && second.join().unwrap().is_err());
        });
        assert!(syncs.run(|| Ok(())).unwrap_err().to_string().contains("lost"));
    }
}
