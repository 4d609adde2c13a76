//! What readers, views and cursors see beside a writer, and when it is freed. Run under Miri and the thread sanitizer
//! too: `notes/tools.md`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::*;
use crate::{BatchBuilder, Buffer, Direction, ReadView};

fn small_nodes() -> VersionedMap {
    VersionedMap::build(None, FanOut { leaf: 4, branch: 4 })
}

fn put(map: &VersionedMap, key: &[u8], value: &[u8]) {
    let mut batch = BatchBuilder::new();
    batch.put(key, value).unwrap();
    map.stage(batch.as_batch()).publish();
}

fn nothing() -> BatchBuilder {
    BatchBuilder::new()
}

const KEYS: u16 = if cfg!(miri) { 8 } else { 64 };
const ROUNDS: u32 = if cfg!(miri) { 12 } else { 3000 };

fn keys() -> Vec<[u8; 2]> {
    (0..KEYS).map(|key| (key * 37).to_be_bytes()).collect()
}

/// The value of all keys in a round: of another length in each, so that the sums of bytes change too.
fn value(round: u32) -> Vec<u8> {
    round.to_le_bytes().repeat(1 + round as usize % 5)
}

fn round_of(value: &[u8]) -> u32 {
    let round = u32::from_le_bytes(value[..4].try_into().unwrap());
    assert_eq!(value, self::value(round), "a value that nobody has put");
    round
}

/// Overwrites all keys, and in turns adds others or deletes them; some edits are abandoned.
fn write(map: &VersionedMap, round: u32) {
    let mut batch = BatchBuilder::new();
    keys().iter().for_each(|key| batch.put(key, &[0xee; 9]).unwrap());
    keys().iter().for_each(|key| batch.put(key, &value(round)).unwrap());
    for (at, key) in keys().iter().enumerate().filter(|(at, _)| at % 3 == round as usize % 3) {
        let other = [&key[..], b"+"].concat();
        match (round / 3 + at as u32).is_multiple_of(2) {
            true => batch.put(&other, &value(round)).unwrap(),
            false => batch.delete(&other).unwrap(),
        }
    }
    map.stage(batch.as_batch()).publish();
    if round.is_multiple_of(4) {
        let mut never = BatchBuilder::new();
        keys().iter().step_by(2).for_each(|key| never.put(key, b"never").unwrap());
        never.put(b"new", b"never").unwrap();
        keys().iter().for_each(|key| never.put(key, b"never, and longer").unwrap());
        never.delete_range(KeyRange::new(&keys()[1], &keys()[5])).unwrap();
        drop(map.stage(never.as_batch()));
    }
}

/// The round that a view shows, of which it must show everything, read in three ways.
fn round_of_view(view: &View) -> Result<u32> {
    let (keys, mut values) = (keys(), Values::new());
    view.multi_get(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut values)?;
    let round = round_of(values.get(0).unwrap());
    assert!(values.iter().all(|found| found == Some(&value(round))), "a batch was seen in part");
    for direction in [Direction::Forward, Direction::Reverse] {
        let (mut cursor, mut seen, mut entries) = (view.walk(KeyRange::all(), direction), 0, 0);
        while let Some(entry) = cursor.next()? {
            entries += 1;
            assert!(round_of(entry.value) <= round);
            seen += usize::from(entry.key.len() == 2 && entry.value == value(round));
        }
        assert_eq!((seen, entries), (keys.len(), view.len()?), "a cursor saw another version");
    }
    Ok(round)
}

#[test]
fn readers_views_and_cursors_see_one_version_each_while_a_writer_goes_on() {
    let map = VersionedMap::build(Some(1 << 30), FanOut { leaf: 4, branch: 4 });
    write(&map, 1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (map, done) = (&map, &done);
            scope.spawn(move || {
                let (keys, mut kept) = (keys(), Vec::new());
                let (keys, mut newest) = (keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), 0);
                while !done.load(Ordering::Relaxed) {
                    let mut values = Values::new();
                    map.multi_get(&keys, &mut values);
                    let round = round_of(values.get(0).unwrap());
                    assert!(values.iter().all(|found| found == Some(&value(round))), "seen in part");
                    assert!(round >= newest, "a reader went back in time");
                    newest = round;
                    kept.push((map.view(), newest));
                    let (view, before) = &kept[kept.len() / 2];
                    let round = round_of_view(view).unwrap();
                    assert!(round >= *before && round == round_of_view(view).unwrap());
                    kept.truncate(8);
                    if kept.len() == 8 {
                        kept.remove(round as usize % 8);
                    }
                }
            });
        }
        (2..ROUNDS).for_each(|round| write(&map, round));
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(map.usage().open_views, 0);
    map.stage(nothing().as_batch()).edit.check();
}

