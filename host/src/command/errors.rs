//! Why a command did not do what it was asked, and what its client is told. The one place where errors of
//! the engine become replies.
//!
//! | engine | a write says | a read says |
//! |---|---|---|
//! | `Rejected` | `ERR` nothing changed, why | `ERR` why |
//! | `Full` | `FULL` nothing changed, what is full | `ERR` why |
//! | `Unsupported` | `ERR` nothing changed, what is missing | `ERR` what is missing |
//! | `ViewTooOld` | — | `ERR` read less at once |
//! | `Corrupt` | `UNKNOWN` whether it happened | `ERR` file and position |
//! | `Failed` | `UNKNOWN` whether it happened | `ERR` why |

use std::borrow::Cow;

use adapter_api::EngineError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client gets this error, which begins with its code.
    Reply(Cow<'static, str>),
    /// The engine did not answer a read, or did not take a mutation into a batch.
    Engine(EngineError),
    /// It takes a device or long work, and this thread does not wait for either.
    WouldBlock,
}

/// What a handler returns.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Failure {
    /// An error reply with a fixed text.
    pub(super) const fn fixed(text: &'static str) -> Self {
        Self::Reply(Cow::Borrowed(text))
    }

    /// What the client is told.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Reply(text) => Cow::Borrowed(text),
            Self::Engine(error) => Cow::Owned(of_read(error)),
            Self::WouldBlock => Cow::Borrowed("ERR the command takes too long here"),
        }
    }
}

/// The bytes of a client's word that an error shows.
pub(super) const WORD_BYTES_SHOWN: usize = 128;

pub(super) const SYNTAX: Failure = Failure::fixed("ERR syntax error");
pub(super) const NOT_AN_INTEGER: Failure = Failure::fixed("ERR value is not an integer or out of range");
pub(super) const OVERFLOW: Failure = Failure::fixed("ERR increment or decrement would overflow");
pub(super) const DECREMENT_OVERFLOW: Failure = Failure::fixed("ERR decrement would overflow");
pub(super) const STRING_TOO_LONG: Failure =
    Failure::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
pub(super) const NO_SUCH_KEY: Failure = Failure::fixed("ERR no such key");
pub(super) const SAME_OBJECT: Failure = Failure::fixed("ERR source and destination objects are the same");
pub(super) const NO_SUCH_DATABASE: Failure = Failure::fixed("ERR DB index is out of range");
pub(super) const NOT_IN_INT_RANGE: Failure =
    Failure::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
pub(super) const NO_EXPIRY: Failure =
    Failure::fixed("ERR this server does not keep expiry times yet; store the key without one");
pub(super) const INVALID_CURSOR: Failure = Failure::fixed("ERR invalid cursor");
pub(super) const PATTERN_TOO_COSTLY: Failure =
    Failure::fixed("ERR the pattern takes too many steps to match a key; use fewer wildcards");

/// The command, or `command|subcommand`, took another number of arguments.
pub(super) fn wrong_arity(name: &str) -> Failure {
    Failure::Reply(format!("ERR wrong number of arguments for '{name}' command").into())
}

/// A word of a client in an error: its beginning, so that no reply is as long as a stranger likes.
pub(super) fn shown(word: &[u8], bytes_max: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(&word[..word.len().min(bytes_max)])
}

/// The command has no such subcommand.
pub(super) fn unknown_subcommand(command: &str, subcommand: &[u8]) -> Failure {
    let shown = shown(subcommand, WORD_BYTES_SHOWN);
    let command = command.to_ascii_uppercase();
    Failure::Reply(format!("ERR unknown subcommand '{shown}'. Try {command} HELP.").into())
}

/// The command has no such subcommand, or the subcommand takes another number of arguments.
pub(super) fn unknown_subcommand_or_arity(command: &str, subcommand: &[u8]) -> Failure {
    let shown = shown(subcommand, WORD_BYTES_SHOWN);
    let command = command.to_ascii_uppercase();
    let text =
        format!("ERR unknown subcommand or wrong number of arguments for '{shown}'. Try {command} HELP.");
    Failure::Reply(text.into())
}

/// What a client is told whose write the engine did not do.
pub(super) fn of_write(error: &EngineError) -> String {
    match error {
        EngineError::Rejected { message } => format!("ERR nothing changed: {message}"),
        EngineError::Full { message } => format!("FULL nothing changed, there is no room: {message}"),
        EngineError::Unsupported { what } => {
            format!("ERR nothing changed: this engine does not support {what}")
        }
        _ => format!("UNKNOWN whether the write happened is not known, read before you try again: {error}"),
    }
}

/// What a client is told whose read the engine did not answer.
pub(super) fn of_read(error: &EngineError) -> String {
    match error {
        EngineError::ViewTooOld => {
            "ERR the read took longer than the engine keeps a point in time; read less at once".to_string()
        }
        EngineError::Rejected { message } => format!("ERR {message}"),
        _ => format!("ERR {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_that_changed_nothing_says_so() {
        let told = |error| of_write(&error);
        assert_eq!(told(EngineError::rejected("too large")), "ERR nothing changed: too large");
        assert!(told(EngineError::full("the disk")).starts_with("FULL nothing changed"));
        assert!(told(EngineError::unsupported("x")).starts_with("ERR nothing changed"));
        for error in [EngineError::failed("x"), EngineError::corrupt("f", 1, "x"), EngineError::ViewTooOld] {
            assert!(told(error).starts_with("UNKNOWN "));
        }
    }
}
