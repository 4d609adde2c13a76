//! Runs of entries in the order of their keys: RANGE start end [REV] [LIMIT n] [KEYS], DELRANGE start end.
//!
//! Promises: `start` belongs to the range, `end` does not; `-` is before every key and `+` behind every key.
//! All entries of RANGE are of one instant if the engine has read views; the reply is a flat array key,
//! value, … or, with KEYS, of keys; what is too much for one reply is refused, never cut off in silence.
//! DELRANGE deletes them all at one instant and answers OK: it looks at none, so it knows no number.

use std::ops::ControlFlow;

use adapter_api::{Direction, EngineError, Entry};

use super::access::GroupAccess;
use super::errors::{Failure, Outcome, SYNTAX};
use super::{Arguments, Context, Replies, number};
use crate::storage::keyspace::{self, Bounds, Slot, USER_KEY_BYTES_MAX};

/// The most entries in one reply.
const ENTRIES_MAX: usize = 1_000_000;
/// The most bytes of keys and values in one reply; a single entry may be larger.
const BYTES_MAX: usize = 64 << 20;

const TOO_MUCH: Failure = Failure::fixed(
    "ERR the range is more than 1000000 entries or 64 MiB; use LIMIT and go on from the last key",
);

struct Request<'a> {
    start: Bound<'a>,
    end: Bound<'a>,
    direction: Direction,
    limit: usize,
    keys_only: bool,
}

/// A key of the client's, or the end of all keys on one side.
#[derive(Clone, Copy)]
enum Bound<'a> {
    First,
    Key(&'a [u8]),
    Last,
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
    let request = parse(arguments)?;
    let mut collected = Collected::default();
    let mut failure = None;
    if request.limit > 0 {
        let bounds = |slot| between(request.start, request.end, slot);
        context.storage.walk(database, &bounds, request.direction, &mut |entry| match collected
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

pub(super) fn delrange(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let bounds = between(bound(arguments.word(1))?, bound(arguments.word(2))?, access.slot());
    if !bounds.as_range().is_empty() {
        access.delete_range(bounds.as_range())?;
    }
    replies.simple("OK");
    Ok(())
}

fn parse(arguments: Arguments<'_>) -> Outcome<Request<'_>> {
    let mut request = Request {
        start: bound(arguments.word(1))?,
        end: bound(arguments.word(2))?,
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

fn bound(word: &[u8]) -> Outcome<Bound<'_>> {
    match word {
        b"-" => Ok(Bound::First),
        b"+" => Ok(Bound::Last),
        key if key.len() > USER_KEY_BYTES_MAX => {
            let text =
                format!("ERR a bound of the range is longer than a key may be, {USER_KEY_BYTES_MAX} bytes");
            Err(Failure::Reply(text.into()))
        }
        key => Ok(Bound::Key(key)),
    }
}

fn between(start: Bound<'_>, end: Bound<'_>, slot: Slot) -> Bounds {
    let whole = keyspace::database(slot);
    let engine_key = |bound| match bound {
        Bound::First => whole.start.clone(),
        Bound::Key(key) => keyspace::data_key(slot, key),
        Bound::Last => whole.end.clone(),
    };
    Bounds { start: engine_key(start), end: engine_key(end) }
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
