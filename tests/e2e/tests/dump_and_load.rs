//! A store goes through a dump into a store of any engine, and comes out the same; what is not whole is refused,
//! and leaves no store behind.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Output};
use std::time::Instant;

use e2e::{Config, Reply, Server, server};
use serde_json::Value;
use tempfile::TempDir;

use crate::data_directory::contents;
use crate::engines;
use crate::offline::{
    answer, assert_serves, command, limited, names, refused, run, run_on, signal, succeeded, text, written,
};

/// How many keys go from engine to engine: `E2E_DUMP_KEYS`, or a number that takes a few seconds.
fn keys() -> usize {
    std::env::var("E2E_DUMP_KEYS").map_or(5000, |number| number.parse().expect("a whole number"))
}

fn dump(data: &Path) -> Vec<u8> {
    succeeded(run(&["dump", "--dir", text(data)]))
}

fn load(dump: &[u8], data: &Path, engine: &str) -> Output {
    run_on(&["load", "--dir", text(data), "--engine", engine, "--json"], dump)
}

#[test]
fn a_store_comes_out_of_every_durable_engine_with_the_same_digest() {
    let folder = TempDir::new().unwrap();
    let (keys, file) = (keys(), folder.path().join("file.dump"));
    let data = written(&folder, engines::logmap(), keys);
    let first = answer(run(&["dump", "--dir", text(&data), "--output", text(&file), "--json"]));
    assert!(first["entries"].as_u64() > Some(keys as u64), "{first}");
    report_rate("dump of logmap", &first);
    let mut bytes = fs::read(&file).unwrap();
    for (place, engine) in ["snapshot", "btree", "lsm", "logmap", "snapshot"].into_iter().enumerate() {
        let data = folder.path().join(format!("copy-{place}"));
        let loaded = answer(load(&bytes, &data, engine));
        let verified = answer(run(&["verify", "--dir", text(&data), "--json"]));
        for name in ["digest", "entries", "bytes"] {
            assert_eq!((&loaded[name], &verified[name]), (&first[name], &first[name]), "{engine}: {name}");
        }
        assert_eq!(verified["findings"], 0);
        let again = dump(&data);
        assert!(again == bytes, "the dump of {engine} has other bytes");
        bytes = again;
        assert_serves(Config::engine(engine), &data, keys);
        report_rate(&format!("load into {engine}"), &loaded);
    }
    let backup = folder.path().join("backup");
    let copied = answer(run(&["backup", "--dir", text(&data), "--to", text(&backup), "--json"]));
    report_rate("backup of logmap", &copied);
    let moved = answer(run(&["migrate", text(&data), "--to", "snapshot", "--json"]));
    assert_eq!(moved["digest"], first["digest"]);
    report_rate("migrate from logmap to snapshot", &moved);
    let (written, read) = disk_rates(&bytes, folder.path());
    report(&format!("the disk's own: {written:.0} MB/s written and synced, {read:.0} MB/s read"));
}

/// Says how fast a command was, by its own answer.
#[track_caller]
fn report_rate(what: &str, answer: &Value) {
    let number = |name: &str| answer[name].as_f64().filter(|number| *number > 0.0);
    let rate = number("bytes").zip(number("seconds")).zip(number("mb_per_second"));
    let Some(((bytes, seconds), rate)) = rate else { panic!("{what}: no rate in {answer}") };
    let megabytes = bytes / 1e6;
    assert!((megabytes / seconds / rate - 1.0).abs() < 1e-6, "{what}: {answer}");
    report(&format!("{what}: {megabytes:.0} MB in {seconds:.2} s, {rate:.0} MB/s"));
}

/// How many megabytes of the dump the disk takes and gives in a second, with nobody but the kernel in between.
fn disk_rates(bytes: &[u8], folder: &Path) -> (f64, f64) {
    let path = folder.join("bare");
    let rate = |started: Instant| bytes.len() as f64 / 1e6 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    let written = rate(started);
    // The pages are clean now, so the kernel may forget them; else it would answer by itself.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let started = Instant::now();
    assert!(fs::read(&path).unwrap() == bytes);
    (written, rate(started))
}

