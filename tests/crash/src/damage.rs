//! Damage to bytes that were durable: a flipped bit, a zeroed sector, a sector that went to the wrong place.
//!
//! No crash does that; a device does. A store that was closed in order must notice it or not be harmed by it. After a
//! kill, damage to the last thing written may pass for a torn write. Promises: never a wrong value, never a missing
//! key. `judge_damage` tries places all over every file.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use adapter_api::EngineError;

use crate::environment::{Disk, SimulatedClock, SimulatedLanes};
use crate::image::mix;
use crate::judge::{Violation, script_of};
use crate::life::Life;
use crate::oracle::{History, keys_of, read_all};
use crate::power_cut::Crash;
use crate::script::{LifeScript, Point};
use crate::state::{FileState, SECTOR, State};
use crate::subject::Subject;
use crate::workload::{Dice, Operation};

/// Damage to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The path of the file.
    pub file: String,
    /// What happened to it.
    pub kind: DamageKind,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The bits of a mask are flipped in one byte.
    Flip(usize, u8),
    /// A sector is zeros.
    Zero(usize),
    /// What belongs into one sector went into another as well.
    Misdirected(usize, usize),
}

impl Damage {
    /// The disk with this damage; the same if there is no such place.
    pub fn apply(&self, state: &State) -> State {
        let mut state = state.clone();
        let Some((_, number)) = state.named_files().into_iter().find(|(path, _)| *path == self.file) else {
            return state;
        };
        let mut image = state.files[number].current.clone();
        let sector = |at: usize, image: &crate::image::Image| image.range(at * SECTOR, SECTOR);
        let (at, bytes) = match self.kind {
            DamageKind::Flip(at, mask) => {
                (at, image.range(at, 1).into_iter().map(|byte| byte ^ mask).collect())
            }
            DamageKind::Zero(at) => (at * SECTOR, vec![0; sector(at, &image).len()]),
            DamageKind::Misdirected(from, to) => {
                let mut bytes = sector(from, &image);
                bytes.truncate(sector(to, &image).len());
                (to * SECTOR, bytes)
            }
        };
        image.write(at, &bytes);
        state.files[number] = Arc::new(FileState::durable(image));
        state
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DamageKind::Flip(at, mask) => write!(f, "flip {} {at} {mask}", self.file),
            DamageKind::Zero(sector) => write!(f, "zero {} {sector}", self.file),
            DamageKind::Misdirected(from, to) => write!(f, "misdirected {} {from} {to}", self.file),
        }
    }
}

impl FromStr for Damage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok());
        let kind = match (words.first(), number(2), number(3)) {
            (Some(&"flip"), Some(at), Some(mask)) => DamageKind::Flip(at, mask as u8),
            (Some(&"zero"), Some(sector), None) => DamageKind::Zero(sector),
            (Some(&"misdirected"), Some(from), Some(to)) => DamageKind::Misdirected(from, to),
            _ => {
                return Err(format!(
                    "{text:?} is no damage: flip FILE BYTE MASK, zero FILE SECTOR, misdirected FILE FROM TO"
                ));
            }
        };
        Ok(Self { file: words[1].to_string(), kind })
    }
}

/// What a damaged store may do: not open, say that it cannot read, or show a version that may be found.
pub fn check_damaged(subject: &Subject, state: State, history: &History) -> Result<(), String> {
    let lanes = Arc::new(SimulatedLanes::default());
    let opened = subject.open(&Disk::new(state), None, &Arc::new(SimulatedClock::new(0)), &lanes);
    let outcome = match opened {
        Err(EngineError::Corrupt { file, .. }) if file.is_empty() => {
            Err("the damage was noticed, but not in which file".to_string())
        }
        Err(EngineError::Corrupt { .. } | EngineError::Rejected { .. }) => Ok(()),
        Err(other) => Err(format!("it was answered as if nothing were damaged: {other}")),
        Ok(engine) => match read_all(&engine, keys_of(history)) {
            Ok(found) => match history.find(found.digest()) {
                Some(_) => Ok(()),
                None => Err(history.complaint(found.digest(), Some(&found))),
            },
            Err(contradiction) if contradiction.contains("damaged") => Ok(()),
            Err(contradiction) => Err(contradiction),
        },
    };
    lanes.run(None);
    outcome.map_err(|complaint| format!("damage went unnoticed: {complaint}"))
}

/// Lets a store live, ends it in order or kills it, and damages each of its files at about `places` places. Answers how
/// many damaged stores were opened.
///
/// # Errors
/// The first damage that was neither noticed nor harmless.
pub fn judge_damage(subject: &Subject, seed: u64, places: usize) -> Result<u64, Box<Violation>> {
    let mut operations = Dice::new(seed).operations(20);
    let is_orderly = seed.is_multiple_of(2);
    if is_orderly {
        operations.push(Operation::Close);
    }
    let first = LifeScript { operations, crash: Some((Point::End, Crash::Kill)), ..LifeScript::default() };
    let violation = |complaint, damage: Option<Damage>, state: &State| {
        let last = LifeScript { damage, ..LifeScript::default() };
        let script = script_of(subject, vec![first.clone(), last]);
        Box::new(Violation { complaint, script, state: state.to_string() })
    };
    let (state, history) = live(subject, &first.operations)
        .map_err(|complaint| violation(complaint, None, &State::default()))?;
    let history = history_of_damaged(&history, is_orderly);
    let damages = damages(&state, seed, places);
    for damage in &damages {
        let damaged = damage.apply(&state);
        check_damaged(subject, damaged, &history)
            .map_err(|complaint| violation(complaint, Some(damage.clone()), &state))?;
    }
    Ok(damages.len() as u64)
}

/// What a damaged store may show, at the least: everything, or after a kill all but what was written last.
pub fn history_of_damaged(history: &History, is_orderly: bool) -> History {
    let mut history = history.after(true);
    if !is_orderly {
        history.bounds.acknowledged = history.bounds.before;
    }
    history
}

fn live(subject: &Subject, operations: &[Operation]) -> Result<(State, History), String> {
    let disk = Disk::default();
    let (life, _) = Life::begin(subject, disk.clone(), History::default(), 0, None)?;
    let mut life = life.ok_or("the store does not open")?;
    life.run(operations)?;
    let history = life.history().clone();
    // Only what is durable can be damaged.
    Ok((
        disk.after(Crash::Cut {
            data: crate::power_cut::Kept::All,
            names: crate::power_cut::KeptNames::First(usize::MAX),
        })
        .state(),
        history,
    ))
}

fn damages(state: &State, seed: u64, places: usize) -> Vec<Damage> {
    let mut damages = Vec::new();
    for (file, number) in state.named_files() {
        let image = &state.files[number].current;
        let sectors = image.len().div_ceil(SECTOR).max(1);
        for place in 0..places {
            let dice = mix(seed ^ mix(place as u64) ^ number as u64);
            let (sector, other) = ((dice >> 8) as usize % sectors, (dice >> 32) as usize % sectors);
            let kind = match dice % 8 {
                0 => DamageKind::Zero(sector),
                1 => DamageKind::Misdirected(sector, other),
                // Where there are bytes at all; zeros are mostly room.
                _ => {
                    let bytes = image.range(sector * SECTOR, SECTOR);
                    let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                    let at = used.get((dice >> 40) as usize % used.len().max(1)).copied().unwrap_or(0);
                    DamageKind::Flip(sector * SECTOR + at, 1 << (dice >> 16 & 7))
                }
            };
            let damage = Damage { file: file.clone(), kind };
            damages.push(damage);
        }
    }
    damages
}
