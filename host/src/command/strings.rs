//! GET, SET and what else works on single values.

use super::access::{GroupAccess, Reads};
use super::errors::{DECREMENT_OVERFLOW, OVERFLOW, Outcome, STRING_TOO_LONG, SYNTAX, wrong_arity};
use super::{Arguments, Replies, number};

pub(super) fn get(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    match reads.value(arguments.word(1))? {
        Some(stored) => replies.bulk(stored.bytes),
        None => replies.null(),
    }
    Ok(())
}

pub(super) fn mget(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let keys: Vec<&[u8]> = arguments.from(1).collect();
    replies.array(keys.len());
    reads.values(&keys, &mut |value| match value {
        Some(bytes) => replies.bulk(bytes),
        None => replies.null(),
    })
}

pub(super) fn strlen(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let length = reads.value(arguments.word(1))?.map_or(0, |stored| stored.bytes.len());
    replies.integer(length as i64);
    Ok(())
}

pub(super) fn set(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    if arguments.len() > 3 {
        return Err(SYNTAX);
    }
    access.put(arguments.word(1), None, &[arguments.word(2)])?;
    replies.simple("OK");
    Ok(())
}

pub(super) fn mset(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    if arguments.len().is_multiple_of(2) {
        return Err(wrong_arity("mset"));
    }
    for pair in (1..arguments.len()).step_by(2) {
        access.put(arguments.word(pair), None, &[arguments.word(pair + 1)])?;
    }
    replies.simple("OK");
    Ok(())
}

pub(super) fn append(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (key, suffix) = (arguments.word(1), arguments.word(2));
    let (deadline, value) = match access.value(key)? {
        Some(stored) => (stored.deadline, stored.bytes.to_vec()),
        None => (None, Vec::new()),
    };
    let length = value.len() + suffix.len();
    if length > access.value_bytes_max() {
        return Err(STRING_TOO_LONG);
    }
    access.put(key, deadline, &[&value, suffix])?;
    replies.integer(length as i64);
    Ok(())
}

pub(super) fn incr(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    add(arguments.word(1), 1, access, replies)
}

pub(super) fn decr(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    add(arguments.word(1), -1, access, replies)
}

pub(super) fn incrby(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    add(arguments.word(1), number::integer(arguments.word(2))?, access, replies)
}

pub(super) fn decrby(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let decrement = number::integer(arguments.word(2))?;
    add(arguments.word(1), decrement.checked_neg().ok_or(DECREMENT_OVERFLOW)?, access, replies)
}

fn add(key: &[u8], increment: i64, access: &mut GroupAccess<'_, '_>, replies: &mut dyn Replies) -> Outcome {
    let (deadline, before) = match access.value(key)? {
        Some(stored) => (stored.deadline, number::integer(stored.bytes)?),
        None => (None, 0),
    };
    let after = before.checked_add(increment).ok_or(OVERFLOW)?;
    access.put(key, deadline, &[after.to_string().as_bytes()])?;
    replies.integer(after);
    Ok(())
}
