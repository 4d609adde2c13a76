//! An engine that panics: the call fails, the log names the engine, the server lives.

use e2e::{Reply, Server};

use crate::engines;

#[track_caller]
fn assert_named(server: &Server, call: &str) {
    server.wait_for_log("faulty panics");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("panics in")).unwrap();
    assert!(line.contains(call), "{line}");
    assert!(log.lines().any(|line| line.contains("faulty") && !line.contains("RUST_BACKTRACE")), "{log}");
}

#[test]
fn a_panic_in_open_is_a_refusal_that_names_the_engine() {
    let output = Server::refuse(&engines::faulty("panic_in", "open"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(3 | 4)), "{}: {said}", output.status);
    assert!(said.contains("faulty") && said.contains("as it was told"), "{said}");
}

#[test]
fn after_a_panic_in_apply_writes_are_refused_and_reads_go_on() {
    let mut server = Server::start(engines::faulty("panic_in", "apply"));
    let mut client = server.client();
    assert_eq!(client.line("SET before v"), Reply::ok());
    let outcome = client.line("SET panic v");
    assert!(outcome.error().to_lowercase().contains("unknown"), "the outcome is unknown: {outcome:?}");
    client.line("SET after v").error();
    client.line("DEL before").error();
    assert_eq!(client.line("GET before"), Reply::bulk("v"));
    assert_eq!(client.line("GET after"), Reply::Null);
    assert_eq!(client.line("RANGE - + KEYS"), Reply::bulks(["before"]));
    assert_eq!(server.client().line("PING"), Reply::Simple("PONG".into()));
    assert_named(&server, "apply");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn after_a_panic_in_get_everything_goes_on() {
    let server = Server::start(engines::faulty("panic_in", "get"));
    let mut client = server.client();
    assert_eq!(client.line("MSET panic v other w"), Reply::ok());
    client.line("GET panic").error();
    client.line("INCR panic").error();
    assert_eq!(client.line("GET other"), Reply::bulk("w"));
    assert_eq!(client.line("SET new v"), Reply::ok());
    assert_eq!(client.line("INCR n"), Reply::Integer(1));
    assert_named(&server, "get");
}

#[test]
fn after_a_panic_in_a_cursor_everything_goes_on() {
    let server = Server::start(engines::faulty("panic_in", "cursor"));
    let mut client = server.client();
    assert_eq!(client.line("MSET a 1 panic 2 z 3"), Reply::ok());
    client.line("RANGE - +").error();
    assert_eq!(client.line("RANGE - b"), Reply::bulks(["a", "1"]));
    assert_eq!(client.line("GET panic"), Reply::bulk("2"));
    assert_eq!(client.line("DEL panic"), Reply::Integer(1));
    assert_eq!(client.line("RANGE - + KEYS"), Reply::bulks(["a", "z"]));
    assert_named(&server, "cursor");
}

#[test]
fn panics_in_drops_end_neither_a_read_nor_the_server() {
    let mut server = Server::start(engines::faulty("panic_in", "drop"));
    let mut client = server.client();
    assert_eq!(client.line("MSET a 1 b 2"), Reply::ok());
    for _ in 0..3 {
        assert_eq!(client.line("RANGE - +"), Reply::bulks(["a", "1", "b", "2"]));
        assert_eq!(client.line("DBSIZE"), Reply::Integer(2));
    }
    assert_eq!(server.stop().code(), Some(0), "{}", server.log());
    assert_named(&server, "drop");
    assert!(server.log().contains("drop of its engine"), "{}", server.log());
}
