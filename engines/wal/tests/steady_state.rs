//! What the log asks of the real file system, counted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::environment::{Cause, Clock, Directory};
use adapter_api::{Durability, Step};
use wal::{Log, LogOptions};

struct Place {
    counters: Arc<IoCounters>,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
}

fn place(path: &Path) -> Place {
    let counters = Arc::new(IoCounters::default());
    let directory = Arc::new(RealDirectory::open(path, Arc::clone(&counters)).unwrap());
    Place { counters, directory, clock: Arc::new(RealClock::new()) }
}

impl Place {
    fn open(&self, options: LogOptions) -> Log {
        Log::open(&self.directory, &self.clock, options, 1, &mut |_, _| Ok(())).unwrap().0
    }
}

fn run_lane(log: &Log) {
    while log.prepare() == Step::More {}
}

#[test]
fn a_thousand_lone_appends_cost_a_thousand_syncs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    // Small segments, so that the log goes on in another one four times.
    let log = place.open(LogOptions { segment_bytes: 1 << 20, ready_segments: 5, ..LogOptions::default() });
    run_lane(&log);
    let before = place.counters.counts();
    for _ in 0..1000 {
        let lsn = log.append(&[b"key", b"value"]).unwrap();
        log.make_durable(lsn).unwrap();
    }
    let after = place.counters.counts();
    let syncs =
        |it: &adapter_api::environment::real::IoCounts| it.data_syncs + it.durable_writes + it.full_syncs;
    assert_eq!(syncs(&after) - syncs(&before), 1000);
    assert_eq!(after.writes[Cause::Log as usize] - before.writes[Cause::Log as usize], 1000);
    assert_eq!(after.directory_syncs, before.directory_syncs);
    assert_eq!(after.files_created, before.files_created);
    assert_eq!(after.files_grown, before.files_grown);
    assert_eq!(after.names_changed, before.names_changed);
    let metrics = log.metrics();
    assert_eq!((metrics.groups, metrics.syncs, metrics.prepared_in_line), (1000, 1000, 0));
    assert_eq!((metrics.segments_live, metrics.segments_ready), (4, 2));
    assert_eq!((metrics.bytes_appended, metrics.bytes_written), (8000, 1000 * 4096));
    assert!(metrics.last_durable.is_some());
    assert!(metrics.report().iter().any(|it| it.name == "log_syncs" && it.value == 1000.0));
}

#[test]
fn a_group_of_many_records_is_one_write_and_one_sync_whatever_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let log = place.open(LogOptions { segment_bytes: 8 << 20, ..LogOptions::default() });
    run_lane(&log);
    for record_bytes in [10, 1000, 30_000] {
        let before = place.counters.counts();
        for _ in 0..100 {
            log.append(&[&vec![1; record_bytes]]).unwrap();
        }
        log.make_durable(log.last()).unwrap();
        let after = place.counters.counts();
        assert_eq!(after.writes[Cause::Log as usize] - before.writes[Cause::Log as usize], 1);
        let syncs = after.data_syncs + after.durable_writes - before.data_syncs - before.durable_writes;
        assert_eq!(syncs, 1, "{record_bytes}");
    }
}

#[test]
fn retired_segments_are_used_again_instead_of_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let log = place.open(LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() });
    let round = || {
        for _ in 0..20 {
            let lsn = log.append(&[&[7; 3000]]).unwrap();
            log.make_durable(lsn).unwrap();
            if log.needs_preparation() {
                run_lane(&log);
            }
        }
        log.retire_before(log.last());
    };
    for _ in 0..4 {
        round();
    }
    let created = place.counters.counts().files_created;
    for _ in 0..20 {
        round();
    }
    assert_eq!(place.counters.counts().files_created, created);
    assert!(log.metrics().segments_recycled >= 20);
    assert_eq!(log.metrics().prepared_in_line, 0);
    assert!(folder.path().read_dir().unwrap().count() <= 12);
}

