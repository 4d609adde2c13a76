//! The LSM engine: a log, memtables, and sorted tables that are merged behind the writes.
//!
//! ```text
//! apply       stage in the memtable ─▶ append to the log ─▶ make durable ─▶ publish                       redo only
//! get         memtables ─▶ level 0 ─▶ … ─▶ last level: filter ─▶ index ─▶ block ─▶ value       the first word counts
//! background  lane log         prepare segments ahead of need, use old ones again, sync what is due
//!             lane flush       sealed memtable ─▶ table of level 0 ─▶ sync ─▶ manifest ─▶ retire the log
//!             lane compaction  tables ─▶ merge ─▶ tables of the next level ─▶ sync ─▶ manifest ─▶ remove the old ones
//! open        manifest ─▶ tables: footer, index, filter ─▶ what nothing names is removed ─▶ the log done again
//!
//! a directory    manifest-0000000000000003   which tables there are, and where         (drawn in `manifest`)
//!                table-000000000000000a      keys with values, tombstones, ranges      (drawn in `table`)
//!                blob-000000000000000b       values that are long                      (drawn in `blob`)
//!                log-…, spare-…              the log                                   (`record`, the crate `wal`)
//! ```
//!
//! From the bottom up: `item`, `ranges` and `walk` are what all sources have in common; `files` are names; `table` and
//! `blob` are files, `cache` keeps blocks; `run` and `version` order tables by age, `manifest` makes that durable;
//! `memtable` is in front of them. `merge` makes one walk of many, `sources` one answer, `abreast` many, `view` points in time.
//! `picker` says what to merge, `compaction` and `flush` do it (`long_values` beside the tables of the latter), `catalog` makes it count. `store` is the writer and the
//! lanes, `throttle` how the one waits for the others; `recovery`, `ingest` and `maintenance` are the rest. `salvage`
//! opens what is damaged, and `losses` tells of it.
//!
//! Promises: what `guarantees` below says for the class of durability. Reads wait for nobody but the device. Memory is kept to
//! `cache_bytes`: memtables, filters and indexes first, and blocks with what they leave. Views keep up to `view_bytes`
//! of memory and disk beside that, and end then. While tables are merged the disk holds them twice.

#![forbid(unsafe_code)]

mod abreast;
mod blob;
mod cache;
mod catalog;
mod compaction;
mod direct;
mod files;
mod flush;
mod ingest;
mod item;
mod long_values;
mod losses;
mod maintenance;
mod manifest;
mod memtable;
mod merge;
mod names;
mod numbers;
mod picker;
mod ranges;
mod record;
mod recovery;
mod report;
mod run;
mod salvage;
mod settings;
mod sources;
mod store;
mod table;
mod throttle;
mod version;
mod view;
mod walk;

use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::*;
use wal::LogOptions;

use settings::Settings;
use sources::{Moment, Sources};
use store::Store;
use view::LsmView;

/// The size of a segment of the log unless set otherwise: smaller ones are given back sooner.
const SEGMENT_BYTES: u64 = 16 << 20;

/// The LSM engine, open.
pub struct LsmEngine {
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "there is one of it, and every call looks into it")]
enum State {
    Serving(Store),
    /// Opened to salvage what the directory holds, for reading only.
    Salvaged(Arc<Sources>),
}

impl LsmEngine {
    fn store(&self) -> Result<&Store> {
        match &self.state {
            State::Serving(store) => Ok(store),
            State::Salvaged(_) => Err(EngineError::rejected(
                "the directory was opened to salvage what it holds, for reading only",
            )),
        }
    }

    /// Lends the sources of a look that takes a moment.
    fn with_sources<R>(&self, look: impl FnOnce(&Sources) -> R) -> R {
        match &self.state {
            State::Serving(store) => look(&store.catalog.sources()),
            State::Salvaged(sources) => look(sources),
        }
    }

    fn moment(&self) -> Moment {
        match &self.state {
            State::Serving(store) => store.catalog.moment(),
            State::Salvaged(sources) => Moment::of(Arc::clone(sources)),
        }
    }
}

