//! The map against a `BTreeMap`, with nodes so small that they split and join all the time.

#![allow(clippy::print_stdout, reason = "random tests print their seed")]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::*;
use crate::{BatchBuilder, Direction, ReadView};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Fewer rounds where each step is interpreted.
fn rounds(count: u64) -> u64 {
    if cfg!(miri) { count / 150 } else { count }
}

/// A small generator of random numbers (xorshift64*): the seed is printed by each test that uses it.
struct Random(u64);

impl Random {
    fn seeded(test: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now | 1);
        println!("{test}: SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// Keys of one to three bytes over a small alphabet, the extreme bytes included, some of them behind a
    /// long prefix, so that keys differ before, in and behind their heads.
    fn key(&mut self) -> Vec<u8> {
        let prefix: &[u8] = [&b""[..], b"", b"", b"long", b"longer prefix"][self.below(5) as usize];
        let len = 1 + self.below(3);
        let tail = (0..len).map(|_| [0, 1, b'a', b'b', b'c', b'm', 0xfe, 0xff][self.below(8) as usize]);
        prefix.iter().copied().chain(tail).collect()
    }

    /// Short values, and some that lie outside of their leaf.
    fn value(&mut self) -> Vec<u8> {
        let len = if self.below(8) == 0 { 250 + self.below(9) } else { self.below(9) };
        vec![self.below(256) as u8; len as usize]
    }

    fn bounds(&mut self) -> (Vec<u8>, Option<Vec<u8>>) {
        let start = if self.below(4) == 0 { Vec::new() } else { self.key() };
        let end = (self.below(4) > 0).then(|| self.key());
        (start, end)
    }
}

fn range_of<'a>(bounds: &'a (Vec<u8>, Option<Vec<u8>>)) -> KeyRange<'a> {
    KeyRange::with_end(&bounds.0, bounds.1.as_deref())
}

fn within<'m>(model: &'m Model, range: KeyRange<'_>) -> Vec<(&'m Vec<u8>, &'m Vec<u8>)> {
    model.iter().filter(|(key, _)| range.contains(key)).collect()
}

/// A random batch, applied to the model and returned.
fn random_batch(random: &mut Random, model: &mut Model) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for _ in 0..random.below(12) {
        match random.below(40) {
            0 => {
                let bounds = random.bounds();
                batch.delete_range(range_of(&bounds)).unwrap();
                model.retain(|key, _| !range_of(&bounds).contains(key));
            }
            1..=12 => {
                let key = random.key();
                batch.delete(&key).unwrap();
                model.remove(&key);
            }
            _ => {
                let (key, value) = (random.key(), random.value());
                batch.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
    }
    batch
}

/// Lends the entries of a list.
struct ListCursor<'a>(std::slice::Iter<'a, (Vec<u8>, Vec<u8>)>);

