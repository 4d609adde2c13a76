//! Everything that a store holds, taken out and put in.
//!
//! Promises: entries come in the order of their keys, the host's own among them; they are put in as they are,
//! in portions that an engine takes at once, and everything that was put in is durable when `fill` returns.
//! At most one portion or one entry is in memory, whichever is more. Called by the tools that work without a
//! server: nobody else writes meanwhile.

use std::ops::ControlFlow;

use adapter_api::host::{StorageAdapter, ViewCursor};
use adapter_api::{
    BatchBuilder, Capabilities, Cursor, Direction, EngineError, Entry, KeyRange, StorageEngine, Values,
};

use super::Storage;

/// How many bytes of entries are put in at once: enough to be fast, and small beside the memory there is.
const PORTION_BYTES: u64 = 16 << 20;
/// How many at most, when that many are in already: an engine that writes everything again for each portion would
/// else take ever longer.
const PORTION_BYTES_MAX: u64 = 256 << 20;
/// How many bytes of entries are read at once where an engine has no cursors.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a store could not be filled.
#[derive(Debug)]
pub enum FillError {
    /// The entries could not be read.
    Source(EngineError),
    /// The store did not take them.
    Target(EngineError),
}

impl Storage {
    /// A walk over everything.
    ///
    /// # Errors
    /// What the engine says.
    pub fn entries(&self) -> Result<Entries<'_>, EngineError> {
        Entries::of(&self.engine)
    }

    /// Whether nothing is stored, not even by the host.
    ///
    /// # Errors
    /// What the engine says.
    pub fn is_empty(&self) -> Result<bool, EngineError> {
        Ok(self.entries()?.next()?.is_none())
    }

    /// Puts all entries in, which ascend, behind whatever is there. Unless this answers Ok, some of them may be
    /// in. For tools: not to be called beside a sequencer.
    ///
    /// # Errors
    /// What the source or the engine says.
    pub fn fill(&self, entries: &mut dyn Cursor) -> Result<(), FillError> {
        let mut source = Source { entries, failure: None };
        let outcome = match self.has(Capabilities::INGEST) {
            true => self.ingest_all(&mut source),
            false => self.apply_all(&mut source),
        };
        source.answer(outcome)
    }

    /// The same for entries in any order; of two with the same key the last one stays.
    ///
    /// # Errors
    /// What the source or the engine says.
    pub fn fill_unsorted(&self, entries: &mut dyn Cursor) -> Result<(), FillError> {
        let mut source = Source { entries, failure: None };
        let outcome = self.apply_all(&mut source);
        source.answer(outcome)
    }

    fn ingest_all(&self, source: &mut Source<'_>) -> Result<(), EngineError> {
        let mut stored = 0_u64;
        loop {
            let bytes_max = stored.clamp(PORTION_BYTES, PORTION_BYTES_MAX);
            let mut portion = Portion { source, bytes: 0, bytes_max, ended: false };
            self.engine.ingest(&mut portion)?;
            stored += portion.bytes;
            if portion.ended {
                return Ok(());
            }
        }
    }

    fn apply_all(&self, source: &mut Source<'_>) -> Result<(), EngineError> {
        let largest = self.description().batch_bytes_max.min(PORTION_BYTES) as usize;
        let mut batch = BatchBuilder::new();
        while let Some(entry) = source.next()? {
            let before = batch.bytes();
            batch.put(entry.key, entry.value)?;
            if before > 0 && batch.bytes() > largest {
                batch.truncate(before);
                self.apply(batch.as_batch())?;
                batch.clear();
                batch.put(entry.key, entry.value)?;
            }
        }
        self.apply(batch.as_batch())
    }
}

/// A walk over everything that an engine holds.
pub struct Entries<'a> {
    walk: Walk<'a>,
}

enum Walk<'a> {
    View(ViewCursor),
    Scan(ScanCursor<'a>),
}

impl<'a> Entries<'a> {
    pub(super) fn of(engine: &'a StorageAdapter) -> Result<Self, EngineError> {
        let walk = match engine.description().capabilities.has(Capabilities::READ_VIEW) {
            true => Walk::View(engine.view()?.owned_cursor(KeyRange::all(), Direction::Forward)?),
            false => {
                Walk::Scan(ScanCursor { engine, chunk: Values::new(), place: 0, rest: Some(Vec::new()) })
            }
        };
        Ok(Self { walk })
    }
}

impl Cursor for Entries<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        match &mut self.walk {
            Walk::View(cursor) => cursor.next(),
            Walk::Scan(cursor) => cursor.next(),
        }
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(no_seek())
    }
}

/// A walk by scans, for engines without cursors.
struct ScanCursor<'a> {
    engine: &'a StorageAdapter,
    /// Keys and values in turn.
    chunk: Values,
    /// Which key of the chunk is next.
    place: usize,
    /// Where the rest begins, unless the chunk is the last one.
    rest: Option<Vec<u8>>,
}

