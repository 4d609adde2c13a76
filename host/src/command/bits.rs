//! SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP: values as rows of bits.
//!
//! Promises: bit 0 is the highest bit of the first byte; behind its last byte a value has only clear bits. A
//! value is made no longer than a value may be.

use super::access::{GroupAccess, Reads};
use super::errors::{Failure, Outcome, SYNTAX};
use super::{Arguments, Replies, number};

/// What is wrong with the place of a bit.
pub(super) const BAD_OFFSET: Failure = Failure::fixed("ERR bit offset is not an integer or out of range");
/// Redis takes no bit behind this many bytes, however long a value may be here.
const OFFSET_BYTES_END: i64 = 512 << 20;

/// The place of a bit that the bytes spell, below 2^32. With a `width`, `#3` is the place of the fourth
/// integer of that many bits.
pub(super) fn offset(bytes: &[u8], width: Option<u32>) -> Outcome<u64> {
    let place = match (bytes, width) {
        // Redis lets this product overflow.
        ([b'#', index @ ..], Some(width)) => {
            number::parse(index).map(|index| index.wrapping_mul(width.into()))
        }
        _ => number::parse(bytes),
    };
    let place = place.filter(|place| *place >= 0 && place >> 3 < OFFSET_BYTES_END);
    place.map(|place| place as u64).ok_or(BAD_OFFSET)
}

/// Makes the value long enough for the byte at `last`, unless that is longer than a value may be.
pub(super) fn grow(value: &mut Vec<u8>, last: u64, value_bytes_max: usize) -> Outcome<bool> {
    if last >= value_bytes_max as u64 {
        return Err(BAD_OFFSET);
    }
    let grows = last >= value.len() as u64;
    if grows {
        value.resize(last as usize + 1, 0);
    }
    Ok(grows)
}

fn bit(value: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8).ok().and_then(|place| value.get(place));
    byte.is_some_and(|byte| byte >> (7 - offset % 8) & 1 == 1)
}

pub(super) fn setbit(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let key = arguments.word(1);
    let offset = offset(arguments.word(2), None)?;
    let set = match arguments.word(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Failure::fixed("ERR bit is not an integer or out of range")),
    };
    let (deadline, mut value) = access.copy_of(key)?.unwrap_or_default();
    let grown = grow(&mut value, offset / 8, access.value_bytes_max())?;
    let before = bit(&value, offset);
    if grown || before != set {
        let mask = 0x80 >> (offset % 8);
        let byte = &mut value[(offset / 8) as usize];
        *byte = if set { *byte | mask } else { *byte & !mask };
        access.put(key, deadline, &[&value])?;
    }
    replies.integer(before.into());
    Ok(())
}

pub(super) fn getbit(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let offset = offset(arguments.word(2), None)?;
    let set = reads.value(arguments.word(1))?.is_some_and(|stored| bit(stored.bytes, offset));
    replies.integer(set.into());
    Ok(())
}

/// Whether the word is BIT; else it has to be BYTE.
fn counts_bits(word: &[u8]) -> Outcome<bool> {
    match word {
        bit if bit.eq_ignore_ascii_case(b"bit") => Ok(true),
        byte if byte.eq_ignore_ascii_case(b"byte") => Ok(false),
        _ => Err(SYNTAX),
    }
}

/// How `number::span` and `number::clamped_span` draw a range.
type Span = fn(i64, i64, u64) -> Option<(u64, u64)>;

/// The first bit and the one behind the last of a range of bits or bytes of a value; `None` if it is empty.
fn bit_span(span: Span, start: i64, end: i64, in_bits: bool, value: &[u8]) -> Option<(u64, u64)> {
    let unit = if in_bits { 1 } else { 8 };
    let (first, last) = span(start, end, value.len() as u64 * 8 / unit)?;
    Some((first * unit, (last + 1) * unit))
}

pub(super) fn bitcount(
    arguments: Arguments<'_>,
    reads: &mut dyn Reads,
    replies: &mut dyn Replies,
) -> Outcome {
    let work_bytes_max = reads.work_bytes_max();
    // Redis answers 0 for what is not there before it looks at the rest.
    let Some(stored) = reads.value(arguments.word(1))? else {
        replies.integer(0);
        return Ok(());
    };
    let span = match arguments.len() {
        2 => bit_span(number::span, 0, -1, false, stored.bytes),
        4 | 5 => {
            let (start, end) = (number::integer(arguments.word(2))?, number::integer(arguments.word(3))?);
            let is_empty = start < 0 && end < 0 && start > end;
            let in_bits = !is_empty && arguments.len() == 5 && counts_bits(arguments.word(4))?;
            bit_span(number::span, start, end, in_bits, stored.bytes)
        }
        _ => return Err(SYNTAX),
    };
    if stored.bytes.len() > work_bytes_max {
        return Err(Failure::WouldBlock);
    }
    let count = span.map_or(0, |(from, to)| count_set(stored.bytes, from, to));
    replies.integer(count as i64);
    Ok(())
}

