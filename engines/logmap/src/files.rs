//! The names in the engine's directory, beside those of the log.
//!
//! ```text
//! checkpoint-0000000000000c35   stands for the log up to that record
//! checkpoint.tmp                being written; counts for nothing, and is removed at open
//! ```
//!
//! Called by the checkpointer, recovery and `backup`.

use std::io;

use adapter_api::environment::Directory;
use adapter_api::{EngineError, Result};

/// The name of a checkpoint while it is being written.
pub(crate) const TEMPORARY: &str = "checkpoint.tmp";
const PREFIX: &str = "checkpoint-";

/// The name of the checkpoint that stands for the log up to `position`.
pub(crate) fn checkpoint_name(position: u64) -> String {
    format!("{PREFIX}{position:016x}")
}

/// The positions of all checkpoints, oldest first.
pub(crate) fn checkpoints(directory: &dyn Directory) -> Result<Vec<u64>> {
    let entries =
        directory.list().map_err(|error| EngineError::failed_by("could not list the directory", error))?;
    let position = |name: &str| {
        let position = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
        (checkpoint_name(position) == name).then_some(position)
    };
    let mut positions: Vec<u64> = entries.iter().filter_map(|entry| position(&entry.name)).collect();
    positions.sort_unstable();
    Ok(positions)
}

/// Removes an unfinished checkpoint, if there is one; answers whether there was.
pub(crate) fn remove_temporary(directory: &dyn Directory) -> io::Result<bool> {
    match directory.remove(TEMPORARY) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes every checkpoint that is older than the durable one at `position`. What cannot be removed now is
/// removed after the next one.
pub(crate) fn remove_older(directory: &dyn Directory, position: u64) {
    for older in checkpoints(directory).unwrap_or_default().into_iter().filter(|older| *older < position) {
        let name = checkpoint_name(older);
        if let Err(error) = directory.remove(&name) {
            log::warn!(
                "could not remove {name}, which is not needed any more; it goes with the next one: {error}"
            );
        }
    }
}
