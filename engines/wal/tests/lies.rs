//! Headers that lie under checksums that fit: no disk does that, but whatever opens has to open again.

mod workload;

use std::collections::HashMap;
use std::sync::Arc;

use adapter_api::environment::Clock;
use adapter_api::{Durability, EngineError};
use crash::environment::{Disk, SimulatedClock};
use wal::Log;
use workload::{Model, small};

/// The fields of a group's header, each with its length: kind, settled, records, segment, position, first, durable.
const FIELDS: [(usize, usize); 7] = [(10, 1), (11, 1), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8)];
const KIND: (usize, usize) = FIELDS[0];
const DURABLE: (usize, usize) = FIELDS[6];

/// So many of six records in four segments; the fifth begins the last one.
fn small_log(records: usize) -> (Disk, Log) {
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.root(), small(Durability::Always), 0).unwrap();
    for len in &[40, 40, 40, 5000, 40, 40][..records] {
        model.commit_one(&log, *len).unwrap();
    }
    (disk, log)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Where the groups of the log are, in order: the place of the file, the position, the seed.
fn groups(contents: &[(String, Arc<Vec<u8>>)]) -> Vec<(usize, usize, u32)> {
    let mut groups = Vec::new();
    for (file, (_, bytes)) in contents.iter().enumerate() {
        let seed = [16, 24, 32].iter().fold(0, |seed, at| checksum(seed, &bytes[*at..at + 8]));
        let starts = (4096..bytes.len()).step_by(4096).filter(|at| number(&bytes[at + 8..at + 10]) == 0x4757);
        groups.extend(starts.map(|at| (file, at, seed)));
    }
    groups
}

/// The log with another value in one header, and with all checksums and the chain made to fit.
fn with_lie(
    contents: &[(String, Arc<Vec<u8>>)],
    (file, at): (usize, usize),
    field: (usize, usize),
    value: u64,
) -> Disk {
    let (mut lying, groups, mut renewed) =
        (contents.to_vec(), groups(contents), HashMap::<u64, [u8; 4]>::new());
    let begin = at + field.0;
    Arc::make_mut(&mut lying[file].1)[begin..begin + field.1]
        .copy_from_slice(&value.to_le_bytes()[..field.1]);
    for (file, at, seed) in groups {
        let group = &mut Arc::make_mut(&mut lying[file].1)[at..];
        let group = &mut group[..number(&contents[file].1[at + 4..at + 8]) as usize];
        if let Some(previous) = renewed.get(&number(&group[48..52])) {
            group[48..52].copy_from_slice(previous);
        }
        let check = checksum(seed, &group[4..52]);
        group[52..56].copy_from_slice(&check.to_le_bytes());
        let (old, new) = (number(&group[..4]), checksum(check, &group[56..]).to_le_bytes());
        group[..4].copy_from_slice(&new);
        renewed.insert(old, new);
    }
    Disk::with_contents(&lying)
}

fn opens(disk: &Disk) -> Result<(Log, Vec<Vec<u8>>), EngineError> {
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::default());
    let mut shown = Vec::new();
    let (log, _) = Log::open(&disk.root(), &clock, small(Durability::Always), 1, &mut |_, record| {
        shown.push(record.to_vec());
        Ok(())
    })?;
    Ok((log, shown))
}

/// Opens the log, commits one more record, is killed, and opens again to the same and the one more. The error
/// is that of the first open.
fn opens_again(disk: &Disk, case: &str) -> Result<(), EngineError> {
    let (log, mut shown) = opens(disk)?;
    if let Ok(lsn) = log.append(&[b"one more"]) {
        log.make_durable(lsn).unwrap();
        shown.push(b"one more".to_vec());
    }
    drop(log);
    let again = opens(&disk.killed());
    let (_, again) = again.unwrap_or_else(|error| panic!("{case}: opened, and then did not: {error}"));
    assert!(shown == again, "{case}: {} records were shown, then {}", shown.len(), again.len());
    Ok(())
}

/// That the lie is refused, under the name of the file.
fn is_refused(contents: &[(String, Arc<Vec<u8>>)], group: (usize, usize), field: (usize, usize), value: u64) {
    let (lying, case) =
        (with_lie(contents, group, field, value), format!("{} at {}", contents[group.0].0, group.1));
    match opens_again(&lying, &case) {
        Err(EngineError::Corrupt { file, position, .. }) => {
            assert_eq!((file.as_str(), position), (contents[group.0].0.as_str(), group.1 as u64));
        }
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn a_segment_that_says_those_before_it_were_not_durable_is_refused() {
    // Behind the group that begins the last segment there is none that proves what that one does not.
    let contents = small_log(5).0.contents();
    let groups = groups(&contents);
    let begins: Vec<_> = groups.iter().filter(|(file, at, _)| *file > 0 && *at == 4096).collect();
    assert_eq!((begins.len(), groups.last()), (3, begins.last().copied()));
    for (file, at, _) in begins.into_iter().rev() {
        is_refused(&contents, (*file, *at), DURABLE, 0);
    }
}

#[test]
fn a_close_group_that_holds_records_is_refused() {
    let contents = small_log(6).0.contents();
    for (file, at, _) in &groups(&contents)[1..] {
        is_refused(&contents, (*file, *at), KIND, 3);
    }
}

#[test]
fn whatever_lie_a_header_tells_the_log_is_refused_or_what_opened_opens_again() {
    let (mut opened, mut refused) = (0, 0);
    let (closed, log) = small_log(6);
    log.close().unwrap();
    // Behind a kill, so that recovery wrote the last segment.
    let (recovered, _) = small_log(6);
    opens(&recovered).unwrap();
    for disk in [closed, recovered, small_log(6).0, small_log(5).0] {
        let contents = disk.contents();
        for (file, at, _) in groups(&contents) {
            for field in FIELDS {
                let begin = at + field.0;
                let told = number(&contents[file].1[begin..begin + field.1]);
                for value in (0..8).chain([told.wrapping_sub(1), told + 1, told << 4, u64::MAX / 2, u64::MAX])
                {
                    let case = format!("{} at {at}: {value} at {}", contents[file].0, field.0);
                    match opens_again(&with_lie(&contents, (file, at), field, value), &case) {
                        Ok(()) => opened += 1,
                        Err(EngineError::Corrupt { .. }) => refused += 1,
                        Err(error) => panic!("{case}: {error}"),
                    }
                }
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} opened, {refused} refused");
}
