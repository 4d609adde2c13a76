//! What a client may ask, one row a command.
//!
//! Promises: knows no socket and no protocol; every request is answered with exactly one reply (SHUTDOWN
//! alone, when it succeeds, with none). The server finds the row of a request with `resolve` and goes by its
//! class:
//!
//! ```text
//! Local  run_local                at once, on the event loop
//! Read   run_read, run_blocking   from memory on the event loop, else on a reader thread
//! Scan   run_blocking             on a reader thread
//! Write  Pipeline                 through the sequencer; reads behind it ride along
//! ```

mod arguments;
mod context;
mod cursors;
mod pipeline;
mod replies;
mod session;
mod table;

pub use arguments::Arguments;
pub use context::{Context, EngineSummary, ServerFacts, ShutdownHandle};
pub use pipeline::Pipeline;
pub use replies::Replies;
pub use session::{Protocol, Session};
pub use table::{Class, Row};

/// What became of a read on the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// It was answered.
    Done,
    /// Only a device can tell: nothing was written, run it on a reader thread.
    WouldBlock,
}

/// Finds the row of a request and checks arity and limits. On refusal the error reply has been written.
pub fn resolve(
    arguments: Arguments<'_>,
    context: &Context,
    replies: &mut dyn Replies,
) -> Option<&'static Row> {
    let _ = (arguments, context);
    replies.error("ERR unknown command");
    None
}

/// Answers a request of class `Local`.
pub fn run_local(
    row: &'static Row,
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) {
    let _ = (row, arguments, session, context, replies);
}

/// Answers a request of class `Read` without waiting for a device, if that is possible.
pub fn run_read(
    row: &'static Row,
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> ReadOutcome {
    let _ = (row, arguments, database, context, replies);
    ReadOutcome::WouldBlock
}

/// Answers a request of class `Read` or `Scan`. May wait for a device: for reader threads.
pub fn run_blocking(
    row: &'static Row,
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) {
    let _ = (row, arguments, database, context, replies);
}
