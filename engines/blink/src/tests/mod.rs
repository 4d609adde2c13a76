//! Tests of the whole tree: against a model, and with readers beside the writer.

#[cfg(loom)]
mod every_order;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod readers;
#[cfg(not(loom))]
mod rows;

/// Random numbers that a seed repeats.
#[cfg(not(loom))]
struct Dice(u64);

#[cfg(not(loom))]
impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }
}
