//! The files that hold the values which are not in memory.
//!
//! ```text
//! values-0000000000000007    the number: another one for each file
//!
//! offset  size  field        integers little-endian
//!      0     4  magic        "LMV1"
//!      4     4  checksum     CRC-32 (IEEE) of the number
//!      8     8  number       as in the name
//!     16     …  zeros to 4 KiB
//!   4096     …  values, one behind the other; where each of them is, with its length and checksum, says the
//!               checkpoint that refers to it
//! ```
//!
//! A file is written by one checkpoint, synced and named before that checkpoint is, and never changed again.
//! Promises: a value that is read is the one that was written, or the answer is `Corrupt` with file and position;
//! memory grows with the bytes that are there. An open file outlives its name: whoever has an entry, of the map or
//! of a view, can read its value. Called by reads, recovery, the writer of checkpoints, and `verify`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use adapter_api::environment::{Directory, File, OpenFile, read_exact_at};
use adapter_api::versioned_map::{Away, Stored};
use adapter_api::{Buffer, EngineError, Result};
use crc32fast::Hasher;
use wal::ADVICE;

use crate::files::values_name;

const MAGIC: &[u8; 4] = b"LMV1";
/// Where the first value begins.
pub(crate) const HEAD_BYTES: usize = 4096;
/// How much of a value is read at once.
const READ_BYTES: usize = 256 << 10;

/// An open file with values.
pub(crate) struct ValuesFile {
    name: String,
    /// 0: it is a checkpoint, whose values are moved with the next one.
    pub(crate) number: u64,
    file: Arc<dyn File>,
}

/// The head of the file with this number.
pub(crate) fn head(number: u64) -> Vec<u8> {
    let mut head = vec![0; HEAD_BYTES];
    head[..4].copy_from_slice(MAGIC);
    head[4..8].copy_from_slice(&crc32fast::hash(&number.to_le_bytes()).to_le_bytes());
    head[8..16].copy_from_slice(&number.to_le_bytes());
    head
}

impl ValuesFile {
    /// A file that is being written.
    pub(crate) fn new(number: u64, file: Arc<dyn File>) -> Arc<Self> {
        Arc::new(Self { name: values_name(number), number, file })
    }

    /// A checkpoint that holds values itself.
    pub(crate) fn of_checkpoint(name: &str, file: Arc<dyn File>) -> Arc<Self> {
        Arc::new(Self { name: name.to_string(), number: 0, file })
    }

    fn open(directory: &dyn Directory, number: u64) -> Result<Arc<Self>> {
        let name = values_name(number);
        let corrupt = |what: &str| {
            let message = format!("{what}, and a checkpoint refers to values in it: {ADVICE}");
            EngineError::corrupt(&name, 0, message)
        };
        let file = directory.open_file(&name, OpenFile::READ).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt("the file is gone"),
            _ => unreadable(&name, error),
        })?;
        let mut found = vec![0; HEAD_BYTES];
        match read_exact_at(&*file, &mut found, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(unreadable(&name, error)),
            Ok(()) if found == head(number) => Ok(Arc::new(Self { name, number, file })),
            _ => Err(corrupt("this is not the head of the file that the name says")),
        }
    }

    /// How long the file is, in bytes.
    pub(crate) fn len(&self) -> Result<u64> {
        self.file.len().map_err(|error| unreadable(&self.name, error))
    }

    fn read(&self, away: &Away, value: &mut Buffer) -> Result<()> {
        let (mut at, end) = (away.start, away.start + u64::from(away.bytes));
        let mut part = vec![0; READ_BYTES.min(away.bytes as usize)];
        let mut checksum = Hasher::new();
        while at < end {
            let wanted = part.len().min((end - at) as usize);
            let read = self.file.read_at(&mut part[..wanted], at);
            let read = read.map_err(|error| unreadable(&self.name, error))?;
            checksum.update(&part[..read]);
            value.extend_from_slice(&part[..read]);
            at += read as u64;
            if read < wanted {
                break;
            }
        }
        match at == end && checksum.finalize() == away.checksum {
            true => Ok(()),
            false => Err(EngineError::corrupt(
                &self.name,
                away.start,
                format!(
                    "the value of {} bytes here is damaged: restore a backup, or take out the others with \
                     `enginebay salvage`",
                    away.bytes
                ),
            )),
        }
    }
}

/// The file that a value lies in.
pub(crate) fn file_of(away: &Away) -> Result<&ValuesFile> {
    let file = away.holder.downcast_ref::<ValuesFile>();
    file.ok_or_else(|| EngineError::failed("an entry of the map does not say which file its value is in"))
}

/// Appends a value, wherever it lies; may wait for a device.
///
/// # Errors
/// `Corrupt` if the value is damaged, naming file and position; `Failed` if it cannot be read.
pub(crate) fn append(stored: Stored<'_>, value: &mut Buffer) -> Result<()> {
    match stored {
        Stored::Here(bytes) => value.extend_from_slice(bytes),
        Stored::Away(away) => file_of(away)?.read(away, value)?,
    }
    Ok(())
}

/// Where a value lies, as a checkpoint says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) number: u64,
    pub(crate) start: u64,
    pub(crate) bytes: u32,
    pub(crate) checksum: u32,
}

/// What is known of a file that a checkpoint refers to.
#[derive(Clone)]
pub(crate) struct Usage {
    pub(crate) file: Arc<ValuesFile>,
    /// The length of the file, in bytes.
    pub(crate) len: u64,
    /// Bytes of the values in it that the checkpoint refers to.
    pub(crate) live: u64,
}

/// The files that a checkpoint refers to, by number, opened as they are come across.
pub(crate) struct Resolver<'a> {
    directory: &'a dyn Directory,
    pub(crate) files: BTreeMap<u64, Usage>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(directory: &'a dyn Directory) -> Self {
        Self { directory, files: BTreeMap::new() }
    }

    /// The value that is referred to, if its file is there and long enough. Does not read it.
    pub(crate) fn resolve(&mut self, reference: Reference) -> Result<Away> {
        let Reference { number, start, bytes, checksum } = reference;
        let usage = match self.files.entry(number) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let file = ValuesFile::open(self.directory, number)?;
                let len = file.len()?;
                new.insert(Usage { file, len, live: 0 })
            }
        };
        let end = start.checked_add(u64::from(bytes));
        if start < HEAD_BYTES as u64 || end.is_none_or(|end| end > usage.len) {
            let message = format!(
                "the file has {} bytes, and a value of {bytes} bytes should begin at byte {start}: {ADVICE}",
                usage.len
            );
            return Err(EngineError::corrupt(&usage.file.name, start.min(usage.len), message));
        }
        usage.live += u64::from(bytes);
        Ok(Away { holder: Arc::clone(&usage.file) as _, start, bytes, checksum })
    }
}

fn unreadable(name: &str, error: io::Error) -> EngineError {
    EngineError::failed_by(format!("could not read {name}"), error)
}
