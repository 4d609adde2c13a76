//! Random batches against a model that keeps every version.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_api::{Direction, KeyRange};

use super::Dice;
use crate::{Cursor, Snapshot, Tree};

/// What each key has had, by the batch that gave it.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Vec<u8>, Vec<(Snapshot, Vec<u8>)>>,
}

impl Model {
    fn get(&self, key: &[u8], snapshot: Snapshot) -> Option<&[u8]> {
        let versions = self.keys.get(key)?;
        versions.iter().rev().find(|(since, _)| *since <= snapshot).map(|(_, value)| &**value)
    }

    fn range(&self, start: &[u8], end: Option<&[u8]>, snapshot: Snapshot) -> Vec<(&[u8], &[u8])> {
        let keys = self.keys.keys().filter(|key| ***key >= *start && end.is_none_or(|end| ***key < *end));
        keys.filter_map(|key| Some((&**key, self.get(key, snapshot)?))).collect()
    }
}

fn key_of(dice: &mut Dice, style: usize) -> Vec<u8> {
    match style {
        0 => dice.roll(400).to_be_bytes()[dice.roll(3) as usize + 5..].to_vec(),
        1 => format!("user:session:{:08}", dice.roll(3000)).into_bytes(),
        2 => vec![dice.roll(2) as u8; 1 + dice.roll(40) as usize],
        3 => match dice.roll(16) {
            0 => b"user:session"[..dice.roll(12) as usize].to_vec(),
            1 => format!("{}:{:03}", ["a", "user:sets", "zebra"][dice.roll(3) as usize], dice.roll(200))
                .into_bytes(),
            _ => format!("user:session:{:08}", dice.roll(3000)).into_bytes(),
        },
        _ => (0..1 + dice.roll(12)).map(|_| dice.roll(256) as u8).collect(),
    }
}

fn compare(tree: &Arc<Tree>, model: &Model, dice: &mut Dice, style: usize, snapshot: Snapshot, seed: u64) {
    for _ in 0..8 {
        let key = key_of(dice, style);
        assert_eq!(tree.find(&key, snapshot), model.get(&key, snapshot), "seed {seed}");
    }
    find_many(tree, model, dice, style, snapshot, seed);
    let (one, other) = (key_of(dice, style), key_of(dice, style));
    let (start, end) = (one.clone().min(other.clone()), one.max(other));
    let end = if dice.roll(3) == 0 { None } else { Some(&*end) };
    let range = end.map_or(KeyRange::from_start(&start), |end| KeyRange::new(&start, end));
    let mut expected = model.range(&start, end, snapshot);
    let direction = if dice.roll(2) == 0 { Direction::Forward } else { Direction::Reverse };
    if direction == Direction::Reverse {
        expected.reverse();
    }
    let mut cursor = Cursor::new(tree, snapshot, range, direction);
    assert!(shows(&mut cursor, &expected), "seed {seed}: {range:?} {direction:?}");
    assert!(!cursor.advance() && cursor.key().is_empty(), "seed {seed}");
    let target = key_of(dice, style);
    cursor.seek(&target);
    let passed = |key: &[u8]| if direction == Direction::Forward { key < &*target } else { key > &*target };
    expected.retain(|(key, _)| !passed(key));
    assert!(shows(&mut cursor, &expected), "seed {seed}: {target:?} in {range:?} {direction:?}");
}

/// Many keys at once, some of them twice, some alike in all that a row knows of them.
fn find_many(tree: &Tree, model: &Model, dice: &mut Dice, style: usize, snapshot: Snapshot, seed: u64) {
    let keys: Vec<_> = (0..dice.roll(40)).map(|_| key_of(dice, style)).collect();
    let keys: Vec<_> = keys.iter().chain(keys.iter().take(3)).map(|key| &**key).collect();
    let mut found = Vec::new();
    tree.find_each(&keys, snapshot, |at, value| found.push((at, value)));
    let expected = keys.iter().enumerate().map(|(at, key)| (at, model.get(key, snapshot)));
    assert_eq!(found, expected.collect::<Vec<_>>(), "seed {seed}");
}

/// Whether a cursor goes through these entries, and then to its end.
fn shows(cursor: &mut Cursor, entries: &[(&[u8], &[u8])]) -> bool {
    entries.iter().all(|entry| cursor.advance() && (cursor.key(), cursor.value()) == *entry)
        && !cursor.advance()
}

