//! What was written is read, and nothing else is taken for it.

use std::io::{self, Read};

use adapter_api::{Cursor, EngineError, Entry, VALUE_BYTES_MAX};

use super::*;
use crate::transfer::Totals;
use crate::transfer::damage::many_damaged;

fn dumped(entries: &[(Vec<u8>, Vec<u8>)]) -> (Vec<u8>, Totals) {
    let mut writer = DumpWriter::new(Vec::new()).unwrap();
    entries.iter().for_each(|(key, value)| writer.add(Entry { key, value }).unwrap());
    writer.finish().unwrap()
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn read(bytes: &[u8]) -> Result<Entries, EngineError> {
    let mut reader = DumpReader::new(bytes, "dump")?;
    let mut found = Vec::new();
    while let Some(entry) = reader.next()? {
        found.push((entry.key.to_vec(), entry.value.to_vec()));
    }
    assert_eq!(reader.next()?, None, "the end stays the end");
    Ok(found)
}

#[track_caller]
fn position_of(error: &EngineError) -> u64 {
    match error {
        EngineError::Corrupt { position, .. } => *position,
        other => panic!("not a damage: {other}"),
    }
}

fn few() -> Entries {
    (0..5_u8).map(|number| (vec![number + 1], vec![number; usize::from(number)])).collect()
}

/// Entries that go over the borders of blocks, and fill them exactly.
fn large() -> Entries {
    vec![
        (b"a".to_vec(), vec![1; PAYLOAD_BYTES_MAX - ENTRY_BYTES]),
        (b"b".to_vec(), vec![2; 3 * PAYLOAD_BYTES_MAX]),
        (vec![b'c'; 65_535], Vec::new()),
        (b"d".to_vec(), vec![4; 100]),
    ]
}

/// The bytes of an entry beside its value, for keys of one byte.
const ENTRY_BYTES: usize = 7;

#[test]
fn what_was_written_is_read() {
    for entries in [Entries::new(), few(), large()] {
        assert_eq!(read(&dumped(&entries).0).unwrap(), entries);
    }
}

#[test]
fn totals_depend_on_every_key_every_value_and_where_one_ends() {
    let totals = |entries: &[(&str, &str)]| {
        dumped(
            &entries.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect::<Vec<_>>(),
        )
        .1
    };
    let one = totals(&[("a", "bc"), ("d", "")]);
    assert_eq!((one.entries, one.bytes), (2, 4));
    assert_eq!(one, totals(&[("a", "bc"), ("d", "")]));
    for other in [[("a", "b"), ("d", "c")], [("ab", "c"), ("d", "")], [("a", "bd"), ("d", "")]] {
        assert_ne!(one, totals(&other));
    }
}

#[test]
fn the_bytes_of_a_dump_are_the_ones_drawn() {
    let (bytes, totals) = dumped(&[(b"k".to_vec(), b"value".to_vec())]);
    let block = &bytes[17..];
    assert_eq!(&bytes[..17], b"enginebay dump 1\n");
    assert_eq!(block[..4], crc32fast::hash(&block[4..32]).to_le_bytes());
    assert_eq!(block[4..32], *b"\x01\0\0\0\x0c\0\0\0\x11\0\0\0\0\0\0\0\x01\0\x05\0\0\0kvalue");
    let end = &block[32..];
    assert_eq!(end[4..36], *b"\x02\0\0\0\x30\0\0\0\x31\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0");
    assert_eq!(end[36..], totals.digest);
}

#[test]
fn a_dump_that_was_cut_off_anywhere_is_refused_where_it_ends() {
    let bytes = dumped(&few()).0;
    for end in 0..bytes.len() {
        let error = read(&bytes[..end]).unwrap_err();
        assert_eq!(position_of(&error), end as u64, "cut at {end}: {error}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_with_the_block_that_it_is_in() {
    let bytes = dumped(&few()).0;
    let second = bytes.len() - FRAME_BYTES - END_BYTES;
    for flipped in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[flipped] ^= 1 << bit;
            let error = read(&bytes).unwrap_err();
            let expected = match flipped {
                _ if flipped < HEAD.len() => flipped,
                _ if flipped < second => HEAD.len(),
                _ => second,
            };
            let position = position_of(&error) as usize;
            // A length that was flipped upwards may lead beyond the end.
            assert!(position == expected || position == bytes.len(), "{flipped}.{bit}: {error}");
        }
    }
}

#[test]
fn blocks_that_are_missing_twice_or_exchanged_are_refused() {
    let bytes = dumped(&large()).0;
    let block = FRAME_BYTES + PAYLOAD_BYTES_MAX;
    let (first, second, third) = (HEAD.len(), HEAD.len() + block, HEAD.len() + 2 * block);
    let missing = [&bytes[..second], &bytes[third..]].concat();
    let twice = [&bytes[..second], &bytes[first..]].concat();
    let exchanged = [&bytes[..first], &bytes[second..third], &bytes[first..second], &bytes[third..]].concat();
    for (damaged, position) in [(missing, second), (twice, second), (exchanged, first)] {
        assert_eq!(position_of(&read(&damaged).unwrap_err()), position as u64);
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(position_of(&read(&longer).unwrap_err()), bytes.len() as u64);
}

/// A block with a checksum that fits, whatever is in it.
pub(super) fn forged(kind: u32, position: usize, payload: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 4];
    block.extend_from_slice(&kind.to_le_bytes());
    block.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    block.extend_from_slice(&(position as u64).to_le_bytes());
    block.extend_from_slice(payload);
    let checksum = crc32fast::hash(&block[4..]);
    block[..4].copy_from_slice(&checksum.to_le_bytes());
    block
}

#[test]
fn entries_that_no_store_has_are_refused_even_with_a_checksum_that_fits() {
    let too_large = ((VALUE_BYTES_MAX + 1) as u32).to_le_bytes();
    let payloads = [
        b"\x00\x00\x00\x00\x00\x00".to_vec(),
        [&b"\x01\x00"[..], &too_large, b"k"].concat(),
        b"\x01\x00\x00\x00\x00\x00k\x01\x00\x00\x00\x00\x00k".to_vec(),
        b"\x01\x00\x00\x00\x00\x00k\x01\x00\x00\x00\x00\x00j".to_vec(),
        b"\x01\x00\x04".to_vec(),
    ];
    for payload in payloads {
        let entries = forged(ENTRIES, HEAD.len(), &payload);
        let end = forged(END, HEAD.len() + entries.len(), &[0; END_BYTES]);
        let error = read(&[&HEAD[..], &entries, &end].concat()).unwrap_err();
        assert!(position_of(&error) >= HEAD.len() as u64, "{error}");
    }
    let entries = forged(ENTRIES, HEAD.len(), b"\x01\x00\x00\x00\x00\x00k");
    let position = HEAD.len() + entries.len();
    let error = read(&[&HEAD[..], &entries, &forged(END, position, &[0; END_BYTES])].concat()).unwrap_err();
    assert_eq!(position_of(&error), position as u64, "an end that is not that of what came before");
    let unknown = [&HEAD[..], &forged(3, HEAD.len(), b"x")].concat();
    assert!(read(&unknown).unwrap_err().to_string().contains("kind 3"));
}

#[test]
fn an_input_that_fails_is_told_from_damage() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the tape is stuck"))
        }
    }
    let error = DumpReader::new(Broken, "dump").err().unwrap();
    assert!(matches!(error, EngineError::Failed { .. }) && error.to_string().contains("the tape is stuck"));
}

#[test]
fn no_bytes_with_a_checksum_that_fits_end_in_anything_but_entries_or_a_refusal() {
    let payload: Vec<u8> = few()
        .iter()
        .flat_map(|(key, value)| {
            let head = crate::transfer::totals::entry_head(Entry { key, value });
            [&head[..], key, value].concat()
        })
        .collect();
    many_damaged(&payload, &|payload| {
        let entries = forged(ENTRIES, HEAD.len(), payload);
        let end = forged(END, HEAD.len() + entries.len(), &[0; END_BYTES]);
        assert!(read(&[&HEAD[..], &entries, &end].concat()).is_err());
    });
}
