//! The B-tree engine: a cache of pages, a log, and checkpoints of the pages that changed.
//!
//! ```text
//! apply       edit copies of pages ─▶ append to the log ─▶ make durable ─▶ publish        redo only
//! ingest      leaves into free blocks ─▶ sync ─▶ append where they are to the log ─▶ make durable ─▶ publish
//! get         slot ─▶ root ─▶ branches ─▶ leaf ─▶ value                     no lock; one read for a page not in memory
//! background  lane log         prepare segments ahead of need, use old ones again, sync what is due
//!             lane checkpoint  changed pages into free blocks ─▶ map ─▶ sync ─▶ superblock ─▶ retire the log
//! open        newest superblock ─▶ map ─▶ the log behind it, done again; pages when they are needed
//!
//! a directory    data           two superblocks, pages and maps of pages       (`superblock`, `map`, the crate `page`)
//!                log-…, spare-… the log                                       (`record`, the crate `wal`)
//! ```
//!
//! From the bottom up: `slots` and `views` know who reads what; `space`, `superblock`, `map`, `data_file`, `places`,
//! `page_writer` and `ahead_writer` are the file, `record` is what the log says; `frames`, `pin`, `reclaim`, `evict`,
//! `dirty` and `holds` keep pages in versions, in memory or not; `ids`, `tree`, `changed`, `edit`, `key_order`, `balance`,
//! `range_delete` and `graft` make a tree of them; `ahead`, `cursor`, `estimate`, `shape` and `check` read it; `leaf_writer` and `ingest`
//! fill it; `pending`, `pace`, `checkpointer`, `redo`, `recovery`, `maintenance` and `store` put it together. `salvage` opens what is
//! damaged, with `survivors`, `cover`, `rebuild` and `losses`.
//!
//! Promises: what `guarantees` below says for the class of durability. Reads wait for nobody but the device. Memory is kept to
//! `cache_bytes`: what is clean leaves it, and `apply` waits before too much is dirty. Beyond that may go what cannot
//! leave: `view_bytes` of superseded pages for views and what one batch supersedes, those that are changed while a
//! checkpoint or a copy is written, once, and what recovery did again until the first checkpoint. The data file holds
//! the pages once, and those that changed since the last checkpoint twice while one is written.

#![deny(unsafe_code)]

mod ahead;
mod ahead_writer;
mod balance;
mod changed;
mod check;
mod checkpointer;
mod cover;
mod cursor;
mod data_file;
mod dirty;
mod edit;
mod estimate;
#[allow(unsafe_code, reason = "the third part of `frames`")]
mod evict;
#[allow(unsafe_code, reason = "frames are found without a lock, and freed once nobody can look at them")]
mod frames;
mod graft;
mod holds;
mod ids;
mod ingest;
mod key_order;
mod leaf_writer;
mod losses;
mod maintenance;
mod map;
mod pace;
mod page_writer;
mod pending;
#[allow(unsafe_code, reason = "the part of `frames` that reads")]
mod pin;
mod places;
mod range_delete;
mod rebuild;
#[allow(unsafe_code, reason = "the part of `frames` that frees")]
mod reclaim;
mod record;
mod recovery;
mod redo;
mod salvage;
mod shape;
mod slots;
mod space;
mod store;
mod superblock;
mod survivors;
mod sync;
mod tree;
mod views;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::*;
use wal::LogOptions;

use cursor::TreeCursor;
use frames::Bounds;
use recovery::TreeOptions;
use store::Store;
use tree::{Tree, View};

/// The size of a segment of the log unless set otherwise: what a store at rest has beside its pages is three of them.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Records that call for a checkpoint, in bytes, unless set otherwise.
const CHECKPOINT_LOG_BYTES: u64 = 256 << 20;

/// The B-tree engine, open.
pub struct BtreeEngine {
    tree: Arc<Tree>,
    /// `None` if the directory was opened to salvage what it holds, for reading only.
    store: Option<Store>,
}

impl BtreeEngine {
    fn store(&self) -> Result<&Store> {
        self.store.as_ref().ok_or_else(|| {
            EngineError::rejected("the directory was opened to salvage what it holds, for reading only")
        })
    }
}

