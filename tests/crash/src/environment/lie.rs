//! What a disk, or an engine on it, may do wrong where calls of the file system are concerned: planted to see
//! the judge catch it.
//!
//! An engine that forgets a call, makes it too late or tries it again cannot be told from a disk that does so.
//! So these bugs need no change in an engine, and the library that ships is the one that has them.

use crate::state::NameChange;

/// A planted bug between engine and disk.
#[derive(Clone, Copy, Default)]
pub enum Lie {
    /// None: the disk does what it says.
    #[default]
    None,
    /// Syncs of files and durable writes do nothing for durability.
    DataSyncs,
    /// Syncs of a directory do nothing if its last change is such a one.
    DirectorySyncsAfter(fn(&NameChange) -> bool),
    /// What a sync should make durable is so only when the next call that changes something begins.
    LateSyncs,
    /// No sync does anything while a store is being opened that was there before.
    SyncsAtOpen,
    /// A sync that fails is made again, and counts if the second one succeeds.
    RetriedSyncs,
}
