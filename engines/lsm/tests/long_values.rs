//! Values so long that they are written ahead of the log, while flushes fail and files fill up.

mod store;

use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::*;
use crash::by_hand::{Unwatched, put, run};
use crash::environment::Disk;
use engine_lsm::LsmEngine;
use store::{COMPACTION, FLUSH, open_of, value_of};

/// Written ahead of the log.
const LONG: usize = 300 << 10;

fn open(directory: Arc<dyn Directory>) -> Result<LsmEngine> {
    open_of(directory, 1 << 20)
}

fn blob_files(disk: &Disk) -> usize {
    disk.root().list().unwrap().iter().filter(|entry| entry.name.starts_with("blob-")).count()
}

#[test]
fn overwritten_long_values_give_their_room_back() {
    let disk = Disk::default();
    let engine = open(disk.root()).unwrap();
    for round in 0..100_u8 {
        put(&engine, b"key", &vec![round; LONG]).unwrap();
        run(&engine, FLUSH);
        run(&engine, COMPACTION);
    }
    // Four memtables' worth before the flush, and what is being written.
    assert!(blob_files(&disk) < 10, "{} blob files", blob_files(&disk));
    assert_eq!(value_of(&engine, b"key"), Some(vec![99; LONG]));
}

#[test]
fn values_of_one_batch_that_fill_several_files_are_all_kept() {
    let disk = Disk::default();
    let engine = open(disk.root()).unwrap();
    let mut batch = BatchBuilder::new();
    (0..12_u8).for_each(|key| batch.put(&[b'k', key], &vec![key; LONG]).unwrap());
    engine.apply(batch.as_batch()).unwrap();
    run(&engine, FLUSH);
    drop(engine);
    let engine = open(disk.root()).unwrap();
    (0..12_u8).for_each(|key| assert_eq!(value_of(&engine, &[b'k', key]), Some(vec![key; LONG])));
}

#[test]
fn a_flush_that_fails_at_any_call_keeps_what_is_ahead_of_the_log() {
    for fault in [Fault::Error, Fault::ShortWrite, Fault::NoSpace] {
        for call in 1.. {
            let disk = Disk::default();
            put(&open(disk.root()).unwrap(), b"long", &vec![7; LONG]).unwrap();
            let plan = FaultPlan::once(fault, call);
            let directory: Arc<dyn Directory> =
                Arc::new(FaultyDirectory::new(disk.root(), Arc::clone(&plan)));
            if let Ok(engine) = open(directory) {
                // Each seals what there is and flushes it; the first may fail, the others need not.
                for _ in 0..3 {
                    let _ = engine.compact(KeyRange::all(), &Unwatched);
                }
                assert_eq!(value_of(&engine, b"long"), Some(vec![7; LONG]), "{fault:?} at call {call}");
            }
            let reached = plan.reached();
            let engine =
                open(disk.root()).unwrap_or_else(|error| panic!("{fault:?} at call {call}: {error}"));
            assert_eq!(value_of(&engine, b"long"), Some(vec![7; LONG]), "{fault:?} at call {call}");
            if !reached {
                break;
            }
        }
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_keeps_what_is_ahead_of_the_log() {
    for room in (0..40).map(|blocks| blocks * 512) {
        let disk = Disk::default();
        let engine = open(disk.root()).unwrap();
        put(&engine, b"long", &vec![7; LONG]).unwrap();
        let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
        disk.set_capacity(Some(used + room));
        let _ = engine.compact(KeyRange::all(), &Unwatched);
        disk.set_capacity(None);
        put(&engine, b"other", b"value").unwrap();
        engine.compact(KeyRange::all(), &Unwatched).unwrap();
        drop(engine);
        let engine = open(disk.root()).unwrap_or_else(|error| panic!("{room} bytes of room: {error}"));
        assert_eq!(value_of(&engine, b"long"), Some(vec![7; LONG]), "{room} bytes of room");
    }
}
