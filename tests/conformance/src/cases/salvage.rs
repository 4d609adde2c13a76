//! What is left of a damaged store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_api::environment::real::RealDirectory;
use adapter_api::{Buffer, Capabilities, Direction, Durability, Entry, KeyRange, StorageEngine};
use crash::findings::Findings;
use crash::workload::Dice;

use crate::badge::Badge::HostileDisk;
use crate::case::Case;
use crate::model::{Edit, Model};
use crate::outcome::{Verdict, ensure, failed, shown};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] =
    &[Case::new(HostileDisk, "salvage_tells_of_what_is_lost_and_writes_nothing", salvage_tells)
        .needs(Capabilities::SALVAGE)];

/// Bytes of each file that are flipped, one at a time.
const PLACES: u64 = 12;

/// What was ever stored under each key.
type Past = BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>;

fn salvage_tells(trial: &Trial) -> Verdict {
    let folder = trial.path("damaged");
    fs::create_dir(&folder).map_err(|error| format!("no folder for a store: {error}"))?;
    let (model, past) = fill(trial, &folder)?;
    let (before, mut dice) = (files(&folder)?, Dice::new(trial.seed()));
    let read =
        salvage(trial, &folder, &past).map_err(|wrong| format!("of a store that is whole, {wrong}"))?;
    ensure(read.shown == model && read.told.is_empty(), || {
        format!("a store that is whole is salvaged with {} findings, or not as it was", read.told.len())
    })?;
    for (path, bytes) in &before {
        let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for _ in 0..if used.is_empty() { 0 } else { PLACES } {
            let at = used[dice.roll(used.len() as u64) as usize];
            write(path, at, bytes[at] ^ 1 << dice.roll(8))?;
            let place = format!("with byte {at} of {} flipped", path.display());
            let read = salvage(trial, &folder, &past).map_err(|wrong| format!("{place}, {wrong}"))?;
            ensure(read.shown == model || !read.told.is_empty(), || {
                let (shown, stored) = (read.shown.0.len(), model.0.len());
                format!("{place}, it shows {shown} keys, not the {stored} as they were, and tells of nothing")
            })?;
            write(path, at, bytes[at])?;
        }
    }
    ensure(files(&folder)? == before, || "it writes into the directory".to_string())?;
    Ok(format!("{} files", before.len()))
}

/// A store with files of all kinds that was closed in order; what it holds, and ever held.
fn fill(trial: &Trial, folder: &Path) -> Result<(Model, Past), String> {
    let directory = Arc::new(open(folder)?);
    let mut store = Store::open_in(trial.plugin(), directory, trial.options(), Durability::Always)?;
    let mut past = Past::new();
    for round in 0..4_u8 {
        let edits: Vec<_> = (0..300).map(|n| Edit::put(format!("{n:04}"), vec![round; n * 7])).collect();
        store.apply(&edits)?;
        for (key, value) in &store.model.0 {
            past.entry(key.clone()).or_default().insert(value.clone());
        }
        store.apply(&[Edit::delete_range("0100", Some(b"0120")), Edit::delete("0007")])?;
        if round == 1 && trial.can(Capabilities::COMPACT) {
            store.engine().compact(KeyRange::all(), &Findings::default()).map_err(failed("compact"))?;
        }
    }
    Ok((store.close()?, past))
}

/// What was salvaged.
struct Salvaged {
    shown: Model,
    /// Findings, and reads that failed.
    told: Vec<String>,
}

/// Opens what is left, and reads all of it.
fn salvage(trial: &Trial, folder: &Path, past: &Past) -> Result<Salvaged, String> {
    let findings = Arc::new(Findings::default());
    let watch = Arc::clone(&findings);
    let store = Store::salvage(trial.plugin(), Arc::new(open(folder)?), trial.options(), watch)?;
    let (mut shown, mut told) = (Model::default(), Vec::new());
    for key in past.keys() {
        let mut value = Buffer::new();
        match store.engine().get(key, &mut value) {
            Ok(true) => drop(shown.0.insert(key.clone(), value.to_vec())),
            Ok(false) => {}
            Err(error) => told.push(error.to_string()),
        }
    }
    let mut stranger = None;
    let mut visit = |entry: Entry<'_>| {
        if !past.get(entry.key).is_some_and(|values| values.contains(entry.value)) {
            stranger = Some(entry.key.to_vec());
        }
        if stranger.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if let Err(error) = store.engine().scan(KeyRange::all(), Direction::Forward, &mut visit) {
        told.push(error.to_string());
    }
    let read = shown.0.iter().find(|(key, value)| !past[*key].contains(*value)).map(|(key, _)| key.clone());
    if let Some(key) = stranger.or(read) {
        return Err(format!("{} shows what nobody stored there", self::shown(&key)));
    }
    drop(store);
    told.extend(findings.take());
    Ok(Salvaged { shown, told })
}

fn open(folder: &Path) -> Result<RealDirectory, String> {
    RealDirectory::open(folder, Arc::default()).map_err(|error| format!("no directory to open: {error}"))
}

/// Writes one byte of a file.
fn write(path: &Path, at: usize, byte: u8) -> Result<(), String> {
    let written =
        OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(&[byte], at as u64));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The bytes of every file of a folder and of those in it.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        match path.is_dir() {
            true => files.extend(self::files(&path)?),
            false => drop(files.insert(path.clone(), fs::read(&path).map_err(unreadable)?)),
        }
    }
    Ok(files)
}
