//! A backup: a copy of the engine's files in a folder of its own, with a list of them.
//!
//! ```text
//! FOLDER/data/     the copy, as the engine wrote it
//! FOLDER/BACKUP    the list, written last:
//!
//! enginebay backup 1
//! engine logmap                          the engine that wrote the copy
//! format 2                               the version of its format
//! file 8192 1a2b3c4d checkpoint-0c35     bytes, CRC-32 (IEEE), and path below data/; one line for each file
//! crc32 5e6f7a8b                         of all lines above, line breaks included
//! ```
//!
//! Promises: a folder without a list is no backup; with one, everything in it is durable. A backup that was
//! changed, or lacks a file, or has one too many, is refused with the file's name before anything of it is used.
//! A backup is no data directory: no server opens it, so none changes it. Called by `cli` and by `maintenance`.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_api::environment::real::RealDirectory;
use adapter_api::host::StorageAdapter;
use adapter_api::{EngineError, StorageEngine, Watch};

const HEAD: &str = "enginebay backup 1\n";
const LIST: &str = "BACKUP";
const LIST_NEW: &str = "BACKUP.new";
const DATA: &str = "data";
/// The longest list that is read, in bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// How deep folders of an engine may lie in each other.
const DEPTH_MAX: usize = 8;
const COPY_BYTES: usize = 1 << 20;

/// Why there is no backup, or none that may be used.
#[derive(Debug)]
pub enum BackupError {
    /// The folder has something in it.
    Used(PathBuf),
    /// The engine did not make the copy.
    Engine(EngineError),
    /// The operating system refused something.
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is not what was written, or it never was a backup.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever watches ended the work.
    Interrupted,
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used(path) => {
                write!(f, "{} is there already and not empty; choose a new folder", path.display())
            }
            Self::Engine(error) => error.fmt(f),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Damaged { path, reason } => write!(f, "{} is damaged: {reason}", path.display()),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for BackupError {}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    bytes: u64,
    checksum: u32,
    /// Below the folder of the data, its parts joined by `/`.
    path: String,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The engine that wrote it.
    pub engine: String,
    /// The version of the engine's format.
    pub format: u32,
    files: Vec<Listed>,
}

impl Backup {
    /// How many bytes all files have together, as the list says.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// See `Storage::backup`.
    pub(super) fn write(
        engine: &StorageAdapter,
        folder: &Path,
        watch: &dyn Watch,
    ) -> Result<Self, BackupError> {
        let created = begin(folder)?;
        let outcome = Self::write_into(engine, folder, watch);
        if outcome.is_err()
            && let Err(error) = remove_unfinished(folder, created)
        {
            log::warn!("the unfinished backup {} could not be removed: {error}", folder.display());
        }
        outcome
    }

    fn write_into(engine: &StorageAdapter, folder: &Path, watch: &dyn Watch) -> Result<Self, BackupError> {
        let data = folder.join(DATA);
        DirBuilder::new().mode(0o700).create(&data).map_err(at(&data))?;
        let target = RealDirectory::open(&data, Arc::default()).map_err(at(&data))?;
        engine.backup(Arc::new(target), watch).map_err(BackupError::Engine)?;
        let about = engine.description();
        let mut backup = Self { engine: about.name.clone(), format: about.format, files: Vec::new() };
        let paths = files_below(&data)?;
        let lengths = paths.iter().map(|path| fs::metadata(data.join(path)).map_or(0, |about| about.len()));
        let mut progress = Progress { watch, done: 0, total: lengths.sum() };
        for path in paths {
            let (bytes, checksum) = read_through(&data.join(&path), &mut progress, &mut |_| Ok(()))?;
            backup.files.push(Listed { bytes, checksum, path });
        }
        // The engine's files are durable, but the list must not be there without the names on the way to them.
        sync_folders(&data)?;
        backup.write_list(folder)?;
        Ok(backup)
    }

