//! What a request does to each of its keys, in the words of COMMAND GETKEYSANDFLAGS.
//!
//! Promises: the flags of Redis 7.0 for every command that it has too.

use super::Arguments;
use super::table::Row;

const LOOKS: &[&str] = &["RO"];
const READS: &[&str] = &["RO", "access"];
const CHANGES: &[&str] = &["RW", "access", "update"];
const CHANGES_UNREAD: &[&str] = &["RW", "update"];
const APPENDS: &[&str] = &["RW", "insert"];
const TAKES: &[&str] = &["RW", "access", "delete"];
const OVERWRITES: &[&str] = &["OW", "update"];
const CREATES: &[&str] = &["OW", "insert"];
const REMOVES: &[&str] = &["RM", "delete"];

/// What the request does to the key at `place`, one of the places of its row.
pub(super) fn key_flags(row: &Row, request: Arguments<'_>, place: usize) -> &'static [&'static str] {
    match (row.name, place) {
        ("exists" | "strlen" | "touch" | "type" | "memory|usage", _) => LOOKS,
        (name, _) if name.starts_with("object|") => LOOKS,
        ("append", _) => APPENDS,
        ("setrange", _) => CHANGES_UNREAD,
        ("del" | "unlink", _) => REMOVES,
        ("getdel", _) | ("rename" | "renamenx", 1) => TAKES,
        ("msetnx" | "setnx", _) | ("renamenx", _) => CREATES,
        ("mset" | "restore" | "rename", _) | ("bitop" | "copy", 2) => OVERWRITES,
        ("set", _) if !asks_for_value(request) => OVERWRITES,
        ("bitop" | "copy", _) => READS,
        ("bitfield", _) if only_gets(request) => READS,
        _ if row.is_read_only => READS,
        _ => CHANGES,
    }
}

/// Whether SET has the option GET.
fn asks_for_value(request: Arguments<'_>) -> bool {
    request.from(3).any(|word| word.eq_ignore_ascii_case(b"get"))
}

/// Whether BITFIELD has nothing but GET and OVERFLOW in it.
fn only_gets(request: Arguments<'_>) -> bool {
    let mut place = 2;
    while place < request.len() {
        let is = |name: &str| request.word(place).eq_ignore_ascii_case(name.as_bytes());
        let behind = request.len() - place - 1;
        if is("get") && behind >= 2 {
            place += 3;
        } else if is("overflow") && behind >= 1 {
            place += 2;
        } else {
            return false;
        }
    }
    true
}
