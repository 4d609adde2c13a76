//! What an engine may use: files, a clock, background lanes. Nothing else of the machine.
//!
//! Promises: the same shared library runs on the real disk and on a simulated one, the host counts what it
//! writes by cause, and nothing runs that the host did not schedule. The host implements these traits,
//! engines call them. What each call makes proof against a power cut:
//!
//! | call | what is durable when it returns Ok |
//! |---|---|
//! | `File::write_at` | nothing |
//! | `File::write_durable_at` | the bytes written by this call, and the length if they made the file longer |
//! | `File::sync_data` | every byte and the length of the file; not its name |
//! | `File::sync_all` | that, and the file's times and permissions; not its name |
//! | `Directory::sync` | the names created, renamed, linked and removed in this directory; not what is in the files |
//!
//! Names are single components, relative to the directory: no separator, neither `.` nor `..`. All calls may
//! block on a device. An error that [`is_full`] means no space; every other error of a write or a sync
//! leaves unknown what reached the device, and must not be retried.

#[cfg(feature = "host")]
pub mod fault;
#[cfg(feature = "host")]
pub mod real;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

/// The files, the clock and the lanes of one engine.
#[derive(Clone)]
pub struct Environment {
    /// The engine's own directory.
    pub directory: Arc<dyn Directory>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The engine's background lanes.
    pub lanes: Arc<dyn Lanes>,
}

/// How a file is opened. Files are always open for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenFile {
    /// Also for writing.
    pub write: bool,
    /// Create the file; `AlreadyExists` if it is there. Implies `write`. Its name is durable only after
    /// `Directory::sync`.
    pub create_new: bool,
    /// Past the page cache: offsets, lengths and memory aligned to `File::alignment`. Where the file system
    /// cannot, the open fails with `Unsupported`.
    pub direct: bool,
}

impl OpenFile {
    /// An existing file, for reading.
    pub const READ: Self = Self { write: false, create_new: false, direct: false };
    /// An existing file, for reading and writing.
    pub const WRITE: Self = Self { write: true, create_new: false, direct: false };
    /// A new file, for reading and writing.
    pub const CREATE_NEW: Self = Self { write: true, create_new: true, direct: false };
}

/// Why bytes are written; the host counts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Cause {
    /// Anything else.
    Other = 0,
    /// The log of mutations.
    Log = 1,
    /// A checkpoint of the state in memory, or a document of the whole state.
    Checkpoint = 2,
    /// The write of new sorted data.
    Flush = 3,
    /// The merge of sorted data that is already on disk.
    Compaction = 4,
    /// Large values outside the main structure.
    Blob = 5,
    /// Manifests, superblocks and other data about data.
    Metadata = 6,
    /// Bulk loading.
    Ingest = 7,
    /// Copies for backup.
    Backup = 8,
}

impl Cause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Other,
        Self::Log,
        Self::Checkpoint,
        Self::Flush,
        Self::Compaction,
        Self::Blob,
        Self::Metadata,
        Self::Ingest,
        Self::Backup,
    ];

    /// The name of the cause in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Log => "log",
            Self::Checkpoint => "checkpoint",
            Self::Flush => "flush",
            Self::Compaction => "compaction",
            Self::Blob => "blob",
            Self::Metadata => "metadata",
            Self::Ingest => "ingest",
            Self::Backup => "backup",
        }
    }
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryEntry {
    /// The name.
    pub name: String,
    /// Whether it names a directory.
    pub is_directory: bool,
}

/// The optional features of the file system behind a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileFeatures {
    /// `OpenFile::direct`.
    pub direct: bool,
    /// `File::allocate`.
    pub allocate: bool,
    /// `File::punch`.
    pub punch: bool,
    /// `Directory::link`.
    pub link: bool,
}

/// A directory of the engine.
pub trait Directory: Send + Sync {
    /// Opens or creates a file.
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>>;

    /// Opens an existing directory below this one.
    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>>;

