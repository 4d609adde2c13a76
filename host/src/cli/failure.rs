//! Why a command did not succeed, and the exit code that says so to scripts.

use std::fmt;
use std::io;

use adapter_api::host::ClaimError;

use crate::config::{ConfigError, Origin};
use crate::server::BindError;
use crate::storage::registry::RegistryError;

/// Why a command did not succeed. Each variant has an exit code of its own; `Display` is one line.
#[derive(Debug)]
pub enum Failure {
    /// Something did not go as it should, though nothing the operator gave was at fault.
    Check(String),
    /// The command line, the configuration, or an address in it.
    Usage(String),
    /// The plugin is refused.
    Plugin {
        /// Who named it.
        origin: Origin,
        /// Why it is refused.
        error: RegistryError,
    },
    /// The data directory, or the data in it, is refused.
    Data(String),
    /// A signal ended the work.
    Interrupted {
        /// Its number.
        signal: i32,
    },
    /// A process that did a part of the work ended so.
    Ended {
        /// What it ended with, and this one will.
        code: u8,
        /// Why.
        message: String,
    },
}

impl Failure {
    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Check(_) => 1,
            Self::Usage(_) => 2,
            Self::Plugin { .. } => 3,
            Self::Data(_) => 4,
            // As if the signal had not been caught.
            Self::Interrupted { signal } => 128_u8.saturating_add(*signal as u8),
            Self::Ended { code, .. } => *code,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(message)
            | Self::Usage(message)
            | Self::Data(message)
            | Self::Ended { message, .. } => f.write_str(message),
            Self::Interrupted { .. } => f.write_str("interrupted; what was not finished is removed"),
            Self::Plugin { origin: Origin::Default, error } => error.fmt(f),
            Self::Plugin { origin, error } => write!(f, "{origin}: {error}"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Plugin { origin: Origin::Default, error }
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<ClaimError> for Failure {
    fn from(error: ClaimError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Check(format!("cannot write the answer: {error}"))
    }
}
