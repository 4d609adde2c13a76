//! Tables beside a map: random entries, searches, walks, damage.

#![allow(clippy::print_stdout, reason = "a random test prints its seed")]

mod damage;

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, OpenFile};
use adapter_api::{Direction, EngineError, KEY_BYTES_MAX, KeyRange};
use crash::environment::Disk;

use super::*;
use crate::cache::Cache;
use crate::files::Graveyard;
use crate::item::{BlobRef, Item};
use crate::ranges::Ranges;
use crate::version::TableInfo;
use crate::walk::Walk;

/// A key with the encoding of its item.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);
/// Many of them.
pub(crate) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Random numbers that a seed repeats.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 8) % sides
    }

    pub(crate) fn direction(&mut self) -> Direction {
        [Direction::Forward, Direction::Reverse][self.roll(2) as usize]
    }

    /// Everything, or what lies between two keys.
    pub(crate) fn range<'a>(&mut self, start: &'a [u8], end: &'a [u8]) -> KeyRange<'a> {
        if self.roll(3) == 0 { KeyRange::all() } else { KeyRange::new(start, end) }
    }

    /// Keys with long and short common beginnings, some of them huge.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        match self.roll(400) {
            0..200 => format!("user:session:{}", self.roll(3_000)).into_bytes(),
            200..380 => (0..1 + self.roll(5)).map(|_| self.roll(6) as u8 * 51).collect(),
            380..386 => {
                [vec![b'u'; 2_000 + self.roll(3) as usize * 1_500], vec![self.roll(9) as u8]].concat()
            }
            386 => vec![255; KEY_BYTES_MAX - self.roll(2) as usize],
            387 => [vec![9; KEY_BYTES_MAX - 1], vec![self.roll(256) as u8]].concat(),
            _ => vec![255, self.roll(256) as u8],
        }
    }

    /// The encoding of an item.
    pub(crate) fn item(&mut self) -> Vec<u8> {
        let len = match self.roll(30) {
            0..10 => self.roll(20),
            10..26 => 50 + self.roll(200),
            26..29 => 900 + self.roll(400),
            _ => 5_000 + self.roll(30_000),
        };
        let value = vec![self.roll(256) as u8; len as usize];
        let blob =
            BlobRef { file: 3 + self.roll(4), offset: self.roll(1 << 40), bytes: len as u32, checksum: 1 };
        let item = match self.roll(8) {
            0 => Item::Tombstone,
            1 => Item::Blob(blob),
            _ => Item::Value(&value),
        };
        let mut out = Vec::new();
        item.encode(&mut out);
        out
    }

    pub(crate) fn model(&mut self, keys: u64) -> Model {
        (0..keys).map(|_| (self.key(), self.item())).collect()
    }
}

pub(crate) const PLAIN: TableOptions = TableOptions {
    block_bytes: 8192,
    filter: FilterKind::Fuse8,
    compression: Compression::None,
    cause: Cause::Flush,
};

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

fn options(dice: &mut Dice) -> TableOptions {
    TableOptions {
        block_bytes: [4096, 8192, 16384, 65536][dice.roll(4) as usize],
        filter: [FilterKind::Off, FilterKind::Fuse8, FilterKind::Fuse16][dice.roll(3) as usize],
        compression: COMPRESSIONS[dice.roll(3) as usize],
        cause: Cause::Compaction,
    }
}

