//! Every byte of every file of a small store, flipped; and what makes up for a superblock that is damaged.

mod store;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use adapter_api::*;
use crash::by_hand::{State, put, run, state};
use crash::environment::Disk;
use crash::findings::Findings;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, LOG, open, open_on, request, stretch};

type Contents = Vec<(String, Arc<Vec<u8>>)>;

/// Two checkpoints of a few pages, and a few records of the log behind them.
fn small_store(close: bool) -> (Disk, State) {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1 << 20)).unwrap();
    for round in 0..2_u8 {
        (0..6_u8).for_each(|key| put(&engine, &[b'a' + key], &[key + round; 900]).unwrap());
        put(&engine, b"large", &[round; 5_000]).unwrap();
        engine.compact(KeyRange::all(), &Findings::default()).unwrap();
        run(&engine, LOG);
    }
    put(&engine, b"b", b"newer").unwrap();
    let mut batch = BatchBuilder::new();
    batch.delete(b"c").unwrap();
    batch.delete_range(KeyRange::new(b"e", b"g")).unwrap();
    engine.apply(batch.as_batch()).unwrap();
    engine.ingest(&mut stretch("k", 36)).unwrap();
    put(&engine, b"x", b"last").unwrap();
    let state = state(&engine);
    if close {
        engine.close().unwrap();
    }
    (disk, state)
}

