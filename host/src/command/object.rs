//! OBJECT and MEMORY: how a value is kept, and how much room it takes.
//!
//! Promises: everything is worked out from the value's bytes as if Redis had just stored them; nothing about
//! a value's past is kept.

use super::access::Reads;
use super::connection::print_help;
use super::errors::{Failure, Outcome, SYNTAX};
use super::{Arguments, Context, Replies, Session, number};
use crate::storage::keyspace::{PREFIX_BYTES, VALUE_HEADER_BYTES_MAX};

/// The longest value that Redis keeps in one piece with its head.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Whole numbers below this are shared by all values of Redis.
const SHARED_INTEGERS_END: i64 = 10_000;
/// How many references a shared value has.
const SHARED_REFERENCES: i64 = i32::MAX as i64;

const NO_FREQUENCY: Failure = Failure::fixed(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
     switching between policies at runtime LRU and LFU data will take some time to adjust.",
);

const DIAGNOSIS: &str =
    "The server keeps no values itself; ENGINE METRICS shows what the storage engine keeps.";

pub(super) fn encoding(
    arguments: Arguments<'_>,
    reads: &mut dyn Reads,
    replies: &mut dyn Replies,
) -> Outcome {
    match reads.value(arguments.word(2))? {
        None => replies.null(),
        Some(stored) => replies.bulk(match number::parse(stored.bytes) {
            Some(_) => b"int",
            None if stored.bytes.len() <= EMBEDDED_BYTES_MAX => b"embstr",
            None => b"raw",
        }),
    }
    Ok(())
}

pub(super) fn refcount(
    arguments: Arguments<'_>,
    reads: &mut dyn Reads,
    replies: &mut dyn Replies,
) -> Outcome {
    let is_shared =
        |bytes| number::parse(bytes).is_some_and(|number| (0..SHARED_INTEGERS_END).contains(&number));
    match reads.value(arguments.word(2))? {
        None => replies.null(),
        Some(stored) => replies.integer(if is_shared(stored.bytes) { SHARED_REFERENCES } else { 1 }),
    }
    Ok(())
}

/// No time of access is kept, and this was one.
pub(super) fn idletime(
    arguments: Arguments<'_>,
    reads: &mut dyn Reads,
    replies: &mut dyn Replies,
) -> Outcome {
    match reads.value(arguments.word(2))? {
        None => replies.null(),
        Some(_) => replies.integer(0),
    }
    Ok(())
}

pub(super) fn freq(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    match reads.value(arguments.word(2))? {
        None => replies.null(),
        Some(_) => return Err(NO_FREQUENCY),
    }
    Ok(())
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
    ];
    print_help("OBJECT", &lines, replies);
    Ok(())
}

pub(super) fn memory_help(
    _: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let lines = [
        "DOCTOR",
        "    Return memory problems reports.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return the bytes that a key and its value take in the storage engine.",
    ];
    print_help("MEMORY", &lines, replies);
    Ok(())
}

pub(super) fn doctor(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    replies.verbatim(DIAGNOSIS);
    Ok(())
}

/// The bytes that the engine is handed for a key and its value.
pub(super) fn usage(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    for option in (3..arguments.len()).step_by(2) {
        let is_samples = arguments.word(option).eq_ignore_ascii_case(b"samples");
        if !is_samples || option + 1 == arguments.len() || number::integer(arguments.word(option + 1))? < 0 {
            return Err(SYNTAX);
        }
    }
    let key = arguments.word(2);
    match reads.value(key)? {
        Some(stored) => {
            let header = if stored.deadline.is_some() { VALUE_HEADER_BYTES_MAX } else { 1 };
            replies.integer((PREFIX_BYTES + key.len() + header + stored.bytes.len()) as i64);
        }
        None => replies.null(),
    }
    Ok(())
}
