//! Where a value came from, and what is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the value of a setting came from. Later sources win: default, file, flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file, as it was named.
        file: Arc<Path>,
        /// The line, counted from 1.
        line: usize,
    },
    /// A flag of the command line, such as `--listen`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Why the configuration is refused. All of it ends the program with exit code 2, so the variants only keep
/// apart what the message needs. `Display` is one line: where, what, and what would be taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Something is wrong at one place.
    Refused {
        /// The place.
        origin: Origin,
        /// What is wrong, and what to write instead.
        message: String,
    },
}

impl ConfigError {
    /// Something is wrong at one place.
    pub fn refused(origin: &Origin, message: impl Into<String>) -> Self {
        Self::Refused { origin: origin.clone(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, reason } => {
                write!(f, "cannot read the configuration file {}: {reason}", file.display())
            }
            Self::Refused { origin: Origin::Default, message } => f.write_str(message),
            Self::Refused { origin, message } => write!(f, "{origin}: {message}"),
        }
    }
}

impl std::error::Error for ConfigError {}
