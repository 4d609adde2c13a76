//! What comes out of a damaged directory: whatever was not damaged, and nothing that was never there.

#![allow(clippy::print_stdout, reason = "a random test prints its seed")]

mod store;

use std::collections::BTreeSet;
use std::sync::Arc;

use adapter_api::*;
use crash::by_hand::{State, expect_reading_only, put, run, state};
use crash::environment::{Contents, Disk};
use crash::findings::Findings;
use crash::image::mix;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, LOG, request, stretch};

const BLOCK: usize = 4096;
const KEYS: u32 = 400;

fn opened(disk: &Disk) -> (BtreeEngine, Vec<String>) {
    let findings = Arc::new(Findings::default());
    let mut request = request(disk.root(), 1 << 20);
    request.salvage = Some(Arc::clone(&findings) as _);
    let engine = BtreeEngine::open(request).unwrap();
    (engine, findings.take())
}

/// What salvage shows of these files, and what it finds; both ways of reading agree.
fn salvaged(contents: &Contents) -> (State, Vec<String>) {
    let disk = Disk::with_contents(contents);
    let (engine, findings) = opened(&disk);
    let shown = state(&engine);
    for (key, value) in &shown {
        let mut found = Buffer::new();
        assert!(engine.get(key, &mut found).unwrap() && found[..] == value[..]);
    }
    assert!(disk.contents() == *contents, "nothing is written");
    (shown, findings)
}

fn key(number: u32) -> Vec<u8> {
    format!("key {} {number:04}", "x".repeat(100)).into_bytes()
}

fn value(number: u32, round: u32) -> Vec<u8> {
    let len = if number % 50 == 7 { 6_000 } else { 500 };
    (0..len).map(|at| (number * 7 + round * 101 + at) as u8).collect()
}

/// Some leaves below two levels of branches, some values in pages of their own, checkpoints, and a log behind the last.
fn store(close: bool) -> (Disk, State) {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
    for round in 0..3 {
        for number in (0..KEYS).filter(|number| round == 0 || number % 5 == round) {
            put(&engine, &key(number), &value(number, round)).unwrap();
        }
        run(&engine, CHECKPOINT);
        run(&engine, LOG);
    }
    engine.close().unwrap();
    // Where more of the log calls for a checkpoint, an orderly end leaves so little to the next start.
    let engine = BtreeEngine::open(request(disk.root(), 1 << 20)).unwrap();
    put(&engine, &key(3), b"from the log").unwrap();
    put(&engine, b"last", b"from the log too").unwrap();
    let state = state(&engine);
    if close {
        engine.close().unwrap();
    }
    (disk, state)
}

fn file<'c>(contents: &'c mut Contents, name: &str) -> &'c mut Vec<u8> {
    Arc::make_mut(&mut contents.iter_mut().find(|(found, _)| found == name).unwrap().1)
}

/// Where pages begin in the data file, and of which kind they seem to be.
fn pages(data: &[u8]) -> Vec<(usize, u8)> {
    let blocks = (2..data.len() / BLOCK).map(|block| block * BLOCK);
    blocks.filter(|at| data[at + 4..at + 6] == *b"EP").map(|at| (at, data[at + 6])).collect()
}

/// The superblocks by their places, with their generations and where their maps begin.
fn superblocks(data: &[u8]) -> [(u64, usize); 2] {
    let number = |at: usize| u64::from_le_bytes(*data[at..].first_chunk().unwrap());
    [0, BLOCK].map(|at| (number(at + 8), number(at + 40) as usize * BLOCK))
}

fn newest_superblock(data: &[u8]) -> usize {
    let [first, second] = superblocks(data);
    usize::from(second.0 > first.0)
}

#[test]
fn of_a_whole_directory_everything_comes_out_without_a_finding() {
    for close in [false, true] {
        let (disk, expected) = store(close);
        let (shown, findings) = salvaged(&disk.contents());
        assert!(shown == expected);
        assert_eq!(findings, [""; 0]);
    }
    // Before the first checkpoint there is no data file.
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1 << 20)).unwrap();
    put(&engine, b"key", b"value").unwrap();
    assert_eq!(salvaged(&disk.contents()), (state(&engine), Vec::new()));
    assert_eq!(salvaged(&Disk::default().contents()), (State::new(), Vec::new()));
}

#[test]
fn nothing_can_be_written_into_what_was_opened_to_salvage() {
    let (disk, expected) = store(false);
    let before = disk.contents();
    let (engine, _) = opened(&disk);
    expect_reading_only(&engine, &[LOG, CHECKPOINT]);
    assert!(disk.contents() == before && state(&engine) == expected);
}

