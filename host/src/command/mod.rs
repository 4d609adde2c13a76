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

mod access;
mod arguments;
mod bitfield;
mod bits;
mod connection;
mod context;
mod cursors;
mod dump;
mod engine;
mod errors;
mod float;
mod glob;
mod info;
mod introspection;
mod keys;
mod lcs;
mod lzf;
mod number;
mod object;
mod pipeline;
mod random_key;
mod range;
mod replies;
mod scan;
mod server;
mod session;
mod strings;
mod table;
#[cfg(test)]
mod tests;

use adapter_api::Capabilities;

use crate::storage::keyspace::USER_KEY_BYTES_MAX;
use access::EngineReads;
pub use arguments::Arguments;
pub use context::{Context, EngineSummary, ServerFacts, ShutdownHandle};
use errors::{Failure, Outcome, STRING_TOO_LONG};
pub use pipeline::Pipeline;
pub use replies::Replies;
pub use session::{Protocol, Session};
pub use table::{Class, Row};
use table::{Handler, ReadHandler};

/// What became of a read on the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// It was answered.
    Done,
    /// It would hold the event loop up: nothing was written, run it on a reader thread.
    WouldBlock,
}

/// Finds the row of a request and checks arity and limits. On refusal the error reply has been written.
pub fn resolve(
    arguments: Arguments<'_>,
    context: &Context,
    replies: &mut dyn Replies,
) -> Option<&'static Row> {
    context.observe.counters.commands_processed.add(1);
    let resolved = match table::find(arguments.word(0)) {
        None => Err(unknown_command(arguments)),
        Some(row) if !row.takes(arguments.len()) => Err(errors::wrong_arity(row.name)),
        Some(row) => check_lengths(row, arguments, context).map(|()| row),
    };
    match resolved {
        Err(failure) => {
            refuse(&failure, context, replies);
            None
        }
        Ok(row) => {
            let several_keys = row.class == Class::Read && arguments.len() > 2;
            let in_sequencer = several_keys && !context.storage.has(Capabilities::READ_VIEW);
            Some(if in_sequencer { row.in_sequencer() } else { row })
        }
    }
}

/// Answers a request of class `Local`. Does not block.
pub fn run_local(
    row: &'static Row,
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) {
    let start = replies.position();
    let outcome = match row.handler {
        Handler::Local(handler) => handler(arguments, session, context, replies),
        _ => Err(misplaced(row)),
    };
    if let Err(failure) = outcome {
        replies.truncate(start);
        refuse(&failure, context, replies);
    }
}

/// Answers a request of class `Read` if that is possible without waiting for a device.
pub fn run_read(
    row: &'static Row,
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> ReadOutcome {
    let start = replies.position();
    let outcome = match row.handler {
        Handler::Read(handler) => {
            read(handler, arguments, EngineReads::new(context, database, false), replies)
        }
        _ => Err(misplaced(row)),
    };
    match outcome {
        Ok(()) => return ReadOutcome::Done,
        Err(failure) => {
            replies.truncate(start);
            if matches!(failure, Failure::WouldBlock) {
                return ReadOutcome::WouldBlock;
            }
            refuse(&failure, context, replies);
        }
    }
    ReadOutcome::Done
}

/// Answers a request of class `Read` or `Scan`. May wait for a device: for reader threads.
pub fn run_blocking(
    row: &'static Row,
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) {
    let start = replies.position();
    let outcome = match row.handler {
        Handler::Read(handler) => {
            read(handler, arguments, EngineReads::new(context, database, true), replies)
        }
        Handler::Scan(handler) => handler(arguments, database, context, replies),
        _ => Err(misplaced(row)),
    };
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
    context.observe.counters.error_replies.add(1);
    replies.error(&failure.text());
}

/// A request was handed to the wrong place, which is a defect of the server.
fn misplaced(row: &Row) -> Failure {
    debug_assert!(false, "{} is of class {:?}", row.name, row.class);
    Failure::Reply(format!("ERR the server has a defect: {} came to the wrong place", row.name).into())
}

fn check_lengths(row: &Row, arguments: Arguments<'_>, context: &Context) -> Result<(), Failure> {
    let value_bytes_max = context.settings.value_bytes_max;
    if arguments.bytes() <= USER_KEY_BYTES_MAX.min(value_bytes_max) {
        return Ok(());
    }
    if let Some(place) =
        row.key_places(arguments.len()).find(|place| arguments.word(*place).len() > USER_KEY_BYTES_MAX)
    {
        let bytes = arguments.word(place).len();
        let text = format!("ERR a key has at most {USER_KEY_BYTES_MAX} bytes, this one has {bytes}");
        return Err(Failure::Reply(text.into()));
    }
    match arguments.from(1).any(|word| word.len() > value_bytes_max) {
        true => Err(STRING_TOO_LONG),
        false => Ok(()),
    }
}

fn unknown_command(arguments: Arguments<'_>) -> Failure {
    const SHOWN_BYTES: usize = 128;
    let shown =
        |word: &[u8], most: usize| String::from_utf8_lossy(&word[..word.len().min(most)]).into_owned();
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        shown(arguments.word(0), SHOWN_BYTES)
    );
    let mut bytes = 0;
    for word in arguments.from(1) {
        if bytes >= SHOWN_BYTES {
            break;
        }
        let word = shown(word, SHOWN_BYTES - bytes);
        bytes += word.len() + 3;
        text.push_str(&format!("'{word}' "));
    }
    Failure::Reply(text.into())
}
