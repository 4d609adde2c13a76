//! An engine that has every primitive, borrows freely, and misbehaves when a key asks it to.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Clock, Directory, File, Lanes, OpenFile};
use adapter_api::*;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// See the module. Stores nothing on disk but what `background` and `backup` write.
pub struct Probe {
    environment: Environment,
    map: Mutex<Arc<Map>>,
}

/// Keys that make the call they reach go wrong.
pub const PANICS: &[u8] = b"!panic";
pub const FAILS: &[u8] = b"!fail";
pub const REJECTED: &[u8] = b"!reject";
pub const FULL: &[u8] = b"!full";

fn misbehave(key: &[u8]) -> Result<()> {
    match key {
        PANICS => panic!("asked to panic"),
        FAILS => Err(EngineError::failed("asked to fail")),
        REJECTED => Err(EngineError::rejected("asked to reject")),
        FULL => Err(EngineError::full("asked to be full")),
        _ => Ok(()),
    }
}

impl Plugin for Probe {
    fn describe() -> Description {
        let mut about = Description::new("probe", "1.2.3", "an engine for tests");
        about.format = 7;
        about.capabilities = Capabilities::READ_VIEW | Capabilities::ESTIMATE;
        about.options = vec![
            OptionSpec::integer("size", "bytes", 5, 1, 9, "a size"),
            OptionSpec::choice("mode", &["a", "b"], "a mode"),
            OptionSpec::flag("open_panics", false, "whether open panics"),
            OptionSpec::text("note", "", "a note"),
        ];
        about.lanes = vec![LaneSpec::new("write", "writes a file")];
        about.batch_bytes_max = 1 << 20;
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        assert!(!request.options.flag("open_panics"), "open was asked to panic");
        if let Some(watch) = &request.salvage {
            watch.finding(EngineError::corrupt("file", 3, "salvaged"));
        }
        Ok(Self { environment: request.environment, map: Mutex::default() })
    }

    fn guarantees(options: &Options, durability: Durability) -> Guarantees {
        Guarantees::new()
            .kept(Promise::Semantics, options.text("mode"))
            .not_kept(Promise::CrashSafety, format!("{durability:?}"))
    }
}

impl Probe {
    fn now(&self) -> Arc<Map> {
        Arc::clone(&self.map.lock().unwrap())
    }
}

impl StorageEngine for Probe {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let mut next = Map::clone(&self.now());
        for mutation in batch {
            match mutation {
                Mutation::Put { key, value } => {
                    misbehave(key)?;
                    next.insert(key.to_vec(), value.to_vec());
                }
                Mutation::Delete { key } => drop(next.remove(key)),
                Mutation::DeleteRange(range) => next.retain(|key, _| !range.contains(key)),
            }
        }
        *self.map.lock().unwrap() = Arc::new(next);
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        // Appended before it is known whether the key is there: the adapter must take it back.
        value.extend_from_slice(b"rubbish");
        misbehave(key)?;
        let map = self.map.lock().unwrap();
        let Some(found) = map.get(key) else { return Ok(false) };
        value.truncate(value.len() - b"rubbish".len());
        value.extend_from_slice(found);
        Ok(true)
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        if key.starts_with(b"cold") {
            value.extend_from_slice(b"rubbish");
            return Ok(Resident::WouldBlock);
        }
        Ok(if self.get(key, value)? { Resident::Hit } else { Resident::Absent })
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        let end = values.bytes() + bytes_max;
        for key in keys {
            misbehave(key)?;
            match self.now().get(*key) {
                _ if key.starts_with(b"cold") => break,
                Some(value) if values.bytes() + value.len() > end => break,
                Some(value) => values.push(value),
                None => values.push_absent(),
            }
        }
        Ok(())
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(ProbeView { map: self.now(), _engine: self }))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        let map = self.now();
        let entries = map.keys().filter(|key| range.contains(key)).count() as u64;
        Ok(Estimate { entries, bytes: 0, exact: true })
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        let mut batch = BatchBuilder::new();
        while let Some(entry) = entries.next()? {
            batch.put(entry.key, entry.value)?;
        }
        self.apply(batch.as_batch())
    }

    fn background(&self, lane: Lane) -> Result<Step> {
        self.environment.lanes.wake(lane);
        let file = self.environment.directory.open_file("lane", OpenFile::CREATE_NEW)?;
        file.write_durable_at(&[IoSlice::new(b"la"), IoSlice::new(b"ne")], 0, Cause::Log)?;
        self.environment.directory.sync()?;
        Ok(Step::IdleFor(self.environment.clock.monotonic()))
    }

    fn pressure(&self) -> Pressure {
        Pressure { level: 9, reason: "because".into() }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::counter("entries", self.now().len() as f64).label("kind", "probe")]
    }

    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        let file: Arc<dyn File> = target.open_file("copy", OpenFile::CREATE_NEW)?;
        file.write_at(&[IoSlice::new(b"copied")], 0, Cause::Backup)?;
        match watch.progress(1, 2) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(EngineError::rejected("cancelled")),
        }
    }

    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        watch.finding(EngineError::corrupt("file", 3, "found"));
        Ok(())
    }

    fn compact(&self, range: KeyRange<'_>, _: &dyn Watch) -> Result<()> {
        misbehave(range.start())
    }
}

struct ProbeView<'a> {
    map: Arc<Map>,
    _engine: &'a Probe,
}

impl Drop for ProbeView<'_> {
    fn drop(&mut self) {
        assert!(!self.map.contains_key(&b"drop panics"[..]), "a view panics in its drop");
    }
}

impl ReadView for ProbeView<'_> {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        misbehave(key)?;
        self.map.get(key).map(|found| value.extend_from_slice(found)).map_or(Ok(false), |()| Ok(true))
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        let inside = self.map.iter().filter(|(key, _)| range.contains(key));
        let mut entries: Vec<_> = inside.map(|(key, value)| (&key[..], &value[..])).collect();
        if direction == Direction::Reverse {
            entries.reverse();
        }
        Ok(Box::new(ProbeCursor { entries, next: 0, direction }))
    }
}

struct ProbeCursor<'a> {
    entries: Vec<(&'a [u8], &'a [u8])>,
    next: usize,
    direction: Direction,
}

impl Cursor for ProbeCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        let Some((key, value)) = self.entries.get(self.next).copied() else { return Ok(None) };
        misbehave(value)?;
        self.next += 1;
        Ok(Some(Entry { key, value }))
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.next = match self.direction {
            Direction::Forward => self.entries.partition_point(|entry| entry.0 < key),
            Direction::Reverse => self.entries.partition_point(|entry| entry.0 > key),
        };
        Ok(())
    }
}

/// Lanes that only remember what was asked of them.
#[derive(Default)]
pub struct Asked(pub Mutex<Vec<Lane>>);

impl Lanes for Asked {
    fn wake(&self, lane: Lane) {
        self.0.lock().unwrap().push(lane);
    }

    fn wait_for(&self, lane: Lane) {
        self.wake(lane);
    }
}

/// A clock that stands.
pub struct Standing;

impl Clock for Standing {
    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::new(3, 5)
    }

    fn wall(&self) -> std::time::Duration {
        std::time::Duration::from_secs(1_700_000_000)
    }
}