/// Damages one page after the other; a leaf takes its own keys with it, a value its key, a branch nothing.
#[test]
fn a_damaged_page_takes_its_own_keys_and_nothing_else() {
    let (disk, expected) = store(true);
    let contents = disk.contents();
    let (mut leaves, mut values, mut branches) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (at, kind) in pages(file(&mut contents.clone(), "data")) {
        let mut damaged = contents.clone();
        file(&mut damaged, "data")[at + 100] ^= 4;
        let (shown, findings) = salvaged(&damaged);
        let lost: Vec<_> =
            expected.keys().filter(|key| shown.get(*key) != expected.get(*key)).cloned().collect();
        assert!(
            lost.iter().all(|key| !shown.contains_key(key)) && shown.len() + lost.len() == expected.len()
        );
        // Pages that are superseded lie there too.
        let Some(finding) = findings.first() else {
            assert!(lost.is_empty());
            continue;
        };
        assert!(findings.len() == 1 && finding.contains(&format!("file data at byte {at}")), "{findings:?}");
        assert!(!finding.contains("salvage"), "{finding}: whoever reads this does so already");
        match kind {
            1 => {
                let (first, last) = (lost.first().unwrap(), lost.last().unwrap());
                // The log has the newest of key 3, whatever becomes of its leaf.
                let between = expected.range(first.clone()..=last.clone()).map(|(key, _)| key);
                assert!(between.filter(|it| **it != key(3)).eq(&lost), "{finding}");
                assert!(finding.contains("it held the keys"), "{finding}");
                assert!(leaves.is_disjoint(&lost.iter().cloned().collect()));
                leaves.extend(lost);
            }
            2 => {
                assert!(lost.is_empty());
                branches += 1;
            }
            _ => {
                assert_eq!(lost.len(), 1);
                assert!(finding.contains(&format!("\"{}\"", lost[0].escape_ascii())), "{finding}");
                values.extend(lost);
            }
        }
    }
    assert_eq!((leaves.len(), values.len(), branches > 2), (expected.len() - 2, 8, true));
}

#[test]
fn without_its_newest_superblock_or_any_map_everything_comes_out_all_the_same() {
    let (disk, expected) = store(true);
    let contents = disk.contents();
    let data = file(&mut contents.clone(), "data").clone();
    let newest = newest_superblock(&data);
    let blocks = superblocks(&data);
    let damages: [&[usize]; 4] = [
        &[newest * BLOCK + 9],
        &[blocks[newest].1 + 40],
        &[9, BLOCK + 9],
        &[blocks[0].1 + 40, blocks[1].1 + 40],
    ];
    for damage in damages {
        let mut damaged = contents.clone();
        damage.iter().for_each(|at| file(&mut damaged, "data")[*at] ^= 1);
        assert!(store::open_on(Disk::with_contents(&damaged).root()).is_err(), "{damage:?}");
        let (shown, findings) = salvaged(&damaged);
        assert!(shown == expected, "{damage:?}: {findings:?}");
        assert!(findings.iter().any(|finding| finding.contains("every block was searched")), "{findings:?}");
        let at = damage[0] / BLOCK * BLOCK;
        assert!(
            findings.iter().any(|finding| finding.contains(&format!("data at byte {at}:"))),
            "{findings:?}"
        );
    }
    // An older one takes nothing away.
    let mut damaged = contents.clone();
    file(&mut damaged, "data")[(1 - newest) * BLOCK + 9] ^= 1;
    let (shown, findings) = salvaged(&damaged);
    assert!(shown == expected && !findings.is_empty(), "{findings:?}");
}

#[test]
fn without_any_map_a_lost_leaf_takes_its_own_keys_or_gives_older_ones() {
    let (disk, expected) = store(true);
    let contents = disk.contents();
    let known: Known = (0..KEYS).flat_map(|n| (0..3).map(move |round| (key(n), value(n, round)))).collect();
    let (mut lost, mut older) = (0, 0);
    for (at, kind) in pages(file(&mut contents.clone(), "data")) {
        let mut damaged = contents.clone();
        let data = file(&mut damaged, "data");
        (data[9], data[BLOCK + 9], data[at + 100]) = (data[9] ^ 1, data[BLOCK + 9] ^ 1, data[at + 100] ^ 4);
        let (shown, findings) = salvaged(&damaged);
        let others: Vec<_> = expected.iter().filter(|(key, value)| shown.get(*key) != Some(*value)).collect();
        assert!(others.len() <= 20 && (kind != 2 || others.is_empty()), "{kind} at {at}: {}", others.len());
        for (key, value) in &shown {
            let is_old = expected.get(key) != Some(value);
            assert!(!is_old || known.contains(&(key.clone(), value.clone())), "{at}: {findings:?}");
            older += usize::from(is_old);
        }
        let is_told = |what: &str| findings.iter().any(|finding| finding.contains(what));
        let are_missing = others.iter().any(|(key, _)| !shown.contains_key(*key));
        assert!(!are_missing || is_told("no page that is whole holds"), "{findings:?}");
        lost += others.len();
    }
    assert!(older > 20 && lost > older, "{lost} {older}");
}

