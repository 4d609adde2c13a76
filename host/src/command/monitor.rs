//! MONITOR: every request that the server receives, as it comes.
//!
//! Promises: passwords and administration are not shown; strangers' bytes are escaped; a line is bounded.

use std::fmt::Write;

use super::errors::Outcome;
use super::table::Row;
use super::timing::shown_words;
use super::{Arguments, Context, Replies, Session};
use crate::observe::ClientFlag;

/// The bytes of one request that a line shows, before escaping.
const SHOWN_BYTES_MAX: usize = 64 * 1024;

pub(super) fn monitor(
    _: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    // Redis answers a second MONITOR with nothing.
    if !session.monitoring {
        session.monitoring = true;
        session.client().set(ClientFlag::Monitors, true);
        context.observe.monitors.add(session.client());
        replies.simple("OK");
    }
    Ok(())
}

/// Shows a request to everybody who monitors.
#[cold]
pub(super) fn show(row: &Row, arguments: Arguments<'_>, session: &Session, context: &Context) {
    if row.flags.contains(&"admin") {
        return;
    }
    let now = context.storage.clock().wall();
    let mut line = format!(
        "+{}.{:06} [{} {}]",
        now.as_secs(),
        now.subsec_micros(),
        session.database,
        session.client().address()
    );
    let mut left = SHOWN_BYTES_MAX;
    for word in shown_words(row, arguments) {
        let shown = &word[..word.len().min(left)];
        left -= shown.len();
        line.push_str(" \"");
        escape(shown, &mut line);
        line.push('"');
        if shown.len() < word.len() {
            // Writing to a String cannot fail.
            let _ = write!(line, "... ({} more bytes)", word.len() - shown.len());
        }
        if left == 0 {
            line.push_str(" ...");
            break;
        }
    }
    line.push_str("\r\n");
    if context.observe.monitors.feed(line.as_bytes()) {
        context.observe.attention.call();
    }
}

/// Writes bytes as Redis prints strings.
fn escape(bytes: &[u8], line: &mut String) {
    for byte in bytes {
        match byte {
            b'\\' | b'"' => line.extend(['\\', char::from(*byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn bytes_are_printed_as_in_redis() {
        let mut line = String::new();
        escape(b"x\r\n\t\x00\xff\"\\ y\x07\x08", &mut line);
        assert_eq!(line, r#"x\r\n\t\x00\xff\"\\ y\a\b"#);
    }
}
