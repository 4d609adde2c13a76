//! How large levels should be, how far they are from it, and what that will cost.
//!
//! Sizes come from the bottom: the last level has what it has, the one above it a `ratio`-th of that, and so on upwards as
//! long as that is more than `base_bytes`. The uppermost of these levels is the *base*: what is flushed goes there, past
//! levels that are empty. So a level more comes into being when it is needed, and none has to be filled before (RocksDB's
//! dynamic level sizes).
//!
//! Lazy leveling (Dostoevsky, SIGMOD 2018) has up to `runs_max` runs in each level above the last one, which costs a write
//! per level instead of `ratio / 2`; only the last level, where nearly everything is, is one run.

use super::{PickOptions, Shape, Style};
use crate::version::LEVELS_MAX;

/// The level in which there is one run always, and nothing behind it.
pub(crate) const LAST: usize = LEVELS_MAX - 1;

/// The sizes that levels should have.
pub(crate) struct Targets {
    /// The first level behind level 0 that is in use.
    pub(crate) base: usize,
    bytes: [u64; LEVELS_MAX],
}

impl Targets {
    pub(crate) fn of(shape: &Shape, options: &PickOptions) -> Self {
        let largest = (1..=LAST).map(|level| shape.bytes(level)).max().unwrap_or(0);
        let ratio = options.ratio.max(2);
        let fan = match options.style {
            Style::LazyLeveled => options.runs_max.max(2) as u64,
            Style::Leveled | Style::Off => ratio,
        };
        let (mut base, mut bytes, mut needed) = (LAST, [0; LEVELS_MAX], largest / ratio);
        bytes[LAST] = largest;
        while needed > options.base_bytes.max(1) && base > 1 {
            base -= 1;
            bytes[base] = needed;
            needed /= fan;
        }
        Self { base, bytes }
    }

    /// Where what leaves a level goes: never past a table that is newer than it would be there.
    pub(crate) fn next(&self, shape: &Shape, level: usize) -> usize {
        let next = if level < self.base { self.base } else { level + 1 };
        (level + 1..next).find(|level| shape.bytes(*level) > 0).unwrap_or(next).min(LAST)
    }

    /// Whether what comes into a level is merged with what is there, and does not lie beside it.
    pub(crate) fn merges_into(&self, shape: &Shape, options: &PickOptions, level: usize) -> bool {
        shape.runs(level).len() < 2 && (level == LAST || options.style != Style::LazyLeveled)
    }

    /// How far a level is from what it should be; from 1 on something should be done.
    pub(crate) fn score(&self, shape: &Shape, options: &PickOptions, level: usize) -> f64 {
        let (runs, bytes) = (shape.runs(level).len(), shape.bytes(level));
        let runs_max = options.runs_max.max(1) as f64;
        if bytes == 0 || level >= LAST {
            return 0.0;
        }
        if level == 0 {
            return runs as f64 / runs_max;
        }
        if level < self.base {
            return 1.0 + bytes as f64 / options.base_bytes.max(1) as f64;
        }
        let filled = bytes as f64 / self.bytes[level].max(1) as f64;
        match options.style {
            Style::LazyLeveled if self.next(shape, level) < LAST => runs as f64 / runs_max,
            // A part of the level at a time is merged into the last one, so runs stay though no key is in many of them.
            Style::LazyLeveled => filled.max(shape.depth(level) as f64 / (runs_max + 1.0)),
            Style::Leveled if runs > 1 => filled + runs as f64 / 2.0,
            Style::Leveled | Style::Off => filled,
        }
    }
}

/// How far each level is from what it should be; from 1 on something should be done.
pub(crate) fn scores(shape: &Shape, options: &PickOptions) -> Vec<f64> {
    let targets = Targets::of(shape, options);
    (0..LEVELS_MAX).map(|level| targets.score(shape, options, level)).collect()
}

/// About how many bytes compactions will have to write until all levels are as they should be.
pub(crate) fn debt_bytes(shape: &Shape, options: &PickOptions) -> u64 {
    if options.style == Style::Off {
        return 0;
    }
    let targets = Targets::of(shape, options);
    let (mut debt, mut coming) = (0, [0; LEVELS_MAX]);
    for level in 0..LAST {
        let bytes = shape.bytes(level) + coming[level];
        let is_due = targets.score(shape, options, level) >= 1.0;
        let next = targets.next(shape, level);
        let merges = targets.merges_into(shape, options, next);
        let excess = if level > 0 && merges { bytes.saturating_sub(targets.bytes[level]) } else { 0 };
        let leaving = if is_due && excess == 0 { bytes } else { excess };
        // What is merged into is written again too, but what leaves meets no more of it than the ratio says.
        let met = if merges { shape.bytes(next).min(leaving.saturating_mul(options.ratio)) } else { 0 };
        debt += leaving + met;
        coming[next] += leaving;
    }
    debt
}
