//! Whether a power cut may leave what a real file system was found to keep.
//!
//! The states that the model allows are too many to list. But whatever a power cut takes of one file, it may take of
//! another or not, and so for each sector of a file; only what changes a whole file or a name ties them together.
//! So what was found is explained piece by piece, without trying combinations of pieces. One thing is
//! expected of a real disk that the model does not: bytes that were lost read as zeros, never as those of others.

use std::collections::BTreeMap;

use crate::image::Image;
use crate::power_cut::{names_left, parts};
use crate::state::{Change, FileState, Names, Node, Pending, ROOT, SECTOR, Standing, State};

/// More changes of names, or of whole files, than that are not explained: every combination of them is tried.
const TOGETHER_MAX: usize = 20;

/// A file that was found, by its number in the state before, with its bytes.
pub type FoundFile = (usize, Vec<u8>);

/// Looks for a power cut of the engine's own directory that leaves these names with these files.
///
/// # Errors
/// A sentence: what no power cut leaves.
pub fn explain(before: &State, found: &BTreeMap<String, FoundFile>) -> Result<(), String> {
    let directory = &before.directories[ROOT];
    let changes = directory.pending.len();
    if changes > TOGETHER_MAX {
        return Err(format!("{changes} changes of names are too many to explain"));
    }
    let names: Names = found.iter().map(|(name, (number, _))| (name.clone(), Node::File(*number))).collect();
    let is_left = |kept: u64| {
        let changes = directory.pending.iter().enumerate();
        let changes = changes.map(|(number, (change, _))| (change, kept >> number & 1 == 1));
        names_left(directory.durable.clone(), changes) == names
    };
    if !(0..1 << changes).any(is_left) {
        return Err(format!("no power cut leaves the names {names:?}"));
    }
    for (name, (number, bytes)) in found {
        if !may_hold(&before.files[*number], bytes)? {
            return Err(format!("no power cut leaves {name} with these {} bytes", bytes.len()));
        }
    }
    Ok(())
}

fn is_forced(pending: &Pending) -> bool {
    pending.standing == Standing::Forced
}

/// Whether a power cut may leave a file with these bytes.
fn may_hold(file: &FileState, bytes: &[u8]) -> Result<bool, String> {
    let is_whole = |it: &Pending| matches!(it.change, Change::SetLen(_) | Change::Extend(_));
    let whole = file.pending.iter().filter(|pending| is_whole(pending) && !is_forced(pending)).count();
    if whole > TOGETHER_MAX {
        return Err(format!("{whole} changes of a whole file are too many to explain"));
    }
    Ok((0..1_u64 << whole).any(|chosen| {
        let mut number = 0;
        let kept = file.pending.iter().filter(|pending| {
            let is_loose = is_whole(pending) && !is_forced(pending);
            number += usize::from(is_loose);
            !is_loose || chosen >> (number - 1) & 1 == 1
        });
        Explanation { durable: &file.durable, changes: kept.collect(), found: bytes }.holds()
    }))
}

/// A file whose changes of length are chosen; of its writes and holes any sectors may be kept.
struct Explanation<'a> {
    durable: &'a Image,
    changes: Vec<&'a Pending>,
    found: &'a [u8],
}

impl Explanation<'_> {
    fn holds(&self) -> bool {
        // Behind the last change that sets the length, changes only make the file longer.
        let set = self.changes.iter().enumerate().rev().find_map(|(at, it)| match it.change {
            Change::SetLen(len) => Some((at + 1, len)),
            _ => None,
        });
        let (first, len) = set.unwrap_or((0, self.durable.len()));
        let least = self.changes[first..].iter().fold(len, |len, it| match it.change {
            Change::Write { .. } if !is_forced(it) => len,
            _ => it.change.len_after(len),
        });
        let end = self.found.len();
        // A write makes the file longer by any part of what it would, with its bytes or without.
        let most = self.changes[first..].iter().fold(len, |len, it| it.change.len_after(len));
        (least..=most).contains(&end) && (0..end.div_ceil(SECTOR)).all(|sector| self.sector_holds(sector))
    }

    fn sector_holds(&self, sector: usize) -> bool {
        let (start, end) = (sector * SECTOR, self.found.len().min((sector + 1) * SECTOR));
        let mut bytes = [0; SECTOR];
        self.durable.read(start, &mut bytes);
        let mut possible = vec![bytes];
        for pending in &self.changes {
            match &pending.change {
                Change::SetLen(len) => clear(&mut possible, start, *len, usize::MAX),
                Change::Extend(_) => {}
                Change::Punch { offset, len } => {
                    let mut with = possible.clone();
                    clear(&mut with, start, *offset, offset + len);
                    add(&mut possible, with, is_forced(pending));
                }
                Change::Write { offset, bytes } => {
                    let part = parts(*offset, bytes).find(|(from, _)| from / SECTOR == sector);
                    let Some((from, part)) = part else { continue };
                    let mut with = possible.clone();
                    for bytes in &mut with {
                        bytes[from - start..from - start + part.len()].copy_from_slice(part);
                    }
                    add(&mut possible, with, is_forced(pending));
                }
            }
        }
        possible.iter().any(|bytes| bytes[..end - start] == self.found[start..end])
    }
}

