//! What of a store is judged: everything, or one promise alone, so that each promise gets a verdict of its own.

use crate::workload::Operation;

/// What of a store is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// All of it: what it shows after crashes, and what it answers and shows while it lives.
    #[default]
    Everything,
    /// After a crash it shows one version of the map as a whole, however old.
    Whole,
    /// After a crash it shows everything that was answered OK. Of a batch in flight it may show a half.
    Kept,
    /// As `Kept`, and what it answers and shows while calls fail.
    KeptUnderFaults,
}

impl Scope {
    /// Whether a life does this operation. Views, copies and checks are judged with everything alone.
    pub(crate) fn has(self, operation: &Operation) -> bool {
        let is_elsewhere =
            matches!(operation, Operation::View | Operation::Views | Operation::Backup | Operation::Verify);
        self == Self::Everything || !is_elsewhere
    }

    /// Whether what a store does wrong without any crash counts.
    pub(crate) fn counts_strays(self) -> bool {
        matches!(self, Self::Everything | Self::KeptUnderFaults)
    }

    /// Whether an older version will do.
    pub(crate) fn takes_older(self) -> bool {
        self == Self::Whole
    }

    /// Whether half of a batch in flight will do.
    pub(crate) fn takes_halves(self) -> bool {
        matches!(self, Self::Kept | Self::KeptUnderFaults)
    }
}
