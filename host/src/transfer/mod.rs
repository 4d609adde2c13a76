//! What leaves a store and comes into one as a stream: our dumps, the RDB files of Redis, and the totals that two
//! stores are compared by.
//!
//! Promises: knows no engine and no directory; a stream is read with bounded memory whatever it claims, and what
//! is damaged is refused with its position. Called by the tools of `cli`; the unpacking of RDB by RESTORE too.

pub mod dump;
pub mod rdb;
mod totals;

pub use totals::{Fingerprint, Observed, Totals, totals_of};

#[cfg(test)]
mod damage {
    //! Damage drawn at random.

    #![expect(clippy::print_stdout, reason = "the seed is printed so that a failure can be repeated")]

    /// Calls `read` with many damaged copies of the bytes, the same ones for the same `SEED`.
    pub(super) fn many_damaged(bytes: &[u8], read: &dyn Fn(&[u8])) {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let mut damaged = bytes.to_vec();
            for _ in 0..random.usize(1..6) {
                let (place, other) = (random.usize(..damaged.len()), random.usize(..damaged.len()));
                match random.u8(..8) {
                    0 => damaged.truncate(place.max(1)),
                    1 => damaged.insert(place, random.u8(..)),
                    2 => drop(damaged.drain(place.min(other)..place.max(other))),
                    3 => damaged.swap(place, other),
                    4 => damaged[place] = [0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xff][random.usize(..7)],
                    _ => damaged[place] = random.u8(..),
                }
                if damaged.is_empty() {
                    damaged.push(0);
                }
            }
            read(&damaged);
        }
    }
}
