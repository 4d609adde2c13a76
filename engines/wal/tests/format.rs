//! A log of each format, written once and kept: it opens for ever.
//!
//! `ENGINEBAY_BLESS=1 cargo test -p wal --test format` writes it anew, on a deliberate change of the format.

mod workload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::environment::{Clock, OpenFile};
use adapter_api::{Durability, EngineError, OptionKind};
use crash::environment::Disk;
use wal::{Log, LogOptions, Lsn, log_segment_option};
use workload::small;

const NAME: &str = "log-0000000000000001";

fn golden(format: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/segment_v{format}.bin"))
}

fn records() -> Vec<Vec<u8>> {
    vec![b"first".to_vec(), Vec::new(), vec![0xab; 300], b"last".to_vec()]
}

/// A clock that stands still: what is kept holds the time of its making.
struct Stopped;

impl Clock for Stopped {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }
}

/// Segments of so many bytes.
const SEGMENT_BYTES: u64 = 8 * 4096;

fn open(disk: &Disk, from: Lsn) -> Result<(Log, Vec<Vec<u8>>), EngineError> {
    let (clock, mut read): (Arc<dyn Clock>, _) = (Arc::new(Stopped), Vec::new());
    let replay = &mut |_, record: &[u8]| {
        read.push(record.to_vec());
        Ok(())
    };
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, ..small(Durability::Os) };
    let (log, _) = Log::open(&disk.root(), &clock, options, from, replay)?;
    Ok((log, read))
}

/// A log of one segment, closed in order: two groups in one block, and one in another.
fn write_log() -> Disk {
    let disk = Disk::default();
    let (log, _) = open(&disk, 1).unwrap();
    for record in records() {
        match log.append(&[&record]).unwrap() {
            2 => {}
            3 => {
                log.make_durable(3).unwrap();
                log.sync().unwrap();
            }
            lsn => log.make_durable(lsn).unwrap(),
        }
    }
    log.close().unwrap();
    disk
}

#[test]
fn a_segment_of_format_3_is_read_and_written_to_the_last_byte() {
    let written = write_log().contents();
    assert_eq!((written.len(), written[0].0.as_str()), (1, NAME));
    // The zeros at the end are left out of the file.
    let end = written[0].1.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    if std::env::var_os("ENGINEBAY_BLESS").is_some() {
        std::fs::write(golden(3), &written[0].1[..end]).unwrap();
    }
    let kept = std::fs::read(golden(3)).unwrap();
    assert!(
        kept == written[0].1[..end],
        "the format has changed: raise its number, and read the old one too"
    );
    assert_eq!(open(&kept_log(3), 1).unwrap().1, records());
}

/// The log whose only segment was kept when its format was new. Segments of older formats were shorter; their length
/// is in the header.
fn kept_log(format: u32) -> Disk {
    let mut kept = std::fs::read(golden(format)).unwrap();
    kept.resize(SEGMENT_BYTES as usize, 0);
    kept[40..48].copy_from_slice(&SEGMENT_BYTES.to_le_bytes());
    seal_header(&mut kept);
    Disk::with_contents(&[(NAME.to_string(), Arc::new(kept))])
}

fn seal_header(segment: &mut [u8]) {
    let check = crc32fast::hash(&segment[..60]);
    segment[60..64].copy_from_slice(&check.to_le_bytes());
}

