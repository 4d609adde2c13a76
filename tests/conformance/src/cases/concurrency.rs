//! One writer, many readers: what readers see follows the order of the writes.
//!
//! Each batch carries its number in every value that it puts, so a read says which batch it saw. What was answered
//! OK before a read began is the least that it may show, what was begun before it ended the most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adapter_api::host::{StorageAdapter, View};
use adapter_api::{
    Buffer, Capabilities, Cursor, Direction, EngineError, KeyRange, ReadView, StorageEngine, Values,
};
use crash::findings::Findings;

use crate::badge::Badge::{Semantics, ViewsAndScans};
use crate::case::Case;
use crate::model::{Edit, batch};
use crate::outcome::{Verdict, ensure, failed};
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "reads_follow_the_order_of_the_writes_beside_them", reads_follow_the_order),
    Case::new(ViewsAndScans, "a_view_shows_one_instant_while_writes_go_on", a_view_shows_one_instant),
];

/// The keys of each batch, in the order in which they are put.
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// A key that every second batch takes away.
const COMES_AND_GOES: &str = "g";
const READERS: usize = 3;
const WRITES: u64 = 3_000;
/// Where a write waits for a disk there are fewer.
const WRITING: Duration = Duration::from_secs(1);

/// The value that a batch puts: its number again and again, in a length that changes.
fn value(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + (number % 97) as usize)
}

/// The number of the batch that put this value.
fn number(bytes: &[u8]) -> Result<u64, String> {
    let first = bytes.first_chunk().map(|first| u64::from_le_bytes(*first));
    let number = first.filter(|number| value(*number) == bytes);
    number.ok_or_else(|| format!("a read shows {} bytes that no batch put", bytes.len()))
}

