//! Room taken on disk for each byte of the user: after a random fill, after everything was overwritten twice in random
//! order, after half of it was deleted; each as it is once the lanes have nothing to do, and after `compact`.
//!
//! The log is counted apart: it is bounded by its own option, whatever is stored.

use anyhow::{Result, ensure};

use super::data::{ENTRY_BYTES, shuffled};
use super::findings::{Cell, Findings};
use super::store::{BATCH, LOG_FILES, Launcher, Store};
use super::{MIB, Scale};
use crate::chart::bars;

/// Bytes of the log between two checkpoints unless given, where an engine has such a thing: with its default a store of
/// this size would be in the log alone.
const BUDGET: (&str, u64) = ("checkpoint_log_bytes", 16 << 20);
const QUICK_BUDGET: u64 = 256 << 10;
/// Free room inside the files, if the engine tells.
const FREE_BYTES: &str = "data_free_bytes";

pub(super) fn run(launcher: &Launcher, scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Findings> {
    let is_bounded = launcher.has_option(BUDGET.0) && !launcher.is_given(BUDGET.0);
    let budget = if scale.is_quick { QUICK_BUDGET } else { BUDGET.1 };
    let bounded = [(BUDGET.0, budget)];
    let store = launcher.open(if is_bounded { &bounded } else { &[] })?;
    let mut states = States { store: &store, rows: Vec::new(), amounts: Vec::new(), progress };
    let numbers = shuffled(scale.keys, 1);
    store.fill(&numbers)?;
    states.add("filled in random order", scale.keys)?;
    for (seed, version) in [(2, 1), (3, 2)] {
        let order = shuffled(scale.keys, seed);
        order.chunks(BATCH as usize).try_for_each(|some| store.put(some.iter().copied(), version))?;
    }
    states.add("overwritten twice", scale.keys)?;
    let (gone, left) = numbers.split_at(numbers.len() / 2);
    store.delete(gone)?;
    states.add("half of it deleted", left.len() as u64)?;
    let States { rows, amounts, .. } = states;
    let mut remarks = vec![format!(
        "× is room on disk for each byte of keys and values that are there ({ENTRY_BYTES} an entry), without the log"
    )];
    if is_bounded {
        remarks.push(format!("{} is {budget} here", BUDGET.0));
    }
    store.close()?;
    Ok(Findings {
        columns: vec![
            "state",
            "entries MiB",
            "files MiB",
            "free in them MiB",
            "×",
            "log MiB",
            "× with the log",
        ],
        rows,
        remarks,
        svg: bars("Room on disk for each byte of keys and values, without the log", "×", &amounts),
        ..Findings::default()
    })
}

struct States<'a> {
    store: &'a Store,
    rows: Vec<Vec<Cell>>,
    amounts: Vec<(String, f64)>,
    progress: &'a mut dyn FnMut(&str),
}

impl States<'_> {
    /// A row of the store as it is, and one of it after `compact`.
    fn add(&mut self, state: &str, entries: u64) -> Result<()> {
        self.add_row(state.to_string(), entries)?;
        self.store.compact()?;
        self.add_row(format!("{state}, then compacted"), entries)
    }

    fn add_row(&mut self, state: String, entries: u64) -> Result<()> {
        self.store.come_to_rest()?;
        let stored = self.store.metric("tree_entries").unwrap_or(entries as f64);
        ensure!(stored == entries as f64, "it holds {stored} entries and not {entries}");
        let files = self.store.disk_bytes()?;
        let is_log = |name: &str| LOG_FILES.contains(&name);
        let sum = |of_log: bool| {
            let some = files.iter().filter(|(name, _)| is_log(name) == of_log);
            some.map(|(_, bytes)| *bytes).sum::<u64>() as f64
        };
        let (live, log, rest) = ((entries * ENTRY_BYTES) as f64, sum(true), sum(false));
        (self.progress)(&format!("{state}: {:.2} ×", rest / live));
        self.amounts.push((state.clone(), rest / live));
        self.rows.push(vec![
            Cell::Text(state),
            (live / MIB).into(),
            (rest / MIB).into(),
            self.store.metric(FREE_BYTES).map(|bytes| bytes / MIB).into(),
            (rest / live).into(),
            (log / MIB).into(),
            ((rest + log) / live).into(),
        ]);
        Ok(())
    }
}
