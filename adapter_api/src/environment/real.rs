//! The real environment: files of the operating system and its clocks, with every byte counted.
//!
//! Promises: what the table in `environment` says, on Linux with what the kernel offers for it, elsewhere
//! with full syncs; `IoCounters` counts what engines do. Used by the host. Lanes are the host's own.

use std::fs;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::ReadWriteFlags;

use crate::describe::Metric;

use super::{Cause, Clock, Directory, DirectoryEntry, File, FileFeatures, OpenFile, read_exact_at};

/// What offsets, lengths and memory of direct I/O are a multiple of, in bytes: the largest logical block of
/// common devices.
const DIRECT_ALIGNMENT: usize = 4096;
/// How many slices one vectored write may have; Linux takes 1,024.
const SLICES_PER_CALL: usize = 1024;

/// What was done to files since the counters were made. One set may serve several directories.
#[derive(Debug, Default)]
pub struct IoCounters {
    writes: [AtomicU64; Cause::ALL.len()],
    written_bytes: [AtomicU64; Cause::ALL.len()],
    durable_writes: AtomicU64,
    data_syncs: AtomicU64,
    full_syncs: AtomicU64,
    directory_syncs: AtomicU64,
    files_created: AtomicU64,
    files_grown: AtomicU64,
    names_changed: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoCounts {
    /// Writes by cause, in the order of `Cause::ALL`.
    pub writes: [u64; Cause::ALL.len()],
    /// Bytes written by cause, in the order of `Cause::ALL`.
    pub written_bytes: [u64; Cause::ALL.len()],
    /// Writes that were durable on return; counted among the writes too.
    pub durable_writes: u64,
    /// Syncs of a file's data.
    pub data_syncs: u64,
    /// Syncs of a file's data and attributes.
    pub full_syncs: u64,
    /// Syncs of a directory.
    pub directory_syncs: u64,
    /// Files created.
    pub files_created: u64,
    /// Writes and changes of length that made a file longer.
    pub files_grown: u64,
    /// Renames, links, removals, directories created.
    pub names_changed: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
}

impl IoCounters {
    /// The counters now. Numbers that change meanwhile may be of slightly different moments.
    pub fn counts(&self) -> IoCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IoCounts {
            writes: std::array::from_fn(|cause| load(&self.writes[cause])),
            written_bytes: std::array::from_fn(|cause| load(&self.written_bytes[cause])),
            durable_writes: load(&self.durable_writes),
            data_syncs: load(&self.data_syncs),
            full_syncs: load(&self.full_syncs),
            directory_syncs: load(&self.directory_syncs),
            files_created: load(&self.files_created),
            files_grown: load(&self.files_grown),
            names_changed: load(&self.names_changed),
            reads: load(&self.reads),
            read_bytes: load(&self.read_bytes),
        }
    }

    /// The counters as metrics, writes by cause where there were any.
    pub fn metrics(&self) -> Vec<Metric> {
        let counts = self.counts();
        let counter = |name: &str, count: u64| Metric::counter(name, count as f64);
        let by_cause =
            Cause::ALL.into_iter().filter(|cause| counts.writes[*cause as usize] > 0).flat_map(|cause| {
                let (writes, bytes) = (counts.writes[cause as usize], counts.written_bytes[cause as usize]);
                [counter("file_writes", writes), counter("file_written_bytes", bytes)]
                    .map(|metric| metric.label("cause", cause.name()))
            });
        let totals = [
            ("file_durable_writes", counts.durable_writes),
            ("file_data_syncs", counts.data_syncs),
            ("file_full_syncs", counts.full_syncs),
            ("directory_syncs", counts.directory_syncs),
            ("files_created", counts.files_created),
            ("files_grown", counts.files_grown),
            ("names_changed", counts.names_changed),
            ("file_reads", counts.reads),
            ("file_read_bytes", counts.read_bytes),
        ];
        by_cause.chain(totals.map(|(name, count)| counter(name, count))).collect()
    }

    fn count(&self, counter: impl FnOnce(&Self) -> &AtomicU64, by: u64) {
        counter(self).fetch_add(by, Ordering::Relaxed);
    }
}

/// A directory of the operating system.
pub struct RealDirectory {
    path: PathBuf,
    /// Open for the life of this value, to be synced.
    handle: fs::File,
    counters: Arc<IoCounters>,
}

impl RealDirectory {
    /// Opens an existing directory; what is done below it counts in `counters`.
    pub fn open(path: &Path, counters: Arc<IoCounters>) -> io::Result<Self> {
        let handle = fs::File::open(path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is no directory", path.display()),
            ));
        }
        Ok(Self { path: path.to_path_buf(), handle, counters })
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in this directory; an engine never leaves it.
    fn path_of(&self, name: &str) -> io::Result<PathBuf> {
        let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
        match is_plain {
            true => Ok(self.path.join(name)),
            false => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is not a plain file name")))
            }
        }
    }

    fn changed_name(&self, outcome: io::Result<()>) -> io::Result<()> {
        self.counters.count(|it| &it.names_changed, 1);
        outcome
    }
}

