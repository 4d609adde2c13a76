//! RANGE, DELRANGE, SCAN, KEYS and RANDOMKEY: what walks keys in their order.

use std::collections::BTreeSet;

use super::*;

#[test]
fn range_walks_from_start_to_before_end_either_way() {
    for engine in [TestEngine::new(), TestEngine::plain()] {
        let mut bench = Bench::over(engine);
        bench.check(&[
            ("MSET a 1 b 2 c 3 d 4", "+OK"),
            ("RANGE b d", "[4 \"b\" \"2\" \"c\" \"3\""),
            ("RANGE - + KEYS", "[4 \"a\" \"b\" \"c\" \"d\""),
            ("RANGE - c keys", "[2 \"a\" \"b\""),
            ("RANGE b + REV LIMIT 2", "[4 \"d\" \"4\" \"c\" \"3\""),
            ("RANGE - + LIMIT 0", "[0"),
            ("RANGE d b", "[0"),
            ("RANGE + -", "[0"),
            ("RANGE - + LIMIT", "-ERR syntax error"),
            ("RANGE - + LIMIT x", "-ERR value is not an integer or out of range"),
            ("RANGE - + LIMIT -1", "-ERR LIMIT is negative"),
            ("RANGE - + FOO", "-ERR syntax error"),
            ("RANGE -", "-ERR wrong number of arguments for 'range' command"),
            ("SELECT 1", "+OK"),
            ("RANGE - +", "[0"),
        ]);
        let longer = vec![b'k'; USER_KEY_BYTES_MAX + 1];
        let refused = bench.run_words([&b"RANGE"[..], b"-", &longer]);
        assert!(refused.starts_with("-ERR a bound of the range is longer"), "{refused}");
    }
}

#[test]
fn a_range_too_large_for_one_reply_is_refused_and_limit_helps() {
    let facts = ServerFacts { value_bytes_max: 60 << 20, ..ServerFacts::default() };
    let mut bench = Bench::with(TestEngine::new(), facts);
    let value = vec![b'x'; 40 << 20];
    for key in ["a", "b"] {
        assert_eq!(bench.run_words([&b"SET"[..], key.as_bytes(), &value]), "+OK");
    }
    assert!(bench.run("RANGE - +").starts_with("-ERR the range is more than 1000000 entries or 64 MiB"));
    assert!(bench.run("RANGE - + LIMIT 1").starts_with("[2 \"a\""));
    assert_eq!(bench.run("RANGE - + KEYS"), "[2 \"a\" \"b\"");
}

/// Runs a whole scan; `between` is called after each call.
fn scan_all(bench: &mut Bench, options: &str, mut between: impl FnMut(&mut Bench)) -> Vec<String> {
    let mut keys = Vec::new();
    let mut cursor = "0".to_string();
    loop {
        let reply = bench.run(format!("SCAN {cursor} {options}").trim_end());
        let mut parts = reply.split(' ').map(|part| part.trim_matches('"').to_string());
        assert_eq!(parts.next().as_deref(), Some("[2"), "{reply}");
        cursor = parts.next().unwrap();
        keys.extend(parts.skip(1));
        assert!(keys.len() < 10_000, "the scan does not end");
        between(bench);
        if cursor == "0" {
            return keys;
        }
    }
}

#[test]
fn scan_returns_every_key_that_stays_once_whatever_else_changes() {
    let mut bench = Bench::new();
    let expected: BTreeSet<_> = (0..100).map(|number| format!("key:{number:03}")).collect();
    for key in &expected {
        bench.run(&format!("SET {key} v"));
    }
    for options in ["", "COUNT 7", "COUNT 100", "COUNT 1000"] {
        let keys = scan_all(&mut bench, options, |_| {});
        assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), expected);
        assert_eq!(keys.len(), expected.len());
    }
    let mut round = 0;
    let keys = scan_all(&mut bench, "COUNT 3", |bench| {
        // Deletes what was seen, and writes before, between and behind the keys.
        if round < 16 {
            bench.run(&format!("DEL key:{:03} key:{:03}", round * 3, round * 3 + 2));
        }
        bench.run(&format!("MSET a{round} v key:050x{round} v z{round} v"));
        round += 1;
        assert!(round < 1000);
    });
    let seen: BTreeSet<_> = keys.iter().cloned().collect();
    assert!(expected.is_subset(&seen) && seen.len() == keys.len());
}

