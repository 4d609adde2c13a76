//! What the models say that an LSM tree costs, for each byte of the user.
//!
//! A merge of a level into the next one writes what comes, and again what it meets there. Into a level that is `r` times
//! as large as what comes, that is 1 + r for each byte when it is full, and half of r on average while it fills. Levels are
//! `T` times as large as the one above; the uppermost takes what level 0 has when it is merged, a few flushes.
//!
//! ```text
//! leveled         1 (log) + 1 (flush) + Σ over levels (1 + r/2 … 1 + r)          O'Neil et al. 1996
//! lazy leveled    1 (log) + 1 (flush) + 1 for each upper level + (1 + r/2 … 1 + r) in the last
//!                                                                                Dayan and Idreos, Dostoevsky, 2018
//! room            1 + what lies above the last level, which may all be written again below: 1/T + 1/T² + … + level 0
//! blocks for a key that is not there     one for each run; with filters, one for each run that the filter is wrong about
//! ```
//!
//! Both count no byte that dies on its way because its key is overwritten meanwhile, so what is measured may be less.
//! Called by `amplification`.

/// How many flushes level 0 has when it is merged.
const FLUSHES: f64 = 4.0;
/// Levels from this one on have filters of 8 bits a key, those above of 16; and how often each is wrong.
const BELOW: usize = 6;
const WRONG_BELOW: f64 = 1.0 / 256.0;
const WRONG_ABOVE: f64 = 1.0 / 65536.0;

/// How tables are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compaction {
    LazyLeveled,
    Leveled,
    Off,
}

impl Compaction {
    pub(super) const ALL: [Self; 3] = [Self::LazyLeveled, Self::Leveled, Self::Off];

    /// What the option is called, and the rows.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LazyLeveled => "lazy_leveled",
            Self::Leveled => "leveled",
            Self::Off => "off",
        }
    }
}

/// A tree as the models see it.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) compaction: Compaction,
    /// How many times larger a level is than the one above it.
    pub(super) ratio: f64,
    /// Levels below level 0.
    pub(super) levels: u32,
    /// Bytes of the user that are there.
    pub(super) data: f64,
    /// Bytes of the user that were overwritten.
    pub(super) overwritten: f64,
    /// Bytes of the user that a flush brings.
    pub(super) flushed: f64,
}

impl Tree {
    /// What comes into the uppermost level at once.
    fn coming(&self) -> f64 {
        FLUSHES * self.flushed
    }

    /// How many times larger each level below level 0 is than what comes into it.
    fn ratios(&self) -> impl Iterator<Item = f64> + '_ {
        let uppermost = self.data / self.ratio.powf(f64::from(self.levels) - 1.0);
        (0..self.levels).map(move |level| if level == 0 { uppermost / self.coming() } else { self.ratio })
    }

    /// Bytes written for a byte of the user: when levels fill, and when they are full.
    pub(super) fn writes(&self) -> (f64, f64) {
        let (mut least, mut most) = (2.0, 2.0);
        if self.compaction == Compaction::Off {
            return (least, most);
        }
        for (ratio, below) in self.ratios().zip((0..self.levels).rev()) {
            let is_merged = self.compaction == Compaction::Leveled || below == 0;
            least += if is_merged { 1.0 + ratio / 2.0 } else { 1.0 };
            most += if is_merged { 1.0 + ratio } else { 1.0 };
        }
        (least, most)
    }

    /// Room on disk for a byte of the user, at most.
    pub(super) fn room(&self) -> f64 {
        if self.compaction == Compaction::Off {
            return 1.0 + self.overwritten / self.data;
        }
        let upper: f64 = (1..self.levels.max(1)).map(|above| self.ratio.powf(-f64::from(above))).sum();
        1.0 + upper + self.coming() / self.data
    }
}

/// Blocks that a get of a key that is not there looks into, given the runs of each level from level 0 on.
pub(super) fn blocks_for_nothing(runs: &[f64], has_filters: bool) -> f64 {
    let (above, below) = runs.split_at(runs.len().min(BELOW));
    let [above, below] = [above, below].map(|runs| runs.iter().sum::<f64>());
    if has_filters { above * WRONG_ABOVE + below * WRONG_BELOW } else { above + below }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(compaction: Compaction, levels: u32) -> Tree {
        Tree { compaction, ratio: 8.0, levels, data: 6400.0, overwritten: 12800.0, flushed: 25.0 }
    }

    #[test]
    fn leveled_writes_each_level_and_lazy_only_the_last_again() {
        // 100 come into 800, which come into 6400.
        assert_eq!(tree(Compaction::Leveled, 2).writes(), (2.0 + 5.0 + 5.0, 2.0 + 9.0 + 9.0));
        assert_eq!(tree(Compaction::LazyLeveled, 2).writes(), (2.0 + 1.0 + 5.0, 2.0 + 1.0 + 9.0));
        assert_eq!(tree(Compaction::Leveled, 1).writes(), tree(Compaction::LazyLeveled, 1).writes());
        assert_eq!(tree(Compaction::Off, 0).writes(), (2.0, 2.0));
    }

    #[test]
    fn what_may_be_dead_is_what_lies_above_the_last_level() {
        assert_eq!(tree(Compaction::Leveled, 2).room(), 1.0 + 1.0 / 8.0 + 1.0 / 64.0);
        assert_eq!(tree(Compaction::Off, 0).room(), 3.0);
    }

    #[test]
    fn a_key_that_is_not_there_costs_a_block_for_each_run_without_filters() {
        assert_eq!(blocks_for_nothing(&[4.0, 0.0, 3.0, 1.0], false), 8.0);
        assert!(blocks_for_nothing(&[4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 1.0], true) < 4.1 / 256.0);
        assert_eq!(blocks_for_nothing(&[], true), 0.0);
    }
}
