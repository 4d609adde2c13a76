//! BITFIELD and BITFIELD_RO: integers of 1 … 64 bits anywhere in a value.
//!
//! Promises: every subcommand is checked before the first one is worked out; a value is made as long as the
//! last subcommand that writes needs it, and no longer than a value may be. What overflows does so as in
//! Redis, to the last odd case.

use super::access::{GroupAccess, Reads};
use super::bits::{grow, offset};
use super::errors::{Failure, Outcome, SYNTAX};
use super::{Arguments, Replies, number};

const BAD_TYPE: Failure = Failure::fixed(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// An integer's place and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) signed: bool,
    /// 1 … 64, up to 63 if it is not signed.
    pub(super) bits: u32,
    /// Its highest bit.
    pub(super) offset: u64,
}

/// What is done with what does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Set(i64),
    Add(i64),
}

/// One subcommand.
struct Step {
    field: Field,
    /// `None` for GET.
    change: Option<(Change, Overflow)>,
}

pub(super) fn bitfield(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let key = arguments.word(1);
    let steps = parse(arguments)?;
    let writing = steps.iter().filter(|step| step.change.is_some());
    let Some(last) = writing.map(|step| (step.field.offset + u64::from(step.field.bits) - 1) / 8).max()
    else {
        return answer_reads(&steps, key, access, replies);
    };
    let (deadline, mut value) = access.copy_of(key)?.unwrap_or_default();
    let mut changed = grow(&mut value, last, access.value_bytes_max())?;
    replies.array(steps.len());
    for Step { field, change } in steps {
        let before = field.read(&value);
        let Some((change, overflow)) = change else {
            replies.integer(before);
            continue;
        };
        match field.changed(before, change, overflow) {
            None => replies.null(),
            Some(after) => {
                field.write(&mut value, after);
                changed |= after != before;
                replies.integer(if matches!(change, Change::Set(_)) { before } else { after });
            }
        }
    }
    if changed {
        access.put(key, deadline, &[&value])?;
    }
    Ok(())
}

