//! The rows of the table, and what our trees are to reach on them.

use bench::judge::Target::{AtLeast, AtMost};
use bench::judge::{Target, Targets};

/// What a figure of ours is divided by before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The best rival's figure.
    Best,
    /// The best figure of a rival that is an LSM tree.
    BestLsm,
    /// The raw loop's figure.
    Limit,
    /// Nothing: the figure itself is judged.
    Itself,
}

/// What one engine is to reach on a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// What its figure is divided by.
    pub basis: Basis,
    /// What is expected, and what we are after.
    pub targets: Targets,
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The figure's name.
    pub id: &'static str,
    /// By which it is chosen on the command line, with its neighbours.
    pub group: &'static str,
    /// What it measures.
    pub title: &'static str,
    /// The unit of its figures.
    pub unit: &'static str,
    /// Whether more is better.
    pub is_rate: bool,
    /// What the B-tree is to reach.
    pub btree: Option<Goal>,
    /// What the LSM tree is to reach.
    pub lsm: Option<Goal>,
}

impl Row {
    /// What an engine is to reach; nothing for an engine without targets.
    pub fn goal(&self, engine: &str) -> Option<Goal> {
        match engine {
            "btree" => self.btree,
            "lsm" => self.lsm,
            _ => None,
        }
    }

    const fn to(self, basis: Basis, btree: Targets, lsm: Targets) -> Self {
        let (btree, lsm) = (Goal { basis, targets: btree }, Goal { basis, targets: lsm });
        Self { btree: Some(btree), lsm: Some(lsm), ..self }
    }

    const fn lsm_beside_lsms(self, must: f64, reach: f64) -> Self {
        Self { lsm: Some(Goal { basis: Basis::BestLsm, targets: least(must, reach) }), ..self }
    }
}

const fn rate(group: &'static str, id: &'static str, title: &'static str, unit: &'static str) -> Row {
    Row { id, group, title, unit, is_rate: true, btree: None, lsm: None }
}

const fn cost(group: &'static str, id: &'static str, title: &'static str, unit: &'static str) -> Row {
    Row { is_rate: false, ..rate(group, id, title, unit) }
}

const fn both(must: Target, reach: Target) -> Targets {
    Targets { must: Some(must), reach: Some(reach) }
}

const fn least(must: f64, reach: f64) -> Targets {
    both(AtLeast(must), AtLeast(reach))
}

const fn only(must: Target) -> Targets {
    Targets { must: Some(must), reach: None }
}

use Basis::{Best, Itself, Limit};

