//! Copies.

use std::sync::Arc;

use adapter_api::environment::real::RealDirectory;
use adapter_api::{Capabilities, Durability, StorageEngine};
use crash::findings::Findings;

use crate::badge::Badge::Restart;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::{Verdict, failed};
use crate::store::Store;
use crate::trial::Trial;

pub const CASES: &[Case] =
    &[Case::new(Restart, "a_backup_opens_as_the_store_was", a_backup_opens_as_the_store_was)
        .needs(Capabilities::BACKUP)];

fn a_backup_opens_as_the_store_was(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    for round in 0..3 {
        let edits = (0..300).map(|n| Edit::put(format!("{n:04}"), vec![round; n * 20]));
        store.apply(&edits.collect::<Vec<_>>())?;
        store.apply(&[Edit::delete_range("0100", Some(b"0120"))])?;
        let folder = trial.path(&format!("copy {round}"));
        let directory =
            std::fs::create_dir(&folder).and_then(|()| RealDirectory::open(&folder, Arc::default()));
        let directory = directory.map_err(|error| format!("no folder for a copy: {error}"))?;
        let directory = Arc::new(directory);
        store.engine().backup(Arc::clone(&directory) as _, &Findings::default()).map_err(failed("backup"))?;
        let then = store.model.clone();
        // What comes after it is not in it.
        store.put("later", [round])?;
        let copy = Store::open_in(trial.plugin(), directory, trial.options(), Durability::Always);
        let copy = copy.map_err(|error| format!("the copy: {error}"))?.showing(then);
        copy.expect_everything().map_err(|wrong| format!("in the copy {wrong}"))?;
        copy.expect_key(b"later").map_err(|wrong| format!("in the copy {wrong}"))?;
        copy.close()?;
    }
    store.expect_everything()?;
    Ok("3 copies".to_string())
}