#[test]
fn views_that_end_beside_their_operations_answer_wholly_or_too_old() {
    let map = VersionedMap::build(Some(4000), FanOut { leaf: 4, branch: 4 });
    write(&map, 1);
    let (done, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let view = map.view();
                while !done.load(Ordering::Relaxed) {
                    match round_of_view(&view) {
                        Ok(_) => {}
                        Err(error) => {
                            assert!(matches!(error, EngineError::ViewTooOld));
                            ended.store(true, Ordering::Relaxed);
                            break;
                        }
                    }
                }
            }
        });
        let mut round = 1;
        while round < ROUNDS || !ended.load(Ordering::Relaxed) {
            round += 1;
            write(&map, round);
            if round.is_multiple_of(10) {
                map.end_views();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn more_readers_than_slots_keep_what_they_see() {
    fn nest(map: &VersionedMap, view: &View, depth: u32) {
        let inside = |stored: Option<Stored<'_>>| {
            let Some(Stored::Here(value)) = stored else { panic!("the key is there") };
            let before = value.to_vec();
            match depth {
                0 => (0..20).for_each(|_| put(map, b"k", b"newer")),
                _ => nest(map, view, depth - 1),
            }
            assert_eq!(value, before, "what a reader has lent does not change");
            Ok(())
        };
        match depth % 2 {
            0 => map.find_each(&[b"k"], inside).unwrap(),
            _ => view.find_each(&[b"k"], inside).unwrap(),
        }
    }
    let map = small_nodes();
    put(&map, b"k", b"old");
    let view = map.view();
    put(&map, b"k", b"new");
    nest(&map, &view, 100);
    let mut value = Buffer::new();
    assert!(view.get(b"k", &mut value).unwrap() && &value[..] == b"old");
}

#[test]
fn a_view_of_a_staged_change_shows_it_as_it_was_and_ends_if_it_is_abandoned() {
    let map = small_nodes();
    (0..40_u8).for_each(|key| put(&map, &[key], b"old"));
    let mut batch = BatchBuilder::new();
    (0..40_u8).step_by(3).for_each(|key| batch.put(&[key], b"staged").unwrap());
    batch.put(b"new", b"staged").unwrap();
    let stage = || {
        let mut staged = map.stage(batch.as_batch());
        let view = staged.view();
        let mut later = Changes::new();
        (0..40_u8).step_by(2).for_each(|key| later.put(&[key], b"staged later"));
        later.delete(b"new");
        staged.merge(&mut later);
        staged.delete_range(KeyRange::new(&[20], &[30]));
        staged.edit.check();
        (staged, view)
    };
    let value_in = |view: &View, key: &[u8]| {
        let mut value = Buffer::new();
        view.get(key, &mut value).unwrap().then(|| value.to_vec())
    };
    let (staged, view) = stage();
    drop(staged);
    assert!(matches!(view.contains(b"new"), Err(EngineError::ViewTooOld)));
    assert!((0..40_u8).all(|key| value_in(&map.view(), &[key]).unwrap() == b"old") && map.len() == 40);

    let (staged, view) = stage();
    staged.publish();
    for key in 0..40_u8 {
        let expected = if key.is_multiple_of(3) { &b"staged"[..] } else { b"old" };
        assert_eq!(value_in(&view, &[key]).unwrap(), expected);
        let newest = value_in(&map.view(), &[key]);
        assert_eq!(newest.is_none(), (20..30).contains(&key));
    }
    assert_eq!(value_in(&view, b"new").unwrap(), b"staged");
    assert!(!map.contains(b"new"));
}

#[test]
fn what_a_range_delete_took_is_freed_in_parts_by_the_writes_that_follow() {
    let (map, holder) = (VersionedMap::new(), Arc::new(()));
    let entries = if cfg!(miri) { 2000 } else { 20_000 };
    let (mut changes, mut staged) = (Changes::new(), map.stage(nothing().as_batch()));
    for number in 0..entries as u32 {
        let away = Away { holder: Arc::clone(&holder) as _, start: 0, bytes: 1, checksum: 0 };
        changes.put_away(&number.to_be_bytes(), away);
    }
    staged.merge(&mut changes);
    staged.publish();
    assert_eq!(Arc::strong_count(&holder), entries + 1);
    let mut all = BatchBuilder::new();
    all.delete_range(KeyRange::all()).unwrap();
    map.stage(all.as_batch()).publish();
    assert!(map.is_empty() && map.away_bytes() == 0);
    let mut left = Arc::strong_count(&holder);
    assert!(left > 100, "not everything is freed at once");
    for _ in 0..entries / 500 {
        put(&map, b"k", b"");
        assert!(left - Arc::strong_count(&holder) < 3000, "a bounded part with each write");
        left = Arc::strong_count(&holder);
    }
    assert_eq!(left, 1);
}

#[test]
fn what_was_staged_and_dropped_is_freed_though_nothing_is_published() {
    let (map, holder) = (small_nodes(), Arc::new(()));
    keys().iter().for_each(|key| put(&map, key, b"published"));
    for _ in 0..if cfg!(miri) { 5 } else { 200 } {
        let (mut changes, mut staged) = (Changes::new(), map.stage(nothing().as_batch()));
        for key in keys() {
            let away = Away { holder: Arc::clone(&holder) as _, start: 0, bytes: 1, checksum: 0 };
            changes.put_away(&key, away);
        }
        staged.merge(&mut changes);
        drop(staged);
        assert!(Arc::strong_count(&holder) <= 1 + 2 * keys().len());
        let mut value = Buffer::new();
        assert!(map.get(&keys()[0], &mut value) && &value[..] == b"published");
    }
}
