//! The cursors of SCAN.

/// The cursors given out.
#[derive(Default)]
pub(super) struct Cursors {}