#[test]
fn every_snapshot_shows_what_a_model_has() {
    let (rounds, batches) = if cfg!(miri) { (2, 12) } else { (40, 150) };
    for seed in 0..rounds {
        let (mut dice, tree, mut model) = (Dice(seed), Arc::new(Tree::new()), Model::default());
        let style = dice.roll(5) as usize;
        let mut snapshots = vec![tree.snapshot()];
        for batch in 0..batches {
            let most = if dice.roll(10) == 0 { 200 } else { 8 };
            let size = 1 + dice.roll(most);
            let entries: Vec<(Vec<u8>, Vec<u8>)> = (0..size)
                .map(|at| (key_of(&mut dice, style), format!("{batch} {at}").into_bytes()))
                .collect();
            tree.apply(entries.iter().map(|(key, value)| (&**key, &**value)));
            for (key, value) in entries {
                model.keys.entry(key).or_default().push((tree.snapshot(), value));
            }
            snapshots.push(tree.snapshot());
            let snapshot = snapshots[dice.roll(snapshots.len() as u64) as usize];
            compare(&tree, &model, &mut dice, style, snapshot, seed);
        }
        assert_eq!(tree.len(), model.keys.len() as u64, "seed {seed}");
        let all = tree.estimate(KeyRange::all());
        assert!(all.entries > 0 && all.entries <= 2 * tree.len(), "seed {seed}: {all:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "rows are so short there that branches count")]
fn keys_that_ascend_leave_full_leaves() {
    let tree = Arc::new(Tree::new());
    let keys: Vec<_> = (0..20_000u32).map(|key| format!("key:{key:06}")).collect();
    for key in &keys {
        tree.apply([(key.as_bytes(), &b""[..])]);
    }
    let leaves = keys.len() / crate::row::ROOM;
    let most = leaves * size_of::<crate::node::Leaf>() * 11 / 10;
    assert!(tree.node_bytes.load(crate::sync::Ordering::Relaxed) < most as u64);
    let mut cursor = Cursor::new(&tree, tree.snapshot(), KeyRange::all(), Direction::Forward);
    assert!(keys.iter().all(|key| cursor.advance() && cursor.key() == key.as_bytes()));
}

#[test]
fn a_small_range_is_counted_and_a_large_one_is_about_right() {
    let tree = Tree::new();
    let mut dice = Dice(3);
    let keys: Vec<_> =
        (0..if cfg!(miri) { 300 } else { 10_000 }).map(|_| dice.next().to_be_bytes()).collect();
    for key in &keys {
        tree.apply([(&key[..], &[0; 10][..])]);
    }
    for (from, to, exact) in [(100, 101, true), (0, 0, true), (20_000, 50_000, false), (0, 65_535, false)] {
        let (start, end) = ((from as u16).to_be_bytes(), (to as u16).to_be_bytes());
        let found = tree.estimate(KeyRange::new(&start, &end)).entries;
        let right = keys.iter().filter(|key| key[..2] >= start[..] && key[..2] < end[..]).count() as u64;
        let distance = found.abs_diff(right);
        assert!(if exact { distance == 0 } else { distance < right / 5 }, "{from} to {to}: {found}, {right}");
    }
}

#[test]
fn an_old_version_is_found_in_few_steps_however_often_its_key_was_overwritten() {
    let tree = Tree::new();
    let mut snapshots = Vec::new();
    for value in 0..if cfg!(miri) { 100 } else { 3000u32 } {
        tree.apply([(&b"hot"[..], &value.to_le_bytes()[..])]);
        snapshots.push(tree.snapshot());
    }
    let newest =
        tree.leaf_for(crate::row::Sought { key: b"hot", passes_equal: true }).node.row.get(0).unwrap();
    for (value, snapshot) in snapshots.iter().enumerate() {
        assert_eq!(tree.find(b"hot", *snapshot), Some(&(value as u32).to_le_bytes()[..]));
        assert!(tree.records.steps_to(snapshot.0, newest) < 40, "version {value}");
    }
}

#[test]
fn a_record_that_does_not_fit_begins_the_next_segment() {
    let tree = Tree::new();
    let longest = if cfg!(miri) { 400 << 10 } else { 5 << 20 };
    let lengths = [60 << 10, 10 << 10, 300 << 10, longest, 1, 70 << 10];
    let values: Vec<_> = lengths.iter().enumerate().map(|(at, bytes)| vec![at as u8; *bytes]).collect();
    for value in &values {
        tree.apply([(&value.len().to_le_bytes()[..], &**value)]);
    }
    for value in &values {
        assert_eq!(tree.find(&value.len().to_le_bytes(), tree.snapshot()), Some(&**value));
    }
}
