//! The names in the engine's directory, beside those of the log.
//!
//! ```text
//! checkpoint-0000000000000c35   stands for the log up to that record
//! values-0000000000000007       values that checkpoints refer to; the number is another one for each file
//! checkpoint.tmp, values.tmp    being written; count for nothing, and are removed at open
//! ```
//!
//! Called by the checkpointer, recovery and `backup`.

use std::io;

use adapter_api::environment::Directory;
use adapter_api::{EngineError, Result};

/// The name of a checkpoint while it is being written.
pub(crate) const TEMPORARY: &str = "checkpoint.tmp";
/// The name of a file of values while it is being written.
pub(crate) const VALUES_TEMPORARY: &str = "values.tmp";
const PREFIX: &str = "checkpoint-";
const VALUES_PREFIX: &str = "values-";

/// The name of the checkpoint that stands for the log up to `position`.
pub(crate) fn checkpoint_name(position: u64) -> String {
    format!("{PREFIX}{position:016x}")
}

/// The name of the file of values with this number.
pub(crate) fn values_name(number: u64) -> String {
    format!("{VALUES_PREFIX}{number:016x}")
}

/// The positions of all checkpoints, oldest first.
pub(crate) fn checkpoints(directory: &dyn Directory) -> Result<Vec<u64>> {
    numbers(directory, PREFIX, checkpoint_name)
}

/// The numbers of all files of values, ascending.
pub(crate) fn values(directory: &dyn Directory) -> Result<Vec<u64>> {
    numbers(directory, VALUES_PREFIX, values_name)
}

fn numbers(directory: &dyn Directory, prefix: &str, name_of: fn(u64) -> String) -> Result<Vec<u64>> {
    let entries =
        directory.list().map_err(|error| EngineError::failed_by("could not list the directory", error))?;
    let number = |name: &str| {
        let number = u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()?;
        // Only the one spelling that is written counts, and only numbers that can be counted on from.
        (name_of(number) == name && number <= u64::MAX / 2).then_some(number)
    };
    let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| number(&entry.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes an unfinished checkpoint, if there is one; answers whether there was.
pub(crate) fn remove_temporary(directory: &dyn Directory) -> io::Result<bool> {
    let values = remove(directory, VALUES_TEMPORARY)?;
    Ok(remove(directory, TEMPORARY)? || values)
}

/// Removes a file, if it is there; answers whether it was.
pub(crate) fn remove(directory: &dyn Directory, name: &str) -> io::Result<bool> {
    match directory.remove(name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes every checkpoint but the durable one at `position`, and every file of values that it does not refer to.
/// What cannot be removed now is removed after the next one.
pub(crate) fn remove_others(directory: &dyn Directory, position: u64, is_referred: impl Fn(u64) -> bool) {
    let checkpoints = checkpoints(directory).unwrap_or_default();
    let checkpoints = checkpoints.into_iter().filter(|other| *other != position).map(checkpoint_name);
    let values = values(directory).unwrap_or_default();
    let values = values.into_iter().filter(|number| !is_referred(*number)).map(values_name);
    for name in checkpoints.chain(values) {
        if let Err(error) = directory.remove(&name) {
            log::warn!(
                "could not remove {name}, which is not needed any more; it goes with the next checkpoint: {error}"
            );
        }
    }
}
