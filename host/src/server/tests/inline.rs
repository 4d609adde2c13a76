//! On whose thread writes are decided.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::*;

/// Far more than it takes until the disk is known to be quick, even on a machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and the thread that applied last.
fn server() -> (Running, Arc<Mutex<String>>) {
    let server = Running::start(settings());
    let applied_by = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&applied_by);
    server.state.script(move |_| {
        *seen.lock().unwrap() = std::thread::current().name().unwrap_or_default().to_string();
        Ok(())
    });
    (server, applied_by)
}

/// Writes until the event loop decides that itself; answers how many writes it took.
fn write_until_inline(client: &mut Client, applied_by: &Mutex<String>) -> u32 {
    let begun = Instant::now();
    let mut writes = 0;
    while writes == 0 || *applied_by.lock().unwrap() != "loop-0" {
        assert!(begun.elapsed() < PATIENCE, "after {writes} writes they are still handed over");
        client.ask("SET a 1\r\n", "+OK\r\n");
        writes += 1;
    }
    writes
}

#[test]
fn the_writes_of_a_client_that_is_alone_are_decided_on_the_event_loop() {
    let (server, applied_by) = server();
    let mut client = server.client();
    let writes = write_until_inline(&mut client, &applied_by);
    assert!(writes > 8, "the first groups show whether the disk is quick");
    client.ask("GET a\r\n", "$1\r\n1\r\n");
    write_until_inline(&mut client, &applied_by);
    let handed_over = [
        ("INCR n\r\n", ":1\r\n"),
        ("SET a 1 GET\r\n", "$1\r\n1\r\n"),
        ("SET a 1\r\nSET a 1\r\n", "+OK\r\n+OK\r\n"),
    ];
    for (request, reply) in handed_over {
        client.ask(request, reply);
        assert_eq!(*applied_by.lock().unwrap(), "commit", "{request}");
        write_until_inline(&mut client, &applied_by);
    }
}

#[test]
fn nobody_reads_behind_the_writes_of_others() {
    let (server, applied_by) = server();
    let (mut writer, mut reader) = (server.client(), server.client());
    reader.ask("PING\r\n", "+PONG\r\n");
    let writes = write_until_inline(&mut writer, &applied_by);
    assert!(writes > 64, "nobody else has asked for anything for some time");
    for _ in 0..100 {
        reader.ask("GET none\r\n", "$-1\r\n");
        writer.ask("SET a 1\r\n", "+OK\r\n");
        assert_eq!(*applied_by.lock().unwrap(), "commit");
    }
    assert!(write_until_inline(&mut writer, &applied_by) > 60);
}
