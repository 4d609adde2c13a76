//! Files whose names may be lost, and edits of the manifest that may count or not: nothing that was acknowledged goes with
//! them.

mod store;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use adapter_api::environment::Directory;
use adapter_api::*;
use crash::by_hand::{Unwatched, put, run};
use crash::environment::Disk;
use crash::hooked::{Call, Hooked};
use engine_lsm::LsmEngine;
use store::{COMPACTION, FLUSH, LOG, open_of, value_of};

/// Written ahead of the log.
const LONG: usize = 300 << 10;

fn open(directory: Arc<dyn Directory>) -> LsmEngine {
    open_of(directory, 1 << 20).unwrap()
}

/// So many entries that the memtable is sealed, and the step that begins a flush of it: the table has its name, but not
/// durably. The log has segments ahead, so that it changes no names for a while.
fn begin_a_flush(engine: &LsmEngine) {
    let mut number = 0_u32;
    while by_lane(engine, FLUSH) != Step::More {
        for _ in 0..32 {
            put(engine, &number.to_be_bytes(), &[number as u8; 8 << 10]).unwrap();
            number += 1;
        }
        run(engine, LOG);
    }
}

fn by_lane(engine: &LsmEngine, lane: Lane) -> Step {
    engine.background(lane).unwrap()
}

/// A flush has created its table when the sync of the name of a blob file fails, and nothing changes the directory after
/// that: both names are lost, and the sync that the flush makes does not tell of it.
#[test]
fn a_flush_beside_which_any_sync_failed_loses_nothing() {
    for failing in 1.. {
        let disk = Disk::default();
        let engine = open(Hooked::around(disk.root(), |call| match call {
            Call::Remove(name) if name.starts_with("blob-") => Err(io::Error::other("injected: no removal")),
            _ => Ok(()),
        }));
        begin_a_flush(&engine);
        disk.fail_sync(failing);
        let is_acknowledged = put(&engine, b"long", &[7; LONG]).is_ok();
        let was_reached = disk.syncs() >= failing;
        disk.fail_sync(0);
        run(&engine, FLUSH);
        let engine = open(disk.cut_to_durable().root());
        assert_eq!(value_of(&engine, &0_u32.to_be_bytes()), Some(vec![0; 8 << 10]), "sync {failing}");
        assert!(!is_acknowledged || value_of(&engine, b"long") == Some(vec![7; LONG]), "sync {failing}");
        if !was_reached {
            assert!(failing > 3, "{failing} syncs are fewer than a file, its name and the log need");
            break;
        }
    }
}

/// While a long value's file has its name, but not durably, the sync of the name of a new table fails, and nothing changes
/// the directory after it: both names are lost, and no later sync tells of it.
#[test]
fn a_long_value_whose_name_a_failed_sync_of_a_flush_has_lost_is_not_acknowledged() {
    let mut refused = 0;
    for failing in 1..8 {
        let (disk, beside) = (Disk::default(), Arc::<Mutex<Option<Arc<LsmEngine>>>>::default());
        let (on, other) = (disk.clone(), Arc::clone(&beside));
        let hook = move |call: Call<'_>| match call {
            Call::Remove(name) if name.starts_with("table-") => {
                Err(io::Error::other("injected: no table is removed"))
            }
            Call::Created(name) if name.starts_with("blob-") => {
                let engine = other.lock().unwrap().take();
                if let Some(engine) = engine {
                    // What the lane does at the same time, on a thread of its own.
                    on.fail_sync(failing);
                    while by_lane(&engine, FLUSH) == Step::More {}
                    on.fail_sync(0);
                }
                Ok(())
            }
            _ => Ok(()),
        };
        let engine = Arc::new(open(Hooked::around(disk.root(), hook)));
        begin_a_flush(&engine);
        *beside.lock().unwrap() = Some(Arc::clone(&engine));
        let is_acknowledged = put(&*engine, b"long", &[7; LONG]).is_ok();
        refused += u64::from(!is_acknowledged);
        let engine = open(disk.cut_to_durable().root());
        assert_eq!(value_of(&engine, b"long").is_some(), is_acknowledged, "sync {failing}");
    }
    assert_eq!(refused, 1);
}

#[test]
fn what_an_edit_in_doubt_refers_to_is_kept_when_it_is_decided() {
    let mut in_doubt = 0;
    for failing in 1..8 {
        let (disk, is_refused) = (Disk::default(), Arc::<AtomicBool>::default());
        let refused = Arc::clone(&is_refused);
        let hook = move |call: Call<'_>| match call {
            Call::Created("manifest.tmp") if refused.load(Ordering::SeqCst) => {
                Err(io::Error::other("injected: no new manifest"))
            }
            _ => Ok(()),
        };
        let engine = open(Hooked::around(disk.root(), hook));
        put(&engine, b"long", &[7; LONG]).unwrap();
        // The edit is written and fails, and no new manifest takes its place: nobody knows whether it counts.
        is_refused.store(true, Ordering::SeqCst);
        disk.fail_sync(failing);
        in_doubt += usize::from(engine.compact(KeyRange::all(), &Unwatched).is_err());
        disk.fail_sync(0);
        is_refused.store(false, Ordering::SeqCst);
        for _ in 0..2 {
            engine.compact(KeyRange::all(), &Unwatched).unwrap();
            run(&engine, COMPACTION);
            assert_eq!(value_of(&engine, b"long"), Some(vec![7; LONG]), "sync {failing}");
            put(&engine, b"other", b"value").unwrap();
        }
        for disk in [disk.killed(), disk.cut_to_durable()] {
            let engine = open(disk.root());
            assert_eq!(value_of(&engine, b"long"), Some(vec![7; LONG]), "sync {failing}");
            assert_eq!(value_of(&engine, b"other"), Some(b"value".to_vec()), "sync {failing}");
        }
    }
    assert!(in_doubt > 2, "{in_doubt}");
}

/// Set when this is dropped, by a test that fails too.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn files_that_fill_inside_one_batch_beside_flushes_keep_their_values() {
    let disk = Disk::default();
    let engine = open_of(disk.root(), 600 << 10).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                by_lane(&engine, FLUSH);
                by_lane(&engine, COMPACTION);
            }
        });
        let _until_here = Until(&is_over);
        for round in 0..60_u8 {
            let mut batch = BatchBuilder::new();
            // Two values are a file, and each of them is overwritten in the next round.
            for key in 0..7_u8 {
                batch.put(&[b'k', key], &vec![round ^ key; LONG]).unwrap();
                if key == 3 && round % 4 == 0 {
                    batch.delete_range(KeyRange::new(b"j", b"k")).unwrap();
                }
            }
            engine.apply(batch.as_batch()).unwrap();
            put(&engine, &[b'j', round], &[round; 20 << 10]).unwrap();
            for key in 0..7_u8 {
                assert_eq!(value_of(&engine, &[b'k', key]), Some(vec![round ^ key; LONG]), "round {round}");
            }
        }
    });
    drop(engine);
    let engine = open(disk.cut_to_durable().root());
    (0..7_u8).for_each(|key| assert_eq!(value_of(&engine, &[b'k', key]), Some(vec![59 ^ key; LONG])));
}
