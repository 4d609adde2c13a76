//! What works on keys, whatever their values are.

use super::access::{GroupAccess, Reads};
use super::errors::{Failure, NO_SUCH_KEY, Outcome, SAME_OBJECT, SYNTAX};
use super::{Arguments, Context, Replies, number};
use crate::storage::keyspace::{self, Bounds};

/// DEL and UNLINK: the room of a value comes back later in either.
pub(super) fn del(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let mut deleted = 0;
    for key in arguments.from(1) {
        deleted += i64::from(access.delete(key)?);
    }
    replies.integer(deleted);
    Ok(())
}

/// EXISTS and TOUCH: no time of access is kept.
pub(super) fn exists(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let keys: Vec<&[u8]> = arguments.from(1).collect();
    let mut there = 0;
    reads.values(&keys, &mut |value| there += i64::from(value.is_some()))?;
    replies.integer(there);
    Ok(())
}

pub(super) fn key_type(
    arguments: Arguments<'_>,
    reads: &mut dyn Reads,
    replies: &mut dyn Replies,
) -> Outcome {
    let there = reads.value(arguments.word(1))?.is_some();
    replies.simple(if there { "string" } else { "none" });
    Ok(())
}

pub(super) fn rename(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (from, to) = (arguments.word(1), arguments.word(2));
    let (deadline, value) = access.copy_of(from)?.ok_or(NO_SUCH_KEY)?;
    if from != to {
        access.remove(from)?;
        access.put(to, deadline, &[&value])?;
    }
    replies.simple("OK");
    Ok(())
}

pub(super) fn renamenx(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (from, to) = (arguments.word(1), arguments.word(2));
    let copy = access.copy_of(from)?.ok_or(NO_SUCH_KEY)?;
    let renames = put_unless_there(to, copy, access)?;
    if renames {
        access.remove(from)?;
    }
    replies.integer(renames.into());
    Ok(())
}

/// Stores a copy unless the key is there; answers whether it did.
fn put_unless_there(
    key: &[u8],
    (deadline, value): (Option<u64>, Vec<u8>),
    access: &mut GroupAccess<'_, '_>,
) -> Outcome<bool> {
    let is_free = access.value(key)?.is_none();
    if is_free {
        access.put(key, deadline, &[&value])?;
    }
    Ok(is_free)
}

/// COPY from to [DB number] [REPLACE].
pub(super) fn copy(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (from, to) = (arguments.word(1), arguments.word(2));
    let source = access.database();
    let (mut target, mut replace) = (source, false);
    let mut place = 3;
    while place < arguments.len() {
        let is = |name: &str| arguments.word(place).eq_ignore_ascii_case(name.as_bytes());
        if is("replace") {
            replace = true;
        } else if is("db") && place + 1 < arguments.len() {
            place += 1;
            target = number::database(arguments.word(place))?;
        } else {
            return Err(SYNTAX);
        }
        place += 1;
    }
    if source == target && from == to {
        return Err(SAME_OBJECT);
    }
    let copied = match access.copy_of(from)? {
        None => false,
        Some((deadline, value)) if replace => {
            access.select(target);
            access.put(to, deadline, &[&value])?;
            true
        }
        Some(copy) => {
            access.select(target);
            put_unless_there(to, copy, access)?
        }
    };
    replies.integer(copied.into());
    Ok(())
}

/// MOVE key database.
pub(super) fn move_key(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (key, source) = (arguments.word(1), access.database());
    let target = number::database(arguments.word(2))?;
    if source == target {
        return Err(SAME_OBJECT);
    }
    let moved = match access.copy_of(key)? {
        None => false,
        Some(copy) => {
            access.select(target);
            let moves = put_unless_there(key, copy, access)?;
            if moves {
                access.select(source);
                access.remove(key)?;
            }
            moves
        }
    };
    replies.integer(moved.into());
    Ok(())
}

pub(super) fn swapdb(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let index = |place, refusal| {
        let number = number::parse(arguments.word(place)).and_then(|number| i32::try_from(number).ok());
        number.ok_or(Failure::fixed(refusal))
    };
    let one = index(1, "ERR invalid first DB index")?;
    let other = index(2, "ERR invalid second DB index")?;
    let (one, other) = (number::database_numbered(one)?, number::database_numbered(other)?);
    if one != other {
        access.swap_databases(one, other)?;
    }
    replies.simple("OK");
    Ok(())
}

pub(super) fn flushall(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    flush(arguments, &keyspace::all_databases(), access, replies)
}

pub(super) fn flushdb(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    flush(arguments, &keyspace::database(access.slot()), access, replies)
}

/// ASYNC and SYNC are the same here: the keys are gone at one instant, and their room comes back later.
fn flush(
    arguments: Arguments<'_>,
    bounds: &Bounds,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let known = |word: &[u8]| word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync");
    if arguments.len() > 2 || !arguments.from(1).all(known) {
        return Err(SYNTAX);
    }
    access.delete_range(bounds.as_range())?;
    replies.simple("OK");
    Ok(())
}

pub(super) fn dbsize(
    _: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let count = context.storage.count(database)?;
    replies.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}
