//! What stands between a request and its handler: is there such a command, may this client use it, may it now.
//!
//! Promises: for a client that has given its password, while nobody monitors and nothing is paused, this costs
//! finding the row and three loads.

use std::time::Instant;

use adapter_api::Capabilities;

use super::errors::{Failure, Outcome, STRING_TOO_LONG, shown, unknown_subcommand, wrong_arity};
use super::lookup;
use super::table::{Class, Row};
use super::{Arguments, Context, Replies, Session, monitor, refuse};
use crate::storage::keyspace::USER_KEY_BYTES_MAX;

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub enum Admission {
    /// It may run.
    Run(&'static Row),
    /// It has to wait until then, or until the pause is ended; then it may run.
    WaitUntil(Instant, &'static Row),
    /// It may not; the error reply has been written.
    Refused,
}

/// Finds the row of a request and checks arity, limits, and what the client may do. Called once for each request.
pub fn admit(
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Admission {
    session.begin_request();
    let row = match resolve(arguments, context).and_then(|row| allow(row, session, context)) {
        Ok(row) => row,
        Err(failure) => {
            refuse(&failure, context, replies);
            return Admission::Refused;
        }
    };
    if context.observe.monitors.is_watched() {
        monitor::show(row, arguments, session, context);
    }
    match pause_of(row, context) {
        Some(end) => Admission::WaitUntil(end, row),
        None => Admission::Run(row),
    }
}

/// When the pause ends that a request of this row has to wait for, if it has.
pub fn pause_of(row: &Row, context: &Context) -> Option<Instant> {
    // Whoever can end a pause must not wait for its end.
    context.observe.pause.end_for(row.is_write()).filter(|_| !row.name.starts_with("client"))
}

/// The row of a request whose words fit it.
fn resolve(arguments: Arguments<'_>, context: &Context) -> Outcome<&'static Row> {
    let mut row = lookup::find(arguments.word(0)).ok_or_else(|| unknown_command(arguments))?;
    if row.has_subcommands && arguments.len() > 1 {
        let word = arguments.word(1);
        row = lookup::find_subcommand(row, word).ok_or_else(|| unknown_subcommand(row.name, word))?;
    }
    let fits = match row.takes(arguments.len()) {
        true => check_lengths(row, arguments, context),
        false => Err(wrong_arity(row.name)),
    };
    if let Err(failure) = fits {
        context.calls[row.place()].rejected.add(1);
        return Err(failure);
    }
    let several_keys = row.class == Class::Read && arguments.len() > 2;
    let in_sequencer = several_keys && !context.storage.has(Capabilities::READ_VIEW);
    Ok(if in_sequencer { row.in_sequencer() } else { row })
}

/// Whether this client may use the command.
fn allow(row: &'static Row, session: &Session, context: &Context) -> Outcome<&'static Row> {
    if session.authenticated && !session.monitoring {
        return Ok(row);
    }
    let refused = if session.is_stranger() && !row.flags.contains(&"no_auth") {
        Failure::fixed("NOAUTH Authentication required.")
    } else if session.monitoring && (row.is_write() || row.is_read_only) {
        Failure::fixed("ERR Replica can't interact with the keyspace")
    } else {
        return Ok(row);
    };
    context.calls[row.place()].rejected.add(1);
    Err(refused)
}

fn check_lengths(row: &Row, arguments: Arguments<'_>, context: &Context) -> Result<(), Failure> {
    let value_bytes_max = context.settings.value_bytes_max;
    if arguments.whole().len() <= USER_KEY_BYTES_MAX.min(value_bytes_max) {
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
