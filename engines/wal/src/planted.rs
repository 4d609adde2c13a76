//! Bugs that the crash judge plants to see itself catch them: each a feature that is off in everything that ships.

/// A group counts whatever its checksum.
pub(crate) const NO_CHECKSUM: bool = cfg!(feature = "planted_no_checksum");
/// Groups of an earlier use of a file count too.
pub(crate) const NO_EPOCH: bool = cfg!(feature = "planted_no_epoch");
/// The log is cut at the first group that does not count, whatever lies behind it.
pub(crate) const CUT_AT_DAMAGE: bool = cfg!(feature = "planted_cut_at_damage");
/// What was shown and is not proven durable is left as it is.
pub(crate) const TAIL_NOT_REWRITTEN: bool = cfg!(feature = "planted_tail_not_rewritten");
