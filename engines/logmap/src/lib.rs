//! The logmap engine: a write-ahead log and an ordered map in memory.
//!
//! ```text
//! apply       stage in the map ─▶ append to the log ─▶ make durable ─▶ publish           redo only
//! background  lane log         prepare segments ahead of need, use old ones again, sync what is due
//!             lane checkpoint  view ─▶ temporary file ─▶ sync ─▶ rename ─▶ sync directory ─▶ retire the log
//! open        newest checkpoint ─▶ the log behind it, done again
//!
//! a directory    checkpoint-0000000000000c35   the state up to log record 0xc35   (drawn in `checkpoint`)
//!                values-0000000000000007       values that it refers to           (drawn in `values`)
//!                log-…, spare-…                the log                            (drawn in `wal` and `record`)
//!                checkpoint.tmp, values.tmp    not finished: removed at open
//! ```
//!
//! Promises: what `guarantees` says for the class of durability. Memory is that of the state, about 50 bytes more
//! for each entry, and what views hold (see `VersionedMap`); reads never touch a disk. With
//! `values = "disk"` values of `disk_value_bytes` and more are in memory only until the next checkpoint: memory is
//! that of the keys, the smaller values, about 80 bytes for each entry, and the log behind the newest checkpoint;
//! a read of such a value touches the disk. The disk holds the state twice while a checkpoint is written (values
//! on disk are not written again, but may take twice their bytes), and up to four times the log that calls for
//! one. An ingest is one record of the log, so it is bounded by the largest one, a little less than 2 GiB.

#![forbid(unsafe_code)]

mod checkpoint;
mod checkpointer;
mod files;
mod guarantees;
mod ingest;
mod maintenance;
mod reading;
mod record;
mod recovery;
mod store;
mod values;
mod writer;

use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::versioned_map::Stored;
use adapter_api::*;

use ingest::Recorder;
use reading::LogmapView;
use store::Store;

/// The logmap engine, open.
pub struct LogmapEngine {
    map: VersionedMap,
    /// `None` if the directory was opened to salvage what it holds, for reading only.
    store: Option<Store>,
}

impl Plugin for LogmapEngine {
    fn describe() -> Description {
        let summary = "a write-ahead log and an ordered map in memory; large values may stay on disk";
        let mut about = Description::new("logmap", env!("CARGO_PKG_VERSION"), summary);
        about.format = 2;
        about.capabilities = Capabilities::READ_VIEW
            | Capabilities::RESIDENT
            | Capabilities::ESTIMATE
            | Capabilities::EXACT_COUNT
            | Capabilities::INGEST
            | Capabilities::BACKUP
            | Capabilities::VERIFY
            | Capabilities::COMPACT
            | Capabilities::DURABLE
            | Capabilities::SALVAGE;
        about.options.push(wal::log_segment_option());
        about.options.push(OptionSpec::integer(
            "checkpoint_log_bytes",
            "bytes",
            0,
            0,
            1 << 40,
            "A checkpoint is written when the log has grown by this much; 0 stands for 64 MiB or the size of the \
             state, whichever is more. Smaller ones make starts faster and the log shorter, and write more.",
        ));
        about.options.push(OptionSpec::choice(
            "values",
            &["memory", "disk"],
            "Where values are kept: all in memory, or the large ones in files, so that a state may be larger than \
             memory; reads of those touch the disk. May be changed at any start; values move with the next checkpoint.",
        ));
        about.options.push(OptionSpec::integer(
            "disk_value_bytes",
            "bytes",
            4096,
            64,
            VALUE_BYTES_MAX as i64,
            "With values = \"disk\": values of this size and more are kept on disk. An entry with such a value takes \
             its key and about 80 bytes of memory.",
        ));
        about.lanes.push(LaneSpec::new(
            "log",
            "prepares segments of the log ahead of need, uses old ones again, and in the class interval syncs",
        ));
        about.lanes.push(LaneSpec::new(
            "checkpoint",
            "writes the state to a file when the log has grown, so that the older part of the log can go",
        ));
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        Self::open_into(VersionedMap::new(), request)
    }

    fn guarantees(options: &Options, durability: Durability) -> Guarantees {
        let is_on_disk = options.text("values") == "disk";
        guarantees::table(options.integer("checkpoint_log_bytes") == 0, is_on_disk, durability)
    }
}

impl LogmapEngine {
    fn open_into(map: VersionedMap, request: OpenRequest) -> Result<Self> {
        let OpenRequest { environment, options, durability, salvage } = request;
        let disk_value_bytes =
            (options.text("values") == "disk").then(|| options.integer("disk_value_bytes").unsigned_abs());
        if let Some(watch) = salvage {
            recovery::salvage(&environment.directory, disk_value_bytes, &map, &*watch)?;
            return Ok(Self { map, store: None });
        }
        let log_options = store::log_options(options.integer("log_segment").unsigned_abs(), durability);
        let recovered = recovery::open(&environment, log_options, disk_value_bytes, &map)?;
        let checkpoint_log_bytes = options.integer("checkpoint_log_bytes").unsigned_abs();
        let store = Store::new(environment, recovered, checkpoint_log_bytes, disk_value_bytes);
        Ok(Self { map, store: Some(store) })
    }

