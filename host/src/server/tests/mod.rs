//! The server over real sockets, on an engine in memory.

mod harness;
mod inline;
mod operation;

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::harness::{Client, Running, settings};
use crate::command::ServerFacts;
use crate::resp::WORDS_MAX;
use crate::sequencer::Limits;
use crate::server::Settings;
use crate::storage::test_engine::TestEngine;

fn short() -> Duration {
    Duration::from_millis(200)
}

#[test]
fn a_mixed_pipeline_is_answered_in_order() {
    let server = Running::start(settings());
    let round = "SET a 1\r\nGET a\r\nPING\r\nINCR n\r\nGET n\r\nDBSIZE\r\nECHO x\r\nGET none\r\nNOSUCH\r\nSET b 2\r\nDBSIZE\r\n";
    let mut client = server.client();
    client.send(round);
    client.expect(
        "+OK\r\n$1\r\n1\r\n+PONG\r\n:1\r\n$1\r\n1\r\n:2\r\n$1\r\nx\r\n$-1\r\n-ERR unknown command 'NOSUCH'",
    );
    client.send("QUIT\r\n");
    let rest = String::from_utf8(client.rest()).expect("text");
    assert!(rest.ends_with("\r\n+OK\r\n:3\r\n+OK\r\n"), "{rest}");
}

#[test]
fn a_pipeline_may_come_in_any_pieces() {
    let server = Running::start(settings());
    let mut client = server.client();
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n";
    for byte in request {
        client.send([*byte]);
    }
    client.expect("+OK\r\n$5\r\na\r\nbc\r\n+PONG\r\n");
}

#[test]
fn what_follows_an_unanswered_write_waits_behind_it_and_others_do_not() {
    let server = Running::start(settings());
    let (begun, go_on) = server.state.gate();
    let mut client = server.client();
    client.send("SET a 1\r\n");
    begun.recv().expect("the write reaches the engine");
    client.send("GET a\r\nPING\r\nNOSUCH\r\n");
    let mut other = server.client();
    for _ in 0..10 {
        other.ask("PING\r\nGET a\r\n", "+PONG\r\n$-1\r\n");
    }
    assert!(client.is_silent());
    go_on.send(()).expect("the engine waits");
    client.expect("+OK\r\n$1\r\n1\r\n+PONG\r\n-ERR unknown command");
}

#[test]
fn a_scan_sees_the_writes_before_it_and_not_those_behind() {
    let server = Running::start(settings());
    let mut client = server.client();
    for round in 0..20 {
        let first = round * 2;
        client.send(format!("SET k{first} v\r\nDBSIZE\r\nSET k{} v\r\nPING\r\n", first + 1));
        client.expect(format!("+OK\r\n:{}\r\n+OK\r\n+PONG\r\n", first + 1));
    }
}

#[test]
fn reads_that_wait_for_a_device_keep_their_place() {
    let server = Running::start_with(settings(), TestEngine::plain(), Limits::default());
    let mut client = server.client();
    client.ask("SET a 1\r\n", "+OK\r\n");
    client.send("GET a\r\nPING\r\nGET none\r\nGET a\r\nSET a 2\r\nGET a\r\n".repeat(3));
    client.expect("$1\r\n1\r\n+PONG\r\n$-1\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n");
    client.expect("$1\r\n2\r\n+PONG\r\n$-1\r\n$1\r\n2\r\n+OK\r\n$1\r\n2\r\n".repeat(2));
}

