//! `backup`: a copy of a store that nobody uses, as its engine makes it. A server makes one of itself with
//! ENGINE BACKUP.

use adapter_api::Capabilities;
use serde_json::json;

use super::failure::Failure;
use super::output;
use super::store::Store;
use super::task::Task;
use super::transfer_arguments::BackupArguments;
use crate::storage::BackupError;

/// Copies a store into a folder of its own.
pub fn backup(arguments: &BackupArguments) -> Result<(), Failure> {
    let BackupArguments { store, to, json } = arguments;
    let mut task = Task::begin(*json)?;
    let store = Store::open(store)?;
    let name = &store.storage.description().name;
    if !store.storage.has(Capabilities::BACKUP) {
        let message =
            format!("engine {name} makes no backups; `enginebay dump` copies the data of every engine");
        return Err(Failure::Data(message));
    }
    task.step("copying");
    let outcome = store.storage.backup(to, &task);
    task.end_step();
    let backup = outcome.map_err(|error| {
        let failure = match error {
            BackupError::Used(_) => Failure::Usage(error.to_string()),
            error => Failure::Check(format!("there is no backup: engine {name}: {error}")),
        };
        task.interruption().or(failure)
    })?;
    store.close()?;
    let (files, bytes, engine) = (backup.files(), backup.bytes(), &backup.engine);
    let pace = task.pace(bytes);
    let text = match json {
        true => json!({
            "engine": engine,
            "files": files,
            "bytes": bytes,
            "seconds": pace.seconds,
            "mb_per_second": pace.mb_per_second,
        })
        .to_string(),
        false => {
            let to = output::one_line(&to.display().to_string());
            format!("{files} files of engine {engine} with {bytes} bytes are in {to}, {pace}")
        }
    };
    Ok(output::answer(&format!("{text}\n"))?)
}
