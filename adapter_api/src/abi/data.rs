//! The plain data that crosses the border, and its translation to the types that authors see.

use std::io::IoSlice;
use std::time::Duration;

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RSlice, RString, RVec};

use crate::describe::{
    Capabilities, Description, Estimate, Guarantee, Guarantees, LaneSpec, Metric, MetricKind, Pressure,
    Promise,
};
use crate::engine::{Durability, Step};
use crate::environment::{Cause, DirectoryEntry, FileFeatures, OpenFile};
use crate::options::{OptionKind, OptionSpec, Options};
use crate::range::{Direction, KeyRange};

/// Something that a later version added to a struct of a cold path; skipped where it is not known.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct Extension {
    pub name: RString,
    pub bytes: RVec<u8>,
}

/// Texts in pairs: options and their values, labels and theirs.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct AbiPair {
    pub name: RString,
    pub value: RString,
}

pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> RVec<AbiPair> {
    pairs.into_iter().map(|(name, value)| AbiPair { name: name.into(), value: value.into() }).collect()
}

#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct AbiRange<'a> {
    start: RSlice<'a, u8>,
    end: ROption<RSlice<'a, u8>>,
}

impl<'a> From<KeyRange<'a>> for AbiRange<'a> {
    fn from(range: KeyRange<'a>) -> Self {
        Self { start: range.start().into(), end: range.end().map(RSlice::from).into() }
    }
}

impl<'a> From<AbiRange<'a>> for KeyRange<'a> {
    fn from(range: AbiRange<'a>) -> Self {
        let end = match range.end {
            ROption::RSome(end) => Some(end.as_slice()),
            ROption::RNone => None,
        };
        KeyRange::with_end(range.start.as_slice(), end)
    }
}

pub(crate) fn direction(reverse: bool) -> Direction {
    if reverse { Direction::Reverse } else { Direction::Forward }
}

/// An entry lent by a cursor: valid until the next call to it.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiEntry {
    pub key: RSlice<'static, u8>,
    pub value: RSlice<'static, u8>,
}

impl AbiEntry {
    pub(crate) const EMPTY: Self = Self { key: RSlice::EMPTY, value: RSlice::EMPTY };
}

/// One slice of a vectored write: the same memory as `std::io::IoSlice`, which is documented to be that of
/// the `iovec` of the platform.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiIoSlice {
    start: *const u8,
    len: usize,
}

const _: () = assert!(size_of::<AbiIoSlice>() == size_of::<IoSlice<'static>>());
const _: () = assert!(align_of::<AbiIoSlice>() == align_of::<IoSlice<'static>>());

impl AbiIoSlice {
    pub(crate) fn from_std<'a>(slices: &'a [IoSlice<'_>]) -> RSlice<'a, Self> {
        // SAFETY: both types have the layout of `iovec` (asserted for size and alignment), and the borrow of
        // `slices` outlives the result.
        unsafe { RSlice::from_raw_parts(slices.as_ptr().cast(), slices.len()) }
    }

    /// # Safety
    /// Each slice must point to memory that may be read during `'a`; `from_std` made it so.
    pub(crate) unsafe fn as_std<'a>(slices: RSlice<'a, Self>) -> &'a [IoSlice<'a>] {
        // SAFETY: the same layout, see `from_std`; liveness is the caller's promise.
        unsafe { std::slice::from_raw_parts(slices.as_ptr().cast(), slices.len()) }
    }
}

/// One read of several: the memory to fill and where its bytes are in the file.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiRead {
    pub offset: u64,
    pub start: *mut u8,
    pub len: usize,
}

#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct AbiDuration {
    seconds: u64,
    nanoseconds: u32,
}

impl From<Duration> for AbiDuration {
    fn from(duration: Duration) -> Self {
        Self { seconds: duration.as_secs(), nanoseconds: duration.subsec_nanos() }
    }
}

impl From<AbiDuration> for Duration {
    fn from(duration: AbiDuration) -> Self {
        Self::from_secs(duration.seconds).saturating_add(Self::from_nanos(duration.nanoseconds.into()))
    }
}

#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct AbiEstimate {
    entries: u64,
    bytes: u64,
    exact: bool,
}

impl From<Estimate> for AbiEstimate {
    fn from(estimate: Estimate) -> Self {
        Self { entries: estimate.entries, bytes: estimate.bytes, exact: estimate.exact }
    }
}

