//! What came of a case.

use adapter_api::EngineError;

/// What an engine did that it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, in a sentence or two.
    pub message: String,
    /// The seed with which it is found again, where there are dice.
    pub seed: Option<u64>,
    /// The smallest way to it that was found, a line for each step.
    pub reproducer: Option<String>,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The fact holds as far as it was looked at; what was looked at, if that is worth a word.
    Passed(String),
    /// The engine does something else.
    Failed(Finding),
    /// The engine does not claim to have what the case is about; what it lacks.
    NotOffered(String),
    /// Nobody can say, here or in this way; why.
    NotJudged(String),
}

/// Why a case ended before it passed.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The engine did something that it must not.
    Finding(Finding),
    /// It does not have what the case is about.
    NotOffered(String),
    /// Nobody can say.
    NotJudged(String),
}

/// Ends a case: what was looked at, or why it stopped.
pub type Verdict = Result<String, Stop>;

impl Stop {
    /// The same with the seed that led to it.
    pub fn with_seed(mut self, seed: u64) -> Self {
        if let Self::Finding(finding) = &mut self {
            finding.seed = Some(seed);
        }
        self
    }
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Finding(Finding { message, seed: None, reproducer: None })
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Ok(looked_at) => Self::Passed(looked_at),
            Err(Stop::Finding(finding)) => Self::Failed(finding),
            Err(Stop::NotOffered(what)) => Self::NotOffered(what),
            Err(Stop::NotJudged(why)) => Self::NotJudged(why),
        }
    }
}

/// Says what was being done when the engine answered an error.
pub fn failed(doing: &str) -> impl FnOnce(EngineError) -> String {
    let doing = doing.to_string();
    move |error| format!("{doing}: {error}")
}

/// A finding unless the condition holds.
///
/// # Errors
/// The message, if it does not.
pub fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

/// So many lives, in words.
pub fn lives(count: u64) -> String {
    if count == 1 { "1 life".to_string() } else { format!("{count} lives") }
}

/// A key or a value for people: short, and safe for a terminal.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    match bytes.len() {
        len if len > SHOWN => format!("{}… ({len} bytes)", bytes[..SHOWN].escape_ascii()),
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
