//! Compactions of real tables on the simulated disk, beside a map of what every key should have.

use std::collections::BTreeMap;
use std::io::IoSlice;

use adapter_api::Buffer;
use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::environment::{Cause, OpenFile};
use crash::environment::Disk;
use crash::image::mix;

use super::*;
use crate::blob::{BlobFile, BlobWriter};
use crate::cache::Cache;
use crate::files::{blob_name, number_in};
use crate::picker::{Descent, PickOptions, Reason, Style, pick};
use crate::table::{Answer, Compression, FilterKind, Sought};

const KEYS: u64 = 600;
const TABLE_BYTES: u64 = 6_000;
const TABLE: TableOptions = TableOptions {
    block_bytes: 4096,
    filter: FilterKind::Fuse8,
    compression: Compression::None,
    cause: Cause::Compaction,
};

/// What a flush writes of a key.
enum Written {
    Value(Vec<u8>),
    Long(Vec<u8>),
    Deleted,
}

struct World {
    disk: Disk,
    directory: Arc<dyn Directory>,
    cache: Arc<Cache>,
    graveyard: Arc<Graveyard>,
    ids: Arc<AtomicU64>,
    version: Version,
    truth: BTreeMap<Vec<u8>, Vec<u8>>,
    options: PickOptions,
    table_bytes: u64,
    dice: u64,
}

fn key(number: u64) -> Vec<u8> {
    format!("key-{number:05}").into_bytes()
}

impl World {
    fn new(style: Style, seed: u64) -> Self {
        let disk = Disk::default();
        let options = PickOptions {
            style,
            ratio: 4,
            runs_max: 3,
            base_bytes: 2 * TABLE_BYTES,
            table_bytes: TABLE_BYTES,
            blob_bytes: BTreeMap::new(),
        };
        Self {
            directory: disk.root(),
            disk,
            cache: Cache::new(1 << 20),
            graveyard: Arc::default(),
            ids: Arc::new(AtomicU64::new(1)),
            version: Version::default(),
            truth: BTreeMap::new(),
            options,
            table_bytes: TABLE_BYTES,
            dice: mix(seed),
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = mix(self.dice);
        (self.dice >> 20) % sides
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let seed = self.roll(1 << 30);
        (0..length).map(|at| mix(seed << 32 | at) as u8).collect()
    }

    fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn random_flush(&mut self) {
        let mut words = BTreeMap::new();
        let (place, width) = (self.roll(KEYS), 1 + self.roll(KEYS));
        for _ in 0..self.roll(120) {
            let length = 10 + self.roll(150);
            let written = match self.roll(10) {
                0..2 => Written::Deleted,
                2..4 => Written::Long(self.bytes(10 * length)),
                _ => Written::Value(self.bytes(length)),
            };
            words.insert(key((place + self.roll(width)) % KEYS), written);
        }
        let mut ranges = Ranges::default();
        for _ in 0..self.roll(5).saturating_sub(2) {
            let start = self.roll(KEYS);
            let (start, end) = (key(start), key(start + 1 + self.roll(KEYS / 5)));
            ranges.add(KeyRange::with_end(&start, (self.roll(20) > 0).then_some(&*end)));
        }
        self.flush(words, ranges);
    }

    /// Writes a run of level 0.
    fn flush(&mut self, words: BTreeMap<Vec<u8>, Written>, ranges: Ranges) {
        let (id, file) = (self.id(), self.id());
        let mut builder = TableBuilder::create(&*self.directory, id, TABLE).unwrap();
        let mut blobs = BlobWriter::create(&*self.directory, file, Cause::Blob).unwrap();
        self.truth.retain(|key, _| !ranges.covers(key));
        for (key, written) in words {
            let (item, value) = match &written {
                Written::Value(value) => (Item::Value(value), Some(value)),
                Written::Long(value) => (Item::Blob(blobs.add(&key, value).unwrap()), Some(value)),
                Written::Deleted => (Item::Tombstone, None),
            };
            builder.add(&key, item).unwrap();
            match value {
                Some(value) => drop(self.truth.insert(key, value.clone())),
                None => drop(self.truth.remove(&key)),
            }
        }
        self.options.blob_bytes.insert(file, blobs.finish().unwrap());
        if builder.is_empty() && ranges.is_empty() {
            return;
        }
        let info = builder.finish(ranges).unwrap();
        self.directory.sync().unwrap();
        let edit = Edit { added: vec![(Place { level: 0, run: id }, info)], ..Edit::default() };
        self.install(&edit);
    }

    fn install(&mut self, edit: &Edit) {
        let new = edit.added.iter().filter(|(_, info)| !edit.removed.contains(&info.id));
        let open = |(_, info): &(Place, TableInfo)| {
            Table::open(&*self.disk.root(), info.clone(), &self.cache, &self.graveyard).unwrap()
        };
        let opened: Vec<_> = new.map(open).collect();
        for number in opened.iter().flat_map(|table| &table.info.blobs).map(|(number, _)| *number) {
            let file = BlobFile::open(&*self.disk.root(), number, &self.graveyard).unwrap();
            self.options.blob_bytes.insert(number, file.bytes());
        }
        self.version = self.version.after(edit, &opened);
        for (_, run) in self.version.runs() {
            let overlaps = |two: &[Arc<Table>]| two[0].info.overlaps(two[1].info.range());
            assert!(!run.tables().windows(2).any(overlaps), "two tables of a run overlap");
        }
    }

    fn workshop(&self, directory: &Arc<dyn Directory>) -> Workshop {
        Workshop {
            directory: Arc::clone(directory),
            graveyard: Arc::clone(&self.graveyard),
            ids: Arc::clone(&self.ids),
            table: TABLE,
            table_bytes: self.table_bytes,
        }
    }

    fn picked(&self) -> Option<Plan> {
        pick(&Shape::of(&self.version), &self.options)
    }

    fn begin(&self, plan: Plan) -> Compaction {
        Compaction::begin(&self.version, plan, self.workshop(&self.directory), None).unwrap()
    }

    fn carry_out(&mut self, plan: Plan) {
        let mut compaction = self.begin(plan);
        while !compaction.step().unwrap() {}
        let (done, total) = compaction.progress();
        assert_eq!(done, total);
        let edit = compaction.edit();
        self.install(&edit);
        for (_, info) in &edit.added {
            let tables = self.version.tables().find(|(_, table)| table.info.id == info.id);
            let (mut findings, (_, table)) = (Vec::new(), tables.unwrap());
            table.verify(&mut |finding| findings.push(finding)).unwrap();
            assert!(findings.is_empty(), "{findings:?}");
        }
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        for (_, run) in self.version.runs() {
            let read = |item: Item<'_>| match item {
                Item::Value(value) => Ok(Some(value.to_vec())),
                Item::Tombstone => Ok(None),
                Item::Blob(at) => {
                    let mut value = Buffer::new();
                    let file = BlobFile::open(&*self.disk.root(), at.file, &self.graveyard)?;
                    file.read(at, key, &mut value).map(|()| Some(value.to_vec()))
                }
            };
            match run.find(&Sought::new(key, true), read).unwrap() {
                Answer::Says(value) => return value,
                _ if run.covers(key) => return None,
                _ => {}
            }
        }
        None
    }

