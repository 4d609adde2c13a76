//! What everyone else notices while one client misbehaves or asks for much: their latencies in the quiet case and
//! beside each disturbance, and the memory of the server.
//!
//! ```text
//! cargo run --release -p e2e --example bystanders [-- [--engine NAME] [--seconds N] [--keys N] [--idle N] [--slow N]]
//! ```
//!
//! Nothing is asserted about time: it is a program that prints a table. It fails if a bystander gets a wrong answer.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bystander;
mod crowd;
mod disturbance;

use std::process::ExitCode;
use std::time::Duration;

use e2e::server::allow_open_files;
use e2e::{Config, Server, client};

use bystander::{Load, beside};
use crowd::Crowd;
use disturbance::DISTURBANCES;

/// Connections besides the crowd.
const SPARE_CLIENTS: u64 = 500;
/// How many keys one MSET brings in.
const KEYS_AT_ONCE: u64 = 1_000;

struct Arguments {
    engine: String,
    span: Duration,
    keys: u64,
    idle: u64,
    slow: u64,
}

impl Arguments {
    fn parse() -> Result<Self, String> {
        let mut parsed = Self {
            engine: "logmap".to_string(),
            span: Duration::from_secs(10),
            keys: 1_000_000,
            idle: 10_000,
            slow: 1_000,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{value} is not a number"));
            match word.as_str() {
                "--engine" => parsed.engine = value,
                "--seconds" => parsed.span = Duration::from_secs(number()?),
                "--keys" => parsed.keys = number()?,
                "--idle" => parsed.idle = number()?,
                "--slow" => parsed.slow = number()?,
                _ => return Err(format!("{word} is unknown; see the head of examples/bystanders/main.rs")),
            }
        }
        Ok(parsed)
    }

    fn clients_max(&self) -> u64 {
        self.idle + self.slow + SPARE_CLIENTS
    }

    fn config(&self) -> Config {
        Config::engine(&self.engine).with("server", &format!("max_clients = {}", self.clients_max()))
    }
}

fn main() -> ExitCode {
    match Arguments::parse().and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let files = arguments.clients_max() + 100;
    let allowed = allow_open_files(files);
    if allowed < files {
        return Err(format!("{files} open files are needed, {allowed} are allowed"));
    }
    let server = Server::start(arguments.config());
    load(&server, arguments.keys)?;
    println!("engine {}, {} keys; {}", arguments.engine, arguments.keys, bystander::describe());
    println!(
        "{:<44} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "", "requests", "p50 us", "p99 us", "p99.9 us", "max us", "MiB most"
    );
    let row =
        |name: &str, server: &Server, load: Load, disturb: disturbance::Disturb| -> Result<(), String> {
            let seen = beside(server, load, arguments.span, |stop| disturb(server, stop))?;
            println!("{name:<44} {seen}");
            Ok(())
        };
    row("quiet", &server, Load::Mixed, |_, stop| disturbance::none(stop))?;
    for (name, disturb) in DISTURBANCES {
        row(name, &server, Load::Mixed, disturb)?;
    }
    crowd_rows(&server, arguments)?;
    row("quiet again", &server, Load::Mixed, |_, stop| disturbance::none(stop))?;
    // More than any disk has free: every write is refused, as on a full disk.
    let server = server.restart_as(arguments.config().with("limits", "disk_reserve = \"1024TiB\""));
    row("quiet, reads alone", &server, Load::Reads, |_, stop| disturbance::none(stop))?;
    row("writes to a full disk, reads alone", &server, Load::Reads, disturbance::refused_writes)?;
    Ok(())
}

/// The crowd while it comes, and when it is there.
fn crowd_rows(server: &Server, arguments: &Arguments) -> Result<(), String> {
    let (idle, slow) = (arguments.idle, arguments.slow);
    let mut crowd = None;
    let arrival = beside(server, Load::Mixed, arguments.span, |_| {
        crowd = Some(Crowd::gather(server, idle, slow)?);
        Ok(())
    })?;
    println!("{:<44} {arrival}", format!("{idle} idle and {slow} slow clients come"));
    let crowd = crowd.as_mut().ok_or("the crowd did not come")?;
    let seen = beside(server, Load::Mixed, arguments.span, |stop| {
        crowd.sip(stop);
        Ok(())
    })?;
    println!("{:<44} {seen}", format!("{idle} idle and {slow} slow clients are there"));
    println!("{:<44} {} slow clients were closed by the server", "", crowd.closed());
    Ok(())
}

/// Sets as many keys, a thousand at once.
fn load(server: &Server, keys: u64) -> Result<(), String> {
    let mut client = server.client();
    for start in (0..keys).step_by(KEYS_AT_ONCE as usize) {
        let mut words = vec!["MSET".to_string()];
        for key in start..(start + KEYS_AT_ONCE).min(keys) {
            words.extend([format!("key:{key:012}"), "x".repeat(32)]);
        }
        client.send(&client::encode(&words)).map_err(|error| format!("the keys cannot be set: {error}"))?;
        let reply = client.receive().map_err(|error| format!("the keys cannot be set: {error}"))?;
        if reply != e2e::Reply::ok() {
            return Err(format!("the keys cannot be set: {reply:?}"));
        }
    }
    Ok(())
}
