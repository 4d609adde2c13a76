//! `Log::open` on damaged files: it answers, and what it showed once it shows again.
#![no_main]

use std::sync::{Arc, LazyLock};

use adapter_api::environment::{Clock, Directory};
use fuzz::{HandClock, MemoryDirectory, damage};
use libfuzzer_sys::fuzz_target;
use wal::{Log, LogOptions};

static LOG: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let directory = MemoryDirectory::default();
    let (log, _) = open(&directory).expect("an empty directory");
    for number in 0..12_u8 {
        log.append(&[&[number; 3], &vec![number; usize::from(number) * 300]]).expect("room");
        log.make_durable(log.append(&[b"second of a group"]).expect("room")).expect("memory");
    }
    directory.contents()
});

fn open(directory: &MemoryDirectory) -> adapter_api::Result<(Log, Vec<Vec<u8>>)> {
    let options = LogOptions { segment_bytes: 16 << 10, ready_segments: 1, ..LogOptions::default() };
    let directory: Arc<dyn Directory> = Arc::new(directory.clone());
    let clock: Arc<dyn Clock> = Arc::new(HandClock);
    let mut records = Vec::new();
    let (log, _) = Log::open(&directory, &clock, options, 1, &mut |_, record| {
        records.push(record.to_vec());
        Ok(())
    })?;
    Ok((log, records))
}

fuzz_target!(|input: &[u8]| {
    let mut files = LOG.clone();
    damage(&mut files, input);
    let directory = MemoryDirectory::with(&files);
    let Ok((log, mut shown)) = open(&directory) else { return };
    // What was shown is there again, also after more was written and the process was killed.
    if let Ok(lsn) = log.append(&[b"one more"]) {
        log.make_durable(lsn).expect("memory does not fail");
        shown.push(b"one more".to_vec());
    }
    drop(log);
    let (_, again) = open(&directory).expect("what was opened opens again");
    assert_eq!(shown, again);
});
