//! The rounds: every store once in each, in a child process and a folder of its own.
//!
//! Promises: a child that fails has the figures alone that it printed before, and its failure stands in the results; the
//! command ends with an error then. Nothing of a store is left when its turn is over.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::data::ENTRY_BYTES;
use crate::loop_device::LoopDevice;
use crate::memory_limit::{MemoryLimit, drop_page_cache};
use crate::rows::ROWS;
use crate::stores::{self, LIMIT, RIVALS};
use crate::table::Results;
use crate::workload::Figures;

/// What a child says when it is filled and may be killed, with the number of keys behind it.
pub const FILLED: &str = "filled";
/// Of ours, those that take part unless others are named.
const OURS: [&str; 2] = ["logmap", "memory"];
const KEYS: u64 = 1_000_000;
const KEYS_QUICK: u64 = 20_000;
const WINDOW_MS: u64 = 5_000;
const WINDOW_MS_QUICK: u64 = 200;
const CACHE_BYTES: u64 = 1 << 30;
/// The store that does not fit into memory: what its entries take, and what memory its process has, page cache included.
const LARGE_BYTES: u64 = 4 << 30;
const LARGE_BYTES_QUICK: u64 = 64 << 20;
const MEMORY_BYTES: u64 = 1 << 30;
/// A process needs some memory whatever it stores: here the data fits.
const MEMORY_BYTES_QUICK: u64 = 256 << 20;
/// The rows of this group are measured only where they are named: three minutes a store, and root's rights.
const LARGE: &str = "large";
/// The signal by which the kernel ends a process that would be over its limit.
const KILLED: i32 = 9;
/// The names of its two phases.
const FILL_LARGE: &str = "fill-large";

/// The command line.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Only these: rivals, `limit`, names of our engines, paths of plugins
    #[arg(long, value_delimiter = ',')]
    stores: Vec<String>,
    /// Only these groups of rows; `large` runs only where it is named
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Keys
    #[arg(long)]
    keys: Option<u64>,
    /// How long each load by time runs, in milliseconds
    #[arg(long)]
    window_ms: Option<u64>,
    /// Bytes of keys and values in the store that is larger than memory; 4 GiB unless set
    #[arg(long, value_name = "BYTES")]
    large_bytes: Option<u64>,
    /// Bytes of memory that its process may use, page cache included; 1 GiB unless set
    #[arg(long, value_name = "BYTES")]
    memory_bytes: Option<u64>,
    /// Bytes of memory for each store's cache; 1 GiB unless set, and half of what there is where data is larger than memory
    #[arg(long, value_name = "BYTES")]
    cache_bytes: Option<u64>,
    /// Where the stores live; cargo's target folder unless set
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also write every figure, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Give each store a loop device of its own and count what reaches it, ours too; needs root, and is
    /// for the rows of amplification: a loop device has a speed of its own
    #[arg(long)]
    loop_device: bool,
    /// Only see whether everything works: few keys, short runs, figures that mean nothing
    #[arg(long)]
    quick: bool,
}

/// One store in the table.
struct Contender {
    /// Its column.
    name: String,
    /// As `stores::open` takes it.
    store: String,
}

/// Runs everything.
///
/// # Errors
/// If nothing can be measured at all; what fails later stands in the results.
///
/// # Panics
/// If an engine of ours cannot be built, with what cargo said.
pub fn run(arguments: &Arguments) -> Result<Results> {
    let groups: Vec<_> = ROWS.iter().map(|row| row.group).collect();
    for group in &arguments.groups {
        ensure!(groups.contains(&group.as_str()), "there is no group of rows {group:?}");
    }
    ensure!(arguments.rounds > 0, "at least one round is needed");
    let contenders = contenders(&arguments.stores)?;
    let words: Vec<_> = std::env::args().skip(1).collect();
    let command = format!("cargo run --release -- {}", words.join(" "));
    let mut results =
        Results { command, quick: arguments.quick, loop_device: arguments.loop_device, ..Results::default() };
    for round in 0..arguments.rounds {
        for contender in &contenders {
            tell(&format!("round {} of {}: {}", round + 1, arguments.rounds, contender.name));
            let mut figures = Figures::new();
            if let Err(error) = turn(arguments, contender, &mut figures) {
                results.failures.push(format!("{}, round {}: {error:#}", contender.name, round + 1));
            }
            results.rounds.entry(contender.name.clone()).or_default().push(figures);
        }
    }
    Ok(results)
}

#[allow(clippy::print_stderr, reason = "who waits wants to know for what")]
fn tell(line: &str) {
    eprintln!("{line}");
}

fn contenders(chosen: &[String]) -> Result<Vec<Contender>> {
    let all = [LIMIT].into_iter().chain(RIVALS).chain(OURS).map(String::from);
    let names = if chosen.is_empty() { all.collect() } else { chosen.to_vec() };
    names.into_iter().map(contender).collect()
}

fn contender(name: String) -> Result<Contender> {
    if name == LIMIT || RIVALS.contains(&name.as_str()) {
        return Ok(Contender { store: name.clone(), name });
    }
    let path = match name.contains('/') {
        true => Path::new(&name).canonicalize().with_context(|| format!("there is no plugin {name}"))?,
        false => {
            let mut cargo = Command::new(e2e::build::cargo());
            cargo.current_dir(e2e::build::root()).args([
                "build",
                "--release",
                "-p",
                &format!("engine_{name}"),
            ]);
            e2e::build::find(&e2e::build::artifacts(&mut cargo), &format!("libengine_{name}.so"))
        }
    };
    let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let store = path.to_str().context("the path of the plugin is no text")?.to_string();
    Ok(Contender { name: file.trim_start_matches("libengine_").to_string(), store })
}

