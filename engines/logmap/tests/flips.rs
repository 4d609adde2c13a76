//! Every byte of every file of a small store, flipped; what salvage takes out then; and a directory of
//! format 1 that must open for ever.

mod life;

use std::path::Path;
use std::sync::{Arc, Mutex};

use adapter_api::*;
use crash::by_hand::{State, put, run, state};
use crash::environment::{Contents, Disk};
use crash::findings::Findings;
use crash::image::mix;
use engine_logmap::LogmapEngine;
use life::{CHECKPOINT, LOG, on_disk, request};

/// A checkpoint of a few entries, and a few records of the log behind it.
fn small_store(close: bool) -> (Disk, State) {
    let disk = Disk::default();
    let engine = LogmapEngine::open(request(disk.root(), Durability::Always, 1 << 20)).unwrap();
    (0..6_u8).for_each(|key| put(&engine, &[b'a' + key], &[key; 30]).unwrap());
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    run(&engine, LOG);
    put(&engine, b"b", b"newer").unwrap();
    let mut batch = BatchBuilder::new();
    batch.delete(b"c").unwrap();
    batch.delete_range(KeyRange::from_start(b"f")).unwrap();
    engine.apply(batch.as_batch()).unwrap();
    put(&engine, b"x", b"last").unwrap();
    let state = state(&engine);
    if close {
        engine.close().unwrap();
    }
    (disk, state)
}

fn flipped(contents: &Contents, file: usize, at: usize) -> Disk {
    let mut flipped = contents.clone();
    Arc::make_mut(&mut flipped[file].1)[at] ^= 1 << (at % 8);
    Disk::with_contents(&flipped)
}

/// Flips every byte in turn; answers how many flips were detected, and which gave another state.
fn flip_every_byte(disk: &Disk, expected: &State) -> (usize, Vec<(String, State)>) {
    let contents = disk.contents();
    let (detected, wrong) = (Mutex::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (contents, detected, wrong) = (&contents, &detected, &wrong);
            scope.spawn(move || {
                for (file, (name, bytes)) in contents.iter().enumerate() {
                    for at in (half..bytes.len()).step_by(2) {
                        match life::open(flipped(contents, file, at).root()) {
                            Ok(engine) if state(&engine) == *expected => {}
                            Ok(engine) => wrong.lock().unwrap().push((name.clone(), state(&engine))),
                            Err(EngineError::Corrupt { file, position, .. }) => {
                                assert_eq!(&file, name);
                                assert!(position as usize <= at, "{name}: flipped {at}, reported {position}");
                                *detected.lock().unwrap() += 1;
                            }
                            Err(error) => panic!("{name} at {at}: {error}"),
                        }
                    }
                }
            });
        }
    });
    (detected.into_inner().unwrap(), wrong.into_inner().unwrap())
}

#[test]
fn after_an_orderly_end_every_flipped_byte_is_harmless_or_detected() {
    let (disk, expected) = small_store(true);
    assert_eq!(state(&life::open(disk.killed().root()).unwrap()), expected);
    let (detected, wrong) = flip_every_byte(&disk, &expected);
    assert_eq!(wrong, []);
    let checkpoint = disk.contents().iter().find(|(name, _)| name.starts_with("checkpoint")).unwrap().1.len();
    assert!(checkpoint == 3 * 4096 && detected > checkpoint + 3 * 80, "{detected}");
}

