//! The snapshot engine: the whole state in memory, and on disk as one readable JSON document that is written
//! anew for every group of writes. For small states, for learning, and for reading one's data with an editor.
//!
//! ```text
//! apply ─▶ stage (unseen) ─▶ save: document ─▶ file ─▶ publish (visible) ─▶ OK
//!          VersionedMap      document.rs: the bytes    guarantees.rs: what
//!                            save.rs: the three modes  each mode promises
//!
//! mode                 write              sync   rename   sync directory     survives a   survives a
//!                                                                            kill         power cut
//! atomic               temporary file     yes    yes      yes                yes          yes
//! atomic-as-written    temporary file     yes    yes      no                 yes          an older state may
//! naive                in place           no     –        –                  mid-write: no   no
//! ```
//!
//! Promises: what `guarantees` says for the mode; in every mode nothing is visible before its document was
//! saved as the mode saves it. A document that is torn or damaged is refused as a whole. Space is needed for
//! two documents, memory for one state and what views hold (see `VersionedMap`).

#![forbid(unsafe_code)]

mod document;
mod guarantees;
mod save;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapter_api::environment::Directory;
use adapter_api::versioned_map::{Staged, View};
use adapter_api::*;

use document::{NAME, Reader};
use save::{Mode, Saver};

/// The snapshot engine, open.
pub struct SnapshotEngine {
    map: VersionedMap,
    /// Locked after the writer's turn of the map; whoever holds it sees document and map agree.
    saver: Mutex<Saver>,
    /// Outside the lock, for nobody who asks for numbers should wait for a save.
    documents_saved: AtomicU64,
    document_bytes: AtomicU64,
}

impl Plugin for SnapshotEngine {
    fn describe() -> Description {
        let summary = "the whole state as one readable JSON document; for small states";
        let mut about = Description::new("snapshot", env!("CARGO_PKG_VERSION"), summary);
        about.format = document::VERSION;
        about.capabilities = Capabilities::READ_VIEW
            | Capabilities::RESIDENT
            | Capabilities::ESTIMATE
            | Capabilities::EXACT_COUNT
            | Capabilities::INGEST
            | Capabilities::BACKUP
            | Capabilities::VERIFY
            | Capabilities::DURABLE;
        about.options.push(OptionSpec::choice(
            "mode",
            &Mode::WORDS,
            "how the document is saved: atomic survives a power cut; atomic-as-written forgets to sync the \
             directory, and naive writes in place and syncs nothing: both are there to be studied",
        ));
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        if request.salvage.is_some() {
            return Err(EngineError::unsupported("salvage"));
        }
        let mut saver = Saver::new(request.environment.directory, Mode::of(&request.options));
        let map = VersionedMap::new();
        let mut document_bytes = 0;
        if let Some(file) = saver.open_document()? {
            let mut reader = Reader::open(file)?;
            map.stage_sorted(&mut reader)?.publish();
            document_bytes = reader.bytes();
        }
        saver.remove_leftovers()?;
        if document_bytes > 0 {
            saver.save_again(&map.view())?;
        }
        Ok(Self {
            map,
            saver: Mutex::new(saver),
            documents_saved: AtomicU64::new(0),
            document_bytes: AtomicU64::new(document_bytes),
        })
    }

    fn guarantees(options: &Options, durability: Durability) -> Guarantees {
        guarantees::table(Mode::of(options), durability)
    }
}

impl SnapshotEngine {
    fn saver(&self) -> MutexGuard<'_, Saver> {
        self.saver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves a change and makes it visible; or drops it, and nothing is visible of it.
    fn commit(&self, mut staged: Staged<'_>) -> Result<()> {
        let mut saver = self.saver();
        let bytes = saver.save(&staged.view())?;
        staged.publish();
        self.documents_saved.fetch_add(1, Ordering::Relaxed);
        self.document_bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl StorageEngine for SnapshotEngine {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        self.commit(self.map.stage(batch))
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.map.get(key, value))
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        Ok(if self.map.get(key, value) { Resident::Hit } else { Resident::Absent })
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        self.map.multi_get(keys, values);
        Ok(())
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        self.map.multi_get_here(keys, bytes_max, values);
        Ok(())
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(self.map.view()))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        Ok(self.map.estimate(range))
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        self.commit(self.map.stage_sorted(entries)?)
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.map.metrics();
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        metrics.push(Metric::gauge("document_bytes", load(&self.document_bytes)));
        metrics.push(Metric::counter("documents_saved", load(&self.documents_saved)));
        metrics
    }

    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        save::backup(&self.map.view(), &*target, watch)
    }

    /// Reads the document again and compares it with the map. In the mode `naive` writers wait meanwhile.
    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        let saver = self.saver();
        let (file, view) = (saver.open_document()?, self.map.view());
        // A document that is replaced stays readable as it was; one that is overwritten does not.
        let _writers_wait = (saver.mode() == Mode::Naive).then_some(saver);
        let compared = match file {
            Some(file) => compare(Reader::open(file), &view, watch),
            None if view.is_empty()? => Ok(()),
            None => Err(EngineError::corrupt(
                NAME,
                0,
                "the document is gone; a write or a backup makes a new one",
            )),
        };
        match compared {
            Err(finding @ EngineError::Corrupt { .. }) => {
                watch.finding(finding);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Compares a document with a view, entry by entry.
fn compare(reader: Result<Reader>, view: &View, watch: &dyn Watch) -> Result<()> {
    let mut reader = reader?;
    let mut cursor = view.walk(KeyRange::all(), Direction::Forward);
    let total = view.len()?;
    let mut done = 0;
    loop {
        let position = reader.bytes();
        let (stored, held) = (reader.next()?, cursor.next()?);
        if stored != held {
            return Err(EngineError::corrupt(
                NAME,
                position,
                "the document is whole but not what is in memory",
            ));
        }
        if stored.is_none() {
            return Ok(());
        }
        done += 1;
        if watch.progress(done, total).is_break() {
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
}

export_engine!(SnapshotEngine);