    fn check(&self) {
        for number in 0..KEYS {
            let key = key(number);
            assert!(self.get(&key) == self.truth.get(&key).cloned(), "key {number}");
        }
    }

    fn names(&self) -> Vec<String> {
        self.disk.contents().into_iter().map(|(name, _)| name).collect()
    }

    /// Long values in files that are said to have had more of them, in runs that are to be merged.
    fn with_poor_blobs(seed: u64) -> Self {
        let mut world = Self::new(Style::Leveled, seed);
        for turn in 0..3 {
            let words = (0..60).map(|n| {
                let value = mix(n ^ turn << 20).to_le_bytes().repeat(40);
                (key(n * 3), if n < 20 { Written::Long(value) } else { Written::Value(value) })
            });
            world.flush(words.collect(), Ranges::default());
        }
        world.options.blob_bytes.values_mut().for_each(|bytes| *bytes *= 3);
        world
    }
}

#[test]
fn random_runs_have_the_same_values_after_every_compaction() {
    for (style, seed) in
        [Style::Leveled, Style::LazyLeveled].into_iter().flat_map(|it| (0..6).map(move |n| (it, n)))
    {
        let mut world = World::new(style, seed);
        // Few levels, or many.
        world.options.base_bytes = [TABLE_BYTES / 4, TABLE_BYTES][seed as usize % 2];
        let mut reasons = Vec::new();
        for turn in 0..50 {
            world.random_flush();
            for _ in 0..world.roll(4) {
                let Some(plan) = world.picked() else { break };
                reasons.push(plan.reason);
                world.carry_out(plan);
            }
            if turn % 10 == 0 {
                world.check();
            }
        }
        while let Some(plan) = world.picked() {
            world.carry_out(plan);
            world.check();
        }
        let mut all = Descent::new(KeyRange::all(), u64::MAX);
        while let Some(plan) = all.pick(&Shape::of(&world.version), &world.options) {
            world.carry_out(plan);
        }
        world.check();
        // Nothing is left but what is live.
        let entries: u64 = world.version.tables().map(|(_, table)| table.info.entries).sum();
        assert_eq!(entries, world.truth.len() as u64, "{style:?}, seed {seed}");
        assert!(reasons.contains(&Reason::Level) && reasons.contains(&Reason::Blobs), "{reasons:?}");
    }
}

