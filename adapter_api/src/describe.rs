//! What an engine says of itself: before it is opened (`Description`, `Guarantees`) and while it runs
//! (`Metric`, `Pressure`, `Estimate`).
//!
//! Promises: all of it is plain data; the host prints it, checks configuration against it and refuses the
//! commands that the engine cannot serve. Engines fill it in `describe`, `guarantees`, `metrics`.

use std::fmt;
use std::ops::BitOr;

use crate::options::OptionSpec;

/// What is known of an engine before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `[a-z0-9_-]{1,32}`. A data directory remembers it.
    pub name: String,
    /// The version of the engine, for people.
    pub version: String,
    /// The version of the format on disk. An engine opens directories of this format and of older ones.
    pub format: u32,
    /// One sentence: what the engine is good for.
    pub summary: String,
    /// The optional primitives the engine has.
    pub capabilities: Capabilities,
    /// The options that `open` understands.
    pub options: Vec<OptionSpec>,
    /// The background lanes, in the order of their `Lane` numbers.
    pub lanes: Vec<LaneSpec>,
    /// The largest batch that `apply` takes, in encoded bytes.
    pub batch_bytes_max: u64,
}

impl Description {
    /// A description with a name, a version and a sentence; format 1, no optional primitive, no option, no
    /// lane, batches up to 1 GiB.
    pub fn new(name: impl Into<String>, version: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            format: 1,
            summary: summary.into(),
            capabilities: Capabilities::NONE,
            options: Vec::new(),
            lanes: Vec::new(),
            batch_bytes_max: 1 << 30,
        }
    }
}

/// The optional primitives of an engine, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u64);

/// Every capability with its bit and its name; bits are frozen, new ones are appended.
const CAPABILITY_NAMES: [(Capabilities, &str); 10] = [
    (Capabilities::READ_VIEW, "read_view"),
    (Capabilities::RESIDENT, "get_resident"),
    (Capabilities::ESTIMATE, "estimate"),
    (Capabilities::EXACT_COUNT, "exact count"),
    (Capabilities::INGEST, "ingest"),
    (Capabilities::BACKUP, "backup"),
    (Capabilities::VERIFY, "verify"),
    (Capabilities::COMPACT, "compact"),
    (Capabilities::DURABLE, "durable"),
    (Capabilities::SALVAGE, "salvage"),
];

impl Capabilities {
    /// The mandatory primitives alone.
    pub const NONE: Self = Self(0);
    /// `read_view`, and with it cursors and a `multi_get` that sees one instant.
    pub const READ_VIEW: Self = Self(1);
    /// `get_resident` answers from memory when it can.
    pub const RESIDENT: Self = Self(1 << 1);
    /// `estimate`.
    pub const ESTIMATE: Self = Self(1 << 2);
    /// `estimate` of all keys is exact.
    pub const EXACT_COUNT: Self = Self(1 << 3);
    /// `ingest`.
    pub const INGEST: Self = Self(1 << 4);
    /// `backup`.
    pub const BACKUP: Self = Self(1 << 5);
    /// `verify`.
    pub const VERIFY: Self = Self(1 << 6);
    /// `compact`.
    pub const COMPACT: Self = Self(1 << 7);
    /// What `apply` answered Ok is still there after the process ends.
    pub const DURABLE: Self = Self(1 << 8);
    /// `open` can read around damage.
    pub const SALVAGE: Self = Self(1 << 9);

    /// Whether every capability of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the capabilities in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CAPABILITY_NAMES.into_iter().filter(move |(one, _)| self.has(*one)).map(|(_, name)| name)
    }

    /// The set as the number that crosses the border. Bits that are not known here are kept.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set with the given bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One background lane of an engine: work that the host schedules, one bounded step at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSpec {
    /// One word, such as `checkpoint`.
    pub name: String,
    /// What the lane does and when.
    pub help: String,
}

impl LaneSpec {
    /// A lane with its name and what it does.
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name: name.into(), help: help.into() }
    }
}

/// A property that a user of a store may count on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Promise {
    /// A missing key is absent, a put overwrites, a delete of a missing key is no error.
    Semantics = 1,
    /// An orderly restart brings everything back.
    Restart = 2,
    /// The bytes on disk are a valid document of the engine's format at every instant.
    ValidFormat = 3,
    /// What was answered OK is there after a crash or a power cut.
    CrashSafety = 4,
    /// After a crash a batch is there as a whole or not at all.
    Atomicity = 5,
    /// After a crash no write is missing while a later one is there.
    WriteOrdering = 6,
    /// Many threads may read while one writes.
    Concurrency = 7,
    /// The cost of a write does not grow with the size of the data.
    Performance = 8,
    /// Several keys change together, and readers see one instant.
    Transactions = 9,
    /// Writes may be answered before they are durable.
    AsynchronousWrites = 10,
}

