//! Readers beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use adapter_api::{Direction, KeyRange};

use super::Dice;
use crate::{Cursor, Tree};

/// Keys that need not come in order: a permutation of the numbers below 2^16.
fn key(number: u64) -> [u8; 8] {
    (number.wrapping_mul(40_503) & 0xffff).to_be_bytes()
}

/// The writer puts keys 0, 1, 2, … and overwrites some; whoever sees a count sees so many keys, and all of them.
#[test]
fn whoever_sees_a_batch_sees_every_key_of_it_and_of_those_before() {
    let (rounds, keys) = if cfg!(miri) { (1, 60u64) } else { (12, 20_000) };
    for round in 0..rounds {
        let (tree, is_done) = (Arc::new(Tree::new()), AtomicBool::new(false));
        thread::scope(|scope| {
            for reader in 0..2 {
                let (tree, is_done) = (Arc::clone(&tree), &is_done);
                scope.spawn(move || {
                    let mut dice = Dice(round * 2 + reader);
                    while !is_done.load(Ordering::Relaxed) {
                        look(&tree, &mut dice);
                    }
                    look(&tree, &mut dice);
                });
            }
            for number in 0..keys {
                let count = (number + 1).to_be_bytes();
                let again = key(number / 2);
                tree.apply([(&key(number)[..], &count[..]), (b"count", &count), (&again, &count)]);
            }
            is_done.store(true, Ordering::Relaxed);
        });
    }
}

fn look(tree: &Arc<Tree>, dice: &mut Dice) {
    let snapshot = tree.snapshot();
    let Some(count) = tree.find(b"count", snapshot) else { return };
    let count = u64::from_be_bytes(count.try_into().unwrap());
    for _ in 0..50 {
        let number = dice.roll(count);
        let found =
            tree.find(&key(number), snapshot).unwrap_or_else(|| panic!("{number} of {count} is not there"));
        // Overwritten by the newest batch of the two that came to it by then.
        let by = [2 * number + 1, 2 * number].into_iter().find(|by| *by < count).unwrap_or(number);
        assert_eq!(u64::from_be_bytes(found.try_into().unwrap()), by.max(number) + 1, "{number} of {count}");
    }
    assert!(tree.find(&key(count), snapshot).is_none());
    let direction = if dice.roll(2) == 0 { Direction::Forward } else { Direction::Reverse };
    let start = key(dice.roll(1 << 16));
    let mut cursor = Cursor::new(tree, snapshot, KeyRange::new(&start, b"c"), direction);
    let expected = (0..count).filter(|number| key(*number) >= start).count();
    let (mut found, mut last) = (0, None);
    while cursor.advance() {
        let here: [u8; 8] = cursor.key().try_into().unwrap();
        assert!(last.is_none_or(|last| (last < here) == (direction == Direction::Forward)), "out of order");
        (found, last) = (found + 1, Some(here));
    }
    assert_eq!(found, expected, "keys of a range with {count}");
}
