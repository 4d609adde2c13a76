//! Nodes by their numbers, which stay where they are while there come more.
//!
//! Promises: a node is there from the moment that `add` answers until the tree goes, and to find it waits for nobody. Called by
//! `node`.

use std::sync::OnceLock;

/// The first segment has so many nodes, and each further one twice as many as the one before it.
const FIRST: u32 = if cfg!(all(test, loom)) { 4 } else { 16 };
/// So many segments have room for 2²⁸ nodes.
const SEGMENTS: usize = 24;

pub(crate) struct Segments<T> {
    segments: [OnceLock<Box<[T]>>; SEGMENTS],
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { segments: std::array::from_fn(|_| OnceLock::new()) }
    }
}

fn place(number: u32) -> (usize, usize) {
    let from_first = number + FIRST;
    let segment = from_first.ilog2() - FIRST.ilog2();
    (segment as usize, (from_first - (FIRST << segment)) as usize)
}

impl<T: Default> Segments<T> {
    /// A node that has this number, which is the least that was not asked for before.
    pub(crate) fn add(&self, number: u32) -> &T {
        let (segment, at) = place(number);
        let nodes = (0..FIRST << segment).map(|_| T::default());
        &self.segments[segment].get_or_init(|| nodes.collect())[at]
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        let (segment, at) = place(number);
        match self.segments[segment].get() {
            Some(nodes) => &nodes[at],
            None => unreachable!("a node was named before it was there"),
        }
    }
}
