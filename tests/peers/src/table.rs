//! The table: a column for each store, the best rival, the limit, and our ratios to both.
//!
//! Promises: a cell is the median over the rounds; a ratio is taken round by round, since stores of one round
//! ran on the machine as it was then. A store without a figure on a row has a dash there, never a zero.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bench::judge::Verdict;
use bench::pairs::Spread;
use serde::Serialize;

use crate::rows::{Basis, ROWS, Row};
use crate::stores::{LIMIT, RIVALS};
use crate::workload::Figures;

/// The rivals that are LSM trees.
const LSM_RIVALS: [&str; 3] = ["rocksdb", "fjall", "surrealkv"];

/// The figures of each store, round by round; `None` for a round in which it failed.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// How they were made.
    pub command: String,
    /// Whether it was only tried whether everything works.
    pub quick: bool,
    /// Whether written bytes are those of a loop device, for every store.
    pub loop_device: bool,
    /// What failed, for the end of the table.
    pub failures: Vec<String>,
    /// By store.
    pub rounds: BTreeMap<String, Vec<Figures>>,
}

impl Results {
    fn figures(&self, store: &str, row: &Row) -> Vec<f64> {
        let rounds = self.rounds.get(store).into_iter().flatten();
        rounds
            .filter_map(|figures| figures.get(row.id).copied())
            .filter(|figure| figure.is_finite())
            .collect()
    }

    fn median(&self, store: &str, row: &Row) -> Option<f64> {
        Spread::of(self.figures(store, row)).map(|spread| spread.median)
    }

    /// The store among `candidates` with the best median.
    fn best<'a>(&self, row: &Row, candidates: &[&'a str]) -> Option<&'a str> {
        let with_median = candidates.iter().filter_map(|name| Some((*name, self.median(name, row)?)));
        let ordered =
            with_median.min_by(
                |(_, one), (_, other)| {
                    if row.is_rate { other.total_cmp(one) } else { one.total_cmp(other) }
                },
            );
        ordered.map(|(name, _)| name)
    }

    /// Ours / other over the rounds that both have.
    fn ratio(&self, row: &Row, ours: &str, other: &str) -> Option<Spread> {
        let (ours, other) = (self.rounds.get(ours)?, self.rounds.get(other)?);
        let pairs = ours.iter().zip(other);
        let ratios = pairs.filter_map(|(ours, other)| Some(ours.get(row.id)? / other.get(row.id)?));
        Spread::of(ratios.filter(|ratio| ratio.is_finite()))
    }

    /// What became of our targets on a row, for an engine.
    pub fn verdict(&self, row: &Row, engine: &str) -> Verdict {
        let Some(goal) = row.goal(engine) else { return Verdict::Informative };
        let other = match goal.basis {
            Basis::Best => self.best(row, &RIVALS),
            Basis::BestLsm => self.best(row, &LSM_RIVALS),
            Basis::Limit => Some(LIMIT),
            Basis::Itself => None,
        };
        let judged = match other {
            Some(other) => self.ratio(row, engine, other),
            None if goal.basis == Basis::Itself => Spread::of(self.figures(engine, row)),
            None => None,
        };
        judged.map_or(Verdict::Informative, |spread| goal.targets.judge(spread))
    }

    /// The table as text, with a line for each of our engines under a row that both it and a rival have.
    pub fn text(&self) -> String {
        let stores: Vec<_> = self.rounds.keys().map(String::as_str).filter(|name| *name != LIMIT).collect();
        let mut out = format!("# {}\n", self.command);
        if self.quick {
            out += "# QUICK: too short to mean anything; it only shows that everything works\n";
        }
        out += if self.loop_device {
            "# written bytes: what reached the loop device of each store; rates on a loop device are not a disk's\n"
        } else {
            "# written bytes: ours by the host's count of what engines write; others' by the kernel's account of the\n\
             # process, which counts whole folios and misleads for mapped files: see --loop-device\n"
        };
        let _ = write!(out, "{:<46}{:<5}", "", "unit");
        for name in &stores {
            let _ = write!(out, "{name:>11}");
        }
        let _ = writeln!(out, "{:>11}  best rival", LIMIT);
        for row in ROWS.iter().filter(|row| stores.iter().any(|name| self.median(name, row).is_some())) {
            let _ = write!(out, "{:<46}{:<5}", row.title, row.unit);
            for name in stores.iter().chain([&LIMIT]) {
                let _ = write!(out, "{:>11}", self.median(name, row).map_or("–".to_string(), figure));
            }
            let best = self.best(row, &RIVALS);
            let _ = writeln!(out, "  {}", best.unwrap_or("–"));
            self.ratios(&mut out, row, &stores, best);
        }
        for failure in &self.failures {
            let _ = writeln!(out, "# FAILED: {failure}");
        }
        out
    }

    fn ratios(&self, out: &mut String, row: &Row, stores: &[&str], best: Option<&str>) {
        for engine in stores.iter().filter(|name| !RIVALS.contains(name)) {
            // Of costs only those that are judged: a ratio of two small ones says nothing.
            if !row.is_rate && row.goal(engine).is_none() {
                continue;
            }
            let shown =
                |spread: Spread| format!("{:.2} ({:.2}–{:.2})", spread.median, spread.min, spread.max);
            let to_best = best.and_then(|best| self.ratio(row, engine, best)).map(shown);
            let to_limit = self.ratio(row, engine, LIMIT).map(shown);
            if to_best.is_none() && to_limit.is_none() {
                continue;
            }
            let dash = || "–".to_string();
            let (to_best, to_limit) = (to_best.unwrap_or_else(dash), to_limit.unwrap_or_else(dash));
            let verdict = self.verdict(row, engine);
            let _ = writeln!(out, "    {engine} / best {to_best}, / limit {to_limit}, {verdict}");
        }
    }
}

