//! Opens a directory: the manifest, the tables that it names, and the log done again behind them.
//!
//! Promises: what is shown is exactly what was acknowledged, or that and some of what was in flight, in order; opening
//! twice gives the same. Files that nothing names are left of work that was not finished, and are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use adapter_api::environment::{Directory, Environment};
use adapter_api::{Batch, EngineError, Result};
use wal::{ADVICE, Log, LogOptions, Lsn};

use crate::blob::BlobFile;
use crate::cache::Cache;
use crate::catalog::Parts;
use crate::files::{Graveyard, number_in};
use crate::losses::Losses;
use crate::manifest::{self, Found, Manifest};
use crate::memtable::{Memtable, deleted_in};
use crate::names::Names;
use crate::ranges::Ranges;
use crate::record::{self, Record};
use crate::settings::Settings;
use crate::sources::Sources;
use crate::store::COPIED_BYTES;
use crate::table::Table;
use crate::version::{Edit, Version};

/// Reads everything, and makes it durable.
pub(crate) fn open(environment: &Environment, log_options: LogOptions, settings: &Settings) -> Result<Parts> {
    let clock = &environment.clock;
    let (directory, failed_syncs) = &Names::around(Arc::clone(&environment.directory));
    let (cache, graveyard) = (Cache::new(settings.cache_bytes), Arc::<Graveyard>::default());
    let (manifest, found) = match Manifest::open(directory)? {
        Some(found) => found,
        None => begin(directory)?,
    };
    let Found { tables, position, next_id } = found;
    let mut opened = Vec::new();
    for (place, info) in tables.into_values() {
        opened.push((place, Table::open(&**directory, info, &cache, &graveyard)?));
    }
    let version = Version::of(opened);
    let files = Blobs { directory, graveyard: &graveyard, open: BTreeMap::new(), losses: None };
    let mut redo = Redo::new(settings.memtable_bytes, log_options, next_id, files);
    version.blob_bytes().into_keys().try_for_each(|number| redo.blobs.need(number))?;
    let (log, recovery) =
        Log::open(directory, clock, log_options, position + 1, &mut |lsn, record| redo.take(lsn, record))?;
    let sources = redo.finish(version)?;
    let next_id = remove_orphans(&**directory, &sources)?.max(next_id);
    if recovery.replayed > 0 {
        log::info!("did {} log records again behind record {position}", recovery.replayed);
    }
    let failed_syncs = failed_syncs.clone();
    let (directory, ids) = (Arc::clone(directory), Arc::new(AtomicU64::new(next_id)));
    let (log, memtable_bytes) = (Arc::new(log), settings.memtable_bytes);
    Ok(Parts { directory, log, cache, graveyard, ids, failed_syncs, memtable_bytes, sources, manifest })
}

/// The manifest of a directory that has none yet.
fn begin(directory: &Arc<dyn Directory>) -> Result<(Manifest, Found)> {
    if let Some(damage) = manifest::missing_from(&list(&**directory)?) {
        return Err(damage);
    }
    let manifest = Manifest::create(directory, 1, &Edit { next_id: Some(1), ..Edit::default() })?;
    Ok((manifest, Found { tables: BTreeMap::new(), position: 0, next_id: 1 }))
}

/// The names of all files.
pub(crate) fn list(directory: &dyn Directory) -> Result<Vec<String>> {
    let entries =
        directory.list().map_err(|error| EngineError::failed_by("could not list the directory", error))?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

/// Removes files that nothing names; answers the first number that no file ever had.
fn remove_orphans(directory: &dyn Directory, sources: &Sources) -> Result<u64> {
    let tables: BTreeSet<_> = sources.version.tables().map(|(_, table)| table.info.id).collect();
    let mut next = 1;
    for name in list(directory)? {
        let (table, blob) = (number_in(&name, "table-"), number_in(&name, "blob-"));
        let Some(number) = table.or(blob) else { continue };
        next = next.max(number + 1);
        let is_named = match table {
            Some(number) => tables.contains(&number),
            None => sources.blobs.contains_key(&number),
        };
        if !is_named {
            log::info!("removed {name}, which is left of work that was not finished");
            directory
                .remove(&name)
                .map_err(|error| EngineError::failed_by(format!("could not remove {name}"), error))?;
        }
    }
    Ok(next)
}

/// Blob files that something refers to.
pub(crate) struct Blobs<'a> {
    pub(crate) directory: &'a Arc<dyn Directory>,
    pub(crate) graveyard: &'a Arc<Graveyard>,
    pub(crate) open: BTreeMap<u64, Arc<BlobFile>>,
    /// Set if files may be damaged; then each value that is missed is told.
    pub(crate) losses: Option<Arc<Losses>>,
}

