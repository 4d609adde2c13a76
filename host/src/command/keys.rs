//! What works on keys, whatever their values are.

use super::access::{GroupAccess, Reads};
use super::errors::{Outcome, SYNTAX};
use super::{Arguments, Context, Replies};
use crate::storage::keyspace::{self, Bounds};

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
    flush(arguments, &keyspace::database(access.database()), access, replies)
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
