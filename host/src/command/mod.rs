//! What a client may ask, one row a command.
//!
//! Promises: knows no socket and no protocol; every request is answered with exactly one reply (SHUTDOWN,
//! when it succeeds, and CLIENT REPLY with none). The server asks `admit` what a request is and goes by the class
//! of its row:
//!
//! ```text
//! Local  run_local                at once, on the event loop
//! Read   run_read, run_blocking   from memory on the event loop, else on a reader thread
//! Scan   run_blocking             on a reader thread
//! Write  Pipeline                 through the sequencer; reads behind it ride along
//! ```

mod access;
mod admission;
mod ahead;
mod arguments;
mod auth;
mod bitfield;
mod bits;
mod client;
mod connection;
mod context;
mod cursors;
mod debug;
mod dump;
mod engine;
mod errors;
mod float;
mod function;
mod glob;
mod info;
mod introspection;
mod key_flags;
mod keys;
mod latency;
mod lcs;
mod lookup;
mod monitor;
mod number;
mod object;
mod parameters;
mod pipeline;
mod random_key;
mod range;
mod replies;
mod scan;
mod server;
mod session;
mod slowlog;
mod strings;
mod table;
#[cfg(test)]
mod tests;
mod timing;

use access::EngineReads;
pub use admission::{Admission, admit, pause_of};
pub use ahead::Ahead;
pub use arguments::Arguments;
pub use context::{Context, EngineSummary, ServerFacts, ShutdownHandle};
use errors::{Failure, Outcome};
pub use pipeline::Pipeline;
pub use replies::Replies;
pub use session::{Caller, Protocol, Session};
pub use table::{Class, Row};
use table::{Handler, ReadHandler};
use timing::Timing;

/// What became of a read on the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// It was answered.
    Done,
    /// It would hold the event loop up: nothing was written, run it on a reader thread.
    WouldBlock,
}

/// Answers a request of class `Local`. Does not block.
pub fn run_local(
    row: &'static Row,
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) {
    let timing = Timing::begin(row, arguments, context);
    let start = replies.position();
    let outcome = match row.handler {
        Handler::Local(handler) => handler(arguments, session, context, replies),
        _ => Err(misplaced(row)),
    };
    timing.end(outcome.is_err(), row, arguments, session.caller(), context);
    refuse_if_failed(outcome, start, context, replies);
}

/// Answers a request of class `Read` if that is possible without waiting for a device; out of what was read ahead for
/// it, if something was.
pub fn run_read(
    row: &'static Row,
    arguments: Arguments<'_>,
    caller: Caller,
    context: &Context,
    ahead: &Ahead,
    replies: &mut dyn Replies,
) -> ReadOutcome {
    let timing = Timing::begin(row, arguments, context);
    let start = replies.position();
    let outcome = match row.handler {
        Handler::Read(handler) => {
            read(handler, arguments, EngineReads::from_memory(context, caller.database, ahead), replies)
        }
        _ => Err(misplaced(row)),
    };
    if matches!(outcome, Err(Failure::WouldBlock)) {
        replies.truncate(start);
        return ReadOutcome::WouldBlock;
    }
    timing.end(outcome.is_err(), row, arguments, caller, context);
    refuse_if_failed(outcome, start, context, replies);
    ReadOutcome::Done
}

/// Answers a request of class `Read` or `Scan`. May wait for a device: for reader threads.
pub fn run_blocking(
    row: &'static Row,
    arguments: Arguments<'_>,
    caller: Caller,
    context: &Context,
    replies: &mut dyn Replies,
) {
    let timing = Timing::begin(row, arguments, context);
    let start = replies.position();
    let outcome = match row.handler {
        Handler::Read(handler) => {
            read(handler, arguments, EngineReads::that_wait(context, caller.database), replies)
        }
        Handler::Scan(handler) => handler(arguments, caller.database, context, replies),
        _ => Err(misplaced(row)),
    };
    timing.end(outcome.is_err(), row, arguments, caller, context);
    refuse_if_failed(outcome, start, context, replies);
}

/// Replaces what a request has written since `start` by an error, if it failed.
fn refuse_if_failed(outcome: Outcome, start: usize, context: &Context, replies: &mut dyn Replies) {
    if let Err(failure) = outcome {
        replies.truncate(start);
        refuse(&failure, context, replies);
    }
}

fn read(
    handler: ReadHandler,
    arguments: Arguments<'_>,
    mut reads: EngineReads<'_>,
    replies: &mut dyn Replies,
) -> Outcome {
    handler(arguments, &mut reads, replies)?;
    reads.count();
    Ok(())
}

fn refuse(failure: &Failure, context: &Context, replies: &mut dyn Replies) {
    let text = failure.text();
    context.observe.errors.add(&text);
    replies.error(&text);
}

/// A request was handed to the wrong place, which is a defect of the server.
fn misplaced(row: &Row) -> Failure {
    debug_assert!(false, "{} is of class {:?}", row.name, row.class);
    Failure::Reply(format!("ERR the server has a defect: {} came to the wrong place", row.name).into())
}
