//! Manifests on a disk that forgets, fails, and has its bits flipped.

use std::collections::HashSet;

use crash::enumerate::crashes;
use crash::environment::Disk;
use crash::image::mix;

use super::record::BLOCK;
use super::*;
use crate::version::{Place, TableInfo};

fn table(id: u64, lower: &[u8]) -> (Place, TableInfo) {
    let (lower, upper) = (lower.into(), Some([lower, b"z"].concat().into()));
    let blobs = vec![(id / 2, 7)];
    let info =
        TableInfo { id, bytes: 100 * id, lower, upper, entries: 5, tombstones: 1, data_bytes: 9, blobs };
    (Place { level: (id % 3) as u8, run: id }, info)
}

/// The n-th edit of a history: adds a table, and takes the one of two edits ago away. Every fourth has long keys.
fn edit(n: u64) -> Edit {
    let lower = vec![b'k'; if n % 4 == 3 { 5000 } else { 3 }];
    let removed = if n >= 3 { vec![n - 2] } else { Vec::new() };
    Edit { removed, added: vec![table(n, &lower)], position: Some(10 * n), next_id: Some(n + 1) }
}

/// What the first so many edits add up to.
fn state(edits: u64) -> Found {
    (0..edits).fold(Found::default(), |mut found, n| {
        found.apply(&edit(n));
        found
    })
}

fn opened(disk: &Disk) -> Option<Found> {
    let found = Manifest::open(&disk.root()).unwrap().map(|(_, found)| found);
    // Whoever opens it next sees the same, whatever the power did meanwhile.
    for cut in disk.power_cuts(2, 1).into_iter().chain([disk.killed()]) {
        let next = Manifest::open(&cut.root()).unwrap().map(|(_, found)| found);
        assert_eq!(next, found, "after a power cut behind the open");
    }
    found
}

fn names(disk: &Disk) -> Vec<String> {
    disk.contents().into_iter().map(|(name, _)| name).collect()
}

/// Does one call, and opens every disk that a crash in it may leave: it shows one of these states.
fn crash_in(disk: &Disk, call: impl FnOnce(), expected: [Option<Found>; 2], seed: u64) -> usize {
    disk.record();
    call();
    let moments = disk.take_recording().moments;
    let (mut tried, mut seen) = (0, HashSet::new());
    for moment in &moments {
        for crash in crashes(&moment.state, 4, seed) {
            let after = moment.state.after(crash);
            if !seen.insert(after.digest()) {
                continue;
            }
            let found = opened(&Disk::new(after));
            assert!(expected.contains(&found), "seed {seed}, {crash:?}: {found:?} is none of {expected:?}");
            tried += 1;
        }
    }
    tried
}

#[test]
fn after_every_crash_what_was_answered_ok_counts_and_half_an_edit_never_does() {
    let disk = Disk::default();
    let mut manifest = None;
    let create = || manifest = Some(Manifest::create(&disk.root(), 1, &edit(0)).unwrap());
    let mut tried = crash_in(&disk, create, [None, Some(state(1))], 1);
    let mut manifest = manifest.unwrap();
    manifest.set_edits_bytes(40_000);
    for n in 1..12 {
        let append = || manifest.append(&edit(n)).unwrap();
        tried += crash_in(&disk, append, [Some(state(n)), Some(state(n + 1))], n);
        for (number, cut) in disk.power_cuts(8, n).into_iter().chain([disk.killed()]).enumerate() {
            assert_eq!(opened(&cut), Some(state(n + 1)), "cut {number} behind edit {n}");
        }
        if n % 5 == 0 {
            let end = || manifest.close().unwrap();
            tried += crash_in(&disk, end, [Some(state(n + 1)), None], n);
        }
    }
    assert!(manifest.number > 1, "no manifest took the place of another");
    assert!(tried > 500, "{tried} crashes");
    assert_eq!(names(&disk), [manifest_name(manifest.number)]);
}

#[test]
fn a_failed_call_leaves_one_of_two_states_and_the_next_edit_settles_it() {
    let calls = || {
        let disk = Disk::default();
        let mut manifest = Manifest::create(&disk.root(), 1, &edit(0)).unwrap();
        manifest.append(&edit(1)).unwrap();
        (disk, manifest)
    };
    for fuse in 0..8 {
        let (disk, mut manifest) = calls();
        disk.light_fuse(fuse);
        let outcome = manifest.append(&edit(2));
        // An append is two writes, the second of which nobody waits for.
        assert_eq!(outcome.is_ok(), fuse > 0, "fuse {fuse}");
        for cut in disk.power_cuts(8, fuse).into_iter().chain([disk.killed()]) {
            let found = opened(&cut);
            assert!(found == Some(state(3)) || outcome.is_err() && found == Some(state(2)), "fuse {fuse}");
        }
    }
    for sync in 1..4 {
        // Every sync but this one works: the edit goes into a new manifest, or another one after it does.
        let (disk, mut manifest) = calls();
        disk.fail_sync(sync);
        let outcome = manifest.append(&edit(2));
        let expected = if outcome.is_ok() { state(3) } else { state(2) };
        assert_eq!(manifest.state(), &expected);
        let again = if outcome.is_ok() { edit(3) } else { edit(2) };
        manifest.append(&again).unwrap();
        let expected = manifest.state().clone();
        for cut in disk.power_cuts(8, sync).into_iter().chain([disk.killed(), disk.cut_to_durable()]) {
            assert_eq!(opened(&cut), Some(expected.clone()), "sync {sync}");
        }
    }
}