impl Directory for RealDirectory {
    fn open_file(&self, name: &str, how: OpenFile) -> io::Result<Arc<dyn File>> {
        let path = self.path_of(name)?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(how.write || how.create_new).create_new(how.create_new).mode(0o600);
        if how.direct {
            options.custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
        }
        let file = options.open(path).map_err(|error| {
            match how.direct && error.kind() == io::ErrorKind::InvalidInput {
                true => io::Error::new(io::ErrorKind::Unsupported, "the file system has no direct I/O"),
                false => error,
            }
        })?;
        if how.create_new {
            self.counters.count(|it| &it.files_created, 1);
        }
        let len = AtomicU64::new(file.metadata()?.len());
        Ok(Arc::new(RealFile { file, len, direct: how.direct, counters: Arc::clone(&self.counters) }))
    }

    fn open_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(Self::open(&self.path_of(name)?, Arc::clone(&self.counters))?))
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.changed_name(fs::create_dir(self.path_of(name)?))
    }

    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| {
                let message = format!("{} holds a file whose name is no text: {name:?}", self.path.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?;
            Ok(DirectoryEntry { name, is_directory: entry.file_type()?.is_dir() })
        };
        fs::read_dir(&self.path)?.map(entry).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.changed_name(fs::rename(self.path_of(from)?, self.path_of(to)?))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.changed_name(fs::hard_link(self.path_of(from)?, self.path_of(to)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path_of(name)?;
        let is_directory = fs::symlink_metadata(&path)?.is_dir();
        self.changed_name(if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) })
    }

    fn sync(&self) -> io::Result<()> {
        self.counters.count(|it| &it.directory_syncs, 1);
        self.handle.sync_all()
    }

    fn free_space(&self) -> io::Result<u64> {
        let state = rustix::fs::fstatvfs(&self.handle)?;
        Ok(state.f_bavail.saturating_mul(state.f_frsize))
    }

    fn features(&self) -> FileFeatures {
        // What the file system really has shows when it is used; these are what this build knows how to ask for.
        let linux = cfg!(target_os = "linux");
        FileFeatures { direct: linux, allocate: linux, punch: linux, link: true }
    }
}

struct RealFile {
    file: fs::File,
    /// The length as far as this handle knows it, to count growth. Only one handle writes a file at a time.
    len: AtomicU64,
    direct: bool,
    counters: Arc<IoCounters>,
}

