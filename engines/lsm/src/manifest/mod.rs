//! The manifest: which tables there are, as one edit behind the other.
//!
//! ```text
//! manifest-000000000000000b   the number: another one for each file; the highest counts
//! manifest.tmp                one that is being written
//!
//! the file    │ edit: all of it │ edit │ edit │ … │ seal or close │      each on a block of its own (`record`, `edit`)
//! ```
//!
//! A manifest gets its name when its first edit, which adds up all before it, is durable. An edit is written over
//! the mark behind the last one and is durable when `append` returns; then a *seal* is written behind it and not waited
//! for. So nearly always something behind an edit proves that it was durable, and damage to it is told from a write
//! that was not finished:
//!
//! | what is at the end | what it is |
//! |---|---|
//! | an edit, and a seal or a close behind it | all of it was durable; the next edit goes on in this file |
//! | an edit, and nothing behind it, or nothing whole | nobody knows whether the edit was durable: it counts, and all that counts is written into a new manifest before `open` returns |
//! | no whole edit where one should be, and nothing behind that proves it | a write that was not finished: dropped, and the rest written into a new manifest |
//! | no whole edit, and a later edit, a seal or a close behind it | damage: refused |
//!
//! A seal also says that the name of its file is durable: the first one is written when it is. Where an append or the
//! making of a new manifest failed, nobody knows what counts after a crash: with the edit, or without it. So nothing
//! is appended to that file any more, and the next edit makes a new manifest, which settles it. Older manifests are
//! removed behind a newer one whose name is durable.
//!
//! Honest limit: after a power cut that lost the seal, damage to exactly the last edit cannot be told from a write that
//! was not finished. The log knows better: its records begin behind the position that the manifest should have.
//!
//! Promises: what `append` answered Ok counts after every crash. Called by recovery, and by whoever makes the next
//! version; by one of them at a time.

mod edit;
mod reader;
mod record;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, File, OpenFile, is_full};
use adapter_api::{EngineError, Result};

use wal::ADVICE;

pub(crate) use self::edit::Found;
use self::record::{Header, Kind};
use crate::losses::Losses;
use crate::version::Edit;

const PREFIX: &str = "manifest-";
const TEMPORARY: &str = "manifest.tmp";
/// A manifest is made anew when its edits behind the first have so many bytes.
const EDITS_BYTES: u64 = 4 << 20;
/// And so many times the bytes of the first.
const EDITS_RATIO: u64 = 4;

/// The damage that it is if a directory with these files, and no manifest, has been more than created.
pub(crate) fn missing_from(names: &[String]) -> Option<EngineError> {
    let name = names.iter().find(|name| name.starts_with("log-") || name.starts_with("table-"))?;
    let message =
        format!("there is no manifest, but {name}: what the directory held cannot be told; {ADVICE}");
    Some(EngineError::corrupt("manifest", 0, message))
}

