//! RANGE start end [REV] [LIMIT n] [KEYS]: entries in the order of their keys.
//!
//! Promises: `start` belongs to the range, `end` does not; `-` is before every key and `+` behind every key;
//! all entries are of one instant if the engine has read views. The reply is a flat array key, value, … or,
//! with KEYS, of keys. What is too much for one reply is refused, never cut off in silence.

use std::ops::ControlFlow;

use adapter_api::{Direction, EngineError, Entry};

use super::errors::{Failure, Outcome, SYNTAX};
use super::{Arguments, Context, Replies, number};
use crate::storage::keyspace::{self, Bounds, USER_KEY_BYTES_MAX};

/// The most entries in one reply.
const ENTRIES_MAX: usize = 1_000_000;
/// The most bytes of keys and values in one reply; a single entry may be larger.
const BYTES_MAX: usize = 64 << 20;

const TOO_MUCH: Failure = Failure::fixed(
    "ERR the range is more than 1000000 entries or 64 MiB; use LIMIT and go on from the last key",
);

struct Request {
    bounds: Bounds,
    direction: Direction,
    limit: usize,
    keys_only: bool,
}

/// Entries one behind the other in one run of memory.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    /// Where each key and each value ends.
    ends: Vec<usize>,
    entries: usize,
}

pub(super) fn range(
    arguments: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let request = parse(arguments, database)?;
    let mut collected = Collected::default();
    let mut failure = None;
    if request.limit > 0 && !request.bounds.as_range().is_empty() {
        context.storage.walk(request.bounds.as_range(), request.direction, &mut |entry| match collected
            .add(entry, request.keys_only)
        {
            Ok(()) if collected.entries < request.limit => ControlFlow::Continue(()),
            Ok(()) => ControlFlow::Break(()),
            Err(refused) => {
                failure = Some(refused);
                ControlFlow::Break(())
            }
        })?;
    }
    match failure {
        Some(failure) => Err(failure),
        None => {
            collected.write(replies);
            Ok(())
        }
    }
}

fn parse(arguments: Arguments<'_>, database: u8) -> Outcome<Request> {
    let mut request = Request {
        bounds: bounds(arguments.word(1), arguments.word(2), database)?,
        direction: Direction::Forward,
        limit: usize::MAX,
        keys_only: false,
    };
    let mut option = 3;
    while option < arguments.len() {
        let name = arguments.word(option);
        if name.eq_ignore_ascii_case(b"rev") {
            request.direction = Direction::Reverse;
        } else if name.eq_ignore_ascii_case(b"keys") {
            request.keys_only = true;
        } else if name.eq_ignore_ascii_case(b"limit") && option + 1 < arguments.len() {
            option += 1;
            let limit = number::integer(arguments.word(option))?;
            request.limit = usize::try_from(limit).map_err(|_| Failure::fixed("ERR LIMIT is negative"))?;
        } else {
            return Err(SYNTAX);
        }
        option += 1;
    }
    Ok(request)
}

fn bounds(start: &[u8], end: &[u8], database: u8) -> Outcome<Bounds> {
    if start.len().max(end.len()) > USER_KEY_BYTES_MAX {
        let text =
            format!("ERR a bound of the range is longer than a key may be, {USER_KEY_BYTES_MAX} bytes");
        return Err(Failure::Reply(text.into()));
    }
    let whole = keyspace::database(database);
    let engine_key = |bound: &[u8]| match bound {
        b"-" => whole.start.clone(),
        b"+" => whole.end.clone(),
        key => keyspace::data_key(database, key),
    };
    Ok(Bounds { start: engine_key(start), end: engine_key(end) })
}

impl Collected {
    fn add(&mut self, entry: Entry<'_>, keys_only: bool) -> Outcome {
        let key = keyspace::user_key(entry.key);
        let value = match keys_only {
            true => None,
            false => Some(keyspace::decode(entry.value).map_err(|error| at_key(key, &error))?.bytes),
        };
        let more = key.len() + value.map_or(0, <[u8]>::len);
        if self.entries == ENTRIES_MAX || (self.entries > 0 && self.bytes.len() + more > BYTES_MAX) {
            return Err(TOO_MUCH);
        }
        for part in [Some(key), value].into_iter().flatten() {
            self.bytes.extend_from_slice(part);
            self.ends.push(self.bytes.len());
        }
        self.entries += 1;
        Ok(())
    }

    fn write(&self, replies: &mut dyn Replies) {
        replies.array(self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            replies.bulk(&self.bytes[start..*end]);
            start = *end;
        }
    }
}

fn at_key(key: &[u8], error: &EngineError) -> Failure {
    Failure::Reply(format!("ERR {error}, key \"{}\"", key.escape_ascii()).into())
}
