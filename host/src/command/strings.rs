//! GET, SET and what else works on single values.

use super::access::{GroupAccess, Reads};
use super::errors::{
    DECREMENT_OVERFLOW, Failure, NO_EXPIRY, NOT_AN_INTEGER, OVERFLOW, Outcome, STRING_TOO_LONG, SYNTAX,
    wrong_arity,
};
use super::float::Extended;
use super::{Arguments, Replies, number};
use crate::storage::keyspace::Stored;

pub(super) fn get(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    reply_value(reads.value(arguments.word(1))?, replies);
    Ok(())
}

fn reply_value(stored: Option<Stored<'_>>, replies: &mut dyn Replies) {
    match stored {
        Some(stored) => replies.bulk(stored.bytes),
        None => replies.null(),
    }
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

/// GETRANGE and SUBSTR.
pub(super) fn getrange(
    arguments: Arguments<'_>,
    reads: &mut dyn Reads,
    replies: &mut dyn Replies,
) -> Outcome {
    let (start, end) = (number::integer(arguments.word(2))?, number::integer(arguments.word(3))?);
    let value = reads.value(arguments.word(1))?.map_or(&[][..], |stored| stored.bytes);
    let range = number::span(start, end, value.len() as u64);
    replies.bulk(range.map_or(&[], |(first, last)| &value[first as usize..=last as usize]));
    Ok(())
}

/// What stands behind the key and the value of SET.
#[derive(Default)]
struct SetOptions<'a> {
    only_if: Option<Exists>,
    get: bool,
    keep_deadline: bool,
    expiry: Option<Expiry<'a>>,
}

/// Whether SET asks for a key that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exists {
    No,
    Yes,
}

/// When a key shall end, as the client wrote it.
struct Expiry<'a> {
    kind: &'static str,
    amount: &'a [u8],
}

impl Expiry<'_> {
    /// Refuses it: for what is wrong with it, else because none is kept.
    fn refuse(&self, now_millis: i64) -> Failure {
        let Some(amount) = number::parse(self.amount) else { return NOT_AN_INTEGER };
        let millis = if self.kind.starts_with("ex") { amount.checked_mul(1000) } else { Some(amount) };
        let since = if self.kind.ends_with("at") { 0 } else { now_millis };
        match millis.filter(|millis| *millis > 0).and_then(|millis| millis.checked_add(since)) {
            Some(_) => NO_EXPIRY,
            None => Failure::fixed("ERR invalid expire time in 'set' command"),
        }
    }
}

impl<'a> SetOptions<'a> {
    fn parse(arguments: Arguments<'a>) -> Outcome<Self> {
        const EXPIRIES: [&str; 4] = ["ex", "px", "exat", "pxat"];
        let mut options = Self::default();
        let mut place = 3;
        while place < arguments.len() {
            let word = arguments.word(place);
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let other_expiry = |kind: &str| options.expiry.as_ref().is_some_and(|other| other.kind != kind);
            if is("nx") && options.only_if != Some(Exists::Yes) {
                options.only_if = Some(Exists::No);
            } else if is("xx") && options.only_if != Some(Exists::No) {
                options.only_if = Some(Exists::Yes);
            } else if is("get") {
                options.get = true;
            } else if is("keepttl") && options.expiry.is_none() {
                options.keep_deadline = true;
            } else if let Some(kind) = EXPIRIES.into_iter().find(|kind| is(kind))
                && !options.keep_deadline
                && !other_expiry(kind)
                && place + 1 < arguments.len()
            {
                place += 1;
                options.expiry = Some(Expiry { kind, amount: arguments.word(place) });
            } else {
                return Err(SYNTAX);
            }
            place += 1;
        }
        Ok(options)
    }
}

