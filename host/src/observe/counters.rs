//! Numbers that only grow, counted by any thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows until it is reset.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Starts again at zero.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What is counted since the start or since `CONFIG RESETSTAT`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted. Counted by `Clients::connected`'s caller.
    pub connections_received: Counter,
    /// Connections refused because there were too many.
    pub connections_rejected: Counter,
    /// Keys that a reading command found.
    pub keyspace_hits: Counter,
    /// Keys that a reading command did not find.
    pub keyspace_misses: Counter,
    /// Bytes read from clients.
    pub bytes_received: Counter,
    /// Bytes written to clients.
    pub bytes_sent: Counter,
}

impl Counters {
    /// Every counter with its name in INFO.
    pub fn named(&self) -> [(&'static str, &Counter); 6] {
        [
            ("total_connections_received", &self.connections_received),
            ("total_net_input_bytes", &self.bytes_received),
            ("total_net_output_bytes", &self.bytes_sent),
            ("rejected_connections", &self.connections_rejected),
            ("keyspace_hits", &self.keyspace_hits),
            ("keyspace_misses", &self.keyspace_misses),
        ]
    }

    /// Starts every counter again at zero.
    pub fn reset(&self) {
        for (_, counter) in self.named() {
            counter.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_sets_every_counter_to_zero() {
        let counters = Counters::default();
        counters.keyspace_hits.add(3);
        counters.bytes_sent.add(2);
        assert_eq!(counters.keyspace_hits.get(), 3);
        counters.reset();
        assert!(counters.named().iter().all(|(_, counter)| counter.get() == 0));
    }
}
