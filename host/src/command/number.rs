//! Whole numbers as Redis reads and writes them.

use super::errors::{NOT_AN_INTEGER, Outcome};

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

#[cfg(test)]
mod tests {
    use super::*;

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
