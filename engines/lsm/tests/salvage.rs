//! What comes out of a damaged directory: whatever was not damaged, and nothing that was never there.

#![allow(clippy::print_stdout, reason = "a random test prints its seed")]

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::*;
use crash::by_hand::{State, entries_of, expect_reading_only, metric, put, run, state};
use crash::environment::{Contents, Disk, SimulatedClock};
use crash::findings::Findings;
use crash::hooked::{Call, Hooked};
use crash::image::mix;
use engine_lsm::LsmEngine;
use store::{COMPACTION, FLUSH, LOG, open_with, request};

const BLOCK: usize = 4096;
const KEYS: u32 = 400;
/// The length of a value that is written ahead of the log.
const LONG: usize = 300 << 10;
/// Small, so that there are several tables of several blocks on two levels, and values in blob files.
const SIZES: [(&str, &str); 5] = [
    ("log_segment", "65536"),
    ("memtable_bytes", "32768"),
    ("table_bytes", "65536"),
    ("block_bytes", "4096"),
    ("blob_value_bytes", "2000"),
];

fn opened_to_fill(disk: &Disk, compression: &str) -> LsmEngine {
    open_with(disk.root(), &[&SIZES[..], &[("compression", compression)]].concat()).unwrap()
}

/// Every value that each key ever had.
type Past = BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>;

fn opened(directory: Arc<dyn Directory>) -> (LsmEngine, Arc<Findings>) {
    let findings = Arc::new(Findings::default());
    let mut request = request(directory, Arc::new(SimulatedClock::default()), &SIZES);
    request.salvage = Some(Arc::clone(&findings) as _);
    (LsmEngine::open(request).unwrap(), findings)
}

/// What salvage shows of these files, and what it finds; all ways of reading agree.
fn salvaged(contents: &Contents) -> (State, Vec<String>) {
    let disk = Disk::with_contents(contents);
    let (engine, findings) = opened(disk.root());
    let shown = state(&engine);
    let keys: Vec<&[u8]> = shown.keys().map(Vec::as_slice).collect();
    let mut values = Values::new();
    engine.multi_get(&keys, &mut values).unwrap();
    for (at, (key, value)) in shown.iter().enumerate() {
        let mut found = Buffer::new();
        assert!(engine.get(key, &mut found).unwrap() && found[..] == value[..]);
        assert_eq!(values.get(at), Some(&value[..]));
    }
    let backwards = entries_of(&*engine.read_view().unwrap(), Direction::Reverse);
    assert!(backwards.into_iter().rev().eq(shown.clone()));
    assert!(disk.contents() == *contents, "nothing is written");
    (shown, findings.take())
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number:04}").into_bytes()
}

fn value(number: u32, round: u32) -> Vec<u8> {
    let len = if number % 50 == 7 { 6_000 } else { 300 };
    (0..len).map(|at| (number * 7 + round * 101 + at) as u8).collect()
}

/// Tables on two levels that were merged and some that were not, blob files, deleted ranges, and a log behind them.
fn store(close: bool) -> (Disk, State, Past) {
    compressed_store("none", close)
}

fn compressed_store(compression: &str, close: bool) -> (Disk, State, Past) {
    let (disk, mut past) = (Disk::default(), Past::new());
    let engine = opened_to_fill(&disk, compression);
    // Tables that were merged stay as long as these do, and so for ever if the store does not end in order.
    let mut views = Vec::new();
    for round in 0..6 {
        for number in (0..KEYS).filter(|number| round == 0 || number % 7 == round) {
            put(&engine, &key(number), &value(number, round)).unwrap();
            past.entry(key(number)).or_default().insert(value(number, round));
            run(&engine, LOG);
            run(&engine, FLUSH);
        }
        if round < 4 {
            views.push(engine.read_view().unwrap());
            run(&engine, COMPACTION);
        }
        let mut batch = BatchBuilder::new();
        batch.delete_range(KeyRange::new(&key(20 * round), &key(20 * round + 10))).unwrap();
        batch.delete(&key(20 * round + 15)).unwrap();
        engine.apply(batch.as_batch()).unwrap();
    }
    for (key, value) in [(&b"last"[..], vec![7; 9]), (b"long", vec![9; LONG])] {
        put(&engine, key, &value).unwrap();
        past.entry(key.to_vec()).or_default().insert(value);
    }
    let state = state(&engine);
    if close {
        drop(views);
        engine.close().unwrap();
    } else {
        // Before anybody lets go of the views.
        return (disk.killed(), state, past);
    }
    (disk, state, past)
}

fn file<'c>(contents: &'c mut Contents, name: &str) -> &'c mut Vec<u8> {
    Arc::make_mut(&mut contents.iter_mut().find(|(found, _)| found == name).unwrap().1)
}

fn names(contents: &Contents, prefix: &str) -> Vec<String> {
    contents.iter().map(|(name, _)| name.clone()).filter(|name| name.starts_with(prefix)).collect()
}

/// Everything that is shown was stored under its key once.
fn is_of(shown: &State, past: &Past) -> bool {
    shown.iter().all(|(key, value)| past.get(key).is_some_and(|values| values.contains(value)))
}