/// How many bits are set from `from` on and before `to`, which lie in the value.
fn count_set(value: &[u8], from: u64, to: u64) -> u64 {
    let of = |bytes: &[u8]| -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let of_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
        of_words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
    };
    let whole = &value[(from / 8) as usize..to.div_ceil(8) as usize];
    let before = whole.first().map_or(0, |byte| byte & !(0xff >> (from % 8)));
    let behind = whole.last().map_or(0, |byte| byte & !(0xff00_u16 >> ((to + 7) % 8 + 1)) as u8);
    of(whole) - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

pub(super) fn bitpos(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let wanted = match number::integer(arguments.word(2))? {
        0 => false,
        1 => true,
        _ => return Err(Failure::fixed("ERR The bit argument must be 1 or 0.")),
    };
    let work_bytes_max = reads.work_bytes_max();
    let Some(stored) = reads.value(arguments.word(1))? else {
        // It is as good as clear bits without an end, whatever the rest says.
        replies.integer(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let words = arguments.len();
    if words > 6 {
        return Err(SYNTAX);
    }
    let start = if words > 3 { number::integer(arguments.word(3))? } else { 0 };
    let in_bits = words == 6 && counts_bits(arguments.word(5))?;
    let end = if words > 4 { number::integer(arguments.word(4))? } else { -1 };
    if stored.bytes.len() > work_bytes_max {
        return Err(Failure::WouldBlock);
    }
    let span = bit_span(number::clamped_span, start, end, in_bits, stored.bytes);
    let place = span.and_then(|(from, to)| {
        // Only a range whose end the client named ends there; else clear bits follow.
        let behind = (!wanted && words < 5).then_some(to);
        first_bit(stored.bytes, wanted, from, to).or(behind)
    });
    replies.integer(place.map_or(-1, |place| place as i64));
    Ok(())
}

/// The first bit that is set, or clear, from `from` on and before `to`, which lie in the value.
fn first_bit(value: &[u8], set: bool, from: u64, to: u64) -> Option<u64> {
    let skipped = if set { 0 } else { 0xff };
    let mut place = from;
    while place < to {
        let byte = (place / 8) as usize;
        if place.is_multiple_of(8) && value[byte] == skipped {
            // Most of a long value is like this.
            let run = value[byte..].iter().take_while(|byte| **byte == skipped).count() as u64;
            place += run * 8;
        } else if bit(value, place) == set {
            return Some(place);
        } else {
            place += 1;
        }
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

pub(super) fn bitop(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let operations =
        [("and", Operation::And), ("or", Operation::Or), ("xor", Operation::Xor), ("not", Operation::Not)];
    let named = |name: &str| arguments.word(1).eq_ignore_ascii_case(name.as_bytes());
    let (_, operation) = operations.into_iter().find(|(name, _)| named(name)).ok_or(SYNTAX)?;
    if operation == Operation::Not && arguments.len() != 4 {
        return Err(Failure::fixed("ERR BITOP NOT must be called with a single source key."));
    }
    let target = arguments.word(2);
    let mut result = access.copy_of(arguments.word(3))?.map_or(Vec::new(), |(_, bytes)| bytes);
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for key in arguments.from(4) {
        let stored = access.value(key)?;
        combine(operation, &mut result, stored.map_or(&[], |stored| stored.bytes));
    }
    if result.is_empty() {
        access.delete(target)?;
    } else {
        access.put(target, None, &[&result])?;
    }
    replies.integer(result.len() as i64);
    Ok(())
}

/// Works `other` into `result`; the shorter one goes on with clear bits.
fn combine(operation: Operation, result: &mut Vec<u8>, other: &[u8]) {
    result.resize(result.len().max(other.len()), 0);
    let (both, behind) = result.split_at_mut(other.len());
    for (byte, other) in both.iter_mut().zip(other) {
        match operation {
            Operation::And => *byte &= other,
            Operation::Or => *byte |= other,
            Operation::Xor => *byte ^= other,
            Operation::Not => {}
        }
    }
    if operation == Operation::And {
        behind.fill(0);
    }
}