#[test]
fn a_call_that_fails_leaves_the_inputs_and_no_file_but_those_that_are_told() {
    let mut at = 1;
    loop {
        let mut world = World::with_poor_blobs(1);
        let before = world.names();
        let plan = world.picked().unwrap();
        assert!(!plan.blobs_to_collect.is_empty());
        let faults = FaultPlan::once([Fault::Error, Fault::NoSpace, Fault::ShortWrite][at as usize % 3], at);
        let faulty: Arc<dyn Directory> =
            Arc::new(FaultyDirectory::new(world.disk.root(), Arc::clone(&faults)));
        let mut compaction =
            Compaction::begin(&world.version, plan.clone(), world.workshop(&faulty), None).unwrap();
        let outcome = loop {
            match compaction.step() {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
        };
        if !faults.reached() {
            assert!(outcome.is_ok() && at > 8, "{at} calls");
            break;
        }
        assert!(outcome.is_err() && compaction.step().is_err(), "call {at}");
        let files = compaction.abandon();
        files.iter().for_each(|name| drop(world.disk.root().remove(name)));
        assert_eq!(world.names(), before, "call {at}");
        world.check();
        world.carry_out(plan);
        world.check();
        at += 1;
    }
}

#[test]
fn what_is_done_is_durable_with_its_names() {
    let world = World::with_poor_blobs(2);
    let mut compaction = world.begin(world.picked().unwrap());
    while !compaction.step().unwrap() {}
    let edit = compaction.edit();
    let after = world.disk.cut_to_durable();
    for (_, info) in &edit.added {
        Table::open(&*after.root(), info.clone(), &world.cache, &world.graveyard).unwrap();
        for (number, _) in &info.blobs {
            BlobFile::open(&*after.root(), *number, &world.graveyard).unwrap();
        }
    }
    let files: Vec<_> = compaction.abandon();
    assert_eq!(files.iter().filter(|name| number_in(name, "blob-").is_some()).count(), 1);
    assert!(files.iter().all(|name| after.contents().iter().any(|(other, _)| other == name)));
}

#[test]
fn values_leave_poor_blob_files_as_they_are() {
    let mut world = World::with_poor_blobs(3);
    let poor: Vec<_> = world.options.blob_bytes.keys().copied().collect();
    let plan = world.picked().unwrap();
    let collected = plan.blobs_to_collect.clone();
    assert!(!collected.is_empty());
    world.carry_out(plan);
    let live = world.version.blob_bytes();
    assert!(live.keys().all(|number| !collected.contains(number)), "{live:?} of {poor:?}");
    // Nobody needs them any more.
    for number in collected {
        world.disk.root().remove(&blob_name(number)).unwrap();
    }
    world.check();
}

#[test]
fn a_step_is_bounded_also_where_one_value_is_long() {
    let mut world = World::new(Style::Leveled, 4);
    (world.table_bytes, world.options.table_bytes) = (1 << 22, 1 << 22);
    for turn in 0..3 {
        let mut words = BTreeMap::new();
        for n in 0..600 {
            words.insert(key(n), Written::Value(world.bytes(2000)));
        }
        words.insert(key(300), Written::Long(world.bytes(5 << 20)));
        if turn == 2 {
            words.insert(key(301), Written::Long(world.bytes(100)));
        }
        world.flush(words, Ranges::default());
    }
    // Every file is poor.
    world.options.blob_bytes.values_mut().for_each(|bytes| *bytes *= 4);
    let mut compaction = world.begin(world.picked().unwrap());
    let (mut steps, mut before) = (0, 0);
    while !compaction.step().unwrap() {
        let (tables, blobs) = compaction.bytes_written();
        assert!(tables + blobs - before < 2 * STEP_BYTES as u64, "step {steps}");
        (steps, before) = (steps + 1, tables + blobs);
    }
    assert!(steps >= 6, "{steps} steps");
    let read: u64 = compaction.bytes_read().map(|(_, bytes)| bytes).sum();
    assert_eq!(read, world.version.levels[0].bytes());
    let edit = compaction.edit();
    world.install(&edit);
    world.check();
}

#[test]
fn a_step_is_bounded_also_where_many_short_ranges_delete_most_of_what_it_reads() {
    let mut world = World::new(Style::Leveled, 8);
    (world.table_bytes, world.options.table_bytes) = (1 << 24, 1 << 24);
    for _ in 0..2 {
        let words = (0..20_000).map(|n| (key(n), Written::Value(vec![7; 200])));
        world.flush(words.collect(), Ranges::default());
    }
    let mut ranges = Ranges::default();
    // So few keys in a row that nothing is gained by seeking.
    for n in (0..20_000).filter(|n| n % 8 < 7) {
        ranges.add(KeyRange::new(&key(n), &[&*key(n), &[0]].concat()));
    }
    world.flush(BTreeMap::new(), ranges);
    let mut compaction = world.begin(world.picked().unwrap());
    let mut steps = 0;
    while !compaction.step().unwrap() {
        steps += 1;
    }
    assert!(steps >= 3, "{steps} steps for 8 MB");
    let edit = compaction.edit();
    world.install(&edit);
    assert_eq!(world.version.tables().map(|(_, table)| table.info.entries).sum::<u64>(), 2_500);
    world.check();
}

fn flip(disk: &Disk, name: &str, at: u64) {
    let file = disk.root().open_file(name, OpenFile::WRITE).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[IoSlice::new(&[byte[0] ^ 1])], at, Cause::Other).unwrap();
}

