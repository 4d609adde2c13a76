//! RENAME, COPY and what else works on keys of one database.

use super::*;

#[test]
fn values_are_renamed() {
    Bench::new().check(&[
        ("MSET a 1 b 2", "+OK"),
        ("RENAME none x", "-ERR no such key"),
        ("RENAMENX none none", "-ERR no such key"),
        ("RENAME a a", "+OK"),
        ("GET a", "\"1\""),
        ("RENAMENX a a", ":0"),
        ("RENAMENX a b", ":0"),
        ("RENAMENX a c", ":1"),
        ("RENAME c b", "+OK"),
        ("MGET a b c", "[3 nil \"1\" nil"),
    ]);
}

#[test]
fn values_are_copied() {
    Bench::new().check(&[
        ("MSET a 1 b 2", "+OK"),
        ("COPY a a", "-ERR source and destination objects are the same"),
        ("COPY none a", ":0"),
        ("COPY a b", ":0"),
        ("COPY a b replace", ":1"),
        ("COPY a c", ":1"),
        ("COPY a c DB", "-ERR syntax error"),
        ("COPY a c foo", "-ERR syntax error"),
        ("COPY none c DB 99", "-ERR DB index is out of range"),
        ("MGET a b c", "[3 \"1\" \"1\" \"1\""),
    ]);
}

#[test]
fn unlink_deletes_and_touch_counts() {
    Bench::new().check(&[
        ("MSET a 1 b 2", "+OK"),
        ("TOUCH a b a none", ":3"),
        ("UNLINK a a none", ":1"),
        ("TOUCH a", ":0"),
    ]);
    let mut plain = Bench::over(TestEngine::plain());
    plain.check(&[("MSET a 1 b 2", "+OK"), ("TOUCH a b", ":2")]);
}
