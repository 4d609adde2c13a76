//! RANDOMKEY: some key of a database, without walking it.
//!
//! Promises: every key can come. In a database of up to 128 keys each is as likely as any other; in a larger
//! one the run of up to 128 keys that it is drawn from is found by halving, where a half is as likely as the
//! engine's estimate says it has keys. With an exact estimate every key is as likely as any other again;
//! without estimates, keys that share their beginning with fewer others come more often.
//!
//! ```text
//! first key ┄┄┄┄┄┄┄┄┄┄┄┄┄ last key      the first byte in which they differ is where the range is parted,
//!     common beginning│a┄┄┄m│n┄┄┄z      so that neither half is empty
//! ```

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;

use adapter_api::{Capabilities, Direction, EngineError, KeyRange};

use super::errors::Outcome;
use super::{Arguments, Context, Replies};
use crate::storage::Storage;
use crate::storage::keyspace::{self, Bounds};

/// How many keys are walked to draw one of them.
const WALKED_MAX: usize = 128;
/// How many times it is tried again when others delete what was drawn from.
const TRIES: usize = 16;

pub(super) fn randomkey(
    _: Arguments<'_>,
    database: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let storage = &context.storage;
    let key = storage.in_slot(database, |slot| {
        (0..TRIES).find_map(|_| draw(storage, keyspace::database(slot)).transpose()).transpose()
    })?;
    match key {
        Some(key) => replies.bulk(keyspace::user_key(&key)),
        None => replies.null(),
    }
    Ok(())
}

/// Draws a key of the range; `None` if none is there, or was when it was looked for.
fn draw(storage: &Storage, mut range: Bounds) -> Result<Option<Vec<u8>>, EngineError> {
    loop {
        let mut keys = Vec::new();
        storage.scan(range.as_range(), Direction::Forward, &mut |entry| {
            keys.push(entry.key.to_vec());
            if keys.len() > WALKED_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if keys.len() <= WALKED_MAX {
            let drawn = random_below(keys.len() as u64) as usize;
            return Ok(keys.into_iter().nth(drawn));
        }
        let mut last = Vec::new();
        storage.scan(range.as_range(), Direction::Reverse, &mut |entry| {
            last = entry.key.to_vec();
            ControlFlow::Break(())
        })?;
        let Some(middle) = keys.first().and_then(|first| between(first, &last)) else { return Ok(None) };
        let below = weight(storage, KeyRange::new(&range.start, &middle))?;
        let above = weight(storage, KeyRange::new(&middle, &range.end))?;
        match random_below(below.saturating_add(above)) < below {
            true => range.end = middle,
            false => range.start = middle,
        }
    }
}

/// A key behind `first` and not behind `last` that parts what they differ in; `None` if `last` is not behind
/// `first`.
fn between(first: &[u8], last: &[u8]) -> Option<Vec<u8>> {
    let common = first.iter().zip(last).take_while(|(one, other)| one == other).count();
    let high = *last.get(common)?;
    // A key that ends here is before every byte.
    let low = first.get(common).map_or(-1, |byte| i16::from(*byte));
    let parted = (low + i16::from(high) + 1).div_euclid(2).max(low + 1);
    Some([&last[..common], &[u8::try_from(parted).ok()?]].concat())
}

/// How likely a range is to be drawn from; never 0.
fn weight(storage: &Storage, range: KeyRange<'_>) -> Result<u64, EngineError> {
    match storage.has(Capabilities::ESTIMATE) {
        true => Ok(storage.estimate(range)?.entries.max(1)),
        false => Ok(1),
    }
}

/// A random number below `end`; 0 if that is 0.
fn random_below(end: u64) -> u64 {
    // Every `RandomState` hashes with other random keys.
    RandomState::new().build_hasher().finish() % end.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_parted_between_its_first_and_its_last_key() {
        for (first, last) in [
            (&b"a"[..], &b"b"[..]),
            (b"", b"\0"),
            (b"", b"a"),
            (b"aa", b"aaa"),
            (b"ab\xff", b"b"),
            (b"key:1", b"key:9"),
            (b"\xfe\xff", b"\xff"),
            (b"\0", b"\xff\xff"),
        ] {
            let middle = between(first, last).unwrap();
            assert!(first < &middle[..] && &middle[..] <= last, "{first:?} {middle:?} {last:?}");
        }
        assert_eq!(between(b"a", b"a"), None);
    }
}