/// A sector with a change is possible as well as one without it, or instead if the change is durable.
fn add(possible: &mut Vec<[u8; SECTOR]>, with: Vec<[u8; SECTOR]>, is_forced: bool) {
    if is_forced {
        possible.clear();
    }
    possible.extend(with);
    possible.sort_unstable();
    possible.dedup();
}

/// Fills what a range of the file has in a sector with zeros.
fn clear(possible: &mut [[u8; SECTOR]], start: usize, from: usize, to: usize) {
    let (from, to) = (from.clamp(start, start + SECTOR), to.clamp(start, start + SECTOR));
    possible.iter_mut().for_each(|bytes| bytes[from - start..to.max(from) - start].fill(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::call;
    use crate::environment::Disk;
    use crate::image::mix;
    use crate::power_cut::{Crash, Fill, Kept, KeptNames};

    /// What a power cut leaves, by the numbers of the files before it.
    fn found_after(before: &State, data: Kept, names: u64) -> BTreeMap<String, FoundFile> {
        let directory = &before.directories[ROOT];
        let changes = directory.pending.iter().enumerate();
        let changes = changes.map(|(number, (change, _))| (change, names >> number & 1 == 1));
        let numbers = names_left(directory.durable.clone(), changes);
        let after = before.after(Crash::Cut { data, names: KeptNames::Mask(names) });
        let found = after.named_files().into_iter().map(|(name, number)| {
            let image = &after.files[number].current;
            let Some(Node::File(number)) = numbers.get(&name) else { panic!("{name} leads nowhere") };
            (name, (*number, image.range(0, image.len())))
        });
        found.collect()
    }

    /// States of random calls, each with what a power cut leaves of it.
    fn each_cut(mut look: impl FnMut(&State, BTreeMap<String, FoundFile>)) {
        for seed in 0..120 {
            let (disk, mut dice) = (Disk::default(), mix(seed));
            for _ in 0..14 {
                dice = mix(dice);
                call(&*disk.root(), dice);
            }
            let before = disk.state();
            for number in 0..before.loose().len().max(1) {
                for data in [
                    Kept::Mask(mix(dice ^ 1)),
                    Kept::But(number),
                    Kept::Head(number, 1 + dice as usize % 4),
                    Kept::Rest(number, 1 + dice as usize % 4),
                    Kept::Length(number, Fill::Zeros),
                    Kept::Reach(number, 1 + dice as usize % 4096),
                    Kept::Within(number),
                ] {
                    look(&before, found_after(&before, data, mix(dice ^ number as u64)));
                }
            }
        }
    }

    #[test]
    fn whatever_a_power_cut_leaves_is_explained() {
        each_cut(|before, found| {
            explain(before, &found).unwrap_or_else(|reason| panic!("{reason}\n{before}"))
        });
    }

    #[test]
    fn what_no_power_cut_leaves_is_not_explained() {
        let mut damaged = 0;
        each_cut(|before, mut found| {
            let Some((name, (number, mut bytes))) = found.pop_last() else { return };
            // A byte that no call writes.
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte = before.files[number].current.range(middle, 1).first().map_or(1, |byte| byte ^ 0x55);
                damaged += 1;
                found.insert(name, (number, bytes));
                assert!(explain(before, &found).is_err(), "{before}");
            }
        });
        assert!(damaged > 100, "{damaged}");
    }

    #[test]
    fn what_was_synced_cannot_be_missing() {
        let disk = Disk::default();
        for dice in [0, 3 | 100 << 46, 18, 19] {
            call(&*disk.root(), dice);
        }
        let found = |bytes: &[u8]| BTreeMap::from([("a".to_string(), (0, bytes.to_vec()))]);
        let whole = disk.state().files[0].durable.range(0, 1000);
        assert_eq!(whole.len(), 101);
        explain(&disk.state(), &found(&whole)).unwrap();
        assert!(explain(&disk.state(), &found(&whole[1..])).is_err());
        assert!(explain(&disk.state(), &found(&[])).is_err());
        assert!(explain(&disk.state(), &BTreeMap::new()).is_err());
    }
}
