//! Whole numbers as Redis reads and writes them.

use super::errors::{NO_SUCH_DATABASE, NOT_AN_INTEGER, NOT_IN_INT_RANGE, Outcome};
use crate::storage::keyspace::DATABASES;

/// The number that the bytes spell in the one way Redis accepts: no sign `+`, no space, no leading zero.
pub(super) fn parse(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 20)?;
    let number = text.parse::<i64>().ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !text.starts_with('+') && (!digits.starts_with('0') || text == "0");
    plain.then_some(number)
}

/// The number that the bytes spell, or the error that a client gets.
pub(super) fn integer(bytes: &[u8]) -> Outcome<i64> {
    parse(bytes).ok_or(NOT_AN_INTEGER)
}

/// The number of a database, 0 … 15, or the error that a client gets.
pub(super) fn database(bytes: &[u8]) -> Outcome<u8> {
    database_numbered(i32::try_from(integer(bytes)?).map_err(|_| NOT_IN_INT_RANGE)?)
}

/// The database of that number, 0 … 15, or the error that a client gets.
pub(super) fn database_numbered(number: i32) -> Outcome<u8> {
    u8::try_from(number).ok().filter(|number| *number < DATABASES).ok_or(NO_SUCH_DATABASE)
}

/// The first and the last place that a range of places means in `length` ones, where negative numbers count
/// from the end; `None` if it means none.
pub(super) fn span(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    let is_backwards = start < 0 && end < 0 && start > end;
    if is_backwards { None } else { clamped_span(start, end, length) }
}

/// Like `span`, but two places before the first one mean the first one, in either order.
pub(super) fn clamped_span(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    let from_start = |place: i64| match place {
        0.. => place as u64,
        _ => length.saturating_sub(place.unsigned_abs()),
    };
    let (first, last) = (from_start(start), from_start(end).min(length.checked_sub(1)?));
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_from_either_end() {
        let cases = [
            ((0, -1), 5, Some((0, 4))),
            ((-3, -2), 5, Some((2, 3))),
            ((-2, -3), 5, None),
            ((-9, 2), 5, Some((0, 2))),
            ((-9, -7), 5, Some((0, 0))),
            ((3, 9), 5, Some((3, 4))),
            ((5, 9), 5, None),
            ((3, 2), 5, None),
            ((0, 0), 0, None),
            ((i64::MIN, i64::MAX), 5, Some((0, 4))),
            ((i64::MAX, i64::MIN), 5, None),
        ];
        for ((start, end), length, expected) in cases {
            assert_eq!(span(start, end, length), expected, "{start} {end} of {length}");
        }
        assert_eq!((span(-7, -9, 5), clamped_span(-7, -9, 5)), (None, Some((0, 0))));
        assert_eq!(clamped_span(-2, -3, 5), None);
    }

    #[test]
    fn numbers_have_exactly_one_spelling() {
        for (text, number) in
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(parse(text.as_bytes()), Some(number));
        }
        for text in
            ["", "-", "+1", " 1", "1 ", "01", "-0", "-01", "9223372036854775808", "1.0", "x", "\u{661}"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
