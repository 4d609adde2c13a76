//! What one writer and one reader of a large `VersionedMap` cost: processor time for each key, the median of
//! several runs.
//!
//! ```text
//! cargo bench -p adapter_api --bench versioned_map                              1,000,000 entries
//! VERSIONED_MAP_BENCH_KEYS=10000 cargo bench -p adapter_api --bench versioned_map
//! ```
//!
//! Keys are 18 bytes with a long common prefix, values 101: what a Redis key of 16 and a value of 100 become.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::hint::black_box;

use adapter_api::versioned_map::Changes;
use adapter_api::{BatchBuilder, Buffer, Direction, KeyRange, ReadView, Values, VersionedMap};

const ROUNDS: usize = 7;
/// Keys for each round.
const ROUND_KEYS: u64 = 200_000;

/// A small generator of random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % bound
    }
}

fn key(number: u64) -> [u8; 18] {
    let mut key = *b"\x01\x00key:000000000000";
    let mut rest = number;
    for digit in key[6..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Nanoseconds that this thread was on a processor.
fn processor_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The memory of this process that is in use, in bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().map_or(0, |kib| kib * 1024)
}

/// Prints the median, the least and the most nanoseconds a key.
fn report(name: &str, keys: u64, mut run: impl FnMut()) {
    let mut nanos: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = processor_nanos();
            run();
            (processor_nanos() - before) as f64 / keys as f64
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    println!("{name:<44}{:>8.0}{:>8.0}{:>8.0}", nanos[ROUNDS / 2], nanos[0], nanos[ROUNDS - 1]);
}

/// Puts random keys, so many in a batch, values of `least` to `most` bytes.
fn put_many(map: &VersionedMap, random: &mut Random, keys: u64, batch_keys: u64, lengths: (u64, u64)) {
    let value = [7; 256];
    let mut batch = BatchBuilder::new();
    for _ in 0..ROUND_KEYS / batch_keys {
        batch.clear();
        for _ in 0..batch_keys {
            let len = lengths.0 + random.below(lengths.1 - lengths.0 + 1);
            batch.put(&key(random.below(keys)), &value[..len as usize]).expect("within the limits");
        }
        map.stage(batch.as_batch()).publish();
    }
}

fn writes(map: &VersionedMap, random: &mut Random, keys: u64) {
    for batch_keys in [1, 50, 800] {
        let name = format!("overwrite, batches of {batch_keys}");
        report(&name, ROUND_KEYS, || put_many(map, random, keys, batch_keys, (101, 101)));
    }
    report("overwrite by other lengths, batches of 50", ROUND_KEYS, || {
        put_many(map, random, keys, 50, (81, 121));
    });
    let view = map.view();
    report("overwrite under a view, batches of 50", ROUND_KEYS, || {
        put_many(map, random, keys, 50, (101, 101));
    });
    drop(view);
    put_many(map, random, keys, 50, (101, 101));
    report("insert and delete, batches of 50", ROUND_KEYS, || {
        let (mut puts, mut deletes) = (BatchBuilder::new(), BatchBuilder::new());
        for _ in 0..ROUND_KEYS / 100 {
            puts.clear();
            deletes.clear();
            for _ in 0..50 {
                let key = [&key(random.below(keys))[..], b"+"].concat();
                puts.put(&key, &[7; 101]).expect("within the limits");
                deletes.delete(&key).expect("within the limits");
            }
            map.stage(puts.as_batch()).publish();
            map.stage(deletes.as_batch()).publish();
        }
    });
}

fn reads(map: &VersionedMap, random: &mut Random, keys: u64) {
    let mut value = Buffer::new();
    report("get", ROUND_KEYS, || {
        for _ in 0..ROUND_KEYS {
            value.clear();
            assert!(map.get(&key(random.below(keys)), &mut value));
        }
    });
    for many in [16, 100] {
        let mut values = Values::new();
        report(&format!("multi_get of {many}"), ROUND_KEYS, || {
            for _ in 0..ROUND_KEYS / many {
                let wanted: Vec<_> = (0..many).map(|_| key(random.below(keys))).collect();
                values.clear();
                map.multi_get(&wanted.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut values);
            }
        });
    }
    report("walk", keys, || {
        let view = map.view();
        let mut cursor = view.cursor(KeyRange::all(), Direction::Forward).expect("a cursor");
        while let Some(entry) = cursor.next().expect("a new view") {
            black_box(entry);
        }
    });
}

fn main() {
    let keys = std::env::var("VERSIONED_MAP_BENCH_KEYS").ok().and_then(|text| text.parse().ok());
    let keys: u64 = keys.unwrap_or(1_000_000);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    println!("{:<44}{:>8}{:>8}{:>8}   ns a key, {keys} keys", "", "median", "least", "most");
    let mut order: Vec<u64> = (0..keys).collect();
    (1..keys).rev().for_each(|at| order.swap(at as usize, random.below(at + 1) as usize));

    let (map, before, began) = (VersionedMap::new(), resident_bytes(), processor_nanos());
    let mut batch = BatchBuilder::new();
    for part in order.chunks(50) {
        batch.clear();
        part.iter().for_each(|number| batch.put(&key(*number), &[7; 101]).expect("within the limits"));
        map.stage(batch.as_batch()).publish();
    }
    println!("{:<44}{:>8.0}", "fill, batches of 50", (processor_nanos() - began) as f64 / keys as f64);
    println!("{:<44}{:>8.0} B", "memory a key", (resident_bytes() - before) as f64 / keys as f64);
    writes(&map, &mut random, keys);
    reads(&map, &mut random, keys);
    drop(map);

    let mut merged = VersionedMap::new();
    report("merge of changes in random order", keys, || {
        let (map, mut changes) = (VersionedMap::new(), Changes::new());
        order.iter().for_each(|number| changes.put(&key(*number), &[7; 101]));
        let mut staged = map.stage(BatchBuilder::new().as_batch());
        staged.merge(&mut changes);
        staged.publish();
        assert_eq!(map.len(), keys);
        merged = map;
    });
}
