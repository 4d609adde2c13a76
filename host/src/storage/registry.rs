//! Finds plugins, and decides which files may be loaded into this process.
//!
//! Loading a plugin runs its code with all the rights of the server, so a file is loaded only if nobody but
//! root and the server's own user could have put it there. Promises, for every file that is loaded:
//!
//! - It was named by a path, or found as `libengine_NAME.so` in one of the plugin folders, the first that has
//!   it; `NAME` is `[a-z0-9_-]{1,32}`, so a name never leads out of a folder.
//! - Symbolic links are resolved first, for names and for paths: what is checked, hashed and loaded is the
//!   file that the link leads to, in the folder where that file really is. So a link lends no trust, and
//!   folders made of links (package managers do this) work.
//! - It is a regular file. It and its folder belong to root or to the server's user, and are not writable by
//!   others; nor is any folder above, unless it is sticky, as `/tmp` is. Writable by a *group* passes: the
//!   owner chose the group, and a umask of 002 is the custom on many systems.
//! - It is not inside the data directory, which the server itself writes.
//! - If anything is pinned, its SHA-256 is the one pinned for its name.
//!
//! Between check and load only root and the server's user can change the file; against those no check helps.
//! Called by `cli`. Every refusal is one line and ends the program with exit code 3.

mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use adapter_api::host::LoadedPlugin;
use sha2::{Digest, Sha256};

pub use error::RegistryError;

/// The longest name of an engine, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// How much of a file is hashed at a time.
const HASH_BYTES: usize = 64 << 10;

/// The permission bit that lets others write.
const OTHERS_WRITE: u32 = 0o002;

/// The permission bit of a folder in which only owners rename and remove files.
const STICKY: u32 = 0o1000;

/// The plugin folders and what is pinned.
#[derive(Debug, Clone)]
pub struct Registry {
    folders: Vec<PathBuf>,
    pins: BTreeMap<String, String>,
    data_directory: Option<PathBuf>,
    user: u32,
}

/// A plugin that passed every check and was loaded.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The code.
    pub loaded: LoadedPlugin,
    /// The file, links resolved.
    pub path: PathBuf,
}

/// A file in a plugin folder that has a plugin's name, and what became of the try to load it.
#[derive(Debug)]
pub struct Found {
    /// The name in the file's name.
    pub name: String,
    /// The file, as found.
    pub path: PathBuf,
    /// The plugin, or why it is refused.
    pub plugin: Result<Plugin, RegistryError>,
}

impl Registry {
    /// A registry over `folders`; over the folder of the executable, links resolved, if there are none.
    ///
    /// # Errors
    /// If the executable's folder cannot be told.
    pub fn new(folders: &[PathBuf], pins: BTreeMap<String, String>) -> Result<Self, RegistryError> {
        let folders = match folders {
            [] => {
                let executable = std::env::current_exe().and_then(|path| path.canonicalize());
                let executable = executable.map_err(RegistryError::NoExecutable)?;
                executable.parent().map(Path::to_path_buf).into_iter().collect()
            }
            given => given.to_vec(),
        };
        Ok(Self { folders, pins, data_directory: None, user: rustix::process::geteuid().as_raw() })
    }

    /// Refuses plugins inside `data_directory`.
    pub fn outside(self, data_directory: &Path) -> Self {
        Self { data_directory: data_directory.canonicalize().ok(), ..self }
    }

    /// Loads the engine that `engine` says: a path if it has a `/` or ends in `.so`, else a name. Blocks while
    /// the file is read.
    ///
    /// # Errors
    /// Why it is not loaded, in one line: what, which file, what to do.
    pub fn load(&self, engine: &str) -> Result<Plugin, RegistryError> {
        if engine.contains('/') || engine.ends_with(".so") {
            return self.load_file(Path::new(engine));
        }
        if !is_engine_name(engine) {
            return Err(RegistryError::BadName { name: engine.to_string() });
        }
        let path = self.folders.iter().map(|folder| folder.join(file_name(engine))).find(|path| exists(path));
        let path = path.ok_or_else(|| self.not_found(engine))?;
        self.load_named(engine, &path)
    }

    /// Loads the plugin at `path`, under the same checks. Any file name will do.
    ///
    /// # Errors
    /// As for [`Registry::load`].
    pub fn load_file(&self, path: &Path) -> Result<Plugin, RegistryError> {
        let path = self.check_file(path)?;
        self.check_pin(engine_name(&path), &path)?;
        let loaded = LoadedPlugin::load(&path).map_err(RegistryError::Load)?;
        Ok(Plugin { loaded, path })
    }

