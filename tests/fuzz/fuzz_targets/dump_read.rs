//! Dumps of strangers: refused at a place inside them, or read as entries that give the same dump again.
//!
//! ```text
//! input    [damage]…              to a dump that was written
//! ```
#![no_main]

use std::sync::LazyLock;

use adapter_api::{Cursor, EngineError, Entry};
use enginebay::transfer::Totals;
use enginebay::transfer::dump::{DumpReader, DumpWriter};
use fuzz::{Trickle, damage};
use libfuzzer_sys::fuzz_target;

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

static DUMP: LazyLock<[(String, Vec<u8>); 1]> = LazyLock::new(|| {
    let entries =
        (0..40_u8).map(|number| (vec![number / 7 + 1, number], vec![number; usize::from(number) * 20]));
    [("dump".to_string(), dumped(&entries.collect()).0)]
});

fn dumped(entries: &Entries) -> (Vec<u8>, Totals) {
    let mut writer = DumpWriter::new(Vec::new()).expect("memory");
    entries.iter().for_each(|(key, value)| writer.add(Entry { key, value }).expect("memory"));
    writer.finish().expect("memory")
}

/// All entries, or where the dump is refused and why. `piece` bytes arrive at a time.
fn read(dump: &[u8], piece: usize) -> Result<Entries, (u64, String)> {
    let refusal = |error: EngineError| match &error {
        EngineError::Corrupt { position, .. } => (*position, error.to_string()),
        other => panic!("bytes in memory cannot fail: {other}"),
    };
    let mut reader = DumpReader::new(Trickle::new(dump, piece), "dump").map_err(refusal)?;
    let mut entries = Entries::new();
    while let Some(entry) = reader.next().map_err(refusal)? {
        entries.push((entry.key.to_vec(), entry.value.to_vec()));
    }
    Ok(entries)
}

fuzz_target!(|input: &[u8]| {
    let mut files = DUMP.clone();
    damage(&mut files, input);
    let [(_, dump)] = files;
    let found = read(&dump, usize::MAX);
    assert_eq!(found, read(&dump, 1), "it matters how the bytes arrive");
    match found {
        Ok(entries) => {
            assert!(entries.is_sorted_by(|one, next| one.0 < next.0));
            assert_eq!(read(&dumped(&entries).0, usize::MAX), Ok(entries), "what was read is another dump");
        }
        Err((position, message)) => {
            assert!(position <= dump.len() as u64, "refused behind its end: {message}");
        }
    }
});