/// A table with its surroundings.
pub(crate) struct Shelf {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) graveyard: Arc<Graveyard>,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self::of(&Disk::with_contents(&[]), 8 << 20)
    }

    pub(crate) fn of(disk: &Disk, cache: u64) -> Self {
        let graveyard = Arc::default();
        Self { directory: disk.root(), cache: Cache::new(cache), graveyard }
    }

    pub(crate) fn write(&self, id: u64, options: TableOptions, model: &Model, ranges: Ranges) -> TableInfo {
        let mut builder = TableBuilder::create(&*self.directory, id, options).unwrap();
        for (key, item) in model {
            builder.add(key, Item::decode(item).unwrap()).unwrap();
        }
        builder.finish(ranges).unwrap()
    }

    pub(crate) fn open(&self, info: TableInfo) -> Result<Arc<Table>, EngineError> {
        Table::open(&*self.directory, info, &self.cache, &self.graveyard)
    }

    pub(crate) fn table(&self, id: u64, model: &Model) -> Arc<Table> {
        self.open(self.write(id, PLAIN, model, Ranges::default())).unwrap()
    }

    fn bytes(&self, id: u64) -> Vec<u8> {
        let file = self.directory.open_file(&table_name(id), OpenFile::READ).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        bytes
    }

    fn put(&self, id: u64, bytes: &[u8]) {
        let file = self.directory.open_file(&table_name(id), OpenFile::WRITE).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_at(&[IoSlice::new(bytes)], 0, Cause::Other).unwrap();
    }
}

fn encoded(item: Item<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    item.encode(&mut out);
    out
}

fn find(table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
    match table.find(&Sought::new(key, true), |item| Ok(encoded(item)))? {
        Answer::Says(item) => Ok(Some(item)),
        Answer::Nothing => Ok(None),
        Answer::WouldBlock => panic!("a search that may wait blocks"),
    }
}

pub(crate) fn collect(walk: &mut impl Walk) -> Result<Vec<Entry>, EngineError> {
    let mut all = Vec::new();
    while walk.advance()? {
        all.push((walk.key().to_vec(), encoded(walk.item())));
    }
    Ok(all)
}

pub(crate) fn expected(model: &Model, range: KeyRange<'_>, direction: Direction) -> Vec<Entry> {
    let mut all: Vec<_> = model.iter().filter(|(key, _)| range.contains(key)).collect();
    if direction == Direction::Reverse {
        all.reverse();
    }
    all.into_iter().map(|(key, item)| (key.clone(), item.clone())).collect()
}

#[test]
fn what_compresses_is_found_behind_what_does_not() {
    let (shelf, mut dice) = (Shelf::new(), Dice(6));
    let key = |number: u32| number.to_be_bytes().to_vec();
    let mut noise = || (0..501).map(|at| if at == 0 { 0 } else { dice.roll(256) as u8 }).collect();
    let mut model: Model = (0..2000).map(|number| (key(number), noise())).collect();
    let options = TableOptions { block_bytes: 4096, compression: Compression::Lz4, ..PLAIN };
    let alone = shelf.write(1, options, &model, Ranges::default()).bytes;
    model.extend((2000..6000).map(|number| (key(number), vec![0; 501])));
    let both = shelf.write(2, options, &model, Ranges::default()).bytes;
    // Of some 500 blocks no more than 32 are stored as they are.
    assert!(both - alone < 4000 * 500 / 8, "{alone} bytes of noise, {both} with what compresses behind it");
}