#[test]
fn a_segment_of_an_older_format_is_read_and_gone_on_with_a_block_for_each_group() {
    for format in [1, 2] {
        let disk = kept_log(format);
        let (log, read) = open(&disk, 1).unwrap();
        assert_eq!(read, records());
        for record in [b"one more", b"two more"] {
            log.make_durable(log.append(&[record]).unwrap()).unwrap();
        }
        drop(log);
        let segment = &disk.contents()[0].1;
        let of_groups = |at: &usize| segment[at + 8..at + 10] == 0x4757_u16.to_le_bytes();
        let groups = (4096..segment.len()).step_by(4096).filter(of_groups).count();
        assert_eq!((u32::from(segment[8]), groups), (format, 5), "open, records, close, one more, two more");
        let read = open(&disk, 1).unwrap().1;
        assert_eq!(read, [records(), vec![b"one more".to_vec(), b"two more".to_vec()]].concat());
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let disk = write_log();
    let contents = disk.contents();
    let mut newer = contents[0].1.to_vec();
    newer[8] = 4;
    seal_header(&mut newer);
    let error = open(&Disk::with_contents(&[(NAME.to_string(), Arc::new(newer))]), 1).unwrap_err();
    assert!(matches!(error, EngineError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains(NAME) && error.to_string().contains("format 4"), "{error}");
}

#[test]
fn records_that_are_asked_for_and_not_there_are_an_error() {
    let disk = write_log();
    assert_eq!(open(&disk, 5).unwrap().1.len(), 0);
    let error = open(&disk, 7).map(drop).unwrap_err();
    assert!(error.to_string().contains("ends at record 4, those to 6 are missing"), "{error}");
    let error = open(&Disk::default(), 2).map(drop).unwrap_err();
    assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
}

#[test]
fn a_log_can_begin_at_any_record() {
    let disk = Disk::default();
    let clock: Arc<dyn Clock> = Arc::new(Stopped);
    let options = small(Durability::Always);
    let log = Log::create_at(&disk.root(), &clock, options, 100).unwrap();
    assert_eq!(log.append(&[b"hundred"]).unwrap(), 100);
    log.make_durable(100).unwrap();
    assert!(Log::create_at(&disk.root(), &clock, options, 100).is_err());
    drop(log);
    assert_eq!(open(&disk, 100).unwrap().1, [b"hundred"]);
    assert!(open(&disk, 99).is_err());
}

#[test]
fn files_of_the_engine_beside_the_log_are_left_alone() {
    let disk = Disk::default();
    for name in ["checkpoint", "log-1", "spare-", "log-00000000000000zz"] {
        disk.root().open_file(name, OpenFile::CREATE_NEW).unwrap();
    }
    let (log, _) = open(&disk, 1).unwrap();
    for _ in 0..9 {
        let lsn = log.append(&[&[1; 3000]]).unwrap();
        log.make_durable(lsn).unwrap();
        log.retire_before(lsn);
        log.prepare();
    }
    drop(log);
    assert_eq!(open(&disk, 9).unwrap().1.len(), 1);
    let names: Vec<_> = disk.contents().into_iter().map(|(name, _)| name).collect();
    assert!(
        ["checkpoint", "log-1", "spare-", "log-00000000000000zz"]
            .iter()
            .all(|it| names.iter().any(|n| n == it))
    );
}

#[test]
fn a_log_that_ended_in_order_goes_on_in_the_same_segment() {
    let disk = write_log();
    let before = disk.contents().len();
    for _ in 0..3 {
        open(&disk, 5).unwrap().0.close().unwrap();
    }
    assert_eq!(disk.contents().len(), before);
}

#[test]
fn after_the_end_and_for_records_never_appended_there_is_an_error() {
    let disk = write_log();
    let (log, _) = open(&disk, 5).unwrap();
    assert!(matches!(log.make_durable(5), Err(EngineError::Rejected { .. })));
    log.close().unwrap();
    log.close().unwrap();
    assert!(log.append(&[b"x"]).is_err() && log.make_durable(4).is_err());
}

#[test]
fn the_option_is_in_bytes_with_64_mib_by_default_and_64_kib_at_least() {
    let option = log_segment_option();
    assert_eq!((option.name.as_str(), option.default.as_str()), ("log_segment", "67108864"));
    assert!(matches!(option.kind, OptionKind::Integer { min: 65536, .. }));
    assert_eq!(option.check("1MiB").unwrap(), "1048576");
}
