//! `verify`: reads everything that a store holds and reports every damage.
//!
//! Promises: every finding is one line on stdout as soon as it is made; the exit code is 0 if there is none and 1
//! if there is one. What the engine refuses to open is refused here too, with its words and exit code 4.

use adapter_api::{Capabilities, Cursor, EngineError, Watch};
use serde_json::json;

use super::failure::Failure;
use super::output;
use super::store::Store;
use super::task::Task;
use super::transfer_arguments::VerifyArguments;
use crate::storage::keyspace;
use crate::transfer::{Observed, Totals};

/// Checks a store: its files by its engine, then every entry.
pub fn verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    let VerifyArguments { store, json } = arguments;
    let dir = store.dir.display();
    let mut task = Task::begin(*json)?;
    let store = Store::open(store)?;
    let outcome = check(&store, &mut task);
    task.end_step();
    let totals = outcome.map_err(|error| {
        task.interruption().or(Failure::Check(format!("the data in {dir} cannot be read: {error}")))
    })?;
    store.close()?;
    let findings = task.findings().count();
    output::answer(&format!("{}\n", answer(&task, totals.as_ref(), findings, *json)))?;
    match findings {
        0 => Ok(()),
        _ => Err(Failure::Check(format!("{dir} is damaged in {findings} places"))),
    }
}

fn answer(task: &Task, totals: Option<&Totals>, findings: u64, as_json: bool) -> String {
    match (as_json, totals) {
        (true, totals) => {
            let mut answer = totals.map_or_else(|| json!({}), |totals| task.as_json(totals));
            answer["findings"] = findings.into();
            answer.to_string()
        }
        (false, Some(totals)) => format!("{}; {findings} findings", task.as_text(totals)),
        (false, None) => format!("{findings} findings; the entries were not read"),
    }
}

/// The totals of all entries, unless damage is in the way, which is a finding.
fn check(store: &Store, task: &mut Task) -> Result<Option<Totals>, EngineError> {
    let storage = &store.storage;
    if storage.has(Capabilities::VERIFY) {
        task.step_of_engine("checking files");
        storage.verify(task)?;
        if task.findings().count() > 0 {
            return Ok(None);
        }
    } else {
        log::info!("engine {} cannot check its files; its entries are read", storage.description().name);
    }
    task.step("reading entries");
    match read(store, task) {
        Err(finding @ EngineError::Corrupt { .. }) => {
            task.finding(finding);
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

fn read(store: &Store, task: &Task) -> Result<Totals, EngineError> {
    let mut entries = store.storage.entries()?;
    let mut entries = Observed::new(&mut entries, store.bytes_about(), task);
    while let Some(entry) = entries.next()? {
        if keyspace::all_databases().as_range().contains(entry.key)
            && let Err(finding) = keyspace::decode(entry.value)
        {
            task.finding(finding);
        }
    }
    Ok(entries.totals())
}