#[test]
fn an_edit_whose_sync_failed_twice_is_settled_by_the_next_one() {
    let disk = Disk::default();
    let mut manifest = Manifest::create(&disk.root(), 1, &edit(0)).unwrap();
    // The name of the manifest that takes the doubtful one's place is lost.
    manifest.open = None;
    disk.fail_sync(2);
    assert!(manifest.append(&edit(1)).is_err());
    let after = disk.killed();
    assert_eq!(opened(&after), Some(state(2)), "a kill shows what was written");
    manifest.append(&Edit { position: Some(5), ..Edit::default() }).unwrap();
    let expected = manifest.state().clone();
    assert_eq!(expected.tables, state(1).tables);
    for cut in disk.power_cuts(16, 1).into_iter().chain([disk.killed()]) {
        assert_eq!(opened(&cut), Some(expected.clone()));
    }
}

fn written(edits: u64, closed: bool) -> Vec<u8> {
    let disk = Disk::default();
    let mut manifest = Manifest::create(&disk.root(), 1, &edit(0)).unwrap();
    (1..edits).for_each(|n| manifest.append(&edit(n)).unwrap());
    if closed {
        manifest.close().unwrap();
    }
    disk.contents()[0].1.to_vec()
}

#[test]
fn the_bytes_are_those_of_format_1() {
    // A store that was written today must be read by what comes later.
    assert_eq!(format!("{:08x}", crc32fast::hash(&written(5, true))), "10db9ec2");
}

fn open_bytes(bytes: Vec<u8>) -> Result<Option<Found>> {
    let disk = Disk::with_contents(&[(manifest_name(1), Arc::new(bytes))]);
    Ok(Manifest::open(&disk.root())?.map(|(_, found)| found))
}

#[test]
fn every_damage_to_an_edit_that_something_proves_is_refused() {
    for closed in [false, true] {
        let bytes = written(5, closed);
        let mark = bytes.len() - BLOCK as usize;
        let mut refused = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            match open_bytes(damaged) {
                Ok(found) => {
                    assert!(at >= mark, "byte {at} of an edit");
                    assert_eq!(found, Some(state(5)), "byte {at}");
                }
                Err(EngineError::Corrupt { file, position, .. }) => {
                    assert!(at < mark && position <= at as u64 && file == manifest_name(1), "byte {at}");
                    refused += 1;
                }
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        assert_eq!(refused, mark);
    }
}

#[test]
fn a_manifest_that_is_cut_shows_the_edits_before_the_cut_and_never_half_of_one() {
    let bytes = written(5, false);
    for cut in (0..bytes.len()).step_by(512) {
        match open_bytes(bytes[..cut].to_vec()) {
            Ok(found) => assert!((1..=5).any(|edits| found == Some(state(edits))), "cut at {cut}"),
            Err(error) => assert!(cut < BLOCK as usize && matches!(error, EngineError::Corrupt { .. })),
        }
    }
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let bytes = written(5, true);
    for seed in 0..2000 {
        let (mut garbled, mut dice) = (bytes.clone(), seed);
        for _ in 0..1 + seed % 3 {
            dice = mix(dice);
            let at = dice as usize % garbled.len();
            let length = (dice >> 32) as usize % 64;
            let end = (at + length).min(garbled.len());
            garbled[at..end].iter_mut().for_each(|byte| *byte = mix(dice ^ u64::from(*byte)) as u8);
        }
        // Whatever is answered, it is a state that was.
        if let Ok(found) = open_bytes(garbled) {
            assert!((1..=5).any(|edits| found == Some(state(edits))), "seed {seed}");
        }
    }
}

#[test]
fn an_orderly_end_is_gone_on_from_in_the_same_file_on_a_full_disk_too() {
    let disk = Disk::default();
    let mut manifest = Manifest::create(&disk.root(), 7, &edit(0)).unwrap();
    manifest.append(&edit(1)).unwrap();
    manifest.close().unwrap();
    disk.set_capacity(Some(0));
    let (mut manifest, found) = Manifest::open(&disk.root()).unwrap().unwrap();
    assert_eq!((manifest.number, &found), (7, &state(2)));
    // One block takes the place of the mark; what does not fit leaves all as it was.
    assert!(matches!(manifest.append(&edit(3)), Err(EngineError::Full { .. })));
    assert_eq!(Manifest::read(&*disk.killed().root()).unwrap(), Some(state(2)));
    disk.set_capacity(None);
    manifest.append(&edit(2)).unwrap();
    manifest.verify().unwrap();
    assert_eq!(Manifest::read(&*disk.root()).unwrap(), Some(state(3)));
}

#[test]
fn verify_notices_an_edit_that_is_gone() {
    let disk = Disk::default();
    let mut manifest = Manifest::create(&disk.root(), 1, &edit(0)).unwrap();
    manifest.append(&edit(1)).unwrap();
    manifest.verify().unwrap();
    let file = disk.root().open_file(&manifest_name(1), OpenFile::WRITE).unwrap();
    file.set_len(BLOCK).unwrap();
    assert!(matches!(manifest.verify(), Err(EngineError::Corrupt { .. })));
}