#[test]
fn an_older_superblock_counts_only_where_all_its_pages_are_left() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
    for round in 0..2 {
        for number in (0..40).filter(|number| round == 0 || number % 5 == 1) {
            put(&engine, &key(number), &value(number, round)).unwrap();
        }
        run(&engine, CHECKPOINT);
    }
    // Nobody has used the older part of the log again, so it goes on from both.
    let (contents, expected) = (disk.contents(), state(&engine));
    let data = file(&mut contents.clone(), "data").clone();
    let mut superseded = 0;
    for (at, _) in pages(&data) {
        let mut damaged = contents.clone();
        file(&mut damaged, "data")[at + 100] ^= 4;
        let is_superseded = salvaged(&damaged).1.is_empty();
        file(&mut damaged, "data")[newest_superblock(&data) * BLOCK + 9] ^= 1;
        let (shown, findings) = salvaged(&damaged);
        assert!(shown.len() + 20 > expected.len() && !findings.is_empty());
        assert!(!is_superseded || shown == expected, "{at}: {findings:?}");
        superseded += usize::from(is_superseded);
    }
    assert!(superseded > 1, "{superseded}");
}

#[test]
fn of_a_data_file_that_was_cut_the_rest_comes_out() {
    let (disk, expected) = store(true);
    let contents = disk.contents();
    let len = file(&mut contents.clone(), "data").len();
    for (part, least) in [(0, 2), (1, 2), (2, 50), (3, 150)] {
        let mut damaged = contents.clone();
        file(&mut damaged, "data").truncate(len * part / 4);
        let (shown, findings) = salvaged(&damaged);
        assert!(shown.len() >= least && !findings.is_empty(), "{part}: {}", shown.len());
        assert!(shown.get(&key(3)).unwrap() == b"from the log");
        let of_another_time = shown.iter().filter(|(key, value)| expected.get(*key) != Some(*value));
        assert!(part < 2 || of_another_time.count() < 150);
    }
    let damaged: Contents = contents.into_iter().filter(|(name, _)| name != "data").collect();
    let (shown, findings) = salvaged(&damaged);
    assert!(shown.len() < 50 && shown.iter().all(|(key, value)| expected.get(key) == Some(value)));
    assert!(findings[0].contains("records 1 to"), "{findings:?}");
}

#[test]
fn what_the_log_still_has_comes_out_on_top() {
    let (disk, _) = store(false);
    let contents = disk.contents();
    let in_log = |contents: &Contents, wanted: &[u8]| {
        let mut logs = contents.iter().filter(|(name, _)| name.starts_with("log-"));
        let find = |bytes: &[u8]| bytes.windows(wanted.len()).position(|window| window == wanted);
        logs.find_map(|(name, bytes)| Some((name.clone(), find(bytes)?))).unwrap()
    };
    let (log, at) = in_log(&contents, b"from the log");
    let mut damaged = contents.clone();
    file(&mut damaged, &log)[at] ^= 1;
    let (shown, findings) = salvaged(&damaged);
    assert_eq!(shown[&key(3)], value(3, 0), "as the pages have it");
    assert_eq!(shown[&b"last"[..]], b"from the log too");
    assert!(
        findings.iter().all(|finding| finding.contains("file log-")) && !findings.is_empty(),
        "{findings:?}"
    );
}

