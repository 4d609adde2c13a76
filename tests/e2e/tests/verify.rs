//! `verify` finds damage, says where it is, and changes nothing that is whole.

use e2e::{Server, server};
use tempfile::TempDir;

use crate::engines;
use crate::offline::{answer, flip, refused, run, text, written};

#[test]
fn a_store_that_is_whole_has_no_findings() {
    for config in [engines::logmap(), engines::snapshot("atomic")] {
        let folder = TempDir::new().unwrap();
        let data = written(&folder, config, 500);
        let answer = answer(run(&["verify", "--dir", text(&data), "--json"]));
        assert_eq!(answer["findings"], 0);
        assert!(answer["entries"].as_u64() >= Some(502), "{answer}");
    }
}

#[test]
fn damage_that_an_open_does_not_see_is_a_finding() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    // Values on disk are read when somebody asks for them, not at the start.
    let config = engines::busy_logmap().option("values", "disk").data(&data);
    let mut server = Server::start(config);
    let mut client = server.client();
    for number in 0..20 {
        client.command(&["SET", &format!("key:{number}"), &"_".repeat(100_000 + number)]);
    }
    server::until("values in files of their own", || {
        e2e::Reply::text(&client.line("ENGINE METRICS"))
            .lines()
            .any(|line| line.strip_prefix("checkpoints ").is_some_and(|number| number.trim() != "0"))
    });
    assert!(server.stop().success());
    flip(&data, "values-", &[b'_'; 1000]);
    let output = run(&["verify", "--dir", text(&data), "--option", "values=disk", "--json"]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("\"file\":\"values-"), "{stdout}");
    refused(&output, 1, &["damaged in"]);
}

#[test]
fn what_an_engine_refuses_to_open_is_refused_with_its_words() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::snapshot("atomic"), 100);
    flip(&data, "snapshot.json", &[b'v'; 50]);
    refused(&run(&["verify", "--dir", text(&data)]), 4, &["snapshot.json", "damaged"]);
}
