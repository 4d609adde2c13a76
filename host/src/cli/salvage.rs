//! `salvage`: takes what can still be read out of a damaged data directory into a new one.
//!
//! Promises: the damaged directory is locked and never written; every finding is one line on stdout as soon as
//! it is made; the new directory is complete if the exit code is 0 (no finding) or 1 (findings).

use std::path::Path;
use std::sync::Arc;

use adapter_api::host::{ClaimError, DataDirectory};
use adapter_api::{Capabilities, EngineError, Watch};
use serde_json::json;

use super::arguments::SalvageArguments;
use super::failure::Failure;
use super::findings::Findings;
use super::output;
use super::store::{engine_name as remembered_or_named, engine_options, registry};
use crate::storage::registry::Plugin;
use crate::storage::{Salvage, Salvaged};

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
    refuse_used(into, dir)?;
    let damaged = DataDirectory::claim_for_reading(dir, engine)?;
    let options = engine_options(&settings, engine, &[])?;
    let source = Salvage::open(&plugin.loaded, damaged.directory(), options, Arc::clone(&findings) as _)
        .map_err(|error| Failure::Data(format!("nothing can be read from {}: {error}", dir.display())))?;
    let salvaged = copy(&source, &plugin, into)?;
    report_end(findings.count(), salvaged, arguments)
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

/// Refuses a target that has anything in it or lies inside the damaged directory.
fn refuse_used(into: &Path, dir: &Path) -> Result<(), Failure> {
    let refused =
        |why: &str| Err(Failure::Data(format!("{} {why}; name a new directory with --into", into.display())));
    match std::fs::read_dir(into).map(|mut names| names.next().is_some()) {
        Ok(true) => return refused("is not empty"),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return refused(&format!("cannot be used ({error})"));
        }
        _ => {}
    }
    // It may not be there yet: where it will be is known from the nearest folder that is.
    let whole = std::path::absolute(into).unwrap_or_default();
    let there = whole.ancestors().find_map(|folder| folder.canonicalize().ok());
    match (there, dir.canonicalize()) {
        (Some(there), Ok(dir)) if there.starts_with(&dir) => refused("lies in the damaged directory"),
        _ => Ok(()),
    }
}

fn copy(source: &Salvage, plugin: &Plugin, into: &Path) -> Result<Salvaged, Failure> {
    let target = DataDirectory::claim(into, plugin.loaded.description())?;
    source.copy_into(target.directory(), target.counters()).map_err(|error| {
        let (name, into) = (&plugin.loaded.description().name, into.display());
        Failure::Data(format!("engine {name}: {error}; the copy in {into} is not complete, remove it"))
    })
}

fn report_end(findings: u64, salvaged: Salvaged, arguments: &SalvageArguments) -> Result<(), Failure> {
    let SalvageArguments { dir, into, json, .. } = arguments;
    let Salvaged { entries, bytes } = salvaged;
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
