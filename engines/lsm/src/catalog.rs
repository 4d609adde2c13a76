//! The tables on disk and the sources in memory, changed together.
//!
//! ```text
//! new files, synced ─▶ names synced ─▶ log synced ─▶ edit in the manifest, durable ─▶ sources swapped ─▶ old files retired
//! ```
//!
//! Promises: readers see a change at one instant, when it is durable; a change that failed changed nothing that is seen.
//! If it is unknown whether a failed edit is durable, no file that it names is removed until the next manifest has
//! decided. Called by the flusher, the compactor, an ingest, and the writer that seals its memtable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use adapter_api::environment::Directory;
use adapter_api::{EngineError, Result};
use arc_swap::ArcSwap;
use wal::{Log, Lsn, lock};

use crate::blob::BlobFile;
use crate::cache::Cache;
use crate::files::{Graveyard, blob_name, table_name};
use crate::manifest::Manifest;
use crate::memtable::Memtable;
use crate::names::FailedSyncs;
use crate::sources::{Moment, Sources};
use crate::table::Table;
use crate::version::{Edit, Version};

pub(crate) struct Catalog {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) log: Arc<Log>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) graveyard: Arc<Graveyard>,
    /// The number of the next file or run.
    pub(crate) ids: Arc<AtomicU64>,
    pub(crate) failed_syncs: FailedSyncs,
    /// How large the active memtable may become.
    memtable_bytes: u64,
    sources: ArcSwap<Sources>,
    /// Held by whoever changes the sources.
    changing: Mutex<()>,
    manifest: Mutex<Durable>,
    /// Memtables that are flushed, but that views may still hold, with their bytes.
    flushed: Mutex<Vec<(Weak<Memtable>, u64)>>,
    /// The blob file that the writer is about to refer to; 0: none.
    writing: AtomicU64,
}

/// What the disk says.
struct Durable {
    manifest: Manifest,
    /// Files of edits of which it is unknown whether they are durable.
    doubtful: Vec<String>,
}

/// The files that an edit adds.
struct Opened {
    tables: Vec<Arc<Table>>,
    /// By number.
    blobs: BTreeMap<u64, Arc<BlobFile>>,
}

/// What a new catalog is made of.
pub(crate) struct Parts {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) log: Arc<Log>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) graveyard: Arc<Graveyard>,
    pub(crate) ids: Arc<AtomicU64>,
    pub(crate) failed_syncs: FailedSyncs,
    pub(crate) memtable_bytes: u64,
    pub(crate) sources: Sources,
    pub(crate) manifest: Manifest,
}

