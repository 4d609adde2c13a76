//! Whether bytes are replies: the form of both versions of the protocol, and nothing of what they say.
//!
//! Promises: reads no byte that is not there, and says where the form ends. `dispatch` calls it.

/// How deep replies may lie in each other: the deepest are those of COMMAND DOCS.
const DEPTH_MAX: usize = 8;

/// How many whole replies the bytes are.
///
/// # Errors
/// What is there instead of a reply.
pub fn count(mut bytes: &[u8]) -> Result<usize, String> {
    let mut replies = 0;
    while !bytes.is_empty() {
        bytes = behind_reply(bytes, DEPTH_MAX)?;
        replies += 1;
    }
    Ok(replies)
}

/// The bytes behind the first reply.
fn behind_reply(bytes: &[u8], depth: usize) -> Result<&[u8], String> {
    let wrong = |what: &str| format!("{what}: {}", bytes[..bytes.len().min(100)].escape_ascii());
    let (kind, rest) = bytes.split_first().ok_or("a reply is missing")?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or_else(|| wrong("no end of a line"))?;
    let (line, mut rest) = (&rest[..end], &rest[end + 2..]);
    let number = || {
        let text = std::str::from_utf8(line).ok().and_then(|text| text.parse::<i64>().ok());
        text.ok_or_else(|| wrong("no number"))
    };
    let parts = match kind {
        b'+' | b'-' if line.contains(&b'\n') || line.contains(&b'\r') => {
            return Err(wrong("a line in a line"));
        }
        b'+' => 0,
        b'-' if line.first().is_some_and(u8::is_ascii_uppercase) => 0,
        b':' => number().map(|_| 0)?,
        b'_' if line.is_empty() => 0,
        b'$' | b'=' => {
            let length = number()?;
            if *kind == b'$' && length == -1 {
                return Ok(rest);
            }
            let length = usize::try_from(length).map_err(|_| wrong("a negative length"))?;
            let (_, behind) = rest.split_at_checked(length).ok_or_else(|| wrong("too few bytes"))?;
            rest = behind.strip_prefix(b"\r\n").ok_or_else(|| wrong("no end behind bytes"))?;
            0
        }
        b'*' | b'~' => number()?,
        b'%' => number()?.saturating_mul(2),
        _ => return Err(wrong("no kind of reply")),
    };
    let depth = depth.checked_sub(1).ok_or("replies lie too deep in each other")?;
    for _ in 0..u64::try_from(parts).map_err(|_| wrong("a negative count"))? {
        rest = behind_reply(rest, depth)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn whole_replies_are_counted_and_others_are_not() {
        for whole in
            ["+OK\r\n", "*2\r\n:1\r\n$-1\r\n", "%1\r\n+a\r\n_\r\n", "=7\r\ntxt:\r\na\r\n", "$2\r\n\r\n\r\n"]
        {
            assert_eq!(count(whole.repeat(2).as_bytes()), Ok(2), "{whole:?}");
            for cut in 1..whole.len() {
                assert!(count(&whole.as_bytes()[..cut]).is_err(), "{cut} of {whole:?}");
            }
        }
        for bad in ["OK\r\n", "-err\r\n", ":x\r\n", "$3\r\nabcd\r\n", "*-2\r\n", "+a\nb\r\n"] {
            assert!(count(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