#[test]
fn scan_filters_and_refuses_as_in_redis() {
    let mut bench = Bench::new();
    bench.run("MSET one 1 two 2 three 3");
    assert_eq!(scan_all(&mut bench, "MATCH t* COUNT 1", |_| {}), ["three", "two"]);
    assert_eq!(scan_all(&mut bench, "TYPE STRING", |_| {}).len(), 3);
    bench.check(&[
        ("SCAN 0 TYPE list", "[2 \"0\" [0"),
        ("SCAN x", "-ERR invalid cursor"),
        ("SCAN +", "-ERR invalid cursor"),
        ("SCAN +0 COUNT 9", "[2 \"0\" [3 \"one\" \"three\" \"two\""),
        ("SCAN -0 TYPE list", "[2 \"0\" [0"),
        ("SCAN -1", "-ERR invalid cursor"),
        ("SCAN 99999999999999999999999", "-ERR invalid cursor"),
        ("SCAN 12345", "-ERR invalid cursor"),
        ("SCAN 0 COUNT", "-ERR syntax error"),
        ("SCAN 0 COUNT 0", "-ERR syntax error"),
        ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range"),
        ("SCAN 0 FOO x", "-ERR syntax error"),
    ]);
    let reply = bench.run("SCAN 0 COUNT 1");
    let cursor = reply.split('"').nth(1).unwrap().to_string();
    assert_eq!(bench.run("SELECT 3"), "+OK");
    assert_eq!(bench.run(&format!("SCAN {cursor}")), "-ERR invalid cursor");
}

#[test]
fn delrange_deletes_from_start_to_before_end() {
    let mut bench = Bench::new();
    bench.check(&[
        ("MSET a 1 b 2 c 3 d 4", "+OK"),
        ("DELRANGE b d", "+OK"),
        ("KEYS *", "[2 \"a\" \"d\""),
        ("DELRANGE d a", "+OK"),
        ("DELRANGE d d", "+OK"),
        ("DBSIZE", ":2"),
        ("SELECT 1", "+OK"),
        ("SET a 1", "+OK"),
        ("DELRANGE - +", "+OK"),
        ("DBSIZE", ":0"),
        ("SELECT 0", "+OK"),
        ("DBSIZE", ":2"),
        ("DELRANGE b +", "+OK"),
        ("KEYS *", "[1 \"a\""),
    ]);
}

#[test]
fn keys_answers_what_matches() {
    let mut bench = Bench::new();
    bench.run("MSET one 1 two 2 three 3");
    assert_eq!(bench.run_words(["SET", "", "empty"]), "+OK");
    bench.check(&[
        ("KEYS t*", "[2 \"three\" \"two\""),
        ("KEYS *", "[4 \"\" \"one\" \"three\" \"two\""),
        ("KEYS **", "[3 \"one\" \"three\" \"two\""),
        ("KEYS x", "[0"),
        ("KEYS [no]*e", "[1 \"one\""),
        ("SELECT 1", "+OK"),
        ("KEYS *", "[0"),
    ]);
}

#[test]
fn keys_that_are_too_costly_to_match_are_refused() {
    let mut bench = Bench::new();
    let key = vec![b'a'; 8192];
    assert_eq!(bench.run_words([&b"SET"[..], &key, b"v"]), "+OK");
    let pattern = [b"*".to_vec(), vec![b'a'; 4096], b"b".to_vec()].concat();
    let refused = bench.run_words([&b"KEYS"[..], &pattern]);
    assert!(refused.starts_with("-ERR the pattern takes too many steps"), "{refused}");
}

#[test]
fn every_key_can_be_the_random_one() {
    for engine in [TestEngine::new(), TestEngine::counting(), TestEngine::plain()] {
        let mut bench = Bench::over(engine);
        assert_eq!(bench.run("RANDOMKEY"), "nil");
        bench.run("SET a 1");
        assert_eq!(bench.run("RANDOMKEY"), "\"a\"");
        for number in 0..200 {
            bench.run(&format!("SET key:{number} v"));
        }
        // Ten times as many draws as keys: few are missed, even where "a" comes half of the time.
        let seen: BTreeSet<_> = (0..2000).map(|_| bench.run("RANDOMKEY")).collect();
        assert!(seen.len() > 170, "{} of 201", seen.len());
    }
}
