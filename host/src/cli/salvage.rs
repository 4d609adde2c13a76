//! `salvage`: takes what can still be read out of a damaged data directory into a new one.
//!
//! Promises: the damaged directory is locked and never written; every finding is one line on stdout as soon as
//! it is made; the new directory has data when all of it is there, durable and compared with what was read, and none
//! before: what was cut off is refused by a server and removed by the next `salvage`.

use std::path::Path;
use std::sync::Arc;

use adapter_api::host::{ClaimError, DataDirectory, Incoming};
use adapter_api::{Capabilities, EngineError, Watch};
use serde_json::json;

use super::arguments::SalvageArguments;
use super::arrival::{self, Arrival};
use super::failure::Failure;
use super::findings::Findings;
use super::output;
use super::store::{engine_name as remembered_or_named, engine_options, registry};
use super::task::Task;
use crate::storage::Salvage;
use crate::transfer::Totals;

/// Copies every entry that can still be read into a new data directory of the same engine.
pub fn salvage(arguments: &SalvageArguments) -> Result<(), Failure> {
    let SalvageArguments { dir, into, json, .. } = arguments;
    let settings = arguments.place.load()?.settings;
    let findings = Arc::new(Findings::new(*json));
    let plugin = registry(&settings, dir)?.load(&engine_name(arguments, &findings)?)?;
    let engine = plugin.loaded.description();
    if !engine.capabilities.has(Capabilities::SALVAGE) {
        let name = &engine.name;
        return Err(Failure::Data(format!(
            "engine {name} cannot read around damage; restore a backup instead"
        )));
    }
    refuse_inside(into, dir)?;
    let damaged = DataDirectory::claim_for_reading(dir, engine)?;
    let options = engine_options(&settings, engine, &[])?;
    let source =
        Salvage::open(&plugin.loaded, damaged.directory(), options.clone(), Arc::clone(&findings) as _)
            .map_err(|error| Failure::Data(format!("nothing can be read from {}: {error}", dir.display())))?;
    let entries = source.entries();
    let mut entries =
        entries.map_err(|error| Failure::Data(format!("{} cannot be read: {error}", dir.display())))?;
    let mut task = Task::begin(*json)?;
    let incoming = Incoming::into_vacant(into)?;
    let arrival = Arrival { incoming: &incoming, plugin: &plugin, options: &options };
    let outcome = arrival.fill(&mut entries, 0, &mut task);
    let totals = arrival::take_over(outcome, incoming, engine, &task)?;
    report_end(findings.count(), &totals, arguments)
}

/// The engine that was named, else the one that the directory remembers. A damaged marker is a finding if the
/// engine was named.
fn engine_name(arguments: &SalvageArguments, findings: &Findings) -> Result<String, Failure> {
    match (&arguments.engine, DataDirectory::engine_of(&arguments.dir)) {
        (named, Ok(remembered)) => remembered_or_named(remembered, named.as_deref()),
        (None, Err(error @ ClaimError::DamagedMarker { .. })) => {
            Err(Failure::Data(format!("{error}; or name the engine with --engine")))
        }
        (Some(name), Err(ClaimError::DamagedMarker { reason, .. })) => {
            findings.finding(EngineError::corrupt("MARKER", 0, reason));
            Ok(name.clone())
        }
        (_, Err(error)) => Err(error.into()),
    }
}

/// Refuses a target that lies inside the damaged directory.
fn refuse_inside(into: &Path, dir: &Path) -> Result<(), Failure> {
    // It may not be there yet: where it will be is known from the nearest folder that is.
    let whole = std::path::absolute(into).unwrap_or_default();
    let there = whole.ancestors().find_map(|folder| folder.canonicalize().ok());
    match (there, dir.canonicalize()) {
        (Some(there), Ok(dir)) if there.starts_with(&dir) => Err(Failure::Data(format!(
            "{} lies in the damaged directory; name a new directory with --into",
            into.display()
        ))),
        _ => Ok(()),
    }
}

fn report_end(findings: u64, totals: &Totals, arguments: &SalvageArguments) -> Result<(), Failure> {
    let SalvageArguments { dir, into, json, .. } = arguments;
    let Totals { entries, bytes, .. } = totals;
    let text = match json {
        true => json!({"entries": entries, "bytes": bytes, "findings": findings}).to_string(),
        false => format!(
            "{entries} entries with {bytes} bytes are in {}; {findings} findings",
            output::one_line(&into.display().to_string())
        ),
    };
    output::answer(&format!("{text}\n"))?;
    match findings {
        0 => Ok(()),
        _ => {
            let dir = dir.display();
            Err(Failure::Check(format!("{dir} is damaged in {findings} places; all else was copied")))
        }
    }
}
