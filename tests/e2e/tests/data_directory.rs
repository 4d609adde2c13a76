//! A data directory belongs to one server at a time and to the engine that wrote it.

use std::fs;
use std::path::Path;

use e2e::{Config, Reply, Server};
use tempfile::TempDir;

#[track_caller]
fn refused(config: &Config, expected: &[&str]) {
    let output = Server::refuse(config);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{}: {said}", output.status);
    for text in expected {
        assert!(said.contains(text), "{text:?} is missing in: {said}");
    }
}

/// Every file below the folder with its bytes, but the lock, which tells who asked last.
pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => found.extend(contents(&entry.path())),
            false => found.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap())),
        }
    }
    found.retain(|(path, _)| !path.ends_with("/LOCK"));
    found.sort();
    found
}

#[test]
fn a_directory_locked_by_another_server_is_refused_and_the_other_lives() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let first = Server::start(Config::engine("snapshot").data(&data));
    assert_eq!(first.client().line("SET k v"), Reply::ok());
    refused(&Config::engine("snapshot").data(&data), &[data.to_str().unwrap(), "in use by another process"]);
    assert_eq!(first.client().line("GET k"), Reply::bulk("v"));
}

#[test]
fn a_directory_of_another_engine_is_refused_untouched_and_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(Config::engine("snapshot").data(&data));
    assert_eq!(server.client().line("SET k v"), Reply::ok());
    assert!(server.stop().success());
    let before = contents(&data);
    refused(&Config::engine("memory").data(&data), &[data.to_str().unwrap(), "snapshot", "memory", "--dir"]);
    assert_eq!(contents(&data), before);
    let server = Server::start(Config::engine("snapshot").data(&data));
    assert_eq!(server.client().line("GET k"), Reply::bulk("v"));
}

#[test]
fn a_folder_full_of_somebody_elses_files_is_refused_untouched() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("letters.txt"), "dear reader").unwrap();
    refused(&Config::engine("snapshot").data(folder.path()), &[folder.path().to_str().unwrap()]);
    let left: Vec<_> = contents(folder.path());
    assert_eq!(left.len(), 1, "nothing was added: {left:?}");
}

#[test]
fn a_damaged_marker_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(Config::engine("snapshot").data(&data));
    assert!(server.stop().success());
    let marker = data.join("MARKER");
    let mut bytes = fs::read(&marker).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&marker, bytes).unwrap();
    refused(&Config::engine("snapshot").data(&data), &["MARKER"]);
}

#[test]
fn a_damaged_document_is_refused_by_name_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(Config::engine("snapshot").data(&data));
    assert_eq!(server.client().line("SET k value"), Reply::ok());
    assert!(server.stop().success());
    let files = contents(&data.join("data"));
    let (document, bytes) = files.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    fs::write(document, &bytes[..bytes.len() / 2]).unwrap();
    let name = Path::new(document).file_name().unwrap().to_str().unwrap();
    refused(&Config::engine("snapshot").data(&data), &[name]);
    assert_eq!(fs::read(document).unwrap(), bytes[..bytes.len() / 2]);
}
