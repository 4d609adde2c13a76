//! How much a range holds, about.

use adapter_api::{Capabilities, KeyRange, StorageEngine};

use crate::badge::Badge::Semantics;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::{Verdict, ensure, failed};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "estimates_of_large_ranges_are_within_a_factor_of_4", estimates_are_about_right)
        .needs(Capabilities::ESTIMATE),
    Case::new(Semantics, "the_count_of_all_keys_is_exact", the_count_of_all_keys_is_exact)
        .needs(Capabilities::EXACT_COUNT),
];

/// How far an estimate of a range with at least `LARGE` entries may be off.
const FACTOR: u64 = 4;
const LARGE: u64 = 1_000;
const KEYS: u64 = 20_000;

fn filled(trial: &Trial) -> Result<Store, String> {
    let mut store = trial.open()?;
    for part in 0..10 {
        let keys = (part..KEYS).step_by(10);
        store.apply(&keys.map(|n| Edit::put(format!("{n:06}"), vec![1; 50])).collect::<Vec<_>>())?;
    }
    Ok(store)
}

fn estimates_are_about_right(trial: &Trial) -> Verdict {
    let store = filled(trial)?;
    for len in [LARGE, 3_000, 10_000, KEYS] {
        for start in (0..=KEYS - len).step_by(1_777) {
            let (first, behind) = (format!("{start:06}"), format!("{:06}", start + len));
            let range = KeyRange::new(first.as_bytes(), behind.as_bytes());
            let estimate = store.engine().estimate(range).map_err(failed("estimate"))?;
            let bytes = len * 56;
            let is_near = |told: u64, truth: u64| told >= truth / FACTOR && told <= truth * FACTOR;
            ensure(is_near(estimate.entries, len) && is_near(estimate.bytes, bytes), || {
                format!("{len} entries of {bytes} bytes are estimated as {estimate:?}")
            })?;
            ensure(!estimate.exact || estimate.entries == len, || {
                format!("{len} entries, and what is said to be exact is {estimate:?}")
            })?;
        }
    }
    let nothing = store.engine().estimate(KeyRange::new(b"b", b"a")).map_err(failed("estimate"))?;
    ensure(nothing.entries == 0, || format!("an empty range is estimated as {nothing:?}"))?;
    Ok(format!("{KEYS} keys"))
}

fn the_count_of_all_keys_is_exact(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let rounds = [
        vec![],
        (0..100).map(|n| Edit::put(format!("{n:03}"), "1")).collect(),
        (50..150).map(|n| Edit::put(format!("{n:03}"), "2")).collect(),
        vec![Edit::delete("000"), Edit::delete("000"), Edit::delete("missing")],
        vec![Edit::delete_range("010", Some(b"020")), Edit::put("015", "3"), Edit::put("015", "4")],
        vec![Edit::delete_range("", None)],
    ];
    for edits in rounds {
        store.apply(&edits)?;
        let count = store.engine().estimate(KeyRange::all()).map_err(failed("estimate"))?;
        ensure(count.exact && count.entries == store.model.0.len() as u64, || {
            format!("{} keys are counted as {count:?}", store.model.0.len())
        })?;
    }
    Ok(String::new())
}