impl ScanCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        if self.place == self.chunk.len()
            && let Some(start) = self.rest.take()
        {
            self.read_chunk(&start)?;
        }
        let place = self.place;
        let (Some(key), Some(value)) = (self.chunk.get(place), self.chunk.get(place + 1)) else {
            return Ok(None);
        };
        self.place += 2;
        Ok(Some(Entry { key, value }))
    }

    fn read_chunk(&mut self, start: &[u8]) -> Result<(), EngineError> {
        let Self { engine, chunk, place, rest } = self;
        chunk.clear();
        *place = 0;
        engine.scan(KeyRange::from_start(start), Direction::Forward, &mut |entry| {
            chunk.push(entry.key);
            chunk.push(entry.value);
            if chunk.bytes() < CHUNK_BYTES {
                return ControlFlow::Continue(());
            }
            *rest = Some([entry.key, &[0]].concat());
            ControlFlow::Break(())
        })
    }
}

/// Keeps what the source says: an engine that hears of it answers in words of its own.
struct Source<'a> {
    entries: &'a mut dyn Cursor,
    failure: Option<EngineError>,
}

impl Source<'_> {
    fn answer(self, outcome: Result<(), EngineError>) -> Result<(), FillError> {
        match self.failure {
            Some(error) => Err(FillError::Source(error)),
            None => outcome.map_err(FillError::Target),
        }
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        self.entries.next().map_err(|error| {
            self.failure = Some(error);
            EngineError::rejected("the entries could not be read")
        })
    }
}

/// The next entries of a walk, until they are enough for one `ingest`.
struct Portion<'a, 'b> {
    source: &'a mut Source<'b>,
    bytes: u64,
    bytes_max: u64,
    /// Whether the walk has no more entries.
    ended: bool,
}

impl Cursor for Portion<'_, '_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        if self.ended || self.bytes >= self.bytes_max {
            return Ok(None);
        }
        let entry = self.source.next()?;
        match entry {
            None => self.ended = true,
            Some(entry) => self.bytes += (entry.key.len() + entry.value.len()) as u64,
        }
        Ok(entry)
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(no_seek())
    }
}

fn no_seek() -> EngineError {
    EngineError::unsupported("seek in a walk over everything")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::test_engine::{TestEngine, opened};

    /// Entries that are more than one chunk, the last one larger than a chunk.
    fn filled(engine: TestEngine) -> Storage {
        let storage = opened(engine);
        let mut batch = BatchBuilder::new();
        for number in 0..3000_u32 {
            batch.put(&number.to_be_bytes(), &[7; 1000]).unwrap();
        }
        batch.put(b"last", &vec![9; CHUNK_BYTES + 1]).unwrap();
        storage.apply(batch.as_batch()).unwrap();
        storage
    }

    fn keys(storage: &Storage) -> Vec<Vec<u8>> {
        let (mut entries, mut keys) = (storage.entries().unwrap(), Vec::new());
        while let Some(entry) = entries.next().unwrap() {
            assert_eq!(entry.value.len(), if entry.key == b"last" { CHUNK_BYTES + 1 } else { 1000 });
            keys.push(entry.key.to_vec());
        }
        assert_eq!(entries.next().unwrap(), None, "the end stays the end");
        keys
    }

    #[test]
    fn everything_comes_out_in_order_with_and_without_cursors() {
        let with = keys(&filled(TestEngine::new()));
        assert_eq!((with.len(), with.is_sorted()), (3001, true));
        assert_eq!(keys(&filled(TestEngine::plain())), with);
        assert!(opened(TestEngine::plain()).is_empty().unwrap());
        assert!(!filled(TestEngine::plain()).is_empty().unwrap());
    }

    #[test]
    fn everything_goes_in_by_batches_that_the_engine_takes() {
        let source = filled(TestEngine::plain());
        for largest in [1 << 12, 1 << 21, 1 << 30] {
            // The engine panics over a larger batch, but for an entry that is one by itself.
            let target = opened(TestEngine::new().batches_up_to(largest.max(CHUNK_BYTES as u64 + 100)));
            target.fill(&mut source.entries().unwrap()).unwrap();
            assert_eq!(keys(&target), keys(&source));
        }
    }

    #[test]
    fn what_the_target_says_is_told_from_what_the_source_says() {
        struct Broken;
        impl Cursor for Broken {
            fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
                Err(EngineError::corrupt("dump", 12, "planted"))
            }
            fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
                Err(no_seek())
            }
        }
        let target = opened(TestEngine::new());
        let error = target.fill(&mut Broken).unwrap_err();
        assert!(matches!(error, FillError::Source(EngineError::Corrupt { position: 12, .. })), "{error:?}");

        let engine = TestEngine::new();
        engine.state().script(|_| Err(EngineError::full("the disk is full")));
        let full = opened(engine);
        let error = full.fill(&mut filled(TestEngine::new()).entries().unwrap()).unwrap_err();
        assert!(matches!(error, FillError::Target(EngineError::Full { .. })), "{error:?}");
    }
}