impl Plugin for BtreeEngine {
    fn describe() -> Description {
        let summary =
            "a B-tree with a cache of pages, a log and checkpoints; for reads and small durable writes";
        let mut about = Description::new("btree", env!("CARGO_PKG_VERSION"), summary);
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
        let mut segment = wal::log_segment_option();
        segment.default = SEGMENT_BYTES.to_string();
        about.options.push(segment);
        about.options.push(OptionSpec::integer(
            "checkpoint_log_bytes",
            "bytes",
            0,
            0,
            1 << 40,
            "A checkpoint is written when so many bytes of records were logged; 0 stands for 256 MiB. Larger ones \
             write a page once for more changes of it; smaller ones make starts faster and the log shorter.",
        ));
        about.options.push(OptionSpec::integer(
            "cache_bytes",
            "bytes",
            1 << 30,
            1 << 14,
            1 << 44,
            "The memory for pages, and for knowing where the others are: 28 bytes for each. What does not fit is read \
             from the data file when it is needed. Less than a few MiB makes sense in tests alone.",
        ));
        about.options.push(OptionSpec::integer(
            "page_bytes",
            "bytes",
            8192,
            4096,
            65536,
            "The length of a page, rounded up to 4,096 bytes; those with large keys are longer. May change between \
             starts, and then holds for pages that are written anew. Values of more than a quarter get pages of their \
             own.",
        ));
        about.options.push(OptionSpec::integer(
            "view_bytes",
            "bytes",
            256 << 20,
            0,
            1 << 40,
            "So many bytes of pages that were changed since are kept for views that are open; above that the oldest \
             view ends.",
        ));
        about.lanes.push(LaneSpec::new(
            "log",
            "prepares segments of the log ahead of need, uses old ones again, and in the class interval syncs",
        ));
        about.lanes.push(LaneSpec::new(
            "checkpoint",
            "writes the pages that changed when the log has grown, so that the older part of the log can go",
        ));
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        let OpenRequest { environment, options, durability, salvage } = request;
        let bytes = |name| options.integer(name).unsigned_abs();
        let tree_options = TreeOptions {
            page_bytes: (bytes("page_bytes") as usize).next_multiple_of(page::BLOCK_BYTES),
            bounds: Bounds { cache_bytes: bytes("cache_bytes"), retained_bytes: bytes("view_bytes") },
        };
        if let Some(watch) = salvage {
            let tree = Arc::new(salvage::open(&environment.directory, tree_options, &*watch)?);
            return Ok(Self { tree, store: None });
        }
        let segment_bytes = bytes("log_segment");
        let checkpoint_log_bytes = match bytes("checkpoint_log_bytes") {
            0 => CHECKPOINT_LOG_BYTES,
            set => set,
        };
        // What grows between two checkpoints is used again behind the second.
        let recycled_segments = (checkpoint_log_bytes / segment_bytes).clamp(4, 16) as usize;
        let log_options =
            LogOptions { segment_bytes, durability, recycled_segments, ..LogOptions::default() };
        let recovered = recovery::open(&environment, log_options, tree_options)?;
        let store = Store::new(environment, recovered, checkpoint_log_bytes);
        Ok(Self { tree: Arc::clone(&store.tree), store: Some(store) })
    }

    fn guarantees(_: &Options, durability: Durability) -> Guarantees {
        wal::guarantees(durability)
            .kept(Promise::Restart, "the newest checkpoint and the log behind it have everything that was answered OK")
            .kept(
                Promise::ValidFormat,
                "no page is written over that a superblock names, and a checkpoint counts once its superblock is durable",
            )
            .kept(Promise::Concurrency, "readers never wait for the writer; one writer at a time")
            .kept(
                Promise::Performance,
                "a write costs its own bytes in the log, and its page in a checkpoint once for all writes between two",
            )
    }
}

impl StorageEngine for BtreeEngine {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let store = self.store()?;
        if batch.is_empty() {
            return Ok(());
        }
        store.wait_for_checkpoint();
        ahead::read_ahead_for_batch(&self.tree, batch)?;
        store.commit(batch)
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        self.tree.frames.pin().read(key, value)
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        let pin = self.tree.frames.pin();
        Ok(match pin.value_here(key)? {
            Some(Some(found)) => {
                value.extend_from_slice(found);
                Resident::Hit
            }
            Some(None) => Resident::Absent,
            None => Resident::WouldBlock,
        })
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        let tree = &self.tree;
        if keys.len() <= ahead::KEYS_AT_ONCE {
            return ahead::multi_get(|| Ok(tree.frames.pin()), keys, values);
        }
        let view = tree.view(false);
        ahead::multi_get(|| view.pin(), keys, values)
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        ahead::multi_get_here(&self.tree.frames.pin(), keys, bytes_max, values)
    }

    /// Through a view that nothing ends: a scan is one call, and its caller was promised no point in time.
    fn scan(&self, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        let view = self.tree.view(false);
        let mut cursor = TreeCursor::new(&view, range, direction);
        while let Some(entry) = cursor.next()? {
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(self.tree.view(true)))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        estimate::estimate(&self.tree.frames.pin(), self.tree.size(), range)
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        ingest::ingest(self.store()?, entries)
    }

    fn background(&self, lane: Lane) -> Result<Step> {
        self.store.as_ref().map_or(Ok(Step::Idle), |store| store.background(lane))
    }

    fn pressure(&self) -> Pressure {
        self.store.as_ref().map_or_else(Pressure::none, Store::pressure)
    }

    fn metrics(&self) -> Vec<Metric> {
        self.store.as_ref().map_or_else(Vec::new, Store::metrics)
    }

    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        maintenance::backup(self.store()?, &target, watch)
    }

    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        maintenance::verify(self.store()?, watch)
    }

    /// Writes a checkpoint, whatever the range, and gives back the free end of the data file and of the log what is not
    /// in use.
    fn compact(&self, _: KeyRange<'_>, watch: &dyn Watch) -> Result<()> {
        self.store()?.compact(watch)
    }

    fn close(&self) -> Result<()> {
        self.store.as_ref().map_or(Ok(()), Store::close)
    }
}

impl ReadView for View {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        self.pin()?.read(key, value)
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        ahead::multi_get(|| self.pin(), keys, values)
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(TreeCursor::new(self, range, direction)))
    }
}

export_engine!(BtreeEngine);
