//! The snapshot engine in process: restarts, power cuts, failing calls and damage, in each mode.
//!
//! Method: one small history of batches runs on the simulated disk; after each acknowledged batch, and after
//! each failing call, the engine is opened again on what a kill or a power cut would leave.

use std::io::IoSlice;
use std::sync::Arc;

use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::environment::real::{RealClock, read_whole};
use adapter_api::environment::{Cause, Directory, OpenFile};
use adapter_api::*;
use crash::by_hand::{NoLanes, State, applied, put, state};
use crash::environment::Disk;
use crash::findings::Findings;
use engine_snapshot::SnapshotEngine;

const DOCUMENT: &str = "snapshot.json";
const MODES: [&str; 3] = ["atomic", "atomic-as-written", "naive"];

fn open_in(directory: Arc<dyn Directory>, mode: &str) -> Result<SnapshotEngine> {
    let environment = Environment { directory, clock: Arc::new(RealClock::new()), lanes: Arc::new(NoLanes) };
    let mut request = OpenRequest::new(environment);
    request.options = Options::complete(&SnapshotEngine::describe().options, [("mode", mode)]).unwrap();
    SnapshotEngine::open(request)
}

fn open(disk: &Disk, mode: &str) -> Result<SnapshotEngine> {
    open_in(disk.root(), mode)
}

/// A disk with one document.
fn with_document(bytes: &[u8]) -> Disk {
    Disk::with_contents(&[(DOCUMENT.to_string(), Arc::new(bytes.to_vec()))])
}

fn read_document(disk: &Disk) -> Vec<u8> {
    read_whole(&*disk.root(), DOCUMENT, 1 << 30).unwrap()
}

fn names(disk: &Disk) -> Vec<String> {
    disk.contents().into_iter().map(|(name, _)| name).collect()
}

/// Batches that grow, shrink and empty the state, with keys and values that are no text.
fn history() -> Vec<BatchBuilder> {
    let mut batches = vec![BatchBuilder::new(); 6];
    batches[0].put(b"text", "grüße \u{1F980}".as_bytes()).unwrap();
    batches[0].put(b"control \x00\x1f\n\"\\", b"\r\n").unwrap();
    batches[1].put(b"\xff\x00\xfe", &(0..=255).collect::<Vec<u8>>()).unwrap();
    batches[1].put(b"empty", b"").unwrap();
    batches[2].put(&[b'k'; KEY_BYTES_MAX], &[b'v'; 300]).unwrap();
    batches[3].delete(b"text").unwrap();
    batches[3].delete_range(KeyRange::new(b"k", b"l")).unwrap();
    batches[4].delete_range(KeyRange::all()).unwrap();
    batches[5].put(b"a", b"after the sweep").unwrap();
    batches
}

/// The state after each number of batches.
fn states() -> Vec<State> {
    let mut states = vec![State::new()];
    for batch in history() {
        states.push(applied(&states[states.len() - 1], batch.as_batch()));
    }
    states
}

#[test]
fn every_mode_has_everything_after_a_restart_at_any_batch() {
    for mode in MODES {
        let disk = Disk::default();
        for (batch, expected) in history().iter().zip(&states()[1..]) {
            let engine = open(&disk, mode).unwrap();
            engine.apply(batch.as_batch()).unwrap();
            assert_eq!(&state(&engine), expected);
            engine.close().unwrap();
            drop(engine);
            let again = open(&disk.killed(), mode).unwrap();
            assert_eq!(&state(&again), expected, "{mode}");
            assert_eq!(names(&disk), [DOCUMENT], "{mode}");
        }
    }
}

/// How many batches survive a power cut after each acknowledged batch; `None` where the start is refused.
fn survivors(mode: &str) -> Vec<Option<usize>> {
    let disk = Disk::default();
    let engine = open(&disk, mode).unwrap();
    let states = states();
    let survive = |batch: &BatchBuilder| {
        engine.apply(batch.as_batch()).unwrap();
        let found = state(&open(&disk.cut_to_durable(), "atomic").ok()?);
        Some(states.iter().rposition(|state| *state == found).expect("a state of the history"))
    };
    history().iter().map(survive).collect()
}

#[test]
fn atomic_loses_nothing_to_a_power_cut_and_the_other_modes_do() {
    assert_eq!(survivors("atomic"), (1..=6).map(Some).collect::<Vec<_>>());
    let nothing = states().iter().rposition(State::is_empty);
    assert_eq!(survivors("atomic-as-written"), [nothing; 6], "without a synced directory there is no name");
    assert_eq!(survivors("naive"), [nothing; 6]);
}

