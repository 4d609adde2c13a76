//! Values in blob files, on the simulated disk.

use adapter_api::environment::Cause;
use crash::environment::Disk;
use crash::image::mix;

use super::*;

/// Values of many lengths; the last is longer than what is read and gathered at once.
fn values() -> Vec<(Vec<u8>, Vec<u8>)> {
    let lengths = [0, 1, 4096, 100, READ_BYTES - 20, READ_BYTES, 3 * READ_BYTES + 7];
    let value = |length: usize, seed: u64| (0..length as u64).map(|at| mix(seed << 32 | at) as u8).collect();
    (1..).zip(lengths).map(|(n, length)| (vec![b'k'; n as usize * 7], value(length, n))).collect()
}

fn written(disk: &Disk, number: u64) -> Vec<(Vec<u8>, Vec<u8>, BlobRef)> {
    let mut writer = BlobWriter::create(&*disk.root(), number, Cause::Blob).unwrap();
    let mut added = Vec::new();
    for (key, value) in values() {
        let at = writer.add(&key, &value).unwrap();
        added.push((key, value, at));
    }
    let bytes = writer.bytes();
    assert_eq!(writer.finish().unwrap(), bytes);
    added
}

fn open(disk: &Disk, number: u64) -> Result<Arc<BlobFile>> {
    BlobFile::open(&*disk.root(), number, &Arc::default())
}

fn read(file: &BlobFile, at: BlobRef, key: &[u8]) -> Result<Vec<u8>> {
    let mut value = Buffer::new();
    file.read(at, key, &mut value).map(|()| value.to_vec())
}

/// What verify finds if these are live.
fn verified(file: &BlobFile, live: &[BlobRef]) -> Vec<EngineError> {
    let key_bytes =
        |at: &BlobRef| values().iter().find(|(_, value)| value.len() == at.bytes as usize).unwrap().0.len();
    let record = |at: &BlobRef| (HEADER_BYTES + key_bytes(at)) as u64 + u64::from(at.bytes);
    let (mut findings, bytes) = (Vec::new(), live.iter().map(record).sum());
    file.verify(bytes, &mut |_, at| Ok(live.contains(&at)), &mut |finding| findings.push(finding)).unwrap();
    findings
}

#[test]
fn a_value_that_was_added_is_read_whatever_its_length() {
    let disk = Disk::default();
    let added = written(&disk, 5);
    let file = open(&disk, 5).unwrap();
    for (key, value, at) in &added {
        assert!(read(&file, *at, key).unwrap() == *value, "{} bytes", value.len());
    }
    let live: Vec<_> = added.iter().map(|added| added.2).collect();
    assert!(verified(&file, &live).is_empty());
}

#[test]
fn the_bytes_are_those_of_format_1() {
    // A store that was written today must be read by what comes later.
    let disk = Disk::default();
    written(&disk, 5);
    assert_eq!(format!("{:08x}", crc32fast::hash(&disk.contents()[0].1)), "75476c3e");
}

#[test]
fn a_value_is_read_for_its_own_key_and_from_its_own_place_alone() {
    let disk = Disk::default();
    let added = written(&disk, 5);
    written(&disk, 6);
    let (file, other) = (open(&disk, 5).unwrap(), open(&disk, 6).unwrap());
    let (key, _, at) = &added[3];
    let elsewhere = BlobRef { file: 6, ..*at };
    assert!(read(&other, elsewhere, key).is_ok() && read(&other, *at, key).is_err());
    for wrong in [
        BlobRef { offset: at.offset + 1, ..*at },
        BlobRef { offset: u64::MAX, ..*at },
        BlobRef { offset: 0, ..*at },
        BlobRef { bytes: at.bytes + 1, ..*at },
        BlobRef { bytes: u32::MAX, ..*at },
        BlobRef { checksum: at.checksum + 1, ..*at },
    ] {
        assert!(matches!(read(&file, wrong, key), Err(EngineError::Corrupt { .. })), "{wrong:?}");
    }
    assert!(read(&file, *at, b"another").is_err());
    // What was written to the place of another file is noticed, though it lies at the same offset.
    let bytes = disk.contents()[0].1.to_vec();
    let mut mixed = file_header(6).to_vec();
    mixed.extend_from_slice(&bytes[FILE_HEADER_BYTES..]);
    let disk = Disk::with_contents(&[(blob_name(6), Arc::new(mixed))]);
    assert!(read(&open(&disk, 6).unwrap(), elsewhere, key).is_err());
}