/// Flips every byte in turn; answers how many flips were noticed, and which gave another state.
fn flip_every_byte(disk: &Disk, expected: &State) -> (usize, Vec<(String, State)>) {
    let contents: Contents = disk.contents();
    let (noticed, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (contents, noticed, wrong) = (&contents, &noticed, &wrong);
            scope.spawn(move || {
                for (file, (name, bytes)) in contents.iter().enumerate() {
                    for at in (half..bytes.len()).step_by(2) {
                        match flip(contents, file, at) {
                            Ok(found) if found == *expected => {}
                            Ok(found) => wrong.lock().unwrap().push((name.clone(), found)),
                            Err(position) => {
                                assert!(position <= at as u64, "{name}: flipped {at}, reported {position}");
                                noticed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    (noticed.into_inner(), wrong.into_inner().unwrap())
}

/// Everything that the engine shows, if it can be read.
fn read_all(engine: &BtreeEngine) -> Result<State> {
    let mut state = State::new();
    let mut visit = |entry: Entry<'_>| {
        state.insert(entry.key.to_vec(), entry.value.to_vec());
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut visit)?;
    Ok(state)
}

/// Opens the store with a flipped byte and reads everything; answers what it shows, or which position in that file it
/// says is damaged.
fn flip(contents: &Contents, file: usize, at: usize) -> Result<State, u64> {
    let mut flipped = contents.clone();
    Arc::make_mut(&mut flipped[file].1)[at] ^= 1 << (at % 8);
    match open_on(Disk::with_contents(&flipped).root()).and_then(|engine| read_all(&engine)) {
        Ok(state) => Ok(state),
        Err(EngineError::Corrupt { file: named, position, .. }) if named == contents[file].0 => Err(position),
        Err(error) => panic!("{} at {at}: {error}", contents[file].0),
    }
}

#[test]
fn after_an_orderly_end_every_flipped_byte_is_harmless_or_noticed() {
    let (disk, expected) = small_store(true);
    assert_eq!(state(&open(&disk.killed())), expected);
    let (noticed, wrong) = flip_every_byte(&disk, &expected);
    assert_eq!(wrong, []);
    assert!(noticed > 4 * 4096, "{noticed}");
}

#[test]
fn after_a_kill_only_damage_to_the_last_batch_passes_for_a_torn_write() {
    let (disk, mut expected) = small_store(false);
    let (noticed, wrong) = flip_every_byte(&disk, &expected);
    assert!(noticed > 4 * 4096, "{noticed}");
    expected.remove(&b"x"[..]);
    assert!(!wrong.is_empty());
    for (name, found) in wrong {
        assert!(name.starts_with("log-") && found == expected, "{name}: {found:?}");
    }
}

#[test]
fn an_older_superblock_counts_only_if_the_log_goes_on_from_it() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
    put(&engine, b"a", b"1").unwrap();
    run(&engine, CHECKPOINT);
    put(&engine, b"b", b"2").unwrap();
    run(&engine, CHECKPOINT);
    put(&engine, b"c", b"3").unwrap();
    let expected = state(&engine);
    let newest_slot = |data: &[u8]| {
        let generation = |slot: usize| u64::from_le_bytes(*data[slot * 4096 + 8..].first_chunk().unwrap());
        usize::from(generation(1) > generation(0))
    };
    let damaged = |disk: &Disk| {
        let mut contents = disk.contents();
        let data = Arc::make_mut(&mut contents.iter_mut().find(|(name, _)| name == "data").unwrap().1);
        let at = newest_slot(data) * 4096 + 9;
        data[at] ^= 1;
        Disk::with_contents(&contents)
    };
    // Nobody has used the retired part of the log again yet: it goes on from the first one.
    let fallen_back = damaged(&disk);
    assert_eq!(state(&open(&fallen_back)), expected);
    let again = BtreeEngine::open(request(fallen_back.root(), 1)).unwrap();
    put(&again, b"d", b"4").unwrap();
    run(&again, CHECKPOINT);
    assert_eq!(state(&open(&fallen_back.cut_to_durable())).len(), 4);

    for round in 0..2 {
        (0..20_u8).for_each(|key| put(&engine, &[key, round], &[round; 3_000]).unwrap());
        run(&engine, CHECKPOINT);
        assert_eq!(state(&open(&damaged(&disk))), state(&engine), "retired, and not used again");
        // Nor does the older one count where something else lies in the place of one of its pages: here of values.
        let mut contents = damaged(&disk).contents();
        let data = Arc::make_mut(&mut contents.iter_mut().find(|(name, _)| name == "data").unwrap().1);
        let is_value = |block: &&mut [u8]| block[4..7] == [b'E', b'P', 3];
        data[8192..].chunks_mut(4096).filter(is_value).for_each(|page| page[100] ^= 1);
        let opened = open_on(Disk::with_contents(&contents).root());
        assert!(opened.is_ok() == (round == 0), "round {round}: the first has no older values");
        for key in 0..60_u8 {
            put(&engine, &[key, round], &[key; 3_000]).unwrap();
            run(&engine, LOG);
        }
    }
    let refused = open_on(damaged(&disk).root()).err().expect("the log has been used again");
    assert!(
        matches!(&refused, EngineError::Corrupt { file, position: 0 | 4096, .. } if file == "data"),
        "{refused}"
    );
}

#[test]
fn a_page_that_a_device_did_not_write_is_noticed() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
    let data = |contents: &Contents| contents.iter().position(|(name, _)| name == "data").unwrap();
    let (mut images, mut noticed) = (Vec::new(), 0);
    for round in 0..8_u8 {
        (0..6_u8).for_each(|key| put(&engine, &[b'a' + key], &[round; 900]).unwrap());
        run(&engine, CHECKPOINT);
        run(&engine, LOG);
        let contents = disk.contents();
        images.push(Arc::clone(&contents[data(&contents)].1));
    }
    engine.close().unwrap();
    let (contents, expected) = (disk.contents(), state(&engine));
    let newest = Arc::clone(&contents[data(&contents)].1);
    for older in &images {
        // Whole blocks as they were: each page with its own right checksum.
        for at in (8192..newest.len().min(older.len())).step_by(4096) {
            let mut contents = contents.clone();
            let place = data(&contents);
            let end = newest.len().min(older.len()).min(at + 4096);
            Arc::make_mut(&mut contents[place].1)[at..end].copy_from_slice(&older[at..end]);
            match open_on(Disk::with_contents(&contents).root()).and_then(|engine| read_all(&engine)) {
                Ok(state) => assert!(state == expected, "block {}", at / 4096),
                Err(EngineError::Corrupt { file, .. }) if file == "data" => noticed += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(noticed > 5, "{noticed}");
}

#[test]
fn a_store_that_lost_its_log_or_its_data_does_not_open() {
    let disk = Disk::default();
    let engine = open(&disk);
    for number in 0..60 {
        engine.apply(store::batch(1, number).as_batch()).unwrap();
        run(&engine, CHECKPOINT);
        run(&engine, LOG);
    }
    drop(engine);
    for prefix in ["log-", "data"] {
        let left: Contents =
            disk.contents().into_iter().filter(|(name, _)| !name.starts_with(prefix)).collect();
        let error = open_on(Disk::with_contents(&left).root()).err().expect(prefix);
        assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
    }
}