#[test]
fn after_a_kill_only_damage_to_the_last_batch_passes_for_a_torn_write() {
    let (disk, mut expected) = small_store(false);
    let (detected, wrong) = flip_every_byte(&disk, &expected);
    assert!(detected > 3 * 4096 + 2 * 80, "{detected}");
    expected.remove(&b"x"[..]);
    assert!(!wrong.is_empty());
    for (name, found) in wrong {
        assert!(name.starts_with("log-") && found == expected, "{name}: {found:?}");
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_if_the_log_goes_on_from_an_older_one_or_from_nothing() {
    let disk = Disk::default();
    let mut kept = Contents::new();
    let engine = LogmapEngine::open(request(disk.root(), Durability::Always, 1 << 20)).unwrap();
    (0..4_u8).for_each(|key| put(&engine, &[key + 1], b"v").unwrap());
    // The log is retired when a lane gets to it: until then it goes on from anything older.
    kept.extend(disk.contents());
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    let expected = state(&engine);
    let is_checkpoint = |(name, _): &&(String, Arc<Vec<u8>>)| name.starts_with("checkpoint");
    let first = disk.contents().iter().find(is_checkpoint).unwrap().clone();
    put(&engine, b"more", b"v").unwrap();
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    let second = disk.contents().iter().find(is_checkpoint).unwrap().clone();
    assert!(first.0 < second.0);
    drop(engine);
    let damaged = |file: &(String, Arc<Vec<u8>>)| {
        let mut bytes = Vec::clone(&file.1);
        bytes[4100] ^= 1;
        (file.0.clone(), Arc::new(bytes))
    };

    let with = |files: &[(String, Arc<Vec<u8>>)]| Disk::with_contents(&[&kept[..], files].concat());
    let from_nothing = with(&[damaged(&first)]);
    let engine = life::open(from_nothing.root()).expect("the log begins at the beginning");
    assert_eq!(state(&engine), expected);
    put(&engine, b"more", b"v").unwrap();
    run(&engine, CHECKPOINT);
    drop(engine);
    assert_eq!(
        from_nothing.contents().iter().filter(is_checkpoint).count(),
        1,
        "a whole one takes its place"
    );
    assert_eq!(state(&life::open(from_nothing.root()).unwrap()).len(), 5);

    let from_older = Disk::with_contents(&[disk.contents(), vec![first.clone()]].concat());
    assert_eq!(state(&life::open(from_older.root()).unwrap()).len(), 5);
    let second_damaged: Contents = disk
        .contents()
        .into_iter()
        .map(|file| if file.0 == second.0 { damaged(&file) } else { file })
        .collect();
    let from_older = Disk::with_contents(&[second_damaged.clone(), vec![first]].concat());
    assert_eq!(state(&life::open(from_older.root()).unwrap()).len(), 5);

    // The log ends before the damaged checkpoint: what it stood for would be missing.
    let short = with(&[damaged(&second)]);
    let error = life::open(short.root()).err().expect("refused");
    assert!(
        matches!(&error, EngineError::Corrupt { file, position: 4096, .. } if *file == second.0),
        "{error}"
    );
}

#[test]
fn salvage_takes_out_everything_but_what_is_damaged_and_writes_nothing() {
    let (disk, expected) = small_store(true);
    let contents = disk.contents();
    for (file, (name, bytes)) in contents.iter().enumerate() {
        for at in (0..bytes.len()).step_by(4096).flat_map(|at| [at, at + 60]) {
            let damaged = flipped(&contents, file, at);
            let intact = life::open(damaged.killed().root()).is_ok();
            let findings = Arc::new(Findings::default());
            let mut request = request(damaged.root(), Durability::Always, 0);
            request.salvage = Some(Arc::clone(&findings) as Arc<dyn Watch>);
            let engine = LogmapEngine::open(request).unwrap();
            let found = state(&engine);
            assert!(matches!(put(&engine, b"k", b"v"), Err(EngineError::Rejected { .. })));
            engine.close().unwrap();
            assert_eq!(damaged.changes(), 0, "{name} at {at}");
            let findings = findings.take();
            assert!(found == expected || !findings.is_empty(), "{name} at {at}: lost without a word");
            assert!(found == expected || !intact, "{name} at {at}");
            // The checkpoint has one block of entries, and the log three records.
            assert!(found.len() >= 2, "{name} at {at}: {found:?}");
            for (key, value) in &found {
                let newest = expected.get(key) == Some(value);
                assert!(newest || !findings.is_empty(), "{name} at {at}: {key:?}");
            }
        }
    }
}

#[test]
fn a_checkpoint_that_lost_its_end_is_refused() {
    let (disk, _) = small_store(true);
    let contents = disk.contents();
    for (file, (name, bytes)) in contents.iter().enumerate().filter(|(_, (name, _))| name.starts_with("ch")) {
        for len in [0, 1, 4096, 8192, bytes.len() - 1, bytes.len() + 1, bytes.len() + 4096] {
            let mut cut = contents.clone();
            Arc::make_mut(&mut cut[file].1).resize(len, 0);
            let error = life::open(Disk::with_contents(&cut).root()).err().expect("refused");
            assert!(matches!(&error, EngineError::Corrupt { file, .. } if file == name), "{len}: {error}");
        }
    }
}

#[test]
fn random_damage_to_any_files_is_harmless_or_detected_and_ends_nothing() {
    let (disk, expected) = small_store(true);
    let contents = disk.contents();
    for seed in 0..1500_u64 {
        let mut random = mix(seed);
        let mut next = |below: usize| {
            random = mix(random);
            (random >> 20) as usize % below
        };
        let mut damaged = contents.clone();
        for _ in 0..1 + next(3) {
            let file = next(damaged.len());
            let bytes = Arc::make_mut(&mut damaged[file].1);
            let at = next(bytes.len().max(1));
            match next(4) {
                0 => bytes.truncate(at),
                1 => bytes.extend((0..at).map(|at| (at * 7) as u8)),
                2 => bytes.iter_mut().skip(at).take(600).for_each(|byte| *byte = 0xff),
                _ => bytes.iter_mut().skip(at / 4096 * 4096).take(64).for_each(|byte| *byte ^= 0x41),
            }
        }
        match life::open(Disk::with_contents(&damaged).root()) {
            Ok(engine) => assert!(state(&engine) == expected, "seed {seed}"),
            Err(EngineError::Corrupt { .. } | EngineError::Rejected { .. }) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
        let mut request = request(Disk::with_contents(&damaged).root(), Durability::Always, 0);
        request.salvage = Some(Arc::new(Findings::default()));
        assert!(LogmapEngine::open(request).is_ok(), "seed {seed}: salvage");
    }
}

fn golden(format: u32) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format_{format}"))
}

fn opened_golden(format: u32, how: fn(OpenRequest) -> OpenRequest) -> State {
    let mut contents = Contents::new();
    for entry in golden(format).read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        contents.push((name, Arc::new(std::fs::read(&path).unwrap())));
    }
    contents.sort();
    assert!(contents.iter().any(|(name, _)| name.starts_with("checkpoint-")));
    assert_eq!(contents.iter().any(|(name, _)| name.starts_with("values-")), format > 1);
    let disk = Disk::with_contents(&contents);
    state(&LogmapEngine::open(how(request(disk.root(), Durability::Always, 16384))).unwrap())
}

#[test]
fn a_directory_of_format_1_opens_for_ever() {
    // What the golden directory holds.
    let expected = small_store(true).1;
    assert_eq!(opened_golden(1, |request| request), expected);
    assert_eq!(opened_golden(1, on_disk), expected);
}

#[test]
fn a_directory_of_format_2_opens_for_ever() {
    let expected = store_on_disk().1;
    assert_eq!(opened_golden(2, on_disk), expected);
    assert_eq!(opened_golden(2, |request| request), expected);
    assert_eq!(LogmapEngine::describe().format, 2);
}

/// A checkpoint that refers to two files of values, and a record of the log behind it.
fn store_on_disk() -> (Disk, State) {
    let disk = Disk::default();
    let engine = LogmapEngine::open(on_disk(request(disk.root(), Durability::Always, 1 << 20))).unwrap();
    for round in 1..3_u8 {
        (0..3_u8).for_each(|key| put(&engine, &[b'a' + key * round], &[key; 99]).unwrap());
        (0..3_u8).for_each(|key| put(&engine, &[b'k' + key * round], &[key + round; 300]).unwrap());
        engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    }
    put(&engine, b"k", &[9; 400]).unwrap();
    engine.close().unwrap();
    let state = state(&engine);
    (disk, state)
}

/// `cargo test -p engine_logmap --test flips -- --ignored` makes the directories that there are none of.
#[test]
#[ignore = "makes the golden directory of a new format"]
fn the_golden_directory_is_made() {
    for (format, disk) in [(1, small_store(true).0), (2, store_on_disk().0)] {
        if std::fs::create_dir(golden(format)).is_ok() {
            for (name, bytes) in disk.contents() {
                std::fs::write(golden(format).join(name), &*bytes).unwrap();
            }
        }
    }
}
