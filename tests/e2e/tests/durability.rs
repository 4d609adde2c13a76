//! Each class of durability is one line of the config, says its name everywhere, and survives a restart.

use e2e::{Reply, Server, server};

use crate::engines;

#[track_caller]
fn a_class_is_named_and_keeps_everything_over_a_restart(class: &str) {
    let config = engines::logmap().with("storage", &format!("durability = {class:?}"));
    let server = Server::start(config);
    let mut client = server.client();
    for number in 0..200 {
        assert_eq!(client.line(&format!("SET key:{number} {number}")), Reply::ok());
    }
    let info = client.line("INFO enginebay").text();
    assert!(info.contains(&format!("durability:{class}\r\n")), "{info}");
    assert!(client.line("ENGINE GUARANTEES").all_text().contains(class));
    if class != "os" {
        // In the class interval the last sync may be one interval away.
        server::until("the time of the last durable write", || {
            let info = client.line("INFO enginebay").text();
            let last = info.lines().find_map(|line| line.strip_prefix("last_durable_write_unix_ms:"));
            last.is_some_and(|last| last.parse::<u64>().is_ok_and(|last| last > 1_600_000_000_000))
        });
    }
    let server = server.restart();
    let mut client = server.client();
    for number in 0..200 {
        assert_eq!(client.line(&format!("GET key:{number}")), Reply::bulk(number.to_string()));
    }
}

#[test]
fn always() {
    a_class_is_named_and_keeps_everything_over_a_restart("always");
}

#[test]
fn interval() {
    a_class_is_named_and_keeps_everything_over_a_restart("interval(100ms)");
}

#[test]
fn os() {
    a_class_is_named_and_keeps_everything_over_a_restart("os");
}

#[test]
fn inspect_shows_what_each_class_promises() {
    let output = server::run(&["inspect", "logmap"]);
    let text = String::from_utf8_lossy(&output.stdout);
    for class in ["always", "interval(100ms)", "os"] {
        assert!(text.contains(&format!("durability {class}:")), "{class} is missing in:\n{text}");
    }
}
