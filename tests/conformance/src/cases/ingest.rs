//! Sorted entries into an empty range.

use adapter_api::{Capabilities, Cursor, EngineError, Entry, StorageEngine};

use crate::badge::Badge::Semantics;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::{Verdict, ensure, failed};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "an_ingest_is_all_there", an_ingest_is_all_there).needs(Capabilities::INGEST),
    Case::new(
        Semantics,
        "an_ingest_into_a_range_that_is_not_empty_is_rejected_and_changes_nothing",
        an_ingest_into_a_used_range_is_rejected,
    )
    .needs(Capabilities::INGEST),
    Case::new(
        Semantics,
        "an_ingest_out_of_order_or_cut_off_changes_nothing",
        an_ingest_out_of_order_changes_nothing,
    )
    .needs(Capabilities::INGEST),
];

/// Entries for an ingest; at the end an error, if there is one.
struct Entries {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    at: usize,
    error: Option<EngineError>,
}

impl Entries {
    fn of(keys: impl Iterator<Item = String>) -> Self {
        let entries = keys.map(|key| (key.clone().into_bytes(), key.repeat(10).into_bytes())).collect();
        Self { entries, at: 0, error: None }
    }
}

impl Cursor for Entries {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        self.at += 1;
        let entry = self.entries.get(self.at - 1).map(|(key, value)| Entry { key, value });
        match (entry, self.error.take()) {
            (None, Some(error)) => Err(error),
            (entry, error) => {
                self.error = error;
                Ok(entry)
            }
        }
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::unsupported("seek"))
    }
}

fn ingest(store: &mut Store, mut entries: Entries) -> Result<(), EngineError> {
    store.engine().ingest(&mut entries)?;
    let edits: Vec<_> = entries.entries.into_iter().map(|(key, value)| Edit::Put(key, value)).collect();
    store.model.apply(&edits);
    Ok(())
}

fn an_ingest_is_all_there(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let put = |store: &mut Store, keys: Entries| ingest(store, keys).map_err(failed("ingest"));
    put(&mut store, Entries::of((0..5_000).map(|n| format!("m{n:05}"))))?;
    store.apply(&[Edit::put("a", "before"), Edit::put("z", "behind")])?;
    put(&mut store, Entries::of((0..1_000).map(|n| format!("b{n:05}"))))?;
    put(&mut store, Entries::of(std::iter::empty()))?;
    store.apply(&[Edit::delete("m00007"), Edit::put("m00008", "changed")])?;
    store.expect_everything()?;
    // A range that was emptied may be filled again.
    store.apply(&[Edit::delete_range("m", Some(b"n"))])?;
    put(&mut store, Entries::of((0..100).map(|n| format!("m{n:05}"))))?;
    store.expect_everything()?;
    Ok("6,100 entries".to_string())
}

fn expect_rejected(store: &mut Store, what: &str, entries: Entries) -> Result<(), String> {
    match ingest(store, entries) {
        Err(EngineError::Rejected { .. }) => {}
        Err(error) => return Err(format!("an ingest {what} is answered {error}, and not rejected")),
        Ok(()) => return Err(format!("an ingest {what} is answered OK")),
    }
    store.expect_everything().map_err(|wrong| format!("after an ingest {what}: {wrong}"))?;
    store.put("after", what).map_err(|error| format!("after an ingest {what} no write is taken: {error}"))
}

fn an_ingest_into_a_used_range_is_rejected(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.apply(&[Edit::put("b5", "1"), Edit::put("d0", "1")])?;
    let keys =
        |keys: &[&str]| Entries::of(keys.iter().map(ToString::to_string).collect::<Vec<_>>().into_iter());
    for entries in
        [keys(&["b4", "b6"]), keys(&["b5"]), keys(&["b0", "b5"]), keys(&["b5", "b9"]), keys(&["a", "z"])]
    {
        expect_rejected(&mut store, "into a range that is not empty", entries)?;
    }
    ingest(&mut store, keys(&["b6", "c"])).map_err(failed("an ingest beside other keys"))?;
    store.expect_everything()?;
    Ok(String::new())
}

fn an_ingest_out_of_order_changes_nothing(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.put("x", "1")?;
    let keys =
        |keys: &[&str]| Entries::of(keys.iter().map(ToString::to_string).collect::<Vec<_>>().into_iter());
    expect_rejected(&mut store, "out of order", keys(&["b", "a"]))?;
    expect_rejected(&mut store, "with a key twice", keys(&["b", "c", "c"]))?;
    let mut cut = keys(&["b", "c"]);
    cut.error = Some(EngineError::rejected("the entries end here"));
    ensure(store.engine().ingest(&mut cut).is_err(), || {
        "an ingest that was cut off is answered OK".to_string()
    })?;
    store.expect_everything()?;
    Ok(String::new())
}