/// Every row in the order of the table.
#[rustfmt::skip]
pub const ROWS: [Row; 65] = [
    rate("load", "load", "bulk load, random order in, durable at end", "k/s").to(Best, least(1.5, 2.0), least(1.5, 2.5)),
    cost("load", "load_cpu_s", "  CPU of it", "s"),
    cost("load", "load_write_amp", "  write amplification, settled", "x"),
    cost("load", "load_disk_mib", "  on disk right after", "MiB"),
    cost("load", "load_disk_settled_mib", "  on disk, settled", "MiB"),
    rate("put", "put_1", "durable put, 1 thread", "/s").to(Limit, least(0.85, 0.95), least(0.85, 0.95)),
    cost("put", "put_1_p50_us", "  p50", "µs"),
    cost("put", "put_1_p99_us", "  p99", "µs"),
    cost("put", "put_1_write_amp", "  write amplification", "x"),
    rate("put", "put_8", "durable put, 8 threads", "/s").to(Best, least(1.0, 1.2), least(1.0, 1.2)),
    cost("put", "put_8_p50_us", "  p50", "µs"),
    cost("put", "put_8_p99_us", "  p99", "µs"),
    cost("put", "put_8_write_amp", "  write amplification", "x"),
    rate("put", "put_32", "durable put, 32 threads", "/s").to(Best, least(1.0, 1.4), least(1.0, 1.4)),
    cost("put", "put_32_p50_us", "  p50", "µs"),
    cost("put", "put_32_p99_us", "  p99", "µs"),
    cost("put", "put_32_write_amp", "  write amplification", "x"),
    rate("batch", "batch", "durable batches of 1000, keys", "k/s").to(Best, least(0.8, 1.2), least(1.5, 2.0)),
    cost("batch", "batch_p50_us", "  p50 of a batch", "µs"),
    cost("batch", "batch_p99_us", "  p99 of a batch", "µs"),
    rate("relaxed", "relaxed", "relaxed put, 1 thread", "k/s").to(Best, least(1.0, 1.3), least(1.3, 1.6)),
    cost("relaxed", "relaxed_p50_us", "  p50", "µs"),
    cost("relaxed", "relaxed_p99_us", "  p99", "µs"),
    cost("relaxed", "relaxed_max_us", "  max", "µs"),
    cost("relaxed", "relaxed_sync_ms", "  sync and close after it", "ms"),
    rate("get", "get_hit_1", "get hit, 1 thread", "k/s").to(Best, least(1.3, 1.8), least(0.7, 1.0)),
    rate("get", "get_hit_2", "get hit, 2 threads", "k/s"),
    rate("get", "get_hit_8", "get hit, 8 threads", "k/s").to(Best, least(1.2, 1.6), least(0.7, 1.0)),
    rate("get", "get_fresh", "get hit, own view, 1 thread", "k/s").to(Best, least(1.2, 1.6), least(0.7, 1.0)),
    rate("get", "get_miss_1", "get miss, 1 thread", "k/s").to(Best, least(0.7, 1.0), least(1.0, 1.3)),
    rate("get", "get_miss_8", "get miss, 8 threads", "k/s"),
    rate("range", "range10_1", "range of 10, 1 thread", "k/s").to(Best, least(1.0, 1.3), least(1.0, 1.3)).lsm_beside_lsms(2.0, 3.0),
    rate("range", "range10_8", "range of 10, 8 threads", "k/s"),
    rate("range", "range100_1", "range of 100, 1 thread", "k/s").to(Best, least(1.1, 1.5), least(1.1, 1.5)).lsm_beside_lsms(1.2, 1.8),
    rate("range", "range100_8", "range of 100, 8 threads", "k/s"),
    rate("range", "scan", "full scan, entries", "k/s").to(Best, least(1.0, 1.5), least(0.7, 1.0)),
    cost("large", "large_fill_s", "larger than memory: fill, without the limit", "s"),
    rate("large", "large_get_1", "  get hit, 1 thread", "k/s"),
    rate("large", "large_get_8", "  get hit, 8 threads", "k/s").to(Best, least(0.9, 1.1), least(0.9, 1.1)),
    rate("large", "large_miss_1", "  get miss, 1 thread", "k/s"),
    rate("large", "large_miss_8", "  get miss, 8 threads", "k/s"),
    rate("large", "large_range100_1", "  range of 100, 1 thread", "k/s"),
    rate("large", "large_scan", "  scan, entries", "k/s"),
    rate("large", "large_overwrite", "  random overwrites, batches of 1000, keys", "k/s"),
    cost("large", "large_overwrite_p50_ms", "    p50 of a batch", "ms"),
    cost("large", "large_overwrite_p99_ms", "    p99 of a batch", "ms"),
    rate("overwrite", "overwrite", "random overwrites x2, batches of 1000, keys", "k/s").to(Best, least(0.8, 1.0), least(1.5, 2.0)),
    rate("overwrite", "overwrite_share", "  share done in the time", ""),
    cost("overwrite", "overwrite_cpu_us", "  CPU of a key", "µs"),
    cost("overwrite", "overwrite_write_amp", "  write amplification, settled", "x").to(Itself, only(AtMost(3.5)), both(AtMost(2.7), AtMost(2.2))),
    cost("overwrite", "overwrite_disk_mib", "  on disk right after", "MiB"),
    cost("overwrite", "overwrite_space_amp", "  space amplification, settled", "x").to(Itself, both(AtMost(1.5), AtMost(1.3)), both(AtMost(1.3), AtMost(1.15))),
    cost("overwrite", "compact_s", "  settling", "s"),
    rate("overwrite", "get_hit_compacted", "get hit after it, 1 thread", "k/s"),
    rate("delete", "delete", "deletes of half, durable batches, keys", "k/s").to(Best, least(0.7, 1.0), least(1.0, 1.3)),
    cost("delete", "delete_write_amp", "  write amplification, settled", "x"),
    cost("delete", "delete_disk_mib", "  on disk, settled", "MiB"),
    rate("delete", "delete_scan", "  full scan after it, entries", "k/s"),
    cost("kill", "recover_ms", "open after a kill", "ms"),
    rate("kill", "recover_keys", "  keys in that store", "k"),
    rate("kill", "recover_mps", "  records replayed", "M/s").to(Itself, only(AtLeast(1.5)), only(AtLeast(1.5))),
    cost("reopen", "close_s", "close", "s"),
    cost("reopen", "open_closed_ms", "open after an orderly close", "ms"),
    cost("load", "peak_anon_mib", "anonymous memory at the end", "MiB"),
    cost("load", "peak_mib", "peak of resident memory, mapped files too", "MiB"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_rows_differ() {
        let mut ids: Vec<_> = ROWS.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ROWS.len());
    }

    #[test]
    fn targets_belong_to_engines() {
        let row = ROWS.iter().find(|row| row.id == "range10_1").unwrap();
        assert_eq!(row.goal("btree").unwrap().basis, Basis::Best);
        assert_eq!(row.goal("lsm").unwrap(), Goal { basis: Basis::BestLsm, targets: least(2.0, 3.0) });
        assert_eq!(row.goal("logmap"), None);
    }
}
