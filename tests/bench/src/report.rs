//! What was measured, as JSON for machines and as a table for people.
//!
//! Promises: the JSON holds every run; the table holds medians with the smallest and the largest ratio, and
//! says with which command and on what machine it was made.

use std::fmt::Write as _;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::judge::{Target, Targets, Verdict};
use crate::latency::Summary;
use crate::pairs::{Pairs, Spread, ratios};

/// One run of one side on one row.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sample {
    /// The figure that is compared.
    pub value: f64,
    /// CPU time of the server for one operation, in microseconds.
    pub cpu_us: Option<f64>,
    /// The median time of an operation, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 % of the operations took no longer, in milliseconds.
    pub p99_ms: Option<f64>,
    /// What the engine did to its files for one operation, as the host counted it.
    pub files: Option<FileUse>,
    /// Bytes that the process made the kernel write, for one operation, as the kernel accounts them.
    pub kernel_written_bytes: Option<f64>,
    /// All that our own driver knows of the times.
    pub latency: Option<Summary>,
}

/// What an engine did to its files, for one operation of the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FileUse {
    /// Bytes written, by cause.
    pub written_bytes: Vec<(String, f64)>,
    /// Syncs of data, and writes that were durable on return.
    pub syncs: f64,
}

/// How a row is called, and what is expected of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowSpec {
    /// By which it is chosen on the command line.
    pub id: &'static str,
    /// What it measures.
    pub title: &'static str,
    /// The unit of its figures.
    pub unit: &'static str,
}

/// A row of the results.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// By which it is chosen on the command line.
    pub id: String,
    /// What it measures.
    pub title: String,
    /// The unit of its figures.
    pub unit: String,
    /// The rival's runs.
    pub rival: Vec<Sample>,
    /// Our runs.
    pub ours: Vec<Sample>,
    /// Ours / rival, over the pairs.
    pub ratio: Spread,
    /// What is expected, and what we are after.
    pub targets: Targets,
    /// What became of it.
    pub verdict: Verdict,
}

impl Row {
    /// The row that the runs make, judged.
    ///
    /// # Errors
    /// If a run gave no positive figure.
    pub fn new(spec: RowSpec, runs: Pairs<Sample>, targets: Targets) -> Result<Self> {
        let values = |runs: &[Sample]| runs.iter().map(|run| run.value).collect::<Vec<_>>();
        let ratios = ratios(&values(&runs.rival), &values(&runs.ours)).context(spec.title)?;
        let ratio = Spread::of(ratios).context("no runs, no row")?;
        Ok(Self {
            id: spec.id.to_string(),
            title: spec.title.to_string(),
            unit: spec.unit.to_string(),
            ratio,
            targets,
            verdict: targets.judge(ratio),
            rival: runs.rival,
            ours: runs.ours,
        })
    }

    /// The median of what `pick` takes from the runs; `None` if some run has no such figure.
    pub fn median(runs: &[Sample], pick: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let picked: Option<Vec<f64>> = runs.iter().map(pick).collect();
        Spread::of(picked?).map(|spread| spread.median)
    }
}

/// Everything that one command measured.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// The command.
    pub command: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// On what.
    pub machine: Machine,
    /// Whom we are measured by, with the version.
    pub rival: String,
    /// Who we are: the engine with its version, and its options.
    pub ours: String,
    /// Whether it was only tried whether everything works: such figures say nothing.
    pub quick: bool,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub processors: usize,
    /// The kernel.
    pub kernel: String,
    /// Memory, in MiB.
    pub memory_mib: u64,
}

impl Machine {
    /// This machine, as far as it tells.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        Self {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
            memory_mib: kib / 1024,
        }
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Results {
    /// The table.
    pub fn table(&self) -> String {
        let Machine { processors, kernel, memory_mib } = &self.machine;
        let mut out = format!(
            "# {}\n# ours: {}; rival: {}; {processors} processors, {memory_mib} MiB, kernel {kernel}\n",
            self.command, self.ours, self.rival
        );
        if self.quick {
            out += "# QUICK: too short to mean anything; it only shows that everything works\n";
        }
        let head =
            ["rival", "ours", "ratio", "min", "max", "must", "reach", "verdict", "CPU µs/op", "p99 ms"];
        let _ = write!(out, "{:<48}{:<6}", "", "unit");
        write_cells(&mut out, &head.map(String::from));
        for row in &self.rows {
            let _ = write!(out, "{:<48}{:<6}", row.title, row.unit);
            write_cells(&mut out, &cells(row));
            write_files(&mut out, row);
        }
        out
    }

    /// Everything, for machines.
    ///
    /// # Errors
    /// If a figure cannot be written as JSON.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// How many rows missed what is expected of them.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict == Verdict::Missed).count()
    }
}