#[test]
fn a_value_that_was_read_ahead_answers_for_its_own_database_alone() {
    let facts = ServerFacts { value_bytes_max: 1000, ..ServerFacts::default() };
    let server = Running::start_as(facts, settings(), TestEngine::new(), Limits::default());
    let mut client = server.client();
    client.ask("MSET a 1 b 2 c 3\r\n", "+OK\r\n");
    let array = |words: &[&str]| {
        let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        format!("*{}\r\n{words}", words.matches('$').count())
    };
    let refused = array(&["GETRANGE", "b", "0", &"9".repeat(2000)]);
    let get = |key: &str| array(&["GET", key]);
    client.send([get("a"), refused, get("c"), array(&["SELECT", "1"]), get("c")].concat());
    client.expect("$1\r\n1\r\n-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    client.expect("$1\r\n3\r\n+OK\r\n$-1\r\n");
}

#[test]
fn a_turn_ends_when_its_requests_had_much_copied() {
    let server = Running::start(settings());
    let mut client = server.client();
    client.ask(&format!("SET big {}\r\n", "x".repeat(60_000)), "+OK\r\n");
    let mut other = server.client();
    other.ask("PING\r\n", "+PONG\r\n");
    // Nobody can read until both have asked.
    let map = server.state.map();
    client.send("STRLEN big\r\n".repeat(40));
    other.send("CONFIG RESETSTAT\r\n");
    drop(map);
    client.expect(":60000\r\n".repeat(40));
    other.expect("+OK\r\n");
    let left = server.context.observe.counters.keyspace_hits.get();
    assert!(left >= 20, "only {left} values were copied after the other's turn");
}

#[test]
fn a_change_of_protocol_takes_place_between_two_replies() {
    let server = Running::start(settings());
    let (begun, go_on) = server.state.gate();
    let mut client = server.client();
    client.send("SET a 1\r\n");
    begun.recv().expect("the write reaches the engine");
    client.send("GET none\r\nHELLO 3\r\nGET none\r\nHELLO 2\r\nGET none\r\nQUIT\r\n");
    server.settle();
    go_on.send(()).expect("the engine waits");
    let rest = String::from_utf8(client.rest()).expect("text");
    assert!(rest.starts_with("+OK\r\n$-1\r\n%7\r\n"), "{rest}");
    assert!(rest.contains("\r\n_\r\n*14\r\n"), "{rest}");
    assert!(rest.ends_with("\r\n$-1\r\n+OK\r\n"), "{rest}");
}

#[test]
fn half_a_request_and_silence_delay_nobody() {
    let server = Running::start(settings());
    let mut silent: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut silent {
        client.send("*2\r\n$3\r\nGET\r\n$5\r\nab");
    }
    let mut other = server.client();
    for _ in 0..100 {
        other.ask("PING\r\n", "+PONG\r\n");
    }
    for client in &mut silent {
        client.ask("cde\r\n", "$-1\r\n");
    }
}

#[test]
fn a_client_that_never_reads_is_bounded_and_closed_and_others_are_served() {
    const VALUE: usize = 1 << 20;
    const REQUESTS: usize = 2000;
    let server = Running::start(Settings { slow_client_timeout: short(), ..settings() });
    let mut other = server.client();
    other.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n${VALUE}\r\n{}\r\n", "x".repeat(VALUE)));
    other.expect("+OK\r\n");
    let mut greedy = server.client();
    greedy.ask("PING\r\n", "+PONG\r\n");
    greedy.send("GET v\r\n".repeat(REQUESTS));
    while server.context.observe.clients.len() > 1 {
        other.ask("PING\r\n", "+PONG\r\n");
    }
    let taken = greedy.rest().len();
    assert!(taken < 100 * VALUE, "{taken} bytes were sent to a client that did not read");
}

#[test]
fn requests_of_a_client_that_does_not_read_wait_until_it_reads() {
    const VALUE: usize = 1 << 20;
    let server = Running::start(settings());
    let mut other = server.client();
    other.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n${VALUE}\r\n{}\r\n", "x".repeat(VALUE)));
    other.expect("+OK\r\n");
    let mut client = server.client();
    client.send("GET v\r\n".repeat(100));
    client.send("QUIT\r\n");
    server.settle();
    other.ask("SET v new\r\n", "+OK\r\n");
    let rest = client.rest();
    assert!(rest.starts_with(b"$1048576\r\n") && rest.ends_with(b"$3\r\nnew\r\n+OK\r\n"));
    assert!(rest.len() < 50 * VALUE, "{} bytes of replies were made before any was read", rest.len());
}

#[test]
fn replies_behind_a_write_are_bounded() {
    const VALUE: usize = 64 * 1024;
    let server = Running::start(Settings {
        value_bytes_max: VALUE,
        output_bytes_max: VALUE,
        reply_bytes_max: 0,
        ..settings()
    });
    let mut client = server.client();
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n${VALUE}\r\n{}\r\n", "x".repeat(VALUE)));
    client.expect("+OK\r\n");
    client.send(format!("SET a 1\r\n{}QUIT\r\n", "GET v\r\n".repeat(100)));
    let rest = client.rest();
    assert!(rest.len() < 10 * VALUE, "{} bytes", rest.len());
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("\r\n-ERR the value is left out"));
    assert_eq!(text.matches("\r\n$65536\r\n").count() + text.matches("\r\n-ERR").count(), 100);
}

