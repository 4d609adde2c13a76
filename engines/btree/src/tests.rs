//! The tree beside a map: random edits, views, walks; every page is looked at behind each edit.

#[allow(unsafe_code, reason = "it looks at frames from outside")]
mod audit;
mod concurrency;
mod filed;
#[cfg(loom)]
mod orders;

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_api::{BatchBuilder, Buffer, Cursor, Direction, EngineError, KEY_BYTES_MAX, KeyRange};

use crate::check::census;
use crate::cursor::TreeCursor;
use crate::estimate::estimate;
use crate::frames::Bounds;
use crate::leaf_writer::LeafWriter;
use crate::pending::Pending;
use crate::record::Record;
use crate::tree::{Size, Tree, View};
use filed::Filed;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Random numbers that a seed repeats.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 8) % sides
    }

    /// Keys with long and short common beginnings, some of them huge.
    fn key(&mut self) -> Vec<u8> {
        match self.roll(40) {
            0..20 => format!("user:session:{}", self.roll(3_000)).into_bytes(),
            20..38 => {
                let len = 1 + self.roll(5);
                (0..len).map(|_| self.roll(6) as u8 * 51).collect()
            }
            38 => [vec![b'u'; 2_000 + self.roll(3) as usize * 1_500], vec![self.roll(9) as u8]].concat(),
            _ if self.roll(8) == 0 => [vec![9; 65_000], vec![self.roll(4) as u8]].concat(),
            _ => vec![255, self.roll(256) as u8],
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.roll(30) {
            0..10 => self.roll(20),
            10..26 => 50 + self.roll(200),
            26..29 => 900 + self.roll(400),
            _ => 5_000 + self.roll(30_000),
        };
        vec![self.roll(256) as u8; len as usize]
    }
}

/// An empty tree of small pages.
fn tree(cache_bytes: u64, view_bytes: u64) -> Tree {
    let bounds = Bounds { cache_bytes, retained_bytes: view_bytes };
    Tree::new(0, Arc::default(), Size::default(), 4096, bounds)
}

/// A tree of small pages, and what it should hold.
struct Pair {
    tree: Arc<Tree>,
    model: Model,
    file: Option<Filed>,
    /// What no checkpoint has.
    pending: Pending,
}

impl Pair {
    fn new(view_bytes: u64) -> Self {
        let tree = Arc::new(tree(u64::MAX, view_bytes));
        Self { tree, model: Model::new(), file: None, pending: Pending::default() }
    }

    /// Over a file, with a cache of so many bytes.
    fn filed(cache_bytes: u64) -> Self {
        let file = Filed::new(cache_bytes);
        let (tree, model, pending) = (Arc::clone(&file.tree), Model::new(), Pending::default());
        Self { tree, model, file: Some(file), pending }
    }

    fn checkpoint(&mut self) {
        if let Some(file) = &self.file {
            file.take_in(std::mem::take(&mut self.pending));
        }
    }

    fn apply(&mut self, batch: &BatchBuilder) {
        let mut edit = self.tree.edit();
        edit.apply(batch.as_batch()).unwrap();
        self.pending.add(edit.publish(), &self.tree.frames.places);
        for mutation in batch.as_batch() {
            match mutation {
                adapter_api::Mutation::Put { key, value } => {
                    drop(self.model.insert(key.to_vec(), value.to_vec()))
                }
                adapter_api::Mutation::Delete { key } => drop(self.model.remove(key)),
                adapter_api::Mutation::DeleteRange(range) => self.model.retain(|key, _| !range.contains(key)),
            }
        }
    }

    /// Writes entries that no other lies between ahead, and takes them in, or gives that up.
    fn ingest(&mut self, entries: Model, is_kept: bool) {
        let Some(file) = &self.file else { return };
        let mut writer = LeafWriter::new(file.write_ahead(), 4096);
        entries.iter().for_each(|(key, value)| writer.add(key, value).unwrap());
        let mut written = writer.finish().unwrap();
        let record = written.take_record();
        let Ok(Record::Ahead { items, .. }) = Record::parse(&record) else { panic!("another record") };
        let mut edit = self.tree.edit();
        edit.take_ahead(items).unwrap();
        if is_kept {
            written.keep();
            self.pending.add(edit.publish(), &self.tree.frames.places);
            self.model.extend(entries);
        }
    }

