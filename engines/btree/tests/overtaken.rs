//! Reads that wait for the data file while others write, checkpoint, evict and use blocks again: on one thread, at
//! every point where a read waits, so that what happens then is the same each time.

mod store;

use std::sync::{Arc, Mutex, OnceLock};

use adapter_api::environment::Directory;
use adapter_api::*;
use crash::by_hand::{State, applied, entries_of, metric, state};
use crash::environment::Disk;
use crash::findings::Findings;
use crash::hooked::{Call, Hooked};
use crash::image::mix;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, LOG, batch, open, request, stretch};

/// What happens in front of one of the next reads, or of a file that is opened, and how many come before that.
type Plan = Arc<Mutex<Option<(u64, Box<dyn FnOnce() + Send>)>>>;

/// Lets what is planned happen, if it is due.
fn wait(plan: &Plan) {
    let due = {
        let mut plan = plan.lock().unwrap();
        match &mut *plan {
            Some((0, _)) => plan.take(),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    };
    if let Some((_, happen)) = due {
        happen();
    }
}

/// A directory whose files wait for what is planned before they are opened or read.
fn slow(disk: &Disk, plan: &Plan) -> Arc<dyn Directory> {
    let plan = Arc::clone(plan);
    Hooked::around(disk.root(), move |call| {
        if let Call::Open(_) | Call::Read(..) = call {
            wait(&plan);
        }
        Ok(())
    })
}

/// A store whose cache holds a few pages, and what it should hold.
struct Overtaken {
    engine: Arc<OnceLock<BtreeEngine>>,
    plan: Plan,
    expected: Arc<Mutex<State>>,
    seed: u64,
    number: u64,
    happened: Arc<Mutex<u64>>,
}

impl Overtaken {
    fn new(disk: &Disk, seed: u64) -> Self {
        let plan = Plan::default();
        let mut request = request(slow(disk, &plan), 20_000);
        request.options.set("cache_bytes", "16384");
        let engine = Arc::new(OnceLock::from(BtreeEngine::open(request).unwrap()));
        let (expected, happened) = (Arc::default(), Arc::default());
        let overtaken = Self { engine, plan, expected, seed, number: 0, happened };
        happen(&overtaken.engine, &overtaken.expected, seed, 0..100);
        overtaken
    }

    fn engine(&self) -> &BtreeEngine {
        self.engine.get().unwrap()
    }

    fn state(&self) -> State {
        self.expected.lock().unwrap().clone()
    }

    /// A few batches, with checkpoints and a walk that fills the cache with something else, in front of one of the
    /// next reads.
    fn plan(&mut self, reads: u64) {
        self.number += 10;
        let (engine, expected, seed) = (Arc::clone(&self.engine), Arc::clone(&self.expected), self.seed);
        let (numbers, happened) = (self.number + 100..self.number + 110, Arc::clone(&self.happened));
        let happen = move || {
            happen(&engine, &expected, seed, numbers);
            *happened.lock().unwrap() += 1;
        };
        *self.plan.lock().unwrap() = Some((reads, Box::new(happen)));
    }
}

fn happen(engine: &OnceLock<BtreeEngine>, expected: &Mutex<State>, seed: u64, numbers: std::ops::Range<u64>) {
    let engine = engine.get().unwrap();
    let mut expected = expected.lock().unwrap();
    for number in numbers {
        let batch = batch(seed, number);
        engine.apply(batch.as_batch()).unwrap();
        *expected = applied(&expected, batch.as_batch());
        engine.background(LOG).unwrap();
        if number % 3 == 0 {
            // All of it, and what lies at the end of the file moves into what is free.
            engine.compact(KeyRange::all(), &Findings::default()).unwrap();
        } else {
            engine.background(CHECKPOINT).unwrap();
        }
        if number % 5 == 0 {
            assert!(state(engine) == *expected);
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number:03}").into_bytes()
}

#[test]
fn a_cold_read_that_is_overtaken_sees_the_instant_at_which_it_began() {
    for seed in 1..=4 {
        let disk = Disk::default();
        let mut store = Overtaken::new(&disk, seed);
        for round in 0..150 {
            let (before, random) = (store.state(), mix(seed ^ mix(round)) >> 20);
            store.plan(random % 2);
            let some: Vec<_> = (0..6).map(|part| key((random >> (4 + part)) % 120)).collect();
            let wanted = |at: usize| before.get(&some[at]).map(Vec::as_slice);
            let (engine, mut value, mut values) = (store.engine(), Buffer::new(), Values::new());
            match random % 3 {
                0 => {
                    let found = engine.get(&some[0], &mut value).unwrap();
                    assert_eq!(found.then_some(&value[..]), wanted(0), "seed {seed}, round {round}");
                }
                1 => {
                    engine
                        .multi_get(&some.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut values)
                        .unwrap();
                    (0..6)
                        .for_each(|at| assert_eq!(values.get(at), wanted(at), "seed {seed}, round {round}"));
                }
                _ => {
                    let view = engine.read_view().unwrap();
                    let mut seen = entries_of(&*view, Direction::Reverse);
                    seen.reverse();
                    assert!(seen.into_iter().eq(before.clone()), "seed {seed}, round {round}");
                }
            }
        }
        let happened = *store.happened.lock().unwrap();
        assert!(happened > 30, "seed {seed}: {happened}");
        *store.plan.lock().unwrap() = None;
        assert!(metric(store.engine(), "data_bytes") < 2_000_000.0, "blocks come free");
        assert!(state(&open(&disk.cut_to_durable())) == store.state());
    }
}

#[test]
fn a_backup_that_is_overtaken_is_of_the_instant_at_which_it_began() {
    let mut happened = 0;
    for seed in 1..=12 {
        let (disk, target) = (Disk::default(), Disk::default());
        let mut store = Overtaken::new(&disk, seed);
        let before = store.state();
        store.plan(seed % 4);
        store.engine().backup(target.root(), &Findings::default()).unwrap();
        assert!(state(&open(&target.cut_to_durable())) == before, "seed {seed}");
        happened += *store.happened.lock().unwrap();
    }
    assert!(happened > 6, "{happened}");
}

/// Leaves that are written ahead look older than the copy is, so it must not come upon their numbers.
#[test]
fn a_backup_that_an_ingest_overtakes_has_no_page_of_it() {
    let (disk, target, plan) = (Disk::default(), Disk::default(), Plan::default());
    let store = Overtaken::new(&disk, 1);
    let (before, engine) = (store.state(), Arc::clone(&store.engine));
    let ingest = move || engine.get().unwrap().ingest(&mut stretch("later", 100)).unwrap();
    *plan.lock().unwrap() = Some((0, Box::new(ingest)));
    store.engine().backup(slow(&target, &plan), &Findings::default()).unwrap();
    assert!(plan.lock().unwrap().is_none() && state(store.engine()).len() == before.len() + 100);
    let (copy, findings) = (open(&target.cut_to_durable()), Findings::default());
    copy.verify(&findings).unwrap();
    assert_eq!(findings.take(), Vec::<String>::new());
    assert!(state(&copy) == before);
}