#[test]
fn every_flipped_byte_is_found_by_whoever_reads_the_value_and_by_verify() {
    let disk = Disk::default();
    let added: Vec<_> = written(&disk, 5).into_iter().take(4).collect();
    let live: Vec<_> = added.iter().map(|added| added.2).collect();
    let bytes = disk.contents()[0].1.to_vec();
    let end = live[3].offset + record_bytes(&added[3].0, live[3].bytes);
    for flipped in 0..end as usize {
        let mut damaged = bytes.clone();
        damaged[flipped] ^= 1 << (flipped % 8);
        let disk = Disk::with_contents(&[(blob_name(5), Arc::new(damaged))]);
        let Ok(file) = open(&disk, 5) else {
            assert!(flipped < FILE_HEADER_BYTES);
            continue;
        };
        let is_damaged = |added: &&(Vec<u8>, Vec<u8>, BlobRef)| read(&file, added.2, &added.0).is_err();
        let of: Vec<_> = added.iter().filter(is_damaged).map(|added| added.2).collect();
        assert_eq!(of, [*live.iter().rfind(|at| at.offset <= flipped as u64).unwrap()], "byte {flipped}");
        // Without what is dead: the damaged value is dead, and all before it and behind it are found if it can be passed.
        if flipped % 7 == 0 {
            assert!(!verified(&file, &live).is_empty(), "byte {flipped}");
        }
    }
}

#[test]
fn damage_to_what_is_dead_and_bytes_behind_the_last_record_are_no_findings() {
    let disk = Disk::default();
    let added = written(&disk, 5);
    let live: Vec<_> = added.iter().map(|added| added.2).collect();
    let mut bytes = disk.contents()[0].1.to_vec();
    let dead = live[2];
    bytes[dead.offset as usize + HEADER_BYTES + added[2].0.len()] ^= 1;
    bytes.extend_from_slice(b"what was written and not synced");
    let disk = Disk::with_contents(&[(blob_name(5), Arc::new(bytes))]);
    let file = open(&disk, 5).unwrap();
    assert_eq!(verified(&file, &live).len(), 1);
    let live: Vec<_> = live.into_iter().filter(|at| *at != dead).collect();
    assert!(verified(&file, &live).is_empty());
}

#[test]
fn a_record_counts_where_damage_elsewhere_hides_whether_it_is_live() {
    let disk = Disk::default();
    let added = written(&disk, 5);
    let mut bytes = disk.contents()[0].1.to_vec();
    let (hidden, damaged) = (added[1].2, added[3].2);
    bytes[damaged.offset as usize + HEADER_BYTES + added[3].0.len()] ^= 1;
    let disk = Disk::with_contents(&[(blob_name(5), Arc::new(bytes))]);
    let mut findings = Vec::new();
    let mut is_live = |_: &[u8], at: BlobRef| match at == hidden {
        true => Err(EngineError::corrupt("table-0000000000000001", 0, "planted")),
        false => Ok(true),
    };
    open(&disk, 5).unwrap().verify(0, &mut is_live, &mut |finding| findings.push(finding)).unwrap();
    let [EngineError::Corrupt { position, .. }] = findings[..] else { panic!("{findings:?}") };
    assert_eq!(position, damaged.offset);
}

#[test]
fn a_writer_whose_sync_failed_syncs_no_more() {
    let disk = Disk::default();
    let mut writer = BlobWriter::create(&*disk.root(), 1, Cause::Blob).unwrap();
    writer.add(b"key", b"value").unwrap();
    disk.fail_sync(1);
    assert!(writer.sync().is_err() && writer.sync().is_err() && writer.finish().is_err());
}

#[test]
fn what_was_synced_is_read_while_the_file_is_still_written() {
    let disk = Disk::default();
    let mut writer = BlobWriter::create(&*disk.root(), 1, Cause::Blob).unwrap();
    let first = writer.add(b"key", b"value").unwrap();
    writer.sync().unwrap();
    disk.root().sync().unwrap();
    let second = writer.add(b"other", b"second").unwrap();
    writer.sync().unwrap();
    let disk = disk.cut_to_durable();
    let file = open(&disk, 1).unwrap();
    assert_eq!(read(&file, first, b"key").unwrap(), b"value");
    assert_eq!(read(&file, second, b"other").unwrap(), b"second");
}

#[test]
fn a_retired_file_is_in_the_graveyard_when_nobody_holds_it() {
    let (disk, graveyard) = (Disk::default(), Arc::new(Graveyard::default()));
    written(&disk, 1);
    let file = BlobFile::open(&*disk.root(), 1, &graveyard).unwrap();
    file.retire();
    assert!(graveyard.take().is_empty() && graveyard.retained_bytes() == file.bytes());
    drop(file);
    assert_eq!(graveyard.take(), [blob_name(1)]);
}
