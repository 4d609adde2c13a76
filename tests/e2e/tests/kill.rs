//! SIGKILL in the middle of a load: what was answered OK is there, whole, and nothing else is.
//!
//! Each client writes keys of its own and keeps book: after a kill its keys are as they were last acknowledged, or
//! as the one write that was on its way would have made them, all of it. In half of the rounds the starts that
//! follow are killed too, before one is let through. An engine that overwrites its file in place may instead be found
//! with a file that it refuses by name: then the round begins with an empty directory.
//!
//! `E2E_KILL_ROUNDS` sets the number of rounds, `E2E_SEED` repeats a run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engines;
use e2e::server::until;
use e2e::{Client, Config, Reply, Server};
use fastrand::Rng;

const CLIENTS: u64 = 16;
/// Keys are written again and again, so that the data stays small and every round overwrites and deletes.
const KEYS: u64 = 12;
/// Bytes of values: within a block of the log, about one, several.
const VALUE_BYTES: [usize; 4] = [1, 300, 4_000, 20_000];
/// How many starts are killed in a round that kills starts.
const STARTS_KILLED: u64 = 3;
/// The size of a segment of the log of the busy engines.
const LOG_SEGMENT: f64 = 65_536.0;
/// The file of the snapshot engine, as its refusal names it.
const DOCUMENT: &str = "snapshot.json";

#[test]
fn nothing_acknowledged_is_lost_on_snapshot() {
    nothing_acknowledged_is_lost_on(engines::snapshot("atomic"), Nature::Document);
}

#[test]
fn nothing_acknowledged_is_lost_on_snapshot_atomic_as_written() {
    nothing_acknowledged_is_lost_on(engines::snapshot("atomic-as-written"), Nature::Document);
}

#[test]
fn snapshot_naive_refuses_the_half_written_document_of_a_kill_and_loses_nothing_else() {
    nothing_acknowledged_is_lost_on(engines::snapshot("naive"), Nature::DocumentInPlace);
}

#[test]
fn nothing_acknowledged_is_lost_on_logmap() {
    nothing_acknowledged_is_lost_on(engines::busy_logmap(), Nature::Log);
}

#[test]
fn nothing_acknowledged_is_lost_on_logmap_with_values_on_disk() {
    let config = engines::busy_logmap().option("values", "disk").option("disk_value_bytes", "256");
    nothing_acknowledged_is_lost_on(config, Nature::Log);
}

#[test]
fn nothing_acknowledged_is_lost_on_btree() {
    nothing_acknowledged_is_lost_on(engines::busy_btree(), Nature::Log);
}

#[test]
fn nothing_acknowledged_is_lost_on_lsm() {
    nothing_acknowledged_is_lost_on(engines::busy_lsm(), Nature::Log);
}

#[test]
#[should_panic(expected = "was acknowledged as")]
fn an_engine_that_keeps_nothing_is_caught() {
    Kills::new(engines::memory(), Nature::Document, 1).run(1);
}

/// What of an engine's nature a kill has to do with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// A log and checkpoints: each round waits until both moved on.
    Log,
    /// One document that is replaced as a whole.
    Document,
    /// One document that is overwritten: a kill may leave it half old, half new, and then it is refused.
    DocumentInPlace,
}