#[allow(clippy::print_stderr)]
fn report(line: &str) {
    eprintln!("{line}");
}

#[test]
fn a_dump_that_is_cut_off_or_damaged_is_refused_with_the_position_and_leaves_no_store() {
    let folder = TempDir::new().unwrap();
    let bytes = dump(&written(&folder, engines::logmap(), 1000));
    let data = folder.path().join("new");
    for engine in ["logmap", "snapshot"] {
        let cut = bytes.len() - 100_000;
        refused(&load(&bytes[..cut], &data, engine), 4, &[&format!("at byte {cut}"), "cut off"]);
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        refused(&load(&flipped, &data, engine), 4, &["(standard input) at byte ", "checksum"]);
        refused(&load(b"REDIS? no", &data, engine), 4, &["at byte 0"]);
        assert_eq!(names(&data), ["LOCK"], "nothing of it is kept");
    }
    // What was refused is in nobody's way.
    answer(load(&bytes, &data, "logmap"));
    assert_serves(engines::logmap(), &data, 1000);
}

#[test]
fn nothing_is_loaded_where_data_is() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::snapshot("atomic"), 100);
    let bytes = dump(&data);
    let before = contents(&data);
    for engine in ["snapshot", "logmap"] {
        refused(&load(&bytes, &data, engine), 4, &["holds data of engine snapshot", "--dir"]);
    }
    let letters = folder.path().join("letters");
    fs::create_dir(&letters).unwrap();
    fs::write(letters.join("letters.txt"), "dear reader").unwrap();
    refused(&load(&bytes, &letters, "logmap"), 4, &["letters.txt"]);
    refused(&load(&bytes, &folder.path().join("new"), "memory"), 2, &["memory keeps nothing"]);
    assert_eq!(contents(&data), before);
    assert_eq!(names(&letters), ["letters.txt"]);
}

#[test]
fn a_directory_that_a_server_uses_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(engines::logmap().data(&data));
    let here = text(&data);
    for words in [
        &["dump", "--dir", here][..],
        &["verify", "--dir", here],
        &["load", "--dir", here, "--engine", "snapshot"],
    ] {
        refused(&run(words), 4, &[here, "in use by another process"]);
    }
    drop(server);
}

#[test]
fn what_is_no_store_is_refused_and_nothing_is_created() {
    let folder = TempDir::new().unwrap();
    let nowhere = folder.path().join("nowhere");
    for command in ["dump", "verify"] {
        refused(&run(&[command, "--dir", text(&nowhere)]), 4, &["nowhere", "no data directory"]);
        refused(&run(&[command, "--dir", text(folder.path())]), 4, &["no data directory"]);
    }
    refused(
        &run(&["load", "--dir", text(&nowhere), "--engine", "logmap", "--input", "missing"]),
        2,
        &["missing"],
    );
    refused(&run(&["load", "--dir", text(&nowhere), "--engine", "no-such"]), 3, &["no-such"]);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_dump_replaces_no_file_and_one_that_finds_no_room_leaves_none() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::logmap(), 100);
    let file = folder.path().join("file.dump");
    fs::write(&file, "precious").unwrap();
    let words = ["dump", "--dir", text(&data), "--output", text(&file)];
    refused(&run(&words), 2, &["file.dump", "there already"]);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    refused(&run(&["dump", "--dir", text(&data), "--output", "/dev/full"]), 1, &["No space left"]);
    fs::remove_file(&file).unwrap();
    refused(&limited(&words, 1000, b""), 1, &["could not be written"]);
    assert_eq!(names(folder.path()), ["data"]);
}

