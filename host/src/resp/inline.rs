//! The words of an inline request, with the quoting rules of Redis.
//!
//! ```text
//! plain        ends at white space
//! "a b\n\x00"  escapes \n \r \t \b \a \xHH; a backslash before anything else stands for that byte
//! 'a "b" \''   only \' is an escape
//! ```
//! A closing quote must be followed by white space or the end of the line. A quote inside a plain word opens a
//! quoted part of the same word.

use std::ops::Range;

/// A quote was not closed, or something followed a closing quote.
#[derive(Debug)]
pub(super) struct Unbalanced;

/// Splits `line` (without its line break) into words, appended to `words` as ranges of `line`. Unquotes in place:
/// a word is never longer than the way it was written.
pub(super) fn split(line: &mut [u8], words: &mut Vec<Range<u32>>) -> Result<(), Unbalanced> {
    let mut read = 0;
    let mut write = 0;
    loop {
        while line.get(read).is_some_and(|byte| is_space(*byte)) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        let start = write;
        (read, write) = word(line, read, write)?;
        words.push(start as u32..write as u32);
    }
}

/// Unquotes the word that begins at `read` to `write`; returns the two positions behind it.
fn word(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), Unbalanced> {
    while let Some(&byte) = line.get(read) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' | b'\'' => {
                (read, write) = quoted(line, byte, read + 1, write)?;
                // A closing quote ends the word.
                match line.get(read) {
                    Some(next) if !is_space(*next) => return Err(Unbalanced),
                    _ => break,
                }
            }
            byte => {
                line[write] = byte;
                read += 1;
                write += 1;
            }
        }
    }
    Ok((read, write))
}

/// Unquotes up to the closing `quote`; returns the positions behind it.
fn quoted(
    line: &mut [u8],
    quote: u8,
    mut read: usize,
    mut write: usize,
) -> Result<(usize, usize), Unbalanced> {
    loop {
        let (byte, length) = match line[read..] {
            [] => return Err(Unbalanced),
            [byte, ..] if byte == quote => return Ok((read + 1, write)),
            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
            [b'\\', b'x', high, low, ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(high) * 16 + hex(low), 4)
            }
            [b'\\', escaped, ..] if quote == b'"' => (unescape(escaped), 2),
            [byte, ..] => (byte, 1),
        };
        line[write] = byte;
        read += length;
        write += 1;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        other => (other | 0x20) - b'a' + 10,
    }
}

/// White space as C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::split;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut line = line.to_vec();
        let mut words = Vec::new();
        split(&mut line, &mut words).ok()?;
        Some(words.iter().map(|word| line[word.start as usize..word.end as usize].to_vec()).collect())
    }

    fn check(line: &[u8], expected: &[&[u8]]) {
        assert_eq!(
            words(line).as_deref(),
            Some(&expected.iter().map(|word| word.to_vec()).collect::<Vec<_>>()[..])
        );
    }

    #[test]
    fn words_end_at_white_space() {
        check(b"", &[]);
        check(b" \t ", &[]);
        check(b"  SET  key\tvalue ", &[b"SET", b"key", b"value"]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        check(
            br#"a "b c" "" "\n\r\t\b\a\\\"\q" "\x00\xfF\xg0""#,
            &[b"a", b"b c", b"", b"\n\r\t\x08\x07\\\"q", b"\x00\xffxg0"],
        );
    }

    #[test]
    fn single_quotes_escape_only_themselves() {
        check(br#"'a\'b' '\n"' x'y'"#, &[b"a'b", b"\\n\"", b"xy"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [&b"\"a"[..], b"'a", b"\"a\"b", b"'a'b", b"\"a\\", b"\"a\\\"", b"\"\"\"k\"\"\" v"] {
            assert!(words(line).is_none(), "{}", line.escape_ascii());
        }
    }
}
