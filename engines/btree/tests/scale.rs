//! Growth and decay at scale, on the real disk: 20,000 keys, or as many as `BTREE_KEYS` says.

mod store;

use std::path::Path;
use std::sync::Arc;

use adapter_api::environment::real::{RealClock, RealDirectory};
use adapter_api::*;
use crash::by_hand::{NoLanes, metric, run, state};
use crash::findings::Findings;
use crash::image::mix;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, LOG};

const ROUNDS: u64 = 10;
/// Changes of one batch.
const BATCH: usize = 500;
const PAGE_BYTES: f64 = 8192.0;

fn keys() -> u32 {
    let text = std::env::var("BTREE_KEYS").unwrap_or_else(|_| "20000".to_string());
    text.parse().unwrap_or_else(|_| panic!("BTREE_KEYS is {text:?} and no number of keys"))
}

/// A store whose checkpoints are due whenever the lane is run, and a log that is small beside the data.
fn open(folder: &Path) -> BtreeEngine {
    let directory = Arc::new(RealDirectory::open(folder, Arc::default()).unwrap());
    let environment = Environment { directory, clock: Arc::new(RealClock::new()), lanes: Arc::new(NoLanes) };
    let mut request = OpenRequest::new(environment);
    let segment = (4 * keys()).max(1 << 16).to_string();
    let set = [("checkpoint_log_bytes", "1"), ("log_segment", &segment)];
    request.options = Options::complete(&BtreeEngine::describe().options, set).unwrap();
    // What a power cut leaves is not what this is about.
    request.durability = Durability::Os;
    BtreeEngine::open(request).unwrap()
}

/// Every key once, in an order by the dice of the seed.
fn shuffled(seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..keys()).collect();
    order.sort_unstable_by_key(|key| mix(seed << 32 | u64::from(*key)));
    order
}

/// Changes every key, batch by batch, with a checkpoint behind each half: at the same points of every round, for how long
/// the file gets depends on them.
fn change(engine: &BtreeEngine, order: &[u32], change: impl Fn(&mut BatchBuilder, &[u8]) -> Result<()>) {
    for half in order.chunks(order.len().div_ceil(2)) {
        for keys in half.chunks(BATCH) {
            let mut batch = BatchBuilder::new();
            keys.iter().for_each(|key| change(&mut batch, &key.to_be_bytes()).unwrap());
            engine.apply(batch.as_batch()).unwrap();
            run(engine, LOG);
        }
        run(engine, CHECKPOINT);
        run(engine, LOG);
    }
}

#[test]
fn a_tree_that_was_emptied_in_random_order_is_one_leaf_and_ten_rounds_do_not_grow_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let length = || std::fs::metadata(folder.path().join("data")).unwrap().len();
    let mut lengths = Vec::new();
    for round in 0..ROUNDS {
        change(&engine, &shuffled(2 * round), |batch, key| batch.put(key, &[round as u8; 100]));
        assert_eq!(metric(&engine, "tree_entries"), f64::from(keys()));
        assert!(metric(&engine, "tree_depth") >= 2.0);
        change(&engine, &shuffled(2 * round + 1), |batch, key| batch.delete(key));
        assert_eq!((metric(&engine, "tree_entries"), metric(&engine, "tree_depth")), (0.0, 1.0));
        assert_eq!(metric(&engine, "tree_page_bytes"), PAGE_BYTES, "one leaf is left in round {round}");
        let in_use = metric(&engine, "data_bytes") - metric(&engine, "data_free_bytes");
        assert!(in_use <= 10.0 * PAGE_BYTES, "{in_use} bytes of the file are not free in round {round}");
        lengths.push(length());
    }
    // Each round has another order, and so a few leaves more or less.
    let most = lengths.iter().max().unwrap();
    assert!(*most <= lengths[0] + lengths[0] / 25, "the file grew: {lengths:?}");
    let watch = Findings::default();
    engine.verify(&watch).unwrap();
    assert_eq!(watch.take(), [""; 0]);
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    assert!(length() as f64 <= 10.0 * PAGE_BYTES, "{} bytes are left of {lengths:?}", length());
    drop(engine);
    assert!(state(&open(folder.path())).is_empty());
    assert!(metric(&open(folder.path()), "tree_depth") == 1.0);
}
