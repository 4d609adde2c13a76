//! Judges an engine: `cargo run --release -p crash --example judge -- ENGINE [--option NAME=VALUE]… [--durability
//! always|os|interval:MS] [--states N] [--seed S] [--planted BUG] [--failing-syncs]
//! [--caught]`.
//!
//! ENGINE is one of ours by its name, or the path of a shared library. Ends with 0 if no violation was found; with
//! `--caught`, if one was: it is shrunk and printed.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use adapter_api::Durability;
use crash::judge::{Effort, Judge};
use crash::planted::plant;
use crash::replay::replay;
use crash::shrink::shrink;
use crash::subject::Subject;

struct Arguments {
    engine: String,
    options: Vec<(String, String)>,
    durability: Durability,
    states: u64,
    seed: u64,
    is_to_be_caught: bool,
    planted: Option<String>,
    failing_syncs: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let mut arguments = Arguments {
        engine: words.next().ok_or("which engine?")?,
        options: Vec::new(),
        durability: Durability::Always,
        states: 100_000,
        seed: 1,
        is_to_be_caught: false,
        planted: None,
        failing_syncs: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
        match word.as_str() {
            "--option" => {
                let value = value()?;
                let (name, value) = value.split_once('=').ok_or("an option is NAME=VALUE")?;
                arguments.options.push((name.to_string(), value.to_string()));
            }
            "--durability" => {
                let value = value()?;
                arguments.durability = match value.split_once(':') {
                    None if value == "always" => Durability::Always,
                    None if value == "os" => Durability::Os,
                    Some(("interval", millis)) => {
                        Durability::Interval(Duration::from_millis(number(millis.to_string())?))
                    }
                    _ => return Err(format!("{value:?} is no class of durability")),
                };
            }
            "--states" => arguments.states = number(value()?)?,
            "--seed" => arguments.seed = number(value()?)?,
            "--planted" => arguments.planted = Some(value()?),
            "--failing-syncs" => arguments.failing_syncs = true,
            "--caught" => arguments.is_to_be_caught = true,
            _ => return Err(format!("{word:?} is no option of the judge")),
        }
    }
    Ok(arguments)
}

fn library(engine: &str) -> PathBuf {
    if engine.contains('/') {
        return PathBuf::from(engine);
    }
    let mut cargo = Command::new(e2e::build::cargo());
    cargo.current_dir(e2e::build::root()).args(["build", "-p", &format!("engine_{engine}")]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    e2e::build::find(&e2e::build::artifacts(&mut cargo), &format!("libengine_{engine}.so"))
}

#[allow(clippy::print_stdout, reason = "the verdict is what it is run for")]
fn run() -> Result<bool, String> {
    let arguments = arguments()?;
    let options: Vec<_> =
        arguments.options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let subject = Subject::load(&library(&arguments.engine), &options)?.with_durability(arguments.durability);
    let subject = match &arguments.planted {
        None => subject,
        Some(name) => plant(subject, name).ok_or_else(|| format!("no bug is called {name:?}"))?,
    };
    let effort = Effort { failing_syncs: arguments.failing_syncs, ..Effort::of(arguments.states) };
    let mut judge = Judge::new(&subject, effort);
    let begun = Instant::now();
    let verdict = judge.judge(arguments.seed);
    let (seconds, tally) = (begun.elapsed().as_secs_f64(), judge.tally);
    let settings: Vec<_> = subject.options().map(|(name, value)| format!("{name}={value}")).collect();
    println!("{} {} {:?}, seed {}", subject.name(), settings.join(" "), subject.durability, arguments.seed);
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
    match verdict {
        Ok(()) => println!("0 violations"),
        Err(violation) => {
            println!("caught: {}; made small:\n", violation.complaint);
            let mut violation = shrink(&subject, *violation);
            violation.script.planted = arguments.planted;
            println!("{}", violation.script);
            if let Err(failure) = replay(&subject, &violation.script) {
                println!("{failure}");
            }
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
