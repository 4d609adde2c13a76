//! Our engines, through the plugin border: the same shared library, adapter, lanes and sequencer as in the
//! server. One writer calls `apply`; several go through the sequencer, which makes groups of what they write.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use adapter_api::host::{LoadedPlugin, View};
use adapter_api::{
    BatchBuilder, Buffer, Capabilities, Cursor, Direction, Durability, EngineError, Entry, KeyRange, Options,
    ReadView, StorageEngine, Watch,
};
use anyhow::{Context, Result, anyhow};
use bench::opened::Opened;
use enginebay::sequencer::{Limits, Overlay, Sequencer, Submission};

use crate::data::{KEY_BYTES, Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit, sorted};

/// How many entries one ingest takes: some MiB, which every engine does atomically.
const INGEST_ENTRIES: usize = 64 * 1024;
/// What an engine's option for the size of its cache is called, if it has one.
const CACHE_OPTION: &str = "cache_bytes";
/// What its option for the size of a memtable is called, if it has one, and what part of a small cache that is.
const MEMTABLE_OPTION: &str = "memtable_bytes";
const MEMTABLE_PART: u64 = 8;

struct Ours {
    opened: Opened,
    sequencer: Sequencer,
}

/// Opens the engine of the plugin with this path.
pub fn open(plugin: &str, directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let plugin = LoadedPlugin::load(Path::new(plugin))?;
    let about = plugin.description();
    let has = |name: &str| about.options.iter().any(|option| option.name == name);
    let mut given = Vec::new();
    if has(CACHE_OPTION) {
        given.push((CACHE_OPTION, settings.cache_bytes.to_string()));
    }
    // Four memtables as large as by default would be all of a small cache.
    if settings.is_larger_than_memory && has(MEMTABLE_OPTION) {
        given.push((MEMTABLE_OPTION, (settings.cache_bytes / MEMTABLE_PART).to_string()));
    }
    let given = given.iter().map(|(name, value)| (*name, value.as_str()));
    let options = Options::complete(&about.options, given).map_err(|error| anyhow!(error))?;
    let durability = if settings.relaxed { Durability::Os } else { Durability::Always };
    let opened = Opened::open(&plugin, &directory.join("data"), options, durability)?;
    let sequencer = Sequencer::start(Arc::clone(&opened.storage), Limits::default())?;
    Ok(Box::new(Ours { opened, sequencer }))
}

/// Whether the engine of the plugin with this path keeps anything when its process ends.
pub fn is_durable(plugin: &str) -> Result<bool> {
    Ok(LoadedPlugin::load(Path::new(plugin))?.description().capabilities.has(Capabilities::DURABLE))
}

impl Ours {
    fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut batch = BatchBuilder::new();
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.put(key, value)?,
                None => batch.delete(key)?,
            }
        }
        Ok(self.opened.storage.adapter().apply(batch.as_batch())?)
    }
}

impl Store for Ours {
    fn write(&self, changes: &[Change], writers: usize) -> Result<()> {
        if writers == 1 {
            return self.apply(changes);
        }
        let (done, answer) = channel();
        let write = Write { changes: changes.to_vec(), outcome: Ok(()), done };
        self.sequencer.submit(Box::new(write));
        answer.recv().context("the sequencer dropped a write")?.map_err(|error| anyhow!(error))
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let adapter = self.opened.storage.adapter();
        for portion in sorted(entries).chunks(INGEST_ENTRIES) {
            if self.opened.storage.has(Capabilities::INGEST) {
                adapter.ingest(&mut Portion(portion.iter()))?;
            } else {
                let put = |(key, value): &(Key, Value)| Change { key: *key, value: Some(*value) };
                self.apply(&portion.iter().map(put).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        work(&mut Snapshot { view: self.opened.storage.adapter().view()?, value: Buffer::new() })
    }

    fn sync(&self) -> Result<()> {
        // A durable write makes everything before it durable; an engine opened relaxed has none, and is
        // measured by what closing it takes.
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        match self.opened.storage.adapter().compact(KeyRange::all(), &Unwatched) {
            Err(EngineError::Unsupported { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn written_bytes(&self) -> Option<u64> {
        Some(self.opened.counters.counts().written_bytes.iter().sum())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sequencer.shutdown();
        Ok(self.opened.storage.close()?)
    }
}

/// One write on its way through the sequencer.
struct Write {
    changes: Vec<Change>,
    outcome: Result<(), String>,
    done: Sender<Result<(), String>>,
}

impl Submission for Write {
    fn requests(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        self.changes.len() * size_of::<Change>()
    }

    fn evaluate(&mut self, _: usize, overlay: &mut Overlay<'_>) {
        let wrote = self.changes.iter().try_for_each(|Change { key, value }| match value {
            Some(value) => overlay.put(key, std::iter::once(&value[..])),
            None => overlay.delete(key),
        });
        self.outcome = wrote.map_err(|error| error.to_string());
    }

    fn discard(&mut self, _: usize) {
        self.outcome = Ok(());
    }

    fn refuse(&mut self, _: usize, error: &EngineError) {
        self.outcome = Err(error.to_string());
    }

    fn complete(self: Box<Self>) {
        // Whoever waits for it may have ended; then nobody is to be told.
        let _ = self.done.send(self.outcome);
    }
}

/// Sorted entries for one ingest.
struct Portion<'a>(std::slice::Iter<'a, (Key, Value)>);

impl Cursor for Portion<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        Ok(self.0.next().map(|(key, value)| Entry { key, value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::unsupported("seek in entries to ingest"))
    }
}

struct Unwatched;

impl Watch for Unwatched {
    fn progress(&self, _: u64, _: u64) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }

    fn finding(&self, _: EngineError) {}
}

struct Snapshot {
    view: View,
    value: Buffer,
}

impl Reader for Snapshot {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.value.clear();
        if !self.view.get(key, &mut self.value)? {
            return Ok(false);
        }
        found(&self.value).map(|()| true)
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        let mut cursor = self.view.cursor(KeyRange::from_start(from), Direction::Forward)?;
        let mut seen = 0;
        while seen < limit
            && let Some(entry) = cursor.next()?
        {
            // The sequencer stores a mark of the clock now and then, under a short key.
            if entry.key.len() == KEY_BYTES {
                visit(entry.key, entry.value)?;
                seen += 1;
            }
        }
        Ok(())
    }
}
