//! What can still be read of a damaged data directory comes over into a new one, which a server serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use e2e::{Reply, Server, server};
use tempfile::TempDir;

use crate::data_directory::contents;
use crate::engines;
use crate::offline::{self, text};

const KEYS: usize = 500;

fn salvage(dir: &Path, into: &Path, more: &[&str]) -> Output {
    let words = ["salvage", "--dir", dir.to_str().unwrap(), "--into", into.to_str().unwrap()];
    server::run(&[&words[..], more].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(expected), "{expected:?} is missing in: {said}");
}

fn value(number: usize) -> String {
    format!("value {number} {}", "x".repeat(100))
}

/// A data directory of logmap with `KEYS` entries, each a group of the log of its own.
fn written(folder: &TempDir) -> PathBuf {
    let data = folder.path().join("data");
    let mut server = Server::start(engines::logmap().option("log_segment", "65536").data(&data));
    let mut client = server.client();
    for number in 0..KEYS {
        assert_eq!(client.command(&["SET", &format!("key:{number}"), &value(number)]), Reply::ok());
    }
    // Killed, so that the log has everything.
    server.kill();
    data
}

#[test]
fn a_whole_directory_comes_over_without_a_finding() {
    let folder = TempDir::new().unwrap();
    let (data, new) = (written(&folder), folder.path().join("new"));
    let before = contents(&data);
    let output = salvage(&data, &new, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("\"findings\":0"), "{output:?}");
    assert_eq!(contents(&data), before);
    let server = Server::start(engines::logmap().data(&new));
    assert_eq!(server.client().line("DBSIZE").integer(), KEYS as i64);
    refused(&salvage(&new, &folder.path().join("third"), &[]), "in use by another process");
}

#[test]
fn what_a_server_refuses_to_open_is_salvaged_around_the_damage() {
    let folder = TempDir::new().unwrap();
    let (data, new) = (written(&folder), folder.path().join("new"));
    let in_the_middle = value(KEYS / 2);
    let (file, mut bytes) = contents(&data)
        .into_iter()
        .find(|(_, bytes)| position(bytes, in_the_middle.as_bytes()).is_some())
        .expect("the value is in the log");
    let hit = position(&bytes, in_the_middle.as_bytes()).unwrap();
    bytes[hit] ^= 1;
    fs::write(&file, bytes).unwrap();
    let refusal = Server::refuse(&engines::logmap().data(&data));
    assert_eq!(refusal.status.code(), Some(4), "{refusal:?}");

    let before = contents(&data);
    let output = salvage(&data, &new, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // Which file depends on where the damage lies: a group that ends its file is missed at the next one.
    assert!(stdout(&output).contains("damaged: file log-"), "{output:?}");
    assert_eq!(contents(&data), before);
    let server = Server::start(engines::logmap().data(&new));
    let mut client = server.client();
    for number in (0..KEYS).filter(|number| *number != KEYS / 2) {
        assert_eq!(client.line(&format!("GET key:{number}")), Reply::bulk(value(number)), "key:{number}");
    }
    assert_eq!(client.line(&format!("GET key:{}", KEYS / 2)), Reply::Null);
}

#[test]
fn a_salvage_that_was_killed_leaves_nothing_that_serves_and_begins_anew() {
    const KEYS: usize = 10_000;
    let folder = TempDir::new().unwrap();
    let (data, new) = (offline::written(&folder, engines::logmap(), KEYS), folder.path().join("new"));
    let words = ["salvage", "--dir", text(&data), "--into", text(&new)];
    loop {
        offline::kill_at(&words, &new.join("data-1"));
        if !new.join("MARKER").exists() {
            break;
        }
        // It was done before it was killed.
        offline::assert_serves(engines::logmap(), &new, KEYS);
        fs::remove_dir_all(&new).unwrap();
    }
    let refusal = Server::refuse(&engines::logmap().data(&new));
    offline::refused(&refusal, 4, &[text(&new), "being filled, or that was cut off"]);
    let output = salvage(&data, &new, &[]);
    assert!(output.status.success(), "{output:?}");
    offline::assert_serves(engines::logmap(), &new, KEYS);
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[test]
fn nothing_is_salvaged_onto_other_files_or_into_the_damaged_directory() {
    let folder = TempDir::new().unwrap();
    let (data, used) = (written(&folder), folder.path().join("used"));
    fs::create_dir(&used).unwrap();
    fs::write(used.join("letters.txt"), "dear reader").unwrap();
    let before = contents(folder.path());
    refused(&salvage(&data, &used, &[]), "is not empty");
    refused(&salvage(&data, &data.join("data").join("new"), &[]), "lies in the damaged directory");
    refused(&salvage(&used, &folder.path().join("new"), &[]), "no data directory");
    refused(&salvage(&data, &folder.path().join("new"), &["--engine", "snapshot"]), "snapshot");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_damaged_marker_is_a_finding_if_the_engine_is_named() {
    let folder = TempDir::new().unwrap();
    let (data, new) = (written(&folder), folder.path().join("new"));
    fs::write(data.join("MARKER"), "enginebay").unwrap();
    refused(&salvage(&data, &new, &[]), "--engine");
    let output = salvage(&data, &new, &["--engine", "logmap"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("MARKER"), "{output:?}");
    let server = Server::start(engines::logmap().data(&new));
    assert_eq!(server.client().line("DBSIZE").integer(), KEYS as i64);
}
