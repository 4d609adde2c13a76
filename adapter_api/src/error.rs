//! What can go wrong in an engine, as the decisions its caller makes.
//!
//! Promises: one variant exists per decision; `Display` is a sentence for an operator. Called by every
//! engine (to fail) and by the host (to decide). The numbers that cross the border are in `abi::types`.

use std::error::Error;
use std::fmt;
use std::io;

/// The result of every call to an engine.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Why an engine did not do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// The request is one this engine will never accept, or was cancelled by its caller. Nothing changed.
    Rejected {
        /// What was wrong with it.
        message: String,
    },
    /// There is no room now. Nothing changed; the same request may pass when there is room.
    Full {
        /// What is full, and what would free it.
        message: String,
    },
    /// The outcome is unknown. No further write is admitted until the engine is reopened; reads of what
    /// was visible go on.
    Failed {
        /// What the engine was doing.
        message: String,
        /// What the layer below said.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Stored bytes are not what was written.
    Corrupt {
        /// The file, relative to the engine's directory.
        file: String,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong there.
        message: String,
    },
    /// The read view outlived the bound that the engine states for views; take a new one.
    ViewTooOld,
    /// The engine does not have this primitive. It says so in its capabilities too.
    Unsupported {
        /// The primitive, by the name of its method.
        what: String,
    },
}

impl EngineError {
    /// A request this engine will never accept.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::Rejected { message: message.into() }
    }

    /// No room now.
    pub fn full(message: impl Into<String>) -> Self {
        Self::Full { message: message.into() }
    }

    /// An unknown outcome, with nothing known of the cause.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), source: None }
    }

    /// An unknown outcome, caused by `source` while doing what `message` says.
    pub fn failed_by(message: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed { message: message.into(), source: Some(Box::new(source)) }
    }

    /// Stored bytes at `position` of `file` are not what was written.
    pub fn corrupt(file: impl Into<String>, position: u64, message: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), position, message: message.into() }
    }

    /// A primitive that the engine does not have.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    /// Whether the engine promises that the refused request changed nothing.
    pub fn changed_nothing(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::Full { .. } | Self::Unsupported { .. })
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { message } => write!(f, "rejected: {message}"),
            Self::Full { message } => write!(f, "no room: {message}"),
            Self::Failed { message, source: None } => write!(f, "failed: {message}"),
            Self::Failed { message, source: Some(source) } => write!(f, "failed: {message}: {source}"),
            Self::Corrupt { file, position, message } => {
                write!(f, "damaged: file {file} at byte {position}: {message}")
            }
            Self::ViewTooOld => write!(f, "the read view is too old; take a new one"),
            Self::Unsupported { what } => write!(f, "this engine does not support {what}"),
        }
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { source: Some(source), .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        Self::failed_by("an operation on a file did not succeed", error)
    }
}