/// Where filter, index, properties and footer of a table begin.
fn parts(table: &[u8]) -> [usize; 4] {
    let footer = table.len() - 64;
    let number = |at: usize| u64::from_le_bytes(*table[footer + at..].first_chunk().unwrap()) as usize;
    [number(32), number(40), number(48), footer]
}

#[test]
fn of_a_whole_directory_everything_comes_out_without_a_finding() {
    for close in [false, true] {
        let (disk, expected, _) = store(close);
        let contents = disk.contents();
        assert!(names(&contents, "table-").len() > 4 && names(&contents, "blob-").len() > 1);
        let (shown, findings) = salvaged(&contents);
        assert_eq!(findings, [""; 0]);
        assert!(shown == expected);
    }
    assert_eq!(salvaged(&Disk::default().contents()), (State::new(), Vec::new()));
}

#[test]
fn nothing_can_be_written_into_what_was_opened_to_salvage() {
    let (disk, expected, _) = store(false);
    let before = disk.contents();
    let (engine, _) = opened(disk.root());
    expect_reading_only(&engine, &[LOG, FLUSH, COMPACTION]);
    assert!(disk.contents() == before && state(&engine) == expected);
}

/// One damaged byte after the other in the blocks of every table: others keep what they say.
#[test]
fn a_damaged_block_takes_what_it_says_and_nothing_else() {
    let (disk, expected, past) = store(true);
    let (contents, mut hits) = (disk.contents(), 0);
    for name in names(&contents, "table-") {
        let blocks_end = parts(file(&mut contents.clone(), &name))[0];
        for at in (100..blocks_end).step_by(BLOCK) {
            let mut damaged = contents.clone();
            file(&mut damaged, &name)[at] ^= 4;
            let (shown, findings) = salvaged(&damaged);
            assert!(is_of(&shown, &past));
            let [finding] = &findings[..] else { panic!("{name} at {at}: {findings:?}") };
            assert!(finding.contains(&name) && finding.contains("what it said of keys"), "{finding}");
            let changed = expected.iter().filter(|(key, value)| shown.get(*key) != Some(value)).count();
            assert!(changed < 16 && shown.len() <= expected.len() + 16, "{changed} keys of {name} at {at}");
            hits += usize::from(shown != expected);
        }
    }
    assert!(hits > 10, "{hits}");
}

/// The same for a sector that the device cannot read: no read of several blocks takes others with it.
#[test]
fn a_sector_that_cannot_be_read_takes_its_blocks_and_no_others() {
    let (disk, expected, past) = store(true);
    let mut contents = disk.contents();
    for name in names(&contents, "table-") {
        let [blocks_end, index, ..] = parts(file(&mut contents, &name));
        for unreadable in (0..blocks_end).step_by(BLOCK).chain([index]) {
            let (sector, of_file) = (unreadable as u64..unreadable as u64 + 1, name.clone());
            let directory = Hooked::around(disk.root(), move |call| match call {
                Call::Read(name, bytes) if name == of_file && bytes.contains(&sector.start) => {
                    Err(io::Error::other("injected: a bad sector"))
                }
                _ => Ok(()),
            });
            let (engine, findings) = opened(directory);
            let shown = state(&engine);
            assert!(is_of(&shown, &past) && !findings.take().is_empty());
            let changed = expected.iter().filter(|(key, value)| shown.get(*key) != Some(value)).count();
            assert!(changed < 32, "{changed} keys of {name} at {unreadable}");
        }
    }
}

/// Without its filter, its index or its footer, a table still has all of its blocks.
#[test]
fn what_tells_where_blocks_are_can_be_done_without() {
    for compression in ["none", "lz4", "zstd"] {
        without_what_tells_where_blocks_are(compressed_store(compression, true));
    }
}

fn without_what_tells_where_blocks_are((disk, expected, past): (Disk, State, Past)) {
    let contents = disk.contents();
    for name in names(&contents, "table-") {
        let [filter, index, properties, footer] = parts(file(&mut contents.clone(), &name));
        for (at, has_ranges) in
            [(filter + 5, true), (index + 9, true), (footer + 20, false), (properties + 3, false)]
        {
            let mut damaged = contents.clone();
            file(&mut damaged, &name)[at] ^= 32;
            let (shown, findings) = salvaged(&damaged);
            assert!(!findings.is_empty() && is_of(&shown, &past), "{name} at {at}");
            assert!(
                expected.iter().all(|(key, value)| shown.get(key) == Some(value)),
                "{name} at {at}: {findings:?}"
            );
            assert!(!has_ranges || shown == expected, "{name} at {at}: {findings:?}");
        }
        // A damaged block beside the damaged index takes no other with it.
        let mut damaged = contents.clone();
        let bytes = file(&mut damaged, &name);
        bytes[index + 9] ^= 32;
        bytes[100] ^= 1;
        let (shown, findings) = salvaged(&damaged);
        let changed = expected.iter().filter(|(key, value)| shown.get(*key) != Some(value)).count();
        assert!(
            changed < 16 && findings.len() == 2 && is_of(&shown, &past),
            "{changed} of {name}: {findings:?}"
        );
    }
}

