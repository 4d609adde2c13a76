//! The strings of an RDB file, put into a new store as if clients had set them.
//!
//! Promises: every key is stored or counted by the reason why it is not. They do not come in the order of their
//! keys, so the store is compared with the file by fingerprints.

use std::io::Read;

use adapter_api::{Buffer, Cursor, EngineError, Entry, VALUE_BYTES_MAX, Watch};

use super::arrival::{Arrival, of_fill};
use super::failure::Failure;
use super::store::close_engine;
use super::task::Task;
use crate::storage::keyspace::{self, DATABASES, USER_KEY_BYTES_MAX, VALUE_HEADER_BYTES_MAX};
use crate::storage::{Databases, Storage};
use crate::transfer::rdb::{RdbReader, RdbString};
use crate::transfer::{Fingerprint, Observed, Totals};

/// Stores every string of the file, of about `bytes_about` bytes, and checks what is there then.
///
/// # Errors
/// What the file or the engine says, or that the store has something else. The directory is to be discarded then.
pub fn fill<R: Read + Send>(
    arrival: &Arrival<'_>,
    reader: &mut RdbReader<R>,
    bytes_about: u64,
    task: &mut Task,
) -> Result<Totals, Failure> {
    task.step("storing");
    let storage = arrival.open()?;
    let mut strings = Strings {
        reader,
        key: Vec::new(),
        value: Buffer::new(),
        given: Fingerprint::default(),
        bytes_about,
        watch: task,
    };
    storage.fill_unsorted(&mut strings).map_err(|error| of_fill(&storage, error))?;
    let given = strings.given;
    let storage = arrival.reopen(storage)?;
    task.step("comparing");
    let (totals, found) = read(&storage, given.bytes(), task)
        .map_err(|error| Failure::Check(format!("what was stored cannot be read: {error}")))?;
    close_engine(&storage)?;
    match found == given {
        true => Ok(totals),
        false => Err(Failure::Check("the store has not what was in the file: is a key in it twice?".into())),
    }
}

fn read(storage: &Storage, bytes: u64, task: &Task) -> Result<(Totals, Fingerprint), EngineError> {
    let mut entries = storage.entries()?;
    let mut entries = Observed::new(&mut entries, bytes, task);
    let mut found = Fingerprint::default();
    while let Some(entry) = entries.next()? {
        found.add(entry);
    }
    Ok((entries.totals(), found))
}

/// The strings in their stored form.
struct Strings<'a, R> {
    reader: &'a mut RdbReader<R>,
    key: Vec<u8>,
    value: Buffer,
    given: Fingerprint,
    bytes_about: u64,
    watch: &'a dyn Watch,
}

impl<R: Read + Send> Strings<'_, R> {
    /// The next string that can be stored, in `key` and `value`; answers whether there is one.
    fn advance(&mut self) -> Result<bool, EngineError> {
        while let Some(RdbString { database, key, value }) = self.reader.next_string()? {
            let database = u8::try_from(database).ok().filter(|database| *database < DATABASES);
            let Some(database) = database else {
                self.reader.skip("string of a database above 15");
                continue;
            };
            if key.len() > USER_KEY_BYTES_MAX {
                self.reader.skip("string with a key above 60 KiB");
            } else if value.len() > VALUE_BYTES_MAX - VALUE_HEADER_BYTES_MAX {
                self.reader.skip("string too large");
            } else {
                keyspace::write_data_key(Databases::default().slot(database), &key, &mut self.key);
                self.value.clear();
                let mut room = [0; VALUE_HEADER_BYTES_MAX];
                self.value.extend_from_slice(keyspace::encode_head(None, &mut room));
                self.value.extend_from_slice(&value);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<R: Read + Send> Cursor for Strings<'_, R> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        let done = self.given.bytes();
        if self.watch.progress(done, self.bytes_about.max(done)).is_break() {
            return Err(EngineError::rejected("interrupted"));
        }
        if !self.advance()? {
            return Ok(None);
        }
        let entry = Entry { key: &self.key, value: &self.value };
        self.given.add(entry);
        Ok(Some(entry))
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::unsupported("seek in an RDB file"))
    }
}