pub(super) fn set(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (key, value) = (arguments.word(1), arguments.word(2));
    let options = SetOptions::parse(arguments)?;
    if let Some(expiry) = options.expiry {
        return Err(expiry.refuse(access.now_millis()));
    }
    let mut deadline = None;
    if options.get || options.keep_deadline || options.only_if.is_some() {
        let before = access.value(key)?;
        let exists = if before.is_some() { Exists::Yes } else { Exists::No };
        let met = options.only_if.is_none_or(|wanted| wanted == exists);
        match options.get {
            true => reply_value(before, replies),
            false if !met => replies.null(),
            false => {}
        }
        if !met {
            return Ok(());
        }
        deadline = before.and_then(|stored| stored.deadline).filter(|_| options.keep_deadline);
    }
    access.put(key, deadline, &[value])?;
    if !options.get {
        replies.simple("OK");
    }
    Ok(())
}

pub(super) fn setnx(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let absent = access.value(arguments.word(1))?.is_none();
    if absent {
        access.put(arguments.word(1), None, &[arguments.word(2)])?;
    }
    replies.integer(absent.into());
    Ok(())
}

pub(super) fn getset(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    reply_value(access.value(arguments.word(1))?, replies);
    access.put(arguments.word(1), None, &[arguments.word(2)])
}

pub(super) fn getdel(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let stored = access.value(arguments.word(1))?;
    let there = stored.is_some();
    reply_value(stored, replies);
    if there {
        access.remove(arguments.word(1))?;
    }
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
    put_pairs(arguments, access)?;
    replies.simple("OK");
    Ok(())
}

pub(super) fn msetnx(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    if arguments.len().is_multiple_of(2) {
        return Err(wrong_arity("msetnx"));
    }
    for key in arguments.from(1).step_by(2) {
        if access.value(key)?.is_some() {
            replies.integer(0);
            return Ok(());
        }
    }
    put_pairs(arguments, access)?;
    replies.integer(1);
    Ok(())
}

fn put_pairs(arguments: Arguments<'_>, access: &mut GroupAccess<'_, '_>) -> Outcome {
    for pair in (1..arguments.len()).step_by(2) {
        access.put(arguments.word(pair), None, &[arguments.word(pair + 1)])?;
    }
    Ok(())
}

pub(super) fn append(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (key, suffix) = (arguments.word(1), arguments.word(2));
    let (deadline, value) = access.copy_of(key)?.unwrap_or_default();
    let length = value.len() + suffix.len();
    if length > access.value_bytes_max() {
        return Err(STRING_TOO_LONG);
    }
    access.put(key, deadline, &[&value, suffix])?;
    replies.integer(length as i64);
    Ok(())
}

pub(super) fn setrange(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let (key, part) = (arguments.word(1), arguments.word(3));
    let offset = number::integer(arguments.word(2))?;
    let offset = u64::try_from(offset).map_err(|_| Failure::fixed("ERR offset is out of range"))?;
    let (deadline, mut value) = access.copy_of(key)?.unwrap_or_default();
    if part.is_empty() {
        replies.integer(value.len() as i64);
        return Ok(());
    }
    let end = offset.saturating_add(part.len() as u64);
    if end > access.value_bytes_max() as u64 {
        return Err(STRING_TOO_LONG);
    }
    let (offset, end) = (offset as usize, end as usize);
    value.resize(value.len().max(end), 0);
    value[offset..end].copy_from_slice(part);
    access.put(key, deadline, &[&value])?;
    replies.integer(value.len() as i64);
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

pub(super) fn incrbyfloat(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    const NOT_A_FLOAT: Failure = Failure::fixed("ERR value is not a valid float");
    let key = arguments.word(1);
    let (deadline, before) = match access.value(key)? {
        Some(stored) => (stored.deadline, Extended::parse(stored.bytes).ok_or(NOT_A_FLOAT)?),
        None => (None, Extended::ZERO),
    };
    let increment = Extended::parse(arguments.word(2)).ok_or(NOT_A_FLOAT)?;
    let after = before
        .plus(increment)
        .ok_or(Failure::fixed("ERR increment would produce NaN or Infinity"))?
        .to_string();
    access.put(key, deadline, &[after.as_bytes()])?;
    replies.bulk(after.as_bytes());
    Ok(())
}
