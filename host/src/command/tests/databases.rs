//! SWAPDB, MOVE and COPY: what works on two databases.

use super::*;

#[test]
fn a_swap_exchanges_two_databases_for_every_command() {
    for engine in [TestEngine::new(), TestEngine::counting(), TestEngine::plain()] {
        let mut bench = Bench::over(engine);
        bench.check(&[
            ("MSET a 0 b 0", "+OK"),
            ("SELECT 9", "+OK"),
            ("SET c 9", "+OK"),
            ("SWAPDB 0 9", "+OK"),
            ("MGET a c", "[2 \"0\" nil"),
            ("DBSIZE", ":2"),
            ("KEYS *", "[2 \"a\" \"b\""),
            ("RANGE - + KEYS", "[2 \"a\" \"b\""),
            ("SCAN 0", "[2 \"0\" [2 \"a\" \"b\""),
            ("DELRANGE b +", "+OK"),
            ("RANDOMKEY", "\"a\""),
            ("SET d 9", "+OK"),
            ("SELECT 0", "+OK"),
            ("RANDOMKEY", "\"c\""),
            ("FLUSHDB", "+OK"),
            ("SWAPDB 9 0", "+OK"),
            ("MGET a b c d", "[4 \"0\" nil nil \"9\""),
            ("SWAPDB 0 0", "+OK"),
            ("FLUSHALL", "+OK"),
            ("DBSIZE", ":0"),
        ]);
    }
}

#[test]
fn a_swap_is_seen_by_the_requests_behind_it_and_by_none_before() {
    let bench = Bench::new();
    let row = |name: &str| lookup::find(name.as_bytes()).unwrap();
    let words = |text: &str| Words::of(text.split(' '));
    let requests =
        ["SET k 0", "SWAPDB 0 1", "GET k", "SET k 1", "SWAPDB 1 0", "GET k", "SWAPDB 0 x", "GET k"];
    let requests: Vec<_> =
        requests.iter().map(|text| (row(text.split(' ').next().unwrap()), words(text))).collect();
    let run: Vec<_> = requests.iter().map(|(row, words)| (*row, words)).collect();
    let refused = "-ERR invalid second DB index";
    assert_eq!(bench.pipeline(&run), format!("+OK +OK nil +OK +OK \"0\" {refused} \"0\""));
    // The first swap, what is behind it up to the second one, the rest.
    assert_eq!(bench.engine.applied().len(), 2);
}

#[test]
fn a_swap_that_the_engine_refuses_changes_nothing() {
    let mut bench = Bench::new();
    bench.check(&[("SET k 0", "+OK")]);
    bench.engine.script(|_| Err(EngineError::full("planted")));
    assert!(bench.run("SWAPDB 0 1").starts_with("-FULL nothing changed"));
    bench.engine.script(|_| Ok(()));
    bench.check(&[("GET k", "\"0\""), ("SWAPDB 0 1", "+OK"), ("GET k", "nil")]);
}

#[test]
fn swapped_databases_stay_so_after_a_restart() {
    let mut bench = Bench::new();
    bench.check(&[("SET k 0", "+OK"), ("SWAPDB 0 3", "+OK"), ("SWAPDB 3 4", "+OK")]);
    let slots = bench.context.storage.databases();
    let restarted = opened(TestEngine::over(Arc::clone(&bench.engine)));
    assert_eq!(restarted.databases(), slots);
    assert_ne!(slots, Databases::default());
}

#[test]
fn indexes_of_databases_are_checked_as_in_redis() {
    let too_large = "-ERR value is out of range, value must between -2147483648 and 2147483647";
    Bench::new().check(&[
        ("SWAPDB x 1", "-ERR invalid first DB index"),
        ("SWAPDB 1 99999999999", "-ERR invalid second DB index"),
        ("SWAPDB 1 16", "-ERR DB index is out of range"),
        ("SWAPDB -1 1", "-ERR DB index is out of range"),
        ("MOVE k x", "-ERR value is not an integer or out of range"),
        ("MOVE k 99999999999", too_large),
        ("MOVE k 16", "-ERR DB index is out of range"),
        ("MOVE k 0", "-ERR source and destination objects are the same"),
        ("COPY k l DB 99999999999", too_large),
        ("COPY k l DB -1", "-ERR DB index is out of range"),
    ]);
}

#[test]
fn keys_are_moved_and_copied_between_databases() {
    Bench::new().check(&[
        ("MSET a 1 b 2", "+OK"),
        ("MOVE a 1", ":1"),
        ("MOVE a 1", ":0"),
        ("EXISTS a", ":0"),
        ("COPY b a DB 1", ":0"),
        ("COPY b a DB 1 REPLACE", ":1"),
        ("COPY b b DB 1", ":1"),
        ("MOVE b 1", ":0"),
        ("GET b", "\"2\""),
        ("SELECT 1", "+OK"),
        ("MGET a b", "[2 \"2\" \"2\""),
    ]);
}
