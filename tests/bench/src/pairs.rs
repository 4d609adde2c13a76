//! Runs in interleaved pairs, and what they say: A B A B …, a ratio for each pair, the median of the ratios.
//!
//! Promises: both sides of a pair run one right after the other, so a machine that changes its speed changes
//! both. A run that errs ends the measurement; no figure is dropped.

use anyhow::{Result, ensure};
use serde::Serialize;

/// The middle one of some figures with the smallest and the largest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; of an even number of figures, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of some figures, `None` without any.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { median, min, max })
    }
}

/// The two sides of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Whom we are measured by.
    Rival,
    /// We.
    Ours,
}

/// What the runs of both sides gave, run by run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs<T> {
    /// The rival's runs in order.
    pub rival: Vec<T>,
    /// Our runs in order.
    pub ours: Vec<T>,
}

impl<T> Pairs<T> {
    /// One part of every run.
    pub fn each<U>(&self, pick: impl Fn(&T) -> U) -> Pairs<U> {
        Pairs { rival: self.rival.iter().map(&pick).collect(), ours: self.ours.iter().map(&pick).collect() }
    }
}

/// Runs rival and ours in turns, `pairs` times.
///
/// # Errors
/// That of the first run that fails; or if no pair was asked for.
pub fn interleaved<T>(pairs: usize, mut run: impl FnMut(Side, usize) -> Result<T>) -> Result<Pairs<T>> {
    ensure!(pairs > 0, "at least one pair of runs is needed");
    let mut both = Pairs { rival: Vec::new(), ours: Vec::new() };
    for pair in 0..pairs {
        both.rival.push(run(Side::Rival, pair)?);
        both.ours.push(run(Side::Ours, pair)?);
    }
    Ok(both)
}

/// The ratios ours / rival, pair by pair.
///
/// # Errors
/// If a figure is no positive number: nothing can be said of such a run.
pub fn ratios(rival: &[f64], ours: &[f64]) -> Result<Vec<f64>> {
    ensure!(rival.len() == ours.len(), "{} runs of the rival, {} of ours", rival.len(), ours.len());
    let figures = rival.iter().chain(ours);
    for figure in figures {
        ensure!(figure.is_finite() && *figure > 0.0, "a run gave {figure}, which is no measurement");
    }
    Ok(rival.iter().zip(ours).map(|(rival, ours)| ours / rival).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_odd_and_even_numbers_of_figures() {
        let spread = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(Spread::of([3.0, 1.0, 2.0, 50.0, 0.5]), spread(2.0, 0.5, 50.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(Spread::of([7.0]), spread(7.0, 7.0, 7.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_sides_take_turns() {
        let mut order = Vec::new();
        let both = interleaved(3, |side, pair| {
            order.push(side);
            Ok(10 * pair + usize::from(side == Side::Ours))
        });
        assert_eq!(both.unwrap(), Pairs { rival: vec![0, 10, 20], ours: vec![1, 11, 21] });
        assert_eq!(order, [Side::Rival, Side::Ours].repeat(3));
    }

    #[test]
    fn a_run_that_errs_ends_the_measurement() {
        let mut runs = 0;
        let both = interleaved(5, |_, _| {
            runs += 1;
            ensure!(runs < 4, "the fourth run errs");
            Ok(())
        });
        assert_eq!((both.unwrap_err().to_string().as_str(), runs), ("the fourth run errs", 4));
        assert!(interleaved(0, |_, _| Ok(())).is_err());
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        // The median of the ratios is not the ratio of the medians: the machine slowed down between pairs.
        let ratios = ratios(&[100.0, 10.0, 50.0], &[200.0, 20.0, 40.0]).unwrap();
        assert_eq!(ratios, [2.0, 2.0, 0.8]);
    }

    #[test]
    fn figures_that_are_no_measurement_are_refused() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(ratios(&[1.0], &[wrong]).is_err() && ratios(&[wrong], &[1.0]).is_err(), "{wrong}");
        }
        assert!(ratios(&[1.0, 2.0], &[1.0]).is_err());
    }
}
