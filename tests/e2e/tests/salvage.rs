//! What can still be read of a damaged data directory comes over into a new one, which a server serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use e2e::{Config, Reply, Server, server};
use tempfile::TempDir;

use crate::backup::ended;
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

/// A data directory with `KEYS` entries, each a group of the log of its own.
fn written(folder: &TempDir, config: Config) -> PathBuf {
    let data = folder.path().join("data");
    let mut server = Server::start(config.option("log_segment", "65536").data(&data));
    let mut client = server.client();
    for number in 0..KEYS {
        assert_eq!(client.command(&["SET", &format!("key:{number}"), &value(number)]), Reply::ok());
    }
    // Killed, so that the log has everything.
    server.kill();
    data
}

#[test]
fn a_whole_directory_of_logmap_comes_over_without_a_finding() {
    whole_directory(engines::logmap);
}

#[test]
fn a_whole_directory_of_btree_comes_over_without_a_finding() {
    whole_directory(engines::btree);
}

#[test]
fn a_whole_directory_of_lsm_comes_over_without_a_finding() {
    whole_directory(|| engines::lsm().option("memtable_bytes", "65536"));
}

fn whole_directory(config: fn() -> Config) {
    let folder = TempDir::new().unwrap();
    let (data, new) = (written(&folder, config()), folder.path().join("new"));
    let before = contents(&data);
    let output = salvage(&data, &new, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("\"findings\":0"), "{output:?}");
    assert_eq!(contents(&data), before);
    let server = Server::start(config().data(&new));
    assert_eq!(server.client().line("DBSIZE").integer(), KEYS as i64);
    refused(&salvage(&new, &folder.path().join("third"), &[]), "in use by another process");
}

#[test]
fn what_a_server_refuses_to_open_of_logmap_is_salvaged_around_the_damage() {
    around_damage(engines::logmap);
}

#[test]
fn what_a_server_refuses_to_open_of_btree_is_salvaged_around_the_damage() {
    around_damage(engines::btree);
}

#[test]
fn what_a_server_refuses_to_open_of_lsm_is_salvaged_around_the_damage() {
    around_damage(engines::lsm);
}

/// Flips a bit of a value, wherever it lies first.
fn damage(data: &Path, value: &str) {
    let (file, mut bytes) = contents(data)
        .into_iter()
        .find(|(_, bytes)| position(bytes, value.as_bytes()).is_some())
        .expect("the value is in a file");
    let hit = position(&bytes, value.as_bytes()).unwrap();
    bytes[hit] ^= 1;
    fs::write(&file, bytes).unwrap();
}

fn around_damage(config: fn() -> Config) {
    let folder = TempDir::new().unwrap();
    let (data, new) = (written(&folder, config()), folder.path().join("new"));
    damage(&data, &value(KEYS / 2));
    let refusal = Server::refuse(&config().data(&data));
    assert_eq!(refusal.status.code(), Some(4), "{refusal:?}");

    let before = contents(&data);
    let output = salvage(&data, &new, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // Which file depends on where the damage lies: a group that ends its file is missed at the next one.
    assert!(stdout(&output).contains("damaged: file log-"), "{output:?}");
    assert_eq!(contents(&data), before);
    let server = Server::start(config().data(&new));
    let mut client = server.client();
    for number in (0..KEYS).filter(|number| *number != KEYS / 2) {
        assert_eq!(client.line(&format!("GET key:{number}")), Reply::bulk(value(number)), "key:{number}");
    }
    assert_eq!(client.line(&format!("GET key:{}", KEYS / 2)), Reply::Null);
}

#[test]
fn a_damaged_leaf_of_a_btree_takes_its_own_keys_and_is_told() {
    damaged_page(&engines::btree(), "damaged: file data at byte", "it held the keys from");
}

#[test]
fn a_damaged_block_of_an_lsm_tree_takes_its_own_keys_and_is_told() {
    let config = engines::lsm().option("compression", "none");
    damaged_page(&config, "damaged: file table-", "what it said of keys from");
}

/// Damages a value in what the log is not needed for any more.
fn damaged_page(config: &Config, place: &str, keys: &str) {
    let folder = TempDir::new().unwrap();
    let (data, new) = (written(&folder, config.clone()), folder.path().join("new"));
    let mut server = Server::start(config.clone().data(&data));
    let mut client = server.client();
    client.line("ENGINE COMPACT");
    assert!(ended(&mut client).starts_with("compact: ok"));
    server.stop();
    let is_log = |file: &str| file.contains("/log-") || file.contains("/spare-");
    let wanted = value(KEYS / 2);
    let holds =
        |(file, bytes): &(String, Vec<u8>)| !is_log(file) && position(bytes, wanted.as_bytes()).is_some();
    let (file, mut bytes) = contents(&data).into_iter().find(holds).expect("the value is in a page");
    let hit = position(&bytes, wanted.as_bytes()).unwrap();
    bytes[hit] ^= 1;
    fs::write(&file, bytes).unwrap();

    let output = salvage(&data, &new, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stdout(&output);
    assert!(said.contains(place) && said.contains(keys), "{said}");
    let server = Server::start(config.clone().data(&new));
    let left = server.client().line("DBSIZE").integer() as usize;
    assert!(left < KEYS && left > KEYS - 100, "{left}");
    assert_eq!(server.client().line(&format!("GET key:{}", KEYS / 2)), Reply::Null);
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
    let (data, used) = (written(&folder, engines::logmap()), folder.path().join("used"));
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
    let (data, new) = (written(&folder, engines::logmap()), folder.path().join("new"));
    fs::write(data.join("MARKER"), "enginebay").unwrap();
    refused(&salvage(&data, &new, &[]), "--engine");
    let output = salvage(&data, &new, &["--engine", "logmap"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("MARKER"), "{output:?}");
    let server = Server::start(engines::logmap().data(&new));
    assert_eq!(server.client().line("DBSIZE").integer(), KEYS as i64);
}
