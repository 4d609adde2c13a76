//! A wrong configuration: one line that names the place and what is near, exit code 2.

use std::net::TcpListener;

use e2e::{Config, Server, server};

#[track_caller]
fn refused(config: &Config, expected: &[&str]) {
    let output = Server::refuse(config);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{}: {said}", output.status);
    for text in expected {
        assert!(said.contains(text), "{text:?} is missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn memory() -> Config {
    Config::engine("memory")
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
    refused(&memory().with("", "engin = \"memory\""), &["engin", "line 1", "engine"]);
    // The file begins: engine, [server], listen; so the next line is the fourth.
    refused(&memory().with("server", "max_client = 5"), &["max_client", "line 4", "max_clients"]);
    refused(&memory().with("", "[serve]\nx = 1\n[other]"), &["serve", "line 1", "server"]);
}

#[test]
fn a_value_outside_its_range_is_named_with_the_range() {
    refused(&memory().with("server", "max_clients = 0"), &["max_clients", "line 4"]);
    refused(&memory().with("server", "listen = \"nowhere\""), &["listen", "nowhere"]);
    refused(&memory().with("limits", "value_bytes_max = \"many\""), &["value_bytes_max", "many"]);
}

#[test]
fn a_file_that_is_no_toml_is_named_with_the_line() {
    refused(&memory().with("", "this is no toml"), &["enginebay.toml", "line 1"]);
}

#[test]
fn a_bad_engine_option_is_checked_against_the_engines_own_schema() {
    let snapshot = || Config::engine("snapshot");
    refused(&snapshot().option("mode", "quick"), &["mode", "quick", "atomic", "naive"]);
    refused(&snapshot().option("mood", "naive"), &["mood", "mode"]);
    refused(&memory().option("mode", "naive"), &["mode", "memory"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&memory().with("server", &format!("listen = {address:?}")), &[&address, "in use"]);
}

#[test]
fn an_address_that_others_can_reach_needs_consent() {
    refused(&memory().with("server", "listen = \"0.0.0.0:0\""), &["0.0.0.0", "insecure"]);
    let consenting = memory().with("server", "listen = \"0.0.0.0:0\"").with("server", "insecure = true");
    drop(Server::start(consenting));
}

#[test]
fn a_missing_config_file_is_named() {
    let output = server::run(&["serve", "--config", "/nonexistent/enginebay.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/enginebay.toml"));
}

#[test]
fn an_unknown_flag_is_a_mistake_of_usage() {
    assert_eq!(server::run(&["serve", "--nonsense"]).status.code(), Some(2));
    assert_eq!(server::run(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn the_sample_file_is_a_valid_config() {
    let output = server::run(&["config", "default"]);
    assert!(output.status.success());
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("sample.toml");
    std::fs::write(&file, &output.stdout).unwrap();
    let check = server::run(&["config".as_ref(), "check".as_ref(), file.as_os_str()]);
    assert!(check.status.success(), "{check:?}");
}
