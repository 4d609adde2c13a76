//! A store whose tables are maps in memory, and a model that knows the newest word on every key.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use adapter_api::KeyRange;
use crash::image::mix;

use crate::picker::shape::{RunShape, TableShape, bytes_of};
use crate::picker::{LAST, PickOptions, Plan, Reason, Shape, Style, pick};
use crate::ranges::Ranges;
use crate::version::{Place, TableInfo};

pub(super) const KEYS: u64 = 2000;
const VALUE_BYTES: u64 = 100;
pub(super) const TABLE_BYTES: u64 = 8_000;
const LONG_BYTES: u64 = 1000;

/// What a table says of a key: which write it was, and which blob file has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Put { write: u64, file: Option<u64> },
    Tombstone,
}

type Words = BTreeMap<Vec<u8>, Word>;

#[derive(Clone, Default)]
struct Content {
    words: Words,
    ranges: Ranges,
}

pub(super) struct World {
    pub(super) shape: Shape,
    contents: BTreeMap<u64, Content>,
    pub(super) options: PickOptions,
    truth: BTreeMap<Vec<u8>, u64>,
    next_id: u64,
    pub(super) writes: u64,
    pub(super) flushed_bytes: u64,
    pub(super) written_bytes: u64,
    dice: u64,
}

pub(super) fn key(number: u64) -> Vec<u8> {
    format!("{number:05}").into_bytes()
}

pub(super) fn options(style: Style) -> PickOptions {
    PickOptions {
        style,
        ratio: 4,
        runs_max: 3,
        base_bytes: 3 * TABLE_BYTES,
        table_bytes: TABLE_BYTES,
        blob_bytes: BTreeMap::new(),
    }
}

impl World {
    pub(super) fn new(style: Style, seed: u64) -> Self {
        Self {
            shape: Shape::default(),
            contents: BTreeMap::new(),
            options: options(style),
            truth: BTreeMap::new(),
            next_id: 1,
            writes: 0,
            flushed_bytes: 0,
            written_bytes: 0,
            dice: mix(seed),
        }
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.dice = mix(self.dice);
        (self.dice >> 20) % sides
    }

    /// Puts so many keys, of which a share of eighths are deleted instead, and perhaps deletes a range first.
    pub(super) fn flush(
        &mut self,
        keys: impl Fn(&mut Self) -> u64,
        count: u64,
        deletes: u64,
        range: Option<Ranges>,
    ) {
        let content = self.content(keys, count, deletes, range);
        let number = self.next_id;
        let table = self.table(content);
        self.flushed_bytes += table.info.bytes;
        self.put(Place { level: 0, run: number }, vec![table]);
    }

    /// Puts so many keys from this one on, as one run of several tables.
    pub(super) fn ingest(&mut self, start: u64, count: u64) {
        let next = std::cell::Cell::new(start);
        let content = self.content(|_| next.replace(next.get() + 1) % KEYS, count, 0, None);
        let number = self.next_id;
        let tables = self.cut(content);
        self.flushed_bytes += bytes_of(&tables);
        self.put(Place { level: 0, run: number }, tables);
    }

