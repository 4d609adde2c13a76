//! Judges an engine, or runs a script of a violation again:
//!
//! ```text
//! cargo run --release -p crash --example judge -- ENGINE [--option NAME=VALUE]… [--durability always|os|interval:MS]
//!     [--states N] [--seed S] [--failing-syncs | --damage] [--planted BUG] [--caught] [--script FILE]
//!     [--keys N] [--count COUNTER]…
//! cargo run -p crash --example judge -- --replay FILE
//! ```
//!
//! ENGINE is one of ours by its name, or the path of a shared library. A BUG is one of `crash::planted`, or a feature
//! `planted_…` of an engine of ours. With `--damage` stores are damaged, not crashed. Ends with 0 if no violation was found; with
//! `--caught`, if one was. A violation is made small, explained, and written to the FILE of `--script`. Batches use N keys, 24
//! unless set: more make trees deeper. It says in how many states a COUNTER among the engine's metrics grew in the call that the
//! crash cut short.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use adapter_api::Durability;
use crash::damage::judge_damage;
use crash::judge::{Effort, Judge, Violation};
use crash::planted::plant;
use crash::replay::replay;
use crash::script::Script;
use crash::shrink::shrink;
use crash::stranger::watch;
use crash::subject::Subject;
use crash::workload::KEYS;
use e2e::build::{own_engine, planted_engine};

/// How many places of each file are damaged.
const PLACES: usize = 100;

struct Arguments {
    engine: String,
    options: Vec<(String, String)>,
    durability: Durability,
    states: u64,
    seed: u64,
    keys: u64,
    failing_syncs: bool,
    is_damaged: bool,
    planted: Option<String>,
    is_to_be_caught: bool,
    script: Option<String>,
    counted: Vec<String>,
    replay: Option<String>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            engine: String::new(),
            options: Vec::new(),
            durability: Durability::Always,
            states: 100_000,
            seed: 1,
            keys: KEYS,
            failing_syncs: false,
            is_damaged: false,
            planted: None,
            is_to_be_caught: false,
            script: None,
            counted: Vec::new(),
            replay: None,
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn durability(text: &str) -> Result<Durability, String> {
    match text.split_once(':') {
        None if text == "always" => Ok(Durability::Always),
        None if text == "os" => Ok(Durability::Os),
        Some(("interval", millis)) => Ok(Durability::Interval(Duration::from_millis(number(millis)?))),
        _ => Err(format!("{text:?} is no class of durability")),
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--option" => {
                let value = value()?;
                let (name, value) = value.split_once('=').ok_or("an option is NAME=VALUE")?;
                arguments.options.push((name.to_string(), value.to_string()));
            }
            "--durability" => arguments.durability = durability(&value()?)?,
            "--states" => arguments.states = number(&value()?)?,
            "--seed" => arguments.seed = number(&value()?)?,
            "--keys" => arguments.keys = number(&value()?)?,
            "--failing-syncs" => arguments.failing_syncs = true,
            "--damage" => arguments.is_damaged = true,
            "--planted" => arguments.planted = Some(value()?),
            "--caught" => arguments.is_to_be_caught = true,
            "--script" => arguments.script = Some(value()?),
            "--count" => arguments.counted.push(value()?),
            "--replay" => arguments.replay = Some(value()?),
            engine if !engine.starts_with("--") => arguments.engine = engine.to_string(),
            _ => return Err(format!("{word:?} is no option of the judge")),
        }
    }
    match arguments.engine.is_empty() && arguments.replay.is_none() {
        true => Err("which engine? its name, or the path of its library".to_string()),
        false => Ok(arguments),
    }
}

/// The library of an engine; with one of its features, if that is a bug inside it.
fn library(engine: &str, bug: Option<&str>) -> PathBuf {
    match bug {
        _ if engine.contains('/') => PathBuf::from(engine),
        Some(bug) => planted_engine(engine, bug),
        None => own_engine(engine),
    }
}

