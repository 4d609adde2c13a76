//! Values on disk: what is read, what is written and what is not, which files stay, what damage does, and what is
//! in memory.

mod life;

use std::sync::Arc;

use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::environment::{Cause, Directory};
use adapter_api::*;
use crash::by_hand::{NoLanes, metric, put, state};
use crash::environment::Disk;
use crash::findings::Findings;
use engine_logmap::LogmapEngine;
use life::{on_disk, request};

fn open(disk: &Disk) -> LogmapEngine {
    LogmapEngine::open(on_disk(request(disk.root(), Durability::Always, 1 << 30))).unwrap()
}

fn checkpoint(engine: &LogmapEngine) {
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
}

fn values_files(disk: &Disk) -> Vec<String> {
    let names = disk.contents().into_iter().map(|(name, _)| name);
    names.filter(|name| name.starts_with("values-")).collect()
}

fn value(number: u64) -> Vec<u8> {
    (0..1000).map(|at| (number * 7 + at * 3 + (at >> 8)) as u8).collect()
}

#[test]
fn a_checkpoint_takes_large_values_out_of_memory_and_reads_bring_them_back() {
    let disk = Disk::default();
    let engine = open(&disk);
    (0..50).for_each(|key| put(&engine, &[key], &value(key.into())).unwrap());
    put(&engine, b"small", b"value").unwrap();
    let resident = |engine: &LogmapEngine, key: &[u8]| {
        let mut found = Buffer::new();
        (engine.get_resident(key, &mut found).unwrap(), found.to_vec())
    };
    assert_eq!(resident(&engine, &[7]), (Resident::Hit, value(7)));
    let (before, estimate) = (state(&engine), engine.estimate(KeyRange::all()).unwrap());
    checkpoint(&engine);
    for engine in [engine, open(&disk.cut_to_durable())] {
        assert_eq!(resident(&engine, &[7]), (Resident::WouldBlock, Vec::new()));
        assert_eq!(resident(&engine, b"small"), (Resident::Hit, b"value".to_vec()));
        assert_eq!((state(&engine), engine.estimate(KeyRange::all()).unwrap()), (before.clone(), estimate));
        assert_eq!(metric(&engine, "map_disk_bytes") as u64, 50_000);
        put(&engine, &[7], b"in memory").unwrap();
        assert_eq!(resident(&engine, &[7]), (Resident::Hit, b"in memory".to_vec()));
    }
}

#[test]
fn values_that_lie_on_disk_are_not_written_again_with_every_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(IoCounters::default());
    let directory: Arc<dyn Directory> =
        Arc::new(RealDirectory::open(folder.path(), Arc::clone(&counters)).unwrap());
    let clock = Arc::new(RealClock::new());
    let mut request = OpenRequest::new(Environment { directory, clock, lanes: Arc::new(NoLanes) });
    let options = [("log_segment", "65536"), ("values", "disk"), ("disk_value_bytes", "100")];
    request.options = Options::complete(&LogmapEngine::describe().options, options).unwrap();
    let engine = LogmapEngine::open(request).unwrap();
    (0..200).for_each(|key| put(&engine, &[key], &value(key.into())).unwrap());
    checkpoint(&engine);
    let before = counters.counts();
    assert!(before.written_bytes[Cause::Blob as usize] >= 200_000);
    put(&engine, &[3], &value(9)).unwrap();
    checkpoint(&engine);
    let after = counters.counts();
    assert!(after.written_bytes[Cause::Blob as usize] - before.written_bytes[Cause::Blob as usize] <= 8192);
    assert_eq!(after.read_bytes, before.read_bytes, "nothing is read back");
}

#[test]
fn files_of_which_little_is_live_go_and_small_ones_become_one() {
    let disk = Disk::default();
    let engine = open(&disk);
    for round in 0..100_u64 {
        (0..10_u8).for_each(|key| put(&engine, &[key], &value(round + u64::from(key))).unwrap());
        put(&engine, &[b'k', round as u8], &value(round)).unwrap();
        checkpoint(&engine);
        let (files, live) =
            (metric(&engine, "values_files") as u64, metric(&engine, "values_live_bytes") as u64);
        let on_disk: usize = disk
            .contents()
            .iter()
            .filter(|(name, _)| name.starts_with("values-"))
            .map(|(_, bytes)| bytes.len() - 4096)
            .sum();
        assert_eq!((live, values_files(&disk).len() as u64), (11_000 + round * 1000, files));
        assert!(files <= 9, "{files} files in round {round}");
        // What died since the last checkpoint is seen by this one, and goes with the next.
        assert!(on_disk as u64 <= 2 * live + 11_000, "round {round}: {on_disk} bytes, {live} are live");
    }
    assert!(state(&open(&disk.cut_to_durable())) == state(&engine));
    let mut batch = BatchBuilder::new();
    batch.delete_range(KeyRange::all()).unwrap();
    engine.apply(batch.as_batch()).unwrap();
    checkpoint(&engine);
    assert_eq!(values_files(&disk), [""; 0]);
}

#[test]
fn a_view_reads_values_whose_file_has_lost_its_name() {
    let disk = Disk::default();
    let engine = open(&disk);
    (0..9_u8).for_each(|key| put(&engine, &[key], &value(key.into())).unwrap());
    checkpoint(&engine);
    let file = values_files(&disk);
    let view = engine.read_view().unwrap();
    let mut cursor = view.cursor(KeyRange::all(), Direction::Reverse).unwrap();
    assert_eq!(cursor.next().unwrap().unwrap().value, value(8));
    (0..9_u8).for_each(|key| put(&engine, &[key], &value(100)).unwrap());
    checkpoint(&engine);
    assert!(values_files(&disk).iter().all(|name| !file.contains(name)), "the file is gone");
    let mut found = Buffer::new();
    assert!(view.get(&[5], &mut found).unwrap());
    assert_eq!(found[..], value(5));
    assert_eq!(cursor.next().unwrap().unwrap().value, value(7));
    let mut found = Buffer::new();
    assert!(engine.get(&[5], &mut found).unwrap());
    assert_eq!(found[..], value(100));
}

