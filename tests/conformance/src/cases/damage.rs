//! Bytes that a device lost, flipped or put into the wrong place.

use crash::damage::judge_damage;
use crash::scope::Scope;

use crate::badge::Badge::HostileDisk;
use crate::case::Case;
use crate::cases::crashes::explain;
use crate::outcome::{Verdict, lives};
use crate::trial::Trial;

pub const CASES: &[Case] =
    &[Case::new(HostileDisk, "damage_is_noticed_or_does_no_harm", damage_is_noticed).share(2)];

/// Places of each file that are damaged in one life.
const PLACES: usize = 40;

fn damage_is_noticed(trial: &Trial) -> Verdict {
    let mut stores = 0;
    let count = trial.for_seeds(|seed| {
        let subject = trial.small_subject(seed, Scope::KeptUnderFaults);
        stores += judge_damage(&subject, seed, PLACES).map_err(|violation| explain(&subject, *violation))?;
        Ok(())
    })?;
    Ok(format!("{stores} damaged stores of {}", lives(count)))
}