fn subject(
    engine: &str,
    options: &[(String, String)],
    durability: Durability,
    planted: Option<&String>,
) -> Result<Subject, String> {
    let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let inside = planted.map(String::as_str).filter(|name| name.starts_with("planted_"));
    let subject = Subject::load(&library(engine, inside), &options)?.with_durability(durability);
    match planted {
        None => Ok(subject),
        Some(_) if inside.is_some() => Ok(subject),
        Some(name) => plant(subject, name).ok_or_else(|| format!("no bug is called {name:?}")),
    }
}

/// Runs a script again; answers whether it passes.
#[allow(clippy::print_stdout, reason = "the verdict is what it is run for")]
fn run_script(file: &str) -> Result<bool, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let script: Script = text.parse()?;
    let subject = subject(&script.engine, &script.options, script.durability, script.planted.as_ref())?;
    match replay(&subject, &script) {
        Ok(()) => println!("nothing is wrong"),
        Err(failure) => {
            println!("{failure}");
            return Ok(false);
        }
    }
    Ok(true)
}

#[allow(clippy::print_stdout, reason = "the verdict is what it is run for")]
fn explain(subject: &Subject, violation: Violation, arguments: &Arguments) -> Result<(), String> {
    println!("caught: {}\n\nmade small:", violation.complaint);
    let mut violation = shrink(subject, violation);
    violation.script.planted.clone_from(&arguments.planted);
    println!("{}", violation.script);
    if let Err(failure) = replay(subject, &violation.script) {
        println!("{failure}");
    }
    match &arguments.script {
        None => Ok(()),
        Some(file) => std::fs::write(file, violation.script.to_string()).map_err(|error| error.to_string()),
    }
}

/// Damages stores until enough were opened; answers whether the outcome is the one asked for.
#[allow(clippy::print_stdout, reason = "the verdict is what it is run for")]
fn damage(subject: &Subject, arguments: &Arguments) -> Result<bool, String> {
    let mut opened = 0;
    for seed in arguments.seed.. {
        match judge_damage(subject, seed, PLACES) {
            Ok(stores) => opened += stores,
            Err(violation) => {
                explain(subject, *violation, arguments)?;
                return Ok(arguments.is_to_be_caught);
            }
        }
        if opened >= arguments.states {
            break;
        }
    }
    println!("{opened} damaged stores: all damage was noticed or did no harm");
    Ok(!arguments.is_to_be_caught)
}

#[allow(clippy::print_stdout, reason = "the verdict is what it is run for")]
fn run() -> Result<bool, String> {
    let arguments = arguments()?;
    if let Some(file) = &arguments.replay {
        return run_script(file);
    }
    let subject =
        subject(&arguments.engine, &arguments.options, arguments.durability, arguments.planted.as_ref())?
            .with_counted(arguments.counted.iter().map(String::as_str));
    let settings: Vec<_> = subject.options().map(|(name, value)| format!("{name}={value}")).collect();
    println!("{} {} {:?}, seed {}", subject.name(), settings.join(" "), subject.durability, arguments.seed);
    if arguments.planted.is_none() {
        let remarks = watch(&subject, arguments.seed)?;
        println!("{remarks}");
        if remarks.keeps_nothing {
            return Ok(!arguments.is_to_be_caught);
        }
    }
    if arguments.is_damaged {
        return damage(&subject, &arguments);
    }
    let Arguments { states, keys, failing_syncs, .. } = arguments;
    let effort = Effort { keys, failing_syncs, ..Effort::of(states) };
    let mut judge = Judge::new(&subject, effort);
    let begun = Instant::now();
    let verdict = judge.judge(arguments.seed);
    let (seconds, tally) = (begun.elapsed().as_secs_f64(), judge.tally);
    println!(
        "{} distinct states ({} in or behind a recovery, {} more came about again) at {} moments of {} lives; \
         {seconds:.1} s, {:.0} states a second",
        tally.states,
        tally.nested,
        tally.repeated,
        tally.moments,
        tally.lives,
        tally.states as f64 / seconds
    );
    print!("{}", judge.activity);
    match verdict {
        Ok(()) => println!("0 violations"),
        Err(violation) => {
            explain(&subject, *violation, &arguments)?;
            return Ok(arguments.is_to_be_caught);
        }
    }
    Ok(!arguments.is_to_be_caught)
}

#[allow(clippy::print_stderr, reason = "the verdict is what it is run for")]
fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
