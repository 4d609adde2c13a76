//! The patterns of KEYS, SCAN … MATCH and CONFIG GET, as Redis matches them.
//!
//! Promises: never recurses; gives up after a stated number of steps, so that no pattern can hold a thread.
//!
//! ```text
//! ?  one byte     *  any bytes     [ab] [a-z] [^a]  one byte of (not of) a class     \x  x itself
//! ```

/// After how many steps a match gives up.
const STEPS_MAX: usize = 1 << 20;

/// The pattern takes more steps than one match may take.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooCostly;

/// Whether the whole text matches the pattern.
///
/// # Errors
/// `TooCostly` after 1,048,576 steps.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> Result<bool, TooCostly> {
    if text.is_empty() {
        // In Redis nothing but a lone `*` matches it, not even `**`.
        return Ok(matches!(pattern, b"" | b"*"));
    }
    let (mut at, mut position) = (0, 0);
    // Where to go on when what follows the last `*` does not match: one byte further.
    let mut retry: Option<(usize, usize)> = None;
    for _ in 0..STEPS_MAX {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            if at == pattern.len() {
                return Ok(true);
            }
            retry = Some((at, position));
            continue;
        }
        match text.get(position) {
            None => return Ok(at == pattern.len()),
            Some(byte) => match one(&pattern[at..], *byte) {
                Some(used) => (at, position) = (at + used, position + 1),
                None => match retry {
                    None => return Ok(false),
                    Some((behind_star, tried)) => {
                        retry = Some((behind_star, tried + 1));
                        (at, position) = (behind_star, tried + 1);
                    }
                },
            },
        }
    }
    Err(TooCostly)
}

/// How many bytes of the pattern stand for `byte`, if they match it.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            let (matched, used) = class(rest, byte);
            matched.then_some(1 + used)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether `byte` is of the class that begins behind a `[`, and how many bytes the class has. A class that
/// is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let mut used = usize::from(negated);
    let mut matched = false;
    loop {
        match &pattern[used..] {
            [] => return (matched != negated, used),
            [b'\\', escaped, ..] => {
                matched |= *escaped == byte;
                used += 2;
            }
            [b']', ..] => return (matched != negated, used + 1),
            [first, b'-', last, ..] => {
                matched |= (*first.min(last)..=*first.max(last)).contains(&byte);
                used += 3;
            }
            [literal, ..] => {
                matched |= *literal == byte;
                used += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let table: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", false),
            ("a**", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("a*b*c", "axbxbyc", true),
            ("***x", "yyx", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[\\]]", "]", true),
            ("[ab", "b", true),
            ("[ab", "bb", false),
            ("a\\", "a\\", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("foo", "foo*", false),
            ("*foo*", "a foo b", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), Ok(*expected), "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_that_would_take_for_ever_is_given_up() {
        let text = vec![b'a'; 8192];
        let pattern = [b"*".to_vec(), vec![b'a'; 4096], b"b".to_vec()].concat();
        assert_eq!(matches(&pattern, &text), Err(TooCostly));
    }
}
