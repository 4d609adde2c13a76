//! Where our replies may differ from those of Redis 7.0, each with its reason; `notes/compatibility.md` lists the
//! same for users.

use crate::frame::Frame;

/// A difference that is meant.
pub struct Accepted {
    /// What it is about.
    pub name: &'static str,
    /// Why it is so.
    pub reason: &'static str,
    /// Whether a request, in small letters, is one of those.
    concerns: fn(&[Vec<u8>]) -> bool,
    /// Whether the reply of Redis and ours are still as alike as they must be.
    forgives: fn(&Frame, &Frame) -> bool,
}

/// All of them.
pub const ACCEPTED: [Accepted; 14] = [
    Accepted {
        name: "the order of KEYS",
        reason: "Redis answers in the order of its hash table, we in the order of the keys",
        concerns: |words| starts(words, &["keys"]),
        forgives: |redis, ours| redis.head == ours.head && sorted(redis) == sorted(ours),
    },
    Accepted {
        name: "which keys one SCAN returns",
        reason: "cursors are each server's own; whole iterations are compared key by key",
        concerns: |words| starts(words, &["scan"]),
        forgives: |redis, ours| is_pair(redis) && is_pair(ours),
    },
    Accepted {
        name: "SCAN from a cursor that was never given out",
        reason: "Redis goes on somewhere, also from a cursor that is no number; we refuse it, because going on \
                 anywhere would skip keys silently",
        concerns: |words| starts(words, &["scan"]) && words.get(1).is_some_and(|cursor| cursor != b"0"),
        forgives: |_, ours| ours.head == b"-ERR invalid cursor",
    },
    Accepted {
        name: "which key RANDOMKEY returns",
        reason: "any key is right",
        concerns: |words| starts(words, &["randomkey"]),
        forgives: same_kind,
    },
    Accepted {
        name: "clocks and numbers of clients",
        reason: "TIME, LASTSAVE, CLIENT ID, the id in HELLO and OBJECT IDLETIME tell of one server at one moment",
        concerns: |words| {
            let own = [&["time"][..], &["lastsave"], &["client", "id"], &["object", "idletime"], &["hello"]];
            own.iter().any(|start| starts(words, start))
        },
        forgives: same_but_numbers,
    },
    Accepted {
        name: "OBJECT ENCODING of what was changed in place",
        reason: "Redis keeps it raw, however short it is; we tell the encoding by the value alone, as Redis does \
                 after SET",
        concerns: |words| {
            starts(words, &["object", "encoding"])
                && !words.get(2).is_some_and(|key| key.starts_with(b"set:"))
        },
        forgives: same_kind,
    },
    Accepted {
        name: "OBJECT REFCOUNT of what was changed in place",
        reason: "as with OBJECT ENCODING: small numbers are shared by many keys in Redis, until they are changed",
        concerns: |words| starts(words, &["object", "refcount"]),
        forgives: same_kind,
    },
    Accepted {
        name: "bytes of MEMORY USAGE",
        reason: "an entry takes other space here than in the memory of Redis",
        concerns: |words| starts(words, &["memory", "usage"]),
        forgives: same_kind,
    },
    Accepted {
        name: "how DUMP packs a value",
        reason: "Redis may compress it; each server restores what the other one dumped",
        concerns: |words| starts(words, &["dump"]),
        forgives: |redis, ours| redis.body.is_some() && ours.body.is_some(),
    },
    Accepted {
        name: "the number of commands",
        reason: "we have other commands than Redis",
        concerns: |words| starts(words, &["command", "count"]),
        forgives: same_kind,
    },
    Accepted {
        name: "the names in COMMAND LIST",
        reason: "commands that we have not are not listed; the order is that of the names",
        concerns: |words| starts(words, &["command", "list"]),
        forgives: |redis, ours| {
            ours.kind() == redis.kind()
                && !ours.is_error()
                && ours.parts.iter().all(|name| redis.parts.contains(name))
        },
    },
    Accepted {
        name: "COMMAND INFO behind the places of the keys",
        reason: "categories of access control, hints and specifications of keys come with the commands that use them",
        concerns: |words| starts(words, &["command", "info"]),
        forgives: |redis, ours| {
            let infos = redis.parts.iter().zip(&ours.parts);
            redis.head == ours.head
                && infos.into_iter().all(|(redis, ours)| redis.parts.get(..6) == ours.parts.get(..6))
        },
    },
    Accepted {
        name: "bytes that are no text, where an error repeats them",
        reason: "our errors are text: what is no UTF-8 shows as U+FFFD, and nothing is cut at a zero byte",
        concerns: |words| words.iter().any(|word| word.contains(&0) || std::str::from_utf8(word).is_err()),
        forgives: |redis, ours| {
            let before_repeated = |frame: &Frame| frame.text().split('\'').next().map(str::to_string);
            redis.is_error() && ours.is_error() && before_repeated(redis) == before_repeated(ours)
        },
    },
    Accepted {
        name: "the number of slow commands",
        reason: "how long a command took is of one moment",
        concerns: |words| starts(words, &["slowlog", "len"]),
        forgives: same_kind,
    },
];

