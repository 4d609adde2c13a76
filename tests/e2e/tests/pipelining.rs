//! Replies come in the order of requests, however requests arrive and whatever they are.

use std::thread;

use e2e::{Config, Reply, Server, client};

use crate::engines::on_every_engine;

on_every_engine!(a_mixed_pipeline_sees_its_own_writes);

fn a_mixed_pipeline_sees_its_own_writes(config: Config) {
    let server = Server::start(config);
    let mut client = server.client();
    let mut commands: Vec<Vec<String>> = Vec::new();
    let mut expected = Vec::new();
    for n in 0..500 {
        let (key, value) = (format!("k{}", n % 7), format!("v{n}"));
        let words = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
        commands.push(words(&format!("SET {key} {value}")));
        expected.push(Reply::ok());
        commands.push(words(&format!("GET {key}")));
        expected.push(Reply::bulk(&value));
        commands.push(words("INCR n"));
        expected.push(Reply::Integer(n + 1));
        commands.push(words(&format!("MGET {key} absent")));
        expected.push(Reply::Array(vec![Reply::bulk(&value), Reply::Null]));
        commands.push(words("INCR k0 too many"));
        expected.push(Reply::Error("ERR wrong number of arguments for 'incr' command".into()));
        commands.push(words("PING"));
        expected.push(Reply::Simple("PONG".into()));
    }
    commands.push(vec!["DBSIZE".into()]);
    expected.push(Reply::Integer(8));
    assert_eq!(client.pipeline(&commands), expected);
}

#[test]
fn select_takes_effect_in_the_middle_of_a_pipeline() {
    let server = Server::start(Config::engine("memory"));
    let words = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
    let lines = ["SET k zero", "SELECT 1", "GET k", "SET k one", "SELECT 0", "GET k", "SELECT 1", "GET k"];
    let replies = server.client().pipeline(&lines.map(words));
    let ok = Reply::ok;
    let expected = [ok(), ok(), Reply::Null, ok(), ok(), Reply::bulk("zero"), ok(), Reply::bulk("one")];
    assert_eq!(replies, expected);
}

#[test]
fn a_request_in_single_bytes_is_a_request() {
    let server = Server::start(Config::engine("memory"));
    let mut client = server.client();
    for byte in client::encode(&["SET", "key", "value"]) {
        client.send(&[byte]).unwrap();
    }
    assert_eq!(client.receive().unwrap(), Reply::ok());
    client.send(b"GET ke").unwrap();
    client.send(b"y\r").unwrap();
    client.send(b"\nPING\r\n\r\n\r\nPING x\r\n").unwrap();
    assert_eq!(client.receive().unwrap(), Reply::bulk("value"));
    assert_eq!(client.receive().unwrap(), Reply::Simple("PONG".into()));
    assert_eq!(client.receive().unwrap(), Reply::bulk("x"));
}

#[test]
fn replies_still_come_after_the_client_ended_its_sending_half() {
    let server = Server::start(Config::engine("snapshot"));
    let mut client = server.client();
    client.send(&client::encode(&["SET", "k", "v"])).unwrap();
    client.send(&client::encode(&["GET", "k"])).unwrap();
    client.end().unwrap();
    assert_eq!(client.drain().unwrap(), b"+OK\r\n$1\r\nv\r\n");
}

#[test]
fn counters_of_many_clients_lose_no_increment() {
    let server = Server::start(Config::engine("memory"));
    let (clients, each) = (8, 500);
    thread::scope(|scope| {
        for _ in 0..clients {
            let mut client = server.client();
            scope.spawn(move || {
                let commands = vec![vec!["INCR", "n"]; each];
                let numbers: Vec<_> = client.pipeline(&commands).iter().map(Reply::integer).collect();
                assert!(numbers.is_sorted(), "a client's own increments come in order");
            });
        }
    });
    assert_eq!(server.client().line("GET n"), Reply::bulk((clients * each).to_string()));
}
