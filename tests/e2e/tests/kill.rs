//! SIGKILL in the middle of a load: what was answered OK is there, whole, and nothing else is.
//!
//! `E2E_KILL_ROUNDS` sets the number of rounds, `E2E_SEED` repeats a run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::{Client, Config, Reply, Server};

const CLIENTS: usize = 4;
/// Keys are written again and again, so that the data stays small and every round overwrites.
const KEYS: usize = 20;

/// What one client knows of its own keys: the last number that was acknowledged for each pair of keys, and the
/// one that was sent last.
#[derive(Clone, Default)]
struct Ledger {
    acknowledged: [u64; KEYS],
    sent: [u64; KEYS],
}

#[test]
fn nothing_acknowledged_is_lost_on_snapshot() {
    nothing_acknowledged_is_lost_on(Config::engine("snapshot").option("mode", "atomic"));
}

#[test]
fn nothing_acknowledged_is_lost_on_logmap() {
    nothing_acknowledged_is_lost_on(crate::engines::busy_logmap());
}

fn nothing_acknowledged_is_lost_on(config: Config) {
    let rounds = number_from("E2E_KILL_ROUNDS").unwrap_or(6);
    let seed = number_from("E2E_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    let name = config.engine.clone();
    let acknowledged = kill_rounds(config, rounds, seed);
    report(&format!(
        "{rounds} kills on {name}, {acknowledged} acknowledged writes, none lost; E2E_SEED={seed}"
    ));
}

#[test]
#[should_panic(expected = "was acknowledged as")]
fn an_engine_that_keeps_nothing_is_caught() {
    kill_rounds(Config::engine("memory"), 1, 1);
}

/// Makes the data large enough that a kill often falls into the middle of writing it.
fn load_ballast(client: &mut Client) {
    let value = "b".repeat(16 << 10);
    for key in 0..64 {
        assert_eq!(client.command(&["SET", &format!("ballast:{key}"), &value]), Reply::ok());
    }
}

fn kill_rounds(config: Config, rounds: u64, seed: u64) -> u64 {
    let mut random = seed | 1;
    let mut ledgers = vec![Ledger::default(); CLIENTS];
    let mut server = Server::start(config);
    load_ballast(&mut server.client());
    let total = AtomicU64::new(0);
    for round in 0..rounds {
        // xorshift64: the delay differs from round to round and is the same for the same seed.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let before = total.load(Ordering::Relaxed);
        let delay = Duration::from_micros(random % 60_000);
        let clients: Vec<_> = (0..CLIENTS).map(|_| server.client()).collect();
        thread::scope(|scope| {
            for ((client, ledger), number) in clients.into_iter().zip(&mut ledgers).zip(0..) {
                let total = &total;
                scope.spawn(move || write_until_it_ends(client, ledger, number, total));
            }
            // A kill before the first answer would prove nothing.
            e2e::server::until("a first answer", || total.load(Ordering::Relaxed) > before);
            thread::sleep(delay);
            server.kill();
        });
        server = server.restart();
        check(&mut server.client(), &mut ledgers, seed);
        let acknowledged = total.load(Ordering::Relaxed);
        assert!(acknowledged > before, "round {round} wrote nothing");
    }
    total.into_inner()
}

/// Writes pairs of keys with rising numbers until the connection ends, and keeps book.
fn write_until_it_ends(mut client: Client, ledger: &mut Ledger, number: usize, total: &AtomicU64) {
    for key in (0..KEYS).cycle() {
        let value = ledger.sent.iter().max().unwrap_or(&0) + 1;
        ledger.sent[key] = value;
        let (left, right, value_text) = names(number, key, value);
        match client.try_command(&["MSET", &left, &value_text, &right, &value_text]) {
            Ok(reply) => assert_eq!(reply, Reply::ok()),
            Err(_) => return,
        }
        ledger.acknowledged[key] = value;
        total.fetch_add(1, Ordering::Relaxed);
    }
}

fn names(client: usize, key: usize, value: u64) -> (String, String, String) {
    (format!("left:{client}:{key}"), format!("right:{client}:{key}"), value.to_string())
}

/// Every pair holds the last acknowledged number or the one that was on its way, and both halves agree.
fn check(client: &mut Client, ledgers: &mut [Ledger], seed: u64) {
    for (number, ledger) in ledgers.iter_mut().enumerate() {
        for key in 0..KEYS {
            let (left, right, _) = names(number, key, 0);
            let reply = client.command(&["MGET", &left, &right]);
            let [one, two] = reply.array() else { panic!("MGET of two keys has two answers: {reply:?}") };
            assert_eq!(one, two, "half of a batch is there; E2E_SEED={seed}");
            let found =
                if *one == Reply::Null { 0 } else { one.text().parse().expect("a number was written") };
            let (acknowledged, sent) = (ledger.acknowledged[key], ledger.sent[key]);
            assert!(
                found == acknowledged || found == sent,
                "{left} was acknowledged as {acknowledged}, sent as {sent}, and is {found}; E2E_SEED={seed}"
            );
            // What was read after a restart must survive the next kill too.
            ledger.acknowledged[key] = found;
        }
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a whole number")))
}

#[allow(clippy::print_stderr)]
fn report(line: &str) {
    eprintln!("{line}");
}
