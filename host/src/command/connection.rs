//! What concerns the connection itself: PING, ECHO, QUIT, SELECT.

use super::errors::{Outcome, SYNTAX, wrong_arity};
use super::{Arguments, Context, Replies, Session, number};

/// The version of Redis whose replies these are; clients go by it.
pub(super) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn ping(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    match arguments.len() {
        1 => replies.simple("PONG"),
        2 => replies.bulk(arguments.word(1)),
        _ => return Err(wrong_arity("ping")),
    }
    Ok(())
}

pub(super) fn echo(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    replies.bulk(arguments.word(1));
    Ok(())
}

pub(super) fn quit(
    _: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    session.closing = true;
    replies.simple("OK");
    Ok(())
}

pub(super) fn select(
    arguments: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    session.database = number::database(arguments.word(1))?;
    session.client().set_database(session.database);
    replies.simple("OK");
    Ok(())
}

/// A container runs only without a subcommand, which its arity rules out.
pub(super) fn container(_: Arguments<'_>, _: &mut Session, _: &Context, _: &mut dyn Replies) -> Outcome {
    Err(SYNTAX)
}

/// The lines that HELP prints: what is given, between the lines that every command has.
pub(super) fn print_help(command: &str, lines: &[&str], replies: &mut dyn Replies) {
    replies.array(lines.len() + 3);
    replies.simple(&format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| replies.simple(line));
    replies.simple("HELP");
    replies.simple("    Prints this help.");
}
