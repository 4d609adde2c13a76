//! A reader beside the writer in every order of threads and memory that differs by few changes of thread: what was published
//! is found, wherever it is on its way to. Rows have room for four keys here. Run as
//! `RUSTFLAGS='--cfg loom' cargo test --release -p blink --lib every_order`.

use std::sync::Arc;

use adapter_api::{Direction, KeyRange};
use loom::model::Builder;
use loom::thread;

use crate::{Cursor, Tree};

/// So many times a thread is stopped in the middle, at most: bugs of few threads need no more.
const STOPS: usize = 2;

/// A tree with some keys; the writer adds others in batches of one while a reader looks.
fn beside(keys: &'static [u8], others: &'static [u8], look: fn(&Arc<Tree>)) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(STOPS);
    builder.max_branches = 100_000;
    builder.check(move || {
        let tree = Arc::new(Tree::new());
        let put = |key: &u8| tree.apply([(&[*key][..], &[*key][..])]);
        keys.iter().for_each(put);
        let reader = thread::spawn({
            let tree = Arc::clone(&tree);
            move || look(&tree)
        });
        others.iter().for_each(put);
        reader.join().unwrap();
    });
}

fn finds(tree: &Tree, keys: &[u8]) {
    let snapshot = tree.snapshot();
    for key in keys {
        assert_eq!(tree.find(&[*key], snapshot), Some(&[*key][..]), "a key that was there is not found");
    }
}

fn walks(tree: &Arc<Tree>, direction: Direction) {
    let snapshot = tree.snapshot();
    let mut cursor = Cursor::new(tree, snapshot, KeyRange::all(), direction);
    let mut found = Vec::new();
    while cursor.advance() {
        found.push(cursor.key()[0]);
    }
    let mut ordered = found.clone();
    ordered.sort_unstable();
    ordered.dedup();
    if direction == Direction::Reverse {
        ordered.reverse();
    }
    assert_eq!(found, ordered, "keys come in order, each once");
    assert!(b"bdh".iter().all(|key| found.contains(key)), "a key that was there does not come");
}

#[test]
fn every_order_of_a_search_and_insertions_in_front_finds_the_key() {
    beside(b"bd", b"ca", |tree| finds(tree, b"d"));
}

#[test]
fn every_order_of_a_search_and_a_division_finds_the_key() {
    beside(b"bdfh", b"ac", |tree| finds(tree, b"h"));
}

#[test]
fn every_order_of_a_search_for_two_keys_and_a_division_finds_both() {
    beside(b"bdfh", b"a", |tree| {
        let (keys, mut found) = ([&b"h"[..], b"b"], Vec::new());
        tree.find_each(&keys, tree.snapshot(), |_, value| found.push(value));
        assert_eq!(found, keys.map(Some), "a key that was there is not found");
    });
}

#[test]
fn every_order_of_a_search_and_a_division_below_a_branch_finds_the_key() {
    // The first leaf is divided, so the other two move to the right in the branch.
    beside(b"bdfhjlnpr", b"c", |tree| finds(tree, b"n"));
}

#[test]
fn every_order_of_a_walk_and_insertions_shows_every_key_once() {
    beside(b"bdh", b"ca", |tree| walks(tree, Direction::Forward));
    beside(b"bdh", b"ca", |tree| walks(tree, Direction::Reverse));
}

#[test]
fn every_order_of_a_walk_and_a_division_shows_every_key_once() {
    beside(b"bdfh", b"ac", |tree| walks(tree, Direction::Forward));
    beside(b"bdfh", b"ac", |tree| walks(tree, Direction::Reverse));
}