fn manifest_name(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

/// The manifest of an open store.
pub(crate) struct Manifest {
    directory: Arc<dyn Directory>,
    /// The highest number that a manifest has or may have.
    number: u64,
    /// What all edits add up to that were answered Ok.
    state: Found,
    /// Where the next edit goes; `None`: into a new manifest, for nobody knows what counts in this one.
    open: Option<Open>,
    edits_bytes: u64,
}

/// A manifest that may be appended to: its last edit and its name are durable.
struct Open {
    file: Arc<dyn File>,
    number: u64,
    next_edit: u64,
    end: u64,
    snapshot_end: u64,
    previous: u32,
    salt: u32,
}

impl Manifest {
    /// Makes a directory's first manifest, or a copy's; durable with its name when this returns.
    ///
    /// # Errors
    /// `Full` if there is no room for it, `Failed` for all else: then it may count or not.
    pub(crate) fn create(directory: &Arc<dyn Directory>, number: u64, snapshot: &Edit) -> Result<Self> {
        let (directory, state) = (Arc::clone(directory), Found::default());
        let mut manifest =
            Self { directory, number: number.saturating_sub(1), state, open: None, edits_bytes: EDITS_BYTES };
        manifest.append(snapshot)?;
        Ok(manifest)
    }

    /// Opens the newest manifest; `None` if there is none. All that was found is durable when this returns.
    ///
    /// # Errors
    /// `Corrupt` for damage, with file and position; `Full` if what was found must be written again and there is no
    /// room for it; `Failed`.
    pub(crate) fn open(directory: &Arc<dyn Directory>) -> Result<Option<(Self, Found)>> {
        let Some(number) = reader::numbers(&**directory)?.last().copied() else { return Ok(None) };
        let read = reader::read(&**directory, number)?;
        let name = manifest_name(number);
        let file = directory.open_file(&name, OpenFile::WRITE).map_err(|error| unreadable(&name, error))?;
        let state = read.found.clone();
        let open = read.is_proven.then(|| Open::behind(file, number, &read));
        let directory = Arc::clone(directory);
        let mut manifest = Self { directory, number, state, open, edits_bytes: EDITS_BYTES };
        match manifest.open {
            Some(_) => manifest.remove_older(),
            None => manifest.renew(read.found.clone())?,
        }
        Ok(Some((manifest, read.found)))
    }

    /// What is left of the newest manifest of a directory with these files, and whether that is all of it. Writes nothing.
    ///
    /// # Errors
    /// `Failed` if the directory cannot be read; damage is told instead.
    pub(crate) fn salvage(
        directory: &dyn Directory,
        names: &[String],
        losses: &Losses,
    ) -> Result<(Found, bool)> {
        let guessed = "which tables count, and which of two is newer, is guessed: what was changed or deleted may be \
                       there as it was";
        let Some(number) = reader::numbers(directory)?.last().copied() else {
            let damage = missing_from(names).inspect(|damage| losses.tell(damage, guessed));
            return Ok((Found::default(), damage.is_none()));
        };
        match reader::read(directory, number) {
            Ok(read) => Ok((read.found, true)),
            Err(error) => {
                losses.tell(&error, guessed);
                Ok((reader::add_up(directory, number)?, false))
            }
        }
    }

    /// What the newest manifest says; `None` if there is none. Writes nothing and makes nothing durable.
    ///
    /// # Errors
    /// `Corrupt` for damage, with file and position; `Failed`.
    #[cfg(test)]
    pub(crate) fn read(directory: &dyn Directory) -> Result<Option<Found>> {
        let Some(number) = reader::numbers(directory)?.last().copied() else { return Ok(None) };
        Ok(Some(reader::read(directory, number)?.found))
    }

    /// Makes a new manifest whenever the edits have so many bytes, and some times those of the first one. 4 MiB if this
    /// is not called.
    #[cfg(test)]
    pub(crate) fn set_edits_bytes(&mut self, bytes: u64) {
        self.edits_bytes = bytes;
    }

    /// What all edits that were answered Ok add up to.
    pub(crate) fn state(&self) -> &Found {
        &self.state
    }

    /// Adds an edit; durable when this returns. Makes a new manifest if this one has grown, or is in doubt.
    ///
    /// # Errors
    /// `Full` or `Failed`: the edit may count after a crash, or not. Until another `append` or a `close` has been
    /// answered Ok, neither a file that it adds nor one that it removes may go.
    pub(crate) fn append(&mut self, edit: &Edit) -> Result<()> {
        self.state.check(edit).map_err(unfit)?;
        if let Some(mut open) = self.open.take().filter(|open| !open.has_grown(self.edits_bytes)) {
            match open.append(edit) {
                Ok(()) => {
                    self.state.apply(edit);
                    // Without its seal the edit counts all the same; but what the write left there, nobody knows.
                    self.open = open.seal().is_ok().then_some(open);
                    return Ok(());
                }
                Err(error) => log::warn!(
                    "could not write to {} ({error}); a new manifest takes its place",
                    manifest_name(open.number)
                ),
            }
        }
        let mut next = self.state.clone();
        next.apply(edit);
        self.renew(next)
    }

    /// Ends in order: from now on damage to anything in the file is noticed.
    ///
    /// # Errors
    /// `Full` or `Failed`; all edits that were answered Ok count all the same.
    pub(crate) fn close(&mut self) -> Result<()> {
        if self.open.is_none() {
            self.renew(self.state.clone())?;
        }
        // What was written there is unknown if this fails; so a next edit would make a new manifest.
        let Some(open) = self.open.take() else { return Ok(()) };
        open.mark(Kind::Close).and_then(|()| open.file.sync_data()).map_err(failure)?;
        self.open = Some(open);
        Ok(())
    }

    /// Reads the file again, and compares.
    ///
    /// # Errors
    /// `Corrupt` if it does not say what it should; `Failed` if it cannot be read.
    pub(crate) fn verify(&self) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        match reader::read(&*self.directory, open.number)? {
            read if read.found == self.state => Ok(()),
            read => {
                let message =
                    "an edit is missing; restore a backup, or begin a new manifest by writing something";
                Err(EngineError::corrupt(manifest_name(open.number), read.end, message))
            }
        }
    }

    /// Makes a new manifest that says this, and goes on in it.
    fn renew(&mut self, state: Found) -> Result<()> {
        self.open = None;
        // The number of an attempt that failed may be in the directory after a crash.
        self.number += 1;
        self.open = Some(Open::create(&*self.directory, self.number, &state.snapshot()).map_err(failure)?);
        self.state = state;
        self.remove_older();
        Ok(())
    }

    /// Removes manifests that do not count any more. What cannot be removed harms nothing.
    fn remove_older(&self) {
        // Left behind by a manifest that was not finished; mostly there is none.
        let _ = self.directory.remove(TEMPORARY);
        let older = reader::numbers(&*self.directory).unwrap_or_default();
        for number in older.into_iter().filter(|number| *number < self.number) {
            if let Err(error) = self.directory.remove(&manifest_name(number)) {
                log::warn!(
                    "could not remove {}, which is not needed any more: {error}",
                    manifest_name(number)
                );
            }
        }
    }
}