#[test]
fn a_million_empty_words_get_an_error_and_the_connection_goes_on() {
    let server = Running::start(settings());
    let mut client = server.client();
    client.send(format!("*{WORDS_MAX}\r\n"));
    client.send(b"$0\r\n\r\n".repeat(WORDS_MAX));
    client.send("PING\r\nQUIT\r\n");
    let rest = String::from_utf8(client.rest()).expect("text");
    assert!(rest.starts_with("-ERR unknown command ''"), "{rest}");
    assert!(rest.len() < 1000, "the error repeats {} bytes", rest.len());
    assert!(rest.ends_with("\r\n+PONG\r\n+OK\r\n"), "{rest}");
}

#[test]
fn an_error_of_the_protocol_comes_behind_the_replies_before_it_and_ends_the_connection() {
    let server = Running::start(settings());
    let cases = [
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$268435457\r\n", "invalid bulk length"),
        ("*1\r\n$1x\r\n", "invalid bulk length"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("SET \"a\r\n", "unbalanced quotes in request"),
    ];
    for (bad, text) in cases {
        let mut client = server.client();
        client.send(format!("SET a 1\r\nGET a\r\n{bad}PING\r\n"));
        let rest = String::from_utf8(client.rest()).expect("text");
        assert_eq!(rest, format!("+OK\r\n$1\r\n1\r\n-ERR Protocol error: {text}\r\n"), "{bad}");
    }
}

#[test]
fn one_client_too_many_gets_an_error_and_a_place_becomes_free() {
    let server = Running::start(Settings { max_clients: 2, ..settings() });
    let mut first = server.client();
    let mut second = server.client();
    first.ask("PING\r\n", "+PONG\r\n");
    second.ask("PING\r\n", "+PONG\r\n");
    assert_eq!(server.client().rest(), b"-ERR max number of clients reached\r\n");
    second.send("QUIT\r\n");
    assert_eq!(second.rest(), b"+OK\r\n");
    server.client().ask("PING\r\n", "+PONG\r\n");
    first.ask("PING\r\n", "+PONG\r\n");
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_replies() {
    let server = Running::start(settings());
    let (begun, go_on) = server.state.gate();
    let mut client = server.client();
    client.send("SET a 1\r\nGET a\r\nDBSIZE\r\nPING\r\n*2\r\n$3\r\nGET");
    client.finish();
    begun.recv().expect("the write reaches the engine");
    server.settle();
    go_on.send(()).expect("the engine waits");
    assert_eq!(client.rest(), b"+OK\r\n$1\r\n1\r\n:1\r\n+PONG\r\n");
}

#[test]
fn bytes_that_arrive_together_with_their_end_are_answered_and_the_end_is_seen() {
    let server = Running::start(settings());
    let (begun, go_on) = server.state.gate();
    let mut client = server.client();
    client.send("SET a 1\r\nDBSIZE\r\n");
    begun.recv().expect("the write reaches the engine");
    // The count waits for the write, and nothing is read until then.
    client.send("PING\r\n");
    client.finish();
    server.settle();
    go_on.send(()).expect("the engine waits");
    assert_eq!(client.rest(), b"+OK\r\n:1\r\n+PONG\r\n");
}

#[test]
fn a_shutdown_answers_what_arrived_and_ends() {
    let mut server = Running::start(Settings { loops: 2, ..settings() });
    let (begun, go_on) = server.state.gate();
    let mut idle = server.client();
    idle.ask("PING\r\n", "+PONG\r\n");
    let mut client = server.client();
    client.send("SET a 1\r\nSET b 2\r\nDBSIZE\r\nGET b\r\n");
    begun.recv().expect("the write reaches the engine");
    server.request_shutdown();
    assert_eq!(idle.rest(), b"");
    go_on.send(()).expect("the engine waits");
    assert_eq!(client.rest(), b"+OK\r\n+OK\r\n:2\r\n$1\r\n2\r\n");
    server.join();
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn a_shutdown_does_not_wait_forever_for_a_client_that_does_not_read() {
    let mut server = Running::start(Settings { drain_timeout: short(), ..settings() });
    let mut client = server.client();
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$1000000\r\n{}\r\n", "x".repeat(1_000_000)));
    client.send("GET v\r\n".repeat(100));
    client.expect("+OK\r\n$1000000\r\n");
    server.request_shutdown();
    server.join();
}

#[test]
fn an_endless_pipeline_does_not_starve_others() {
    let server = Running::start(settings());
    let busy = server.client();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut writer = busy.clone_stream();
        let pings = "PING\r\n".repeat(10_000);
        let done = &done;
        scope.spawn(
            move || while !done.load(Ordering::Relaxed) && writer.write_all(pings.as_bytes()).is_ok() {},
        );
        let mut reader = busy.clone_stream();
        scope.spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let mut other = server.client();
        for _ in 0..100 {
            other.ask("PING\r\n", "+PONG\r\n");
        }
        other.ask("SET a 1\r\n", "+OK\r\n");
        done.store(true, Ordering::Relaxed);
        busy.finish();
    });
}

#[test]
fn a_long_pipeline_goes_to_the_sequencer_in_bounded_runs() {
    let server = Running::start(settings());
    let (begun, go_on) = server.state.gate();
    let mut client = server.client();
    // The count waits for the write, and what comes after it has arrived when it goes on.
    client.send("SET a 1\r\nDBSIZE\r\n");
    begun.recv().expect("the write reaches the engine");
    client.send((0..10_000).map(|number| format!("SET k{number} v\r\n")).collect::<String>());
    server.settle();
    go_on.send(()).expect("the engine waits");
    client.expect("+OK\r\n:1\r\n");
    client.expect("+OK\r\n".repeat(10_000));
    let largest = server.state.applied().into_iter().max();
    assert!(largest < Some(5000), "{largest:?}");
}

#[test]
fn a_full_sequencer_stops_writes_and_lets_them_go_on() {
    let limits = Limits { queued_bytes: 10_000, ..Limits::default() };
    let first = Running::start_with(settings(), TestEngine::new(), limits);
    let second = first.start_beside(settings());
    let (begun, go_on) = first.state.gate();
    let writes = |key: &str| format!("SET {key} {}\r\n", "x".repeat(900)).repeat(50);
    let mut fills = first.client();
    fills.send(writes("a"));
    begun.recv().expect("a write reaches the engine");
    first.settle();
    // The event loop of the other server has no completion to wait for.
    let mut stopped: Vec<_> = (0..4).map(|_| second.client()).collect();
    for client in &mut stopped {
        client.send(format!("GET none\r\n{}", writes("b")));
        client.expect("$-1\r\n");
    }
    second.settle();
    go_on.send(()).expect("the engine waits");
    fills.expect("+OK\r\n".repeat(50));
    for client in &mut stopped {
        client.expect("+OK\r\n".repeat(50));
    }
}

#[test]
fn clients_of_all_loops_share_one_order_of_writes() {
    let server = Running::start(Settings { loops: 3, ..settings() });
    std::thread::scope(|scope| {
        for _ in 0..20 {
            let mut client = server.client();
            scope.spawn(move || {
                client.send("INCR n\r\n".repeat(100));
                client.send("QUIT\r\n");
                assert_eq!(client.rest().iter().filter(|byte| **byte == b':').count(), 100);
            });
        }
    });
    server.client().ask("GET n\r\n", "$4\r\n2000\r\n");
}

#[test]
fn a_unix_socket_serves_and_is_removed_at_the_end() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("socket");
    let mut server = Running::start(Settings { unix_socket: Some(path.clone()), ..settings() });
    let mut client = Client::over(UnixStream::connect(&path).expect("the server listens"));
    client.ask("SET a 1\r\nGET a\r\n", "+OK\r\n$1\r\n1\r\n");
    server.request_shutdown();
    server.join();
    assert!(!path.exists());
}

#[test]
fn an_idle_client_is_closed_if_the_operator_wants_it() {
    let server = Running::start(Settings { idle_timeout: Some(short()), ..settings() });
    let mut client = server.client();
    client.ask("PING\r\n", "+PONG\r\n");
    assert_eq!(client.rest(), b"");
}

#[test]
fn too_many_bytes_of_unfinished_requests_end_the_connection_that_adds_to_them() {
    let server = Running::start(Settings { input_bytes_max: 200_000, ..settings() });
    let mut client = server.client();
    client.send("*2\r\n$4\r\nECHO\r\n$1000000\r\n");
    // The server may close the connection before it took everything.
    let _ = client.clone_stream().write_all(&vec![b'x'; 900_000]);
    let rest = String::from_utf8(client.rest()).expect("text");
    assert!(rest.is_empty() || rest.starts_with("-ERR the server holds too many bytes"), "{rest}");
    server.client().ask("PING\r\n", "+PONG\r\n");
}