impl Plugin for LsmEngine {
    fn describe() -> Description {
        let summary = "a log-structured merge tree: writes at the log's speed, data larger than memory, less room than \
                       a B-tree";
        let mut about = Description::new("lsm", env!("CARGO_PKG_VERSION"), summary);
        about.capabilities = Capabilities::READ_VIEW
            | Capabilities::RESIDENT
            | Capabilities::ESTIMATE
            | Capabilities::INGEST
            | Capabilities::BACKUP
            | Capabilities::VERIFY
            | Capabilities::COMPACT
            | Capabilities::DURABLE
            | Capabilities::SALVAGE;
        about.options = settings::specs();
        let mut segment = wal::log_segment_option();
        segment.default = SEGMENT_BYTES.to_string();
        about.options.push(segment);
        about.lanes.push(LaneSpec::new(
            "log",
            "prepares segments of the log ahead of need, uses old ones again, and in the class interval syncs",
        ));
        about.lanes.push(LaneSpec::new("flush", "writes memtables that are full to tables"));
        about.lanes.push(LaneSpec::new("compaction", "merges tables, so that reads look into few of them"));
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        let OpenRequest { environment, options, durability, salvage } = request;
        let settings = Settings::of(&options);
        let segment_bytes = options.integer("log_segment").unsigned_abs();
        // What grows between two flushes is used again behind the second.
        let recycled_segments = (settings.memtable_bytes / segment_bytes).clamp(4, 16) as usize;
        let log_options = LogOptions { segment_bytes, durability, recycled_segments, ready_segments: 1 };
        if let Some(watch) = salvage {
            let sources = salvage::open(&environment.directory, log_options, &settings, watch)?;
            return Ok(Self { state: State::Salvaged(Arc::new(sources)) });
        }
        let parts = recovery::open(&environment, log_options, &settings)?;
        Ok(Self { state: State::Serving(Store::new(environment, settings, parts)) })
    }

    fn guarantees(_: &Options, durability: Durability) -> Guarantees {
        wal::guarantees(durability)
            .kept(Promise::Restart, "the tables that the manifest names and the log behind them have everything that was answered OK")
            .kept(
                Promise::ValidFormat,
                "files are written once and counted when they are durable; an edit of the manifest is whole or does not count",
            )
            .kept(Promise::Concurrency, "readers never wait for the writer; one writer at a time")
            .kept(
                Promise::Performance,
                "a write costs its own bytes in the log, and once more for each level that its table passes",
            )
    }
}

impl StorageEngine for LsmEngine {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let store = self.store()?;
        store.wait_for_lanes(batch.as_bytes().len() as u64);
        store.apply(batch)
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        let start = value.len();
        let found = match &self.state {
            State::Serving(store) => store.catalog.read(|sources| {
                value.truncate(start);
                sources.get(key, true, value)
            })?,
            State::Salvaged(sources) => sources.get(key, true, value)?,
        };
        Ok(found == Resident::Hit)
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        self.with_sources(|sources| sources.get(key, false, value))
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        abreast::multi_get(&self.moment(), keys, values)
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        abreast::multi_get_here(&self.moment(), keys, bytes_max, values)
    }

    /// Through a view that nothing ends: a scan is one call, and its caller was promised no point in time.
    fn scan(&self, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        let mut cursor = LsmView::unbounded(self.moment()).walk(range, direction)?;
        while let Some(entry) = cursor.next()? {
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(match &self.state {
            State::Serving(store) => store.views.open(store.catalog.moment()),
            State::Salvaged(_) => LsmView::unbounded(self.moment()),
        }))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        Ok(self.with_sources(|sources| sources.estimate(range)))
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        ingest::ingest(self.store()?, entries)
    }

    fn background(&self, lane: Lane) -> Result<Step> {
        self.store().map_or(Ok(Step::Idle), |store| store.background(lane))
    }

    fn pressure(&self) -> Pressure {
        self.store().map_or_else(|_| Pressure::none(), Store::pressure)
    }

    fn metrics(&self) -> Vec<Metric> {
        self.store().map(report::metrics).unwrap_or_default()
    }

    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        maintenance::backup(self.store()?, &target, watch)
    }

    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        maintenance::verify(self.store()?, watch)
    }

    /// Merges everything of the range into the last level.
    fn compact(&self, range: KeyRange<'_>, watch: &dyn Watch) -> Result<()> {
        maintenance::compact(self.store()?, range, watch)
    }

    fn close(&self) -> Result<()> {
        self.store().map_or(Ok(()), Store::close)
    }
}

export_engine!(LsmEngine);