impl Promise {
    /// Every promise, in the order in which tables show them.
    pub const ALL: [Self; 10] = [
        Self::Semantics,
        Self::Restart,
        Self::ValidFormat,
        Self::CrashSafety,
        Self::Atomicity,
        Self::WriteOrdering,
        Self::Concurrency,
        Self::Performance,
        Self::Transactions,
        Self::AsynchronousWrites,
    ];

    /// The name of the promise in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Semantics => "API semantics",
            Self::Restart => "restart",
            Self::ValidFormat => "valid format on disk",
            Self::CrashSafety => "crash safety",
            Self::Atomicity => "atomicity",
            Self::WriteOrdering => "write ordering",
            Self::Concurrency => "concurrency",
            Self::Performance => "performance",
            Self::Transactions => "transactions",
            Self::AsynchronousWrites => "asynchronous writes",
        }
    }
}

/// One line of a table of guarantees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarantee {
    /// What is promised.
    pub promise: Promise,
    /// Whether it is kept.
    pub kept: bool,
    /// Why, in a sentence.
    pub why: String,
}

/// The promises of an engine under given options: kept, not kept, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guarantees {
    lines: Vec<Guarantee>,
}

impl Guarantees {
    /// A table without lines; what it does not mention is not promised.
    pub const fn new() -> Self {
        Self { lines: Vec::new() }
    }

    /// Adds a promise that is kept.
    pub fn kept(self, promise: Promise, why: impl Into<String>) -> Self {
        self.with(promise, true, why)
    }

    /// Adds a promise that is not kept.
    pub fn not_kept(self, promise: Promise, why: impl Into<String>) -> Self {
        self.with(promise, false, why)
    }

    /// Adds a promise that is kept or not.
    pub fn with(mut self, promise: Promise, kept: bool, why: impl Into<String>) -> Self {
        self.lines.push(Guarantee { promise, kept, why: why.into() });
        self.lines.sort_by_key(|line| line.promise as u32);
        self
    }

    /// The lines, in the order of `Promise::ALL`.
    pub fn lines(&self) -> &[Guarantee] {
        &self.lines
    }

    /// The line of a promise, if the table has one.
    pub fn line(&self, promise: Promise) -> Option<&Guarantee> {
        self.lines.iter().find(|line| line.promise == promise)
    }
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows while the engine is open.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number that an engine reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// `snake_case`, with the unit as its last word.
    pub name: String,
    /// What tells this number from others of the same name.
    pub labels: Vec<(String, String)>,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// The number.
    pub value: f64,
}

impl Metric {
    /// A number that only grows.
    pub fn counter(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), labels: Vec::new(), kind: MetricKind::Counter, value }
    }

    /// A number that goes up and down.
    pub fn gauge(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), labels: Vec::new(), kind: MetricKind::Gauge, value }
    }

    /// The same metric with one more label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (index, (name, value)) in self.labels.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if index == 0 { "{" } else { "," })?;
        }
        write!(f, "{} {}", if self.labels.is_empty() { "" } else { "}" }, self.value)
    }
}

/// How far the background work of an engine is behind its writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pressure {
    /// 0: `apply` will not wait for background work … 100: it will wait.
    pub level: u8,
    /// What it would wait for; empty at level 0.
    pub reason: String,
}

impl Pressure {
    /// No pressure.
    pub const fn none() -> Self {
        Self { level: 0, reason: String::new() }
    }
}

/// About how much a range holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Entries in the range.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Whether `entries` is exact.
    pub exact: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_a_set_that_keeps_unknown_bits() {
        let set = Capabilities::READ_VIEW | Capabilities::INGEST;
        assert!(set.has(Capabilities::INGEST) && !set.has(Capabilities::BACKUP));
        assert_eq!(set.names().collect::<Vec<_>>(), ["read_view", "ingest"]);
        assert_eq!(Capabilities::from_bits(1 << 40).bits(), 1 << 40);
    }

    #[test]
    fn a_metric_prints_name_labels_and_value() {
        let metric = Metric::counter("written_bytes", 7.0).label("cause", "log").label("file", "1");
        assert_eq!(metric.to_string(), "written_bytes{cause=\"log\",file=\"1\"} 7");
        assert_eq!(Metric::gauge("entries", 2.0).to_string(), "entries 2");
    }
}
