//! Reads a manifest: adds up its edits, and tells a torn tail from damage.
//!
//! Promises: nothing is written. Damage in the middle is refused, and so is damage to an edit that anything behind it
//! proves to have been durable. Called by `manifest`.

use adapter_api::environment::{Directory, File, OpenFile, read_exact_at};
use adapter_api::{EngineError, Result};
use wal::ADVICE;

use super::edit::{self, Found};
use super::record::{BLOCK, Header, Kind, Record};
use super::{PREFIX, manifest_name, unreadable};
use crate::files::number_in;
use crate::version::LEVELS_MAX;

/// How much is read at once where records are looked for.
const SEARCH_BYTES: usize = 256 << 10;

/// What a manifest says, and how it ends.
pub(super) struct Read {
    pub(super) found: Found,
    /// The number of the next edit.
    pub(super) next_edit: u64,
    /// Where the record behind the last edit begins.
    pub(super) end: u64,
    /// Where the one behind the first edit does.
    pub(super) snapshot_end: u64,
    /// The checksum of the last edit.
    pub(super) previous: u32,
    /// That of the first one.
    pub(super) salt: u32,
    /// Whether a mark proves the last edit, and nothing lies behind it.
    pub(super) is_proven: bool,
}

/// The numbers of the manifests in a directory, ascending.
pub(super) fn numbers(directory: &dyn Directory) -> Result<Vec<u64>> {
    let entries = directory
        .list()
        .map_err(|error| EngineError::failed_by("could not list the directory of the store", error))?;
    let mut numbers: Vec<_> = entries.iter().filter_map(|entry| number_in(&entry.name, PREFIX)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens the manifest with this number and reads all of it.
pub(super) fn read(directory: &dyn Directory, number: u64) -> Result<Read> {
    let name = manifest_name(number);
    let file = directory.open_file(&name, OpenFile::READ).map_err(|error| unreadable(&name, error))?;
    Reader::new(&*file, name, number)?.read()
}

/// What the edits of a damaged manifest add up to that are whole.
pub(super) fn add_up(directory: &dyn Directory, number: u64) -> Result<Found> {
    let name = manifest_name(number);
    let file = directory.open_file(&name, OpenFile::READ).map_err(|error| unreadable(&name, error))?;
    let len = file.len().map_err(|error| unreadable(&name, error))?;
    // What the checksum of the first edit should be is enough, whether the edit is whole or not.
    let mut salt = [0; 4];
    let salt = read_exact_at(&*file, &mut salt, 0).map_or(0, |()| u32::from_le_bytes(salt));
    let (mut found, mut start) = (Found::default(), 0);
    while start < len {
        let salt = if start == 0 { 0 } else { salt };
        // What cannot be read is damaged too.
        let record = Record::read(&*file, len, start, number, salt).unwrap_or_default();
        let edit = record.as_ref().filter(|it| it.header.kind == Kind::Edit);
        if let Some(edit) = edit.and_then(|record| edit::decode(record.payload())) {
            found.apply(&edit);
        }
        start = record.map_or(start + BLOCK, |record| record.header.end(start));
    }
    found.tables.retain(|_, (place, info)| usize::from(place.level) < LEVELS_MAX && !info.range().is_empty());
    Ok(found)
}

struct Reader<'a> {
    file: &'a dyn File,
    name: String,
    number: u64,
    len: u64,
    state: Read,
}

impl<'a> Reader<'a> {
    fn new(file: &'a dyn File, name: String, number: u64) -> Result<Self> {
        let len = file.len().map_err(|error| unreadable(&name, error))?;
        let state = Read {
            found: Found::default(),
            next_edit: 0,
            end: 0,
            snapshot_end: 0,
            previous: 0,
            salt: 0,
            is_proven: false,
        };
        Ok(Self { file, name, number, len, state })
    }

    fn read(mut self) -> Result<Read> {
        loop {
            let record = Record::read(self.file, self.len, self.state.end, self.number, self.state.salt);
            match record.map_err(|error| unreadable(&self.name, error))? {
                Some(record) if self.follows(&record.header) => self.take(&record)?,
                Some(record) if self.is_mark(&record.header) => {
                    self.state.is_proven = record.header.end(self.state.end) == self.len;
                    break;
                }
                _ => break,
            }
        }
        self.judge_tail()?;
        Ok(self.state)
    }

    fn follows(&self, header: &Header) -> bool {
        let Read { next_edit, previous, .. } = self.state;
        header.kind == Kind::Edit && (header.edit, header.previous) == (next_edit, previous)
    }

    fn is_mark(&self, header: &Header) -> bool {
        let Read { next_edit, previous, .. } = self.state;
        header.kind != Kind::Edit
            && (header.edit.checked_add(1), header.previous) == (Some(next_edit), previous)
    }

    /// Takes the edit that follows.
    fn take(&mut self, record: &Record) -> Result<()> {
        let start = self.state.end;
        let Some(edit) = edit::decode(record.payload()) else {
            return Err(self.corrupt(start, "an edit does not hold what its header claims"));
        };
        let fits = self.state.found.check(&edit);
        fits.map_err(|what| self.corrupt(start, &format!("an edit {what}")))?;
        self.state.found.apply(&edit);
        self.state.end = record.header.end(start);
        self.state.previous = record.checksum;
        if self.state.next_edit == 0 {
            self.state.salt = record.checksum;
            self.state.snapshot_end = self.state.end;
        }
        self.state.next_edit += 1;
        Ok(())
    }

    /// Looks at what lies behind the last edit.
    ///
    /// # Errors
    /// `Corrupt` if it proves that an edit which is not there was durable.
    fn judge_tail(&self) -> Result<()> {
        let Read { next_edit, end, is_proven, .. } = self.state;
        if next_edit == 0 {
            return Err(self.corrupt(0, "the first edit, which says what all tables are, is damaged"));
        }
        if self.find_proof(end, next_edit)? {
            return Err(self.corrupt(end, "what lies behind proves that an edit is missing here"));
        }
        if !is_proven && self.len > end {
            log::warn!(
                "{} at byte {end}: dropped {} bytes of an edit that was not finished",
                self.name,
                self.len - end
            );
        }
        Ok(())
    }

    /// Whether a record from here on proves that the edit with this number was durable. Its header will do: it was not
    /// written before the edit was durable, whatever became of the rest of it.
    fn find_proof(&self, mut start: u64, edit: u64) -> Result<bool> {
        let mut bytes = vec![0; SEARCH_BYTES.min(self.len.saturating_sub(start) as usize)];
        while start < self.len {
            let read = self.file.read_at(&mut bytes, start).map_err(|error| unreadable(&self.name, error))?;
            for block in bytes[..read].chunks(BLOCK as usize) {
                let header = Header::decode(block, self.number, self.state.salt);
                if header.is_some_and(|header| header.proves(edit)) {
                    return Ok(true);
                }
            }
            start += bytes.len() as u64;
        }
        Ok(false)
    }

    fn corrupt(&self, position: u64, what: &str) -> EngineError {
        let message =
            format!("{what}; the manifest is damaged, and nobody knows which tables count: {ADVICE}");
        EngineError::corrupt(&self.name, position, message)
    }
}
