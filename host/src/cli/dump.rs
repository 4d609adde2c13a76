//! `dump`: everything that a store holds, written as one stream that every engine can load.
//!
//! Promises: the file has its name only when it is whole and durable; a file that is there is never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use adapter_api::{Cursor, EngineError};

use super::failure::Failure;
use super::output;
use super::store::Store;
use super::task::Task;
use super::transfer_arguments::DumpArguments;
use crate::transfer::dump::DumpWriter;
use crate::transfer::{Observed, Totals};

/// Writes the dump of a store.
pub fn dump(arguments: &DumpArguments) -> Result<(), Failure> {
    let DumpArguments { store, output: path, json } = arguments;
    if *json && is_stream(path) {
        return Err(Failure::Usage(
            "--json goes with --output FILE: the standard output has the dump".into(),
        ));
    }
    let mut task = Task::begin(*json)?;
    let store = Store::open(store)?;
    let mut target = Target::open(path)?;
    task.step("dumping");
    let outcome = write(&store, &mut target, &task).and_then(|totals| {
        target.keep()?;
        Ok(totals)
    });
    task.end_step();
    if outcome.is_err() {
        target.discard();
    }
    let totals = outcome.map_err(|failure| task.interruption().or(failure))?;
    store.close()?;
    report(&task, &totals, path, *json)
}

fn write(store: &Store, target: &mut Target, task: &Task) -> Result<Totals, Failure> {
    let unreadable =
        |error: EngineError| Failure::Data(format!("engine {}: {error}", store.storage.description().name));
    let unwritable = |error: io::Error| {
        Failure::Check(format!("the dump could not be written: {error}; nothing is kept of it"))
    };
    let mut entries = store.storage.entries().map_err(unreadable)?;
    let mut entries = Observed::new(&mut entries, store.bytes_about(), task);
    let mut writer = DumpWriter::new(&mut target.writer).map_err(unwritable)?;
    while let Some(entry) = entries.next().map_err(unreadable)? {
        writer.add(entry).map_err(unwritable)?;
    }
    let (_, totals) = writer.finish().map_err(unwritable)?;
    Ok(totals)
}

fn report(task: &Task, totals: &Totals, path: &Path, as_json: bool) -> Result<(), Failure> {
    if is_stream(path) {
        log::info!("dumped {}", task.as_text(totals));
        return Ok(());
    }
    let text = match as_json {
        true => task.as_json(totals).to_string(),
        false => format!("{} are in {}", task.as_text(totals), output::one_line(&path.display().to_string())),
    };
    Ok(output::answer(&format!("{text}\n"))?)
}

fn is_stream(path: &Path) -> bool {
    path == Path::new("-")
}

/// Where a dump goes.
struct Target {
    writer: Box<dyn Write>,
    /// The file under its name for the time being, and the name that it is to have. `None` for a stream.
    file: Option<(File, PathBuf, PathBuf)>,
}

impl Target {
    fn open(path: &Path) -> Result<Self, Failure> {
        let unusable = |error| Failure::Usage(format!("cannot write {}: {error}", path.display()));
        if is_stream(path) {
            if io::stdout().is_terminal() {
                return Err(Failure::Usage(
                    "a dump is no text: name a file with --output, or pipe it on".into(),
                ));
            }
            return Ok(Self { writer: Box::new(io::stdout()), file: None });
        }
        match fs::metadata(path) {
            // A pipe or a device takes the stream as it comes.
            Ok(there) if !there.is_file() && !there.is_dir() => {
                let stream = OpenOptions::new().write(true).open(path).map_err(unusable)?;
                return Ok(Self { writer: Box::new(stream), file: None });
            }
            Ok(_) => {
                let path = path.display();
                return Err(Failure::Usage(format!(
                    "{path} is there already; name another file with --output"
                )));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
            Err(_) => {}
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".unfinished");
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&part).map_err(|error| {
            let part = part.display();
            Failure::Usage(format!("cannot write {part}: {error}; if a dump was cut off there, remove it"))
        })?;
        let writer = file.try_clone().map_err(unusable)?;
        Ok(Self { writer: Box::new(writer), file: Some((file, part.into(), path.to_path_buf())) })
    }

    /// Gives the dump its name, durably.
    fn keep(&self) -> Result<(), Failure> {
        let Some((file, part, path)) = &self.file else { return Ok(()) };
        let keep = || {
            file.sync_all()?;
            // Unlike a rename, a link replaces nothing; but not every file system has links.
            match fs::hard_link(part, path) {
                Ok(()) => fs::remove_file(part)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => fs::rename(part, path)?,
            }
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        keep().map_err(|error: io::Error| {
            Failure::Check(format!("the dump {} could not be kept: {error}", path.display()))
        })
    }

    fn discard(&self) {
        let Some((_, part, _)) = &self.file else { return };
        if let Err(error) = fs::remove_file(part)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("the unfinished dump {} could not be removed: {error}", part.display());
        }
    }
}