    /// Looks at every page, and at what is freed and what is not.
    #[track_caller]
    fn check(&self) {
        audit::check_frames(&self.tree);
        let census = census(&self.tree.frames.pin()).unwrap();
        let bytes = self.model.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        let size = Size { entries: self.model.len() as u64, bytes };
        assert_eq!((census.size, self.tree.size()), (size, size));
        let pin = self.tree.frames.pin();
        let there = (0..self.tree.turn.lock().unwrap().end()).filter(|id| pin.may_have(*id));
        assert_eq!(there.collect::<Vec<_>>(), census.ids.into_iter().collect::<Vec<_>>(), "a page is lost");
    }
}

fn walked(view: &View, range: KeyRange<'_>, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cursor = TreeCursor::new(view, range, direction);
    let mut entries = Vec::new();
    while let Some(entry) = cursor.next().unwrap() {
        entries.push((entry.key.to_vec(), entry.value.to_vec()));
    }
    entries
}

fn within(model: &Model, range: KeyRange<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    model
        .iter()
        .filter(|(key, _)| range.contains(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn batch(dice: &mut Dice, puts: u64) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for _ in 0..1 + dice.roll(6) * dice.roll(6) {
        let key = dice.key();
        match dice.roll(100) {
            roll if roll < puts => batch.put(&key, &dice.value()).unwrap(),
            99 => {
                let end = dice.key();
                let end = (dice.roll(8) > 0).then_some(&end[..]);
                batch.delete_range(KeyRange::with_end(&key, end)).unwrap();
            }
            _ => batch.delete(&key).unwrap(),
        }
    }
    batch
}

/// Keys that ascend, and that the model has none between.
fn stretch(model: &Model, dice: &mut Dice) -> Model {
    let start = dice.key();
    let key = |number: u64| [&start[..], &(number as u16).to_be_bytes()].concat();
    let keys = (0..dice.roll(300)).map(|number| key(number * 7)).filter(|key| key.len() <= KEY_BYTES_MAX);
    let end = model.range(key(0)..).next().map(|(key, _)| key);
    let values = keys.take_while(|key| end.is_none_or(|end| key < end)).map(|key| (key, dice.value()));
    values.collect()
}

fn check_reads(pair: &Pair, dice: &mut Dice) {
    let (view, mut value) = (pair.tree.view(true), Buffer::new());
    for _ in 0..20 {
        let key = dice.key();
        value.clear();
        let found = view.pin().unwrap().read(&key, &mut value).unwrap();
        assert_eq!(found.then_some(&value[..]), pair.model.get(&key).map(|value| &value[..]));
    }
    let (start, end) = (dice.key(), dice.key());
    for range in [KeyRange::all(), KeyRange::new(&start, &end), KeyRange::from_start(&start)] {
        let mut expected = within(&pair.model, range);
        assert_eq!(walked(&view, range, Direction::Forward), expected);
        let found = estimate(&view.pin().unwrap(), pair.tree.size(), range).unwrap();
        assert!(!found.exact || found.entries == expected.len() as u64, "{found:?}");
        expected.reverse();
        assert_eq!(walked(&view, range, Direction::Reverse), expected);
        check_seeks(pair, &view, range, dice);
    }
}

fn check_seeks(pair: &Pair, view: &View, range: KeyRange<'_>, dice: &mut Dice) {
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = TreeCursor::new(view, range, direction);
        for _ in 0..3 {
            let key = dice.key();
            cursor.seek(&key).unwrap();
            let mut inside = pair.model.keys().filter(|known| range.contains(known));
            let expected = match direction {
                Direction::Forward => inside.find(|known| **known >= key),
                Direction::Reverse => inside.rfind(|known| **known <= key),
            };
            assert_eq!(cursor.next().unwrap().map(|entry| entry.key.to_vec()).as_ref(), expected);
        }
    }
}

#[allow(clippy::print_stdout, reason = "a random test prints its seed")]
fn live(mut pair: Pair, seed: u64, rounds: u64) {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut held: Vec<(View, Model)> = Vec::new();
    for round in 0..rounds {
        // Whole stretches of growth and of decay.
        let puts = if round / 40 % 2 == 0 { 85 } else { 15 };
        pair.apply(&batch(&mut dice, puts));
        pair.check();
        match dice.roll(16) {
            0 => held.push((pair.tree.view(true), pair.model.clone())),
            1 if !held.is_empty() => {
                let (view, model) = held.swap_remove(dice.roll(held.len() as u64) as usize);
                assert_eq!(
                    walked(&view, KeyRange::all(), Direction::Forward),
                    within(&model, KeyRange::all())
                );
            }
            2 => check_reads(&pair, &mut dice),
            3 => {
                let mut abandoned = pair.tree.edit();
                abandoned.apply(batch(&mut dice, 50).as_batch()).unwrap();
                drop(abandoned);
                pair.check();
            }
            4..8 => {
                pair.checkpoint();
                pair.check();
            }
            8..10 => {
                let entries = stretch(&pair.model, &mut dice);
                pair.ingest(entries, dice.roll(4) > 0);
                pair.check();
            }
            _ => {}
        }
    }
    held.into_iter().for_each(|(view, model)| {
        assert_eq!(walked(&view, KeyRange::all(), Direction::Reverse).len(), model.len());
    });
}

#[test]
fn the_tree_holds_what_a_map_holds() {
    let (seeds, rounds) = if cfg!(miri) { (1, 12) } else { (16, 250) };
    (0..seeds).for_each(|seed| live(Pair::new(u64::MAX), seed, rounds));
}

#[test]
fn a_tree_whose_pages_leave_memory_holds_what_a_map_holds() {
    let (seeds, rounds) = if cfg!(miri) { (1, 8) } else { (12, 200) };
    (0..seeds).for_each(|seed| live(Pair::filed([0, 100_000][seed as usize % 2]), 100 + seed, rounds));
}

fn emptied(pair: &mut Pair, keys: u32, dice: &mut Dice) {
    let mut order: Vec<u32> = (0..keys).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, dice.roll(at as u64 + 1) as usize);
    }
    for (round, key) in order.iter().enumerate() {
        let mut batch = BatchBuilder::new();
        batch.delete(&key.to_be_bytes()).unwrap();
        pair.apply(&batch);
        if round % 500 == 0 {
            pair.check();
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter, and nothing new for it")]
fn a_tree_emptied_in_random_order_ends_as_one_leaf_and_takes_no_more_numbers_the_next_time() {
    let (mut pair, mut dice, mut numbers) = (Pair::new(u64::MAX), Dice(5), Vec::new());
    for _ in 0..4 {
        for chunk in 0..20_u32 {
            let mut batch = BatchBuilder::new();
            (0..200).for_each(|at| batch.put(&(chunk * 200 + at).to_be_bytes(), &[3; 90]).unwrap());
            pair.apply(&batch);
        }
        pair.check();
        emptied(&mut pair, 4_000, &mut dice);
        let census = census(&pair.tree.frames.pin()).unwrap();
        assert_eq!((census.ids.len(), pair.tree.depth()), (1, 1));
        pair.apply(&BatchBuilder::new());
        numbers.push(pair.tree.turn.lock().unwrap().end());
    }
    assert!(numbers[3] <= numbers[1], "{numbers:?}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter, and nothing new for it")]
fn a_delete_of_everything_leaves_one_leaf() {
    let mut pair = Pair::new(u64::MAX);
    let mut puts = BatchBuilder::new();
    (0..40_000_u32).for_each(|key| puts.put(&key.to_be_bytes(), &[7; 120]).unwrap());
    pair.apply(&puts);
    assert!(pair.tree.depth() > 2);
    let mut all = BatchBuilder::new();
    all.delete_range(KeyRange::all()).unwrap();
    pair.apply(&all);
    pair.check();
    assert_eq!(census(&pair.tree.frames.pin()).unwrap().ids.len(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter, and nothing new for it")]
fn views_hold_bounded_memory_and_then_end() {
    let limit = 200_000;
    let mut pair = Pair::new(limit);
    let put = |pair: &mut Pair, round: u32| {
        let mut batch = BatchBuilder::new();
        (0..40_u32)
            .for_each(|at| batch.put(&(at * 97).to_be_bytes(), &round.to_be_bytes().repeat(200)).unwrap());
        pair.apply(&batch);
    };
    put(&mut pair, 0);
    // One view keeps each page once, however much is written.
    let (first, model) = (pair.tree.view(true), pair.model.clone());
    (1..100).for_each(|round| put(&mut pair, round));
    assert!(pair.tree.frames.usage().retained_bytes < limit);
    assert_eq!(walked(&first, KeyRange::all(), Direction::Forward), within(&model, KeyRange::all()));
    // Many views of different versions would keep many.
    let mut views = vec![first];
    for round in 0..60 {
        views.push(pair.tree.view(true));
        put(&mut pair, round);
        assert!(pair.tree.frames.usage().retained_bytes < limit + 150_000);
    }
    assert!(matches!(views[0].pin().map(drop), Err(EngineError::ViewTooOld)));
    assert!(views.last().unwrap().pin().is_ok());
    drop(views);
    (0..3).for_each(|round| put(&mut pair, round));
    let usage = pair.tree.frames.usage();
    assert!(usage.retained_frames < 100 && usage.open_views == 0 && usage.ended_views > 0, "{usage:?}");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter, and nothing new for it")]
fn large_keys_that_lose_what_they_have_in_common_do_not_make_a_page_too_long() {
    let mut pair = Pair::new(u64::MAX);
    let large = |number: u32| [vec![b'p'; 60_000], format!("{number:03}").into_bytes()].concat();
    let small = |number: u32| format!("q{number:05}").into_bytes();
    let put = |pair: &mut Pair, keys: std::ops::Range<u32>, key: &dyn Fn(u32) -> Vec<u8>| {
        let mut batch = BatchBuilder::new();
        keys.for_each(|number| batch.put(&key(number), &[1; 40]).unwrap());
        pair.apply(&batch);
    };
    // Fences that begin alike first, then many keys between them.
    put(&mut pair, 0..4, &large);
    put(&mut pair, 996..1_000, &large);
    put(&mut pair, 0..3_000, &small);
    put(&mut pair, 100..300, &large);
    pair.check();
    // The leaf with the first keys of the range reaches to the end of it then, where no key begins like these.
    for (from, to) in [(250, 2_500), (120, 2_700), (7, 2_900)] {
        let mut batch = BatchBuilder::new();
        batch.delete_range(KeyRange::new(&large(from), &small(to))).unwrap();
        pair.apply(&batch);
        pair.check();
    }
    for number in (0..7).rev() {
        let mut batch = BatchBuilder::new();
        batch.delete(&large(number)).unwrap();
        pair.apply(&batch);
        pair.check();
    }
}

#[test]
fn a_read_that_goes_on_while_its_view_is_ended_finishes_on_what_it_sees() {
    let mut pair = Pair::new(10_000);
    let put = |pair: &mut Pair, keys: std::ops::Range<u32>, round: u8| {
        let mut batch = BatchBuilder::new();
        keys.for_each(|key| batch.put(&key.to_be_bytes(), &[round; 500]).unwrap());
        pair.apply(&batch);
    };
    put(&mut pair, 0..60, 0);
    let view = pair.tree.view(true);
    // One page is kept for the view before the read begins, more while it goes on; then the view has to end.
    put(&mut pair, 0..1, 1);
    let pin = view.pin().unwrap();
    (2..6).for_each(|round| put(&mut pair, 0..60, round));
    assert!(matches!(view.pin().map(drop), Err(EngineError::ViewTooOld)));
    for key in 0..60_u32 {
        let mut value = Buffer::new();
        assert!(pin.read(&key.to_be_bytes(), &mut value).unwrap());
        assert_eq!(value[..], [0; 500], "key {key}");
    }
    drop(pin);
    (6..9).for_each(|round| put(&mut pair, 0..60, round));
    assert!(pair.tree.frames.usage().retained_frames < 20, "then it is freed");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter, and nothing new for it")]
fn estimates_of_many_entries_are_about_right() {
    let mut pair = Pair::new(u64::MAX);
    for chunk in 0..50_u32 {
        let mut batch = BatchBuilder::new();
        (0..400).for_each(|at| batch.put(&(chunk * 400 + at).to_be_bytes(), &[1; 50]).unwrap());
        pair.apply(&batch);
    }
    let (pin, size) = (pair.tree.frames.pin(), pair.tree.size());
    for (from, to) in [(0_u32, 20_000_u32), (100, 15_000), (3_000, 9_000), (17_000, 19_999)] {
        let (start, end) = (from.to_be_bytes(), to.to_be_bytes());
        let found = estimate(&pin, size, KeyRange::new(&start, &end)).unwrap();
        let wanted = f64::from(to - from);
        assert!(
            (found.entries as f64) > wanted * 0.7 && (found.entries as f64) < wanted * 1.4,
            "{from} {to} {found:?}"
        );
    }
}