impl Cursor for ListCursor<'_> {
    fn next(&mut self) -> Result<Option<crate::Entry<'_>>> {
        Ok(self.0.next().map(|(key, value)| crate::Entry { key, value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Err(EngineError::unsupported("seek"))
    }
}

fn ingest(map: &VersionedMap, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
    let staged = map.stage_sorted(&mut ListCursor(entries.iter()))?;
    staged.edit.check();
    staged.publish();
    Ok(())
}

/// Ingests random sorted entries; they must be refused exactly if their range is not empty.
fn random_ingest(random: &mut Random, map: &VersionedMap, model: &mut Model) {
    let prefix = random.key();
    let spread = 1 + random.below(60);
    let entries: Model =
        (0..spread).map(|_| ([prefix.clone(), random.key()].concat(), random.value())).collect();
    let entries: Vec<_> = entries.into_iter().collect();
    let (first, last) = (&entries[0].0, &entries[entries.len() - 1].0);
    let is_empty =
        model.range::<Vec<u8>, _>((Bound::Included(first), Bound::Included(last))).next().is_none();
    match ingest(map, &entries) {
        Ok(()) => assert!(is_empty, "entries went into a range that is not empty"),
        Err(error) => assert!(!is_empty && matches!(error, EngineError::Rejected { .. }), "{error}"),
    }
    if is_empty {
        model.extend(entries);
    }
}

/// Merges many changes of single keys, some keys more than once, in one edit with a delete of a range.
fn random_merge(random: &mut Random, map: &VersionedMap, model: &mut Model) {
    let mut staged = map.stage(BatchBuilder::new().as_batch());
    for _ in 0..1 + random.below(3) {
        let mut changes = Changes::new();
        let prefix = if random.below(2) == 0 { random.key() } else { Vec::new() };
        for _ in 0..random.below(300) {
            let key = [prefix.clone(), random.key(), random.value()].concat();
            if random.below(5) < 2 {
                changes.delete(&key);
                model.remove(&key);
            } else {
                let value = random.value();
                changes.put(&key, &value);
                model.insert(key, value);
            }
        }
        staged.merge(&mut changes);
        assert!(changes.is_empty() && changes.bytes() == 0);
        staged.edit.check();
        if random.below(4) == 0 {
            let bounds = random.bounds();
            staged.delete_range(range_of(&bounds));
            model.retain(|key, _| !range_of(&bounds).contains(key));
        }
    }
    staged.publish();
}

fn assert_same(view: &View, model: &Model) {
    let mut cursor = view.walk(KeyRange::all(), Direction::Forward);
    for (key, value) in model {
        let entry = cursor.next().unwrap().expect("an entry of the model");
        assert_eq!((entry.key, entry.value), (&key[..], &value[..]));
    }
    assert!(cursor.next().unwrap().is_none());
    assert_eq!(view.len().unwrap(), model.len() as u64);
}

/// Walks a random range in a random direction, with seeks to random keys in between.
fn assert_random_walk(random: &mut Random, view: &View, model: &Model) {
    let bounds = random.bounds();
    let range = range_of(&bounds);
    let mut expected = within(model, range);
    let direction = if random.below(2) == 0 { Direction::Forward } else { Direction::Reverse };
    if direction == Direction::Reverse {
        expected.reverse();
    }
    let mut cursor = view.cursor(range, direction).unwrap();
    let mut at = 0;
    for _ in 0..random.below(40) {
        if random.below(8) == 0 {
            let key = random.key();
            cursor.seek(&key).unwrap();
            let is_behind = |candidate: &[u8]| match direction {
                Direction::Forward => candidate >= &key[..],
                Direction::Reverse => candidate <= &key[..],
            };
            at = expected.iter().position(|(key, _)| is_behind(key)).unwrap_or(expected.len());
        }
        let entry = cursor.next().unwrap().map(|entry| (entry.key.to_vec(), entry.value.to_vec()));
        let wanted = expected.get(at).map(|(key, value)| (key.to_vec(), value.to_vec()));
        assert_eq!(entry, wanted, "{direction:?} over {range:?}");
        at += 1;
    }
}

fn assert_point_reads(random: &mut Random, map: &VersionedMap, model: &Model) {
    let keys: Vec<_> = (0..5).map(|_| random.key()).collect();
    let mut values = Values::new();
    map.multi_get(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut values);
    for (index, key) in keys.iter().enumerate() {
        let expected = model.get(key);
        let mut value = Buffer::new();
        assert_eq!(map.get(key, &mut value), expected.is_some());
        assert_eq!(map.contains(key), expected.is_some());
        assert_eq!(&value[..], expected.map_or(&[][..], |value| &value[..]));
        assert_eq!(values.get(index), expected.map(|value| &value[..]));
    }
    let bounds = random.bounds();
    let inside = within(model, range_of(&bounds));
    let bytes = |list: &[(&Vec<u8>, &Vec<u8>)]| list.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum();
    let expected = Estimate { entries: inside.len() as u64, bytes: bytes(&inside), exact: true };
    assert_eq!(map.estimate(range_of(&bounds)), expected);
    assert_eq!((map.len(), map.bytes()), (model.len() as u64, bytes(&within(model, KeyRange::all()))));
}

#[test]
fn the_map_its_views_and_cursors_agree_with_a_model() {
    let mut random = Random::seeded("the_map_its_views_and_cursors_agree_with_a_model");
    for most in [4, 5, 7, FAN_OUT.leaf] {
        let fan_out = FanOut { leaf: most, branch: most };
        let map = VersionedMap::build(None, fan_out);
        let mut model = Model::new();
        let mut held: Vec<(View, Model)> = Vec::new();
        for _ in 0..rounds(1500) {
            let before = model.clone();
            if random.below(8) == 0 {
                random_ingest(&mut random, &map, &mut model);
            } else if random.below(60) == 0 {
                random_merge(&mut random, &map, &mut model);
            } else {
                let batch = random_batch(&mut random, &mut model);
                let mut staged = map.stage(batch.as_batch());
                staged.edit.check();
                if random.below(6) == 0 {
                    model = before;
                } else {
                    assert_same(&staged.view(), &model);
                    staged.publish();
                }
            }
            assert_point_reads(&mut random, &map, &model);
            if random.below(10) == 0 {
                held.push((map.view(), model.clone()));
            }
            if held.len() > 8 {
                let index = random.below(held.len() as u64) as usize;
                let (view, then) = held.swap_remove(index);
                assert_same(&view, &then);
                assert_random_walk(&mut random, &view, &then);
            }
            assert_random_walk(&mut random, &map.view(), &model);
        }
        drop(held);
        assert_eq!(map.usage().open_views, 0);
    }
}

#[test]
fn every_single_delete_keeps_the_tree_in_shape() {
    let mut random = Random::seeded("every_single_delete_keeps_the_tree_in_shape");
    let map = VersionedMap::build(None, FanOut { leaf: 4, branch: 4 });
    let count: u16 = if cfg!(miri) { 40 } else { 500 };
    let mut keys: Vec<Vec<u8>> = (0..count).map(|number| number.to_be_bytes().to_vec()).collect();
    let mut batch = BatchBuilder::new();
    keys.iter().for_each(|key| batch.put(key, b"").unwrap());
    map.stage(batch.as_batch()).publish();
    while !keys.is_empty() {
        let key = keys.swap_remove(random.below(keys.len() as u64) as usize);
        let mut batch = BatchBuilder::new();
        batch.delete(&key).unwrap();
        let staged = map.stage(batch.as_batch());
        staged.edit.check();
        staged.publish();
        assert!(!map.contains(&key));
        assert_eq!(map.len(), keys.len() as u64);
    }
}

fn put(map: &VersionedMap, key: &[u8], value: &[u8]) {
    let mut batch = BatchBuilder::new();
    batch.put(key, value).unwrap();
    map.stage(batch.as_batch()).publish();
}

#[test]
fn an_abandoned_change_leaves_no_trace() {
    let map = VersionedMap::new();
    put(&map, b"kept", b"1");
    let before = map.usage();
    let mut batch = BatchBuilder::new();
    batch.delete_range(KeyRange::all()).unwrap();
    batch.put(b"new", b"2").unwrap();
    drop(map.stage(batch.as_batch()));
    assert_eq!(map.usage(), before);
    assert!(map.contains(b"kept") && !map.contains(b"new"));
    put(&map, b"later", b"3");
    assert_eq!(map.len(), 2);
}

#[test]
fn entries_out_of_order_or_outside_the_limits_are_rejected() {
    let map = VersionedMap::new();
    let entry = |key: &[u8]| (key.to_vec(), b"v".to_vec());
    let too_long = vec![b'k'; KEY_BYTES_MAX + 1];
    for bad in [
        vec![entry(b"b"), entry(b"a")],
        vec![entry(b"a"), entry(b"a")],
        vec![entry(b"")],
        vec![entry(&too_long)],
    ] {
        assert!(matches!(ingest(&map, &bad), Err(EngineError::Rejected { .. })));
    }
    assert!(map.is_empty());
    ingest(&map, &[]).unwrap();
    ingest(&map, &[entry(b"a"), entry(b"c")]).unwrap();
    assert!(ingest(&map, &[entry(b"c")]).is_err());
    assert!(ingest(&map, &[entry(b"b")]).is_ok());
}

#[test]
fn the_longest_keys_and_large_values_are_kept() {
    let map = VersionedMap::build(None, FanOut { leaf: 4, branch: 4 });
    let key = |last: u8| [vec![0xff; if cfg!(miri) { 300 } else { KEY_BYTES_MAX - 1 }], vec![last]].concat();
    let value = vec![7; if cfg!(miri) { 3000 } else { 3 << 20 }];
    (0..20).for_each(|last| put(&map, &key(last), &value));
    put(&map, &[0], b"");
    let mut found = Buffer::new();
    assert!(map.get(&key(13), &mut found) && found[..] == value[..]);
    let mut cursor = map.view().walk(KeyRange::all(), Direction::Reverse);
    for last in (0..20).rev() {
        assert_eq!(cursor.next().unwrap().unwrap().key, key(last));
    }
    assert_eq!(cursor.next().unwrap().unwrap().key, [0]);
    assert!(cursor.next().unwrap().is_none());
}

#[test]
fn a_view_ends_at_the_limit_and_newer_views_live_on() {
    let map = VersionedMap::with_view_limit(50_000);
    let mut all = BatchBuilder::new();
    (0..100_u8).for_each(|key| all.put(&[key], &[0; 300]).unwrap());
    map.stage(all.as_batch()).publish();
    let old = map.view();
    let mut walk = old.walk(KeyRange::all(), Direction::Forward);
    walk.next().unwrap();
    let mut overwrites = 0_u32;
    let newer = loop {
        put(&map, &[(overwrites % 100) as u8], &[1; 300]);
        overwrites += 1;
        if old.contains(&[0]).is_err() {
            break map.view();
        }
        assert!(
            overwrites < 50_000 / 301 + 1,
            "the view is still there after more than the limit was discarded"
        );
        assert!(map.usage().retained_bytes <= 50_000);
    };
    assert!(overwrites > 130, "{overwrites} overwrites of 300 bytes are below the limit");
    assert!(matches!(old.get(&[0], &mut Buffer::new()), Err(EngineError::ViewTooOld)));
    assert!(matches!(old.multi_get(&[&[0]], &mut Values::new()), Err(EngineError::ViewTooOld)));
    let ended = loop {
        match walk.next() {
            Ok(entry) => assert!(entry.is_some(), "the cursor ended as if it had seen everything"),
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, EngineError::ViewTooOld));
    put(&map, &[0], &[]);
    assert!(newer.get(&[0], &mut Buffer::new()).unwrap());
    assert_eq!(newer.len().unwrap(), 100);
}

#[test]
fn what_a_view_sees_is_freed_when_it_is_dropped_or_too_old() {
    let map = VersionedMap::with_view_limit(100_000);
    let away = |holder: &Arc<()>| Away { holder: Arc::clone(holder) as _, start: 0, bytes: 9, checksum: 0 };
    let holder = Arc::new(());
    let put_away = || {
        let (mut changes, mut staged) = (Changes::new(), map.stage(BatchBuilder::new().as_batch()));
        changes.put_away(b"k", away(&holder));
        staged.merge(&mut changes);
        staged.publish();
    };
    put_away();
    let view = map.view();
    put(&map, b"k", b"w");
    assert_eq!(Arc::strong_count(&holder), 2, "the view has the entry");
    assert!(map.usage().retained_bytes > 0);
    drop(view);
    assert_eq!(Arc::strong_count(&holder), 1);
    assert_eq!((map.usage().retained_bytes, map.usage().open_views), (0, 0));

    put_away();
    let view = map.view();
    let mut walk = view.walk(KeyRange::all(), Direction::Forward);
    (0..400).for_each(|_| put(&map, b"k", &[1; 300]));
    assert_eq!(Arc::strong_count(&holder), 1, "a view that is too old holds nothing");
    assert!(matches!(walk.next(), Err(EngineError::ViewTooOld)));
}

#[test]
fn overwriting_an_entry_charges_a_view_for_the_entry_and_no_node() {
    let map = VersionedMap::new();
    (0..20_u8).for_each(|key| put(&map, &[key], &[0; 10]));
    let view = map.view();
    (0..100).for_each(|_| put(&map, &[7], &[1; 10]));
    assert_eq!(map.usage().retained_bytes, 100 * (11 + record::RECORD_BYTES));
    drop(view);
}

#[test]
fn a_value_that_is_away_is_counted_and_its_holder_lives_as_long_as_any_view_has_the_entry() {
    let map = VersionedMap::with_view_limit(1 << 20);
    put(&map, b"here", b"value");
    put(&map, b"moved", &[7; 1000]);
    let view = map.view();
    let mut cursor = view.walk(KeyRange::all(), Direction::Reverse);
    assert_eq!(cursor.next().unwrap().unwrap().key, b"moved");
    let held = cursor.hold();
    let (before, holder) = (map.bytes(), Arc::new(()));
    let away =
        |holder: &Arc<()>| Away { holder: Arc::clone(holder) as _, start: 5, bytes: 1000, checksum: 9 };
    let replace = |held: &Held| {
        let mut staged = map.stage(BatchBuilder::new().as_batch());
        let replaced = staged.replace(held, Stored::Away(&away(&holder)));
        staged.publish();
        replaced
    };
    assert!(replace(&held), "the entry is still there");
    assert!(!replace(&held), "it is another one now");
    assert_eq!((map.bytes(), map.away_bytes()), (before, 1000));
    assert_eq!(map.estimate(KeyRange::from_start(b"i")).bytes, 1005);
    let found = |map: &VersionedMap| {
        let mut found = Vec::new();
        map.find_each(&[b"here", b"moved", b"none"], |stored| {
            found.push(stored.map(|stored| match stored {
                Stored::Here(value) => (value.to_vec(), 0),
                Stored::Away(away) => (Vec::new(), away.bytes),
            }));
            Ok(())
        })
        .unwrap();
        found
    };
    assert_eq!(found(&map), [Some((b"value".to_vec(), 0)), Some((Vec::new(), 1000)), None]);
    let newer = map.view();
    put(&map, b"moved", b"again");
    assert!(!replace(&held) && Arc::strong_count(&holder) == 2, "a view has the entry");
    map.end_views();
    assert_eq!(Arc::strong_count(&holder), 1);
    assert!(matches!(newer.contains(b"moved"), Err(EngineError::ViewTooOld)));
    assert_eq!((map.bytes(), map.away_bytes()), (19, 0));
}

#[test]
fn a_view_outlives_its_map() {
    let map = VersionedMap::new();
    put(&map, b"k", b"v");
    let view = map.view();
    drop(map);
    assert!(view.contains(b"k").unwrap());
}

#[test]
fn an_estimate_beside_a_staged_batch_is_no_nonsense() {
    let map = VersionedMap::build(None, FanOut { leaf: 4, branch: 4 });
    let mut batch = BatchBuilder::new();
    (0..40_u8).for_each(|key| batch.put(&[key + 1], b"short").unwrap());
    map.stage(batch.as_batch()).publish();
    let mut longer = BatchBuilder::new();
    (0..9_u8).for_each(|key| longer.put(&[key + 1], &[7; 5000]).unwrap());
    let staged = map.stage(longer.as_batch());
    for start in 0..40_u8 {
        let estimate = map.estimate(KeyRange::from_start(&[start + 1]));
        assert_eq!(estimate.entries, 40 - u64::from(start));
        assert!(estimate.bytes < 100_000, "{} bytes from {start}", estimate.bytes);
    }
    staged.publish();
}