    fn write_list(&self, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(LIST_NEW);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            for folder in [parent.unwrap_or(Path::new(".")), folder] {
                File::open(folder)?.sync_all()?;
            }
            fs::rename(&path, folder.join(LIST))?;
            File::open(folder)?.sync_all()
        };
        write().map_err(at(&path))
    }

    fn text(&self) -> String {
        let mut text = format!("{HEAD}engine {}\nformat {}\n", self.engine, self.format);
        for Listed { bytes, checksum, path } in &self.files {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "file {bytes} {checksum:08x} {path}");
        }
        let checksum = crc32fast::hash(text.as_bytes());
        text + &format!("crc32 {checksum:08x}\n")
    }

    /// Reads the list of a backup.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(LIST);
        let mut text = String::new();
        let file = File::open(&path).map_err(at(&path))?;
        let read = file.take(LIST_BYTES_MAX).read_to_string(&mut text);
        let damaged = |reason: &str| BackupError::Damaged { path: path.clone(), reason: reason.to_string() };
        match read {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(damaged("it is no text")),
            read => read.map_err(at(&path))?,
        };
        Self::parse(&text).ok_or_else(|| damaged("its checksum does not fit, or it is of another version"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(HEAD)?.lines();
        let engine = lines.next()?.strip_prefix("engine ")?.to_string();
        let format = lines.next()?.strip_prefix("format ")?.parse().ok()?;
        let mut files = Vec::new();
        for line in lines {
            let Some(line) = line.strip_prefix("file ") else { break };
            let (bytes, line) = line.split_once(' ')?;
            let (checksum, path) = line.split_once(' ')?;
            let checksum = u32::from_str_radix(checksum, 16).ok()?;
            files.push(Listed { bytes: bytes.parse().ok()?, checksum, path: path.to_string() });
        }
        let backup = Self { engine, format, files };
        // Written and read are the same lines, so comparing the whole text covers the checksum too.
        (backup.text() == text && backup.files.iter().all(|file| is_plain(&file.path))).then_some(backup)
    }

    /// Copies the files of the backup into an empty folder and checks each on its way. Durable when this returns.
    ///
    /// # Errors
    /// The first file that is not as it is listed. The copy is not whole then.
    pub fn copy_into(&self, folder: &Path, target: &Path, watch: &dyn Watch) -> Result<(), BackupError> {
        let data = folder.join(DATA);
        self.compare_names(&data)?;
        let mut progress = Progress { watch, done: 0, total: self.bytes() };
        for file in &self.files {
            file.copy(&data, target, &mut progress)?;
        }
        sync_folders(target)
    }
}

impl Backup {
    fn compare_names(&self, data: &Path) -> Result<(), BackupError> {
        let damaged = |path: &str, reason: &str| {
            Err(BackupError::Damaged { path: data.join(path), reason: reason.to_string() })
        };
        let found: BTreeSet<_> = files_below(data)?.into_iter().collect();
        let listed: BTreeSet<_> = self.files.iter().map(|file| file.path.clone()).collect();
        if let Some(missing) = listed.difference(&found).next() {
            return damaged(missing, "it is in the list of the backup and not there");
        }
        match found.difference(&listed).next() {
            Some(strange) => damaged(strange, "it is not in the list of the backup"),
            None => Ok(()),
        }
    }
}

impl Listed {
    fn copy(&self, from: &Path, into: &Path, progress: &mut Progress<'_>) -> Result<(), BackupError> {
        let (source, target) = (from.join(&self.path), into.join(&self.path));
        let folder = target.parent().unwrap_or(into);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target);
        let mut file = file.map_err(at(&target))?;
        let mut write = |piece: &[u8]| file.write_all(piece).map_err(at(&target));
        let (bytes, checksum) = read_through(&source, progress, &mut write)?;
        if (bytes, checksum) != (self.bytes, self.checksum) {
            let reason = match bytes == self.bytes {
                true => "its checksum is not the one in the list of the backup".to_string(),
                false => format!("it has {bytes} bytes, not {} as in the list of the backup", self.bytes),
            };
            return Err(BackupError::Damaged { path: source, reason });
        }
        file.sync_all().map_err(at(&target))
    }
}

/// Passes the bytes of a file on, piece by piece, and answers how many there are and their checksum.
fn read_through(
    path: &Path,
    progress: &mut Progress<'_>,
    piece: &mut dyn FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(u64, u32), BackupError> {
    let mut file = File::open(path).map_err(at(path))?;
    let (mut buffer, mut hasher, mut bytes) = (vec![0; COPY_BYTES], crc32fast::Hasher::new(), 0);
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hasher.finalize())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(at(path))?,
        };
        bytes += read as u64;
        hasher.update(&buffer[..read]);
        piece(&buffer[..read])?;
        progress.add(read as u64)?;
    }
}

/// Reports how many bytes of all files were read.
struct Progress<'a> {
    watch: &'a dyn Watch,
    done: u64,
    total: u64,
}

impl Progress<'_> {
    fn add(&mut self, bytes: u64) -> Result<(), BackupError> {
        self.done += bytes;
        match self.watch.progress(self.done, self.total).is_break() {
            true => Err(BackupError::Interrupted),
            false => Ok(()),
        }
    }
}

