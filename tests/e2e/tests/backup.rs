//! A backup is restored to what it was made of, with and without clients; what is not whole is refused by name.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use e2e::{Client, Reply, Server, server};
use tempfile::TempDir;

use crate::data_directory::contents;
use crate::engines;
use crate::offline::{answer, assert_serves, flip, kill_at, names, refused, run, succeeded, text, written};

/// The keys of a store that takes a while to copy.
const KEYS: usize = 10_000;

#[test]
fn a_backup_is_restored_to_what_it_was_made_of() {
    for config in [engines::logmap(), engines::btree(), engines::lsm(), engines::snapshot("atomic")] {
        let folder = TempDir::new().unwrap();
        let data = written(&folder, config.clone(), 1000);
        let (to, new) = (folder.path().join("backup"), folder.path().join("new"));
        let before = answer(run(&["verify", "--dir", text(&data), "--json"]));
        let made = answer(run(&["backup", "--dir", text(&data), "--to", text(&to), "--json"]));
        assert!(made["files"].as_u64() >= Some(1) && made["bytes"].as_u64() > Some(1000), "{made}");
        let copied = contents(&to);
        let restored = answer(run(&["restore", "--from", text(&to), "--dir", text(&new), "--json"]));
        assert_eq!(restored["digest"], before["digest"]);
        assert_eq!(contents(&to), copied, "a restore only reads the backup");
        assert_serves(config.clone(), &new, 1000);
        refused(&run(&["restore", "--from", text(&to), "--dir", text(&new)]), 4, &["holds data of engine"]);
        refused(&run(&["backup", "--dir", text(&data), "--to", text(&to)]), 2, &["not empty"]);
        let other = folder.path().join("other");
        let said = succeeded(run(&["backup", "--dir", text(&data), "--to", text(&other)]));
        assert!(String::from_utf8_lossy(&said).trim_end().ends_with(" MB/s"), "people read a rate too");
        refused(&Server::refuse(&config.data(&to)), 4, &["is not a data directory"]);
        assert_eq!(contents(&to), copied);
    }
}

#[test]
fn a_backup_that_was_changed_is_refused_with_the_file_and_leaves_no_store() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::logmap(), 1000);
    let restored = |change: &dyn Fn(&Path), expected: &str| {
        let (to, new) = (folder.path().join("backup"), folder.path().join("new"));
        answer(run(&["backup", "--dir", text(&data), "--to", text(&to), "--json"]));
        change(&to);
        refused(&run(&["restore", "--from", text(&to), "--dir", text(&new)]), 4, &[expected]);
        assert!(!new.exists() || names(&new) == ["LOCK"], "{expected}: {:?}", names(&new));
        fs::remove_dir_all(&to).unwrap();
    };
    restored(&|to| flip(to, "checkpoint-", &[b'v'; 100]), "its checksum is not the one in the list");
    restored(&|to| flip(to, "BACKUP", b"checkpoint-"), "BACKUP");
    restored(&|to| fs::remove_file(to.join("BACKUP")).unwrap(), "no backup");
    restored(&|to| fs::write(to.join("data").join("stranger"), "x").unwrap(), "stranger");
    let checkpoint = |to: &Path| {
        let name = names(&to.join("data")).into_iter().find(|name| name.starts_with("checkpoint-")).unwrap();
        to.join("data").join(name)
    };
    restored(&|to| fs::write(checkpoint(to), "short").unwrap(), "it has 5 bytes");
    restored(&|to| fs::remove_file(checkpoint(to)).unwrap(), "not there");
}

#[test]
fn a_restore_that_was_killed_is_refused_by_a_server_and_begins_anew() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::logmap(), KEYS);
    let (to, new) = (folder.path().join("backup"), folder.path().join("new"));
    answer(run(&["backup", "--dir", text(&data), "--to", text(&to), "--json"]));
    let words = ["restore", "--from", text(&to), "--dir", text(&new), "--json"];
    loop {
        kill_at(&words, &new.join("data-1"));
        if !new.join("MARKER").exists() {
            break;
        }
        // It was done before it was killed.
        assert_serves(engines::logmap(), &new, KEYS);
        fs::remove_dir_all(&new).unwrap();
    }
    let refusal = Server::refuse(&engines::logmap().data(&new));
    refused(&refusal, 4, &[text(&new), "being filled, or that was cut off"]);
    answer(run(&words));
    assert_serves(engines::logmap(), &new, KEYS);
}

