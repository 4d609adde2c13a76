//! Merges beside a map that the same sources were written into, the oldest first.

#![allow(clippy::print_stdout, reason = "a random test prints its seed")]

use std::sync::Arc;

use adapter_api::{Direction, KeyRange};

use super::*;
use crate::item::Item;
use crate::ranges::Ranges;
use crate::run::{Run, RunWalk};
use crate::table::tests::{Dice, Entry, Model, PLAIN, Shelf, collect, expected};
use crate::table::{Bounds, Stretch};

/// Runs, the newest first, and what they say together, tombstones included.
struct Pile {
    runs: Vec<Arc<Run>>,
    truth: Model,
}

impl Pile {
    fn random(dice: &mut Dice, shelf: &Shelf) -> Self {
        let mut pile = Self { runs: Vec::new(), truth: Model::new() };
        let mut id = 0;
        for number in 0..1 + dice.roll(6) {
            let keys = [0, 20, 400][dice.roll(3) as usize];
            let (model, mut ranges) = (dice.model(keys), Ranges::default());
            for _ in 0..dice.roll(4).saturating_sub(1) {
                let (start, end) = (dice.key(), dice.key());
                let end = (dice.roll(6) > 0).then_some(&*end);
                ranges.add(KeyRange::with_end(&start, end));
            }
            pile.truth.retain(|key, _| !ranges.covers(key));
            pile.truth.extend(model.clone());
            // A run of several tables, cut where a key is.
            let cuts: Vec<_> = model.keys().step_by(1 + dice.roll(150) as usize).skip(1).cloned().collect();
            let mut tables = Vec::new();
            let mut start = Vec::new();
            for end in cuts.into_iter().map(Some).chain([None]) {
                let inside = KeyRange::with_end(&start, end.as_deref());
                let part: Model = model
                    .iter()
                    .filter(|(key, _)| inside.contains(key))
                    .map(|(k, i)| (k.clone(), i.clone()))
                    .collect();
                let ranges = ranges.clipped(&start, end.as_deref());
                if !part.is_empty() || !ranges.is_empty() {
                    id += 1;
                    tables.push(shelf.open(shelf.write(id, PLAIN, &part, ranges)).unwrap());
                }
                start = end.unwrap_or_default();
            }
            pile.runs.insert(0, Arc::new(Run::new(number, tables)));
        }
        pile
    }

    fn walk(&self, range: KeyRange<'_>, direction: Direction) -> MergeWalk {
        let bounds = Bounds::new(range);
        let walk = |run: &Arc<Run>| {
            Box::new(RunWalk::new(Arc::clone(run), Arc::clone(&bounds), direction, false)) as Box<dyn Walk>
        };
        MergeWalk::new(self.runs.iter().map(walk).collect(), direction)
    }

    fn live(&self) -> Model {
        let is_live = |item: &[u8]| Item::decode(item) != Some(Item::Tombstone);
        self.truth.iter().filter(|(_, item)| is_live(item)).map(|(k, i)| (k.clone(), i.clone())).collect()
    }
}

/// Whether a walk comes to a key behind a seek.
fn is_left(key: &[u8], sought: &[u8], direction: Direction) -> bool {
    match direction {
        Direction::Forward => key >= sought,
        Direction::Reverse => key <= sought,
    }
}

#[test]
fn a_merge_says_what_the_newest_source_says_that_knows() {
    for seed in 0..60 {
        println!("seed {seed}");
        let (mut dice, shelf) = (Dice(seed), Shelf::new());
        let pile = Pile::random(&mut dice, &shelf);
        let live = pile.live();
        for _ in 0..12 {
            let (start, end) = (dice.key(), dice.key());
            let (range, direction) = (dice.range(&start, &end), dice.direction());
            let keeps = dice.roll(2) == 0;
            let mut walk = pile.walk(range, direction);
            if keeps {
                walk = walk.keeping_tombstones();
            }
            let all = expected(if keeps { &pile.truth } else { &live }, range, direction);
            assert_eq!(collect(&mut walk).unwrap(), all, "seed {seed}");
            for _ in 0..3 {
                let key = dice.key();
                walk.seek(&key).unwrap();
                let is_left = |(it, _): &&Entry| is_left(it, &key, direction);
                let left: Vec<_> = all.iter().filter(is_left).cloned().collect();
                assert_eq!(collect(&mut walk).unwrap(), left, "seed {seed}");
            }
        }
    }
}

/// At most so many entries as a cursor sees them: out of what is lent, where the merge is asked to lend and does.
fn take_lent(walk: &mut MergeWalk, stretch: &mut Stretch, dice: &mut Dice, most: usize) -> Vec<Entry> {
    let mut all = Vec::new();
    while all.len() < most {
        let entry = if stretch.advance() {
            (stretch.key().to_vec(), stretch.item())
        } else if !walk.advance().unwrap() {
            break;
        } else if dice.roll(4) > 0 && walk.lend(stretch) {
            continue;
        } else {
            (walk.key().to_vec(), walk.item())
        };
        if entry.1 != Item::Tombstone {
            let mut item = Vec::new();
            entry.1.encode(&mut item);
            all.push((entry.0, item));
        }
    }
    all
}

