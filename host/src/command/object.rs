//! OBJECT and MEMORY: how a value is kept, and how much room it takes.
//!
//! Promises: everything is worked out from the value's bytes as if Redis had just stored them; nothing about
//! a value's past is kept.

use super::access::Reads;
use super::errors::{Failure, Outcome, SYNTAX, unknown_subcommand, wrong_arity};
use super::{Arguments, Replies, number};
use crate::storage::keyspace::{PREFIX_BYTES, Stored, VALUE_HEADER_BYTES_MAX};

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

const OBJECT_HELP: [&str; 15] = [
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
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
    "HELP",
    "    Prints this help.",
];

const MEMORY_HELP: [&str; 7] = [
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Return memory problems reports.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return the bytes that a key and its value take in the storage engine.",
    "HELP",
    "    Prints this help.",
];

const DIAGNOSIS: &str =
    "The server keeps no values itself; ENGINE METRICS shows what the storage engine keeps.";

pub(super) fn object(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let subcommand = arguments.word(1).to_ascii_lowercase();
    let answer: fn(Stored<'_>, &mut dyn Replies) -> Outcome = match subcommand.as_slice() {
        b"help" if arguments.len() == 2 => {
            help(&OBJECT_HELP, replies);
            return Ok(());
        }
        b"encoding" => encoding,
        b"refcount" => refcount,
        // No time of access is kept, and this was one.
        b"idletime" => |_, replies| {
            replies.integer(0);
            Ok(())
        },
        b"freq" => |_, _| Err(NO_FREQUENCY),
        b"help" => return Err(wrong_arity("object|help")),
        _ => return Err(unknown_subcommand("object", arguments.word(1))),
    };
    if arguments.len() != 3 {
        return Err(wrong_arity(&format!("object|{}", String::from_utf8_lossy(&subcommand))));
    }
    match reads.value(arguments.word(2))? {
        Some(stored) => answer(stored, replies),
        None => {
            replies.null();
            Ok(())
        }
    }
}

fn encoding(stored: Stored<'_>, replies: &mut dyn Replies) -> Outcome {
    replies.bulk(match number::parse(stored.bytes) {
        Some(_) => b"int",
        None if stored.bytes.len() <= EMBEDDED_BYTES_MAX => b"embstr",
        None => b"raw",
    });
    Ok(())
}

fn refcount(stored: Stored<'_>, replies: &mut dyn Replies) -> Outcome {
    let shared = number::parse(stored.bytes).is_some_and(|number| (0..SHARED_INTEGERS_END).contains(&number));
    replies.integer(if shared { SHARED_REFERENCES } else { 1 });
    Ok(())
}

pub(super) fn memory(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let subcommand = arguments.word(1).to_ascii_lowercase();
    match subcommand.as_slice() {
        b"usage" if arguments.len() > 2 => return usage(arguments, reads, replies),
        b"help" if arguments.len() == 2 => help(&MEMORY_HELP, replies),
        b"doctor" if arguments.len() == 2 => replies.verbatim(DIAGNOSIS),
        b"usage" | b"help" | b"doctor" => {
            return Err(wrong_arity(&format!("memory|{}", String::from_utf8_lossy(&subcommand))));
        }
        _ => return Err(unknown_subcommand("memory", arguments.word(1))),
    }
    Ok(())
}

/// The bytes that the engine is handed for a key and its value.
fn usage(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
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

fn help(lines: &[&str], replies: &mut dyn Replies) {
    replies.array(lines.len());
    lines.iter().for_each(|line| replies.simple(line));
}
