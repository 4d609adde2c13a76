//! Every byte of every file of a small log, flipped.

mod workload;

use std::sync::{Arc, Mutex};

use adapter_api::environment::{Clock, Directory};
use adapter_api::{Durability, EngineError};
use crash::environment::{Disk, SimulatedClock};
use crash::findings::Findings;
use crash::image::mix;
use wal::{Log, LogOptions, Lsn, salvage};
use workload::{Files, Model, small};

/// Six records in four segments.
fn small_log(close: bool) -> (Disk, Model) {
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.root(), small(Durability::Always), 0).unwrap();
    for len in [40, 40, 40, 5000, 40, 40] {
        model.commit_one(&log, len).unwrap();
    }
    if close {
        log.close().unwrap();
    }
    drop(log);
    (disk, model)
}

/// What opening answers: the last record, or where the damage is.
fn open(disk: &Disk, model: &Model) -> Result<Lsn, EngineError> {
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::default());
    let mut last = 0;
    let (_, recovery) = Log::open(&disk.root(), &clock, small(Durability::Always), 1, &mut |lsn, record| {
        assert_eq!(lsn, last + 1);
        assert!(model.records[lsn as usize - 1] == record, "a wrong record");
        last = lsn;
        Ok(())
    })?;
    assert_eq!(recovery.last, last);
    Ok(last)
}

/// Flips every byte in turn; answers how many flips were detected, and how many cost records silently.
fn flip_every_byte(disk: &Disk, model: &Model) -> (usize, Vec<(String, usize, Lsn)>) {
    let (contents, jobs) = (disk.contents(), Mutex::new(Vec::new()));
    for (file, (_, bytes)) in contents.iter().enumerate() {
        jobs.lock().unwrap().extend((0..bytes.len()).map(|at| (file, at)));
    }
    let (detected, silent) = (Mutex::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (contents, jobs, detected, silent) = (&contents, &jobs, &detected, &silent);
            scope.spawn(move || {
                let jobs: Vec<_> = jobs.lock().unwrap().iter().copied().skip(half).step_by(2).collect();
                for (file, at) in jobs {
                    let mut flipped = contents.clone();
                    Arc::make_mut(&mut flipped[file].1)[at] ^= 1 << (at % 8);
                    let name = &contents[file].0;
                    match open(&Disk::with_contents(&flipped), model) {
                        Ok(last) if last == model.acknowledged => {}
                        Ok(last) => silent.lock().unwrap().push((name.clone(), at, last)),
                        Err(EngineError::Corrupt { file, position, .. }) => {
                            assert_eq!(&file, name);
                            assert!(position as usize <= at, "{file}: flipped {at}, reported {position}");
                            *detected.lock().unwrap() += 1;
                        }
                        Err(error) => panic!("{name} at {at}: {error}"),
                    }
                }
            });
        }
    });
    (detected.into_inner().unwrap(), silent.into_inner().unwrap())
}

#[test]
fn after_an_orderly_end_every_flipped_byte_is_harmless_or_detected() {
    let (disk, model) = small_log(true);
    assert_eq!(open(&disk.killed(), &model).unwrap(), 6);
    let (detected, silent) = flip_every_byte(&disk, &model);
    assert_eq!(silent, []);
    // The bytes of all groups with their headers, and the headers of the segments.
    assert!(detected > 5000 + 6 * (40 + 60) + 4 * 64, "{detected}");
}

#[test]
fn after_a_kill_only_damage_to_the_last_group_passes_for_a_torn_write() {
    let (disk, model) = small_log(false);
    let (detected, silent) = flip_every_byte(&disk, &model);
    assert!(detected > 5000 + 5 * (40 + 60), "{detected}");
    assert!(!silent.is_empty());
    let first = silent.iter().map(|(_, at, _)| *at).min().unwrap();
    for (name, at, last) in &silent {
        assert_eq!((name, *last), (&silent[0].0, 5));
        assert!(at - first < 56 + 4 + 40, "{at} is not in the last group, at {first}");
    }
}

#[test]
fn salvage_takes_out_everything_but_what_is_damaged_and_writes_nothing() {
    let (disk, model) = small_log(true);
    let contents = disk.contents();
    for (file, (name, bytes)) in contents.iter().enumerate() {
        for at in (0..bytes.len()).step_by(512).flat_map(|at| [at, at + 60]) {
            let mut flipped = contents.clone();
            Arc::make_mut(&mut flipped[file].1)[at] ^= 1;
            let damaged = Disk::with_contents(&flipped);
            let intact = open(&damaged.killed(), &model).is_ok();
            let (findings, mut read) = (Findings::default(), Vec::new());
            let files: Arc<dyn Directory> = damaged.root();
            let outcome = salvage(&files, 1, &findings, &mut |lsn, record| {
                assert!(model.records[lsn as usize - 1] == record);
                read.push(lsn);
                Ok(())
            });
            outcome.unwrap();
            assert_eq!(damaged.changes(), 0);
            assert!(read.is_sorted() && read.len() >= 4, "{name} at {at}: {read:?}");
            assert!(read.len() == 6 || !intact, "{name} at {at}");
            let findings = findings.take();
            assert!(read.len() == 6 || !findings.is_empty(), "{name} at {at}: lost without a word");
        }
    }
}