    fn content(
        &mut self,
        keys: impl Fn(&mut Self) -> u64,
        count: u64,
        deletes: u64,
        range: Option<Ranges>,
    ) -> Content {
        let mut content = Content { ranges: range.unwrap_or_default(), ..Content::default() };
        self.truth.retain(|key, _| !content.ranges.covers(key));
        let file = (self.roll(4) == 0).then(|| self.id());
        for _ in 0..count {
            let key = key(keys(self));
            self.writes += 1;
            let word = match self.roll(8) < deletes {
                true => Word::Tombstone,
                false => {
                    Word::Put { write: self.writes, file: file.filter(|_| self.writes.is_multiple_of(3)) }
                }
            };
            match word {
                Word::Put { write, .. } => drop(self.truth.insert(key.clone(), write)),
                Word::Tombstone => drop(self.truth.remove(&key)),
            }
            content.words.insert(key, word);
        }
        let long =
            content.words.values().filter(|word| matches!(word, Word::Put { file: Some(_), .. })).count();
        self.options.blob_bytes.extend(file.map(|file| (file, 16 + long as u64 * LONG_BYTES)));
        content
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Makes tables of what comes out.
    fn cut(&mut self, content: Content) -> Vec<TableShape> {
        let (mut tables, mut start, mut words) =
            (Vec::new(), Vec::new(), content.words.into_iter().peekable());
        loop {
            let mut part = Words::new();
            let mut bytes = 0;
            while let Some((key, word)) = words.next_if(|_| bytes < TABLE_BYTES) {
                bytes += bytes_in(&word);
                part.insert(key, word);
            }
            let end = words.peek().map(|(key, _)| key.clone());
            let ranges = content.ranges.clipped(&start, end.as_deref());
            if !part.is_empty() || !ranges.is_empty() {
                tables.push(self.table(Content { words: part, ranges }));
            }
            match end {
                Some(end) => start = end,
                None => return tables,
            }
        }
    }

    fn table(&mut self, content: Content) -> TableShape {
        let id = self.id();
        let first = content.words.keys().next().map(|key| &**key);
        let behind = content.words.keys().next_back().map(|key| Some([&**key, &[0]].concat()));
        let lower =
            first.into_iter().chain(content.ranges.spans().first().map(|span| &*span.start)).min().unwrap();
        let ends = content.ranges.spans().last().map(|span| span.end.as_deref().map(<[u8]>::to_vec));
        // None is later than every bound.
        let upper = behind.into_iter().chain(ends).max_by_key(|end| (end.is_none(), end.clone())).unwrap();
        let mut blobs: BTreeMap<u64, u64> = BTreeMap::new();
        for word in content.words.values() {
            if let Word::Put { file: Some(file), .. } = word {
                *blobs.entry(*file).or_default() += LONG_BYTES;
            }
        }
        let info = TableInfo {
            id,
            bytes: 50 + content.words.values().map(bytes_in).sum::<u64>(),
            lower: lower.into(),
            upper: upper.map(Into::into),
            entries: content.words.len() as u64,
            tombstones: content.words.values().filter(|word| **word == Word::Tombstone).count() as u64,
            data_bytes: 0,
            blobs: blobs.into_iter().collect(),
        };
        self.contents.insert(id, content.clone());
        TableShape { info, ranges: content.ranges }
    }

    fn put(&mut self, place: Place, tables: Vec<TableShape>) {
        let level = usize::from(place.level);
        if self.shape.levels.len() <= level {
            self.shape.levels.resize(level + 1, Vec::new());
        }
        let runs = &mut self.shape.levels[level];
        let at = match runs.iter().position(|run| run.number <= place.run) {
            Some(at) if runs[at].number == place.run => at,
            at => {
                let at = at.unwrap_or(runs.len());
                runs.insert(at, RunShape { number: place.run, tables: Vec::new() });
                at
            }
        };
        runs[at].tables.extend(tables);
        runs[at].tables.sort_by(|one, other| one.info.lower.cmp(&other.info.lower));
        let overlap = runs[at].tables.windows(2).find(|two| two[0].info.overlaps(two[1].info.range()));
        assert!(overlap.is_none(), "two tables of a run overlap: {overlap:?}");
        self.shape.levels.iter_mut().for_each(|runs| runs.retain(|run| !run.tables.is_empty()));
    }

    fn take(&mut self, id: u64) -> TableShape {
        let runs = self.shape.levels.iter_mut().flatten();
        for run in runs {
            if let Some(at) = run.tables.iter().position(|table| table.info.id == id) {
                return run.tables.remove(at);
            }
        }
        panic!("a plan names table {id}, which is not there");
    }

    /// Does what the plan says, as a compaction does.
    pub(super) fn carry_out(&mut self, plan: &Plan) {
        let places: Vec<_> = plan.inputs.iter().map(|(place, _)| *place).collect();
        let age = |place: &Place| (place.level, Reverse(place.run));
        assert!(places.is_sorted_by_key(age), "newest first: {places:?}");
        let (mut merged, mut moved) = (Content::default(), Vec::new());
        for (_, ids) in &plan.inputs {
            let (mut words, mut ranges) = (Words::new(), Ranges::default());
            for id in ids {
                moved.push(self.take(*id));
                let content = &self.contents[id];
                words.extend(content.words.clone());
                ranges.add_all(&content.ranges);
            }
            // What newer runs say goes before, and what they deleted is not said.
            words.retain(|key, _| !merged.ranges.covers(key) && !merged.words.contains_key(key));
            merged.words.extend(words);
            merged.ranges.add_all(&ranges);
        }
        if plan.is_move {
            self.put(plan.target, moved);
            return;
        }
        if plan.drops_tombstones {
            merged.words.retain(|_, word| *word != Word::Tombstone);
            merged.ranges = Ranges::default();
        }
        let is_poor = |file: &u64| plan.blobs_to_collect.contains(file);
        let collecting = self.id();
        let mut collected = 0;
        for word in merged.words.values_mut() {
            if let Word::Put { file: Some(file), .. } = word
                && is_poor(file)
            {
                (*file, collected) = (collecting, collected + LONG_BYTES);
            }
        }
        self.options.blob_bytes.insert(collecting, 16 + collected);
        let tables = self.cut(merged);
        self.written_bytes += bytes_of(&tables);
        self.put(plan.target, tables);
    }

    pub(super) fn check(&self) {
        for number in 0..KEYS {
            let key = key(number);
            assert_eq!(self.find(&key), self.truth.get(&key).copied(), "key {number}");
        }
    }

    /// How many of the first so many writes lie above the last level.
    pub(super) fn above_last(&self, writes: u64) -> usize {
        let tables = self.shape.levels.iter().take(LAST).flatten().flat_map(|run| &run.tables);
        let words = tables.flat_map(|table| self.contents[&table.info.id].words.values());
        words.filter(|word| matches!(word, Word::Put { write, .. } if *write <= writes)).count()
    }

    fn find(&self, key: &[u8]) -> Option<u64> {
        for run in self.shape.levels.iter().flatten() {
            let Some(table) = run.tables.iter().find(|table| table.info.range().contains(key)) else {
                continue;
            };
            match self.contents[&table.info.id].words.get(key) {
                Some(Word::Put { write, .. }) => return Some(*write),
                Some(Word::Tombstone) => return None,
                None if table.ranges.covers(key) => return None,
                None => {}
            }
        }
        None
    }

    /// Does what is to be done, to the end.
    pub(super) fn settle(&mut self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        while let Some(plan) = pick(&self.shape, &self.options) {
            reasons.push(plan.reason);
            self.carry_out(&plan);
            assert!(reasons.len() < 5000, "it does not end: {plan:?}");
        }
        reasons
    }

    pub(super) fn bytes(&self) -> u64 {
        (0..self.shape.levels.len()).map(|level| self.shape.bytes(level)).sum()
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.truth.len() as u64 * VALUE_BYTES
    }
}

fn bytes_in(word: &Word) -> u64 {
    if *word == Word::Tombstone { 10 } else { VALUE_BYTES }
}

pub(super) fn uniform(world: &mut World) -> u64 {
    world.roll(KEYS)
}

pub(super) fn random_range(world: &mut World) -> Option<Ranges> {
    let mut ranges = Ranges::default();
    for _ in 0..world.roll(4).saturating_sub(1) {
        let start = world.roll(KEYS);
        let (start, end) = (key(start), key(start + 1 + world.roll(KEYS / 8)));
        ranges.add(KeyRange::with_end(&start, (world.roll(20) > 0).then_some(&*end)));
    }
    Some(ranges)
}
