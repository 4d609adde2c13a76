//! DUMP and RESTORE: a value as bytes that Redis takes and gives.
//!
//! Promises: what DUMP gives, Redis 7.0 restores, and RESTORE takes every string that a Redis up to 7.0 gives;
//! damaged bytes are refused and nothing is stored. The memory grows with what is there, whatever a length in
//! the payload says, and what would be longer than a value may be is not unpacked.
//!
//! ```text
//! payload   [type: 0 for a string][string][version: u16][crc64 of all before it: u64]      little-endian
//! string    [length][bytes]  or  [11 and a kind]: an integer of 8, 16 or 32 bits, or packed bytes
//! length    00 6 bits · 01 14 bits · 10000000 32 bits · 10000001 64 bits                   big-endian
//! ```

use std::borrow::Cow;

use crc::{CRC_64_REDIS, Crc, Table};

use super::access::{GroupAccess, Reads};
use super::errors::{Failure, NO_EXPIRY, Outcome, STRING_TOO_LONG, SYNTAX};
use super::{Arguments, Replies, number};
use crate::transfer::rdb::lzf;

/// The version of the form, that of Redis 7.0.
const VERSION: u16 = 10;
/// How many bytes follow the value.
const FOOTER_BYTES: usize = 10;
/// The type of a string.
const STRING: u8 = 0;
/// The kinds of an encoded string.
const INTEGER_8: u8 = 0;
const INTEGER_16: u8 = 1;
const INTEGER_32: u8 = 2;
const PACKED: u8 = 3;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

const BUSY_KEY: Failure = Failure::fixed("BUSYKEY Target key name already exists.");
const BAD_CHECKSUM: Failure = Failure::fixed("ERR DUMP payload version or checksum are wrong");
const BAD_FORMAT: Failure = Failure::fixed("ERR Bad data format");
const NOT_A_STRING: Failure =
    Failure::fixed("ERR the payload holds a list, set, hash or the like; this server stores strings alone");

pub(super) fn dump(arguments: Arguments<'_>, reads: &mut dyn Reads, replies: &mut dyn Replies) -> Outcome {
    let work_bytes_max = reads.work_bytes_max();
    match reads.value(arguments.word(1))? {
        None => replies.null(),
        Some(stored) if stored.bytes.len() > work_bytes_max => return Err(Failure::WouldBlock),
        Some(stored) => replies.bulk(&payload(stored.bytes)),
    }
    Ok(())
}

