//! Many keys at once get what each would get alone, wherever they are.

mod store;

use std::io::IoSlice;

use adapter_api::environment::{Cause, OpenFile};
use adapter_api::*;
use crash::by_hand::{self, State, applied, run};
use crash::environment::Disk;
use crash::image::mix;
use engine_lsm::LsmEngine;
use store::{COMPACTION, FLUSH, LOG, open_with};

const KEYS: u64 = 400;

/// Small sizes, so that keys are everywhere.
fn open(disk: &Disk, filters: &str) -> LsmEngine {
    let options = [
        ("log_segment", "1048576"),
        ("memtable_bytes", "16384"),
        ("table_bytes", "16384"),
        ("blob_value_bytes", "2000"),
        ("compression", "none"),
        ("filters", filters),
    ];
    open_with(disk.root(), &options).unwrap()
}

/// One that may be there, one that has never been, or nearly one that is there.
fn key(random: u64) -> Vec<u8> {
    let number = (random >> 8) % KEYS;
    match random % 8 {
        0 => format!("key {number:06} and more").into_bytes(),
        1 => format!("other {number}").into_bytes(),
        _ => format!("key {number:06}").into_bytes(),
    }
}

fn batch(seed: u64) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for number in 0..1 + seed % 20 {
        let random = mix(seed << 20 | number);
        let key = format!("key {:06}", (random >> 20) % KEYS);
        match random % 50 {
            0 => {
                let end = format!("key {:06}", (random >> 20) % KEYS + random % 20);
                batch.delete_range(KeyRange::new(key.as_bytes(), end.as_bytes())).unwrap();
            }
            1..8 => batch.delete(key.as_bytes()).unwrap(),
            8..10 => batch.put(key.as_bytes(), &random.to_le_bytes().repeat(300)).unwrap(),
            _ => batch.put(key.as_bytes(), &random.to_le_bytes().repeat(8)).unwrap(),
        }
    }
    batch
}

/// Asks for some keys, a few of them twice, and holds the answers against what there should be.
fn check(
    ask: impl Fn(&[&[u8]], &mut Values) -> Result<()>,
    expected: &State,
    seed: u64,
    is_prefix: bool,
) -> usize {
    let mut keys: Vec<_> = (0..mix(seed) % 40).map(|number| key(mix(seed << 20 | number))).collect();
    keys.extend_from_within(..keys.len() / 4);
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    let mut values = Values::new();
    values.push(b"before");
    ask(&keys, &mut values).unwrap();
    let answers = values.len() - 1;
    assert!(answers == keys.len() || (is_prefix && answers < keys.len()), "seed {seed}: {answers} answers");
    for (key, value) in keys.iter().zip(values.iter().skip(1)) {
        assert_eq!(value, expected.get(*key).map(|value| &**value), "seed {seed}, {}", key.escape_ascii());
    }
    answers
}

#[test]
fn many_keys_get_what_a_model_has_in_memtables_runs_and_views() {
    for (filters, seed) in [("on", 1_u64), ("off", 2), ("on", 3)] {
        let (disk, mut expected) = (Disk::default(), State::new());
        let engine = open(&disk, filters);
        let (mut view, mut then) = (engine.read_view().unwrap(), State::new());
        let mut here = 0;
        for turn in 0..600 {
            let random = mix(seed << 32 | turn) >> 20;
            let batch = batch(random);
            engine.apply(batch.as_batch()).unwrap();
            expected = applied(&expected, batch.as_batch());
            run(&engine, LOG);
            for _ in 0..random % 4 {
                engine.background([FLUSH, COMPACTION][(mix(random) % 2) as usize]).unwrap();
            }
            check(|keys, values| engine.multi_get(keys, values), &expected, random, false);
            let most = [0, 500, usize::MAX][random as usize % 3];
            let resident = |keys: &[&[u8]], values: &mut Values| {
                let before = values.bytes();
                engine.multi_get_resident(keys, most, values)?;
                assert!(values.bytes() - before <= most, "seed {random}: more than was asked for");
                Ok(())
            };
            here += check(resident, &expected, random + 1, true);
            check(|keys, values| view.multi_get(keys, values), &then, random, false);
            if random.is_multiple_of(30) {
                (view, then) = (engine.read_view().unwrap(), expected.clone());
            }
        }
        assert!(here > 1_000, "only {here} were answered from memory");
    }
}

#[test]
fn a_damaged_block_is_an_error_for_its_keys_and_others_are_answered() {
    let disk = Disk::default();
    let engine = open(&disk, "on");
    let key = |number: u64| format!("key {number:06}").into_bytes();
    for number in 0..200 {
        by_hand::put(&engine, &key(number), &mix(number).to_le_bytes().repeat(30)).unwrap();
    }
    run(&engine, LOG);
    engine.compact(KeyRange::all(), &by_hand::Unwatched).unwrap();
    drop(engine);
    let wanted = mix(77).to_le_bytes().repeat(30);
    for (name, bytes) in disk.contents().iter().filter(|(name, _)| name.starts_with("table-")) {
        if let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted) {
            let file = disk.root().open_file(name, OpenFile::WRITE).unwrap();
            file.write_at(&[IoSlice::new(&[wanted[0] ^ 1])], at as u64, Cause::Other).unwrap();
        }
    }
    let engine = open(&disk, "on");
    let mut damaged = Vec::new();
    for number in 0..200 {
        let (one, other) = (key(number), key(0));
        match engine.multi_get(&[&other, &one, b"none"], &mut Values::new()) {
            Ok(()) => {}
            Err(EngineError::Corrupt { .. }) => damaged.push(number),
            Err(error) => panic!("{number}: {error}"),
        }
        let mut values = Values::new();
        engine.multi_get(&[&other, b"none"], &mut values).unwrap();
        assert!(values.get(0).is_some() && values.get(1).is_none());
    }
    assert!(damaged.contains(&77) && damaged.len() < 100, "{damaged:?}");
}
