//! The numbers that the engine reports.

use adapter_api::Metric;

use crate::picker;
use crate::store::Store;

/// Every number of the store.
pub(crate) fn metrics(store: &Store) -> Vec<Metric> {
    let log = store.log().metrics();
    let mut metrics = log.report();
    if let Some(at) = log.last_durable {
        metrics.push(Metric::gauge("last_durable_write_unix_ms", at.as_millis() as f64));
    }
    metrics.extend(store.numbers.report());
    let sources = store.catalog.sources();
    let memory: u64 = sources.memtables().map(|memtable| memtable.bytes()).sum();
    metrics.extend([
        Metric::gauge("memtable_bytes", memory as f64),
        Metric::gauge("sealed_memtables", sources.sealed.len() as f64),
        Metric::gauge("open_views", store.views.count() as f64),
        Metric::gauge("view_retained_bytes", store.catalog.retained_bytes() as f64),
        Metric::gauge("blob_files", sources.blobs.len() as f64),
        Metric::gauge("blob_live_bytes", sources.version.blob_bytes().values().sum::<u64>() as f64),
    ]);
    let cache = store.catalog.cache.usage();
    let filters =
        sources.version.tables().fold(cache.past_filters, |sum, (_, table)| sum + table.filter_usage());
    metrics.extend([
        Metric::gauge("cache_bytes", cache.bytes as f64),
        Metric::gauge("pinned_bytes", cache.pinned as f64),
        Metric::counter("cache_hits", cache.hits as f64),
        Metric::counter("cache_misses", cache.misses as f64),
        Metric::counter("cache_evictions", cache.evictions as f64),
        Metric::counter("filter_checks", filters.checks as f64),
        Metric::counter("filter_true_positives", filters.true_positives as f64),
        Metric::counter("filter_false_positives", filters.false_positives as f64),
    ]);
    let (shape, options) = (store.shape(), store.pick_options());
    metrics.push(Metric::gauge("compaction_debt_bytes", picker::debt_bytes(&shape, &options) as f64));
    for (number, (level, score)) in
        sources.version.levels.iter().zip(picker::scores(&shape, &options)).enumerate()
    {
        let of_level = |metric: Metric| metric.label("level", number.to_string());
        metrics.extend([
            of_level(Metric::gauge("level_runs", level.runs.len() as f64)),
            of_level(Metric::gauge("level_tables", level.tables().count() as f64)),
            of_level(Metric::gauge("level_bytes", level.bytes() as f64)),
            of_level(Metric::gauge("level_score", score)),
        ]);
    }
    metrics
}
