//! Hunts for what gets lost, leaks or unwinds at the border. The engine is linked into this program and
//! called through the very tables and proxies that a loaded one is called through.

mod probe;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_api::environment::real::{IoCounters, RealDirectory, read_whole};
use adapter_api::host::{LoadedPlugin, StorageAdapter};
use adapter_api::*;
use probe::{Asked, FAILS, FULL, PANICS, Probe, REJECTED, Standing};

struct Bench {
    folder: tempfile::TempDir,
    lanes: Arc<Asked>,
    request: OpenRequest,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lanes = Arc::new(Asked::default());
        let environment = Environment {
            directory: Arc::new(RealDirectory::open(folder.path(), Arc::new(IoCounters::default())).unwrap()),
            clock: Arc::new(Standing),
            lanes: lanes.clone(),
        };
        Self { folder, lanes, request: OpenRequest::new(environment) }
    }

    fn open(&self) -> StorageAdapter {
        LoadedPlugin::in_process::<Probe>().open(self.request.clone()).unwrap()
    }
}

fn open() -> StorageAdapter {
    Bench::new().open()
}

fn put(engine: &StorageAdapter, entries: &[(&[u8], &[u8])]) -> Result<()> {
    let mut batch = BatchBuilder::new();
    for (key, value) in entries {
        batch.put(key, value)?;
    }
    engine.apply(batch.as_batch())
}

fn get(engine: &StorageAdapter, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut value = Buffer::new();
    Ok(engine.get(key, &mut value)?.then(|| value.to_vec()))
}

/// A hundred entries `key000` … `key099`.
fn hundred(engine: &StorageAdapter) {
    let entries: Vec<_> = (0..100).map(|n| (format!("key{n:03}"), format!("{n}"))).collect();
    let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
    put(engine, &entries).unwrap();
}

/// Entries in order, as a cursor.
struct Sorted(std::vec::IntoIter<(Vec<u8>, Vec<u8>)>, Option<(Vec<u8>, Vec<u8>)>);

