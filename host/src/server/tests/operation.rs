//! Clients that other clients, the clock or a budget tell what to do; strangers without the password.

use std::io::Write;
use std::sync::atomic::Ordering;

use super::harness::{Client, Running, settings};
use super::short;
use crate::config::Password;
use crate::server::Settings;
use crate::server::event_loop::TURN_REQUESTS;

const VALUE: usize = 1 << 20;

fn with_password() -> Running {
    let server = Running::start(settings());
    server.context.settings.live.set_password(Password::from_setting(b"sekrit"));
    server
}

/// Stores a value of a mebibyte under `v`.
fn store_large(client: &mut Client) {
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n${VALUE}\r\n{}\r\n", "x".repeat(VALUE)));
    client.expect("+OK\r\n");
}

#[test]
fn a_killed_client_is_closed_on_whichever_loop_it_is() {
    let server = Running::start(Settings { loops: 3, ..settings() });
    let mut killer = server.client();
    killer.ask("CLIENT ID\r\n", ":1\r\n");
    for victim in 2..8 {
        let mut client = server.client();
        client.ask("CLIENT ID\r\n", &format!(":{victim}\r\n"));
        killer.ask(&format!("CLIENT KILL ID {victim}\r\n"), ":1\r\n");
        assert_eq!(client.rest(), b"");
    }
    killer.ask("CLIENT KILL SKIPME no\r\nPING\r\n", ":1\r\n");
    assert_eq!(killer.rest(), b"", "what follows its own end is not answered");
}

#[test]
fn a_pause_holds_writes_of_all_until_it_is_ended_and_reads_go_on() {
    let server = Running::start(Settings { loops: 2, ..settings() });
    let (mut operator, mut reader) = (server.client(), server.client());
    operator.ask("CLIENT PAUSE 1000000 WRITE\r\n", "+OK\r\n");
    let mut writers: Vec<_> = (0..4).map(|_| server.client()).collect();
    for writer in &mut writers {
        writer.ask("GET a\r\n", "$-1\r\n");
        writer.send("INCR n\r\nPING\r\n");
    }
    reader.ask("GET n\r\nDBSIZE\r\n", "$-1\r\n:0\r\n");
    assert!(writers.iter().all(Client::is_silent));
    operator.ask("CLIENT UNPAUSE\r\n", "+OK\r\n");
    for writer in &mut writers {
        writer.expect(":");
    }
    reader.send("QUIT\r\n");
    assert_eq!(reader.rest(), b"+OK\r\n");
    operator.ask("INCR n\r\n", ":5\r\n");
}

#[test]
fn a_pause_ends_by_itself_and_with_a_shutdown() {
    let mut server = Running::start(settings());
    let mut client = server.client();
    client.ask("CLIENT PAUSE 100 ALL\r\nINCR n\r\nGET n\r\n", "+OK\r\n:1\r\n$1\r\n1\r\n");
    client.ask("CLIENT PAUSE 1000000 WRITE\r\n", "+OK\r\n");
    client.send("INCR n\r\n");
    server.settle();
    server.request_shutdown();
    assert_eq!(client.rest(), b":2\r\n", "what arrived is answered");
    server.join();
}

#[test]
fn a_monitor_sees_what_clients_of_every_loop_ask() {
    let server = Running::start(Settings { loops: 3, ..settings() });
    let mut monitor = server.client();
    monitor.ask("MONITOR\r\n", "+OK\r\n");
    for number in 0..6 {
        server.client().ask(&format!("SET k{number} v\r\n"), "+OK\r\n");
    }
    monitor.send("RESET\r\nPING\r\nQUIT\r\n");
    let seen = String::from_utf8(monitor.rest()).expect("text");
    for number in 0..6 {
        assert!(seen.contains(&format!(" \"SET\" \"k{number}\" \"v\"\r\n")), "{seen}");
    }
    assert!(seen.ends_with("+RESET\r\n+PONG\r\n+OK\r\n"), "{seen}");
    assert!(!server.context.observe.monitors.is_watched());
}

#[test]
fn a_monitor_that_does_not_read_is_bounded_and_nobody_else_is_closed_for_it() {
    const MIB: usize = 1 << 20;
    let server = Running::start(Settings { unsent_bytes_max: 48 * MIB, ..settings() });
    let mut monitor = server.client();
    monitor.ask("CLIENT NO-EVICT ON\r\nMONITOR\r\n", "+OK\r\n+OK\r\n");
    let mut other = server.client();
    let word = "x".repeat(60_000);
    let (request, reply) = (format!("ECHO {word}\r\n"), format!("${}\r\n{word}\r\n", word.len()));
    let observe = &server.context.observe;
    let mut most = 0;
    // A watcher may leave some MiB to its socket, and as much to each of the two places where lines wait.
    for _ in 0..100 * MIB / word.len() {
        other.ask(&request, &reply);
        most = most.max(observe.unsent_bytes.load(Ordering::Relaxed));
        if !observe.monitors.is_watched() {
            break;
        }
    }
    assert!(!observe.monitors.is_watched() && most < 24 * MIB, "{most} bytes are unsent");
    other.ask("PING\r\n", "+PONG\r\n");
    monitor.rest();
}

#[test]
fn a_monitor_that_leaves_is_forgotten() {
    let server = Running::start(settings());
    let mut monitor = server.client();
    monitor.ask("MONITOR\r\n", "+OK\r\n");
    drop(monitor);
    let mut other = server.client();
    while server.context.observe.monitors.is_watched() {
        other.ask("PING\r\n", "+PONG\r\n");
    }
}