#[test]
fn a_backup_that_was_killed_is_none() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::logmap(), KEYS);
    let (to, new) = (folder.path().join("backup"), folder.path().join("new"));
    let restore = || run(&["restore", "--from", text(&to), "--dir", text(&new), "--json"]);
    loop {
        kill_at(&["backup", "--dir", text(&data), "--to", text(&to)], &to.join("data"));
        if !to.join("BACKUP").exists() {
            break;
        }
        // It was done before it was killed.
        answer(restore());
        fs::remove_dir_all(&to).unwrap();
        fs::remove_dir_all(&new).unwrap();
    }
    refused(&restore(), 4, &["this is no backup"]);
    assert!(!new.exists());
    fs::remove_dir_all(&to).unwrap();
    answer(run(&["backup", "--dir", text(&data), "--to", text(&to), "--json"]));
    answer(restore());
    assert_serves(engines::logmap(), &new, KEYS);
}

#[test]
fn an_engine_without_backups_says_so() {
    let folder = TempDir::new().unwrap();
    let data = written(&folder, engines::memory(), 10);
    let to = folder.path().join("backup");
    refused(
        &run(&["backup", "--dir", text(&data), "--to", text(&to)]),
        4,
        &["memory makes no backups", "dump"],
    );
    assert!(!to.exists());
}

/// What ENGINE STATUS says under this name.
#[track_caller]
fn status(client: &mut Client, name: &str) -> String {
    let pairs = client.line("ENGINE STATUS").pairs();
    let found = pairs.into_iter().find(|(key, _)| key.text() == name);
    found.unwrap_or_else(|| panic!("no {name} in ENGINE STATUS")).1.text()
}

/// Waits until no long work is going on, and answers how the last one ended.
pub fn ended(client: &mut Client) -> String {
    server::until("the end of long work", || status(client, "work") == "none");
    status(client, "last_work")
}

#[test]
fn a_backup_beside_clients_has_everything_that_was_acknowledged_before_it() {
    let folder = TempDir::new().unwrap();
    let backups = folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let config = engines::busy_logmap().with("storage", &format!("backup_dir = {backups:?}"));
    let server = Server::start(config.clone());
    let mut client = server.client();
    for number in 0..2000 {
        assert_eq!(client.line(&format!("SET before:{number} {number}")), Reply::ok());
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut writer = server.client();
        let stop = &stop;
        scope.spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(writer.line(&format!("SET beside:{number} x")), Reply::ok());
                number += 1;
            }
        });
        assert!(client.line("ENGINE BACKUP nightly").text().starts_with("begun: backup nightly"));
        let last = ended(&mut client);
        stop.store(true, Ordering::Relaxed);
        assert!(last.starts_with("backup nightly: ok"), "{last}");
    });
    assert!(client.line("ENGINE BACKUP nightly").error().contains("there is a backup of that name"));
    for name in ["../out", "a/b", "."] {
        assert!(client.line(&format!("ENGINE BACKUP {name}")).error().contains("a backup's name"));
    }
    assert_eq!(names(&backups), ["nightly"]);
    drop(server);
    let new = folder.path().join("new");
    answer(run(&["restore", "--from", text(&backups.join("nightly")), "--dir", text(&new), "--json"]));
    let server = Server::start(engines::logmap().data(&new));
    let mut client = server.client();
    for number in 0..2000 {
        assert_eq!(client.line(&format!("GET before:{number}")), Reply::bulk(number.to_string()));
    }
}

#[test]
fn clients_have_no_backups_made_unless_a_folder_is_configured() {
    let server = Server::start(engines::logmap());
    assert!(server.client().line("ENGINE BACKUP nightly").error().contains("storage.backup_dir"));
}

#[test]
fn checks_and_compaction_run_beside_clients() {
    let server = Server::start(engines::logmap());
    let mut client = server.client();
    assert_eq!(client.line("SET k v"), Reply::ok());
    for (command, expected) in [("VERIFY", "verify: ok, nothing is damaged"), ("COMPACT", "compact: ok")] {
        assert!(client.line(&format!("ENGINE {command}")).text().contains("ENGINE STATUS"));
        let last = ended(&mut client);
        assert!(last.starts_with(expected), "{last}");
    }
    let server = Server::start(engines::memory());
    assert!(server.client().line("ENGINE COMPACT").error().contains("does not support compact"));
}
