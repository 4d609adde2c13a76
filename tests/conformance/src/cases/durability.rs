//! What was answered OK is there after a crash.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use adapter_api::environment::real::RealDirectory;
use adapter_api::{Buffer, Capabilities, Durability, StorageEngine};
use crash::scope::Scope;
use crash::workload::{Dice, Operation};

use crate::badge::Badge::{DurableOnOk, Semantics};
use crate::case::Case;
use crate::cases::crashes::judge_lives;
use crate::gate::{Gate, gated};
use crate::model::{Edit, batch};
use crate::outcome::{Verdict, ensure, failed};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(DurableOnOk, "a_crash_loses_nothing_that_was_answered_ok", a_crash_loses_nothing).share(4),
    Case::new(
        DurableOnOk,
        "nothing_is_visible_before_it_is_durable",
        nothing_is_visible_before_it_is_durable,
    ),
    Case::new(
        DurableOnOk,
        "what_was_answered_ok_is_there_after_a_process_that_did_not_close",
        a_process_that_did_not_close,
    ),
    Case::new(Semantics, "reads_go_on_while_a_write_waits_for_the_disk", reads_go_on)
        .needs(Capabilities::DURABLE),
];

fn a_crash_loses_nothing(trial: &Trial) -> Verdict {
    judge_lives(trial, Scope::Kept, Durability::Always)
}

fn a_process_that_did_not_close(trial: &Trial) -> Verdict {
    let mut dice = Dice::new(trial.seed());
    let mut store = trial.open()?;
    for _ in 0..5 {
        for _ in 0..10 {
            let Operation::Apply(edits) = dice.batch() else { continue };
            store.apply(&edits.iter().map(Edit::from).collect::<Vec<_>>())?;
        }
        let model = store.abandon();
        store = trial.open()?.showing(model);
        store.expect_everything().map_err(|wrong| format!("{wrong} (seed {})", trial.seed()))?;
    }
    Ok(String::new())
}

/// How long reads may take before they are said to wait for a write that waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a read showed while a write waited for the disk.
struct Waiting {
    /// Whether the write waited at all, and still did when the reads were done.
    is_waiting: bool,
    /// Whether the reads came back.
    is_read: bool,
    /// Whether the value of the write was seen.
    is_visible: bool,
}

/// Holds up every sync, writes, and reads meanwhile.
fn read_while_a_write_waits(trial: &Trial) -> Result<Waiting, String> {
    let folder = trial.path("gated");
    let directory = std::fs::create_dir(&folder).and_then(|()| RealDirectory::open(&folder, Arc::default()));
    let directory = directory.map_err(|error| format!("no folder for a store: {error}"))?;
    let gate = Arc::new(Gate::default());
    let directory = gated(Arc::new(directory), Arc::clone(&gate));
    let mut store = Store::open_in(trial.plugin(), directory, trial.options(), Durability::Always)?;
    store.apply(&[Edit::put("old", "1"), Edit::put("key", "before")])?;
    gate.close();
    let (engine, write) =
        (store.engine().clone(), batch(&[Edit::put("key", "after")]).map_err(failed("apply"))?);
    let writer = thread::spawn(move || engine.apply(write.as_batch()));
    gate.wait_for_somebody(|| writer.is_finished());
    let engine = store.engine().clone();
    let reader = thread::spawn(move || {
        let mut value = Buffer::new();
        let mut seen = false;
        for _ in 0..50 {
            value.clear();
            seen |= engine.get(b"key", &mut value)? && &value[..] == b"after";
            value.clear();
            engine.get(b"old", &mut value)?;
            engine.get_resident(b"old", &mut value)?;
        }
        Ok(seen)
    });
    let is_read = gate.wait_until(PATIENCE, || reader.is_finished());
    let is_waiting = gate.has_somebody() && !writer.is_finished();
    gate.open();
    let seen = reader.join().map_err(|_| "a read panicked".to_string())?.map_err(failed("get"))?;
    let written = writer.join().map_err(|_| "the write panicked".to_string())?;
    written.map_err(failed("apply"))?;
    store.model.apply(&[Edit::put("key", "after")]);
    store.expect_keys()?;
    Ok(Waiting { is_waiting, is_read, is_visible: seen })
}

fn reads_go_on(trial: &Trial) -> Verdict {
    let Waiting { is_waiting, is_read, .. } = read_while_a_write_waits(trial)?;
    ensure(is_read, || "a read waits as long as a write waits for the disk".to_string())?;
    Ok(if is_waiting { String::new() } else { "no write waited for a sync".to_string() })
}

fn nothing_is_visible_before_it_is_durable(trial: &Trial) -> Verdict {
    let Waiting { is_waiting, is_visible, .. } = read_while_a_write_waits(trial)?;
    ensure(!(is_waiting && is_visible), || {
        "a read shows a value while the sync that makes it durable still waits".to_string()
    })?;
    Ok(if is_waiting { String::new() } else { "no write waited for a sync".to_string() })
}
