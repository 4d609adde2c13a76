//! What long work of an engine found, kept for whoever asked for it.
//!
//! Promises: everything goes on, and nothing that was found is lost. Called by the judge, the conformance kit and the
//! tests of engines.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use adapter_api::{EngineError, Watch};

/// A watch that lets everything go on, and collects what is found.
#[derive(Default)]
pub struct Findings(Mutex<Vec<String>>);

impl Findings {
    /// What was found since this was asked last.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watch for Findings {
    fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finding(&self, finding: EngineError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(finding.to_string());
    }
}