#[test]
fn a_client_that_wants_no_replies_gets_none_and_its_requests_are_done() {
    let server = Running::start(settings());
    let mut client = server.client();
    client.send(
        "CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nINCR a\r\nPING\r\nDBSIZE\r\nNOSUCH\r\nCLIENT REPLY ON\r\n",
    );
    client.send("GET a\r\nCLIENT REPLY SKIP\r\nINCR a\r\nINCR a\r\n");
    client.expect("+OK\r\n$1\r\n2\r\n:4\r\n");
}

#[test]
fn a_stranger_says_who_it_is_or_is_not_served() {
    let server = with_password();
    let mut client = server.client();
    client.ask("PING\r\n", "-NOAUTH Authentication required.\r\n");
    client.ask("SET a 1\r\nAUTH wrong\r\nPING\r\n", "-NOAUTH Authentication required.\r\n-WRONGPASS");
    client.expect(
        " invalid username-password pair or user is disabled.\r\n-NOAUTH Authentication required.\r\n",
    );
    client.ask("AUTH sekrit\r\nSET a 1\r\n", "+OK\r\n+OK\r\n");
    let many = format!("*12\r\n$6\r\nEXISTS\r\n{}", "$1\r\na\r\n".repeat(11));
    client.ask(&many, ":11\r\n");
    client.ask("RESET\r\nGET a\r\n", "+RESET\r\n-NOAUTH Authentication required.\r\n");
    client.send(many);
    assert_eq!(client.rest(), b"-ERR Protocol error: unauthenticated multibulk length\r\n");
}

#[test]
fn a_stranger_is_cut_off_at_what_redis_allows_it() {
    let server = with_password();
    for (request, error) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let mut client = server.client();
        client.send(request);
        assert_eq!(client.rest(), format!("-ERR Protocol error: {error}\r\n").into_bytes());
    }
}

#[test]
fn many_guesses_end_the_connection_after_their_answers() {
    let server = with_password();
    let mut client = server.client();
    client.send("AUTH x\r\n".repeat(20));
    let rest = String::from_utf8(client.rest()).expect("text");
    assert_eq!(rest.matches("-WRONGPASS ").count(), 8, "{rest}");
    assert_eq!(rest.matches("\r\n").count(), 8, "{rest}");
}

#[test]
fn the_last_guess_ends_the_connection_also_as_the_last_request_of_a_turn() {
    let server = with_password();
    let mut client = server.client();
    let rest_of_turn = "PING\r\n".repeat(TURN_REQUESTS - 1);
    // Each guess ends a turn, so that the requests behind the seventh begin one.
    client.send(format!("{}{rest_of_turn}AUTH x\r\n", "AUTH x\r\n".repeat(7)));
    let rest = String::from_utf8(client.rest()).expect("text");
    assert_eq!(rest.matches("-WRONGPASS ").count(), 8, "{rest}");
    assert_eq!(rest.matches("-NOAUTH ").count(), TURN_REQUESTS - 1);
}

#[test]
fn answers_to_a_stranger_that_never_reads_are_bounded() {
    // Others may leave as much as they like.
    let server =
        Running::start(Settings { slow_client_timeout: short(), output_bytes_max: usize::MAX, ..settings() });
    server.context.settings.live.set_password(Password::from_setting(b"sekrit"));
    let stranger = server.client();
    let pings = "PING\r\n".repeat(100_000);
    let mut stream = stranger.clone_stream();
    std::thread::scope(|scope| {
        // The write ends when the server closes the connection.
        scope.spawn(move || while stream.write_all(pings.as_bytes()).is_ok() {});
        let mut other = server.client();
        other.ask("AUTH sekrit\r\n", "+OK\r\n");
        while server.context.observe.clients.len() > 1 {
            other.ask("PING\r\n", "+PONG\r\n");
            let unsent = server.context.observe.unsent_bytes.load(Ordering::Relaxed);
            assert!(unsent < VALUE / 2, "{unsent} bytes of replies wait for a stranger");
        }
    });
}

#[test]
fn an_unfinished_request_does_not_hold_its_place_for_ever() {
    let server = Running::start(Settings { slow_client_timeout: short(), ..settings() });
    let mut client = server.client();
    client.ask("PING\r\n*2\r\n$3\r\nGET\r\n$5\r\nab", "+PONG\r\n");
    assert_eq!(client.rest(), b"");
    let mut other = server.client();
    other.ask("PING\r\n", "+PONG\r\n");
}

#[test]
fn clients_that_owe_most_are_closed_before_others_suffer() {
    let server = Running::start(Settings { unsent_bytes_max: 8 * VALUE, ..settings() });
    let mut other = server.client();
    store_large(&mut other);
    let mut greedy: Vec<_> = (0..40).map(|_| server.client()).collect();
    for client in &mut greedy {
        client.send("GET v\r\n".repeat(10));
    }
    for _ in 0..5 {
        other.ask("PING\r\n", "+PONG\r\n");
        other.send("GET v\r\n");
        other.expect(format!("${VALUE}\r\n{}\r\n", "x".repeat(VALUE)));
    }
    assert!(server.context.observe.clients.len() < 41, "nobody was closed");
}

#[test]
fn limits_change_while_the_server_runs() {
    let server = Running::start(settings());
    let mut operator = server.client();
    operator.ask("CONFIG SET maxclients 1\r\n", "+OK\r\n");
    assert_eq!(server.client().rest(), b"-ERR max number of clients reached\r\n");
    operator.ask("CONFIG SET maxclients 2\r\n", "+OK\r\n");
    let mut idle = server.client();
    idle.ask("PING\r\n", "+PONG\r\n");
    operator.ask("CONFIG SET timeout 1\r\n", "+OK\r\n");
    assert_eq!(idle.rest(), b"", "who was idle before the change goes too");
}
