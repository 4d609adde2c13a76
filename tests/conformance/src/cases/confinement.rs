//! An engine uses what it is given, and nothing else of the machine.
//!
//! On the simulated disk no call to the kernel concerns a file, so one that does is the engine's own.

use adapter_api::Capabilities;
use crash::environment::Disk;
use crash::life::Life;
use crash::oracle::History;
use crash::scope::Scope;
use crash::workload::{Dice, Operation};

use crate::badge::Badge::Confined;
use crate::case::Case;
use crate::confinement::{FILES, SOCKETS, forbid, stay_below};
use crate::model::Edit;
use crate::outcome::{Stop, Verdict};
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Confined, "it_opens_no_socket", it_opens_no_socket).confining(),
    Case::new(Confined, "it_opens_no_file_but_through_its_environment", it_opens_no_file).confining(),
    Case::new(Confined, "it_works_where_nothing_but_its_directory_can_be_reached", it_works_confined)
        .confining(),
];

/// Operations of a life that is watched.
const OPERATIONS: usize = 200;

fn it_opens_no_socket(trial: &Trial) -> Verdict {
    forbid(SOCKETS).map_err(Stop::NotJudged)?;
    live(trial)
}

fn it_opens_no_file(trial: &Trial) -> Verdict {
    forbid(FILES).map_err(Stop::NotJudged)?;
    live(trial)
}

/// A life with everything in it. What is wrong with it otherwise is for others to say; only then nobody knows what
/// it would have opened.
fn live(trial: &Trial) -> Verdict {
    let subject = trial.small_subject(trial.seed() | 1, Scope::Everything);
    let mut operations = Dice::new(trial.seed()).operations(OPERATIONS);
    operations.retain(|operation| *operation != Operation::Reopen || trial.can(Capabilities::DURABLE));
    let begun = Life::begin(&subject, Disk::default(), History::default(), 0, None);
    let lived = begun.and_then(|(life, _)| life.map_or(Ok(()), |mut life| life.run(&operations)));
    lived.map_err(Stop::NotJudged)?;
    Ok(format!("{OPERATIONS} operations"))
}

fn it_works_confined(trial: &Trial) -> Verdict {
    stay_below(&trial.path(".")).map_err(Stop::NotJudged)?;
    forbid(SOCKETS).map_err(Stop::NotJudged)?;
    let mut store = trial.open()?;
    for round in 0..20_u8 {
        store.apply(&(0..100).map(|n| Edit::put(format!("{n}"), vec![round; 500])).collect::<Vec<_>>())?;
    }
    store.expect_everything()?;
    if trial.can(Capabilities::DURABLE) {
        trial.reopen(store)?.expect_everything()?;
    }
    Ok(String::new())
}