#[test]
fn a_damaged_input_ends_a_compaction_and_one_that_goes_as_a_whole_is_not_even_read() {
    for covered in [false, true] {
        let mut world = World::new(Style::Leveled, 5);
        for _ in 0..2 {
            let words = (0..100).map(|n| (key(n), Written::Value(vec![7; 100])));
            world.flush(words.collect(), Ranges::default());
        }
        let damaged = world.version.tables().next().unwrap().1.info.id;
        flip(&world.disk, &table_name(damaged), 100);
        let mut ranges = Ranges::default();
        ranges.add(KeyRange::with_end(&key(0), covered.then_some(&key(100))));
        if !covered {
            ranges = Ranges::default();
        }
        world.flush([(key(5), Written::Value(vec![1]))].into(), ranges);
        let plan = world.picked().unwrap();
        let mut compaction = world.begin(plan);
        let read: u64 = compaction.bytes_read().map(|(_, bytes)| bytes).sum();
        assert_eq!(read < world.version.levels[0].bytes() / 2, covered);
        match compaction.step() {
            Ok(true) => {
                assert!(covered);
                let edit = compaction.edit();
                assert_eq!(edit.removed.len(), 3);
                world.install(&edit);
                world.check();
            }
            outcome => {
                assert!(!covered && matches!(outcome, Err(EngineError::Corrupt { .. })), "{outcome:?}");
                assert!(compaction.abandon().len() <= 1);
            }
        }
    }
}

#[test]
fn tables_are_cut_at_their_length_and_ranges_with_them() {
    let mut world = World::new(Style::Leveled, 6);
    // What lies below, so that ranges are kept.
    let below = (0..KEYS).map(|n| (key(n), Written::Value(vec![3; 100])));
    world.flush(below.collect(), Ranges::default());
    let down =
        Descent::new(KeyRange::all(), u64::MAX).pick(&Shape::of(&world.version), &world.options).unwrap();
    world.carry_out(down);
    let mut ranges = Ranges::default();
    ranges.add(KeyRange::from_start(&key(0)));
    let some = (0..KEYS).step_by(2).map(|n| (key(n), Written::Value(vec![4; 100])));
    world.flush(some.collect(), ranges);
    let source = Place { level: 0, run: world.version.levels[0].runs[0].number() };
    let id = world.version.levels[0].tables().next().unwrap().info.id;
    let plan = Plan {
        inputs: vec![(source, vec![id])],
        target: Place { level: 3, run: source.run },
        drops_tombstones: false,
        is_move: false,
        reason: Reason::Asked,
        blobs_to_collect: Default::default(),
    };
    world.carry_out(plan);
    let tables: Vec<_> = world.version.levels[3].tables().collect();
    assert!(tables.len() > 3 && tables.iter().all(|table| table.info.bytes < 2 * TABLE_BYTES));
    for table in &tables {
        let [span] = table.ranges().spans() else { panic!("{:?}", table.ranges()) };
        assert_eq!(span.end, table.info.upper);
    }
    assert_eq!(tables.last().unwrap().info.upper, None);
    world.check();
}

#[test]
fn a_move_writes_nothing_and_a_plan_of_another_version_is_refused() {
    let mut world = World::new(Style::Leveled, 7);
    let words = (0..60).map(|n| (key(n), Written::Value(vec![3; 100])));
    world.flush(words.collect(), Ranges::default());
    let plan =
        Descent::new(KeyRange::all(), u64::MAX).pick(&Shape::of(&world.version), &world.options).unwrap();
    assert!(plan.is_move);
    let before = world.names();
    let mut compaction = world.begin(plan.clone());
    assert!(compaction.step().unwrap());
    assert_eq!((compaction.bytes_read().count(), compaction.bytes_written()), (0, (0, 0)));
    let edit = compaction.edit();
    world.install(&edit);
    assert_eq!(world.names(), before);
    world.check();
    assert!(Compaction::begin(&world.version, plan, world.workshop(&world.directory), None).is_err());
}
