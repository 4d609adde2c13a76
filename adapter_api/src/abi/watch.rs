//! Progress and findings of long work: the host watches, the engine reports.

use std::ops::ControlFlow;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RBox;

use super::errors::AbiError;
use super::guard::guard_or;
use super::tables::{WatchObject, WatchTable, WatchTable_TO};
use crate::engine::Watch;
use crate::error::EngineError;

/// Lends a watch of this side to the other one.
pub(crate) fn watch_object<'a>(watch: impl AsRef<dyn Watch + 'a> + Send + Sync + 'a) -> WatchObject<'a> {
    WatchTable_TO::from_value(WatchGlue(watch), TD_Opaque)
}

struct WatchGlue<W>(W);

impl<'a, W: AsRef<dyn Watch + 'a> + Send + Sync> WatchTable for WatchGlue<W> {
    fn progress(&self, done: u64, total: u64) -> bool {
        guard_or(false, || self.0.as_ref().progress(done, total).is_continue())
    }

    fn finding(&self, finding: RBox<AbiError>) {
        guard_or((), || self.0.as_ref().finding(RBox::into_inner(finding).into()));
    }
}

/// A watch of the other side.
pub(crate) struct WatchProxy<'a> {
    watch: WatchObject<'a>,
}

impl<'a> WatchProxy<'a> {
    pub(crate) fn new(watch: WatchObject<'a>) -> Self {
        Self { watch }
    }
}

impl Watch for WatchProxy<'_> {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        if self.watch.progress(done, total) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn finding(&self, finding: EngineError) {
        self.watch.finding(RBox::new(finding.into()));
    }
}
