//! Errors on the border: numbers and texts, and their translation in both directions.

use std::error::Error;
use std::io;

use abi_stable::StableAbi;
use abi_stable::std_types::{RBox, RErr, ROk, RResult, RString};

use crate::error::EngineError;

/// What an engine answers; boxed, because the happy path should be small.
pub(crate) type AbiResult<T> = RResult<T, RBox<AbiError>>;
/// What a file or a directory answers.
pub(crate) type AbiIoResult<T> = RResult<T, RBox<AbiIoError>>;

// The numbers are frozen; new ones are appended. A number that is not known here means `Failed`.
const REJECTED: u32 = 1;
const FULL: u32 = 2;
const FAILED: u32 = 3;
const CORRUPT: u32 = 4;
const VIEW_TOO_OLD: u32 = 5;
const UNSUPPORTED: u32 = 6;
const PANICKED: u32 = 7;

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiError {
    code: u32,
    position: u64,
    message: RString,
    file: RString,
}

impl AbiError {
    fn new(code: u32, message: impl Into<RString>) -> Self {
        Self { code, position: 0, message: message.into(), file: RString::new() }
    }

    /// The answer to a call that the engine does not have.
    pub(crate) fn unsupported<T>(what: &str) -> AbiResult<T> {
        RErr(RBox::new(Self::new(UNSUPPORTED, what)))
    }

    /// The answer to a call that panicked.
    pub(crate) fn panicked<T>(message: String) -> AbiResult<T> {
        RErr(RBox::new(Self::new(PANICKED, message)))
    }

    /// Whether the code behind the border panicked.
    pub(crate) fn is_panic(&self) -> bool {
        self.code == PANICKED
    }
}

impl From<EngineError> for AbiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Rejected { message } => Self::new(REJECTED, message),
            EngineError::Full { message } => Self::new(FULL, message),
            EngineError::Failed { message, source } => {
                Self::new(FAILED, with_sources(message, source.as_deref().map(|source| source as _)))
            }
            EngineError::Corrupt { file, position, message } => {
                Self { position, file: file.into(), ..Self::new(CORRUPT, message) }
            }
            EngineError::ViewTooOld => Self::new(VIEW_TOO_OLD, ""),
            EngineError::Unsupported { what } => Self::new(UNSUPPORTED, what),
        }
    }
}

impl From<AbiError> for EngineError {
    fn from(error: AbiError) -> Self {
        let message = String::from(error.message);
        match error.code {
            REJECTED => Self::Rejected { message },
            FULL => Self::Full { message },
            CORRUPT => Self::Corrupt { file: error.file.into(), position: error.position, message },
            VIEW_TOO_OLD => Self::ViewTooOld,
            UNSUPPORTED => Self::Unsupported { what: message },
            _ => Self::failed(message),
        }
    }
}

/// A message with the texts of its sources behind it: sources themselves do not cross the border.
pub(crate) fn with_sources(mut message: String, mut next: Option<&(dyn Error + 'static)>) -> String {
    while let Some(source) = next {
        message = format!("{message}: {source}");
        next = source.source();
    }
    message
}

pub(crate) fn to_abi<T>(result: Result<T, EngineError>) -> AbiResult<T> {
    match result {
        Ok(value) => ROk(value),
        Err(error) => RErr(RBox::new(error.into())),
    }
}

pub(crate) fn from_abi<T>(result: AbiResult<T>) -> Result<T, EngineError> {
    match result {
        ROk(value) => Ok(value),
        RErr(error) => Err(RBox::into_inner(error).into()),
    }
}

/// Every kind of I/O error that is told apart; its number on the border is its place, counted from 1. New
/// ones are appended; 0 and numbers that are not known here mean `Other`.
const IO_KINDS: [io::ErrorKind; 16] = [
    io::ErrorKind::NotFound,
    io::ErrorKind::AlreadyExists,
    io::ErrorKind::StorageFull,
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::Unsupported,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::InvalidData,
    io::ErrorKind::Interrupted,
    io::ErrorKind::WouldBlock,
    io::ErrorKind::TimedOut,
    io::ErrorKind::QuotaExceeded,
    io::ErrorKind::NotADirectory,
    io::ErrorKind::IsADirectory,
    io::ErrorKind::DirectoryNotEmpty,
    io::ErrorKind::WriteZero,
];

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiIoError {
    /// The number of the operating system, or 0 if the error is not its.
    os_code: i32,
    kind: u32,
    message: RString,
}

impl From<io::Error> for AbiIoError {
    fn from(error: io::Error) -> Self {
        let kind = IO_KINDS.iter().position(|kind| *kind == error.kind()).map_or(0, |place| place as u32 + 1);
        let message = if error.raw_os_error().is_some() { String::new() } else { error.to_string() };
        Self { os_code: error.raw_os_error().unwrap_or(0), kind, message: message.into() }
    }
}

impl From<AbiIoError> for io::Error {
    fn from(error: AbiIoError) -> Self {
        if error.os_code != 0 {
            return Self::from_raw_os_error(error.os_code);
        }
        let place = (error.kind as usize).checked_sub(1);
        let kind = place.and_then(|place| IO_KINDS.get(place)).copied().unwrap_or(io::ErrorKind::Other);
        Self::new(kind, String::from(error.message))
    }
}

pub(crate) fn io_to_abi<T>(result: io::Result<T>) -> AbiIoResult<T> {
    match result {
        Ok(value) => ROk(value),
        Err(error) => RErr(RBox::new(error.into())),
    }
}

pub(crate) fn io_from_abi<T>(result: AbiIoResult<T>) -> io::Result<T> {
    match result {
        ROk(value) => Ok(value),
        RErr(error) => Err(RBox::into_inner(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_error_comes_back_as_itself() {
        let errors = [
            EngineError::rejected("r"),
            EngineError::full("f"),
            EngineError::failed("x"),
            EngineError::corrupt("file", 7, "c"),
            EngineError::ViewTooOld,
            EngineError::unsupported("u"),
        ];
        for error in errors {
            let text = format!("{error:?}");
            assert_eq!(format!("{:?}", EngineError::from(AbiError::from(error))), text);
        }
    }

    #[test]
    fn the_texts_of_sources_cross() {
        let error = EngineError::failed_by("sync of the log", io::Error::other("device gone"));
        assert_eq!(
            EngineError::from(AbiError::from(error)).to_string(),
            "failed: sync of the log: device gone"
        );
    }

    #[test]
    fn an_unknown_number_means_failed() {
        let error = EngineError::from(AbiError::new(99, "from the future"));
        assert!(matches!(error, EngineError::Failed { .. }));
    }

    #[test]
    fn io_errors_keep_their_kind_and_the_number_of_the_operating_system() {
        let full = io::Error::from(AbiIoError::from(io::Error::from_raw_os_error(28)));
        assert_eq!((full.kind(), full.raw_os_error()), (io::ErrorKind::StorageFull, Some(28)));
        for kind in IO_KINDS {
            let error = io::Error::from(AbiIoError::from(io::Error::new(kind, "text")));
            assert_eq!((error.kind(), error.to_string()), (kind, "text".to_string()));
        }
    }
}
