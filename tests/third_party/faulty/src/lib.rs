//! Faulty: an engine that fails on command, to see what the host makes of it.
//!
//! The option `panic_in` chooses the call that panics: `open` and `drop` always, `apply`, `get` and `cursor`
//! when they meet a key that contains `panic`. A batch with a key that contains `reject`, `full` or `fail` is
//! answered with that error; a key that contains `lose` is answered Ok and forgotten. `apply_delay_ms` makes every
//! `apply` slow, so that writes gather behind it.

#![forbid(unsafe_code)]

use std::time::Duration;

use adapter_api::versioned_map::View;
use adapter_api::*;

const CALLS: [&str; 6] = ["nothing", "open", "apply", "get", "cursor", "drop"];

/// The engine.
pub struct Faulty {
    map: VersionedMap,
    faults: Faults,
    apply_delay: Duration,
}

/// Which call panics.
#[derive(Clone)]
struct Faults {
    panic_in: String,
}

impl Faults {
    fn meet(&self, call: &str, key: &[u8]) {
        if self.panic_in == call && contains(key, "panic") {
            panic!("faulty panics in {call}, as it was told");
        }
    }

    fn end_of(&self, what: &str) {
        if self.panic_in == "drop" && !std::thread::panicking() {
            panic!("faulty panics in the drop of its {what}, as it was told");
        }
    }
}

fn contains(key: &[u8], word: &str) -> bool {
    key.windows(word.len()).any(|window| window == word.as_bytes())
}

impl Plugin for Faulty {
    fn describe() -> Description {
        let mut about = Description::new("faulty", env!("CARGO_PKG_VERSION"), "fails on command");
        about.capabilities = Capabilities::READ_VIEW;
        about.options = vec![
            OptionSpec::choice("panic_in", &CALLS, "The call that panics."),
            OptionSpec::integer("apply_delay_ms", "ms", 0, 0, 60_000, "How long every apply takes."),
        ];
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        let faults = Faults { panic_in: request.options.text("panic_in").to_string() };
        faults.meet("open", b"panic");
        let delay = request.options.integer("apply_delay_ms").unsigned_abs();
        Ok(Self { map: VersionedMap::new(), faults, apply_delay: Duration::from_millis(delay) })
    }
}

impl StorageEngine for Faulty {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        std::thread::sleep(self.apply_delay);
        let mut lost = BatchBuilder::new();
        for mutation in batch {
            let (Mutation::Put { key, .. } | Mutation::Delete { key }) = mutation else { continue };
            self.faults.meet("apply", key);
            if contains(key, "reject") {
                return Err(EngineError::rejected("the key says reject"));
            }
            if contains(key, "full") {
                return Err(EngineError::full("the key says full"));
            }
            if contains(key, "fail") {
                return Err(EngineError::failed("the key says fail"));
            }
            if contains(key, "lose") {
                lost.delete(key)?;
            }
        }
        self.map.stage(batch).publish();
        self.map.stage(lost.as_batch()).publish();
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        self.faults.meet("get", key);
        Ok(self.map.get(key, value))
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(FaultyView { view: self.map.view(), faults: self.faults.clone() }))
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.faults.end_of("engine");
    }
}

/// A view whose cursors and whose end may panic.
struct FaultyView {
    view: View,
    faults: Faults,
}

impl ReadView for FaultyView {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        self.faults.meet("get", key);
        self.view.get(key, value)
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        let cursor = self.view.cursor(range, direction)?;
        Ok(Box::new(FaultyCursor { cursor, faults: &self.faults }))
    }
}

impl Drop for FaultyView {
    fn drop(&mut self) {
        self.faults.end_of("view");
    }
}

/// A cursor that may panic as it goes and as it ends.
struct FaultyCursor<'a> {
    cursor: Box<dyn Cursor + 'a>,
    faults: &'a Faults,
}

impl Cursor for FaultyCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        let entry = self.cursor.next()?;
        if let Some(entry) = &entry {
            self.faults.meet("cursor", entry.key);
        }
        Ok(entry)
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.cursor.seek(key)
    }
}

impl Drop for FaultyCursor<'_> {
    fn drop(&mut self) {
        self.faults.end_of("cursor");
    }
}

export_engine!(Faulty);
