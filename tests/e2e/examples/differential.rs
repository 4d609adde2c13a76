//! Random commands to a real Redis 7.0 and to a server on each engine: every reply must be equal, byte for byte.
//!
//! ```text
//! cargo run --release -p e2e --example differential -- [--commands N] [--engine NAME]… [--seed N]
//!     [--without COMMAND]… [--partial]
//! ```
//!
//! `--commands` counts for each engine. A difference is printed as the shortest stream that shows it, with the seed
//! that repeats it (`--seed N --commands 1`). Shapes whose command our server has not are an error without
//! `--partial`; `--without` leaves a command out, to see what differs behind it. The exit code is 1 if anything differs.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::differential::{Pair, Redis, Request, STREAM_REQUESTS, Shapes, replay, shrink, stream};
use e2e::{Config, Server, build};

/// After so many differences on an engine the others are not looked for.
const DIFFERENCES_MAX: usize = 5;

struct Arguments {
    commands: usize,
    engines: Vec<String>,
    seed: u64,
    without: Vec<String>,
    partial: bool,
}

impl Arguments {
    fn parse() -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let seed = now.as_millis() as u64;
        let mut parsed =
            Self { commands: 50_000, engines: Vec::new(), seed, without: Vec::new(), partial: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is not a number"));
            match word.as_str() {
                "--commands" => parsed.commands = number(value()?)? as usize,
                "--engine" => parsed.engines.push(value()?),
                "--seed" => parsed.seed = number(value()?)?,
                "--without" => parsed.without.push(value()?.to_lowercase()),
                "--partial" => parsed.partial = true,
                _ => return Err(format!("{word} is unknown; see the head of examples/differential.rs")),
            }
        }
        if parsed.engines.is_empty() {
            parsed.engines =
                ["memory", "snapshot", "logmap", "btree", "lsm", "tally"].map(str::to_string).to_vec();
        }
        Ok(parsed)
    }
}

fn main() -> ExitCode {
    match Arguments::parse().and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing differed on any engine. As many are looked at side by side as there are processors.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let waiting = Mutex::new(arguments.engines.iter());
    let look = || {
        let (redis, mut all_alike) = (Redis::start()?, true);
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(engine) = next else { return Ok(all_alike) };
            all_alike &= compare(&redis, engine, arguments)?;
        }
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(look)).collect();
        let outcomes = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a comparison panicked".to_string())));
        outcomes.reduce(|one, other| Ok(one? & other?)).unwrap_or(Ok(true))
    })
}

fn compare(redis: &Redis, engine: &str, arguments: &Arguments) -> Result<bool, String> {
    let server = Server::start(config(engine));
    let commands =
        server.client().line("COMMAND LIST").array().iter().map(e2e::Reply::text).collect::<Vec<_>>();
    let without = |name: &str| arguments.without.iter().any(|without| without == name);
    let shapes = Shapes::of_commands(|name| !without(name) && commands.iter().any(|command| command == name));
    if !shapes.left_out().is_empty() {
        let left_out = shapes.left_out().join(" ");
        if !arguments.partial && arguments.without.is_empty() {
            return Err(format!("our server has not: {left_out}; --partial leaves them out"));
        }
        println!("{engine}: left out: {left_out}");
    }
    let pair = Pair { redis: redis.address().to_string(), ours: server.address().to_string() };
    let (mut sent, mut differences) = (0, 0);
    let mut seed = arguments.seed;
    println!("{engine}: seed {seed}");
    while sent < arguments.commands && differences < DIFFERENCES_MAX {
        let requests = stream::random(&shapes, seed);
        sent += requests.len();
        if let Some(report) = difference(&pair, &requests)? {
            println!("DIFFERENCE {} on {engine}, --seed {seed} --commands 1:\n{report}", differences + 1);
            differences += 1;
        }
        seed += 1;
    }
    let found =
        if differences == 0 { "all replies equal".to_string() } else { format!("{differences} differences") };
    println!("{engine}: {sent} commands in streams of {STREAM_REQUESTS}: {found}");
    Ok(differences == 0)
}

/// The shortest stream that shows what differs, if anything does.
fn difference(pair: &Pair, requests: &[Request]) -> Result<Option<String>, String> {
    let unreachable = |error: std::io::Error| format!("a server cannot be reached: {error}");
    let Some(first) = replay::replay(pair, requests).map_err(unreachable)? else { return Ok(None) };
    let same = |requests: &[Request]| {
        replay::replay(pair, requests).is_ok_and(|it| it.is_some_and(|it| it.what == first.what))
    };
    let short = shrink::shrink(requests, same);
    let shown = replay::replay(pair, &short).map_err(unreachable)?.unwrap_or(first);
    let lines: String = short.iter().map(|request| format!("  {request}\n")).collect();
    Ok(Some(format!("{lines}  {shown}")))
}

/// With the limit of a value that Redis has, so that offsets are refused at the same place.
fn config(engine: &str) -> Config {
    let config = match engine {
        "snapshot" => Config::engine("snapshot").option("mode", "atomic"),
        "tally" => Config::engine(build::stranger("tally")),
        name => Config::engine(name),
    };
    config.with("limits", "value_bytes_max = \"512MiB\"").with("limits", "request_bytes_max = \"1GiB\"")
}