fn write_cells(out: &mut String, cells: &[String; 10]) {
    const WIDTHS: [usize; 10] = [11, 11, 7, 7, 7, 7, 7, 9, 16, 16];
    for (cell, width) in cells.iter().zip(WIDTHS) {
        let _ = write!(out, "{cell:>width$}");
    }
    out.push('\n');
}

fn cells(row: &Row) -> [String; 10] {
    let value = |runs: &[Sample]| figure(Row::median(runs, |run| Some(run.value)));
    let target = |target: Option<Target>| target.map_or_else(String::new, |target| target.to_string());
    let both = |pick: fn(&Sample) -> Option<f64>| match (
        Row::median(&row.rival, pick),
        Row::median(&row.ours, pick),
    ) {
        (None, None) => String::new(),
        (rival, ours) => format!("{} / {}", figure(rival), figure(ours)),
    };
    [
        value(&row.rival),
        value(&row.ours),
        format!("{:.2}", row.ratio.median),
        format!("{:.2}", row.ratio.min),
        format!("{:.2}", row.ratio.max),
        target(row.targets.must),
        target(row.targets.reach),
        row.verdict.to_string(),
        both(|run| run.cpu_us),
        both(|run| run.p99_ms),
    ]
}

/// A line of what our writes cost the device, where the host counted it.
fn write_files(out: &mut String, row: &Row) {
    let Some(files) = row.ours.last().and_then(|run| run.files.as_ref()) else { return };
    let bytes: Vec<_> = files
        .written_bytes
        .iter()
        .map(|(cause, bytes)| format!("{cause} {}", figure(Some(*bytes))))
        .collect();
    if !bytes.is_empty() {
        let kernel = Row::median(&row.rival, |run| run.kernel_written_bytes);
        let rival = kernel.map_or(String::new(), |bytes| {
            format!("; rival, by the kernel's account: {}", figure(Some(bytes)))
        });
        let per_sync = if files.syncs > 0.0 {
            format!("{} to a sync", figure(Some(1.0 / files.syncs)))
        } else {
            "no sync".to_string()
        };
        let _ = writeln!(out, "    written bytes/op: {}; {per_sync}{rival}", bytes.join(", "));
    }
}

/// A figure with about four digits.
pub(crate) fn figure(value: Option<f64>) -> String {
    match value {
        None => "–".to_string(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: RowSpec = RowSpec { id: "set", title: "SET", unit: "/s" };

    fn runs(values: &[f64]) -> Vec<Sample> {
        values.iter().map(|value| Sample { value: *value, cpu_us: Some(7.5), ..Sample::default() }).collect()
    }

    fn results() -> Results {
        let targets = Targets { must: Some(Target::Tie), reach: Some(Target::AtLeast(3.0)) };
        let pairs = Pairs { rival: runs(&[100.0, 50.0, 10.0]), ours: runs(&[200.0, 50.0, 30.0]) };
        Results {
            command: "measure".to_string(),
            time: 1,
            machine: Machine { processors: 2, kernel: "6".to_string(), memory_mib: 3 },
            rival: "redis".to_string(),
            ours: "logmap".to_string(),
            quick: false,
            rows: vec![Row::new(SPEC, pairs, targets).unwrap()],
        }
    }

    #[test]
    fn the_table_shows_the_median_ratio_its_spread_and_the_verdict() {
        let table = results().table();
        let line = table.lines().find(|line| line.starts_with("SET")).unwrap();
        let cells: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            cells,
            ["SET", "/s", "50.0", "50.0", "2.00", "1.00", "3.00", "tie", "≥3", "met", "7.500", "/", "7.500"]
        );
        assert!(table.starts_with("# measure\n") && !table.contains("QUICK"));
        assert!(Results { quick: true, ..results() }.table().contains("QUICK"));
    }

    #[test]
    fn the_json_holds_every_run() {
        let json: serde_json::Value = serde_json::from_str(&results().json().unwrap()).unwrap();
        assert_eq!(json["rows"][0]["ours"][2]["value"], 30.0);
        assert_eq!(json["rows"][0]["ratio"]["median"], 2.0);
        assert_eq!(json["rows"][0]["verdict"], "met");
    }

    #[test]
    fn a_row_with_a_run_that_measured_nothing_is_refused() {
        let pairs = Pairs { rival: runs(&[1.0]), ours: runs(&[0.0]) };
        assert!(Row::new(SPEC, pairs, Targets::default()).is_err());
    }

    #[test]
    fn missed_rows_are_counted() {
        let pairs = Pairs { rival: runs(&[10.0]), ours: runs(&[5.0]) };
        let targets = Targets { must: Some(Target::Tie), reach: None };
        let mut results = results();
        results.rows.push(Row::new(SPEC, pairs, targets).unwrap());
        assert_eq!(results.missed(), 1);
    }
}
