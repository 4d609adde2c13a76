//! One case in a process of its own: this program again, with a hidden command, and what it answers.
//!
//! ```text
//! check ── spawns ──▶ check-case ENGINE [CASE] … ── its last line on stdout, JSON ──▶ check
//! ```
//!
//! Promises: whatever the engine does to its process, there is an outcome: a process that ends otherwise, or not in
//! time, has failed. What it prints is bounded in memory.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use conformance::{Badge, Case, Finding, Outcome, Trial, case_named};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group,
    set_parent_process_death_signal, setrlimit, waitid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::arguments::{CheckArguments, CheckCaseArguments};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::storage::registry::{Plugin, Registry};

/// How much memory a case may write to, in bytes: several times the largest value, and what stores it.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// How often somebody looks whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long the end of what a process printed is waited for: whoever it started may still hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How much of what a process prints is kept, from its end.
const PRINTED_BYTES_MAX: usize = 1 << 20;

/// What is known of the engine before the first case.
pub struct Described {
    /// The library, links resolved.
    pub file: String,
    /// The engine's name.
    pub name: String,
    /// The engine's version.
    pub version: String,
    /// What it is good for.
    pub summary: String,
    /// What its own table of guarantees says of a badge, by the badge's code.
    pub says: BTreeMap<String, bool>,
}

/// How cases are run.
pub struct CaseProcess<'a> {
    arguments: &'a CheckArguments,
    interrupted: &'a AtomicBool,
    program: PathBuf,
    engine: String,
    folder: TempDir,
}

impl<'a> CaseProcess<'a> {
    /// Cases of the engine that the arguments name, until somebody interrupts.
    ///
    /// # Errors
    /// If there is no room for folders, or nobody knows where this program is.
    pub fn new(arguments: &'a CheckArguments, interrupted: &'a AtomicBool) -> Result<Self, Failure> {
        let unable = |what: &str, error| Failure::Check(format!("cannot run cases: {what}: {error}"));
        let program = std::env::current_exe().map_err(|error| unable("where is this program?", error))?;
        let folder = TempDir::with_prefix("enginebay-check-").map_err(|error| unable("no folder", error))?;
        Ok(Self { arguments, interrupted, program, engine: arguments.engine.clone(), folder })
    }

    /// The same for the very file that was described.
    pub fn of(self, engine: &Described) -> Self {
        Self { engine: engine.file.clone(), ..self }
    }

    /// Whether somebody wants this to end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// What the engine says of itself.
    ///
    /// # Errors
    /// Why the plugin is refused; or that it ended the process that asked it.
    pub fn describe(&self) -> Result<Described, Failure> {
        let mut command = self.command();
        let place = &self.arguments.place;
        if let Some(file) = &place.config {
            command.arg("--config").arg(file);
        }
        for dir in &place.plugin_dirs {
            command.args(["--plugin-dir", dir]);
        }
        let ended = self.wait(command, self.limit())?;
        match (ended.answer(), ended.status.and_then(|status| status.code())) {
            (Some(answer), Some(0)) => Ok(described(&answer)),
            (_, Some(code @ 1..=4)) => {
                let message = ended.last_error().trim_start_matches("enginebay: ").to_string();
                Err(Failure::Ended { code: code as u8, message })
            }
            _ => Err(Failure::Check(format!("the plugin was loaded and described, and {}", ended.story()))),
        }
    }

