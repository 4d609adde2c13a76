//! What the engine refuses, the client hears; what has an unknown outcome is told as such.

use e2e::{Reply, Server};

use crate::engines;

#[test]
fn what_the_engine_rejects_fails_with_its_words_and_writes_go_on() {
    let server = Server::start(engines::faulty("panic_in", "nothing"));
    let mut client = server.client();
    for (key, words) in [("reject", "the key says reject"), ("full", "the key says full")] {
        let outcome = client.line(&format!("SET {key} v"));
        assert!(outcome.error().contains(words), "{outcome:?}");
        assert_eq!(client.line(&format!("GET {key}")), Reply::Null);
        assert_eq!(client.line("SET good v"), Reply::ok());
    }
}

#[test]
fn after_a_failed_apply_no_write_is_admitted_and_reads_go_on() {
    let server = Server::start(engines::faulty("panic_in", "nothing"));
    let mut client = server.client();
    assert_eq!(client.line("SET good v"), Reply::ok());
    let outcome = client.line("SET fail v");
    assert!(outcome.error().to_lowercase().contains("unknown"), "{outcome:?}");
    client.line("SET good w").error();
    client.line("INCR n").error();
    assert_eq!(client.line("GET good"), Reply::bulk("v"));
    assert_eq!(server.client().line("MGET good n"), Reply::Array(vec![Reply::bulk("v"), Reply::Null]));
    server.wait_for_log("faulty");
}