/// Does something bad to the files, as the seed says.
fn damage(contents: &mut Vec<(String, Arc<Vec<u8>>)>, seed: u64) {
    let pick = |salt: u64, count: usize| (mix(seed ^ (salt << 40)) % count.max(1) as u64) as usize;
    let (file, other) = (pick(1, contents.len()), pick(2, contents.len()));
    let source = Arc::clone(&contents[other].1);
    let bytes = Arc::make_mut(&mut contents[file].1);
    let (at, len) = (pick(3, bytes.len()), pick(4, 2000));
    let end = (at + len).min(bytes.len());
    match pick(5, 7) {
        0 => bytes[at..end]
            .iter_mut()
            .enumerate()
            .for_each(|(salt, byte)| *byte = pick(salt as u64 + 9, 256) as u8),
        1 => bytes[at / 512 * 512..(at / 512 * 512 + 512).min(end.max(at))].fill(0),
        2 => {
            // A write that went to another place, or another file.
            let from = pick(6, source.len() / 4096) * 4096;
            let to = pick(7, bytes.len() / 4096) * 4096;
            let count = 4096.min(source.len() - from).min(bytes.len() - to);
            bytes[to..to + count].copy_from_slice(&source[from..from + count]);
        }
        3 => bytes.truncate(at),
        4 => bytes.resize(bytes.len() + len, 7),
        5 => drop(contents.remove(file)),
        _ => {
            let name = ["log-0000000000000009", "spare-7fffffffffffffff", "log-ffffffffffffffff"][pick(8, 3)];
            contents.push((name.to_string(), source));
        }
    }
}

#[test]
fn random_damage_never_shows_a_wrong_record_and_never_panics() {
    let logs = [small_log(true), small_log(false)];
    for seed in 0..3000 {
        let (disk, model) = &logs[seed as usize % 2];
        let mut contents = disk.contents();
        for round in 0..1 + mix(seed) % 3 {
            if !contents.is_empty() {
                damage(&mut contents, mix(seed * 10 + round));
            }
        }
        let check = || {
            let files: Files = Disk::with_contents(&contents).root();
            let right = &mut |lsn: Lsn, record: &[u8]| {
                assert!(model.records[lsn as usize - 1] == record, "a wrong record");
                Ok(())
            };
            let _ = salvage(&files, 1, &Findings::default(), right);
            if let Err(error) = open(&Disk::with_contents(&contents), model) {
                assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
            }
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok(), "seed {seed}");
    }
}

#[test]
fn a_file_that_lost_its_end_is_refused() {
    let (disk, model) = small_log(true);
    let contents = disk.contents();
    for (file, (name, bytes)) in contents.iter().enumerate().filter(|(_, (name, _))| name.starts_with("log-"))
    {
        for len in [0, 10, 4096, 8192, bytes.len() - 1] {
            let mut cut = contents.clone();
            Arc::make_mut(&mut cut[file].1).truncate(len);
            let error = open(&Disk::with_contents(&cut), &model).unwrap_err();
            assert!(matches!(&error, EngineError::Corrupt { file, .. } if file == name), "{error}");
        }
    }
}

#[test]
fn a_segment_that_recovery_wrote_and_that_lost_its_first_groups_is_refused() {
    let (disk, mut model) = small_log(false);
    // Recovery writes the last record again, into a segment of its own, and the next one follows there on a block of its
    // own.
    let options = LogOptions { segment_bytes: 8 * 4096, ..small(Durability::Always) };
    let (log, recovery) = model.open(&disk.root(), options, 6).unwrap();
    assert_eq!(recovery.rewritten, 1);
    model.commit_one(&log, 40).unwrap();
    drop(log);
    let mut contents = disk.contents();
    let (name, bytes) = contents.iter_mut().rfind(|(name, _)| name.starts_with("log-")).unwrap();
    Arc::make_mut(bytes)[4096..2 * 4096].fill(0);
    let name = name.clone();
    let error = open(&Disk::with_contents(&contents), &model).unwrap_err();
    assert!(matches!(&error, EngineError::Corrupt { file, .. } if *file == name), "{error}");
}