#[test]
fn what_a_merge_lends_is_what_it_would_come_to() {
    for seed in 0..60 {
        println!("seed {seed}");
        let (mut dice, shelf) = (Dice(seed), Shelf::new());
        let pile = Pile::random(&mut dice, &shelf);
        let live = pile.live();
        for _ in 0..12 {
            let (start, end) = (dice.key(), dice.key());
            let (range, direction) = (dice.range(&start, &end), dice.direction());
            let all = expected(&live, range, direction);
            let (mut walk, mut stretch) = (pile.walk(range, direction), Stretch::new(direction));
            assert_eq!(take_lent(&mut walk, &mut stretch, &mut dice, usize::MAX), all, "seed {seed}");
            // A seek from anywhere, in the middle of what was lent too.
            for _ in 0..4 {
                let key = dice.key();
                stretch.leave();
                walk.seek(&key).unwrap();
                let is_left = |(it, _): &&Entry| is_left(it, &key, direction);
                let most = 1 + dice.roll(60) as usize;
                let left: Vec<_> = all.iter().filter(is_left).take(most).cloned().collect();
                assert_eq!(take_lent(&mut walk, &mut stretch, &mut dice, most), left, "seed {seed}");
            }
        }
    }
}

#[test]
fn a_large_source_beside_a_small_one_is_lent_a_block_at_a_time() {
    let shelf = Shelf::new();
    let value = [&[0][..], &[7; 100]].concat();
    let key = |number: u32| format!("key{number:06}").into_bytes();
    let large: Model = (0..20_000).map(|number| (key(2 * number), value.clone())).collect();
    let small: Model = (0..20).map(|number| (key(2_001 * number), value.clone())).collect();
    let run = |id, model| Arc::new(Run::new(id, vec![shelf.table(id, model)]));
    let pile = Pile { runs: vec![run(2, &small), run(1, &large)], truth: Model::new() };
    for direction in [Direction::Forward, Direction::Reverse] {
        let (mut walk, mut stretch) = (pile.walk(KeyRange::all(), direction), Stretch::new(direction));
        let (mut asked, mut keys) = (0, 0);
        while walk.advance().unwrap() {
            assert!(walk.lend(&mut stretch));
            asked += 1;
            while stretch.advance() {
                keys += 1;
            }
            assert_eq!(walk.key(), stretch.key());
        }
        // Of a key that both have, the newer word alone; some steps beside each of the small source.
        assert!(keys == 20_010 && asked < 1_000, "{keys} keys, asked {asked} times");
    }
}

#[test]
fn a_range_that_is_deleted_is_not_walked_through() {
    let shelf = Shelf::new();
    let mut value = Vec::new();
    Item::Value(&[7; 100]).encode(&mut value);
    let model: Model =
        (0..20_000).map(|number| (format!("key{number:06}").into_bytes(), value.clone())).collect();
    let mut ranges = Ranges::default();
    ranges.add(KeyRange::new(b"key000003", b"key019990"));
    let old = shelf.table(1, &model);
    let new = shelf.open(shelf.write(2, PLAIN, &Model::new(), ranges)).unwrap();
    let pile = Pile {
        runs: vec![Arc::new(Run::new(2, vec![new])), Arc::new(Run::new(1, vec![old]))],
        truth: Model::new(),
    };
    for direction in [Direction::Forward, Direction::Reverse] {
        assert_eq!(collect(&mut pile.walk(KeyRange::all(), direction)).unwrap().len(), 13);
    }
    assert!(shelf.cache.usage().misses <= 4, "{:?}", shelf.cache.usage());
}

#[test]
fn seeks_behind_deleted_ranges_count_for_whoever_works_in_bounded_steps() {
    let shelf = Shelf::new();
    let (mut value, mut ranges) = (Vec::new(), Ranges::default());
    Item::Value(&[7; 100]).encode(&mut value);
    let key = |number: u32| format!("key{number:06}").into_bytes();
    let model: Model = (0..20_000).map(|number| (key(number), value.clone())).collect();
    (0..1000).for_each(|n| ranges.add(KeyRange::new(&key(20 * n + 1), &key(20 * n + 20))));
    let old = shelf.table(1, &model);
    let new = shelf.open(shelf.write(2, PLAIN, &Model::new(), ranges)).unwrap();
    let runs = vec![Arc::new(Run::new(2, vec![new])), Arc::new(Run::new(1, vec![old]))];
    let mut walk = Pile { runs, truth: Model::new() }.walk(KeyRange::all(), Direction::Forward);
    let (mut keys, mut steps, mut left) = (0, 0, 1 << 20);
    loop {
        match walk.advance_within(&mut left).unwrap() {
            Some(true) => keys += 1,
            Some(false) => break,
            None => (steps, left) = (steps + 1, 1 << 20),
        }
    }
    // A thousand seeks are 4 MB; the keys before them are less than one.
    assert!(keys == 1000 && steps >= 3, "{keys} keys, {steps} steps");
}

/// A source that fails once, at its third key.
struct Failing {
    at: u8,
}

impl Walk for Failing {
    fn advance(&mut self) -> Result<bool> {
        self.at += 1;
        if self.at == 3 { Err(EngineError::failed("planted")) } else { Ok(self.at < 6) }
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn key(&self) -> &[u8] {
        std::slice::from_ref(&self.at)
    }

    fn item(&self) -> Item<'_> {
        Item::Value(b"")
    }

    fn covers(&self, _: &[u8]) -> bool {
        false
    }
}

#[test]
fn a_source_that_fails_never_ends_the_walk_in_silence() {
    let mut walk = MergeWalk::new(vec![Box::new(Failing { at: 0 })], Direction::Forward);
    assert!(walk.advance().unwrap() && walk.advance().unwrap());
    assert!(walk.advance().is_err() && walk.advance().is_err());
    walk.seek(b"").unwrap();
    assert_eq!(collect(&mut walk).unwrap().len(), 2);
}
