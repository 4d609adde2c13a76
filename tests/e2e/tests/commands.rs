//! Every command of today answers as Redis answers, whatever the engine.

use e2e::{Client, Config, Reply, Server};

use crate::engines::on_every_engine;

on_every_engine!(
    strings_answer_as_redis_does,
    counters_answer_as_redis_does,
    keys_answer_as_redis_does,
    ranges_are_half_open_and_ordered,
    databases_are_apart,
    bytes_of_every_kind_come_back_equal,
    the_engine_tells_about_itself,
);

/// Sends each line and compares the reply; a text stands for `+text` or `-text` by its first letters.
#[track_caller]
fn expect(client: &mut Client, script: &[(&str, Reply)]) {
    for (line, expected) in script {
        assert_eq!(client.line(line), *expected, "{line}");
    }
}

fn error(text: &str) -> Reply {
    Reply::Error(text.to_string())
}

fn strings_answer_as_redis_does(config: Config) {
    let server = Server::start(config);
    let absent = || Reply::Null;
    let number = Reply::Integer;
    let script = [
        ("GET k", absent()),
        ("SET k one", Reply::ok()),
        ("GET k", Reply::bulk("one")),
        // Expiry is not there yet: refused, never silently ignored.
        ("SET k two NX", absent()),
        (
            "SET k two EX 10",
            error("ERR this server does not keep expiry times yet; store the key without one"),
        ),
        ("SET k two NONSENSE", error("ERR syntax error")),
        ("get k", Reply::bulk("one")),
        ("MSET a 1 b 2", Reply::ok()),
        (
            "MGET a missing b a",
            Reply::Array(vec![Reply::bulk("1"), absent(), Reply::bulk("2"), Reply::bulk("1")]),
        ),
        ("MSET a 1 b", error("ERR wrong number of arguments for 'mset' command")),
        ("MSET twice 1 twice 2", Reply::ok()),
        ("GET twice", Reply::bulk("2")),
        ("APPEND grown ab", number(2)),
        ("APPEND grown cde", number(5)),
        ("GET grown", Reply::bulk("abcde")),
        ("STRLEN grown", number(5)),
        ("STRLEN missing", number(0)),
        ("GET", error("ERR wrong number of arguments for 'get' command")),
        ("GET a b", error("ERR wrong number of arguments for 'get' command")),
        ("ECHO hello", Reply::bulk("hello")),
        ("PING", Reply::Simple("PONG".into())),
        ("PING hello", Reply::bulk("hello")),
        ("NOSUCH a b", error("ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ")),
    ];
    expect(&mut server.client(), &script);
}

fn counters_answer_as_redis_does(config: Config) {
    let server = Server::start(config);
    let number = Reply::Integer;
    let not_a_number = || error("ERR value is not an integer or out of range");
    let overflow = || error("ERR increment or decrement would overflow");
    let script = [
        ("INCR n", number(1)),
        ("INCR n", number(2)),
        ("DECR n", number(1)),
        ("INCRBY n 41", number(42)),
        ("DECRBY n 50", number(-8)),
        ("GET n", Reply::bulk("-8")),
        ("SET text hello", Reply::ok()),
        ("INCR text", not_a_number()),
        ("INCRBY n 1.5", not_a_number()),
        ("INCRBY n 9223372036854775808", not_a_number()),
        ("SET most 9223372036854775807", Reply::ok()),
        ("INCR most", overflow()),
        ("SET least -9223372036854775808", Reply::ok()),
        ("DECR least", overflow()),
        ("GET most", Reply::bulk("9223372036854775807")),
        ("SET padded 007", Reply::ok()),
        ("INCR padded", not_a_number()),
    ];
    expect(&mut server.client(), &script);
}

fn keys_answer_as_redis_does(config: Config) {
    let server = Server::start(config);
    let mut client = server.client();
    let number = Reply::Integer;
    let script = [
        ("DBSIZE", number(0)),
        ("MSET a 1 b 2 c 3", Reply::ok()),
        ("DBSIZE", number(3)),
        ("EXISTS a a b missing", number(3)),
        ("TYPE a", Reply::Simple("string".into())),
        ("TYPE missing", Reply::Simple("none".into())),
        ("DEL a a missing b", number(2)),
        ("DBSIZE", number(1)),
        ("SCAN nonsense", error("ERR invalid cursor")),
        ("FLUSHALL", Reply::ok()),
        ("DBSIZE", number(0)),
        ("GET c", Reply::Null),
    ];
    expect(&mut client, &script);
    let keys: Vec<String> = (0..1000).map(|n| format!("key:{n:04}")).collect();
    let sets: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, "value"]).collect();
    assert!(client.pipeline(&sets).iter().all(|reply| *reply == Reply::ok()));
    assert_eq!(scan_all(&mut client, "COUNT 37"), keys);
    assert_eq!(scan_all(&mut client, "MATCH key:00[12]? COUNT 50").len(), 20);
    assert_eq!(scan_all(&mut client, "MATCH nothing*"), Vec::<String>::new());
}

