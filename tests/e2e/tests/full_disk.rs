//! Below the disk reserve writes are refused with a sentence, deletes pass and reads go on.

use e2e::{Reply, Server};

use crate::engines;

#[test]
fn below_the_reserve_writes_are_refused_deletes_pass_and_reads_go_on() {
    let server = Server::start(engines::logmap());
    for key in ["a", "b", "c"] {
        assert_eq!(server.client().line(&format!("SET {key} v")), Reply::ok());
    }
    // More than any disk has.
    let server = server.restart_as(engines::logmap().with("limits", "disk_reserve = \"1024TiB\""));
    let mut client = server.client();
    let refusal = client.line("SET d v");
    for text in ["FULL ", "bytes free", "limits.disk_reserve = 1024TiB", "delete keys"] {
        assert!(refusal.error().contains(text), "{text:?} is missing in: {refusal:?}");
    }
    assert!(client.line("INCR n").error().starts_with("FULL "));
    assert_eq!(client.line("GET a"), Reply::bulk("v"));
    assert_eq!(client.line("DEL a"), Reply::Integer(1));
    assert_eq!(client.line("GET a"), Reply::Null);
    assert_eq!(client.line("FLUSHDB"), Reply::ok());
    assert_eq!(client.line("DBSIZE"), Reply::Integer(0));
    let server = server.restart_as(engines::logmap());
    assert_eq!(server.client().line("SET d v"), Reply::ok());
}