    /// Runs a case. It gets `time` to roll dice, and a bound beyond.
    pub fn run(&self, case: &Case, time: Duration) -> Outcome {
        let folder = self.folder.path().join(case.name);
        if let Err(error) = std::fs::create_dir(&folder) {
            return Outcome::NotJudged(format!("there is no folder for it: {error}"));
        }
        let mut command = self.command();
        command
            .args(["--case", case.name, "--millis", &time.as_millis().to_string(), "--folder"])
            .arg(&folder);
        let outcome = match self.wait(command, time * 2 + self.limit()) {
            Ok(ended) => ended.outcome(case, self.arguments.seed),
            Err(failure) => Outcome::NotJudged(failure.to_string()),
        };
        // What stays goes with the folder around it.
        let _ = std::fs::remove_dir_all(&folder);
        outcome
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.arguments.case_time)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["check-case", &self.engine, "--seed", &self.arguments.seed.to_string()]);
        for (name, value) in &self.arguments.options {
            command.arg("--option").arg(format!("{name}={value}"));
        }
        // A trace of a panic would open files, which is not the engine's doing.
        command.env_remove("RUST_BACKTRACE");
        // A group of its own, so that what it starts ends with it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Waits until the process has ended, or ends it.
    fn wait(&self, mut command: Command, limit: Duration) -> Result<Ended, Failure> {
        let unable = |error| Failure::Check(format!("a process for a case does not start: {error}"));
        let mut child = command.spawn().map_err(unable)?;
        let (stdout, stderr) = (Printed::keep(child.stdout.take()), Printed::keep(child.stderr.take()));
        let end = Instant::now() + limit;
        let is_over = loop {
            if has_ended(&child) {
                break true;
            } else if Instant::now() > end || self.is_interrupted() {
                break false;
            }
            thread::sleep(LOOK);
        };
        let status = end_all(&mut child).map_err(unable)?;
        let status = is_over.then_some(status);
        Ok(Ended { status, limit, stdout: stdout.text(), stderr: stderr.text() })
    }
}

