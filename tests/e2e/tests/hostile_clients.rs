//! Clients that break the protocol, claim what they do not send, or never read: they get an error or are
//! bounded, and nobody else notices.

use std::time::Duration;

use e2e::{Client, Config, Reply, Server, client};

const MIB: u64 = 1 << 20;

fn start() -> Server {
    Server::start(Config::engine("memory"))
}

#[track_caller]
fn assert_serves(server: &Server) {
    assert_eq!(server.client().line("PING"), Reply::Simple("PONG".into()));
}

/// Sends bytes on a connection of their own and returns everything that comes back until it ends.
#[track_caller]
fn answer_and_end(server: &Server, bytes: &[u8]) -> String {
    let mut client = server.client();
    // The server may end the connection before it has read everything.
    let _ = client.send(bytes);
    let answer = client.drain().unwrap_or_default();
    assert_serves(server);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn lengths_that_are_no_lengths_are_protocol_errors() {
    let server = start();
    let cases = [
        ("*abc\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*99999999999999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*2147483648\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$abc\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n$-99999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n$99999999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n$\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n:4\r\nPING\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"),
        ("GET \"unbalanced\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(answer_and_end(&server, bytes.as_bytes()), expected, "{bytes:?}");
    }
}

#[test]
fn what_came_before_a_protocol_error_is_answered_first() {
    let server = start();
    let answer = answer_and_end(&server, b"SET k v\r\nGET k\r\n*x\r\nGET k\r\n");
    assert_eq!(answer, "+OK\r\n$1\r\nv\r\n-ERR Protocol error: invalid multibulk length\r\n");
}

#[test]
fn a_request_of_nothing_is_skipped() {
    let server = start();
    let mut client = server.client();
    client.send(b"*0\r\n*-1\r\n\r\nPING\r\n").unwrap();
    assert_eq!(client.receive().unwrap(), Reply::Simple("PONG".into()));
}

#[test]
fn a_line_without_an_end_is_cut_off() {
    let server = start();
    for start in ["", "*", "*1\r\n$"] {
        let mut bytes = start.as_bytes().to_vec();
        bytes.resize(bytes.len() + 100_000, b'1');
        let answer = answer_and_end(&server, &bytes);
        assert!(answer.starts_with("-ERR Protocol error: ") || answer.is_empty(), "{answer}");
    }
}

#[test]
fn a_million_empty_arguments_are_one_refused_command() {
    let server = start();
    let before = server.resident_bytes();
    let mut bytes = b"*1000000\r\n".to_vec();
    bytes.extend(b"$0\r\n\r\n".repeat(1_000_000));
    let mut client = server.client();
    client.send(&bytes).unwrap();
    assert!(client.receive().unwrap().error().starts_with("ERR unknown command"));
    assert_eq!(client.line("PING"), Reply::Simple("PONG".into()));
    let mut bytes = b"*1000001\r\n$3\r\nDEL\r\n".to_vec();
    bytes.extend(b"$0\r\n\r\n".repeat(1_000_000));
    client.send(&bytes).unwrap();
    client.receive().unwrap();
    assert!(server.resident_bytes() < before + 256 * MIB);
    assert_serves(&server);
}

#[test]
fn memory_is_not_sized_by_what_a_client_claims() {
    let server = start();
    let before = server.resident_bytes();
    let mut claimants = Vec::new();
    for _ in 0..50 {
        let mut client = server.client();
        client.send(b"*1000000\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000000\r\nbut nothing comes").unwrap();
        claimants.push(client);
    }
    assert_serves(&server);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "50 claims of 60 MB took {grown} bytes");
}

#[test]
fn half_a_frame_then_silence_holds_nobody_up() {
    let server = start();
    let mut silent: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for (place, client) in silent.iter_mut().enumerate() {
        let frame = client::encode(&["SET", "key", "value"]);
        client.send(&frame[..1 + place % (frame.len() - 1)]).unwrap();
    }
    let mut client = server.client();
    for n in 1..100 {
        assert_eq!(client.line("INCR n"), Reply::Integer(n));
    }
    drop(silent);
    assert_eq!(client.line("DBSIZE"), Reply::Integer(1));
}

#[test]
fn a_client_that_never_reads_is_bounded_and_alone() {
    let server = Server::start(Config::engine("memory").with("limits", "output_bytes_max = \"16MiB\""));
    let mut client = server.client();
    assert_eq!(client.command(&[b"SET".as_slice(), b"big", &vec![b'x'; 1 << 20]]), Reply::ok());
    let before = server.resident_bytes();
    let mut greedy = server.client();
    greedy.set_patience(Duration::from_secs(2)).unwrap();
    // Four gigabytes of answers, if nothing stopped it.
    let requests = client::encode(&["GET", "big"]).repeat(4096);
    let _ = greedy.send(&requests);
    let mut most = 0;
    for n in 1..200 {
        assert_eq!(client.line("INCR n"), Reply::Integer(n));
        most = most.max(server.resident_bytes());
    }
    assert!(most < before + 128 * MIB, "memory grew from {before} to {most} bytes");
}

#[test]
fn a_client_that_writes_and_never_reads_is_bounded() {
    let server = start();
    let mut greedy = server.client();
    greedy.set_patience(Duration::from_millis(500)).unwrap();
    let requests = client::encode(&["ECHO", &"x".repeat(1000)]).repeat(1000);
    // Each round is a megabyte of answers that nobody takes.
    let _ = (0..400).try_for_each(|_| greedy.send(&requests));
    assert_serves(&server);
    assert!(server.resident_bytes() < 400 * MIB);
}

#[test]
fn clients_above_the_limit_get_an_error_and_the_others_stay() {
    let server = Server::start(Config::engine("memory").with("server", "max_clients = 3"));
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.line("PING"), Reply::Simple("PONG".into()));
    }
    let answer = server.client().drain().unwrap_or_default();
    assert!(answer.starts_with(b"-ERR max number of clients reached"), "{answer:?}");
    clients.pop();
    e2e::server::until("a place is free again", || {
        server.client().try_command(&["PING"]).is_ok_and(|reply| reply == Reply::Simple("PONG".into()))
    });
}

#[test]
fn random_bytes_end_no_server() {
    let server = start();
    let mut state =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    let seed = state;
    let words: [&[u8]; 12] = [
        b"*",
        b"$",
        b"\r\n",
        b"1",
        b"-1",
        b"GET",
        b"SET",
        b"\0",
        b"9999",
        b" ",
        b"\"",
        b"*3\r\n$3\r\nSET\r\n",
    ];
    for _ in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(words[(state % 12) as usize]);
        }
        let mut client = server.client();
        let _ = client.send(&bytes);
        let _ = client.end();
        client.drain().unwrap_or_default();
    }
    assert_eq!(server.client().line("PING"), Reply::Simple("PONG".into()), "seed {seed}");
}
