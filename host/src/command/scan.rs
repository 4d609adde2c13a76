//! The keys of a database: SCAN a few at a time, KEYS at once.
//!
//! Promises: every key that is there during the whole scan is returned exactly once, for keys are walked in
//! order and a cursor stands for the last key seen. One call looks at no more keys than the stated bounds.
//! KEYS answers as of one instant if the engine has read views, or refuses what is too much for one reply.

use std::ops::ControlFlow;

use adapter_api::{Direction, KeyRange};

use super::errors::{Failure, INVALID_CURSOR, Outcome, PATTERN_TOO_COSTLY, SYNTAX};
use super::{Arguments, Context, Replies, glob, number};
use crate::storage::keyspace;

const COUNT_DEFAULT: usize = 10;
/// COUNT is a hint; no call looks at more keys than this.
const COUNT_MAX: usize = 100_000;
/// Nor at more keys once those that match have this many bytes.
const REPLY_BYTES_MAX: usize = 8 << 20;

/// How much memory the keys of one reply to KEYS may take.
const KEYS_BYTES_MAX: usize = 256 << 20;
/// How much a key takes beside its bytes.
const KEY_BYTES: usize = size_of::<Vec<u8>>() + 16;

const TOO_MANY_KEYS: Failure =
    Failure::fixed("ERR the keys that match take more than 256 MiB; walk them with SCAN");

/// What a call asks for.
struct Request<'a> {
    /// The last key seen by the calls before.
    behind: Option<Vec<u8>>,
    pattern: Option<&'a [u8]>,
    count: usize,
    /// Whether keys of the type asked for can be there at all: every value is a string.
    any: bool,
}

/// What a call found.
#[derive(Default)]
struct Found {
    keys: Vec<Vec<u8>>,
    /// The last key looked at, if there are more behind it.
    reached: Option<Vec<u8>>,
}

pub(super) fn scan(
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let request = parse(arguments, database, context)?;
    let found = walk(&request, database, context)?;
    let cursor = found.reached.map_or(0, |key| context.cursors.give_out(database, &key));
    replies.array(2);
    replies.bulk(cursor.to_string().as_bytes());
    replies.array(found.keys.len());
    found.keys.iter().for_each(|key| replies.bulk(key));
    Ok(())
}

pub(super) fn keys(
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let pattern = Some(arguments.word(1)).filter(|pattern| *pattern != b"*");
    let mut keys = Vec::new();
    let mut bytes = 0;
    let mut failure = None;
    context.storage.walk(database, &keyspace::database, Direction::Forward, &mut |entry| {
        let key = keyspace::user_key(entry.key);
        match pattern.map_or(Ok(true), |pattern| glob::matches(pattern, key)) {
            Ok(true) => {
                bytes += key.len() + KEY_BYTES;
                keys.push(key.to_vec());
            }
            Ok(false) => {}
            Err(glob::TooCostly) => failure = Some(PATTERN_TOO_COSTLY),
        }
        if bytes > KEYS_BYTES_MAX {
            failure = Some(TOO_MANY_KEYS);
        }
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    replies.array(keys.len());
    keys.iter().for_each(|key| replies.bulk(key));
    Ok(())
}

fn parse<'a>(arguments: Arguments<'a>, database: u8, context: &Context) -> Outcome<Request<'a>> {
    let cursor = cursor(arguments.word(1)).ok_or(INVALID_CURSOR)?;
    let mut request = Request { behind: None, pattern: None, count: COUNT_DEFAULT, any: true };
    for option in (2..arguments.len()).step_by(2) {
        let (name, value) = (arguments.word(option), arguments.word(option + 1));
        if option + 1 == arguments.len() {
            return Err(SYNTAX);
        } else if name.eq_ignore_ascii_case(b"count") {
            let count = number::integer(value)?;
            request.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(SYNTAX)?;
        } else if name.eq_ignore_ascii_case(b"match") {
            request.pattern = (value != b"*").then_some(value);
        } else if name.eq_ignore_ascii_case(b"type") {
            request.any = value.eq_ignore_ascii_case(b"string");
        } else {
            return Err(SYNTAX);
        }
    }
    if cursor != 0 {
        request.behind = Some(context.cursors.reached(cursor, database).ok_or(INVALID_CURSOR)?);
    }
    request.count = request.count.min(COUNT_MAX);
    Ok(request)
}

/// The number of a cursor, with a sign or without: clients of Redis send what C reads as a number.
fn cursor(word: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(word).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if text.is_empty() {
        return Some(0);
    }
    let number = digits.parse::<u64>().ok().filter(|_| !digits.starts_with('+'))?;
    Some(if text.starts_with('-') { number.wrapping_neg() } else { number })
}

fn walk(request: &Request<'_>, database: u8, context: &Context) -> Outcome<Found> {
    if !request.any {
        return Ok(Found::default());
    }
    context.storage.in_slot(database, |slot| {
        let mut range = keyspace::user_range(slot, request.behind.as_deref().unwrap_or_default(), None);
        if request.behind.is_some() {
            // The first key behind the one that was reached.
            range.start.push(0);
        }
        walk_range(request, range.as_range(), context)
    })
}

fn walk_range(request: &Request<'_>, range: KeyRange<'_>, context: &Context) -> Outcome<Found> {
    let mut found = Found::default();
    let (mut seen, mut bytes) = (0, 0);
    let mut last = Vec::new();
    let mut too_costly = false;
    context.storage.scan(range, Direction::Forward, &mut |entry| {
        if seen == request.count || bytes > REPLY_BYTES_MAX {
            found.reached = Some(std::mem::take(&mut last));
            return ControlFlow::Break(());
        }
        seen += 1;
        let key = keyspace::user_key(entry.key);
        match request.pattern.map_or(Ok(true), |pattern| glob::matches(pattern, key)) {
            Ok(true) => {
                bytes += key.len();
                found.keys.push(key.to_vec());
            }
            Ok(false) => {}
            Err(glob::TooCostly) => {
                too_costly = true;
                return ControlFlow::Break(());
            }
        }
        last.clear();
        last.extend_from_slice(key);
        ControlFlow::Continue(())
    })?;
    if too_costly { Err(PATTERN_TOO_COSTLY) } else { Ok(found) }
}