/// Creates the folder, or takes an empty one. Answers whether it was created.
fn begin(folder: &Path) -> Result<bool, BackupError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut names = fs::read_dir(folder).map_err(at(folder))?;
            if names.next().is_some() { Err(BackupError::Used(folder.to_path_buf())) } else { Ok(false) }
        }
        Err(error) => Err(at(folder)(error)),
    }
}

/// Removes what an attempt left: the list first, for without one nothing is a backup. Of a folder that was there,
/// only what lies in it.
fn remove_unfinished(folder: &Path, created: bool) -> io::Result<()> {
    let absent_is_fine = |outcome: io::Result<()>| match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for list in [LIST, LIST_NEW] {
        absent_is_fine(fs::remove_file(folder.join(list)))?;
    }
    File::open(folder)?.sync_all()?;
    absent_is_fine(fs::remove_dir_all(folder.join(DATA)))?;
    if created { fs::remove_dir(folder) } else { Ok(()) }
}

/// The paths of all files below a folder, sorted. Links and devices are no part of a copy.
fn files_below(folder: &Path) -> Result<Vec<String>, BackupError> {
    let mut files = Vec::new();
    collect(folder, "", 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let strange = |reason: &str| BackupError::Damaged { path: entry.path(), reason: reason.to_string() };
        let name = entry.file_name().into_string().map_err(|_| strange("its name is no text"))?;
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(at(folder))?;
        match (kind.is_dir(), kind.is_file()) {
            (true, _) if depth == DEPTH_MAX => return Err(strange("it lies too deep")),
            (true, _) => collect(&entry.path(), &format!("{path}/"), depth + 1, files)?,
            (_, true) if is_plain(&path) => files.push(path),
            _ => return Err(strange("it is no plain file with a plain name")),
        }
    }
    Ok(())
}

/// Makes the names of all files below a folder durable.
fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        if entry.file_type().map_err(at(folder))?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Whether a path stays where it is put, and on its line in the list.
fn is_plain(path: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(is_name) && !path.contains(|letter: char| letter.is_control())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_path_buf();
    move |source| BackupError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let file = |path: &str| Listed { bytes: 12, checksum: 0x1a2b, path: path.to_string() };
        Backup { engine: "snapshot".into(), format: 2, files: vec![file("a b"), file("folder/c")] }
    }

    #[test]
    fn the_text_of_a_list_is_the_one_drawn_and_reads_back() {
        let text = backup().text();
        let body = "enginebay backup 1\nengine snapshot\nformat 2\nfile 12 00001a2b a b\nfile 12 00001a2b folder/c\n";
        assert_eq!(text, format!("{body}crc32 {:08x}\n", crc32fast::hash(body.as_bytes())));
        assert_eq!(Backup::parse(&text), Some(backup()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_list_is_noticed() {
        let text = backup().text();
        for position in 0..text.len() {
            assert_eq!(Backup::parse(&text[..position]), None, "cut at {position}");
            for bit in 0..7 {
                let mut flipped = text.clone().into_bytes();
                flipped[position] ^= 1 << bit;
                assert_eq!(Backup::parse(str::from_utf8(&flipped).unwrap()), None, "{position}.{bit}");
            }
        }
    }

    #[test]
    fn what_failed_leaves_nothing_and_the_next_attempt_may_have_the_folder() {
        for created in [false, true] {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("backup");
            assert!(begin(&folder).unwrap());
            fs::create_dir_all(folder.join(DATA).join("folder")).unwrap();
            for file in [LIST, LIST_NEW, "data/folder/file"] {
                fs::write(folder.join(file), "x").unwrap();
            }
            remove_unfinished(&folder, created).unwrap();
            assert_eq!(begin(&folder).unwrap(), created);
        }
    }

    #[test]
    fn lengths_of_a_list_may_have_any_sum() {
        let mut backup = backup();
        backup.files.iter_mut().for_each(|file| file.bytes = u64::MAX);
        assert_eq!(Backup::parse(&backup.text()).unwrap().bytes(), u64::MAX);
    }

    #[test]
    fn a_list_names_nothing_outside_its_folder() {
        for path in ["../x", "a/../../x", "/etc/passwd", "a//b", ".", "", "a/"] {
            let mut backup = backup();
            backup.files[0].path = path.to_string();
            assert_eq!(Backup::parse(&backup.text()), None, "{path}");
        }
    }
}
