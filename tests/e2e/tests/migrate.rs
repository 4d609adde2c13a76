//! `migrate` moves a store to another engine; killed at any moment, it leaves exactly one store in use, whole.

use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Config, Reply, Server, build};
use tempfile::TempDir;

use crate::data_directory::contents;
use crate::engines;
use crate::offline::{
    answer, assert_serves, command, limited, names, refused, run, signal, succeeded, text, written,
};

/// How many keys the moved store has.
const KEYS: usize = 3000;

/// How many moves are killed: `E2E_MIGRATE_KILLS`, or a number that takes a few seconds.
fn kills() -> u64 {
    std::env::var("E2E_MIGRATE_KILLS").map_or(20, |number| number.parse().expect("a whole number"))
}

fn seed() -> u64 {
    std::env::var("E2E_SEED")
        .map_or_else(|_| fastrand::u64(..), |number| number.parse().expect("a whole number"))
}

fn migrate(data: &Path, to: &str) -> Output {
    run(&["migrate", text(data), "--to", to, "--json"])
}

fn digest(data: &Path) -> String {
    answer(run(&["verify", "--dir", text(data), "--json"]))["digest"].to_string()
}

/// The engine that the directory remembers.
fn engine_of(data: &Path) -> String {
    let marker = std::fs::read_to_string(data.join("MARKER")).unwrap();
    marker
        .lines()
        .find_map(|line| line.strip_prefix("engine "))
        .expect("a marker names an engine")
        .to_string()
}

#[test]
fn a_store_moves_there_and_back_and_keeps_the_old_data_until_it_is_discarded() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::logmap(), KEYS);
    let before = digest(&data);
    let moved = answer(migrate(&data, "snapshot"));
    assert_eq!((moved["engine"].as_str(), moved["digest"].to_string()), (Some("snapshot"), before.clone()));
    assert!(moved["kept"].as_str().is_some_and(|kept| kept.ends_with("/data")), "{moved}");
    assert_eq!(names(&data), ["LOCK", "MARKER", "data", "data-1"]);
    refused(&Server::refuse(&engines::logmap().data(&data)), 4, &["snapshot", "migrate", "--to logmap"]);
    assert_serves(Config::engine("snapshot"), &data, KEYS);

    let before = digest(&data);
    succeeded(run(&["migrate", text(&data), "--discard-old"]));
    assert_eq!(names(&data), ["LOCK", "MARKER", "data-1"]);
    answer(migrate(&data, "logmap"));
    assert_eq!(digest(&data), before);
    assert_serves(engines::logmap(), &data, KEYS);
    succeeded(run(&["migrate", text(&data), "--discard-old"]));
    assert!(
        String::from_utf8(succeeded(run(&["migrate", text(&data), "--discard-old"])))
            .unwrap()
            .contains("no old")
    );
    assert_serves(engines::logmap(), &data, KEYS);
}

#[test]
fn killed_at_any_moment_exactly_one_store_is_in_use_and_whole() {
    let folder = TempDir::new().unwrap();
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let data = written(&folder, engines::logmap(), KEYS);
    let before = digest(&data);
    let started = Instant::now();
    answer(migrate(&data, "snapshot"));
    let mut longest = started.elapsed();
    let (mut missing, mut of_new) = (kills(), 0);
    while missing > 0 {
        let old = engine_of(&data);
        let new = if old == "logmap" { "snapshot" } else { "logmap" };
        let mut child = command(&["migrate", text(&data), "--to", new]).spawn().unwrap();
        thread::sleep(longest.mul_f64(random.f64()));
        let was_done = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        if was_done {
            longest = longest.mul_f64(0.9).max(Duration::from_millis(1));
        } else {
            missing -= 1;
        }
        let found = engine_of(&data);
        assert!(found == old || found == new, "E2E_SEED={seed}: the marker names {found}");
        of_new += u64::from(found == new && !was_done);
        assert_eq!(digest(&data), before, "E2E_SEED={seed}: the store of {found} is not whole");
    }
    let engine = engine_of(&data);
    assert_serves(Config::engine(&engine), &data, KEYS);
    // What the killed ones left behind is in nobody's way, and goes.
    succeeded(run(&["migrate", text(&data), "--discard-old"]));
    assert_eq!(names(&data).len(), 3, "{:?}", names(&data));
    assert_serves(Config::engine(&engine), &data, KEYS);
    report(&format!(
        "{} moves were killed, {of_new} of them after the new store was in use; E2E_SEED={seed}",
        kills()
    ));
}

