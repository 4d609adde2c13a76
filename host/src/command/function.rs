//! FUNCTION: there are no functions. What clients and test suites ask is answered as by a Redis without any; what
//! would make one is refused.

use super::connection::print_help;
use super::errors::{Failure, Outcome, WORD_BYTES_SHOWN, shown};
use super::{Arguments, Context, Replies, Session};

const NO_SCRIPTS: Failure = Failure::fixed("ERR functions are not supported: this server runs no scripts");

/// What Redis 7.0 dumps where there is no library: an end, a version and a checksum.
const EMPTY_DUMP: &[u8] = b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda";

pub(super) fn flush(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let how = arguments.word(2);
    let known = how.eq_ignore_ascii_case(b"sync") || how.eq_ignore_ascii_case(b"async");
    if arguments.len() > 3 || (arguments.len() == 3 && !known) {
        return Err(Failure::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    replies.simple("OK");
    Ok(())
}

pub(super) fn list(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let mut place = 2;
    while place < arguments.len() {
        let word = arguments.word(place);
        if word.eq_ignore_ascii_case(b"withcode") {
            place += 1;
        } else if word.eq_ignore_ascii_case(b"libraryname") && place + 1 < arguments.len() {
            place += 2;
        } else {
            let shown = shown(word, WORD_BYTES_SHOWN);
            return Err(Failure::Reply(format!("ERR Unknown argument {shown}").into()));
        }
    }
    replies.array(0);
    Ok(())
}

pub(super) fn stats(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    replies.map(2);
    replies.bulk(b"running_script");
    replies.null();
    replies.bulk(b"engines");
    replies.map(0);
    Ok(())
}

pub(super) fn delete(_: Arguments<'_>, _: &mut Session, _: &Context, _: &mut dyn Replies) -> Outcome {
    Err(Failure::fixed("ERR Library not found"))
}

pub(super) fn dump(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    replies.bulk(EMPTY_DUMP);
    Ok(())
}

pub(super) fn kill(_: Arguments<'_>, _: &mut Session, _: &Context, _: &mut dyn Replies) -> Outcome {
    Err(Failure::fixed("NOTBUSY No scripts in execution right now."))
}

pub(super) fn load(_: Arguments<'_>, _: &mut Session, _: &Context, _: &mut dyn Replies) -> Outcome {
    Err(NO_SCRIPTS)
}

pub(super) fn restore(_: Arguments<'_>, _: &mut Session, _: &Context, _: &mut dyn Replies) -> Outcome {
    Err(NO_SCRIPTS)
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries: there is none.",
        "STATS",
        "    Return information about the current function running: there is none.",
        "LOAD, RESTORE",
        "    Refused: this server runs no scripts.",
    ];
    print_help("FUNCTION", &lines, replies);
    Ok(())
}
