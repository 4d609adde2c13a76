//! Writes of many clients share an apply; what one of them does wrong is its own affair.

use std::thread;

use e2e::{Client, Config, Reply, Server};

use crate::engines::{self, on_every_engine};

on_every_engine!(an_oversized_value_among_writes_of_others_fails_alone);

const OTHERS: usize = 6;
const WRITES: usize = 50;

/// Runs `spoil` while other clients write; every write of theirs must succeed and be there.
fn others_succeed_while(server: &Server, spoil: impl FnOnce(&mut Client)) {
    thread::scope(|scope| {
        for other in 0..OTHERS {
            let mut client = server.client();
            scope.spawn(move || {
                for write in 0..WRITES {
                    let key = format!("other:{other}:{write}");
                    assert_eq!(client.command(&["SET", &key, "v"]), Reply::ok());
                    assert_eq!(client.command(&["INCR", "shared"]).integer().signum(), 1);
                }
            });
        }
        spoil(&mut server.client());
    });
    let mut client = server.client();
    assert_eq!(client.line("GET shared"), Reply::bulk((OTHERS * WRITES).to_string()));
    assert_eq!(client.line("RANGE other: other; KEYS").array().len(), OTHERS * WRITES);
}

fn an_oversized_value_among_writes_of_others_fails_alone(config: Config) {
    let server = Server::start(config.with("limits", "value_bytes_max = \"64KiB\""));
    let allowed = vec![b'x'; 64 << 10];
    let oversized = vec![b'x'; (64 << 10) + 1];
    others_succeed_while(&server, |client| {
        for _ in 0..20 {
            client.command(&[b"SET".as_slice(), b"big", &oversized]).error();
            assert_eq!(client.command(&[b"SET".as_slice(), b"fits", &allowed]), Reply::ok());
        }
    });
    let mut client = server.client();
    assert_eq!(client.line("EXISTS big fits"), Reply::Integer(1));
    // A value may not outgrow the limit little by little either.
    client.command(&["APPEND", "fits", "y"]).error();
    assert_eq!(client.line("STRLEN fits"), Reply::Integer(64 << 10));
}

#[test]
fn what_the_engine_rejects_in_a_group_fails_alone() {
    let server = Server::start(engines::faulty("apply_delay_ms", "5"));
    others_succeed_while(&server, |client| {
        for write in ["reject", "full"].into_iter().cycle().take(20) {
            let outcome = client.command(&["SET", write, "v"]);
            assert!(outcome.error().contains(write), "{outcome:?}");
        }
    });
}

#[test]
fn an_oversized_value_in_the_middle_of_a_pipeline_fails_alone() {
    let server = Server::start(engines::snapshot("atomic").with("limits", "value_bytes_max = \"64KiB\""));
    let oversized = "x".repeat((64 << 10) + 1);
    let commands =
        [["SET", "a", "1"], ["SET", "big", &oversized], ["SET", "b", "2"]].map(|words| words.to_vec());
    let replies = server.client().pipeline(&commands);
    assert_eq!((&replies[0], &replies[2]), (&Reply::ok(), &Reply::ok()));
    replies[1].error();
}
