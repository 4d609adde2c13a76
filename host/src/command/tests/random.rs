//! Random numbers for tests.

#![expect(clippy::print_stdout, reason = "the seed is printed so that a failure can be repeated")]

use std::hash::{BuildHasher, RandomState};

/// Numbers that tests draw; prints its seed, so that what failed can be drawn again.
pub(in crate::command) struct Random {
    state: u64,
}

impl Random {
    pub(in crate::command) fn new(test: &str) -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let state = seed.unwrap_or_else(|| RandomState::new().hash_one(test));
        println!("{test}: SEED={state}");
        Self { state }
    }

    /// A number below `end`, which is not 0.
    pub(in crate::command) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(in crate::command) fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}