/// A figure with about four digits.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(rounds: &[(&str, &[f64])], id: &str) -> Results {
        let figures = |figure: &f64| Figures::from([(id.to_string(), *figure)]);
        let rounds =
            rounds.iter().map(|(store, values)| (store.to_string(), values.iter().map(figures).collect()));
        Results { rounds: rounds.collect(), ..Results::default() }
    }

    fn row(id: &str) -> &'static Row {
        ROWS.iter().find(|row| row.id == id).unwrap()
    }

    #[test]
    fn the_best_rival_has_the_most_of_a_rate_and_the_least_of_a_cost() {
        let stores: [(&str, &[f64]); 3] =
            [("heed", &[5.0, 1.0, 5.0]), ("redb", &[4.0; 3]), ("limit", &[9.0; 3])];
        assert_eq!(results(&stores, "get_hit_1").best(row("get_hit_1"), &RIVALS), Some("heed"));
        assert_eq!(results(&stores, "load_cpu_s").best(row("load_cpu_s"), &RIVALS), Some("redb"));
        assert_eq!(results(&[], "load").best(row("load"), &RIVALS), None);
    }

    #[test]
    fn verdicts_follow_the_basis_of_the_goal() {
        let stores: [(&str, &[f64]); 5] = [
            ("heed", &[100.0]),
            ("fjall", &[10.0]),
            ("limit", &[200.0]),
            ("btree", &[120.0]),
            ("lsm", &[25.0]),
        ];
        let found = results(&stores, "range10_1");
        assert_eq!(found.verdict(row("range10_1"), "btree"), Verdict::Met);
        assert_eq!(found.verdict(row("range10_1"), "lsm"), Verdict::Met);
        let found = results(&stores, "put_1");
        assert_eq!(found.verdict(row("put_1"), "btree"), Verdict::Missed);
        let found = results(&[("lsm", &[2.0])], "overwrite_write_amp");
        assert_eq!(found.verdict(row("overwrite_write_amp"), "lsm"), Verdict::Reached);
        assert_eq!(found.verdict(row("overwrite_write_amp"), "btree"), Verdict::Informative);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let found = results(&[("heed", &[10.0, 100.0, 20.0]), ("logmap", &[20.0, 200.0, 10.0])], "load");
        let spread = found.ratio(row("load"), "logmap", "heed").unwrap();
        assert_eq!(spread, Spread { median: 2.0, min: 0.5, max: 2.0 });
    }

    #[test]
    fn a_store_without_a_figure_has_a_dash() {
        let mut found = results(&[("heed", &[10.0]), ("sled", &[])], "load");
        found.failures.push("sled: it broke".to_string());
        let text = found.text();
        let line = text.lines().find(|line| line.starts_with("bulk load")).unwrap();
        assert!(line.contains(" 10.0") && line.contains('–') && text.contains("# FAILED: sled"), "{text}");
    }
}
