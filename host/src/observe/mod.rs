//! What the server knows of itself: counters and the list of clients.
//!
//! Promises: plain data that any layer may read and count in, without locks on the path of a request. The
//! server registers clients and counts bytes; commands print.

mod client;
mod counters;

use std::time::{Duration, Instant};

pub use client::{Client, Clients};
pub use counters::{Counter, Counters};

/// The counters and the clients of one running server.
#[derive(Debug)]
pub struct Observe {
    /// What was counted since the start.
    pub counters: Counters,
    /// Who is connected.
    pub clients: Clients,
    started: Instant,
    run_id: String,
}

impl Default for Observe {
    fn default() -> Self {
        Self::new()
    }
}

impl Observe {
    /// Counters at zero, no client, started now.
    pub fn new() -> Self {
        let random = || {
            use std::hash::{BuildHasher, Hasher, RandomState};
            RandomState::new().build_hasher().finish()
        };
        let run_id = format!("{:016x}{:016x}{:08x}", random(), random(), random() as u32);
        Self { counters: Counters::default(), clients: Clients::default(), started: Instant::now(), run_id }
    }

    /// How long the server has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// 40 hexadecimal digits that tell this run of the server from every other one.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }
}