#[test]
fn atomic_as_written_brings_an_older_but_whole_document_back() {
    let disk = Disk::default();
    put(&open(&disk, "atomic").unwrap(), b"k", b"old").unwrap();
    let engine = open(&disk, "atomic-as-written").unwrap();
    put(&engine, b"k", b"new").unwrap();
    let found = state(&open(&disk.cut_to_durable(), "atomic-as-written").unwrap());
    assert_eq!(found[&b"k"[..]], b"old");
    assert_eq!(state(&open(&disk.killed(), "atomic-as-written").unwrap())[&b"k"[..]], b"new");
}

#[test]
fn naive_leaves_a_torn_document_behind_that_is_refused() {
    let disk = Disk::default();
    put(&open(&disk, "atomic").unwrap(), b"k", b"long enough to be cut").unwrap();
    let engine =
        open_in(Arc::new(FaultyDirectory::new(disk.root(), FaultPlan::once(Fault::ShortWrite, 1))), "naive");
    assert!(put(&engine.unwrap(), b"k", b"a value of another length, to tear the document").is_err());
    for mode in MODES {
        assert!(matches!(open(&disk.killed(), mode), Err(EngineError::Corrupt { .. })), "{mode}");
    }
}

#[test]
fn an_open_document_is_made_durable_before_open_returns() {
    let disk = Disk::default();
    put(&open(&disk, "naive").unwrap(), b"k", b"v").unwrap();
    assert_eq!(names(&disk.cut_to_durable()), [""; 0]);
    assert_eq!(state(&open(&disk, "atomic").unwrap()).len(), 1);
    assert_eq!(state(&open(&disk.cut_to_durable(), "atomic").unwrap()).len(), 1);
}

#[test]
fn a_document_whose_directory_sync_failed_is_saved_again_before_it_is_shown() {
    let disk = Disk::default();
    put(&open(&disk, "atomic").unwrap(), b"a", b"acknowledged").unwrap();
    // The sync of the directory is the last one of a put.
    let start_and_put = |disk: &Disk| put(&open(disk, "atomic").unwrap(), b"b", b"unknown");
    let counted = disk.killed();
    start_and_put(&counted).unwrap();
    disk.fail_sync(counted.syncs());
    start_and_put(&disk).unwrap_err();
    let shown = state(&open(&disk, "atomic").unwrap());
    assert!(shown.contains_key(&b"b"[..]), "the rename happened, so the document is the new one");
    assert_eq!(state(&open(&disk.cut_to_durable(), "atomic").unwrap()), shown);
}

/// Runs the history with a fault; checks what was answered, what is visible and what a restart finds.
fn run_with_fault(mode: &str, fault: Fault, at: u64) -> bool {
    let disk = Disk::default();
    let plan = FaultPlan::once(fault, at);
    let directory = Arc::new(FaultyDirectory::new(disk.root(), Arc::clone(&plan)));
    let engine = match open_in(directory, mode) {
        Ok(engine) => engine,
        Err(error) => panic!("nothing is written by a first open: {error}"),
    };
    let states = states();
    let mut last_ok = 0;
    let mut failed = false;
    for (index, batch) in history().iter().enumerate() {
        match engine.apply(batch.as_batch()) {
            Ok(()) => {
                assert!(!failed, "{mode}, {fault:?} at {at}: OK after a failure");
                last_ok = index + 1;
            }
            Err(EngineError::Full { .. }) => {
                assert!(fault == Fault::NoSpace && mode != "naive", "{mode}, {fault:?} at {at}");
                assert!(!names(&disk).contains(&"snapshot.json.tmp".to_string()), "a temporary file is left");
                assert_eq!(state(&engine), states[last_ok], "Full, and yet something changed");
                engine.apply(batch.as_batch()).expect("there is space again");
                last_ok = index + 1;
            }
            Err(error) => {
                assert!(matches!(error, EngineError::Failed { .. }), "{error}");
                failed = true;
            }
        }
        assert_eq!(
            state(&engine),
            states[last_ok],
            "{mode}, {fault:?} at {at}: reads show what was published"
        );
    }
    drop(engine);
    let outcomes = &states[last_ok..states.len().min(last_ok + 2)];
    let kill = open(&disk.killed(), mode).map(|engine| state(&engine));
    match kill {
        Ok(found) => assert!(outcomes.contains(&found), "{mode}, {fault:?} at {at}: after a kill"),
        Err(error) => assert!(mode == "naive" && matches!(error, EngineError::Corrupt { .. }), "{error}"),
    }
    if mode == "atomic" {
        let found = state(&open(&disk.cut_to_durable(), mode).unwrap());
        assert!(outcomes.contains(&found), "{fault:?} at {at}: after a power cut");
    }
    plan.reached()
}

