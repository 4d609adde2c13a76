//! What `metrics` says of the shape of a tree, beside a look at every page.

use page::Kind;

use super::*;
use crate::shape::Shape;

/// Branches, leaves and values, and how many percent of the leaves are in use.
fn counted(pair: &Pair) -> ([f64; 3], f64) {
    let pin = pair.tree.frames.pin();
    let (mut counts, mut used, mut bytes) = ([0.0; 3], 0, 0);
    for id in census(&pin).unwrap().ids {
        let page = pin.page(id).unwrap();
        let kind = match page.kind() {
            Kind::Branch => 0,
            Kind::Leaf => {
                used += page.used_bytes();
                bytes += page.bytes().len();
                1
            }
            Kind::Value => 2,
        };
        counts[kind] += 1.0;
    }
    (counts, 100.0 * used as f64 / bytes as f64)
}

fn estimated(pair: &Pair) -> ([f64; 3], f64) {
    let shape = Shape::of(&pair.tree.frames.pin()).unwrap();
    let of_leaves = shape.of_leaves.unwrap();
    ([shape.branches, shape.leaves, of_leaves.values], of_leaves.fill_percent)
}

/// Puts keys whose separators are long; every `nth` value has a page of its own.
fn fill(pair: &mut Pair, keys: u64, nth: u64) {
    let mut dice = Dice(keys);
    for _ in 0..keys {
        let number = dice.roll(1 << 40);
        let len = if number.is_multiple_of(nth) { 1_500 } else { dice.roll(400) };
        let mut batch = BatchBuilder::new();
        batch.put(format!("{}{number:013}", "k".repeat(60)).as_bytes(), &vec![7; len as usize]).unwrap();
        pair.apply(&batch);
    }
}

#[test]
fn the_shape_of_a_small_tree_is_counted() {
    for keys in [0, 1, if cfg!(miri) { 40 } else { 150 }] {
        let mut pair = Pair::new(0);
        fill(&mut pair, keys, 10);
        let (estimated, counted) = (estimated(&pair), counted(&pair));
        assert_eq!(estimated.0.map(f64::round), counted.0, "{keys} keys");
        assert!((estimated.1 - counted.1).abs() < 1e-9, "{keys} keys");
    }
}

#[test]
#[cfg_attr(miri, ignore = "it looks at memory as the tests beside it do, and needs many pages")]
fn the_shape_of_a_large_tree_is_about_right() {
    let mut pair = Pair::new(0);
    fill(&mut pair, 30_000, 100);
    let ((counts, fill), (estimates, fill_estimate)) = (counted(&pair), estimated(&pair));
    assert!(counts[1] > 500.0 && counts[2] > 200.0, "{counts:?}");
    for (kind, most) in [(0, 0.15), (1, 0.15), (2, 0.6)] {
        let ratio = estimates[kind] / counts[kind];
        assert!((ratio - 1.0).abs() < most, "{kind}: {estimates:?}, {counts:?}");
    }
    assert!((fill - fill_estimate).abs() < 8.0, "{fill} {fill_estimate}");
}

#[test]
fn what_is_not_in_memory_is_not_read_for_the_shape() {
    let mut pair = Pair::filed(1 << 14);
    fill(&mut pair, if cfg!(miri) { 60 } else { 3_000 }, 10);
    pair.checkpoint();
    let before = pair.tree.frames.usage();
    let _ = Shape::of(&pair.tree.frames.pin());
    let after = pair.tree.frames.usage();
    assert!(before.stored_pages > 0);
    assert_eq!(
        (before.hits, before.misses, before.stored_pages),
        (after.hits, after.misses, after.stored_pages)
    );
}