impl Open {
    /// Writes a manifest with this edit alone, and names it.
    fn create(directory: &dyn Directory, number: u64, snapshot: &Edit) -> io::Result<Self> {
        match directory.remove(TEMPORARY) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = directory.open_file(TEMPORARY, OpenFile::CREATE_NEW)?;
        let header = Header { kind: Kind::Edit, manifest: number, edit: 0, length: 0, previous: 0 };
        let (bytes, checksum) = record::encode(header, 0, |out| edit::encode(snapshot, out));
        file.write_at(&[IoSlice::new(&bytes)], 0, Cause::Metadata)?;
        file.sync_data()?;
        directory.rename(TEMPORARY, &manifest_name(number))?;
        directory.sync()?;
        let end = bytes.len() as u64;
        let open =
            Self { file, number, next_edit: 1, end, snapshot_end: end, previous: checksum, salt: checksum };
        open.seal()?;
        Ok(open)
    }

    /// Goes on behind what was read.
    fn behind(file: Arc<dyn File>, number: u64, read: &reader::Read) -> Self {
        let reader::Read { next_edit, end, snapshot_end, previous, salt, .. } = *read;
        Self { file, number, next_edit, end, snapshot_end, previous, salt }
    }

    fn has_grown(&self, edits_bytes: u64) -> bool {
        self.end - self.snapshot_end >= edits_bytes.max(EDITS_RATIO * self.snapshot_end)
    }

    /// Writes an edit, durably.
    fn append(&mut self, edit: &Edit) -> io::Result<()> {
        let header = self.header(Kind::Edit, self.next_edit);
        let (bytes, checksum) = record::encode(header, self.salt, |out| edit::encode(edit, out));
        self.file.write_durable_at(&[IoSlice::new(&bytes)], self.end, Cause::Metadata)?;
        self.next_edit += 1;
        self.end += bytes.len() as u64;
        self.previous = checksum;
        Ok(())
    }

    /// Says behind the last edit that it is durable. Nobody waits for that.
    fn seal(&self) -> io::Result<()> {
        self.mark(Kind::Seal)
    }

    fn mark(&self, kind: Kind) -> io::Result<()> {
        let (bytes, _) = record::encode(self.header(kind, self.next_edit - 1), self.salt, |_| {});
        self.file.write_at(&[IoSlice::new(&bytes)], self.end, Cause::Metadata)
    }

    fn header(&self, kind: Kind, edit: u64) -> Header {
        Header { kind, manifest: self.number, edit, length: 0, previous: self.previous }
    }
}

fn unreadable(name: &str, error: io::Error) -> EngineError {
    EngineError::failed_by(format!("could not read {name}"), error)
}

/// What an edit that cannot be one of this manifest means to whoever made it.
fn unfit(what: String) -> EngineError {
    EngineError::failed(format!("an edit of the manifest {what}; nothing was written"))
}

/// What a write that failed means to whoever changes the manifest.
fn failure(error: io::Error) -> EngineError {
    match is_full(&error) {
        true => {
            EngineError::full(format!("the disk has no room for the manifest ({error}); free some space"))
        }
        false => EngineError::failed_by("could not write the manifest", error),
    }
}