#[test]
fn what_was_written_ahead_comes_out_whether_a_map_names_it_or_the_log_or_nothing_does() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
    for number in 0..30 {
        put(&engine, &key(number), &value(number, 0)).unwrap();
    }
    run(&engine, CHECKPOINT);
    for (round, first) in ["a", "z"].into_iter().enumerate() {
        engine.ingest(&mut stretch(first, 200)).unwrap();
        put(&engine, format!("long {first}").as_bytes(), &vec![round as u8; 140_000]).unwrap();
        if round == 0 {
            run(&engine, CHECKPOINT);
            run(&engine, LOG);
        }
    }
    let (contents, expected) = (disk.contents(), state(&engine));
    assert_eq!(salvaged(&contents), (expected.clone(), Vec::new()));
    let data = file(&mut contents.clone(), "data").clone();
    let map = superblocks(&data)[newest_superblock(&data)].1;
    for damage in [&[map + 40][..], &[9, BLOCK + 9]] {
        let mut damaged = contents.clone();
        damage.iter().for_each(|at| file(&mut damaged, "data")[*at] ^= 1);
        let (shown, findings) = salvaged(&damaged);
        assert!(shown == expected, "{damage:?}: {} of {}: {findings:?}", shown.len(), expected.len());
    }
    let (mut lost, mut told) = (BTreeSet::new(), 0);
    for (at, kind) in pages(&data).into_iter().filter(|(at, _)| data[at + 8..at + 12] == [255; 4]) {
        let mut damaged = contents.clone();
        file(&mut damaged, "data")[at + 100] ^= 4;
        let (shown, findings) = salvaged(&damaged);
        let others: Vec<_> = expected.keys().filter(|key| shown.get(*key) != expected.get(*key)).collect();
        if findings.is_empty() && others.is_empty() {
            // It was changed since, and lies there as it was.
            continue;
        }
        assert_eq!(
            (shown.len() + others.len(), findings.len()),
            (expected.len(), 1),
            "{others:?} {findings:?}"
        );
        assert!(kind == 1 || others.len() == 1, "{findings:?}");
        assert!(findings[0].contains(&format!("file data at byte {at}: ")), "{findings:?}");
        told += usize::from(findings[0].contains("; it held the "));
        lost.extend(others.into_iter().cloned());
    }
    assert!(lost.len() > 370 && told > 50, "{} {told}", lost.len());
}

/// Every entry that ever was.
type Known = BTreeSet<(Vec<u8>, Vec<u8>)>;

/// A directory as a kill leaves it, and what the history before put there.
fn history(seed: u64) -> (Disk, State, Known) {
    let (disk, mut known) = (Disk::default(), Known::new());
    let mut engine = store::open(&disk);
    for number in 0..20 + mix(seed) % 120 {
        let batch = store::batch(seed, number);
        engine.apply(batch.as_batch()).unwrap();
        for mutation in batch.as_batch() {
            if let Mutation::Put { key, value } = mutation {
                known.insert((key.to_vec(), value.to_vec()));
            }
        }
        if number % 25 == 7 {
            let entries = stretch(&format!("s{number}"), 60);
            known.extend(entries.0.iter().cloned());
            engine.ingest(&mut { entries }).unwrap();
            let (key, value) =
                (format!("long {}", number / 25 % 2).into_bytes(), vec![number as u8; 140_000]);
            put(&engine, &key, &value).unwrap();
            known.insert((key, value));
        }
        for lane in [CHECKPOINT, LOG].into_iter().filter(|_| mix(seed ^ number).is_multiple_of(3)) {
            run(&engine, lane);
        }
        if mix(seed ^ number << 8).is_multiple_of(40) {
            engine = store::open(&disk);
        }
    }
    let state = state(&engine);
    (disk, state, known)
}

#[test]
fn whatever_is_damaged_nothing_comes_out_that_never_was_there() {
    let (mut whole, mut partly) = (0, 0);
    for seed in 0..400 {
        println!("seed {seed}");
        let (disk, expected, known) = history(seed);
        let mut contents = disk.contents();
        let (shown, findings) = salvaged(&contents);
        assert!(shown == expected && findings.is_empty(), "{findings:?}");
        for damage in 0..1 + mix(seed ^ 7) % 6 {
            let random = mix(seed ^ damage << 32);
            let at_file = (random % contents.len() as u64) as usize;
            let bytes = Arc::make_mut(&mut contents[at_file].1);
            let Some(at) = (random >> 20).checked_rem(bytes.len() as u64) else { continue };
            let at = at as usize;
            match random >> 50 & 7 {
                0 => bytes.truncate(at),
                1 => {
                    let block = at / BLOCK * BLOCK;
                    let end = bytes.len().min(block + BLOCK);
                    bytes[block..end].fill(0);
                }
                _ if at < bytes.len() => bytes[at] ^= 1 << (random >> 60 & 7),
                _ => {}
            }
        }
        let (shown, findings) = salvaged(&contents);
        for (key, value) in &shown {
            let is_known = known.contains(&(key.clone(), value.clone()));
            assert!(is_known, "{}: {findings:?}", key.escape_ascii());
        }
        whole += usize::from(shown == expected);
        partly += usize::from(shown != expected);
        let is_last_batch_torn = shown != expected && findings.is_empty();
        assert!(!is_last_batch_torn || shown.len().abs_diff(expected.len()) <= 180, "{findings:?}");
    }
    assert!(whole > 20 && partly > 20, "{whole} {partly}");
}
