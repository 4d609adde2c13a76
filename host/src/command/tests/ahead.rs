//! Values that are read before their requests run, and what the event loop does not read.

use super::*;

/// Runs reads as the server would, all of them at hand; `between` is called before each but the first.
fn run_all(bench: &Bench, requests: &[&str], mut between: impl FnMut()) -> String {
    let requests: Vec<_> = requests.iter().map(|request| Words::of(request.split(' '))).collect();
    let (mut ahead, mut replies) = (Ahead::default(), Recorder::default());
    for (at, request) in requests.iter().enumerate() {
        if ahead.advance() {
            let _ = requests[at..].iter().try_for_each(|next| ahead.add(next.arguments()).then_some(()));
            ahead.read(bench.session.caller().database, &bench.context);
        }
        if at > 0 {
            between();
        }
        let (arguments, caller) = (request.arguments(), bench.session.caller());
        let row = lookup::find(arguments.word(0)).unwrap();
        assert_eq!(run_read(row, arguments, caller, &bench.context, &ahead, &mut replies), ReadOutcome::Done);
    }
    replies.text()
}

#[test]
fn reads_behind_each_other_are_one_read_of_the_engine() {
    let mut bench = Bench::new();
    bench.check(&[("MSET a 1 b 22", "+OK")]);
    let engine = Arc::clone(&bench.engine);
    let replies = run_all(&bench, &["GET a", "GET none", "STRLEN b", "EXISTS b"], || engine.map().clear());
    assert_eq!(replies, "\"1\" nil :2 :1", "what was read ahead does not change");
    let counters = &bench.context.observe.counters;
    assert_eq!((counters.keyspace_hits.get(), counters.keyspace_misses.get()), (3, 1));
}

#[test]
fn a_request_that_takes_nothing_leaves_nothing_to_those_behind_it() {
    let mut bench = Bench::new();
    bench.check(&[("MSET a 1 b 2", "+OK")]);
    let requests = ["GET b", "BITPOS a x", "GETRANGE a 0 y", "GET b", "MGET a b", "GET a"];
    let replies = run_all(&bench, &requests, || ());
    let failure = "-ERR value is not an integer or out of range";
    assert_eq!(replies, format!("\"2\" {failure} {failure} \"2\" [2 \"1\" \"2\" \"1\""));
}

#[test]
fn values_beyond_the_bound_are_read_when_their_turn_comes() {
    let mut bench = Bench::new();
    for key in ["a", "b", "c"] {
        bench.run_words([&b"SET"[..], key.as_bytes(), &[b'x'; 30 << 10]]);
    }
    let engine = Arc::clone(&bench.engine);
    let replies = run_all(&bench, &["STRLEN a", "STRLEN b", "STRLEN c", "STRLEN a"], || engine.map().clear());
    assert_eq!(replies, ":30720 :30720 :0 :0");
}

#[test]
fn only_reads_of_one_key_are_added() {
    let mut ahead = Ahead::default();
    for request in ["SET a 1", "MGET a b", "GET", "GET a b", "PING", "SCAN 0", "NONSENSE a"] {
        assert!(!ahead.add(Words::of(request.split(' ')).arguments()), "{request}");
    }
    let long = "k".repeat(2 << 10);
    assert!(!ahead.add(Words::of(["GET", &long]).arguments()));
    let get = Words::of(["GET", "a"]);
    assert_eq!((0..20).take_while(|_| ahead.add(get.arguments())).count(), 15, "sixteen at once");
}

#[test]
fn a_long_value_is_left_to_a_reader_thread_without_being_copied_first() {
    let facts = ServerFacts { value_bytes_max: 1 << 20, ..ServerFacts::default() };
    let mut bench = Bench::with(TestEngine::new(), facts);
    for (key, bytes, expected) in
        [("short", 200 << 10, ReadOutcome::Done), ("long", 300 << 10, ReadOutcome::WouldBlock)]
    {
        bench.run_words([&b"SET"[..], key.as_bytes(), &vec![b'x'; bytes]]);
        for command in ["GET", "STRLEN", "EXISTS", "GETRANGE"] {
            let words = Words::of([command, key, "0", "0"].into_iter().take(if command == "GETRANGE" {
                4
            } else {
                2
            }));
            let (ahead, caller) = (Ahead::default(), bench.session.caller());
            let row = lookup::find(command.as_bytes()).unwrap();
            let mut replies = Recorder::default();
            let outcome = run_read(row, words.arguments(), caller, &bench.context, &ahead, &mut replies);
            assert_eq!(
                (outcome, ahead.copied() > 0),
                (expected, expected == ReadOutcome::Done),
                "{command} {key}"
            );
            assert_eq!(replies.parts.is_empty(), expected == ReadOutcome::WouldBlock);
        }
    }
}

#[test]
fn a_group_knows_which_keys_its_requests_will_read() {
    let bench = Bench::new();
    let caller = bench.session.caller();
    let read = |request: &str| {
        let words = Words::of(request.split(' '));
        let row = lookup::find(words.arguments().word(0)).unwrap();
        let mut pipeline = Pipeline::new(Recorder::default(), Arc::clone(&bench.context), drop);
        pipeline.push_request(row, caller, false, words.arguments());
        let (slot, mut keys) = (Databases::default().slot(caller.database), Vec::new());
        pipeline.reads(&mut |key| keys.push(key.to_vec()));
        assert!(keys.iter().all(|key| *key == data_key(slot, &key[key.len() - 1..])), "{keys:?}");
        keys.iter().map(|key| char::from(key[key.len() - 1])).collect::<String>()
    };
    for request in ["SET a 1", "MSET a 1 b 2", "FLUSHALL"] {
        assert_eq!(read(request), "", "{request}");
    }
    for request in ["SET a 1 GET", "SET a 1 NX", "SET a 1 XX", "INCR a", "APPEND a x", "GET a", "GETSET a 1"]
    {
        assert_eq!(read(request), "a", "{request}");
    }
    for request in ["MSETNX a 1 b 2", "MGET a b", "DEL a b"] {
        assert_eq!(read(request), "ab", "{request}");
    }
}