/// The order in which flushes made tables is that of their numbers.
#[test]
fn without_a_manifest_tables_count_in_the_order_of_their_numbers() {
    for close in [false, true] {
        without_a_manifest(store(close));
    }
}

fn without_a_manifest((disk, expected, past): (Disk, State, Past)) {
    let contents = disk.contents();
    let manifest = names(&contents, "manifest-").pop().unwrap();
    let mut gone = contents.clone();
    gone.retain(|(name, _)| *name != manifest);
    let edits = (0..file(&mut contents.clone(), &manifest).len()).step_by(BLOCK);
    let damaged = edits.map(|at| {
        let mut damaged = contents.clone();
        file(&mut damaged, &manifest)[at + 60] ^= 1;
        damaged
    });
    let mut told = 0;
    for damaged in damaged.chain([gone]) {
        let (shown, findings) = salvaged(&damaged);
        assert!(is_of(&shown, &past));
        // Behind the last edit there is nothing but the mark of the orderly end.
        told += usize::from(!findings.is_empty());
        assert!(shown == expected || !findings.is_empty());
        let kept = expected.iter().filter(|(key, value)| shown.get(*key) == Some(value)).count();
        assert!(kept == expected.len(), "{kept} of {}: {findings:?}", expected.len());
    }
    assert!(told > 3, "{told}");
}

/// A flush has made a table while a merge was under way, so tables of that have higher numbers and are older.
#[test]
fn tables_that_a_whole_edit_names_keep_their_places() {
    let (disk, value) = (Disk::default(), |round: u8| vec![round; 1900]);
    let engine = opened_to_fill(&disk, "none");
    let write = |round, numbers: std::ops::Range<u32>| {
        for number in numbers {
            // Here and there, so that no table only moves.
            put(&engine, &key(number * 769 % 2000), &value(round)).unwrap();
            run(&engine, LOG);
            run(&engine, FLUSH);
        }
    };
    write(1, 0..2000);
    assert_eq!(engine.background(COMPACTION).unwrap(), Step::More);
    write(2, 1900..2000);
    let merges = || metric(&engine, "compactions");
    let before = merges();
    while merges() == before {
        engine.background(COMPACTION).unwrap();
    }
    run(&engine, LOG);
    let expected = state(&engine);
    engine.close().unwrap();
    let mut damaged = disk.contents();
    let manifest = names(&damaged, "manifest-").pop().unwrap();
    file(&mut damaged, &manifest)[60] ^= 1;
    let (shown, findings) = salvaged(&damaged);
    assert!(shown == expected && findings.len() == 1, "{findings:?}");
    // By their numbers alone they would be in another order.
    damaged.retain(|(name, _)| *name != manifest);
    assert!(salvaged(&damaged).0 != expected);
}

#[test]
fn a_damaged_value_of_a_blob_file_is_left_out_and_a_missing_file_takes_its_own() {
    let (disk, expected, past) = store(true);
    let contents = disk.contents();
    let mut lost = 0;
    for name in names(&contents, "blob-") {
        let mut damaged = contents.clone();
        file(&mut damaged, &name)[1000] ^= 1;
        let mut gone = contents.clone();
        gone.retain(|(found, _)| *found != name);
        for damaged in [damaged, gone] {
            let (shown, findings) = salvaged(&damaged);
            let missing: Vec<_> = expected.keys().filter(|key| !shown.contains_key(*key)).collect();
            assert_eq!(findings.len(), missing.len(), "{findings:?}");
            assert!(is_of(&shown, &past) && missing.iter().all(|key| expected[*key].len() > 2000));
            lost += missing.len();
        }
    }
    assert!(lost > 2, "{lost}");
}

/// Flips, cuts, zeros and lost files, several at once: reads answer, and what they show was there once.
#[test]
fn whatever_is_damaged_reads_answer_and_what_differs_is_told() {
    let (disk, expected, past) = store(true);
    let contents = disk.contents();
    for seed in 0..150_u64 {
        println!("seed {seed}");
        let (mut damaged, mut dice) = (contents.clone(), mix(seed));
        for _ in 0..1 + seed % 4 {
            dice = mix(dice);
            let victim = (dice >> 8) as usize % damaged.len();
            let bytes = Arc::make_mut(&mut damaged[victim].1);
            let at = (dice >> 16) as usize % bytes.len().max(1);
            match dice % 8 {
                0 => bytes.truncate(at),
                1 => drop(damaged.remove(victim)),
                2 => {
                    let end = bytes.len().min(at + BLOCK);
                    bytes[at..end].fill(0);
                }
                _ if bytes.is_empty() => {}
                _ => bytes[at] ^= 1 << ((dice >> 60) % 8),
            }
        }
        let (shown, findings) = salvaged(&damaged);
        assert!(is_of(&shown, &past), "seed {seed}");
        assert!(
            shown == expected || !findings.is_empty(),
            "seed {seed} changes something and tells of nothing"
        );
    }
}
