//! Damage that is found in a store: one line on stdout as soon as it is found.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_api::{EngineError, Watch};
use serde_json::json;

use super::output;

/// Prints findings as they are made, and counts them.
pub struct Findings {
    as_json: bool,
    count: AtomicU64,
}

impl Findings {
    /// None so far.
    pub fn new(as_json: bool) -> Self {
        Self { as_json, count: AtomicU64::new(0) }
    }

    /// How many there were so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Watch for Findings {
    fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finding(&self, finding: EngineError) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let line = match (&finding, self.as_json) {
            (_, false) => output::one_line(&finding.to_string()),
            (EngineError::Corrupt { file, position, message }, true) => {
                json!({"finding": message, "file": file, "position": position}).to_string()
            }
            (_, true) => json!({"finding": finding.to_string()}).to_string(),
        };
        if let Err(error) = output::answer(&format!("{line}\n")) {
            log::warn!("a finding could not be printed ({error}): {finding}");
        }
    }
}
