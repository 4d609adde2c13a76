//! SLOWLOG: the newest requests that took long.

use super::connection::print_help;
use super::errors::{Failure, Outcome, unknown_subcommand_or_arity};
use super::{Arguments, Context, Replies, Session, number};

/// How many entries GET shows if nobody says.
const SHOWN_DEFAULT: usize = 10;

pub(super) fn get(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let count = match arguments.len() {
        2 => SHOWN_DEFAULT,
        3 => match number::parse(arguments.word(2)) {
            Some(-1) => usize::MAX,
            count => count
                .and_then(|count| usize::try_from(count).ok())
                .ok_or(Failure::fixed("ERR count should be greater than or equal to -1"))?,
        },
        _ => return Err(unknown_subcommand_or_arity("slowlog", arguments.word(1))),
    };
    let requests = context.observe.slowlog.newest(count);
    replies.array(requests.len());
    for request in requests {
        replies.array(6);
        for number in [u128::from(request.id), u128::from(request.time.as_secs()), request.took.as_micros()] {
            replies.integer(i64::try_from(number).unwrap_or(i64::MAX));
        }
        replies.array(request.words.len());
        request.words.iter().for_each(|word| replies.bulk(word));
        replies.bulk(request.address.as_bytes());
        replies.bulk(request.name.as_bytes());
    }
    Ok(())
}

pub(super) fn len(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    replies.integer(context.observe.slowlog.len() as i64);
    Ok(())
}

pub(super) fn reset(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    context.observe.slowlog.reset();
    replies.simple("OK");
    Ok(())
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
    ];
    print_help("SLOWLOG", &lines, replies);
    Ok(())
}
