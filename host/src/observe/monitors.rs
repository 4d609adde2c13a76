//! MONITOR: the clients that watch every request.
//!
//! Promises: while nobody watches, a request costs one load; the lines that wait here for a watcher are bounded, and
//! one for which there are too many has to go. Any thread adds lines; the watcher's event loop takes them, and leaves
//! them here while the watcher does not read those that it took before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Client;

/// The bytes of lines that may wait for one watcher.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// The clients that watch.
#[derive(Debug, Default)]
pub struct Monitors {
    count: AtomicUsize,
    watchers: Mutex<Vec<Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    client: Arc<Client>,
    /// Encoded lines that its event loop has not taken.
    lines: Vec<u8>,
}

impl Monitors {
    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Lets the client watch from now on.
    pub fn add(&self, client: &Arc<Client>) {
        let mut watchers = self.lock();
        if watchers.iter().all(|watcher| watcher.client.id() != client.id()) {
            watchers.push(Watcher { client: Arc::clone(client), lines: Vec::new() });
        }
        self.count.store(watchers.len(), Ordering::Relaxed);
    }

    /// The client watches no more.
    pub fn remove(&self, client: u64) {
        let mut watchers = self.lock();
        watchers.retain(|watcher| watcher.client.id() != client);
        self.count.store(watchers.len(), Ordering::Relaxed);
    }

    /// Adds an encoded line for every watcher; says whether event loops have to be told that lines wait now.
    pub fn feed(&self, line: &[u8]) -> bool {
        let mut news = false;
        for watcher in self.lock().iter_mut() {
            if watcher.lines.len() + line.len() > WAITING_BYTES_MAX {
                watcher.client.dismiss("it does not read what it monitors");
                news = true;
            } else {
                news |= watcher.lines.is_empty();
                watcher.lines.extend_from_slice(line);
            }
        }
        news
    }

    /// The clients for which lines wait.
    pub fn with_lines(&self) -> Vec<u64> {
        let watchers = self.lock();
        watchers.iter().filter(|watcher| !watcher.lines.is_empty()).map(|it| it.client.id()).collect()
    }

    /// The lines that wait for a client.
    pub fn take(&self, client: u64) -> Vec<u8> {
        let mut watchers = self.lock();
        let watcher = watchers.iter_mut().find(|watcher| watcher.client.id() == client);
        watcher.map_or_else(Vec::new, |watcher| std::mem::take(&mut watcher.lines))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Clients;

    #[test]
    fn lines_reach_every_watcher_and_only_the_first_is_news() {
        let (monitors, clients) = (Monitors::default(), Clients::default());
        let (first, second) = (clients.connected("a", "b"), clients.connected("a", "b"));
        assert!(!monitors.is_watched());
        monitors.add(&first);
        monitors.add(&first);
        monitors.add(&second);
        assert!(monitors.is_watched());
        assert!(monitors.feed(b"+1\r\n"));
        assert!(!monitors.feed(b"+2\r\n"));
        assert_eq!(monitors.with_lines(), [1, 2]);
        assert_eq!(monitors.take(1), b"+1\r\n+2\r\n");
        assert_eq!(monitors.with_lines(), [2]);
        monitors.remove(1);
        monitors.remove(2);
        assert!(!monitors.is_watched() && monitors.take(2).is_empty());
    }

    #[test]
    fn a_watcher_that_never_reads_has_to_go() {
        let (monitors, clients) = (Monitors::default(), Clients::default());
        let client = clients.connected("a", "b");
        monitors.add(&client);
        let line = vec![b'x'; 1 << 20];
        (0..8).for_each(|_| {
            monitors.feed(&line);
        });
        assert_eq!(client.dismissal(), None);
        assert!(monitors.feed(b"+one more\r\n"));
        assert!(client.dismissal().is_some());
    }
}
