//! Orderly ends: on SIGTERM, on SIGINT, on SHUTDOWN. What was sent before is answered, and the exit code is 0.

use std::thread;

use e2e::{Config, Reply, Server};

use crate::engines;

fn ends_in_order(end: impl Fn(&Server)) {
    let mut server = Server::start(Config::engine("snapshot"));
    let mut client = server.client();
    assert_eq!(client.line("SET k v"), Reply::ok());
    end(&server);
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{status}; the log:\n{}", server.log());
    assert!(client.try_command(&["PING"]).is_err(), "the connection has ended");
    let server = server.restart();
    assert_eq!(server.client().line("GET k"), Reply::bulk("v"));
}

#[test]
fn sigterm_ends_in_order() {
    ends_in_order(|server| server.signal(libc::SIGTERM));
}

#[test]
fn sigint_ends_in_order() {
    ends_in_order(|server| server.signal(libc::SIGINT));
}

#[test]
fn shutdown_ends_in_order_and_is_not_answered() {
    ends_in_order(|server| {
        let mut client = server.client();
        client.send(b"SHUTDOWN\r\n").unwrap();
        assert_eq!(client.drain().unwrap(), b"");
    });
}

#[test]
fn writes_that_the_server_has_read_are_answered_before_it_ends() {
    let mut server = Server::start(engines::faulty("apply_delay_ms", "300"));
    thread::scope(|scope| {
        for number in 0..4 {
            let mut client = server.client();
            scope.spawn(move || assert_eq!(client.line(&format!("SET k{number} v")), Reply::ok()));
        }
        let mut observer = server.client();
        e2e::server::until("four writes were read", || {
            observer.line("CLIENT LIST").text().matches(" cmd=set ").count() == 4
        });
        server.signal(libc::SIGTERM);
    });
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_idle_client_does_not_hold_the_end_up() {
    let mut server = Server::start(Config::engine("memory"));
    let mut idle = server.client();
    let mut half = server.client();
    half.send(b"*2\r\n$3\r\nGET\r\n$10\r\nhalf").unwrap();
    assert_eq!(idle.line("PING"), Reply::Simple("PONG".into()));
    assert_eq!(server.stop().code(), Some(0));
}
