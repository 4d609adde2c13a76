//! Readers beside a writer, on real threads. Miri runs these, with few rounds: `cargo +nightly miri test -p engine_btree
//! --lib concurrency`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::{BatchBuilder, Buffer, Cursor, Direction, EngineError, KeyRange};
use page::PageId;

use super::filed::Filed;
use crate::cursor::TreeCursor;
use crate::tree::Tree;

const KEYS: u32 = if cfg!(miri) { 6 } else { 200 };
const ROUNDS: u32 = if cfg!(miri) { 5 } else { 3_000 };
const READERS: usize = if cfg!(miri) { 1 } else { 2 };

/// Every key has the number of the round as its value; so whoever sees two numbers saw no point in time. The round
/// also says which keys are there, so that pages split, merge and go.
fn put_round(tree: &Tree, round: u32) -> Vec<PageId> {
    let mut batch = BatchBuilder::new();
    let len = [30, 1_000, 90, 3_000][round as usize % 4];
    batch.delete_range(KeyRange::all()).unwrap();
    for key in 0..KEYS - round % (KEYS / 2) {
        let mut value = round.to_be_bytes().to_vec();
        value.resize(len, 7);
        batch.put(&key.to_be_bytes(), &value).unwrap();
    }
    let mut edit = tree.edit();
    edit.apply(batch.as_batch()).unwrap();
    edit.publish().changed
}

fn round_of(value: &[u8]) -> u32 {
    u32::from_be_bytes(*value.first_chunk().unwrap())
}

/// Reads what is published: several keys of one instant.
fn read_now(tree: &Tree, last: &mut u32) {
    let (pin, mut value, mut seen) = (tree.frames.pin(), Buffer::new(), Vec::new());
    for key in (0..KEYS / 2).step_by(KEYS as usize / 3) {
        value.clear();
        assert!(pin.read(&key.to_be_bytes(), &mut value).unwrap());
        seen.push(round_of(&value));
    }
    assert!(seen.iter().all(|round| *round == seen[0]) && seen[0] >= *last, "{seen:?}");
    *last = seen[0];
}

/// Walks a view twice.
fn walk(tree: &Arc<Tree>) {
    let view = tree.view(true);
    let mut before = None;
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = TreeCursor::new(&view, KeyRange::all(), direction);
        let mut seen = Vec::new();
        loop {
            match cursor.next() {
                Ok(Some(entry)) => seen.push(round_of(entry.value)),
                Ok(None) => break,
                Err(EngineError::ViewTooOld) => return,
                Err(other) => panic!("{other}"),
            }
        }
        let round = seen[0];
        assert!(
            seen.iter().all(|it| *it == round) && seen.len() as u32 == KEYS - round % (KEYS / 2),
            "{seen:?}"
        );
        assert!(before.replace(round).is_none_or(|before| before == round));
    }
}

/// With a file, each round is followed by a checkpoint, so that everything may be evicted at once.
fn readers_beside_a_writer(tree: &Arc<Tree>, file: Option<&Filed>, rounds: u32) {
    let put_round = |round| {
        let touched = put_round(tree, round);
        if let Some(file) = file {
            file.checkpoint(touched);
        }
    };
    put_round(0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut last = 0;
                while !is_over.load(Ordering::Relaxed) {
                    read_now(tree, &mut last);
                    std::thread::yield_now();
                }
            });
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    walk(tree);
                    std::thread::yield_now();
                }
            });
        }
        (1..rounds).for_each(put_round);
        is_over.store(true, Ordering::Relaxed);
    });
    (0..3).for_each(put_round);
    let usage = tree.frames.usage();
    assert!(usage.open_views == 0 && usage.retained_frames < 3 * u64::from(KEYS), "{usage:?}");
}

#[test]
fn readers_and_views_see_one_instant_each_beside_a_writer() {
    readers_beside_a_writer(&Arc::new(super::tree(u64::MAX, u64::MAX)), None, ROUNDS);
}

#[test]
fn views_that_are_ended_under_a_reader_answer_so_and_never_mix_instants() {
    readers_beside_a_writer(&Arc::new(super::tree(u64::MAX, 20_000)), None, ROUNDS);
}

#[test]
fn readers_and_views_see_one_instant_each_while_pages_leave_memory_and_come_back() {
    let file = Filed::new(0);
    let rounds = if cfg!(miri) { ROUNDS } else { 600 };
    readers_beside_a_writer(&file.tree, Some(&file), rounds);
    let usage = file.tree.frames.usage();
    assert!(usage.evictions > u64::from(rounds) && usage.misses > 0, "{usage:?}");
}
