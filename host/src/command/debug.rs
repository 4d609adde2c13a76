//! DEBUG: what tests of clients need, if the operator allows it.

use std::time::Duration;

use super::connection::print_help;
use super::errors::{Failure, Outcome, unknown_subcommand_or_arity};
use super::{Arguments, Context, Replies, Session};

/// The longest that SLEEP sleeps.
const SLEEP_MAX: Duration = Duration::from_secs(60);

pub(super) fn debug(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    if !context.settings.debug_commands {
        return Err(Failure::fixed(
            "ERR DEBUG command not allowed. Set debug_commands = true under [server] in the configuration file and \
             start the server again.",
        ));
    }
    match arguments.word(1).to_ascii_lowercase().as_slice() {
        b"sleep" if arguments.len() == 3 => {
            // It holds up the event loop with all its clients: that is what it is for.
            std::thread::sleep(sleep_time(arguments.word(2)));
            replies.simple("OK");
        }
        b"help" if arguments.len() == 2 => {
            let lines =
                ["SLEEP <seconds>", "    Stop an event loop for <seconds>. Decimals allowed, at most 60."];
            print_help("DEBUG", &lines, replies);
        }
        _ => return Err(unknown_subcommand_or_arity("debug", arguments.word(1))),
    }
    Ok(())
}

/// Seconds with decimals; what is no number is no time at all, as in Redis.
fn sleep_time(word: &[u8]) -> Duration {
    let seconds = std::str::from_utf8(word).ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).map_or(Duration::ZERO, |time| time.min(SLEEP_MAX))
}