/// The payload of a value. It is not packed, which Redis leaves to whoever dumps.
fn payload(value: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(value.len() + 10 + FOOTER_BYTES);
    payload.push(STRING);
    match number::parse(value).and_then(|number| i32::try_from(number).ok()) {
        Some(number) => write_integer(number, &mut payload),
        None => {
            write_length(value.len() as u64, &mut payload);
            payload.extend_from_slice(value);
        }
    }
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = CHECKSUM.checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

fn write_integer(number: i32, payload: &mut Vec<u8>) {
    let kind = |kind: u8| 0b1100_0000 | kind;
    if let Ok(number) = i8::try_from(number) {
        payload.extend_from_slice(&[kind(INTEGER_8), number as u8]);
    } else if let Ok(number) = i16::try_from(number) {
        payload.push(kind(INTEGER_16));
        payload.extend_from_slice(&number.to_le_bytes());
    } else {
        payload.push(kind(INTEGER_32));
        payload.extend_from_slice(&number.to_le_bytes());
    }
}

fn write_length(length: u64, payload: &mut Vec<u8>) {
    match length {
        ..0x40 => payload.push(length as u8),
        0x40..0x4000 => payload.extend_from_slice(&(0x4000 | length as u16).to_be_bytes()),
        0x4000..=0xffff_ffff => {
            payload.push(0x80);
            payload.extend_from_slice(&(length as u32).to_be_bytes());
        }
        _ => {
            payload.push(0x81);
            payload.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency].
pub(super) fn restore(
    arguments: Arguments<'_>,
    access: &mut GroupAccess<'_, '_>,
    replies: &mut dyn Replies,
) -> Outcome {
    let key = arguments.word(1);
    let replaces = parse_options(arguments)?;
    if !replaces && access.value(key)?.is_some() {
        return Err(BUSY_KEY);
    }
    let ttl = number::integer(arguments.word(2))?;
    if ttl < 0 {
        return Err(Failure::fixed("ERR Invalid TTL value, must be >= 0"));
    }
    let value = restored(checked(arguments.word(3))?, access.value_bytes_max())?;
    if ttl > 0 {
        return Err(NO_EXPIRY);
    }
    access.put(key, None, &[&value])?;
    replies.simple("OK");
    Ok(())
}

/// Whether REPLACE is given. When and how often a value was read is not kept, so IDLETIME and FREQ are checked
/// and forgotten.
fn parse_options(arguments: Arguments<'_>) -> Outcome<bool> {
    let (mut replaces, mut idle, mut frequency) = (false, false, false);
    let mut place = 4;
    while place < arguments.len() {
        let is = |name: &str| arguments.word(place).eq_ignore_ascii_case(name.as_bytes());
        let has_value = place + 1 < arguments.len();
        if is("replace") {
            replaces = true;
        } else if is("absttl") {
        } else if is("idletime") && has_value && !frequency {
            place += 1;
            idle = true;
            if number::integer(arguments.word(place))? < 0 {
                return Err(Failure::fixed("ERR Invalid IDLETIME value, must be >= 0"));
            }
        } else if is("freq") && has_value && !idle {
            place += 1;
            frequency = true;
            if !(0..=255).contains(&number::integer(arguments.word(place))?) {
                return Err(Failure::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255"));
            }
        } else {
            return Err(SYNTAX);
        }
        place += 1;
    }
    Ok(replaces)
}

/// What is before the footer of a payload, which has to be whole and of a known version.
fn checked(payload: &[u8]) -> Outcome<&[u8]> {
    let (signed, checksum) = payload.split_last_chunk::<8>().ok_or(BAD_CHECKSUM)?;
    let (body, version) = signed.split_last_chunk::<2>().ok_or(BAD_CHECKSUM)?;
    let is_whole = CHECKSUM.checksum(signed) == u64::from_le_bytes(*checksum);
    if u16::from_le_bytes(*version) > VERSION || !is_whole { Err(BAD_CHECKSUM) } else { Ok(body) }
}

/// The value in a payload without its footer, of at most `bytes_max` bytes.
fn restored(body: &[u8], bytes_max: usize) -> Outcome<Cow<'_, [u8]>> {
    match body.split_first() {
        Some((&STRING, string)) => {
            let (length, string) = read_string(string).ok_or(BAD_FORMAT)?;
            match string {
                _ if length > bytes_max => Err(STRING_TOO_LONG),
                Form::Plain(bytes) => Ok(bytes),
                Form::Packed(packed) => lzf::unpack(packed, length).map(Cow::Owned).ok_or(BAD_FORMAT),
            }
        }
        Some((1..=7 | 9..=19, _)) => Err(NOT_A_STRING),
        _ => Err(BAD_FORMAT),
    }
}

/// How a string lies in a payload.
enum Form<'a> {
    Plain(Cow<'a, [u8]>),
    Packed(&'a [u8]),
}

/// A string and its length, which for a packed one is only claimed.
fn read_string(bytes: &[u8]) -> Option<(usize, Form<'_>)> {
    let first = *bytes.first()?;
    if first >> 6 != 0b11 {
        let (length, rest) = read_length(bytes)?;
        return rest.get(..length).map(|bytes| (length, Form::Plain(Cow::Borrowed(bytes))));
    }
    let rest = &bytes[1..];
    let number = match first & 0x3f {
        INTEGER_8 => rest.first_chunk().map(|bytes| i32::from(i8::from_le_bytes(*bytes))),
        INTEGER_16 => rest.first_chunk().map(|bytes| i32::from(i16::from_le_bytes(*bytes))),
        INTEGER_32 => rest.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)),
        PACKED => {
            let (packed_length, rest) = read_length(rest)?;
            let (length, rest) = read_length(rest)?;
            return rest.get(..packed_length).map(|packed| (length, Form::Packed(packed)));
        }
        _ => None,
    };
    let digits = number?.to_string().into_bytes();
    Some((digits.len(), Form::Plain(Cow::Owned(digits))))
}

/// A length and what is behind it.
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = match (first >> 6, first) {
        (0b00, short) => (u64::from(*short), rest),
        (0b01, high) => {
            let (low, rest) = rest.split_first()?;
            (u64::from(high & 0x3f) << 8 | u64::from(*low), rest)
        }
        (_, 0x80) => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from(u32::from_be_bytes(*length)), rest)
        }
        (_, 0x81) => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        _ => return None,
    };
    usize::try_from(length).ok().map(|length| (length, rest))
}
