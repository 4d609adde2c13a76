//! Which crashes are tried at a moment: the structured set, everything where little is pending, dice beyond.

use crate::image::mix;
use crate::power_cut::{Crash, Fill, Kept, KeptNames};
use crate::state::{SECTOR, State};

/// Up to so many changes are pending: every combination of them is tried.
const COMPLETE: usize = 6;
/// Of so many changes, the newest, each is lost, kept alone, and torn.
const SINGLE: usize = 8;
/// A write is torn at so many places at most, counted from either end.
const TEARS: usize = 8;

/// Every crash that is tried at a moment: a kill, and power cuts, `random` of them by the dice of `seed`.
pub fn crashes(state: &State, random: u64, seed: u64) -> Vec<Crash> {
    let (loose, names) = (state.loose(), state.loose_names());
    let count = loose.len();
    let mut kept = vec![Kept::Nothing, Kept::All];
    for (number, change) in loose.iter().enumerate().rev().take(SINGLE) {
        kept.extend([Kept::But(number), Kept::Only(number)]);
        for cut in (1..change.sectors).take(TEARS) {
            kept.extend([Kept::Head(number, cut), Kept::Rest(number, cut)]);
        }
        if change.grows {
            kept.extend([Fill::Zeros, Fill::Noise, Fill::Stale].map(|fill| Kept::Length(number, fill)));
            kept.extend([Kept::Reach(number, change.sectors * SECTOR / 2), Kept::Within(number)]);
        }
    }
    if (3..=COMPLETE).contains(&count) && count + names <= COMPLETE {
        kept.extend((0..1 << count).map(Kept::Mask));
    }
    kept.extend((0..random).map(|number| Kept::Random(mix(seed ^ number) >> 32)));
    let mut names_kept: Vec<_> = (0..=names).map(KeptNames::First).collect();
    names_kept.extend((0..names.saturating_sub(1)).map(KeptNames::But));
    if (3..=COMPLETE).contains(&names) {
        names_kept.extend((0..1 << names).map(KeptNames::Mask));
    } else if names > COMPLETE {
        names_kept.extend((0..random).map(|number| KeptNames::Random(mix(!seed ^ number) >> 32)));
    }
    let mut crashes = vec![Crash::Kill];
    for names in names_kept {
        crashes.extend(kept.iter().map(|data| Crash::Cut { data: *data, names }));
    }
    crashes
}

/// The few crashes that are tried inside a recovery.
pub fn few_crashes(state: &State, seed: u64) -> Vec<Crash> {
    let (changes, names) = (state.loose().len(), state.loose_names());
    let mut crashes = vec![
        Crash::Kill,
        Crash::TO_DURABLE,
        Crash::Cut { data: Kept::All, names: KeptNames::First(0) },
        Crash::Cut { data: Kept::Nothing, names: KeptNames::First(names) },
        Crash::Cut { data: Kept::Random(seed >> 32), names: KeptNames::Random(seed >> 32) },
    ];
    if changes > 1 {
        let data = Kept::But(seed as usize % changes);
        crashes.push(Crash::Cut { data, names: KeptNames::First(names) });
    }
    crashes
}
