//! What a damaged store has lost, told once for each damage: where it is, and which keys it held.
//!
//! Promises: to tell the same twice tells it once, so that reads may come to a damage as often as they like. Called by
//! `salvage`, and by reads of what it has opened.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use adapter_api::{EngineError, KeyRange, Watch};
use wal::{lock, quoted, without_advice};

/// Whoever is told, and what was.
pub(crate) struct Losses {
    watch: Arc<dyn Watch>,
    told: Mutex<BTreeSet<String>>,
}

impl Losses {
    pub(crate) fn new(watch: Arc<dyn Watch>) -> Arc<Self> {
        Arc::new(Self { watch, told: Mutex::default() })
    }

    /// Something is damaged, and what that means is said.
    pub(crate) fn tell(&self, error: &EngineError, meaning: &str) {
        let explained = |what: &str| match meaning {
            "" => without_advice(what).to_string(),
            meaning => format!("{}; {meaning}", without_advice(what)),
        };
        let finding = match error {
            EngineError::Corrupt { file, position, message } => {
                EngineError::corrupt(file, *position, explained(message))
            }
            error => EngineError::failed(explained(&error.to_string())),
        };
        if lock(&self.told).insert(finding.to_string()) {
            self.watch.finding(finding);
        }
    }

    /// Something is damaged that knew of these keys. Older sources have the word then.
    pub(crate) fn tell_keys(&self, error: &EngineError, keys: KeyRange<'_>) {
        let keys = match (keys.start(), keys.end()) {
            ([], None) => "any key".to_string(),
            ([], Some(end)) => format!("keys below {}", quoted(end)),
            (start, None) => format!("keys from {} on", quoted(start)),
            (start, Some(end)) => format!("keys from {} to below {}", quoted(start), quoted(end)),
        };
        self.tell(
            error,
            &format!("what it said of {keys} is lost, and they may be there as they were before"),
        );
    }

    /// The value of a key is damaged.
    pub(crate) fn tell_value(&self, error: &EngineError, key: &[u8]) {
        self.tell(error, &format!("it is the value of {}", quoted(key)));
    }
}

/// The log is looked through by somebody who tells the watch himself.
impl Watch for Losses {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.watch.progress(done, total)
    }

    fn finding(&self, finding: EngineError) {
        self.tell(&finding, "");
    }
}