/// A store with two values on disk in two files, and more in memory and in the log.
fn small_store() -> (Disk, LogmapEngine) {
    let disk = Disk::default();
    let engine = open(&disk);
    put(&engine, b"a", b"small").unwrap();
    put(&engine, b"b", &value(1)[..200]).unwrap();
    checkpoint(&engine);
    put(&engine, b"c", &value(2)[..150]).unwrap();
    checkpoint(&engine);
    put(&engine, b"d", &value(3)[..120]).unwrap();
    (disk, engine)
}

fn flipped(disk: &Disk, file: usize, at: usize) -> Disk {
    let mut contents = disk.contents();
    Arc::make_mut(&mut contents[file].1)[at] ^= 1 << (at % 8);
    Disk::with_contents(&contents)
}

/// Every flip in a file of values or a checkpoint: answers how many were detected.
fn flip_every_byte(disk: &Disk, check: impl Fn(&Disk, &str, usize) -> bool) -> usize {
    let mut detected = 0;
    for (file, (name, bytes)) in disk.contents().iter().enumerate() {
        for at in (0..bytes.len()).filter(|_| !name.starts_with("log-")) {
            detected += usize::from(check(&flipped(disk, file, at), name, at));
        }
    }
    detected
}

#[test]
fn every_flipped_byte_of_a_file_of_values_is_harmless_or_named_by_the_read_or_the_open() {
    let (disk, engine) = small_store();
    let expected = state(&engine);
    engine.close().unwrap();
    assert_eq!(values_files(&disk).len(), 2);
    let detected = flip_every_byte(&disk, |damaged, name, at| {
        let is_named = |error: EngineError| match error {
            EngineError::Corrupt { file, position, .. } => {
                assert!(file == name && position as usize <= at, "{name}: flipped {at}, {file} {position}");
                true
            }
            error => panic!("{name} at {at}: {error}"),
        };
        let request = on_disk(request(damaged.root(), Durability::Always, 1 << 30));
        let engine = match LogmapEngine::open(request) {
            Ok(engine) => engine,
            Err(error) => return is_named(error),
        };
        let mut is_detected = false;
        for (key, value) in &expected {
            let mut found = Buffer::new();
            match engine.get(key, &mut found) {
                Ok(is_there) => assert!(is_there && found[..] == value[..], "{name} at {at}"),
                Err(error) => is_detected = is_named(error),
            }
        }
        let watch = Findings::default();
        engine.verify(&watch).unwrap();
        assert_eq!(!watch.take().is_empty(), is_detected, "{name} at {at}: verify");
        is_detected
    });
    // The checkpoint as a whole, the heads, and the values.
    assert_eq!(detected, 3 * 4096 + 2 * 4096 + 350);
}

#[test]
fn salvage_takes_out_everything_but_the_damaged_value() {
    let (disk, engine) = small_store();
    let expected = state(&engine);
    engine.close().unwrap();
    for (file, (name, bytes)) in disk.contents().iter().enumerate() {
        for at in [0, 4096, bytes.len() - 1].into_iter().filter(|_| !name.starts_with("log-")) {
            let damaged = flipped(&disk, file, at);
            let findings = Arc::new(Findings::default());
            let mut request = on_disk(request(damaged.root(), Durability::Always, 0));
            request.salvage = Some(Arc::clone(&findings) as Arc<dyn Watch>);
            let engine = LogmapEngine::open(request).unwrap();
            let found = state(&engine);
            assert_eq!(damaged.changes(), 0, "{name} at {at}");
            assert!(found.iter().all(|(key, value)| expected.get(key) == Some(value)));
            assert!(found.contains_key(&b"d"[..]), "the log is whole");
            assert_eq!(found != expected, name.starts_with("values-") || at == 4096, "{name} at {at}");
            assert!(!findings.take().is_empty());
            assert!(!name.starts_with("values-") || found.len() == 3, "{name} at {at}: {}", found.len());
        }
    }
}

#[test]
fn a_backup_has_values_of_its_own() {
    let (disk, engine) = small_store();
    let target = Disk::default();
    engine.backup(target.root(), &Findings::default()).unwrap();
    assert_eq!(values_files(&target).len(), 1);
    let copy = open(&target.cut_to_durable());
    assert_eq!(state(&copy), state(&engine));
    assert_eq!(metric(&copy, "map_disk_bytes") as u64, 470);
    drop((disk, engine));
    checkpoint(&copy);
    assert_eq!(state(&copy).len(), 4);
}

#[test]
fn files_left_behind_by_a_checkpoint_that_was_not_finished_go_at_open() {
    let (disk, engine) = small_store();
    drop(engine);
    let mut contents = disk.contents();
    let bytes = Arc::new(vec![1; 5000]);
    contents
        .extend(["values.tmp", "values-0000000000000077"].map(|name| (name.to_string(), Arc::clone(&bytes))));
    let disk = Disk::with_contents(&contents);
    let engine = open(&disk);
    assert_eq!((state(&engine).len(), values_files(&disk).len()), (4, 2));
}