impl Blobs<'_> {
    pub(crate) fn need(&mut self, number: u64) -> Result<()> {
        if self.open.contains_key(&number) {
            return Ok(());
        }
        match (BlobFile::open(&**self.directory, number, self.graveyard), &self.losses) {
            (Ok(file), _) => drop(self.open.insert(number, file)),
            (Err(_), Some(_)) => {}
            (Err(error), None) => return Err(error),
        }
        Ok(())
    }
}

/// So many bytes of batches are gathered before the memtable takes them: some hundred puts that came alone.
const GATHERED_BYTES: usize = 64 << 10;

/// Does records again, and several in one go where they are small: the memtable looks for many keys at once.
pub(crate) struct Redo<'a> {
    memtable_bytes: u64,
    log_options: LogOptions,
    /// That of the manifest.
    next_id: u64,
    blobs: Blobs<'a>,
    /// The newest first.
    sealed: Vec<Arc<Memtable>>,
    active: Memtable,
    /// Batches that belong to it, one behind the other. Nobody reads meanwhile, so they may become visible as one.
    gathered: Vec<u8>,
}

impl<'a> Redo<'a> {
    pub(crate) fn new(memtable_bytes: u64, log_options: LogOptions, next_id: u64, blobs: Blobs<'a>) -> Self {
        let (active, gathered) = (Memtable::new(Ranges::default()), Vec::new());
        Self { memtable_bytes, log_options, next_id, blobs, sealed: Vec::new(), active, gathered }
    }

    /// Does a record again.
    pub(crate) fn take(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<()> {
        let wrong = |message: String| EngineError::corrupt(format!("log record {lsn}"), 0, message);
        let record = record::parse(bytes).map_err(|error| {
            wrong(format!("{error}; the log itself is whole, so the record was written like this"))
        })?;
        let (batch, blobs) = match record {
            Record::Batch(batch, blobs) => (batch, blobs),
            Record::Note(next_id) if next_id <= self.next_id => {
                self.active.note(lsn, self.log_options.disk_bytes(bytes.len()));
                return Ok(());
            }
            Record::Note(_) => {
                return Err(wrong(format!("the manifest lacks edits that came before this; {ADVICE}")));
            }
        };
        blobs.iter().try_for_each(|blob| self.blobs.need(blob.file))?;
        match deleted_in(batch).next() {
            Some(_) => self.begin_another(batch)?,
            None => self.gather(batch)?,
        }
        blobs.into_iter().for_each(|blob| self.active.refer_to(blob));
        self.active.note(lsn, self.log_options.disk_bytes(bytes.len()));
        if self.active.is_full(self.memtable_bytes) { self.seal() } else { Ok(()) }
    }

    /// Puts a batch into the memtable: at once if it is large, else together with those that come behind it.
    fn gather(&mut self, batch: Batch<'_>) -> Result<()> {
        let bytes = batch.as_bytes();
        if self.gathered.len() + bytes.len() > GATHERED_BYTES {
            self.apply_gathered()?;
        }
        if bytes.len() > GATHERED_BYTES {
            self.active.apply(batch);
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn apply_gathered(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            self.active.apply(Batch::parse(&self.gathered)?);
            self.gathered.clear();
        }
        Ok(())
    }

    /// What deletes a range in what is older goes into another memtable.
    fn begin_another(&mut self, batch: Batch<'_>) -> Result<()> {
        self.apply_gathered()?;
        if self.active.bytes() > COPIED_BYTES {
            self.seal()?;
        }
        self.active = self.active.copy_with(batch);
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        self.apply_gathered()?;
        let full = std::mem::replace(&mut self.active, Memtable::new(Ranges::default()));
        if !full.is_empty() {
            self.sealed.insert(0, Arc::new(full));
        }
        Ok(())
    }

    /// The sources of reads, above these tables.
    pub(crate) fn finish(mut self, version: Version) -> Result<Sources> {
        self.apply_gathered()?;
        let Self { active, sealed, blobs, .. } = self;
        Ok(Sources {
            active: Arc::new(active),
            sealed,
            version: Arc::new(version),
            losses: blobs.losses,
            blobs: Arc::new(blobs.open),
        })
    }
}
