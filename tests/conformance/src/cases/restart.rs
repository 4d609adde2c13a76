//! What an orderly end brings back.

use std::time::Duration;

use adapter_api::Durability;
use adapter_api::host::{ClaimError, DataDirectory};
use crash::workload::{Dice, Operation};

use crate::badge::Badge::Restart;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::{Stop, Verdict};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Restart, "everything_is_there_after_an_orderly_restart", everything_is_there),
    Case::new(Restart, "an_empty_store_comes_back_empty", an_empty_store_comes_back_empty),
    Case::new(Restart, "restarts_between_random_batches_lose_nothing", restarts_between_random_batches),
    Case::new(Restart, "every_class_of_durability_comes_back_after_an_orderly_end", every_class_comes_back),
    Case::new(Restart, "its_directory_is_locked_and_remembers_its_engine", its_directory_is_locked),
];

fn everything_is_there(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    for part in 0..10 {
        let edits = (0..500).map(|n| Edit::put(format!("{:06}", n * 10 + part), vec![part as u8; n % 400]));
        store.apply(&edits.collect::<Vec<_>>())?;
    }
    store.apply(&[Edit::put("large", vec![7; 3 << 20]), Edit::put("empty", "")])?;
    store.apply(&[Edit::delete_range("001000", Some(b"002000")), Edit::delete("000001")])?;
    let mut store = trial.reopen(store)?;
    store.expect_everything()?;
    store.expect_key(b"000001")?;
    store.apply(&[Edit::put("large", "small now"), Edit::put("000001", "back")])?;
    // Nothing was written in this life, nor in the next.
    let store = trial.reopen(trial.reopen(store)?)?;
    store.expect_everything()?;
    Ok(format!("{} keys", store.model.0.len()))
}

fn an_empty_store_comes_back_empty(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    for _ in 0..3 {
        store = trial.reopen(store)?;
        store.expect_everything()?;
    }
    store.put("key", "value")?;
    store.apply(&[Edit::delete("key")])?;
    let store = trial.reopen(store)?;
    store.expect_key(b"key")?;
    store.expect_everything()?;
    Ok(String::new())
}

fn restarts_between_random_batches(trial: &Trial) -> Verdict {
    const RESTARTS: u64 = 12;
    let mut dice = Dice::new(trial.seed());
    let mut store = trial.open()?;
    let wrong = |wrong: String| Stop::from(wrong).with_seed(trial.seed());
    for _ in 0..RESTARTS {
        for _ in 0..dice.roll(12) {
            let Operation::Apply(edits) = dice.batch() else { continue };
            store.apply(&edits.iter().map(Edit::from).collect::<Vec<_>>()).map_err(wrong)?;
        }
        store = trial.reopen(store).map_err(wrong)?;
        store.expect_everything().map_err(wrong)?;
    }
    Ok(format!("{RESTARTS} restarts"))
}

fn every_class_comes_back(trial: &Trial) -> Verdict {
    let classes = [Durability::Os, Durability::Interval(Duration::from_millis(50)), Durability::Always];
    let folder = trial.path("classes");
    let mut model = None;
    // Each goes on where the one before it ended.
    for class in classes.into_iter().chain(classes) {
        let mut store = Store::open(trial.plugin(), &folder, trial.options(), class)?;
        store.model = model.unwrap_or_default();
        store.expect_everything().map_err(|wrong| format!("opened in the class {class:?}: {wrong}"))?;
        let round = store.model.0.len();
        let edits = (0..50).map(|n| Edit::put(format!("{round} {n}"), format!("{class:?}")));
        store.apply(&edits.collect::<Vec<_>>())?;
        model = Some(store.close()?);
    }
    Ok(String::new())
}

fn its_directory_is_locked(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    store.put("key", "value")?;
    let folder = trial.path("data");
    match DataDirectory::claim(&folder, trial.about()) {
        Err(ClaimError::Locked { .. }) => {}
        Err(error) => return Err(format!("the lock of an open store: {error}").into()),
        Ok(_) => return Err("the directory of an open store can be claimed again".to_string().into()),
    }
    let model = store.close()?;
    let mut other = trial.about().clone();
    other.name = "somebody-else".to_string();
    match DataDirectory::claim(&folder, &other) {
        Err(ClaimError::OtherEngine { .. }) => {}
        Err(error) => return Err(format!("the marker of another engine: {error}").into()),
        Ok(_) => {
            return Err("another engine may take the directory: nothing is in it, after a write was \
                        answered OK and an orderly end"
                .to_string()
                .into());
        }
    }
    let store = trial.open()?.showing(model);
    store.expect_everything()?;
    Ok(String::new())
}
