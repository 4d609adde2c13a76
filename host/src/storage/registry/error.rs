//! Why a plugin is not loaded.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use adapter_api::host::LoadError;

use crate::config::suggest;

/// Why a plugin is not loaded. All of it ends the program with exit code 3. `Display` is one line: what,
/// which file, what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum RegistryError {
    /// The folder of the executable cannot be told.
    NoExecutable(io::Error),
    /// No engine can have that name.
    BadName {
        /// The name.
        name: String,
    },
    /// No folder has the engine.
    NotFound {
        /// The engine.
        name: String,
        /// The engines that there are.
        found: Vec<String>,
        /// Where it was searched.
        folders: Vec<PathBuf>,
    },
    /// A file or folder cannot be read, or is not there.
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Somebody else could have put the file there.
    Untrusted {
        /// The file or folder that is not safe.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The file is not one of those that are pinned.
    NotPinned {
        /// The file.
        path: PathBuf,
        /// Its SHA-256.
        hash: String,
    },
    /// The file is not a plugin for this host.
    Load(LoadError),
    /// The file's name promises another engine than the one inside.
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The engine that the file's name promises.
        asked: String,
        /// The engine inside.
        says: String,
    },
    /// An earlier folder has an engine of the same name.
    Hidden {
        /// The file.
        path: PathBuf,
        /// The file that is used instead.
        first: PathBuf,
    },
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExecutable(error) => {
                write!(
                    f,
                    "cannot tell where the executable is ({error}); name the plugin folder with --plugin-dir"
                )
            }
            Self::BadName { name } => write!(
                f,
                "{name:?} is not the name of an engine: names are 1 to 32 of a-z, 0-9, _ and -; a path needs a / in it"
            ),
            Self::NotFound { name, found, folders } => not_found(f, name, found, folders),
            Self::Unreadable { path, error } => {
                write!(f, "cannot read {}: {error}; check the path and its permissions", path.display())
            }
            Self::Untrusted { path, what, remedy } => {
                write!(f, "refusing to load a plugin from {}: {what}; {remedy}", path.display())
            }
            Self::NotPinned { path, hash } => write!(
                f,
                "refusing to load the plugin {}: its SHA-256 is {hash}, which [plugins.pins] does not have for it; \
                 pin this hash if you trust the file",
                path.display()
            ),
            Self::Load(error) => error.fmt(f),
            Self::Misnamed { path, asked, says } => write!(
                f,
                "the plugin {} is named for engine {asked:?} but says that it is {says:?}; rename it to \
                 libengine_{says}.so, or give its path as the engine",
                path.display()
            ),
            Self::Hidden { path, first } => write!(
                f,
                "the plugin {} is hidden by {}, whose folder is searched first; give its path as the engine to use it",
                path.display(),
                first.display()
            ),
        }
    }
}

fn not_found(f: &mut fmt::Formatter<'_>, name: &str, found: &[String], folders: &[PathBuf]) -> fmt::Result {
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    write!(f, "there is no engine {name:?} (libengine_{name}.so) in {}", folders.join(", "))?;
    if found.is_empty() {
        return write!(f, "; no engine is there: put one there, or name its folder with --plugin-dir");
    }
    let near = suggest::nearest(name, found.iter().map(String::as_str));
    write!(f, "; there is {}{}", found.join(", "), suggest::hint(near, ""))
}

impl Error for RegistryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::NoExecutable(error) => Some(error),
            Self::Load(error) => Some(error),
            _ => None,
        }
    }
}