impl Catalog {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { directory, log, cache, graveyard, ids, failed_syncs, memtable_bytes, sources, manifest } =
            parts;
        Self {
            directory,
            log,
            cache,
            graveyard,
            ids,
            failed_syncs,
            memtable_bytes,
            sources: ArcSwap::from_pointee(sources),
            changing: Mutex::default(),
            manifest: Mutex::new(Durable { manifest, doubtful: Vec::new() }),
            flushed: Mutex::default(),
            writing: AtomicU64::new(0),
        }
    }

    /// The sources of a read that looks at them for a moment.
    pub(crate) fn sources(&self) -> arc_swap::Guard<Arc<Sources>> {
        self.sources.load()
    }

    /// The sources as they are at this instant: a view of the active memtable may show what other sources than those
    /// of a moment ago belong to.
    pub(crate) fn moment(&self) -> Moment {
        loop {
            let moment = Moment::of(self.sources.load_full());
            if Arc::ptr_eq(&moment.sources, &self.sources.load()) {
                return moment;
            }
        }
    }

    /// Reads, and once more if the sources have changed meanwhile and did not know of a file.
    pub(crate) fn read<R>(&self, mut read: impl FnMut(&Sources) -> Result<R>) -> Result<R> {
        loop {
            let sources = self.sources.load();
            match read(&sources) {
                Err(EngineError::Corrupt { .. }) if !Arc::ptr_eq(&sources, &self.sources.load()) => {}
                outcome => return outcome,
            }
        }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// The manifest has given out all numbers of files below this one.
    pub(crate) fn durable_id(&self) -> u64 {
        lock(&self.manifest).manifest.state().next_id
    }

    /// The tables have everything up to this record of the log.
    pub(crate) fn position(&self) -> Lsn {
        lock(&self.manifest).manifest.state().position
    }

    /// Puts another memtable in front; the one before is sealed, or gone if the new one has all that it had.
    pub(crate) fn replace_active(&self, active: Arc<Memtable>, keeps_old: bool) {
        self.change(|sources| {
            if keeps_old && !sources.active.is_empty() {
                sources.sealed.insert(0, Arc::clone(&sources.active));
            }
            sources.active = active;
        });
    }

    /// Makes a blob file known to readers, though nothing refers to it yet. It stays known until there is another one.
    pub(crate) fn write_to(&self, file: Arc<BlobFile>) {
        self.writing.store(file.number(), Ordering::Relaxed);
        self.change(|sources| {
            let mut blobs = (*sources.blobs).clone();
            blobs.insert(file.number(), file);
            sources.blobs = Arc::new(blobs);
        });
    }

    /// Nobody is about to refer to a blob file: those that nothing refers to go.
    pub(crate) fn write_to_none(&self) {
        self.writing.store(0, Ordering::Relaxed);
        let mut gone = BTreeMap::new();
        self.change(|sources| gone = sources.drop_blobs(0));
        gone.values().for_each(|file: &Arc<BlobFile>| file.retire());
    }

    fn change(&self, change: impl FnOnce(&mut Sources)) {
        let _changing = lock(&self.changing);
        let mut sources = Sources::clone(&self.sources.load());
        change(&mut sources);
        let sealed: u64 = sources.sealed.iter().map(|memtable| memtable.bytes()).sum();
        self.cache.set_reserved(sealed + self.memtable_bytes);
        self.sources.store(Arc::new(sources));
    }

    /// Makes an edit durable and then seen. `flushed` are memtables that its tables stand for, and
    /// `since` is how many syncs of the directory had failed when the first of its files was begun.
    ///
    /// # Errors
    /// Nothing changed that is seen.
    pub(crate) fn install(
        &self,
        mut edit: Edit,
        since: u64,
        flushed: &[Arc<Memtable>],
    ) -> Result<(), Failed> {
        let mut durable = lock(&self.manifest);
        if self.failed_syncs.count() != since {
            let message = "a sync of the directory failed meanwhile, so the names of new files may be lost";
            return Err(Failed::Before(EngineError::failed(message)));
        }
        let opened = self.open_added(&edit).map_err(Failed::Before)?;
        // The tables must not be ahead of the log: after a power cut it would not reach them.
        self.log.sync().map_err(Failed::Before)?;
        edit.next_id = Some(self.ids.load(Ordering::Relaxed));
        if let Err(error) = durable.manifest.append(&edit) {
            durable.doubtful.extend(new_files(&edit, &self.sources.load()));
            return Err(Failed::Doubtful(error));
        }
        for name in durable.doubtful.drain(..) {
            self.graveyard.put_back(name);
        }
        self.show(&edit, opened, flushed);
        self.log.retire_before(durable.manifest.state().position + 1);
        Ok(())
    }

    /// Opens the files that an edit adds.
    fn open_added(&self, edit: &Edit) -> Result<Opened> {
        let (mut tables, mut blobs, known) = (Vec::new(), BTreeMap::new(), self.sources.load_full());
        for (_, info) in edit.added.iter().filter(|(_, info)| !edit.removed.contains(&info.id)) {
            tables.push(Table::open(&*self.directory, info.clone(), &self.cache, &self.graveyard)?);
            for (number, _) in &info.blobs {
                if !known.blobs.contains_key(number) && !blobs.contains_key(number) {
                    blobs.insert(*number, BlobFile::open(&*self.directory, *number, &self.graveyard)?);
                }
            }
        }
        Ok(Opened { tables, blobs })
    }

    /// Swaps the sources, and retires what they do not need any more.
    fn show(&self, edit: &Edit, opened: Opened, flushed: &[Arc<Memtable>]) {
        let (mut old_tables, mut old_blobs) = (Vec::new(), BTreeMap::new());
        self.change(|sources| {
            let version = Arc::new(sources.version.after(edit, &opened.tables));
            let kept: BTreeSet<_> = version.tables().map(|(_, table)| table.info.id).collect();
            let gone = sources.version.tables().filter(|(_, table)| !kept.contains(&table.info.id));
            old_tables = gone.map(|(_, table)| Arc::clone(table)).collect();
            sources.sealed.retain(|sealed| !flushed.iter().any(|gone| Arc::ptr_eq(gone, sealed)));
            let mut known = (*sources.blobs).clone();
            known.extend(opened.blobs);
            (sources.blobs, sources.version) = (Arc::new(known), version);
            old_blobs = sources.drop_blobs(self.writing.load(Ordering::Relaxed));
        });
        old_tables.iter().for_each(|table| table.retire());
        old_blobs.values().for_each(|file: &Arc<BlobFile>| file.retire());
        lock(&self.flushed).extend(flushed.iter().map(|it| (Arc::downgrade(it), it.bytes())));
    }

    /// Bytes of what is there for views alone.
    pub(crate) fn retained_bytes(&self) -> u64 {
        let mut flushed = lock(&self.flushed);
        flushed.retain(|(memtable, _)| memtable.strong_count() > 0);
        self.graveyard.retained_bytes() + flushed.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Removes files that nobody needs any more. One that cannot be removed is tried again later.
    pub(crate) fn bury(&self) {
        for name in self.graveyard.take() {
            match self.directory.remove(&name) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    log::warn!(
                        "could not remove {name}, which nobody needs; the next start removes it: {error}"
                    );
                }
            }
        }
    }

    /// The lengths of blob files to which only tables refer.
    pub(crate) fn settled_blobs(&self) -> BTreeMap<u64, u64> {
        let sources = self.sources.load();
        let mut unsettled = BTreeSet::from([self.writing.load(Ordering::Relaxed)]);
        sources.memtables().for_each(|memtable| unsettled.extend(memtable.blobs()));
        let settled = sources.blobs.iter().filter(|(number, _)| !unsettled.contains(number));
        settled.map(|(number, file)| (*number, file.bytes())).collect()
    }

    /// Reads the manifest again, and compares.
    pub(crate) fn verify_manifest(&self) -> Result<()> {
        lock(&self.manifest).manifest.verify()
    }

    /// Ends the manifest in order.
    pub(crate) fn close(&self) -> Result<()> {
        lock(&self.manifest).manifest.close()
    }
}

/// Why an edit did not come about.
pub(crate) enum Failed {
    /// The manifest has nothing of it: its files may be removed.
    Before(EngineError),
    /// The manifest may have it: the catalog keeps its files until that is decided.
    Doubtful(EngineError),
}

/// An edit that makes a version of nothing.
pub(crate) fn snapshot_of(version: &Version, position: Lsn, next_id: u64) -> Edit {
    let added = version.tables().map(|(place, table)| (place, table.info.clone())).collect();
    Edit { removed: Vec::new(), added, position: Some(position), next_id: Some(next_id) }
}

/// The names of the files that an edit adds to what there is.
fn new_files(edit: &Edit, sources: &Sources) -> Vec<String> {
    let mut names = Vec::new();
    for (_, info) in edit.added.iter().filter(|(_, info)| !edit.removed.contains(&info.id)) {
        names.push(table_name(info.id));
        // One that a memtable refers to is there whatever becomes of the edit.
        let new = info.blobs.iter().filter(|(file, _)| !sources.blobs.contains_key(file));
        names.extend(new.map(|(file, _)| blob_name(*file)));
    }
    names
}