/// What the writer has begun, and what was answered OK.
#[derive(Default)]
struct Progress {
    begun: AtomicU64,
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

fn write(engine: &StorageAdapter, progress: &Progress) -> Result<(), EngineError> {
    let end = Instant::now() + WRITING;
    for number in 1..=WRITES {
        let mut edits: Vec<_> = KEYS.iter().map(|key| Edit::put(key, value(number))).collect();
        edits.push(match number % 2 {
            0 => Edit::put(COMES_AND_GOES, value(number)),
            _ => Edit::delete(COMES_AND_GOES),
        });
        progress.begun.store(number, Ordering::SeqCst);
        engine.apply(batch(&edits)?.as_batch())?;
        progress.acknowledged.store(number, Ordering::SeqCst);
        if Instant::now() > end {
            break;
        }
    }
    Ok(())
}

/// Writes, with readers beside it; each looks again and again until the writes are over.
fn beside_writes(trial: &Trial, look: fn(&StorageAdapter, &Progress) -> Result<(), String>) -> Verdict {
    let store = trial.open()?;
    let progress = Arc::new(Progress::default());
    let reader = || {
        let (engine, progress) = (store.engine().clone(), Arc::clone(&progress));
        thread::spawn(move || {
            let mut looks = 0_u64;
            while !progress.is_over.load(Ordering::SeqCst) {
                look(&engine, &progress)?;
                looks += 1;
            }
            Ok::<_, String>(looks)
        })
    };
    let readers: Vec<_> = std::iter::repeat_with(reader).take(READERS).collect();
    let compactor = trial.can(Capabilities::COMPACT).then(|| {
        let (engine, progress) = (store.engine().clone(), Arc::clone(&progress));
        thread::spawn(move || {
            while !progress.is_over.load(Ordering::SeqCst) {
                engine.compact(KeyRange::all(), &Findings::default()).map_err(failed("compact"))?;
                thread::sleep(Duration::from_millis(20));
            }
            Ok::<_, String>(())
        })
    });
    let written = write(store.engine(), &progress);
    progress.is_over.store(true, Ordering::SeqCst);
    let mut looks = 0;
    for reader in readers {
        looks += reader.join().map_err(|_| "a reader panicked".to_string())??;
    }
    if let Some(compactor) = compactor {
        compactor.join().map_err(|_| "compact panicked".to_string())??;
    }
    written.map_err(failed("apply"))?;
    let writes = progress.acknowledged.load(Ordering::SeqCst);
    Ok(format!("{looks} looks beside {writes} batches"))
}

fn reads_follow_the_order(trial: &Trial) -> Verdict {
    beside_writes(trial, |engine, progress| {
        let least = progress.acknowledged.load(Ordering::SeqCst);
        let mut seen = Vec::new();
        let mut buffer = Buffer::new();
        for key in KEYS {
            buffer.clear();
            let found = engine.get(key.as_bytes(), &mut buffer).map_err(failed("get"))?;
            seen.push(if found { number(&buffer)? } else { 0 });
        }
        let most = progress.begun.load(Ordering::SeqCst);
        // Each batch becomes visible at one instant, so a later read shows no earlier batch.
        ensure(seen.is_sorted(), || format!("reads one behind the other show the batches {seen:?}"))?;
        ensure(seen[0] >= least, || format!("a read shows batch {}, and {least} was answered OK", seen[0]))?;
        ensure(seen[5] <= most, || format!("a read shows batch {}, and only {most} was begun", seen[5]))
    })
}

fn a_view_shows_one_instant(trial: &Trial) -> Verdict {
    beside_writes(trial, |engine, progress| {
        let least = progress.acknowledged.load(Ordering::SeqCst);
        let view = engine.view().map_err(failed("read_view"))?;
        let most = progress.begun.load(Ordering::SeqCst);
        let seen = instant_of(&view)?;
        ensure((least..=most).contains(&seen), || {
            format!(
                "a view shows batch {seen}; {least} was answered OK before it was taken, {most} was begun"
            )
        })?;
        let again = instant_of(&view)?;
        ensure(again == seen, || format!("a view shows batch {seen}, and batch {again} a little later"))?;
        let keys = KEYS.map(str::as_bytes);
        let (mut values, mut resident) = (Values::new(), Values::new());
        engine.multi_get(&keys, &mut values).map_err(failed("multi_get"))?;
        engine.multi_get_resident(&keys, usize::MAX, &mut resident).map_err(failed("multi_get_resident"))?;
        for values in [values, resident] {
            let numbers =
                values.iter().map(|value| value.map_or(Ok(0), number)).collect::<Result<Vec<_>, _>>()?;
            ensure(numbers.iter().all(|one| *one == numbers[0]), || {
                format!("one read of several keys shows the batches {numbers:?}")
            })?;
        }
        Ok(())
    })
}

/// The batch that a view shows, by every way of reading it; 0 before the first.
fn instant_of(view: &View) -> Result<u64, String> {
    let mut seen = Vec::new();
    let mut buffer = Buffer::new();
    for key in KEYS.iter().rev() {
        buffer.clear();
        let found = view.get(key.as_bytes(), &mut buffer).map_err(failed("get of a view"))?;
        seen.push(if found { number(&buffer)? } else { 0 });
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = view.owned_cursor(KeyRange::all(), direction).map_err(failed("cursor of a view"))?;
        let mut comes_and_goes = None;
        let mut entries = 0;
        while let Some(entry) = cursor.next().map_err(failed("next of a cursor"))? {
            entries += 1;
            match entry.key == COMES_AND_GOES.as_bytes() {
                true => comes_and_goes = Some(number(entry.value)?),
                false => seen.push(number(entry.value)?),
            }
        }
        let is_there = seen[0] != 0 && seen[0] % 2 == 0;
        ensure(comes_and_goes == is_there.then_some(seen[0]), || {
            format!("a view of batch {} shows {COMES_AND_GOES} of {comes_and_goes:?}", seen[0])
        })?;
        let expected = if seen[0] == 0 { 0 } else { KEYS.len() + usize::from(is_there) };
        ensure(entries == expected, || format!("a view of batch {} has {entries} entries", seen[0]))?;
    }
    match seen.iter().all(|one| *one == seen[0]) {
        true => Ok(seen[0]),
        false => Err(format!("one view shows the batches {seen:?}")),
    }
}