pub(super) fn bitfield_ro(
    arguments: Arguments<'_>,
    reads: &mut dyn Reads,
    replies: &mut dyn Replies,
) -> Outcome {
    let steps = parse(arguments)?;
    if steps.iter().any(|step| step.change.is_some()) {
        return Err(Failure::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    answer_reads(&steps, arguments.word(1), reads, replies)
}

fn answer_reads(steps: &[Step], key: &[u8], reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let stored = reads.value(key)?;
    let value = stored.map_or(&[][..], |stored| stored.bytes);
    replies.array(steps.len());
    steps.iter().for_each(|step| replies.integer(step.field.read(value)));
    Ok(())
}

fn parse(arguments: Arguments<'_>) -> Outcome<Vec<Step>> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut place = 2;
    while place < arguments.len() {
        let left = arguments.len() - place - 1;
        let is = |name: &str, words: usize| {
            arguments.word(place).eq_ignore_ascii_case(name.as_bytes()) && left >= words
        };
        if is("overflow", 1) {
            overflow = overflow_named(arguments.word(place + 1))?;
            place += 2;
        } else if is("get", 2) || is("set", 3) || is("incrby", 3) {
            let field = field(arguments.word(place + 1), arguments.word(place + 2))?;
            let change = match is("get", 2) {
                true => None,
                false => {
                    let operand = number::integer(arguments.word(place + 3))?;
                    let change = if is("set", 3) { Change::Set(operand) } else { Change::Add(operand) };
                    Some((change, overflow))
                }
            };
            place += if change.is_some() { 4 } else { 3 };
            steps.push(Step { field, change });
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(steps)
}

fn overflow_named(word: &[u8]) -> Outcome<Overflow> {
    let named = [("wrap", Overflow::Wrap), ("sat", Overflow::Saturate), ("fail", Overflow::Fail)];
    let found = named.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, overflow)| overflow).ok_or(Failure::fixed("ERR Invalid OVERFLOW type specified"))
}

fn field(kind: &[u8], place: &[u8]) -> Outcome<Field> {
    let (signed, bits) = match kind {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return Err(BAD_TYPE),
    };
    let bits = number::parse(bits).and_then(|bits| u32::try_from(bits).ok());
    let bits_max = if signed { 64 } else { 63 };
    let bits = bits.filter(|bits| (1..=bits_max).contains(bits)).ok_or(BAD_TYPE)?;
    Ok(Field { signed, bits, offset: offset(place, Some(bits))? })
}

impl Field {
    /// The integer in the value, behind whose last byte all bits are clear.
    fn read(self, value: &[u8]) -> i64 {
        let first = usize::try_from(self.offset / 8).unwrap_or(usize::MAX);
        let mut window = [0; 16];
        let there = value.get(first..).unwrap_or_default();
        // The integer lies in nine bytes at most.
        let there = &there[..there.len().min(9)];
        window[..there.len()].copy_from_slice(there);
        let shifted = u128::from_be_bytes(window) << (self.offset % 8);
        match self.signed {
            true => (shifted as i128 >> (128 - self.bits)) as i64,
            false => (shifted >> (128 - self.bits)) as i64,
        }
    }

    /// Puts the lowest bits of `number` into the value, which is long enough.
    fn write(self, value: &mut [u8], number: i64) {
        let first = (self.offset / 8) as usize;
        let end = value.len().min(first + 9);
        let mut window = [0; 16];
        window[..end - first].copy_from_slice(&value[first..end]);
        let down = 128 - self.bits - (self.offset % 8) as u32;
        let mask = ((1_u128 << self.bits) - 1) << down;
        let bits = (number as u64 as u128) << down & mask;
        let window = (u128::from_be_bytes(window) & !mask | bits).to_be_bytes();
        value[first..end].copy_from_slice(&window[..end - first]);
    }

    /// What becomes of the integer; `None` if that does not fit and `overflow` says to fail then.
    fn changed(self, before: i64, change: Change, overflow: Overflow) -> Option<i64> {
        let (base, increment) = match change {
            Change::Set(number) => (number, 0),
            Change::Add(increment) => (before, increment),
        };
        let beyond = match self.signed {
            true => self.signed_limit_crossed(base, increment),
            false => self.unsigned_limit_crossed(base as u64, increment),
        };
        match (beyond, overflow) {
            (None, _) => Some(base.wrapping_add(increment)),
            (Some(limit), Overflow::Saturate) => Some(limit),
            (Some(_), Overflow::Wrap) => Some(self.wrapped(base.wrapping_add(increment))),
            (Some(_), Overflow::Fail) => None,
        }
    }

    /// The limit that the sum is beyond of. As Redis works it out: its difference overflows for a number far
    /// below the lowest limit, so that SET saturates that at the highest.
    fn signed_limit_crossed(self, number: i64, increment: i64) -> Option<i64> {
        let highest = i64::MAX >> (64 - self.bits);
        let lowest = -highest - 1;
        let (room_above, room_below) = (highest.wrapping_sub(number), lowest.wrapping_sub(number));
        let narrow = self.bits < 64;
        let too_high =
            number > highest || (increment > room_above && (narrow || (number >= 0 && increment > 0)));
        let too_low =
            number < lowest || (increment < room_below && (narrow || (number < 0 && increment < 0)));
        if too_high {
            Some(highest)
        } else if too_low {
            Some(lowest)
        } else {
            None
        }
    }

    fn unsigned_limit_crossed(self, number: u64, increment: i64) -> Option<i64> {
        let highest = (1_u64 << self.bits) - 1;
        let room_above = highest.wrapping_sub(number) as i64;
        let room_below = number.wrapping_neg() as i64;
        if number > highest || (increment > 0 && increment > room_above) {
            Some(highest as i64)
        } else if increment < 0 && increment < room_below {
            Some(0)
        } else {
            None
        }
    }

    /// The lowest bits of a sum, as an integer of this kind.
    fn wrapped(self, sum: i64) -> i64 {
        let up = 64 - self.bits;
        match self.signed {
            true => sum << up >> up,
            false => ((sum as u64) << up >> up) as i64,
        }
    }
}