/// Whether the two replies are equal, or differ as they may.
pub fn alike(words: &[Vec<u8>], redis: &Frame, ours: &Frame) -> bool {
    if redis == ours {
        return true;
    }
    let words: Vec<_> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    ACCEPTED.iter().any(|accepted| (accepted.concerns)(&words) && (accepted.forgives)(redis, ours))
}

/// Whether a request begins with these words.
fn starts(words: &[Vec<u8>], start: &[&str]) -> bool {
    words.len() >= start.len() && words.iter().zip(start).all(|(word, start)| word == start.as_bytes())
}

fn sorted(frame: &Frame) -> Vec<&Frame> {
    let mut parts: Vec<_> = frame.parts.iter().collect();
    parts.sort();
    parts
}

fn is_pair(frame: &Frame) -> bool {
    frame.parts.len() == 2
}

/// Both null, or both a text, or both a number; errors are compared byte for byte.
fn same_kind(redis: &Frame, ours: &Frame) -> bool {
    redis.kind() == ours.kind() && redis.is_null() == ours.is_null() && !redis.is_error()
}

/// Equal but for the numbers in it.
fn same_but_numbers(redis: &Frame, ours: &Frame) -> bool {
    let is_number = |frame: &Frame| {
        let body = frame.body.as_deref().unwrap_or_default();
        frame.kind() == b':' || (!body.is_empty() && body.iter().all(u8::is_ascii_digit))
    };
    if is_number(redis) || is_number(ours) {
        return is_number(redis) && is_number(ours) && redis.kind() == ours.kind();
    }
    let parts = redis.parts.iter().zip(&ours.parts);
    redis.head == ours.head
        && redis.body == ours.body
        && parts.into_iter().all(|(redis, ours)| same_but_numbers(redis, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::read(&mut text.replace(' ', "\r\n").replace('_', " ").as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(line: &str, redis: &str, ours: &str, expected: bool) {
        let words: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(alike(&words, &frame(redis), &frame(ours)), expected, "{line}: {redis} and {ours}");
    }

    #[test]
    fn every_difference_is_in_the_notes_with_its_reason() {
        let notes = include_str!("../../../../notes/compatibility.md");
        for Accepted { name, reason, .. } in &ACCEPTED {
            assert!(notes.contains(&format!("\n- {name}: {reason}\n")), "{name}: {reason}");
        }
    }

    #[test]
    fn a_single_byte_is_a_difference() {
        check("GET k", "$1 a ", "$1 a ", true);
        check("GET k", "$1 a ", "$1 b ", false);
        check("GET k", "$-1 ", "*-1 ", false);
        check("GET k", "$-1 ", "*0 ", false);
        check("MGET a b", "*2 $-1 $-1 ", "*2 $-1 *-1 ", false);
        check("INCR k", ":1 ", ":2 ", false);
        check("NOSUCH", "-ERR_a ", "-ERR_b ", false);
    }

    #[test]
    fn what_is_accepted_has_limits() {
        check("KEYS *", "*2 $1 a $1 b ", "*2 $1 b $1 a ", true);
        check("KEYS *", "*2 $1 a $1 b ", "*2 $1 a $1 a ", false);
        check("MGET a b", "*2 $1 a $1 b ", "*2 $1 b $1 a ", false);
        check("SCAN 0", "*2 $1 7 *0 ", "*2 $1 9 *1 $1 a ", true);
        check("SCAN 0", "*2 $1 7 *0 ", "-ERR ", false);
        check("SCAN 17", "*2 $1 0 *0 ", "-ERR_invalid_cursor ", true);
        check("SCAN 0", "*2 $1 0 *0 ", "-ERR_invalid_cursor ", false);
        check("RANDOMKEY", "$1 a ", "$1 b ", true);
        check("RANDOMKEY", "$1 a ", "$-1 ", false);
        check("time", "*2 $1 5 $1 6 ", "*2 $2 55 $1 7 ", true);
        check("HELLO 3", "%2 $2 id :5 $5 proto :3 ", "%2 $2 id :6 $5 proto :3 ", true);
        check("HELLO 3", "%1 $4 mode $1 a ", "%1 $4 mode $1 b ", false);
        check("OBJECT ENCODING set:1", "$3 int ", "$6 embstr ", false);
        check("OBJECT ENCODING a", "$3 raw ", "$6 embstr ", true);
        check("OBJECT ENCODING a", "$3 raw ", "$-1 ", false);
        check("NOSUCH a\0", "-ERR_unknown_'a' ", "-ERR_unknown_'a\0' ", true);
        check("NOSUCH a\0", "-ERR_unknown_'a' ", "-ERR_other_'a' ", false);
        check("COMMAND INFO get", "*1 *7 +a +b +c +d +e +f +x ", "*1 *7 +a +b +c +d +e +f +y ", true);
        check("COMMAND INFO get", "*1 *7 +a +b +c +d +e +f +x ", "*1 *7 +a +b +c +d +e +g +x ", false);
    }
}