impl From<AbiEstimate> for Estimate {
    fn from(estimate: AbiEstimate) -> Self {
        Self { entries: estimate.entries, bytes: estimate.bytes, exact: estimate.exact }
    }
}

/// 0 idle, 1 more, 2 idle for `delay`.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct AbiStep {
    kind: u32,
    delay: AbiDuration,
}

impl From<Step> for AbiStep {
    fn from(step: Step) -> Self {
        let (kind, delay) = match step {
            Step::Idle => (0, Duration::ZERO),
            Step::More => (1, Duration::ZERO),
            Step::IdleFor(delay) => (2, delay),
        };
        Self { kind, delay: delay.into() }
    }
}

impl From<AbiStep> for Step {
    fn from(step: AbiStep) -> Self {
        match step.kind {
            1 => Self::More,
            2 => Self::IdleFor(step.delay.into()),
            _ => Self::Idle,
        }
    }
}

#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct AbiPressure {
    level: u8,
    reason: RString,
}

impl From<Pressure> for AbiPressure {
    fn from(pressure: Pressure) -> Self {
        Self { level: pressure.level, reason: pressure.reason.into() }
    }
}

impl From<AbiPressure> for Pressure {
    fn from(pressure: AbiPressure) -> Self {
        Self { level: pressure.level, reason: pressure.reason.into() }
    }
}

/// `kind`: 0 gauge, 1 counter.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct AbiMetric {
    name: RString,
    labels: RVec<AbiPair>,
    kind: u32,
    value: f64,
}

impl From<Metric> for AbiMetric {
    fn from(metric: Metric) -> Self {
        Self {
            labels: pairs(metric.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            name: metric.name.into(),
            kind: (metric.kind == MetricKind::Counter).into(),
            value: metric.value,
        }
    }
}

impl From<AbiMetric> for Metric {
    fn from(metric: AbiMetric) -> Self {
        Self {
            name: metric.name.into(),
            labels: metric.labels.into_iter().map(|pair| (pair.name.into(), pair.value.into())).collect(),
            kind: if metric.kind == 1 { MetricKind::Counter } else { MetricKind::Gauge },
            value: metric.value,
        }
    }
}

/// `kind`: 1 integer with `min` and `max`, 2 one of `words`, 3 flag, anything else a text.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct AbiOptionSpec {
    name: RString,
    kind: u32,
    min: i64,
    max: i64,
    words: RVec<RString>,
    unit: RString,
    default: RString,
    help: RString,
}

impl From<OptionSpec> for AbiOptionSpec {
    fn from(spec: OptionSpec) -> Self {
        let (kind, min, max, words) = match spec.kind {
            OptionKind::Integer { min, max } => (1, min, max, Vec::new()),
            OptionKind::Choice(words) => (2, 0, 0, words),
            OptionKind::Flag => (3, 0, 0, Vec::new()),
            OptionKind::Text => (0, 0, 0, Vec::new()),
        };
        Self {
            name: spec.name.into(),
            kind,
            min,
            max,
            words: words.into_iter().map(RString::from).collect(),
            unit: spec.unit.into(),
            default: spec.default.into(),
            help: spec.help.into(),
        }
    }
}

impl From<AbiOptionSpec> for OptionSpec {
    fn from(spec: AbiOptionSpec) -> Self {
        let kind = match spec.kind {
            1 => OptionKind::Integer { min: spec.min, max: spec.max },
            2 => OptionKind::Choice(spec.words.into_iter().map(String::from).collect()),
            3 => OptionKind::Flag,
            _ => OptionKind::Text,
        };
        Self {
            name: spec.name.into(),
            kind,
            unit: spec.unit.into(),
            default: spec.default.into(),
            help: spec.help.into(),
        }
    }
}

#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct AbiDescription {
    name: RString,
    version: RString,
    format: u32,
    summary: RString,
    capabilities: u64,
    options: RVec<AbiOptionSpec>,
    lanes: RVec<AbiPair>,
    batch_bytes_max: u64,
    extensions: RVec<Extension>,
}

impl From<Description> for AbiDescription {
    fn from(about: Description) -> Self {
        Self {
            name: about.name.into(),
            version: about.version.into(),
            format: about.format,
            summary: about.summary.into(),
            capabilities: about.capabilities.bits(),
            options: about.options.into_iter().map(AbiOptionSpec::from).collect(),
            lanes: pairs(about.lanes.iter().map(|lane| (lane.name.as_str(), lane.help.as_str()))),
            batch_bytes_max: about.batch_bytes_max,
            extensions: RVec::new(),
        }
    }
}

