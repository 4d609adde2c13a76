//! The rows of the table: what is run for each.

use crate::redis_benchmark::Run;
use crate::report::RowSpec;

/// Keys that are there before anything is measured.
pub const KEYS: u64 = 1_000_000;
/// What an open loop offers: half of what Redis does of the mix in a closed loop.
pub const OFFERED_PER_SECOND: f64 = 48_000.0;

/// A row that `redis-benchmark` measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchmarkRow {
    /// Its names.
    pub spec: RowSpec,
    /// Whether it writes, so that the rival is a Redis that syncs.
    pub is_write: bool,
    /// Its test, clients and pipeline. The number of requests makes a run of some seconds.
    pub run: Run,
}

const fn row(
    id: &'static str,
    title: &'static str,
    test: &'static str,
    clients: usize,
    pipeline: usize,
    requests: u64,
) -> BenchmarkRow {
    // GETs alone read; `test` cannot be compared with another text in a constant.
    let is_write = test.as_bytes()[0] != b'g';
    let run = Run { test, clients, pipeline, requests, keys: KEYS };
    BenchmarkRow { spec: RowSpec { id, title, unit: "/s" }, is_write, run }
}

/// The rows of `redis-benchmark`, in the order of the table.
pub const BENCHMARK: [BenchmarkRow; 9] = [
    row("set-c1-p1", "SET durable, c=1 P=1 (bimodal)", "set", 1, 1, 20_000),
    row("set-c50-p1", "SET durable, c=50 P=1", "set", 50, 1, 300_000),
    row("set-c200-p1", "SET durable, c=200 P=1", "set", 200, 1, 400_000),
    row("set-c50-p16", "SET durable, c=50 P=16", "set", 50, 16, 1_500_000),
    row("set-c50-p64", "SET durable, c=50 P=64", "set", 50, 64, 2_000_000),
    row("mset-c50-p1", "MSET (10 keys) durable, c=50 P=1", "mset", 50, 1, 120_000),
    row("get-c50-p1", "GET, c=50 P=1", "get", 50, 1, 400_000),
    row("get-c50-p16", "GET, c=50 P=16", "get", 50, 16, 2_500_000),
    row("get-c50-p64", "GET, c=50 P=64", "get", 50, 64, 3_000_000),
];

/// Half of the connections SET, half GET, each request by itself: all of them together.
pub const MIX_TOTAL: RowSpec =
    RowSpec { id: "mix-total", title: "SET and GET durable on 25+25 connections", unit: "/s" };
/// The same runs: the GETs' times.
pub const MIX_GET_P99: RowSpec = RowSpec { id: "mix-get-p99", title: "  same: GET p99", unit: "ms" };
/// The same load offered at a fixed rate.
pub const MIX_OPEN: RowSpec =
    RowSpec { id: "mix-open-get-p99", title: "  same, open loop at 48,000/s: GET p99", unit: "ms" };
/// SET and GET in turns in each pipeline.
pub const MIX_PIPELINE: RowSpec =
    RowSpec { id: "mix-pipeline", title: "SET and GET durable in one pipeline, c=50 P=16", unit: "/s" };
/// Resident memory for a key and its value.
pub const MEMORY: RowSpec = RowSpec { id: "memory", title: "memory per key (16 B + 100 B)", unit: "B" };
/// From the start of the process to PONG, after an orderly end.
pub const RESTART_ORDERLY: RowSpec =
    RowSpec { id: "restart-orderly", title: "restart after an orderly close, 1 M keys", unit: "s" };
/// The same after a kill.
pub const RESTART_KILL: RowSpec =
    RowSpec { id: "restart-kill", title: "restart after a kill, 1 M keys", unit: "s" };

/// Every row in the order of the table.
pub fn all() -> impl Iterator<Item = RowSpec> {
    let own = [MIX_TOTAL, MIX_GET_P99, MIX_OPEN, MIX_PIPELINE, MEMORY, RESTART_ORDERLY, RESTART_KILL];
    BENCHMARK.into_iter().map(|row| row.spec).chain(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_rows_differ() {
        let mut ids: Vec<_> = all().map(|spec| spec.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn the_gets_alone_are_measured_beside_a_redis_that_does_not_sync() {
        for row in BENCHMARK {
            assert_eq!(row.is_write, row.run.test != "get", "{}", row.spec.id);
        }
    }
}