#[test]
fn a_load_that_finds_no_room_leaves_no_store() {
    let folder = TempDir::new().unwrap();
    let bytes = dump(&written(&folder, engines::logmap(), 1000));
    for engine in ["logmap", "snapshot"] {
        let data = folder.path().join(engine);
        let output = limited(&["load", "--dir", text(&data), "--engine", engine], 1000, &bytes);
        refused(&output, 1, &[engine]);
        assert_eq!(names(&data), ["LOCK"]);
    }
}

/// A file that Redis 7.0 saved: strings in every encoding and two databases, and keys of every other type.
const RDB: &[u8] = include_bytes!("../samples/redis-7.0.rdb");

#[test]
fn the_strings_of_an_rdb_file_are_loaded_and_all_else_is_counted() {
    for engine in ["logmap", "snapshot"] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("new");
        let output = load(RDB, &data, engine);
        refused(
            &output,
            1,
            &["not: 2 expiring string, 1 function, 2 hash, 2 list, 3 set, 2 sorted set, 1 stream"],
        );
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((answer["entries"].as_u64(), answer["skipped"]["set"].as_u64()), (Some(16), Some(3)));
        let server = Server::start(Config::engine(engine).data(&data));
        let mut client = server.client();
        assert_eq!(client.line("DBSIZE"), Reply::Integer(15));
        for number in [0, -1, 127, -128, 32767, -32768, 2147483647, -2147483648, 2147483648_i64] {
            assert_eq!(client.line(&format!("GET int:{number}")), Reply::bulk(number.to_string()));
        }
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(client.command(&[&b"GET"[..], b"\0\xffbinary\r\n"]), Reply::bulk(bytes));
        assert_eq!(client.line("GET packed"), Reply::bulk("abc".repeat(2000)));
        assert_eq!(client.line("GET empty"), Reply::bulk(""));
        assert_eq!(client.line("EXISTS volatile list set"), Reply::Integer(0));
        assert_eq!(client.line("SELECT 5"), Reply::ok());
        assert_eq!(client.line("GET elsewhere"), Reply::bulk("five"));
    }
}

#[test]
fn an_rdb_file_that_is_cut_off_or_damaged_leaves_no_store() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("new");
    let cut = RDB.len() - 9;
    refused(&load(&RDB[..cut], &data, "logmap"), 4, &[&format!("at byte {cut}"), "cut off"]);
    let mut flipped = RDB.to_vec();
    let inside = flipped.windows(5).position(|window| window == b"value").unwrap();
    flipped[inside] ^= 1;
    refused(&load(&flipped, &data, "logmap"), 4, &["at byte ", "checksum"]);
    assert_eq!(names(&data), ["LOCK"]);
}

/// A load that waits for the second half of its dump.
fn half_loaded(dump: &[u8], data: &Path) -> (Child, ChildStdin) {
    let mut child = command(&["load", "--dir", text(data), "--engine", "logmap"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&dump[..dump.len() / 2]).unwrap();
    server::until("an arriving store", || data.join("data-1").is_dir());
    (child, stdin)
}

#[test]
fn a_load_that_waits_for_its_input_ends_at_ctrl_c_and_leaves_no_store() {
    let folder = TempDir::new().unwrap();
    let bytes = dump(&written(&folder, engines::logmap(), 1000));
    let data = folder.path().join("new");
    let (child, stdin) = half_loaded(&bytes, &data);
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    refused(&output, 130, &["interrupted"]);
    assert_eq!(names(&data), ["LOCK"]);
    drop(stdin);
}

#[test]
fn a_load_that_was_killed_is_refused_by_a_server_and_begins_anew() {
    let folder = TempDir::new().unwrap();
    let bytes = dump(&written(&folder, engines::logmap(), 1000));
    let data = folder.path().join("new");
    let (mut child, _stdin) = half_loaded(&bytes, &data);
    child.kill().unwrap();
    child.wait().unwrap();
    let refusal = Server::refuse(&engines::logmap().data(&data));
    refused(&refusal, 4, &[text(&data), "being filled, or that was cut off"]);
    answer(load(&bytes, &data, "logmap"));
    assert_serves(engines::logmap(), &data, 1000);
}