impl Cursor for Sorted {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.1 = self.0.next();
        Ok(self.1.as_ref().map(|(key, value)| Entry { key, value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Err(EngineError::unsupported("seek"))
    }
}

#[derive(Default)]
struct Notes {
    findings: Mutex<Vec<String>>,
    cancel: bool,
}

impl Watch for Notes {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        assert_eq!((done, total), (1, 2));
        if self.cancel { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn finding(&self, finding: EngineError) {
        self.findings.lock().unwrap().push(finding.to_string());
    }
}

#[test]
fn what_an_engine_says_of_itself_crosses_whole() {
    let plugin = LoadedPlugin::in_process::<Probe>();
    assert_eq!(plugin.description(), &Probe::describe());
    assert_eq!(open().description(), &Probe::describe());
    let mut options = Options::new();
    options.set("mode", "b");
    let durability = Durability::Interval(Duration::from_millis(1500));
    assert_eq!(plugin.guarantees(&options, durability).unwrap(), Probe::guarantees(&options, durability));
}

#[test]
fn numbers_cross_whole() {
    let engine = open();
    hundred(&engine);
    assert_eq!(engine.metrics(), [Metric::counter("entries", 100.0).label("kind", "probe")]);
    assert_eq!(engine.pressure(), Pressure { level: 9, reason: "because".into() });
    let range = KeyRange::new(b"key010", b"key020");
    assert_eq!(engine.estimate(range).unwrap(), Estimate { entries: 10, bytes: 0, exact: true });
}

#[test]
fn get_appends_what_was_put_and_nothing_else() {
    let engine = open();
    put(&engine, &[(b"a", b"1"), (b"b", b"")]).unwrap();
    let mut value = Buffer::from(&b"before "[..]);
    assert!(engine.get(b"a", &mut value).unwrap());
    assert_eq!(&value[..], b"before 1");
    assert!(engine.get(b"b", &mut value).unwrap());
    assert!(!engine.get(b"absent", &mut value).unwrap());
    assert!(engine.get(FAILS, &mut value).is_err());
    assert!(engine.get(PANICS, &mut value).is_err());
    assert_eq!(&value[..], b"before 1", "what failed reads appended was taken back");
}

#[test]
fn get_resident_keeps_its_three_answers_apart() {
    let engine = open();
    put(&engine, &[(b"a", b"1")]).unwrap();
    let mut value = Buffer::new();
    assert_eq!(engine.get_resident(b"absent", &mut value).unwrap(), Resident::Absent);
    assert_eq!(engine.get_resident(b"cold", &mut value).unwrap(), Resident::WouldBlock);
    assert!(value.is_empty());
    assert_eq!(engine.get_resident(b"a", &mut value).unwrap(), Resident::Hit);
    assert_eq!(&value[..], b"1");
}

#[test]
fn multi_get_answers_few_keys_and_many() {
    let engine = open();
    hundred(&engine);
    for count in [0, 1, 32, 33, 100] {
        let keys: Vec<_> = (0..count).map(|n| format!("key{:03}", n * 2)).collect();
        let keys: Vec<_> = keys.iter().map(|key| key.as_bytes()).collect();
        let mut values = Values::new();
        engine.multi_get(&keys, &mut values).unwrap();
        let expected: Vec<_> =
            (0..count).map(|n| (n * 2 < 100).then(|| format!("{}", n * 2).into_bytes())).collect();
        assert_eq!(values.iter().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn multi_get_resident_answers_up_to_the_first_value_that_it_lacks_or_that_does_not_fit() {
    let engine = open();
    put(&engine, &[(b"a", b"1"), (b"b", b"22"), (b"c", b"333")]).unwrap();
    let answers = |keys: &[&[u8]], bytes_max| {
        let mut values = Values::new();
        values.push(b"before");
        engine.multi_get_resident(keys, bytes_max, &mut values).map(|()| values.len() - 1)
    };
    assert_eq!(answers(&[b"a", b"none", b"c"], 9).unwrap(), 3);
    assert_eq!(answers(&[b"a", b"cold", b"c"], 9).unwrap(), 1);
    assert_eq!(answers(&[b"a", b"b", b"c"], 5).unwrap(), 2);
    assert_eq!(answers(&[b"a"], 0).unwrap(), 0);
    assert!(answers(&[b"a", FAILS], 9).is_err());
}

#[test]
fn a_multi_get_that_fails_leaves_the_values_as_they_were() {
    let engine = open();
    put(&engine, &[(b"a", b"1")]).unwrap();
    let mut values = Values::new();
    values.push(b"before");
    assert!(engine.multi_get(&[b"a", FAILS], &mut values).is_err());
    assert_eq!((values.len(), values.bytes()), (1, 6));
}

#[test]
fn a_scan_of_many_chunks_sees_every_entry_once_in_either_direction() {
    let engine = open();
    let value = [7; 3000];
    let keys: Vec<_> = (0..100).map(|n| format!("{n:03}").into_bytes()).collect();
    put(&engine, &keys.iter().map(|key| (&key[..], &value[..])).collect::<Vec<_>>()).unwrap();
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut seen = Vec::new();
        let mut visit = |entry: Entry<'_>| {
            assert_eq!(entry.value, value);
            seen.push(entry.key.to_vec());
            ControlFlow::Continue(())
        };
        engine.scan(KeyRange::new(b"010", b"090"), direction, &mut visit).unwrap();
        if direction == Direction::Reverse {
            seen.reverse();
        }
        assert_eq!(seen, keys[10..90]);
    }
}

#[test]
fn a_scan_stops_where_the_visitor_says() {
    let engine = open();
    hundred(&engine);
    let mut seen = 0;
    let mut visit = |_: Entry<'_>| {
        seen += 1;
        if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut visit).unwrap();
    assert_eq!(seen, 5);
}

#[test]
fn a_cursor_outlives_the_handles_of_its_view_and_engine_on_another_thread() {
    let engine = open();
    hundred(&engine);
    let view = engine.view().unwrap();
    let mut cursor = view.owned_cursor(KeyRange::from_start(b"key050"), Direction::Reverse).unwrap();
    engine.apply(Batch::parse(&[]).unwrap()).unwrap();
    drop(view);
    drop(engine);
    let walk = move || {
        assert_eq!(cursor.next().unwrap().unwrap().key, b"key099");
        cursor.seek(b"key0605").unwrap();
        assert_eq!(cursor.next().unwrap(), Some(Entry { key: b"key060", value: b"60" }));
        let mut rest = 0;
        while cursor.next().unwrap().is_some() {
            rest += 1;
        }
        assert_eq!(rest, 10);
    };
    std::thread::spawn(walk).join().unwrap();
}

#[test]
fn a_view_does_not_see_later_writes() {
    let engine = open();
    put(&engine, &[(b"a", b"old")]).unwrap();
    let view = engine.view().unwrap();
    put(&engine, &[(b"a", b"new")]).unwrap();
    let mut value = Buffer::new();
    assert!(view.get(b"a", &mut value).unwrap());
    assert_eq!(&value[..], b"old");
    assert_eq!(get(&engine, b"a").unwrap().unwrap(), b"new");
}

#[test]
fn rejected_and_full_change_nothing_and_stop_nothing() {
    let engine = open();
    assert!(matches!(put(&engine, &[(b"a", b"1"), (REJECTED, b"")]), Err(EngineError::Rejected { .. })));
    assert!(matches!(put(&engine, &[(b"a", b"1"), (FULL, b"")]), Err(EngineError::Full { .. })));
    assert_eq!(get(&engine, b"a").unwrap(), None);
    put(&engine, &[(b"a", b"2")]).unwrap();
    assert_eq!(engine.write_refusal(), None);
}

#[test]
fn after_failed_no_write_is_admitted_and_reads_go_on() {
    let engine = open();
    put(&engine, &[(b"a", b"1")]).unwrap();
    assert!(matches!(put(&engine, &[(FAILS, b"")]), Err(EngineError::Failed { .. })));
    let later = put(&engine, &[(b"b", b"1")]);
    assert!(matches!(later, Err(EngineError::Rejected { .. })), "it was not admitted, so nothing changed");
    let mut one = Sorted(vec![(b"b".to_vec(), b"1".to_vec())].into_iter(), None);
    assert!(engine.ingest(&mut one).is_err());
    assert_eq!(get(&engine, b"b").unwrap(), None);
    assert_eq!(get(&engine, b"a").unwrap().unwrap(), b"1");
    assert!(engine.write_refusal().unwrap().contains("asked to fail"));
}

#[test]
fn a_panic_in_any_call_becomes_failed_and_stops_writes() {
    type Call = fn(&StorageAdapter) -> Result<()>;
    let calls: [(&str, Call); 8] = [
        ("apply", |engine| put(engine, &[(PANICS, b"")])),
        ("get", |engine| get(engine, PANICS).map(drop)),
        ("get_resident", |engine| engine.get_resident(PANICS, &mut Buffer::new()).map(drop)),
        ("multi_get", |engine| engine.multi_get(&[PANICS], &mut Values::new())),
        ("multi_get_resident", |engine| engine.multi_get_resident(&[PANICS], 9, &mut Values::new())),
        ("compact", |engine| engine.compact(KeyRange::from_start(PANICS), &Notes::default())),
        ("get of a view", |engine| engine.view()?.get(PANICS, &mut Buffer::new()).map(drop)),
        ("next of a cursor", |engine| {
            put(engine, &[(b"k", PANICS)])?;
            engine.view()?.owned_cursor(KeyRange::all(), Direction::Forward)?.next().map(drop)
        }),
    ];
    for (name, call) in calls {
        let engine = open();
        let error = call(&engine).unwrap_err();
        assert_eq!(error.to_string(), format!("failed: panic in {name}: asked to panic"));
        assert!(put(&engine, &[(b"b", b"1")]).is_err(), "a write passed after a panic in {name}");
        assert_eq!(get(&engine, b"b").unwrap(), None);
    }
}

#[test]
fn a_panic_in_open_becomes_failed() {
    let mut bench = Bench::new();
    bench.request.options.set("open_panics", "true");
    let error = LoadedPlugin::in_process::<Probe>().open(bench.request).unwrap_err();
    assert_eq!(error.to_string(), "failed: panic in open: open was asked to panic");
}

#[test]
fn a_panic_in_a_drop_unwinds_nobody_and_stops_writes() {
    let engine = open();
    put(&engine, &[(b"drop panics", b"")]).unwrap();
    drop(engine.view().unwrap());
    let mut one = Sorted(vec![(b"a".to_vec(), b"1".to_vec())].into_iter(), None);
    assert!(engine.ingest(&mut one).is_err());
    assert!(put(&engine, &[(b"b", b"1")]).is_err());
    assert!(get(&engine, b"drop panics").unwrap().is_some());
}

#[test]
fn a_cursor_to_ingest_lends_its_entries_across() {
    let engine = open();
    let entries: Vec<_> = (0..1000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; 50])).collect();
    engine.ingest(&mut Sorted(entries.clone().into_iter(), None)).unwrap();
    for (key, value) in entries {
        assert_eq!(get(&engine, &key).unwrap(), Some(value));
    }
}

#[test]
fn files_clock_and_lanes_of_the_host_serve_the_engine() {
    let bench = Bench::new();
    let engine = bench.open();
    assert_eq!(engine.background(Lane(0)).unwrap(), Step::IdleFor(Duration::new(3, 5)));
    assert_eq!(*bench.lanes.0.lock().unwrap(), [Lane(0)]);
    let directory = RealDirectory::open(bench.folder.path(), Arc::new(IoCounters::default())).unwrap();
    assert_eq!(read_whole(&directory, "lane", 100).unwrap(), b"lane");
    let again = engine.background(Lane(0)).unwrap_err();
    assert!(again.to_string().contains("exists"), "the second file of that name: {again}");
}

#[test]
fn long_work_reports_and_can_be_cancelled() {
    let bench = Bench::new();
    let engine = bench.open();
    let target = tempfile::tempdir().unwrap();
    let open = || Arc::new(RealDirectory::open(target.path(), Arc::new(IoCounters::default())).unwrap());
    engine.backup(open(), &Notes::default()).unwrap();
    assert_eq!(read_whole(&*open(), "copy", 100).unwrap(), b"copied");
    std::fs::remove_file(target.path().join("copy")).unwrap();
    let cancelled = engine.backup(open(), &Notes { cancel: true, ..Notes::default() });
    assert!(matches!(cancelled, Err(EngineError::Rejected { .. })));
    let notes = Notes::default();
    engine.verify(&notes).unwrap();
    assert_eq!(*notes.findings.lock().unwrap(), ["damaged: file file at byte 3: found"]);
}

#[test]
fn salvage_reports_what_open_skipped() {
    let mut bench = Bench::new();
    let notes = Arc::new(Notes::default());
    bench.request.salvage = Some(notes.clone());
    bench.open();
    assert_eq!(*notes.findings.lock().unwrap(), ["damaged: file file at byte 3: salvaged"]);
}

#[test]
fn after_close_no_write_is_admitted() {
    let engine = open();
    engine.close().unwrap();
    assert!(put(&engine, &[(b"a", b"1")]).is_err());
}

#[test]
fn one_writer_at_a_time_enters_the_engine() {
    // The probe reads, copies and replaces its map: two writers at once would lose entries.
    let engine = open();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let engine = &engine;
            scope.spawn(move || (0..200).for_each(|n| put(engine, &[(&[thread, n], b"")]).unwrap()));
        }
    });
    assert_eq!(engine.estimate(KeyRange::all()).unwrap().entries, 800);
}
