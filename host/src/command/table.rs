//! Every command, one row each.

/// Where a command is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Needs no data: answered by the event loop at once.
    Local,
    /// Point reads: answered by the event loop from memory, else by a reader thread.
    Read,
    /// Long reads: always on a reader thread.
    Scan,
    /// Goes through the sequencer.
    Write,
}

/// One command.
pub struct Row {
    /// Its name in lower case.
    pub name: &'static str,
    /// How many words it takes, the name included; at least that many if negative.
    pub arity: i32,
    /// The flags that COMMAND shows.
    pub flags: &'static [&'static str],
    /// The place of the first key; 0 if it has none.
    pub first_key: i32,
    /// The place of the last key, from the end if negative.
    pub last_key: i32,
    /// How far one key is from the next.
    pub step: i32,
    /// Where it is worked out.
    pub class: Class,
    /// What it does, in a sentence.
    pub summary: &'static str,
}