#[test]
fn ctrl_c_leaves_the_old_store_as_it_was() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::logmap(), KEYS);
    let child = command(&["migrate", text(&data), "--to", "snapshot"]).spawn().unwrap();
    e2e::server::until("a copy", || data.join("data-1").is_dir());
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    refused(&output, 130, &["interrupted"]);
    assert_eq!(names(&data), ["LOCK", "MARKER", "data"]);
    assert_serves(engines::logmap(), &data, KEYS);
}

#[test]
fn what_cannot_be_moved_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::snapshot("atomic"), 100);
    let before = contents(&data);
    let nowhere = folder.path().join("nowhere");
    refused(&migrate(&data, "snapshot"), 2, &["snapshot's already"]);
    refused(&migrate(&data, "memory"), 2, &["memory keeps nothing", "--allow-not-durable"]);
    refused(&migrate(&data, "no-such"), 3, &["no-such"]);
    refused(&migrate(&nowhere, "logmap"), 4, &["nowhere", "no data directory"]);
    refused(&migrate(folder.path(), "logmap"), 4, &["no data directory"]);
    refused(&run(&["migrate", text(folder.path()), "--discard-old"]), 4, &["no data directory"]);
    assert_eq!(run(&["migrate", text(&data)]).status.code(), Some(2));
    assert_eq!(contents(&data), before);
    let server = Server::start(engines::snapshot("atomic").data(&data));
    refused(&migrate(&data, "logmap"), 4, &[text(&data), "in use by another process"]);
    refused(&run(&["migrate", text(&data), "--discard-old"]), 4, &["in use by another process"]);
    drop(server);
    // Asked for, it is done: the old data stays.
    answer(run(&["migrate", text(&data), "--to", "memory", "--allow-not-durable", "--json"]));
    assert_eq!(names(&data), ["LOCK", "MARKER", "data", "data-1"]);
}

#[test]
fn an_engine_that_fails_in_the_middle_or_loses_something_does_not_get_the_store() {
    let to = build::stranger("faulty");
    for (word, expected) in [("lose", "was given 11 entries"), ("full", "no room"), ("fail", "failed")] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let mut server = Server::start(engines::logmap().data(&data));
        for number in 0..10 {
            let key = if number == 7 { word.to_string() } else { format!("key:{number}") };
            assert_eq!(server.client().line(&format!("SET {key} v")), Reply::ok());
        }
        assert!(server.stop().success());
        let output = run(&["migrate", text(&data), "--to", text(&to), "--allow-not-durable"]);
        refused(&output, 1, &["engine faulty", expected]);
        assert_eq!(names(&data), ["LOCK", "MARKER", "data"]);
        let server = Server::start(engines::logmap().data(&data));
        assert_eq!(server.client().line(&format!("GET {word}")), Reply::bulk("v"));
    }
}

#[test]
fn a_move_that_finds_no_room_leaves_the_old_store_as_it_was() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::logmap(), 1000);
    let output = limited(&["migrate", text(&data), "--to", "snapshot"], 1000, b"");
    refused(&output, 1, &["engine snapshot"]);
    assert_eq!(names(&data), ["LOCK", "MARKER", "data"]);
    assert_serves(engines::logmap(), &data, 1000);
}

#[allow(clippy::print_stderr)]
fn report(line: &str) {
    eprintln!("{line}");
}