impl RealFile {
    /// Writes all slices in as few calls as the kernel needs.
    fn write_all(
        &self,
        slices: &[IoSlice<'_>],
        offset: u64,
        cause: Cause,
        flags: ReadWriteFlags,
    ) -> io::Result<()> {
        let total: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        self.counters.count(|it| &it.writes[cause as usize], 1);
        self.counters.count(|it| &it.written_bytes[cause as usize], total);
        if self.len.fetch_max(offset + total, Ordering::Relaxed) < offset + total {
            self.counters.count(|it| &it.files_grown, 1);
        }
        let written = self.write_some(&slices[..slices.len().min(SLICES_PER_CALL)], offset, flags)?;
        if written == total { Ok(()) } else { self.write_rest(slices, written, offset, flags) }
    }

    /// Writes what the first call of a write has left over. Rare, so it may allocate.
    #[cold]
    fn write_rest(
        &self,
        slices: &[IoSlice<'_>],
        done: u64,
        offset: u64,
        flags: ReadWriteFlags,
    ) -> io::Result<()> {
        let mut rest = slices.to_vec();
        let (mut rest, mut at) = (rest.as_mut_slice(), offset + done);
        IoSlice::advance_slices(&mut rest, done as usize);
        while !rest.is_empty() {
            let written = self.write_some(&rest[..rest.len().min(SLICES_PER_CALL)], at, flags)?;
            at += written;
            IoSlice::advance_slices(&mut rest, written as usize);
        }
        Ok(())
    }

    /// One call to the kernel, which takes at least one byte if there is one.
    fn write_some(&self, slices: &[IoSlice<'_>], at: u64, flags: ReadWriteFlags) -> io::Result<u64> {
        loop {
            match rustix::io::pwritev2(&self.file, slices, at, flags) {
                Ok(0) if slices.iter().any(|slice| !slice.is_empty()) => {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Ok(written) => return Ok(written as u64),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl File for RealFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < bytes.len() {
            match self.file.read_at(&mut bytes[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(some) => read += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.counters.count(|it| &it.reads, 1);
        self.counters.count(|it| &it.read_bytes, read as u64);
        Ok(read)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.write_all(slices, offset, cause, ReadWriteFlags::empty())
    }

    fn write_durable_at(&self, slices: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.counters.count(|it| &it.durable_writes, 1);
        self.write_all(slices, offset, cause, ReadWriteFlags::DSYNC)
    }

    /// Advice that the pages are not needed any more: Linux begins to write back those that are dirty, and does not wait.
    fn write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        let Some(len) = NonZeroU64::new(len) else { return Ok(()) };
        Ok(rustix::fs::fadvise(&self.file, offset, Some(len), Advice::DontNeed)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counters.count(|it| &it.data_syncs, 1);
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.counters.count(|it| &it.full_syncs, 1);
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        if self.len.swap(len, Ordering::Relaxed) < len {
            self.counters.count(|it| &it.files_grown, 1);
        }
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        rustix::fs::fallocate(&self.file, FallocateFlags::empty(), offset, len)?;
        if self.len.fetch_max(offset + len, Ordering::Relaxed) < offset + len {
            self.counters.count(|it| &it.files_grown, 1);
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, hole, offset, len)?)
    }

    fn alignment(&self) -> usize {
        if self.direct { DIRECT_ALIGNMENT } else { 1 }
    }
}

/// The clocks of the operating system.
pub struct RealClock {
    started: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

/// Reads a whole file into memory.
///
/// # Errors
/// Those of the file, and `InvalidData` if it has more than `limit` bytes.
pub fn read_whole(directory: &dyn Directory, name: &str, limit: u64) -> io::Result<Vec<u8>> {
    let file = directory.open_file(name, OpenFile::READ)?;
    let len = file.len()?;
    if len > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{name} has {len} bytes, at most {limit} fit"),
        ));
    }
    let mut bytes = vec![0; len as usize];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, RealDirectory, Arc<IoCounters>) {
        let folder = tempfile::tempdir().unwrap();
        let counters = Arc::new(IoCounters::default());
        let directory = RealDirectory::open(folder.path(), Arc::clone(&counters)).unwrap();
        (folder, directory, counters)
    }

    #[test]
    fn slices_are_written_one_behind_the_other_and_read_back() {
        let (_folder, directory, _) = directory();
        let file = directory.open_file("f", OpenFile::CREATE_NEW).unwrap();
        file.write_at(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")], 3, Cause::Log).unwrap();
        let many = vec![IoSlice::new(b"x"); 3000];
        file.write_durable_at(&many, 7, Cause::Log).unwrap();
        let mut bytes = [9; 9];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 9);
        assert_eq!(&bytes, b"\0\0\0abcdxx");
        assert_eq!(file.len().unwrap(), 3007);
        assert_eq!(file.read_at(&mut bytes, 3005).unwrap(), 2);
    }

    #[test]
    fn what_is_written_back_reads_as_before() {
        let (_folder, directory, _) = directory();
        let file = directory.open_file("f", OpenFile::CREATE_NEW).unwrap();
        file.write_at(&[IoSlice::new(&[7; 10_000])], 0, Cause::Log).unwrap();
        for (offset, len) in [(0, 0), (4096, 4096), (0, 1 << 40)] {
            file.write_back(offset, len).unwrap();
        }
        assert_eq!(read_whole(&directory, "f", 10_000).unwrap(), [7; 10_000]);
    }

    #[test]
    fn the_counters_tell_growth_creation_and_cause_apart() {
        let (_folder, directory, counters) = directory();
        let file = directory.open_file("f", OpenFile::CREATE_NEW).unwrap();
        file.set_len(100).unwrap();
        file.write_durable_at(&[IoSlice::new(&[1; 50])], 10, Cause::Log).unwrap();
        file.write_at(&[IoSlice::new(&[1; 50])], 80, Cause::Checkpoint).unwrap();
        file.sync_data().unwrap();
        directory.rename("f", "g").unwrap();
        directory.sync().unwrap();
        let counts = counters.counts();
        assert_eq!(counts.written_bytes[Cause::Log as usize], 50);
        assert_eq!(counts.writes[Cause::Checkpoint as usize], 1);
        assert_eq!((counts.files_created, counts.files_grown, counts.names_changed), (1, 2, 1));
        assert_eq!((counts.durable_writes, counts.data_syncs, counts.directory_syncs), (1, 1, 1));
    }

    #[test]
    fn no_name_leaves_the_directory() {
        let (_folder, directory, _) = directory();
        for name in ["", ".", "..", "../x", "a/b", "a\0b"] {
            let error = directory.open_file(name, OpenFile::CREATE_NEW).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn create_new_refuses_a_name_that_is_taken() {
        let (_folder, directory, _) = directory();
        directory.open_file("f", OpenFile::CREATE_NEW).unwrap();
        let again = directory.open_file("f", OpenFile::CREATE_NEW).err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            directory.open_file("absent", OpenFile::WRITE).err().unwrap().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let (_folder, directory, _) = directory();
        let file = directory.open_file("f", OpenFile::CREATE_NEW).unwrap();
        file.write_at(&[IoSlice::new(b"still")], 0, Cause::Other).unwrap();
        directory.remove("f").unwrap();
        let mut bytes = [0; 5];
        read_exact_at(&*file, &mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"still");
        assert!(directory.list().unwrap().is_empty());
    }

    #[test]
    fn a_read_behind_the_end_is_named() {
        let (_folder, directory, _) = directory();
        let file = directory.open_file("f", OpenFile::CREATE_NEW).unwrap();
        let error = read_exact_at(&*file, &mut [0; 4], 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
