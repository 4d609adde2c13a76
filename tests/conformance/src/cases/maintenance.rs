//! Work beside reads and writes that changes nothing of the map.

use adapter_api::{Capabilities, EngineError, KeyRange, StorageEngine};
use crash::findings::Findings;

use crate::badge::Badge::Semantics;
use crate::case::Case;
use crate::cases::view::expect_view;
use crate::model::Edit;
use crate::outcome::{Verdict, ensure, failed};
use crate::store::{Cancelled, Store};
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "compact_changes_nothing_that_is_read", compact_changes_nothing)
        .needs(Capabilities::COMPACT),
    Case::new(Semantics, "verify_finds_nothing_in_a_store_that_is_whole", verify_finds_nothing)
        .needs(Capabilities::VERIFY),
];

fn filled(trial: &Trial) -> Result<Store, String> {
    let mut store = trial.open()?;
    for round in 0..5_u8 {
        let edits = (0..400).map(|n| Edit::put(format!("{n:04}"), vec![round; n % 500]));
        store.apply(&edits.collect::<Vec<_>>())?;
        store.apply(&[Edit::delete_range("0100", Some(b"0150")), Edit::delete("0007")])?;
    }
    Ok(store)
}

/// Cancelled work ends in `Rejected`, if it was not done before it asked.
fn expect_cancelled(what: &str, answer: Result<(), EngineError>) -> Result<(), String> {
    match answer {
        Ok(()) | Err(EngineError::Rejected { .. }) => Ok(()),
        Err(error) => Err(format!("{what}, cancelled, is answered {error}")),
    }
}

fn compact_changes_nothing(trial: &Trial) -> Verdict {
    let mut store = filled(trial)?;
    let view = match trial.can(Capabilities::READ_VIEW) {
        true => Some((store.engine().view().map_err(failed("read_view"))?, store.model.clone())),
        false => None,
    };
    for range in [KeyRange::all(), KeyRange::new(b"0050", b"0200"), KeyRange::new(b"b", b"a")] {
        store.put("changing", range.start())?;
        expect_cancelled("compact", store.engine().compact(range, &Cancelled))?;
        store.engine().compact(range, &Findings::default()).map_err(failed("compact"))?;
        store.expect_everything()?;
    }
    if let Some((view, then)) = view {
        expect_view(&view, &then, &[b"changing"]).map_err(|wrong| format!("after compact {wrong}"))?;
    }
    Ok(String::new())
}

fn verify_finds_nothing(trial: &Trial) -> Verdict {
    let store = filled(trial)?;
    expect_cancelled("verify", store.engine().verify(&Cancelled))?;
    let findings = Findings::default();
    store.engine().verify(&findings).map_err(failed("verify"))?;
    let found = findings.take();
    ensure(found.is_empty(), || format!("verify finds something in a store that is whole: {}", found[0]))?;
    store.expect_everything()?;
    Ok(String::new())
}