#[test]
fn after_the_first_failed_call_no_write_is_answered_ok_and_reads_stay_right() {
    for mode in MODES {
        for fault in [Fault::Error, Fault::ShortWrite, Fault::NoSpace] {
            let mut at = 1;
            while run_with_fault(mode, fault, at) {
                at += 1;
            }
            assert!(at > 12, "{mode} makes two calls or more for each batch");
        }
    }
}

#[test]
fn a_failing_call_while_opening_fails_the_open() {
    let disk = Disk::default();
    put(&open(&disk, "atomic").unwrap(), b"k", b"v").unwrap();
    for at in 1..=2 {
        let plan = FaultPlan::once(Fault::Error, at);
        let directory = Arc::new(FaultyDirectory::new(disk.root(), plan));
        assert!(matches!(open_in(directory, "atomic"), Err(EngineError::Failed { .. })), "call {at}");
    }
}

#[test]
fn a_leftover_temporary_file_is_removed_and_never_read() {
    for mode in MODES {
        let leftover = ("snapshot.json.tmp".to_string(), Arc::new(b"half a docum".to_vec()));
        let disk = Disk::with_contents(&[leftover]);
        let engine = open(&disk, mode).unwrap();
        assert!(state(&engine).is_empty());
        assert_eq!(names(&disk), [""; 0], "{mode}");
    }
}

/// A small document with every kind of text in it, and its state.
fn small_document() -> (Vec<u8>, State) {
    let disk = Disk::default();
    let engine = open(&disk, "atomic").unwrap();
    put(&engine, b"\xff\x00", b"\x80").unwrap();
    put(&engine, b"abc", b"DEF 12").unwrap();
    put(&engine, b"\n", b"").unwrap();
    (read_document(&disk), state(&engine))
}

#[test]
fn damage_of_any_byte_is_refused() {
    let (document, _) = small_document();
    for position in 0..document.len() {
        for flip in [1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut damaged = document.clone();
            damaged[position] ^= flip;
            match open(&with_document(&damaged), "atomic") {
                Err(EngineError::Corrupt { file, position, .. }) => {
                    assert!(file == DOCUMENT && position <= document.len() as u64);
                }
                Err(error) => panic!("byte {position} xor {flip}: {error}"),
                Ok(engine) => panic!("byte {position} xor {flip} was accepted: {:?}", state(&engine)),
            }
        }
    }
}

#[test]
fn a_cut_or_longer_document_is_refused_and_not_loaded_in_part() {
    let (document, expected) = small_document();
    for len in 0..document.len() {
        let cut = open(&with_document(&document[..len]), "atomic");
        assert!(matches!(cut, Err(EngineError::Corrupt { .. })), "cut at {len}");
    }
    let longer = open(&with_document(&[&document[..], b" "].concat()), "atomic");
    assert!(matches!(longer, Err(EngineError::Corrupt { .. })));
    assert_eq!(state(&open(&with_document(&document), "atomic").unwrap()), expected);
}

#[test]
fn damage_is_reported_by_its_byte() {
    let (document, _) = small_document();
    let at = document.windows(3).position(|window| window == b"abc").unwrap();
    let mut damaged = document;
    damaged[at + 1] = 0x01;
    let opened = open(&with_document(&damaged), "atomic");
    let Err(EngineError::Corrupt { position, message, .. }) = opened else { panic!("accepted") };
    assert!(position.abs_diff(at as u64 + 1) <= 1, "byte {position} instead of {}: {message}", at + 1);
}

#[test]
fn a_document_of_format_1_stays_readable_and_is_written_the_same() {
    let golden = include_bytes!("golden/format_1.json");
    let (document, expected) = small_document();
    assert_eq!(String::from_utf8_lossy(&document), String::from_utf8_lossy(golden));
    assert_eq!(state(&open(&with_document(golden), "atomic").unwrap()), expected);
    assert_eq!(SnapshotEngine::describe().format, 1);
}