    fn store(&self) -> Result<&Store> {
        self.store.as_ref().ok_or_else(|| {
            EngineError::rejected("the directory was opened to salvage what it holds, for reading only")
        })
    }
}

impl StorageEngine for LogmapEngine {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let store = self.store()?;
        if batch.is_empty() {
            return Ok(());
        }
        store.wait_for_checkpoint(&self.map);
        store.commit_batch(self.map.stage(batch), batch)
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        let mut is_there = false;
        self.map.find_each(&[key], |stored| {
            is_there = reading::append(stored, value)?;
            Ok(())
        })?;
        Ok(is_there)
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        let mut resident = Resident::Absent;
        self.map.find_each(&[key], |stored| {
            resident = match stored {
                None => Resident::Absent,
                Some(Stored::Away(_)) => Resident::WouldBlock,
                Some(Stored::Here(bytes)) => {
                    value.extend_from_slice(bytes);
                    Resident::Hit
                }
            };
            Ok(())
        })?;
        Ok(resident)
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        self.map.find_each(keys, |stored| values.push_with(|value| reading::append(stored, value)))
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        self.map.multi_get_here(keys, bytes_max, values);
        Ok(())
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(LogmapView(self.map.view())))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        Ok(self.map.estimate(range))
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        let store = self.store()?;
        let mut recorder = Recorder::new(entries);
        let staged = self.map.stage_sorted(&mut recorder)?;
        let record = recorder.into_record();
        if record.is_empty() {
            return Ok(());
        }
        store.log.leave_reserve(record.len() as u64)?;
        store.commit(staged, &record)
    }

    fn background(&self, lane: Lane) -> Result<Step> {
        self.store.as_ref().map_or(Ok(Step::Idle), |store| store.background(lane, &self.map))
    }

    fn pressure(&self) -> Pressure {
        self.store.as_ref().map_or(Pressure::none(), |store| store.pressure(&self.map))
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.map.metrics();
        metrics.extend(self.store.iter().flat_map(|store| store.metrics(&self.map)));
        metrics
    }

    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        maintenance::backup(self.store()?, &self.map, &target, watch)
    }

    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        maintenance::verify(self.store()?, &self.map, watch)
    }

    /// Writes a checkpoint of everything, whatever the range: with it the older part of the log goes.
    fn compact(&self, _: KeyRange<'_>, watch: &dyn Watch) -> Result<()> {
        self.store()?.force_checkpoint(&self.map, watch)
    }

    fn close(&self) -> Result<()> {
        self.store.as_ref().map_or(Ok(()), Store::close)
    }
}

export_engine!(LogmapEngine);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use adapter_api::environment::Lanes;
    use adapter_api::environment::real::{RealClock, RealDirectory};

    use super::*;

    #[derive(Default)]
    struct CountedWaits(AtomicUsize);

    impl Lanes for CountedWaits {
        fn wake(&self, _: Lane) {}
        fn wait_for(&self, _: Lane) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_checkpoint_that_writes_outran_begins_again_and_writes_wait_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let lanes = Arc::new(CountedWaits::default());
        let directory: Arc<dyn Directory> =
            Arc::new(RealDirectory::open(folder.path(), Arc::default()).unwrap());
        let clock = Arc::new(RealClock::new());
        let mut request =
            OpenRequest::new(Environment { directory, clock, lanes: Arc::clone(&lanes) as Arc<dyn Lanes> });
        request.options.set("log_segment", "65536");
        request.options.set("checkpoint_log_bytes", "1");
        request.durability = Durability::Os;
        let engine = LogmapEngine::open_into(VersionedMap::with_view_limit(100_000), request).unwrap();
        let put_many = |keys: std::ops::Range<u32>| {
            let mut batch = BatchBuilder::new();
            keys.for_each(|key| batch.put(&key.to_be_bytes(), &[7; 10_000]).unwrap());
            engine.apply(batch.as_batch()).unwrap();
        };
        let checkpoint = || engine.background(store::CHECKPOINT_LANE).unwrap();
        put_many(0..300);
        let waits = lanes.0.load(Ordering::SeqCst);
        (0..2).for_each(|_| assert_eq!(checkpoint(), Step::More));
        put_many(0..20);
        assert_eq!(engine.pressure().level, 100, "the log is far ahead");
        let is_outrun = || engine.pressure().reason.contains("outran");
        assert!((0..3).any(|_| checkpoint() == Step::More && is_outrun()), "{:?}", engine.pressure());
        let before = lanes.0.load(Ordering::SeqCst);
        put_many(0..1);
        assert!(before > waits && lanes.0.load(Ordering::SeqCst) == before + 1, "a write waits");
        while checkpoint() == Step::More {}
        assert!(
            folder
                .path()
                .read_dir()
                .unwrap()
                .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("checkpoint-") })
        );
        assert_eq!(engine.pressure(), Pressure::none());
    }
}
