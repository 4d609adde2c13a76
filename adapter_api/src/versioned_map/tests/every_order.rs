//! Readers, views and a writer in every order of threads and memory that differs by few changes of thread: nobody reads what was
//! freed, and everybody sees what was published. `history` says how it is run.

use loom::model::Builder;
use loom::thread;

use super::super::*;
use crate::{BatchBuilder, ReadView};

/// So many times a thread is stopped in the middle, at most: bugs of few threads need no more.
const STOPS: usize = 3;

fn in_every_order(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(STOPS);
    builder.check(move || {
        sync::begin();
        test();
    });
}

/// A map with one key, whose value counts the batches.
fn map() -> Arc<VersionedMap> {
    let map = Arc::new(VersionedMap::build(None, FanOut { leaf: 4, branch: 4 }));
    put(&map, 1);
    map
}

fn put(map: &VersionedMap, number: u8) {
    let mut batch = BatchBuilder::new();
    batch.put(b"k", &[number]).unwrap();
    map.stage(batch.as_batch()).publish();
}

/// Adds a key, so that the leaf is copied and the old one freed.
fn add(map: &VersionedMap, key: &[u8]) {
    let mut batch = BatchBuilder::new();
    batch.put(key, b"").unwrap();
    map.stage(batch.as_batch()).publish();
}

fn get(map: &VersionedMap) -> u8 {
    let mut value = Buffer::new();
    assert!(map.get(b"k", &mut value), "the key is there");
    value[0]
}

fn get_in(view: &View) -> Result<u8> {
    let mut value = Buffer::new();
    assert!(view.get(b"k", &mut value)?, "the key is there");
    Ok(value[0])
}

#[test]
fn every_order_of_a_reader_and_a_writer_shows_what_was_published() {
    in_every_order(|| {
        let map = map();
        let reader = thread::spawn({
            let map = Arc::clone(&map);
            move || (get(&map), get(&map))
        });
        put(&map, 2);
        add(&map, b"new");
        put(&map, 3);
        let (first, second) = reader.join().unwrap();
        assert!((1..=3).contains(&first) && first <= second, "{first}, then {second}");
        map.begin().edit.check();
    });
}

#[test]
fn every_order_of_two_readers_with_one_slot_shows_what_was_published() {
    in_every_order(|| {
        let map = map();
        let readers = [(); 2].map(|()| {
            let map = Arc::clone(&map);
            thread::spawn(move || get(&map))
        });
        put(&map, 2);
        add(&map, b"new");
        for reader in readers {
            assert!((1..=2).contains(&reader.join().unwrap()));
        }
    });
}

#[test]
fn every_order_of_a_new_view_and_a_writer_shows_one_version_for_as_long_as_it_is_there() {
    in_every_order(|| {
        let map = map();
        let reader = thread::spawn({
            let map = Arc::clone(&map);
            move || {
                let view = map.view();
                (get_in(&view).unwrap(), get_in(&view).unwrap())
            }
        });
        put(&map, 2);
        add(&map, b"new");
        let (first, second) = reader.join().unwrap();
        assert!((1..=2).contains(&first) && first == second, "{first}, then {second}");
    });
}

/// What a view of the first batch shows, unless it is too old.
fn reads_the_first(view: &View) {
    match get_in(view) {
        Ok(number) => assert_eq!(number, 1),
        Err(error) => assert!(matches!(error, EngineError::ViewTooOld)),
    }
}

#[test]
fn every_order_of_a_view_and_its_end_shows_its_version_or_that_it_is_too_old() {
    in_every_order(|| {
        let map = map();
        let view = map.view();
        let reader = thread::spawn(move || reads_the_first(&view));
        put(&map, 2);
        map.end_views();
        add(&map, b"new");
        reader.join().unwrap();
    });
}

#[test]
fn every_order_of_a_view_its_end_and_a_writer_shows_its_version_or_that_it_is_too_old() {
    in_every_order(|| {
        let map = map();
        let view = map.view();
        let reader = thread::spawn(move || reads_the_first(&view));
        let ender = thread::spawn({
            let map = Arc::clone(&map);
            move || map.end_views()
        });
        put(&map, 2);
        ender.join().unwrap();
        reader.join().unwrap();
    });
}
