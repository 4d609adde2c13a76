//! Files made by hand, whole and damaged. A file that Redis made is loaded by the end-to-end tests.

use adapter_api::EngineError;
use crc::{CRC_64_REDIS, Crc};

use super::*;
use crate::transfer::damage::many_damaged;

/// A file of version 10 with these records, and its end.
fn file(records: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [&b"REDIS0010"[..], &records.concat(), b"\xff"].concat();
    let checksum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

type Strings = Vec<(u64, Vec<u8>, Vec<u8>)>;
type Skipped = Vec<(&'static str, u64)>;

fn read(bytes: &[u8]) -> Result<(Strings, Skipped), EngineError> {
    let mut reader = RdbReader::new(bytes, "file")?;
    let mut strings = Vec::new();
    while let Some(RdbString { database, key, value }) = reader.next_string()? {
        strings.push((database, key, value));
    }
    assert_eq!(reader.next_string()?, None, "the end stays the end");
    Ok((strings, reader.skipped().clone().into_iter().collect()))
}

#[track_caller]
fn position_of(error: &EngineError) -> u64 {
    match error {
        EngineError::Corrupt { position, .. } => *position,
        other => panic!("not a damage: {other}"),
    }
}

/// One of each record that carries a string, and of those that say something else.
fn strings() -> Vec<u8> {
    file(&[
        b"\xfa\x09redis-ver\x067.0.15",
        b"\xfe\x00\xfb\x05\x00",
        b"\x00\x01k\x05value",
        b"\xf8\x07\x00\x01a\xc0\xff",
        b"\xf9\xff\x00\x01b\xc1\x00\x80",
        b"\x00\x01c\xc2\xff\xff\xff\x7f",
        // Packed: a run of one letter.
        b"\x00\x01d\xc3\x04\x04\x00a\x20\x00",
        b"\xfe\x05\x00\x01e\x40\x03lon",
    ])
}

#[test]
fn strings_come_out_in_every_encoding_and_with_their_database() {
    let (found, skipped) = read(&strings()).unwrap();
    let expected = [
        (0, "k", "value"),
        (0, "a", "-1"),
        (0, "b", "-32768"),
        (0, "c", "2147483647"),
        (0, "d", "aaaa"),
        (5, "e", "lon"),
    ];
    let expected = expected.map(|(database, key, value)| (database, key.into(), value.into()));
    assert_eq!((found, skipped), (expected.to_vec(), Vec::new()));
    assert_eq!(read(&file(&[])).unwrap(), Default::default());
}

#[test]
fn every_other_key_is_counted_and_the_strings_behind_it_come_out() {
    let records: [(&str, &[u8]); 15] = [
        ("expiring string", b"\xfc12345678\x00\x01k\x01v"),
        ("expiring string", b"\xfd1234\x00\x01k\x01v"),
        ("list", b"\x01\x01k\x02\x01a\x01b"),
        ("list", b"\x12\x01k\x01\x02\x03pak"),
        ("set", b"\x02\x01k\x01\x01a"),
        ("set", b"\x0b\x01k\x03int"),
        ("sorted set", b"\x03\x01k\x02\x01a\x011\x01b\xfe"),
        ("sorted set", b"\x05\x01k\x01\x01a12345678"),
        ("hash", b"\x04\x01k\x01\x01f\x01v"),
        ("hash", b"\x10\x01k\x03pak"),
        ("hash", b"\x18\x01k12345678\x01\x00\x01f\x01v"),
        ("stream", b"\x13\x01k\x01\x01i\x01p\x01\x01\x01\x01\x01\x01\x01\x01\x00"),
        ("module value", b"\x07\x01k\x81\x00\x00\x00\x00\x00\x00\x00\x01\x02\x07\x05\x01x\x00"),
        ("module data", b"\xf7\x01\x02\x01\x05\x01x\x00"),
        ("function", b"\xf5\x03lua"),
    ];
    for (name, record) in records {
        // The string behind it does not expire.
        let (found, skipped) =
            read(&file(&[record, b"\x00\x01x\x01y"])).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(skipped, [(name, 1)], "{record:?}");
        assert_eq!(found, [(0, b"x".to_vec(), b"y".to_vec())], "{name}");
    }
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused_where_it_ends() {
    let bytes = strings();
    for end in 0..bytes.len() {
        let error = read(&bytes[..end]).unwrap_err();
        assert_eq!(position_of(&error), end as u64, "cut at {end}: {error}");
    }
    let error = read(&[&bytes[..], b"x"].concat()).unwrap_err();
    assert_eq!(position_of(&error), bytes.len() as u64);
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let bytes = strings();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            assert!(read(&flipped).is_err(), "{position}.{bit}");
        }
    }
}

#[test]
fn what_is_not_known_is_refused_with_its_position() {
    let mut newer = strings();
    newer[5..9].copy_from_slice(b"0099");
    assert!(read(&newer).unwrap_err().to_string().contains("version 99"));
    for (record, position) in
        [(&b"\x63\x01k"[..], 9), (b"\x00\x01k\xc4", 12), (b"\x00\x83", 10), (b"\x01\x01k\xc0\x01", 12)]
    {
        let error = read(&file(&[record])).unwrap_err();
        assert_eq!(position_of(&error), position, "{record:?}: {error}");
    }
}

#[test]
fn no_claim_sizes_memory() {
    let claims: [&[u8]; 5] = [
        b"\x00\x01k\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x01k\x80\x1f\xff\xff\xff",
        b"\x00\x01k\xc3\x01\x81\x7f\xff\xff\xff\xff\xff\xff\xffx",
        b"\x00\x01k\xc3\x81\x7f\xff\xff\xff\xff\xff\xff\xff\x05x",
        b"\x01\x01k\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
    ];
    for claim in claims {
        read(&file(&[claim])).unwrap_err();
    }
}

#[test]
fn no_bytes_end_in_anything_but_strings_or_a_refusal() {
    let whole = strings();
    let records = &whole[9..whole.len() - 9];
    many_damaged(records, &|records| {
        // Without a checksum, which would refuse everything.
        let bytes = [&b"REDIS0010"[..], records, b"\xff", &[0; 8]].concat();
        match read(&bytes) {
            Ok((strings, _)) => assert!(strings.len() <= records.len()),
            Err(error) => assert!(position_of(&error) <= bytes.len() as u64),
        }
    });
}
