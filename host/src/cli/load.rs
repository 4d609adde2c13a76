//! `load`: a dump, or the strings in an RDB file of Redis, into a new store of any engine.
//!
//! Promises: the directory has data when all of it is there, durable and compared with the dump, and none before;
//! what was cut off is refused by a server and removed by the next `load`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::Path;

use adapter_api::host::Incoming;
use adapter_api::{Capabilities, EngineError};
use serde_json::json;

use super::arrival::{self, Arrival};
use super::failure::Failure;
use super::interruption::{Interruptible, Interruption};
use super::store::{engine_options, registry};
use super::task::Task;
use super::transfer_arguments::LoadArguments;
use super::{load_rdb, output};
use crate::transfer::Totals;
use crate::transfer::dump::DumpReader;
use crate::transfer::rdb::{self, RdbReader};

/// Loads a dump into a directory without data.
pub fn load(arguments: &LoadArguments) -> Result<(), Failure> {
    let LoadArguments { dir, engine, options, input, place, json } = arguments;
    let settings = place.load()?.settings;
    let plugin = registry(&settings, dir)?.load(engine)?;
    let about = plugin.loaded.description();
    let options = engine_options(&settings, about, options)?;
    if !about.capabilities.has(Capabilities::DURABLE) {
        let name = &about.name;
        return Err(Failure::Usage(format!(
            "engine {name} keeps nothing when it is closed; choose another one"
        )));
    }
    let mut task = Task::begin(*json)?;
    let input = Input::open(input, task.interruption())?;
    let incoming = Incoming::into_vacant(dir)?;
    let arrival = Arrival { incoming: &incoming, plugin: &plugin, options: &options };
    let mut skipped = Skipped::new();
    let outcome = fill(input, &arrival, &mut skipped, &mut task);
    let totals = arrival::take_over(outcome, incoming, about, &task)?;
    report(&task, &totals, &skipped, arguments)
}

fn fill(
    mut input: Input,
    arrival: &Arrival<'_>,
    skipped: &mut Skipped,
    task: &mut Task,
) -> Result<Totals, Failure> {
    let refused = |error: EngineError| Failure::Data(error.to_string());
    let mut head = Vec::new();
    let peeked = input.reader.by_ref().take(rdb::HEAD.len() as u64).read_to_end(&mut head);
    peeked.map_err(|error| Failure::Data(format!("could not read {}: {error}", input.name)))?;
    let is_rdb = head == rdb::HEAD;
    let whole = io::Cursor::new(head).chain(input.reader);
    if is_rdb {
        let mut reader = RdbReader::new(whole, &input.name).map_err(refused)?;
        let filled = load_rdb::fill(arrival, &mut reader, input.bytes, task);
        skipped.clone_from(reader.skipped());
        return filled;
    }
    let mut reader = DumpReader::new(whole, &input.name).map_err(refused)?;
    arrival.fill(&mut reader, input.bytes, task)
}

/// How many keys were not loaded, by the reason.
type Skipped = BTreeMap<&'static str, u64>;

fn report(task: &Task, totals: &Totals, skipped: &Skipped, arguments: &LoadArguments) -> Result<(), Failure> {
    let LoadArguments { dir, json, .. } = arguments;
    let text = match json {
        true => {
            let mut answer = task.as_json(totals);
            answer["skipped"] = json!(skipped);
            answer.to_string()
        }
        false => format!("{} are in {}", task.as_text(totals), output::one_line(&dir.display().to_string())),
    };
    output::answer(&format!("{text}\n"))?;
    if skipped.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    Err(Failure::Check(format!("all else was loaded, but not: {}", reasons.join(", "))))
}

/// Where a dump comes from.
struct Input {
    reader: Box<dyn Read + Send>,
    name: String,
    /// Its length; 0 for a stream.
    bytes: u64,
}

impl Input {
    fn open(path: &Path, interruption: &Interruption) -> Result<Self, Failure> {
        if path == Path::new("-") {
            if io::stdin().is_terminal() {
                let message =
                    "there is nothing on the standard input: name a file with --input, or pipe a dump in";
                return Err(Failure::Usage(message.into()));
            }
            // Past the buffer of the standard library, which cannot be waited for.
            let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            let stdin =
                stdin.map_err(|error| Failure::Usage(format!("cannot read the standard input: {error}")))?;
            let reader = Box::new(Interruptible::new(stdin, interruption));
            return Ok(Self { reader, name: "(standard input)".into(), bytes: 0 });
        }
        let unusable = |error| Failure::Usage(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(unusable)?;
        let metadata = file.metadata().map_err(unusable)?;
        if metadata.is_dir() {
            return Err(Failure::Usage(format!("cannot read {}: it is a directory", path.display())));
        }
        let reader = Box::new(Interruptible::new(file, interruption));
        Ok(Self { reader, name: path.display().to_string(), bytes: metadata.len() })
    }
}