    /// Tries to load every plugin in the folders, ordered by name.
    ///
    /// # Errors
    /// If a folder cannot be listed. A plugin that is refused is listed with the reason.
    pub fn survey(&self) -> Result<Vec<Found>, RegistryError> {
        let mut found: Vec<Found> = Vec::new();
        for (name, path) in self.list()? {
            let first = found.iter().find(|earlier| earlier.name == name);
            let plugin = match first {
                Some(first) => Err(RegistryError::Hidden { path: path.clone(), first: first.path.clone() }),
                None => self.load_named(&name, &path),
            };
            found.push(Found { name, path, plugin });
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// The folders that are searched, in this order.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The name and the path of every plugin file, folder by folder, ordered by name in each. Loads nothing.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn list(&self) -> Result<Vec<(String, PathBuf)>, RegistryError> {
        let mut all = Vec::new();
        for folder in &self.folders {
            let unreadable = |error| RegistryError::Unreadable { path: folder.clone(), error };
            let mut paths = Vec::new();
            for entry in fs::read_dir(folder).map_err(unreadable)? {
                paths.push(entry.map_err(unreadable)?.path());
            }
            paths.sort();
            all.extend(paths.into_iter().filter_map(|path| Some((engine_name(&path)?.to_string(), path))));
        }
        Ok(all)
    }

    fn load_named(&self, name: &str, path: &Path) -> Result<Plugin, RegistryError> {
        let plugin = self.load_file(path)?;
        let says = &plugin.loaded.description().name;
        if says != name {
            return Err(RegistryError::Misnamed {
                path: path.to_path_buf(),
                asked: name.to_string(),
                says: says.clone(),
            });
        }
        Ok(plugin)
    }

    fn not_found(&self, name: &str) -> RegistryError {
        let mut found: Vec<_> = match self.list() {
            Ok(list) => list.into_iter().map(|(name, _)| name).collect(),
            Err(error) => return error,
        };
        found.sort();
        found.dedup();
        RegistryError::NotFound { name: name.to_string(), found, folders: self.folders.clone() }
    }

    /// Resolves links and checks who could have written the file. Returns where it really is.
    fn check_file(&self, path: &Path) -> Result<PathBuf, RegistryError> {
        let unreadable = |path: &Path| {
            let path = path.to_path_buf();
            move |error| RegistryError::Unreadable { path, error }
        };
        let real = path.canonicalize().map_err(unreadable(path))?;
        let metadata = fs::metadata(&real).map_err(unreadable(&real))?;
        if !metadata.is_file() {
            return Err(untrusted(&real, "it is not a regular file", "name the shared library itself"));
        }
        self.check_owned(&real, &metadata)?;
        for (distance, folder) in real.ancestors().skip(1).enumerate() {
            let metadata = fs::metadata(folder).map_err(unreadable(folder))?;
            match distance {
                0 => self.check_owned(folder, &metadata)?,
                _ if metadata.permissions().mode() & STICKY == 0 => check_not_writable(folder, &metadata)?,
                _ => {}
            }
        }
        if self.data_directory.as_ref().is_some_and(|data| real.starts_with(data)) {
            let remedy = "move it to a folder that the server does not write";
            return Err(untrusted(&real, "it lies inside the data directory", remedy));
        }
        Ok(real)
    }

    fn check_owned(&self, path: &Path, metadata: &Metadata) -> Result<(), RegistryError> {
        let owner = metadata.uid();
        if owner != 0 && owner != self.user {
            let what = format!(
                "it belongs to user {owner}, neither to root nor to user {} who runs this",
                self.user
            );
            return Err(untrusted(path, &what, "change its owner (chown)"));
        }
        check_not_writable(path, metadata)
    }

    /// Checks the hash, if anything is pinned. A file whose name says no engine must have one of the hashes.
    fn check_pin(&self, name: Option<&str>, path: &Path) -> Result<(), RegistryError> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let hash =
            sha256(path).map_err(|error| RegistryError::Unreadable { path: path.to_path_buf(), error })?;
        let pinned = match name {
            Some(name) => self.pins.get(name) == Some(&hash),
            None => self.pins.values().any(|pin| *pin == hash),
        };
        if pinned { Ok(()) } else { Err(RegistryError::NotPinned { path: path.to_path_buf(), hash }) }
    }
}

fn untrusted(path: &Path, what: &str, remedy: &str) -> RegistryError {
    RegistryError::Untrusted { path: path.to_path_buf(), what: what.to_string(), remedy: remedy.to_string() }
}

fn check_not_writable(path: &Path, metadata: &Metadata) -> Result<(), RegistryError> {
    if metadata.permissions().mode() & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(untrusted(path, "everybody may write to it", &format!("run `chmod o-w {}`", path.display())))
}

/// Whether something has that name, be it a link that leads nowhere: such a link deserves a message.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether `name` may be the name of an engine: `[a-z0-9_-]{1,32}`.
pub fn is_engine_name(name: &str) -> bool {
    let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter)
}

/// The name of the file in which the engine `name` is found.
fn file_name(name: &str) -> String {
    format!("libengine_{name}.so")
}

/// The engine's name in the name of a plugin file.
fn engine_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_prefix("libengine_")?.strip_suffix(".so")?;
    is_engine_name(name).then_some(name)
}

/// The SHA-256 of a file, in lower-case hexadecimal. Blocks while it is read.
///
/// # Errors
/// If the file cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = BufReader::with_capacity(HASH_BYTES, File::open(path)?);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