fn nothing_acknowledged_is_lost_on(config: Config, nature: Nature) {
    let rounds = number_from("E2E_KILL_ROUNDS").unwrap_or(6);
    let seed = number_from("E2E_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    let name = format!("{} {:?}", config.engine, config.options);
    let totals = Kills::new(config, nature, seed).run(rounds);
    report(&format!("{rounds} kills on {name}: {totals:?}, none lost; E2E_SEED={seed}"));
}

/// What happened in all rounds together.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "they are printed")]
struct Totals {
    acknowledged: u64,
    /// Writes that were on their way at a kill, and those of them that were found done.
    in_flight: u64,
    in_flight_found: u64,
    /// Between the first write of a round and its kill, by the metrics of the engine.
    checkpoints: u64,
    log_segments_filled: u64,
    /// Starts that were killed before the server was ready.
    starts_killed: u64,
    /// Starts that refused a half-written document by its name.
    refused: u64,
}

struct Kills {
    server: Server,
    random: Rng,
    seed: u64,
    config: Config,
    nature: Nature,
    ledgers: Vec<Ledger>,
    totals: Totals,
    /// How long the last start took that was let through.
    start_took: Duration,
}

/// A server on an empty directory with some ballast, and what its clients know of it.
fn begin(config: &Config, random: &mut Rng) -> (Server, Vec<Ledger>) {
    let server = Server::start(config.clone());
    load_ballast(&mut server.client());
    let ledgers = (0..CLIENTS).map(|client| Ledger::new(client, random.u64(..)));
    (server, ledgers.collect())
}

impl Kills {
    fn new(config: Config, nature: Nature, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let (server, ledgers) = begin(&config, &mut random);
        let totals = Totals::default();
        Self { server, random, seed, config, nature, ledgers, totals, start_took: Duration::ZERO }
    }

    fn run(mut self, rounds: u64) -> Totals {
        for round in 0..rounds {
            self.write_and_kill();
            if round % 2 == 1 && self.nature != Nature::DocumentInPlace {
                self.kill_starts();
            }
            let began = Instant::now();
            match self.server.try_restart() {
                Ok(server) => {
                    self.server = server;
                    self.start_took = began.elapsed();
                    self.check();
                }
                Err(refusal) => {
                    let is_known = self.nature == Nature::DocumentInPlace && refusal.contains(DOCUMENT);
                    assert!(is_known, "{refusal}; E2E_SEED={}", self.seed);
                    self.totals.refused += 1;
                    (self.server, self.ledgers) = begin(&self.config, &mut self.random);
                }
            }
        }
        self.totals
    }

    /// The keys are as they must be.
    fn check(&mut self) {
        let mut client = self.server.client();
        for ledger in &mut self.ledgers {
            let found_done = ledger.check(&mut client, self.seed);
            self.totals.in_flight += u64::from(found_done.is_some());
            self.totals.in_flight_found += u64::from(found_done == Some(true));
        }
    }

    /// Lets all clients write until the log and the checkpoints moved on, and a little longer.
    fn write_and_kill(&mut self) {
        let delay = Duration::from_micros(self.random.u64(..60_000));
        let clients: Vec<_> = self.ledgers.iter().map(|_| self.server.client()).collect();
        let mut observer = self.server.client();
        let total = AtomicU64::new(0);
        let has_log = self.nature == Nature::Log;
        let (server, totals) = (&mut self.server, &mut self.totals);
        let before = Progress::read(&mut observer, has_log);
        thread::scope(|scope| {
            for (client, ledger) in clients.into_iter().zip(&mut self.ledgers) {
                let total = &total;
                scope.spawn(move || ledger.write_until_it_ends(client, total));
            }
            // A kill before the first answer would prove nothing.
            until("a first answer", || total.load(Ordering::Relaxed) > 0);
            let mut now = before;
            until("a checkpoint and another segment of the log", || {
                now = Progress::read(&mut observer, has_log);
                !has_log || now.checkpoints > before.checkpoints && now.segments_since(before) >= 1
            });
            totals.checkpoints += (now.checkpoints - before.checkpoints) as u64;
            totals.log_segments_filled += now.segments_since(before);
            thread::sleep(delay);
            server.kill();
        });
        totals.acknowledged += total.into_inner();
    }

    /// Kills some starts at any time before they are done.
    fn kill_starts(&mut self) {
        let mut longest = self.start_took.as_micros() as u64;
        let mut missing = STARTS_KILLED;
        while missing > 0 {
            let after = Duration::from_micros(self.random.u64(..longest.max(1)));
            if self.server.interrupt_start(after) {
                // Too late: this start was done.
                longest /= 2;
            } else {
                missing -= 1;
                self.totals.starts_killed += 1;
            }
        }
    }
}

/// What the engine says of its log and checkpoints, since it was opened.
#[derive(Clone, Copy, Default)]
struct Progress {
    checkpoints: f64,
    log_written_bytes: f64,
}

impl Progress {
    fn read(client: &mut Client, has_log: bool) -> Self {
        if !has_log {
            return Self::default();
        }
        let metrics = client.line("ENGINE METRICS").text();
        // What makes an older part of the log needless has one of two names.
        let number = |name: &str, other: &str| {
            let mut lines = metrics.lines().filter_map(|line| line.split_once(' '));
            let found = lines.find(|(found, _)| [name, other].contains(found));
            let (_, number) = found.unwrap_or_else(|| panic!("no metric {name}: {metrics}"));
            number.trim().parse().unwrap_or_else(|_| panic!("{name} is a number, not {number}"))
        };
        let log_written_bytes = number("log_written_bytes", "");
        Self { checkpoints: number("checkpoints", "flushes"), log_written_bytes }
    }

    fn segments_since(&self, before: Self) -> u64 {
        ((self.log_written_bytes - before.log_written_bytes) / LOG_SEGMENT) as u64
    }
}

/// Makes the data large enough that a kill often falls into the middle of writing or reading it.
fn load_ballast(client: &mut Client) {
    let value = "b".repeat(16 << 10);
    for key in 0..64 {
        assert_eq!(client.command(&["SET", &format!("ballast:{key}"), &value]), Reply::ok());
    }
}

/// What keys hold; keys that are absent are not in it.
type State = BTreeMap<String, String>;

/// What one client knows of its own keys.
struct Ledger {
    client: u64,
    random: Rng,
    /// Rises with each value written, so that no two are the same.
    written: u64,
    acknowledged: State,
    /// The state once the write that was sent last is done, if it was not answered.
    in_flight: Option<State>,
}

impl Ledger {
    fn new(client: u64, seed: u64) -> Self {
        Self { client, random: Rng::with_seed(seed), written: 0, acknowledged: State::new(), in_flight: None }
    }

    fn key(&self, number: u64) -> String {
        format!("key:{}:{number}", self.client)
    }

    fn counter(&self) -> String {
        format!("counter:{}", self.client)
    }

    fn value(&mut self) -> String {
        self.written += 1;
        let length = VALUE_BYTES[self.random.usize(..VALUE_BYTES.len())];
        let number = self.written.to_string();
        number.clone() + &"v".repeat(length.saturating_sub(number.len()))
    }

    /// Writes until the connection ends.
    fn write_until_it_ends(&mut self, mut client: Client, total: &AtomicU64) {
        loop {
            let (words, answer, after) = self.next_write();
            self.in_flight = Some(after);
            match client.try_command(&words) {
                Ok(reply) => assert_eq!(reply, answer, "{} {}", words[0], words[1]),
                Err(_) => return,
            }
            self.acknowledged = self.in_flight.take().unwrap_or_default();
            total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A write, the answer it must get, and the state that it makes.
    fn next_write(&mut self) -> (Vec<String>, Reply, State) {
        let key = self.random.u64(..KEYS);
        let (key, other) = (self.key(key), self.key((key + 1) % KEYS));
        let mut after = self.acknowledged.clone();
        match self.random.u64(..8) {
            0..3 => {
                let value = self.value();
                after.insert(key.clone(), value.clone());
                (vec!["SET".to_string(), key, value], Reply::ok(), after)
            }
            3..5 => {
                let gone = i64::from(after.remove(&key).is_some());
                (vec!["DEL".to_string(), key], Reply::Integer(gone), after)
            }
            5..7 => {
                let (one, two) = (self.value(), self.value());
                after.insert(key.clone(), one.clone());
                after.insert(other.clone(), two.clone());
                (vec!["MSET".to_string(), key, one, other, two], Reply::ok(), after)
            }
            _ => {
                let counter = self.counter();
                let next = after.get(&counter).map_or(0, |text| text.parse().expect("a number")) + 1;
                after.insert(counter.clone(), next.to_string());
                (vec!["INCR".to_string(), counter], Reply::Integer(next), after)
            }
        }
    }

    /// The keys are as acknowledged, or as the write that was in flight made them; answers whether it did.
    fn check(&mut self, client: &mut Client, seed: u64) -> Option<bool> {
        let keys: Vec<_> = (0..KEYS).map(|key| self.key(key)).chain([self.counter()]).collect();
        let mget: Vec<_> = ["MGET".to_string()].into_iter().chain(keys.clone()).collect();
        let reply = client.command(&mget);
        let mut found = State::new();
        for (key, value) in keys.iter().zip(reply.array()) {
            if *value != Reply::Null {
                found.insert(key.clone(), value.text());
            }
        }
        let in_flight = self.in_flight.take();
        let is_done = in_flight.as_ref().map(|after| *after == found);
        if found != self.acknowledged && is_done != Some(true) {
            let sent = in_flight.unwrap_or_else(|| self.acknowledged.clone());
            let lines = keys.iter().filter(|key| found.get(*key) != self.acknowledged.get(*key)).map(|key| {
                let [acknowledged, sent, found] =
                    [&self.acknowledged, &sent, &found].map(|state| short(state.get(key)));
                format!("{key} was acknowledged as {acknowledged}, sent as {sent}, and is {found}")
            });
            panic!("{}; E2E_SEED={seed}", lines.collect::<Vec<_>>().join("\n"));
        }
        // What was read after a restart must survive the next kill too.
        self.acknowledged = found;
        is_done
    }
}

fn short(value: Option<&String>) -> String {
    value.map_or("absent".to_string(), |value| format!("{:.12} ({} bytes)", value, value.len()))
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a whole number")))
}

#[allow(clippy::print_stderr)]
fn report(line: &str) {
    eprintln!("{line}");
}
