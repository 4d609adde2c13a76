//! SET with its options, and what else works on single values.

use super::*;

#[test]
fn set_keeps_to_its_conditions_and_gets_the_old_value() {
    Bench::new().check(&[
        ("SET k 1 XX", "nil"),
        ("GET k", "nil"),
        ("SET k 1 NX", "+OK"),
        ("SET k 2 nx", "nil"),
        ("SET k 2 xx", "+OK"),
        ("SET k 3 GET", "\"2\""),
        ("SET k 4 NX GET", "\"3\""),
        ("GET k", "\"3\""),
        ("SET k 4 XX GET KEEPTTL", "\"3\""),
        ("GET k", "\"4\""),
        ("SET new 1 GET", "nil"),
        ("GET new", "\"1\""),
        ("SET none 1 XX GET", "nil"),
        ("EXISTS none", ":0"),
        ("SET k 5 NX NX", "nil"),
        ("SET k 5 KEEPTTL", "+OK"),
    ]);
}

#[test]
fn options_of_set_are_checked_as_in_redis_before_an_expiry_is_refused() {
    let mut bench = Bench::new();
    for request in [
        "SET k v NX XX",
        "SET k v XX NX",
        "SET k v EX",
        "SET k v foo",
        "SET k v PERSIST",
        "SET k v EX 10 PX 10",
        "SET k v EX 10 KEEPTTL",
        "SET k v KEEPTTL PXAT 10",
    ] {
        assert_eq!(bench.run(request), "-ERR syntax error", "{request}");
    }
    let invalid = "-ERR invalid expire time in 'set' command";
    let refused = "-ERR this server does not keep expiry times yet; store the key without one";
    bench.check(&[
        ("SET k v EX x", "-ERR value is not an integer or out of range"),
        ("SET k v EX 0", invalid),
        ("SET k v PX -1", invalid),
        ("SET k v EX 9223372036854775807", invalid),
        ("SET k v EXAT 9223372036854775", refused),
        ("SET k v PXAT 9223372036854775807", refused),
        ("SET k v EX 10", refused),
        ("SET k v EX 10 ex 20 NX", refused),
        ("GET k", "nil"),
    ]);
}

#[test]
fn a_value_is_set_got_and_deleted_in_one_request() {
    Bench::new().check(&[
        ("SETNX k 1", ":1"),
        ("SETNX k 2", ":0"),
        ("GETSET k 3", "\"1\""),
        ("GETSET new 1", "nil"),
        ("GETDEL k", "\"3\""),
        ("GETDEL k", "nil"),
        ("MSETNX a 1 b 2", ":1"),
        ("MSETNX c 1 b 3", ":0"),
        ("MGET a b c", "[3 \"1\" \"2\" nil"),
        ("MSETNX d 1 d 2", ":1"),
        ("GET d", "\"2\""),
        ("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"),
    ]);
}

#[test]
fn parts_of_values_are_read_and_written() {
    Bench::new().check(&[
        ("SETRANGE k 3 abc", ":6"),
        ("GET k", "\"\\x00\\x00\\x00abc\""),
        ("SETRANGE k 4 XYZ", ":7"),
        ("GETRANGE k 3 -1", "\"aXYZ\""),
        ("SUBSTR k -3 -2", "\"XY\""),
        ("GETRANGE k 5 2", "\"\""),
        ("GETRANGE k -9 100", "\"\\x00\\x00\\x00aXYZ\""),
        ("GETRANGE none 0 -1", "\"\""),
        ("GETRANGE none x 1", "-ERR value is not an integer or out of range"),
        ("SETRANGE k -1 x", "-ERR offset is out of range"),
        ("SETRANGE k x x", "-ERR value is not an integer or out of range"),
        ("SETRANGE k 99999 ab", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        (
            "SETRANGE k 9223372036854775807 ab",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
        ("SETRANGE k 99999 a", ":100000"),
        ("SETRANGE k 99999999 ", ":100000"),
        ("SETRANGE none 5 ", ":0"),
        ("EXISTS none", ":0"),
    ]);
}

#[test]
fn floats_are_added_as_in_redis() {
    let mut bench = Bench::new();
    let (not_a_float, infinite) =
        ("-ERR value is not a valid float", "-ERR increment would produce NaN or Infinity");
    bench.check(&[
        ("SET f 10.50", "+OK"),
        ("INCRBYFLOAT f 0.1", "\"10.6\""),
        ("INCRBYFLOAT f 5.0e3", "\"5010.60000000000000009\""),
        ("INCRBYFLOAT f x", not_a_float),
        ("INCRBYFLOAT f inf", infinite),
        ("GET f", "\"5010.60000000000000009\""),
        ("INCRBYFLOAT new -3", "\"-3\""),
        ("SET f text", "+OK"),
        ("INCRBYFLOAT f 1", not_a_float),
        ("SET f inf", "+OK"),
        ("INCRBYFLOAT f 1", infinite),
    ]);
}

#[test]
fn lcs_answers_as_in_redis() {
    Bench::new().check(&[
        ("MSET a ohmytext b mynewtext", "+OK"),
        ("LCS a b", "\"mytext\""),
        ("LCS a b len", ":6"),
        ("LCS a b IDX", "{2 \"matches\" [2 [2 [2 :4 :7 [2 :5 :8 [2 [2 :2 :3 [2 :0 :1 \"len\" :6"),
        ("LCS b a IDX MINMATCHLEN 4 WITHMATCHLEN", "{2 \"matches\" [1 [3 [2 :5 :8 [2 :4 :7 :4 \"len\" :6"),
        ("LCS a none", "\"\""),
        ("LCS none a IDX", "{2 \"matches\" [0 \"len\" :0"),
        ("LCS a b IDX LEN", "-ERR If you want both the length and indexes, please just use IDX."),
        ("LCS a b MINMATCHLEN", "-ERR syntax error"),
        ("LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range"),
        ("SETRANGE a 20000 x", ":20001"),
        ("SETRANGE b 20000 x", ":20001"),
        ("LCS a b", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"),
    ]);
    let mut plain = Bench::over(TestEngine::plain());
    plain.check(&[("MSET a abc b bcd", "+OK"), ("LCS a b", "\"bc\"")]);
}