/// One store's turn: the workload, a kill, and data larger than memory.
fn turn(arguments: &Arguments, contender: &Contender, figures: &mut Figures) -> Result<()> {
    let parent = arguments
        .dir
        .clone()
        .unwrap_or_else(|| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tmp")).to_path_buf());
    std::fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let wants = |group: &str| arguments.groups.iter().any(|wanted| wanted == group);
    let only_apart =
        !arguments.groups.is_empty() && arguments.groups.iter().all(|it| it == LARGE || it == "kill");
    let folder = || tempfile::Builder::new().prefix("peers-").tempdir_in(&parent);
    if !only_apart {
        let device = arguments.loop_device.then(|| LoopDevice::new(&parent)).transpose()?;
        let folder = match &device {
            Some(device) => tempfile::tempdir_in(device.mounted())?,
            None => folder()?,
        };
        let name = device.as_ref().map(LoopDevice::name);
        finish(phase(arguments, contender, &folder, "workload", name)?, "workload", figures)?;
    }
    let is_durable = stores::is_durable(&contender.store)?;
    if is_durable && (arguments.groups.is_empty() || wants("kill")) {
        let folder = folder()?;
        let child = phase(arguments, contender, &folder, "fill", None)?;
        let filled = Arguments { keys: Some(kill_when_filled(child)?), ..arguments.clone() };
        finish(phase(&filled, contender, &folder, "recover", None)?, "recover", figures)?;
    }
    if is_durable && wants(LARGE) {
        let folder = folder()?;
        finish(phase(arguments, contender, &folder, FILL_LARGE, None)?, FILL_LARGE, figures)?;
        drop_page_cache()?;
        let limit = MemoryLimit::new(memory_bytes(arguments))?;
        let child = phase(arguments, contender, &folder, LARGE, None)?;
        limit.hold(&child)?;
        finish(child, LARGE, figures)?;
    }
    Ok(())
}

/// Of the two, the one for a look whether everything works.
fn scaled(arguments: &Arguments, quick: u64, whole: u64) -> u64 {
    if arguments.quick { quick } else { whole }
}

fn memory_bytes(arguments: &Arguments) -> u64 {
    arguments.memory_bytes.unwrap_or(scaled(arguments, MEMORY_BYTES_QUICK, MEMORY_BYTES))
}

/// How many keys a phase has to do with, and how many bytes of memory the store may use for its cache.
fn keys_and_cache(arguments: &Arguments, phase: &str) -> (u64, u64) {
    if ![FILL_LARGE, LARGE].contains(&phase) {
        let keys = arguments.keys.unwrap_or(scaled(arguments, KEYS_QUICK, KEYS));
        return (keys, arguments.cache_bytes.unwrap_or(CACHE_BYTES));
    }
    let bytes = arguments.large_bytes.unwrap_or(scaled(arguments, LARGE_BYTES_QUICK, LARGE_BYTES));
    // Half of the memory for the cache: what is mapped or cached by the kernel, and all else, needs the other half.
    ((bytes / ENTRY_BYTES).max(1), arguments.cache_bytes.unwrap_or(memory_bytes(arguments) / 2))
}

fn phase(
    arguments: &Arguments,
    contender: &Contender,
    folder: &TempDir,
    phase: &str,
    device: Option<&str>,
) -> Result<Child> {
    let (keys, cache) = keys_and_cache(arguments, phase);
    let window = arguments.window_ms.unwrap_or(scaled(arguments, WINDOW_MS_QUICK, WINDOW_MS));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["phase", "--phase", phase, "--store", &contender.store]);
    command.arg("--directory").arg(folder.path());
    command.args(["--keys", &keys.to_string(), "--window-ms", &window.to_string()]);
    command.args(["--cache-bytes", &cache.to_string()]);
    command.args(device.iter().flat_map(|device| ["--device", *device]));
    if !arguments.groups.is_empty() {
        command.args(["--groups", &arguments.groups.join(",")]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("a child process does not start")
}

/// Waits for a child and reads its figures: those of every line that it printed, also if it came to no good end.
fn finish(child: Child, phase: &str, figures: &mut Figures) -> Result<()> {
    let output = child.wait_with_output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    for line in printed.lines() {
        figures.extend(
            serde_json::from_str::<Figures>(line).with_context(|| format!("{phase} printed {line:?}"))?,
        );
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().take_while(|line| !line.starts_with("Stack backtrace")).collect::<Vec<_>>();
        let is_killed = phase == LARGE && output.status.signal() == Some(KILLED);
        let reason = if is_killed { "it needed more memory than the limit" } else { "" };
        bail!("{phase} ended with {}: {}{reason}", output.status, said.join(" ").trim());
    }
    ensure!(!printed.is_empty(), "{phase} printed no figures");
    Ok(())
}

/// Kills a child once it is filled; returns with how many keys.
fn kill_when_filled(mut child: Child) -> Result<u64> {
    let stdout = child.stdout.take().context("its output is piped")?;
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let keys = lines.find_map(|line| line.strip_prefix(FILLED)?.trim().parse().ok());
    child.kill()?;
    child.wait()?;
    if let Some(keys) = keys {
        return Ok(keys);
    }
    let mut said = String::new();
    child.stderr.take().map(|mut errors| errors.read_to_string(&mut said)).transpose()?;
    bail!("fill failed: {}", said.trim())
}