#[test]
fn the_document_is_json_as_a_whole() {
    let disk = Disk::default();
    let engine = open(&disk, "atomic").unwrap();
    for batch in history() {
        engine.apply(batch.as_batch()).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&read_document(&disk)).unwrap();
        let entries = document["entries"].as_array().unwrap();
        assert_eq!(document["count"], entries.len());
        assert_eq!(entries.len(), state(&engine).len());
    }
}

#[test]
fn the_longest_keys_and_large_values_survive() {
    let disk = Disk::default();
    let engine = open(&disk, "atomic").unwrap();
    let text = "ab\u{e9}\n".repeat(1 << 20).into_bytes();
    let binary: Vec<u8> =
        (0..(3_u32 << 20) + 1).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    put(&engine, &[0], &text).unwrap();
    put(&engine, &[0xff; KEY_BYTES_MAX], &binary).unwrap();
    put(&engine, &[b'x'; KEY_BYTES_MAX], b"").unwrap();
    let expected = state(&engine);
    assert_eq!((&expected[&[0][..]], &expected[&[0xff; KEY_BYTES_MAX][..]]), (&text, &binary));
    drop(engine);
    assert!(state(&open(&disk, "atomic").unwrap()) == expected);
}

#[test]
fn a_backup_is_durable_opens_and_needs_an_empty_directory() {
    let (disk, target) = (Disk::default(), Disk::default());
    let engine = open(&disk, "naive").unwrap();
    put(&engine, b"k", b"v").unwrap();
    engine.backup(target.root(), &Findings::default()).unwrap();
    assert_eq!(state(&open(&target.cut_to_durable(), "atomic").unwrap()), state(&engine));
    let again = engine.backup(target.root(), &Findings::default());
    assert!(matches!(again, Err(EngineError::Rejected { .. })));
}

#[test]
fn verify_finds_nothing_in_order_and_every_damage() {
    for mode in MODES {
        let disk = Disk::default();
        let engine = open(&disk, mode).unwrap();
        let findings = |engine: &SnapshotEngine| {
            let watch = Findings::default();
            engine.verify(&watch).unwrap();
            watch.take()
        };
        assert_eq!(findings(&engine), [""; 0]);
        put(&engine, b"key", b"value").unwrap();
        assert_eq!(findings(&engine), [""; 0]);
        let document = read_document(&disk);
        let overwrite = |bytes: &[u8]| {
            let file = disk.root().open_file(DOCUMENT, OpenFile::WRITE).unwrap();
            file.write_at(&[IoSlice::new(bytes)], 0, Cause::Other).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
        };
        for position in 0..document.len() {
            let mut damaged = document.clone();
            damaged[position] ^= 4;
            overwrite(&damaged);
            assert_eq!(findings(&engine).len(), 1, "{mode}: byte {position}");
        }
        let (other, _) = small_document();
        overwrite(&other);
        assert!(findings(&engine)[0].contains("not what is in memory"));
        disk.root().remove(DOCUMENT).unwrap();
        assert!(findings(&engine)[0].contains("gone"));
    }
}

#[test]
fn entries_are_ingested_durably_or_not_at_all() {
    let (disk, source) = (Disk::default(), Disk::default());
    let from = open(&source, "naive").unwrap();
    (0..50_u8).for_each(|key| put(&from, &[key, 1], b"v").unwrap());
    let view = from.read_view().unwrap();
    let engine = open(&disk, "atomic").unwrap();
    engine.ingest(&mut *view.cursor(KeyRange::all(), Direction::Forward).unwrap()).unwrap();
    assert_eq!(state(&open(&disk.cut_to_durable(), "atomic").unwrap()), state(&from));
    let again = engine.ingest(&mut *view.cursor(KeyRange::all(), Direction::Forward).unwrap());
    assert!(matches!(again, Err(EngineError::Rejected { .. })));
    put(&engine, b"still", b"writable").unwrap();
}

#[test]
fn every_mode_has_a_line_for_every_promise_and_a_reason() {
    for mode in MODES {
        let mut options = Options::new();
        options.set("mode", mode);
        for durability in
            [Durability::Always, Durability::Interval(std::time::Duration::from_millis(1)), Durability::Os]
        {
            let table = SnapshotEngine::guarantees(&options, durability);
            let promises: Vec<_> = table.lines().iter().map(|line| line.promise).collect();
            assert_eq!(promises, Promise::ALL, "{mode}");
            assert!(table.lines().iter().all(|line| line.why.len() > 10));
            assert_eq!(table.line(Promise::CrashSafety).unwrap().kept, mode == "atomic");
            assert_eq!(table.line(Promise::Atomicity).unwrap().kept, mode != "naive");
        }
    }
}
