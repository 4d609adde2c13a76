//! The numbers a log reports. Readers never wait for a device.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adapter_api::Metric;

/// The numbers of a log since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogMetrics {
    /// Bytes of records that were appended.
    pub bytes_appended: u64,
    /// Bytes of groups that were written: records, headers, padding.
    pub bytes_written: u64,
    /// Groups that were written.
    pub groups: u64,
    /// Data syncs and durable writes for the sake of groups.
    pub syncs: u64,
    /// Segments that hold records, the current one included.
    pub segments_live: u64,
    /// Bytes of the files that hold records.
    pub bytes_live: u64,
    /// Segments that are ready for use.
    pub segments_ready: u64,
    /// Files that wait to be used again or removed.
    pub segments_retired: u64,
    /// Files that were used again.
    pub segments_recycled: u64,
    /// Segments that the writer had to prepare itself, because none was ready.
    pub prepared_in_line: u64,
    /// When the last write became durable, since 1970-01-01 00:00 UTC; `None` if none did.
    pub last_durable: Option<Duration>,
}

impl LogMetrics {
    /// The same numbers as an engine reports them.
    pub fn report(&self) -> Vec<Metric> {
        let mut metrics = vec![
            Metric::counter("log_appended_bytes", self.bytes_appended as f64),
            Metric::counter("log_written_bytes", self.bytes_written as f64),
            Metric::counter("log_groups", self.groups as f64),
            Metric::counter("log_syncs", self.syncs as f64),
            Metric::gauge("log_live_segments", self.segments_live as f64),
            Metric::gauge("log_live_bytes", self.bytes_live as f64),
            Metric::gauge("log_ready_segments", self.segments_ready as f64),
            Metric::gauge("log_retired_segments", self.segments_retired as f64),
            Metric::counter("log_recycled_segments", self.segments_recycled as f64),
            Metric::counter("log_segments_prepared_in_line", self.prepared_in_line as f64),
        ];
        if let Some(at) = self.last_durable {
            metrics.push(Metric::gauge("log_last_durable_unix_seconds", at.as_secs_f64()));
        }
        metrics
    }
}

/// What is counted while the log works.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub bytes_appended: AtomicU64,
    pub bytes_written: AtomicU64,
    pub groups: AtomicU64,
    pub syncs: AtomicU64,
    pub recycled: AtomicU64,
    pub prepared_in_line: AtomicU64,
    /// Bytes of the current segment's file.
    pub current_len: AtomicU64,
    /// Microseconds since 1970; 0 if nothing became durable yet.
    pub last_durable: AtomicU64,
    /// The last record appended, and the last one durable.
    pub last: AtomicU64,
    pub durable: AtomicU64,
    /// Bytes of the current segment that no sync has covered.
    pub unsynced_bytes: AtomicU64,
}

impl Counters {
    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    /// Notes that everything up to `lsn` became durable at wall time `now`.
    pub(crate) fn note_durable(&self, lsn: u64, now: Duration) {
        self.durable.fetch_max(lsn, Ordering::Release);
        self.last_durable.store(u64::try_from(now.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The numbers that are counted; those of the segments are left 0.
    pub(crate) fn read(&self) -> LogMetrics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let last_durable = load(&self.last_durable);
        LogMetrics {
            bytes_appended: load(&self.bytes_appended),
            bytes_written: load(&self.bytes_written),
            groups: load(&self.groups),
            syncs: load(&self.syncs),
            segments_recycled: load(&self.recycled),
            prepared_in_line: load(&self.prepared_in_line),
            last_durable: (last_durable != 0).then(|| Duration::from_micros(last_durable)),
            ..LogMetrics::default()
        }
    }
}