/// The number of a process, which is that of its group too.
fn number(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Whether the process has ended. Its number stays its own until somebody waits for it.
fn has_ended(child: &Child) -> bool {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let ended = number(child).map(|number| waitid(WaitId::Pid(number), how));
    !matches!(ended, Some(Ok(None)))
}

/// Ends the process, if it has not ended, and whatever it started.
fn end_all(child: &mut Child) -> io::Result<ExitStatus> {
    if let Some(group) = number(child) {
        // There may be nobody left, which is as well.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait()
}

/// The end of what a process prints.
struct Printed {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Printed {
    fn keep(stream: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let Some(mut stream) = stream else { return };
            let mut part = vec![0; 16 << 10];
            loop {
                let len = match stream.read(&mut part) {
                    Ok(0) => return,
                    Ok(len) => len,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => return,
                };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&part[..len]);
                if kept.len() > 2 * PRINTED_BYTES_MAX {
                    let more = kept.len() - PRINTED_BYTES_MAX;
                    kept.drain(..more);
                }
            }
        });
        Self { bytes, reader }
    }

    fn text(self) -> String {
        let end = Instant::now() + LAST_WORDS;
        while !self.reader.is_finished() && Instant::now() < end {
            thread::sleep(LOOK);
        }
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// How a process ended.
struct Ended {
    /// `None`: it was ended, for its time was over.
    status: Option<ExitStatus>,
    limit: Duration,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// The last line that is an answer; an engine may print what it likes around it.
    fn answer(&self) -> Option<Value> {
        let answers = self.stdout.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        answers.into_iter().find(Value::is_object)
    }

    fn last_error(&self) -> String {
        // The hint behind a panic says nothing of it.
        let is_said = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
        output::one_line(self.stderr.lines().rev().find(is_said).unwrap_or_default())
    }

    fn story(&self) -> String {
        let how = match self.status {
            None => return format!("it did not end within {} s", self.limit.as_secs()),
            Some(status) => match status.signal() {
                Some(signal) => format!("its process was ended by {}", signal_name(signal)),
                None => format!("its process ended with {status}"),
            },
        };
        match self.last_error() {
            last if last.is_empty() => how,
            last => format!("{how}; the last thing it said: {last}"),
        }
    }

    fn outcome(&self, case: &Case, seed: u64) -> Outcome {
        let failed = |message| Outcome::Failed(Finding { message, seed: Some(seed), reproducer: None });
        let signal = self.status.and_then(|status| status.signal());
        match (self.answer(), self.status) {
            _ if case.is_confining && signal == Some(Signal::SYS.as_raw()) => failed(
                "it made a call to the kernel that this case forbids, and was ended by SIGSYS".to_string(),
            ),
            (Some(answer), Some(status)) if status.success() => outcome_of(&answer),
            _ => failed(self.story()),
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("signal {signal}"), ToString::to_string)
}

fn outcome_of(answer: &Value) -> Outcome {
    let text = |name: &str| answer[name].as_str().map(str::to_string);
    let message = text("text").unwrap_or_default();
    match answer["outcome"].as_str() {
        Some("passed") => Outcome::Passed(message),
        Some("not offered") => Outcome::NotOffered(message),
        Some("not judged") => Outcome::NotJudged(message),
        _ => Outcome::Failed(Finding {
            message,
            seed: answer["seed"].as_u64(),
            reproducer: text("reproducer"),
        }),
    }
}

fn answer_of(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Passed(text) => json!({"outcome": "passed", "text": text}),
        Outcome::NotOffered(text) => json!({"outcome": "not offered", "text": text}),
        Outcome::NotJudged(text) => json!({"outcome": "not judged", "text": text}),
        Outcome::Failed(Finding { message, seed, reproducer }) => {
            json!({"outcome": "failed", "text": message, "seed": seed, "reproducer": reproducer})
        }
    }
}

fn described(answer: &Value) -> Described {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
    let says = answer["says"].as_object().into_iter().flatten();
    let says = says.filter_map(|(badge, kept)| Some((badge.clone(), kept.as_bool()?))).collect();
    Described {
        file: text("file"),
        name: text("name"),
        version: text("version"),
        summary: text("summary"),
        says,
    }
}

/// `check-case`: what a process of its own does. It may end in any way at all.
pub fn check_case(arguments: &CheckCaseArguments) -> Result<(), Failure> {
    bound_itself()?;
    let settings = arguments.place.load()?.settings;
    let plugin = Registry::new(&settings.plugins.dirs, BTreeMap::new())?.load(&arguments.engine)?;
    let answer = match (&arguments.case, &arguments.folder) {
        (Some(name), Some(folder)) => {
            let case =
                case_named(name).ok_or_else(|| Failure::Usage(format!("there is no case {name:?}")))?;
            let time = Duration::from_millis(arguments.millis);
            let trial = Trial::new(plugin.loaded, &arguments.options, arguments.seed, time, folder);
            answer_of(case.run(&trial.map_err(Failure::Usage)?))
        }
        _ => describe(&plugin, arguments)?,
    };
    // On a line of its own, whatever the engine printed.
    output::answer(&format!("\n{answer}\n"))?;
    Ok(())
}

/// Bounds the memory of this process, leaves no core file behind, and ends with the one that started it.
fn bound_itself() -> Result<(), Failure> {
    let most = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Data, most(MEMORY_BYTES_MAX))
        .and_then(|()| setrlimit(Resource::Core, most(0)))
        .and_then(|()| set_parent_process_death_signal(Some(Signal::KILL)))
        .map_err(|error| Failure::Check(format!("cannot bound the process of a case: {error}")))
}

fn describe(plugin: &Plugin, arguments: &CheckCaseArguments) -> Result<Value, Failure> {
    let about = plugin.loaded.description();
    let given = arguments.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let options = adapter_api::Options::complete(&about.options, given).map_err(Failure::Usage)?;
    let table = plugin.loaded.guarantees(&options, adapter_api::Durability::Always);
    let table =
        table.map_err(|error| Failure::Check(format!("the engine's table of guarantees: {error}")))?;
    let says = |badge: Badge| Some((badge.code().to_string(), json!(table.line(badge.promise()?)?.kept)));
    let says: serde_json::Map<_, _> = Badge::ALL.into_iter().filter_map(says).collect();
    Ok(json!({
        "file": plugin.path.display().to_string(),
        "name": about.name,
        "version": about.version,
        "summary": about.summary,
        "says": says,
    }))
}