    /// Creates a directory below this one. Its name is durable only after `sync` of this one.
    fn create_directory(&self, name: &str) -> io::Result<()>;

    /// Every name, in no particular order.
    fn list(&self) -> io::Result<Vec<DirectoryEntry>>;

    /// Gives a file another name, atomically replacing a file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file one more name; `AlreadyExists` if the name is taken. Optional.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the name of a file, or an empty directory. Open files stay readable.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in this directory durable.
    fn sync(&self) -> io::Result<()>;

    /// How many bytes may still be written to the file system.
    fn free_space(&self) -> io::Result<u64>;

    /// Which optional features there are. An engine works without any of them.
    fn features(&self) -> FileFeatures;
}

/// One read of `File::read_many`.
#[derive(Debug)]
pub struct ReadRequest<'a> {
    /// Where in the file, in bytes.
    pub offset: u64,
    /// Filled as a whole.
    pub bytes: &'a mut [u8],
}

/// A durable write that was started and not yet waited for.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a durable write counts only after `File::wait`"]
pub struct Ticket(u64);

impl Ticket {
    /// A ticket with the number that the file gave it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number that the file gave it.
    pub const fn number(&self) -> u64 {
        self.0
    }
}

/// An open file. Positions are in bytes; any thread may call anything at any time.
pub trait File: Send + Sync {
    /// Reads into `bytes` and returns how many bytes were read: fewer than asked only at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Does several reads, each filled as a whole; `UnexpectedEof` if one reaches behind the end.
    fn read_many(&self, reads: &mut [ReadRequest<'_>]) -> io::Result<()> {
        for read in reads {
            read_exact_at(self, read.bytes, read.offset)?;
        }
        Ok(())
    }

    /// Writes all the slices, one behind the other. On error any part may have been written.
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()>;

    /// Writes all the slices and makes exactly these bytes durable.
    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()>;

    /// Starts a durable write that goes on while the caller does something else. The bytes were taken when
    /// this returns.
    fn start_durable(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<Ticket> {
        self.write_durable_at(slices, offset, cause)?;
        Ok(Ticket::new(0))
    }

    /// Waits until a started write is durable.
    fn wait(&self, ticket: Ticket) -> io::Result<()> {
        let Ticket(_) = ticket;
        Ok(())
    }

    /// Hints that the range should go to the device soon. Promises nothing.
    fn write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Makes bytes and length durable; not the name.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes bytes, length and attributes durable; not the name.
    fn sync_all(&self) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or makes it longer with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves room for a range, making the file longer if need be. Optional.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Gives the room of a range back; it reads as zeros. Optional.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

    /// What offsets, lengths and memory must be a multiple of, in bytes; 1 unless opened `direct`.
    fn alignment(&self) -> usize {
        1
    }
}

/// Whether an error means that there was no space, on the disk or of a quota: the same call may pass later.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Fills `bytes` from the file.
///
/// # Errors
/// `UnexpectedEof` if the file ends first, naming the position.
pub fn read_exact_at<F: File + ?Sized>(file: &F, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let read = file.read_at(bytes, offset)?;
    if read == bytes.len() {
        return Ok(());
    }
    let end = offset + read as u64;
    let wanted = bytes.len();
    let message = format!("the file ends at byte {end}, {wanted} bytes were expected from byte {offset}");
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
}

/// The time.
pub trait Clock: Send + Sync {
    /// Time since some fixed instant; never goes back.
    fn monotonic(&self) -> Duration;

    /// Time since 1970-01-01 00:00 UTC; may jump either way.
    fn wall(&self) -> Duration;
}

/// The number of a background lane: its place in `Description::lanes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

/// The background lanes of an engine, run by the host.
pub trait Lanes: Send + Sync {
    /// Says that the lane has work. Returns at once; may be called from anywhere.
    fn wake(&self, lane: Lane);

    /// Wakes the lane and waits until it has finished a step that began after this call, or until the host
    /// runs no lanes any more. Called by `apply` when background work must catch up; never from a lane.
    fn wait_for(&self, lane: Lane);
}