impl From<AbiDescription> for Description {
    fn from(about: AbiDescription) -> Self {
        Self {
            name: about.name.into(),
            version: about.version.into(),
            format: about.format,
            summary: about.summary.into(),
            capabilities: Capabilities::from_bits(about.capabilities),
            options: about.options.into_iter().map(OptionSpec::from).collect(),
            lanes: about.lanes.into_iter().map(|lane| LaneSpec::new(lane.name, lane.value)).collect(),
            batch_bytes_max: about.batch_bytes_max,
        }
    }
}

#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct AbiGuarantee {
    promise: u32,
    kept: bool,
    why: RString,
}

pub(crate) fn guarantees_to_abi(guarantees: Guarantees) -> RVec<AbiGuarantee> {
    let line = |line: &Guarantee| AbiGuarantee {
        promise: line.promise as u32,
        kept: line.kept,
        why: line.why.as_str().into(),
    };
    guarantees.lines().iter().map(line).collect()
}

/// Promises that are not known here are left out: what is not mentioned is not promised.
pub(crate) fn guarantees_from_abi(lines: RVec<AbiGuarantee>) -> Guarantees {
    lines.into_iter().fold(Guarantees::new(), |table, line| {
        match Promise::ALL.into_iter().find(|promise| *promise as u32 == line.promise) {
            Some(promise) => table.with(promise, line.kept, line.why),
            None => table,
        }
    })
}

/// `class`: 1 after an interval, 2 operating system, anything else always.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct AbiDurability {
    class: u32,
    interval: AbiDuration,
}

impl From<Durability> for AbiDurability {
    fn from(durability: Durability) -> Self {
        let (class, interval) = match durability {
            Durability::Always => (0, Duration::ZERO),
            Durability::Interval(interval) => (1, interval),
            Durability::Os => (2, Duration::ZERO),
        };
        Self { class, interval: interval.into() }
    }
}

impl From<AbiDurability> for Durability {
    fn from(durability: AbiDurability) -> Self {
        match durability.class {
            1 => Self::Interval(durability.interval.into()),
            2 => Self::Os,
            _ => Self::Always,
        }
    }
}

pub(crate) fn options_from_abi(values: RVec<AbiPair>) -> Options {
    let mut options = Options::new();
    for pair in values {
        options.set(&pair.name, &pair.value);
    }
    options
}

#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct AbiDirectoryEntry {
    name: RString,
    is_directory: bool,
}

impl From<DirectoryEntry> for AbiDirectoryEntry {
    fn from(entry: DirectoryEntry) -> Self {
        Self { name: entry.name.into(), is_directory: entry.is_directory }
    }
}

impl From<AbiDirectoryEntry> for DirectoryEntry {
    fn from(entry: AbiDirectoryEntry) -> Self {
        Self { name: entry.name.into(), is_directory: entry.is_directory }
    }
}

/// Bits: 0 direct, 1 allocate, 2 punch, 3 link.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct AbiFeatures {
    bits: u64,
}

impl From<FileFeatures> for AbiFeatures {
    fn from(features: FileFeatures) -> Self {
        let FileFeatures { direct, allocate, punch, link } = features;
        let bits =
            [direct, allocate, punch, link].into_iter().rev().fold(0, |bits, one| bits << 1 | u64::from(one));
        Self { bits }
    }
}

impl From<AbiFeatures> for FileFeatures {
    fn from(features: AbiFeatures) -> Self {
        let has = |bit: u32| features.bits >> bit & 1 == 1;
        Self { direct: has(0), allocate: has(1), punch: has(2), link: has(3) }
    }
}

pub(crate) fn open_file_to_abi(how: OpenFile) -> u32 {
    u32::from(how.write) | u32::from(how.create_new) << 1 | u32::from(how.direct) << 2
}

pub(crate) fn open_file_from_abi(how: u32) -> OpenFile {
    OpenFile { write: how & 1 != 0, create_new: how & 2 != 0, direct: how & 4 != 0 }
}

/// A cause that is not known here is counted as another one.
pub(crate) fn cause_from_abi(cause: u32) -> Cause {
    Cause::ALL.into_iter().find(|known| *known as u32 == cause).unwrap_or(Cause::Other)
}
