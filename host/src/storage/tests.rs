//! Opening and closing an engine behind the real border.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::{BatchBuilder, Lane, LaneSpec, OptionSpec, Plugin, Promise, ReadView, Step, VersionedMap};

use super::*;

/// What the engine hears, in order. One test at a time uses it.
static HEARD: Mutex<Option<Sender<&'static str>>> = Mutex::new(None);
static STEPS: AtomicUsize = AtomicUsize::new(0);

fn hear(what: &'static str) {
    if let Some(sender) = &*HEARD.lock().unwrap() {
        let _ = sender.send(what);
    }
}

/// An engine in memory whose `apply` waits for its lane, and whose lane takes note of each step.
struct Waiting {
    map: VersionedMap,
    lanes: Arc<dyn adapter_api::environment::Lanes>,
}

impl Plugin for Waiting {
    fn describe() -> Description {
        let mut about = Description::new("waiting", "0.0.1", "waits for its lane");
        about.capabilities = Capabilities::READ_VIEW;
        about.lanes = vec![LaneSpec::new("tidy", "takes note")];
        about.options = vec![OptionSpec::flag("refuse", false, "refuses to open")];
        about
    }

    fn open(request: OpenRequest) -> Result<Self, EngineError> {
        if request.options.flag("refuse") {
            return Err(EngineError::corrupt("state", 12, "planted"));
        }
        // Must not wait for a lane that does not run yet.
        request.environment.lanes.wait_for(Lane(0));
        hear("open");
        Ok(Self { map: VersionedMap::new(), lanes: request.environment.lanes })
    }

    fn guarantees(_: &Options, _: Durability) -> Guarantees {
        Guarantees::new().kept(Promise::Semantics, "it is an ordered map")
    }
}

impl StorageEngine for Waiting {
    fn apply(&self, batch: Batch<'_>) -> Result<(), EngineError> {
        self.map.stage(batch).publish();
        let before = STEPS.load(Ordering::SeqCst);
        self.lanes.wait_for(Lane(0));
        assert!(STEPS.load(Ordering::SeqCst) > before, "a step began and ended while `apply` waited");
        Ok(())
    }
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool, EngineError> {
        Ok(self.map.get(key, value))
    }
    fn read_view(&self) -> Result<Box<dyn ReadView + '_>, EngineError> {
        Ok(Box::new(self.map.view()))
    }
    fn background(&self, _: Lane) -> Result<Step, EngineError> {
        STEPS.fetch_add(1, Ordering::SeqCst);
        Ok(Step::Idle)
    }
    fn close(&self) -> Result<(), EngineError> {
        hear("close");
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        hear("drop");
    }
}

fn open(directory: &Path, given: &[(&str, &str)]) -> Result<Storage, EngineError> {
    let plugin = LoadedPlugin::in_process::<Waiting>();
    let options = Options::complete(&plugin.description().options, given.iter().copied()).unwrap();
    let directory = RealDirectory::open(directory, Arc::new(IoCounters::default())).unwrap();
    Storage::open(
        &plugin,
        Arc::new(directory),
        Arc::default(),
        Arc::new(RealClock::new()),
        options,
        Durability::Always,
        2,
    )
}

#[test]
fn an_engine_is_opened_with_running_lanes_and_closed_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (sender, heard) = channel();
    *HEARD.lock().unwrap() = Some(sender);
    let storage = open(directory.path(), &[]).unwrap();
    assert_eq!(storage.description().name, "waiting");
    assert_eq!(storage.guarantees().lines().len(), 1);
    let mut batch = BatchBuilder::new();
    batch.put(b"a", b"1").unwrap();
    batch.put(b"b", b"2").unwrap();
    storage.apply(batch.as_batch()).unwrap();
    let mut value = Buffer::new();
    assert!(storage.get(b"a", &mut value).unwrap() && &value[..] == b"1");
    let mut keys = Vec::new();
    let mut note = |entry: Entry<'_>| {
        keys.push(entry.key.to_vec());
        ControlFlow::Continue(())
    };
    storage.scan(KeyRange::all(), Direction::Reverse, &mut note).unwrap();
    assert_eq!(keys, [b"b", b"a"]);
    storage.close().unwrap();
    drop(storage);
    *HEARD.lock().unwrap() = None;
    assert_eq!(heard.iter().collect::<Vec<_>>(), ["open", "close", "drop"]);
}

#[test]
fn an_engine_that_does_not_open_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let refused = open(directory.path(), &[("refuse", "true")]).err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("damaged: file state at byte 12: planted"));
}
