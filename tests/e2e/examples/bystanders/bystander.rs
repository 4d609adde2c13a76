//! Clients that do their own small work at a fixed pace, and how long they wait for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Client, Reply, Server};

/// How many bystanders there are.
const BYSTANDERS: usize = 8;
/// How often each sends a request. A late answer does not move the ones behind it: each is timed from when it
/// was due, so a server that stalls is seen by all requests that it held up.
const PACE: Duration = Duration::from_millis(10);
/// How many keys each has.
const KEYS: u64 = 64;
/// How often the memory of the server is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What bystanders do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Reads and writes in turn.
    Mixed,
    /// Reads alone.
    Reads,
}

/// What the bystanders do, for the head of the table.
pub fn describe() -> String {
    format!("{BYSTANDERS} bystanders, a GET or SET each {PACE:?}, timed from when it was due")
}

/// What the bystanders saw.
pub struct Seen {
    /// Sorted.
    micros: Vec<u64>,
    resident_bytes_most: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| {
            let place = (self.micros.len().saturating_sub(1)) as f64 * share;
            self.micros.get(place as usize).copied().unwrap_or_default()
        };
        let mib = self.resident_bytes_most >> 20;
        let requests = self.micros.len();
        write!(
            formatter,
            "{requests:>8} {:>8} {:>8} {:>8} {:>8} {mib:>9}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }
}

/// Lets the bystanders work for a span of time beside a disturbance, which ends when its flag is set.
pub fn beside(
    server: &Server,
    load: Load,
    span: Duration,
    disturb: impl FnOnce(&AtomicBool) -> Result<(), String> + Send,
) -> Result<Seen, String> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let disturbance = scope.spawn(|| disturb(&stop));
        // The bystanders are there before the disturbance is in full swing, as in life.
        let bystanders: Vec<_> =
            (0..BYSTANDERS).map(|number| scope.spawn(move || work(server, number, load, span))).collect();
        let mut resident_bytes_most = 0;
        while !bystanders.iter().all(thread::ScopedJoinHandle::is_finished) {
            resident_bytes_most = resident_bytes_most.max(server.resident_bytes());
            thread::sleep(LOOK);
        }
        stop.store(true, Ordering::Relaxed);
        let mut micros = Vec::new();
        for bystander in bystanders {
            micros.extend(bystander.join().map_err(|_| "a bystander panicked")??);
        }
        disturbance.join().map_err(|_| "the disturbance panicked")??;
        micros.sort_unstable();
        Ok(Seen { micros, resident_bytes_most })
    })
}

fn work(server: &Server, number: usize, load: Load, span: Duration) -> Result<Vec<u64>, String> {
    let ended = |error: std::io::Error| format!("the connection of a bystander ended: {error}");
    let mut client = Client::connect(server.address()).map_err(ended)?;
    let mut values = vec![Reply::Null; KEYS as usize];
    for (key, value) in values.iter_mut().enumerate() {
        *value = client.try_command(&["GET", &format!("own:{number}:{key}")]).map_err(ended)?;
    }
    let mut micros = Vec::new();
    let start = Instant::now();
    for turn in 0.. {
        let due = PACE * turn;
        if due > span {
            break;
        }
        thread::sleep(due.saturating_sub(start.elapsed()));
        let place = (u64::from(turn) / 2 % KEYS) as usize;
        let key = format!("own:{number}:{place}");
        let expected = if turn % 2 == 0 && load == Load::Mixed {
            values[place] = Reply::bulk(turn.to_string());
            (client.try_command(&["SET", &key, &turn.to_string()]).map_err(ended)?, Reply::ok())
        } else {
            (client.try_command(&["GET", &key]).map_err(ended)?, values[place].clone())
        };
        micros.push((start.elapsed() - due).as_micros() as u64);
        if expected.0 != expected.1 {
            return Err(format!("{key}: {:?} instead of {:?}", expected.0, expected.1));
        }
    }
    Ok(micros)
}