#[test]
fn a_table_finds_what_was_put_there_and_nothing_else() {
    for seed in 0..24 {
        println!("seed {seed}");
        let (mut dice, shelf) = (Dice(seed), Shelf::new());
        let (options, keys) = (options(&mut dice), [1, 5, 300, 3_000][dice.roll(4) as usize]);
        let model = dice.model(keys);
        let info = shelf.write(seed, options, &model, Ranges::default());
        let bytes: usize = model
            .iter()
            .map(|(key, item)| key.len() + Item::decode(item).unwrap().value_bytes() as usize)
            .sum();
        assert_eq!((info.entries, info.data_bytes), (model.len() as u64, bytes as u64), "seed {seed}");
        assert_eq!(info.bytes, shelf.bytes(seed).len() as u64, "seed {seed}");
        let table = shelf.open(info).unwrap();
        for number in 0..table.index.count() {
            let block = table.load_block(number).unwrap();
            let is_short = block.page().bytes().len() <= options.block_bytes;
            assert!(is_short || block.page().count() == 1, "seed {seed}");
        }
        for (key, item) in &model {
            assert_eq!(find(&table, key).unwrap().as_ref(), Some(item), "seed {seed}");
        }
        for key in (0..500).map(|_| dice.key()).filter(|key| !model.contains_key(key)) {
            assert_eq!(find(&table, &key).unwrap(), None, "seed {seed}");
        }
        let mut found = Vec::new();
        table.verify(&mut |error| found.push(error.to_string())).unwrap();
        assert_eq!(found, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_walk_brings_a_range_in_order_from_wherever_it_is_told_to_begin() {
    for seed in 100..124 {
        println!("seed {seed}");
        let (mut dice, shelf) = (Dice(seed), Shelf::new());
        let options = options(&mut dice);
        let model = dice.model(1_500);
        let table = shelf.open(shelf.write(seed, options, &model, Ranges::default())).unwrap();
        for _ in 0..30 {
            let (start, end) = (dice.key(), dice.key());
            let range = match dice.roll(4) {
                0 => KeyRange::all(),
                1 => KeyRange::from_start(&start),
                _ => KeyRange::new(&start, &end),
            };
            let direction = dice.direction();
            let mut walk = table.walk(&Bounds::new(range), direction, dice.roll(2) == 1);
            let all = expected(&model, range, direction);
            assert_eq!(collect(&mut walk).unwrap(), all, "seed {seed}");
            let key = dice.key();
            walk.seek(&key).unwrap();
            let is_left = |(it, _): &&Entry| match direction {
                Direction::Forward => *it >= key,
                Direction::Reverse => *it <= key,
            };
            let left: Vec<_> = all.iter().filter(is_left).cloned().collect();
            assert_eq!(collect(&mut walk).unwrap(), left, "seed {seed}");
        }
    }
}

#[test]
fn what_is_not_in_memory_would_block_a_search_that_may_not_wait() {
    let shelf = Shelf::new();
    let model = Dice(7).model(2_000);
    let table = shelf.table(1, &model);
    for (key, item) in &model {
        let now = Sought::new(key, false);
        let before = table.find(&now, |_| Ok(())).unwrap();
        assert_eq!(find(&table, key).unwrap().as_ref(), Some(item));
        assert_eq!(table.find(&now, |_| Ok(())).unwrap(), Answer::Says(()));
        assert_ne!(before, Answer::Nothing);
    }
    let usage = shelf.cache.usage();
    assert!(usage.misses > 10 && usage.bytes > 0 && usage.pinned > 0, "{usage:?}");
    let first = model.keys().next().unwrap();
    let other = shelf.table(2, &model);
    assert_eq!(other.find(&Sought::new(first, false), |_| Ok(())).unwrap(), Answer::WouldBlock);
}

#[test]
fn the_cache_keeps_to_its_budget_and_to_what_is_used() {
    let shelf = Shelf::of(&Disk::with_contents(&[]), 2 << 20);
    let value = encoded(Item::Value(&[7; 1_000]));
    let model: Model =
        (0..6_000).map(|number| (format!("key{number:06}").into_bytes(), value.clone())).collect();
    let table = shelf.table(1, &model);
    let mut walk = table.walk(&Bounds::new(KeyRange::all()), Direction::Forward, false);
    while walk.advance().unwrap() {
        assert_eq!(find(&table, b"key000777").unwrap().as_ref(), Some(&value));
    }
    drop(walk);
    let usage = shelf.cache.usage();
    assert!(usage.bytes + usage.pinned <= 2 << 20 && usage.bytes > 1 << 20, "{usage:?}");
    assert_eq!(usage.misses, table.index.count() as u64, "what is used stays");
    let often: Vec<_> = model.keys().step_by(70).take(40).collect();
    let read_often = || often.iter().for_each(|key| assert!(find(&table, key).unwrap().is_some()));
    (0..40).for_each(|_| read_often());
    let before = shelf.cache.usage().misses;
    read_often();
    let usage = shelf.cache.usage();
    assert_eq!(usage.misses, before, "what is read often comes in and stays");
    shelf.cache.set_reserved(2 << 20);
    assert!(shelf.cache.usage().bytes <= 1 << 20);
    assert_eq!(
        collect(&mut table.walk(&Bounds::new(KeyRange::all()), Direction::Forward, true)).unwrap().len(),
        6_000
    );
    assert_eq!(shelf.cache.usage().misses, usage.misses, "a walk that comes once leaves the cache alone");
    drop(table);
    let usage = shelf.cache.usage();
    assert_eq!((usage.bytes, usage.pinned), (0, 0));
}

#[test]
fn a_full_cache_takes_in_few_of_the_blocks_that_are_read_once() {
    let shelf = Shelf::of(&Disk::with_contents(&[]), 2 << 20);
    let value = encoded(Item::Value(&[7; 1_000]));
    let model: Model =
        (0..8_000).map(|number| (format!("key{number:06}").into_bytes(), value.clone())).collect();
    let table = shelf.table(1, &model);
    let is_in = |block: &usize| table.slots.get(*block).is_some();
    let room = 200;
    (0..room).for_each(|block| drop(table.load_block(block).unwrap()));
    assert!((0..room).all(|block| is_in(&block)), "where there is room everything comes in");
    (room..table.index.count()).for_each(|block| drop(table.load_block(block).unwrap()));
    let (there, usage) = ((0..room).filter(is_in).count(), shelf.cache.usage());
    assert!(usage.evictions > 80 && there > 50, "{there} of {room} blocks are still in memory, {usage:?}");
    assert!(usage.bytes + usage.pinned <= 2 << 20, "{usage:?}");
}

#[test]
fn blocks_that_do_not_compress_begin_and_end_with_sectors() {
    let mut dice = Dice(8);
    let mut noise =
        |bytes: usize| (0..bytes).map(|at| if at == 0 { 0 } else { dice.roll(256) as u8 }).collect();
    for (block_bytes, compression) in [(4096, Compression::None), (8192, Compression::Lz4)] {
        let model: Model = (0..3_000_u32).map(|number| (number.to_be_bytes().to_vec(), noise(151))).collect();
        let shelf = Shelf::new();
        let options = TableOptions { block_bytes, compression, ..PLAIN };
        let table = shelf.open(shelf.write(1, options, &model, Ranges::default())).unwrap();
        let all = table.index.count() - 1;
        for number in 0..all {
            let place = table.index.place(number);
            assert_eq!(place.end - place.start, block_bytes as u64, "block {number} of {all}");
        }
        assert_eq!(
            collect(&mut table.walk(&Bounds::new(KeyRange::all()), Direction::Forward, true)).unwrap().len(),
            3_000
        );
    }
    // Entries of which two fill two thirds of a block: to fill up the rest would cost a third of the disk.
    let model: Model = (0..100_u32).map(|number| (number.to_be_bytes().to_vec(), noise(1_361))).collect();
    let bytes =
        Shelf::new().write(1, TableOptions { block_bytes: 4096, ..PLAIN }, &model, Ranges::default()).bytes;
    assert!(bytes < 100 * 1_500 * 9 / 8, "{bytes} bytes for 136 KB");
}

#[test]
fn a_table_has_ranges_alone_or_bounds_that_hold_both() {
    let shelf = Shelf::new();
    let mut ranges = Ranges::default();
    ranges.add(KeyRange::new(b"b", b"d"));
    let info = shelf.write(1, PLAIN, &Model::new(), ranges.clone());
    assert_eq!((&*info.lower, info.upper.as_deref(), info.entries), (&b"b"[..], Some(&b"d"[..]), 0));
    let table = shelf.open(info).unwrap();
    assert_eq!(table.ranges(), &ranges);
    assert_eq!(find(&table, b"c").unwrap(), None);
    assert!(!table.walk(&Bounds::new(KeyRange::all()), Direction::Reverse, false).advance().unwrap());
    assert_eq!(table.estimate(KeyRange::all()), (0, 0));
    let model =
        Model::from([(b"a".to_vec(), encoded(Item::Tombstone)), (b"x".to_vec(), encoded(Item::Value(b"v")))]);
    let info = shelf.write(2, PLAIN, &model, ranges.clone());
    assert_eq!((&*info.lower, info.upper.as_deref()), (&b"a"[..], Some(&b"x\0"[..])));
    assert_eq!((info.entries, info.tombstones, info.data_bytes), (2, 1, 3));
    ranges.add(KeyRange::from_start(b"c"));
    assert_eq!(shelf.write(3, PLAIN, &model, ranges).upper, None);
    let last = Model::from([(vec![255; KEY_BYTES_MAX], encoded(Item::Tombstone))]);
    let info = shelf.write(4, PLAIN, &last, Ranges::default());
    assert_eq!(info.upper, None);
    assert!(find(&shelf.open(info).unwrap(), &[255; KEY_BYTES_MAX]).unwrap().is_some());
}

#[test]
fn an_estimate_is_near_and_exact_where_blocks_are_in_memory() {
    let shelf = Shelf::new();
    let value = encoded(Item::Value(&[7; 91]));
    let model: Model =
        (0..5_000).map(|number| (format!("key{number:06}").into_bytes(), value.clone())).collect();
    let table = shelf.table(1, &model);
    let range = KeyRange::new(b"key001000", b"key003000");
    let (entries, bytes) = table.estimate(range);
    assert!(entries.abs_diff(2_000) < 150 && bytes == entries * 100, "{entries} {bytes}");
    assert_eq!(shelf.cache.usage().misses, 0);
    find(&table, b"key001000").unwrap();
    find(&table, b"key003000").unwrap();
    assert_eq!(table.estimate(range), (2_000, 200_000));
    assert_eq!(table.estimate(KeyRange::all()), (5_000, 500_000));
    assert_eq!(table.estimate(KeyRange::from_start(b"l")), (0, 0));
}

#[test]
fn filters_say_no_of_most_keys_that_are_not_there() {
    for (filter, per_million) in [(FilterKind::Fuse8, 5_000), (FilterKind::Fuse16, 40)] {
        let shelf = Shelf::new();
        let item = encoded(Item::Tombstone);
        let model: Model =
            (0..20_000).map(|number: u32| (number.to_be_bytes().to_vec(), item.clone())).collect();
        let info = shelf.write(1, TableOptions { filter, ..PLAIN }, &model, Ranges::default());
        let table = shelf.open(info).unwrap();
        for number in 0..400_000_u32 {
            // A zero byte behind the key: between two keys, so the index cannot say no.
            let key = [&(number % 20_000).to_be_bytes()[..], &[0], &number.to_be_bytes()].concat();
            assert_eq!(find(&table, &key).unwrap(), None);
        }
        let usage = table.filter_usage();
        assert!(usage.checks.abs_diff(400_000) < 20_000, "{usage:?}");
        assert!(usage.false_positives * 1_000_000 / usage.checks <= per_million, "{usage:?}");
        drop(table);
        assert_eq!(shelf.cache.usage().past_filters, usage);
    }
}

#[test]
fn a_retired_table_is_removed_when_nobody_has_it() {
    let shelf = Shelf::new();
    let table = shelf.table(5, &Dice(1).model(10));
    let walk = table.walk(&Bounds::new(KeyRange::all()), Direction::Forward, false);
    table.retire();
    drop(table);
    assert_eq!(shelf.graveyard.take(), Vec::<String>::new());
    drop(walk);
    assert_eq!(shelf.graveyard.take(), vec![table_name(5)]);
}
