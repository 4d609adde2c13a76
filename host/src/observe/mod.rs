//! What the server knows of itself: counters, the list of clients, what was slow, who watches.
//!
//! Promises: plain data that any layer may read and count in, without locks on the path of a request. The
//! server registers clients and counts bytes; commands print.

mod attention;
mod calls;
mod client;
mod counters;
mod errors;
mod latency;
mod monitors;
mod pause;
mod slowlog;

use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

pub use attention::Attention;
pub use calls::{Calls, SAMPLED_CALLS};
pub use client::{Client, ClientFlag, Clients};
pub use counters::{Counter, Counters};
pub use errors::ErrorReplies;
pub use latency::{Latency, Sample, Spikes};
pub use monitors::Monitors;
pub use pause::Pause;
pub use slowlog::{SlowRequest, Slowlog, shortened};

/// The counters and the clients of one running server.
#[derive(Debug)]
pub struct Observe {
    /// What was counted since the start.
    pub counters: Counters,
    /// The errors that clients were told.
    pub errors: ErrorReplies,
    /// Who is connected.
    pub clients: Clients,
    /// How event loops are asked to look at their clients.
    pub attention: Attention,
    /// Whether requests wait.
    pub pause: Pause,
    /// Who watches every request.
    pub monitors: Monitors,
    /// The newest slow requests.
    pub slowlog: Slowlog,
    /// What took long, by kind of event.
    pub latency: Latency,
    /// The bytes of unfinished and waiting requests of all clients.
    pub input_bytes: AtomicUsize,
    /// The memory of the replies that clients have not taken, in bytes.
    pub unsent_bytes: AtomicUsize,
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
        Self {
            counters: Counters::default(),
            errors: ErrorReplies::default(),
            clients: Clients::default(),
            attention: Attention::default(),
            pause: Pause::default(),
            monitors: Monitors::default(),
            slowlog: Slowlog::default(),
            latency: Latency::default(),
            input_bytes: AtomicUsize::default(),
            unsent_bytes: AtomicUsize::default(),
            started: Instant::now(),
            run_id,
        }
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
