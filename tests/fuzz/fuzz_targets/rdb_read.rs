//! RDB files of strangers: refused at a place inside them, or read as strings; the same however they arrive.
//!
//! ```text
//! input    [how u8][damage]…      how 0: to a file that Redis saved
//!          [how u8][records]      else: the records themselves, in a file without a checksum
//! ```
#![no_main]

use std::collections::BTreeMap;

use adapter_api::EngineError;
use enginebay::transfer::rdb::{RdbReader, RdbString};
use fuzz::{Trickle, damage};
use libfuzzer_sys::fuzz_target;

/// One that Redis 7.0 saved: strings in every encoding, and keys of every other type.
const SAVED: &[u8] = include_bytes!("../../e2e/samples/redis-7.0.rdb");
/// The most that a byte of a packed string stands for: three of them refer to 264.
const UNPACKED_BYTES_MAX: usize = 88;

type Found = (Vec<RdbString>, BTreeMap<&'static str, u64>);

/// All strings, or where the file is refused and why. `piece` bytes arrive at a time.
fn read(file: &[u8], piece: usize) -> Result<Found, (u64, String)> {
    let refusal = |error: EngineError| match &error {
        EngineError::Corrupt { position, .. } => (*position, error.to_string()),
        other => panic!("bytes in memory cannot fail: {other}"),
    };
    let mut reader = RdbReader::new(Trickle::new(file, piece), "file").map_err(refusal)?;
    let mut strings = Vec::new();
    while let Some(string) = reader.next_string().map_err(refusal)? {
        strings.push(string);
    }
    Ok((strings, reader.skipped().clone()))
}

fn file(how: u8, input: &[u8]) -> Vec<u8> {
    if how > 0 {
        return [&b"REDIS0012"[..], input, b"\xff", &[0; 8]].concat();
    }
    let mut files = [("rdb".to_string(), SAVED.to_vec())];
    damage(&mut files, input);
    let [(_, file)] = files;
    file
}

fuzz_target!(|input: &[u8]| {
    let Some((how, input)) = input.split_first() else { return };
    let file = file(*how, input);
    let found = read(&file, usize::MAX);
    assert_eq!(found, read(&file, 1), "it matters how the bytes arrive");
    match found {
        Ok((strings, skipped)) => {
            let bytes: usize = strings.iter().map(|string| string.key.len() + string.value.len()).sum();
            assert!(bytes <= file.len() * UNPACKED_BYTES_MAX, "{bytes} bytes come out of {}", file.len());
            let keys = strings.len() as u64 + skipped.values().sum::<u64>();
            assert!(keys <= file.len() as u64, "{keys} keys come out of {} bytes", file.len());
        }
        Err((position, message)) => {
            assert!(position <= file.len() as u64, "refused behind its end: {message}");
        }
    }
});