#[test]
fn the_classes_sync_when_they_say() {
    let syncs = |durability: Durability, lane: bool| {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let log = place.open(LogOptions { segment_bytes: 1 << 20, durability, ..LogOptions::default() });
        let before = place.counters.counts();
        for _ in 0..10 {
            let lsn = log.append(&[b"record"]).unwrap();
            log.make_durable(lsn).unwrap();
        }
        let step = if lane { log.sync_due().unwrap() } else { Step::Idle };
        let after = place.counters.counts();
        (
            after.data_syncs + after.durable_writes - before.data_syncs - before.durable_writes,
            log.durable(),
            step,
        )
    };
    assert_eq!(syncs(Durability::Always, true), (10, 10, Step::Idle));
    assert_eq!(syncs(Durability::Os, true), (0, 0, Step::Idle));
    let hour = Duration::from_secs(3600);
    assert_eq!(syncs(Durability::Interval(hour), false), (0, 0, Step::Idle));
    assert!(matches!(syncs(Durability::Interval(hour), true), (0, 0, Step::IdleFor(_))));
    assert!(matches!(syncs(Durability::Interval(Duration::ZERO), true), (1, 10, Step::IdleFor(_))));
}

#[test]
fn in_the_class_os_a_quarter_of_a_segment_is_synced_by_the_lane_and_no_zeros_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let options = LogOptions { segment_bytes: 1 << 20, durability: Durability::Os, ..LogOptions::default() };
    let log = place.open(options);
    run_lane(&log);
    let written = place.counters.counts().written_bytes[Cause::Log as usize];
    assert!(written < options.segment_bytes / 4, "{written} bytes before the first record");
    for lsn in 1..=80 {
        assert_eq!(log.append(&[&[7; 4036]]).unwrap(), lsn);
        log.make_durable(lsn).unwrap();
        let (asks, durable) = (log.needs_preparation(), log.durable());
        assert_eq!(log.sync_due().unwrap() == Step::More, asks, "record {lsn}");
        assert_eq!(log.durable(), if asks { lsn } else { durable }, "record {lsn}");
    }
    assert_eq!(log.durable(), 64);
}

#[test]
fn numbers_are_read_while_another_thread_writes() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let log = place.open(LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() });
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..200 {
                let lsn = log.append(&[&[1; 2000]]).unwrap();
                log.make_durable(lsn).unwrap();
                log.retire_before(lsn.saturating_sub(20));
            }
        });
        let lane = scope.spawn(|| {
            while log.durable() < 200 {
                log.prepare();
                assert!(log.metrics().syncs <= 200 && log.durable() <= log.last());
            }
        });
        writer.join().unwrap();
        lane.join().unwrap();
    });
    log.close().unwrap();
    drop(log);
    assert_eq!(place.open_from(181), (200, 20));
}

#[test]
fn whoever_wants_the_room_gets_what_would_be_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let log = place.open(LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() });
    for _ in 0..200 {
        let lsn = log.append(&[&[1; 2000]]).unwrap();
        log.make_durable(lsn).unwrap();
    }
    log.retire_before(log.last());
    while log.prepare() == Step::More {}
    assert!(log.metrics().segments_retired > 0);
    log.remove_retired().unwrap();
    assert_eq!(log.metrics().segments_retired, 0);
    let files = std::fs::read_dir(folder.path()).unwrap().count() as u64;
    assert!(files <= log.metrics().segments_live + log.metrics().segments_ready, "{files} files");
    drop(log);
    assert_eq!(place.open_from(200), (200, 1));
}

impl Place {
    fn open_from(&self, from: u64) -> (u64, u64) {
        let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() };
        let (_, recovery) =
            Log::open(&self.directory, &self.clock, options, from, &mut |_, _| Ok(())).unwrap();
        (recovery.last, recovery.replayed)
    }
}