/// Every key that a whole SCAN returns, sorted, each once.
fn scan_all(client: &mut Client, options: &str) -> Vec<String> {
    let (mut cursor, mut keys) = ("0".to_string(), Vec::new());
    loop {
        let reply = client.line(&format!("SCAN {cursor} {options}"));
        let [next, found] = reply.array() else { panic!("SCAN answers with a pair, not {reply:?}") };
        keys.extend(found.array().iter().map(Reply::text));
        cursor = next.text();
        if cursor == "0" {
            keys.sort();
            keys.dedup();
            return keys;
        }
    }
}

fn ranges_are_half_open_and_ordered(config: Config) {
    let server = Server::start(config);
    let mut client = server.client();
    let script = [
        ("MSET d 4 a 1 c 3 b 2", Reply::ok()),
        ("RANGE - +", Reply::bulks(["a", "1", "b", "2", "c", "3", "d", "4"])),
        ("RANGE b d", Reply::bulks(["b", "2", "c", "3"])),
        ("RANGE b + KEYS", Reply::bulks(["b", "c", "d"])),
        ("RANGE - c REV KEYS", Reply::bulks(["b", "a"])),
        ("RANGE - + LIMIT 2", Reply::bulks(["a", "1", "b", "2"])),
        ("RANGE - + REV LIMIT 1 KEYS", Reply::bulks(["d"])),
        ("RANGE - + LIMIT 0", Reply::Array(Vec::new())),
        ("RANGE d b", Reply::Array(Vec::new())),
        ("RANGE x y", Reply::Array(Vec::new())),
    ];
    expect(&mut client, &script);
    client.line("RANGE a").error();
    client.line("RANGE a b LIMIT -1").error();
    client.line("RANGE a b LIMIT").error();
    client.line("RANGE a b BACKWARDS").error();
}

fn databases_are_apart(config: Config) {
    let server = Server::start(config);
    let script = [
        ("SET k zero", Reply::ok()),
        ("SELECT 15", Reply::ok()),
        ("GET k", Reply::Null),
        ("SET k fifteen", Reply::ok()),
        ("RANGE - +", Reply::bulks(["k", "fifteen"])),
        ("DBSIZE", Reply::Integer(1)),
        ("SELECT 16", error("ERR DB index is out of range")),
        ("SELECT -1", error("ERR DB index is out of range")),
        ("SELECT 0", Reply::ok()),
        ("GET k", Reply::bulk("zero")),
        ("FLUSHALL", Reply::ok()),
        ("SELECT 15", Reply::ok()),
        ("GET k", Reply::Null),
    ];
    expect(&mut server.client(), &script);
}

fn bytes_of_every_kind_come_back_equal(config: Config) {
    let server = Server::start(config);
    let mut client = server.client();
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = vec![0xE2; 1 << 20];
    for (key, value) in
        [(&every_byte, &every_byte), (&b"\r\n$-1\r\n".to_vec(), &Vec::new()), (&vec![0], &large)]
    {
        assert_eq!(client.command(&[b"SET".as_slice(), key, value]), Reply::ok());
        assert_eq!(client.command(&[b"GET".as_slice(), key]), Reply::Bulk(value.clone()));
    }
    let longest = vec![b'k'; 60 * 1024];
    assert_eq!(client.command(&[b"SET".as_slice(), &longest, b"v"]), Reply::ok());
    assert_eq!(client.command(&[b"GET".as_slice(), &longest]), Reply::bulk("v"));
    let too_long = vec![b'k'; 64 * 1024];
    client.command(&[b"SET".as_slice(), &too_long, b"v"]).error();
    assert_eq!(client.command(&[b"DBSIZE"]), Reply::Integer(4));
}

fn the_engine_tells_about_itself(config: Config) {
    let name = config.engine.clone();
    let server = Server::start(config);
    let mut client = server.client();
    client.line("SET k v");
    for part in ["LIST", "STATUS", "GUARANTEES", "OPTIONS", "METRICS"] {
        let reply = client.line(&format!("ENGINE {part}"));
        assert!(!matches!(reply, Reply::Error(_) | Reply::Null), "ENGINE {part}: {reply:?}");
        if matches!(part, "LIST" | "STATUS") {
            assert!(reply.all_text().contains(&name), "ENGINE {part} names {name}: {reply:?}");
        }
    }
    client.line("ENGINE NONSENSE").error();
    client.line("ENGINE").error();
}

#[test]
fn each_mode_of_snapshot_states_its_own_guarantees() {
    let table = |mode| {
        let server = Server::start(crate::engines::snapshot(mode));
        server.client().line("ENGINE GUARANTEES").all_text()
    };
    let (naive, as_written, atomic) = (table("naive"), table("atomic-as-written"), table("atomic"));
    assert!(naive != as_written && as_written != atomic);
    for promise in ["restart", "crash safety", "atomicity", "write ordering", "concurrency"] {
        for table in [&naive, &as_written, &atomic] {
            assert!(table.contains(promise), "{promise} is missing in:\n{table}");
        }
    }
}
