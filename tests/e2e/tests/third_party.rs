//! An engine by a stranger: depends on `adapter_api` alone, forbids unsafe code, and serves like ours.

use e2e::{Reply, Server, build, server};

use crate::engines;

#[test]
fn a_strangers_engine_depends_on_the_contract_alone() {
    let manifest = std::fs::read_to_string(build::root().join("tests/third_party/tally/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let names: Vec<_> =
        dependencies.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    assert_eq!(names, ["adapter_api"]);
    let source = std::fs::read_to_string(build::root().join("tests/third_party/tally/src/lib.rs")).unwrap();
    assert!(source.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn a_strangers_engine_is_found_in_its_folder_and_listed() {
    let folder = engines::tally().plugin_folders[0].clone();
    let list = server::run(&["engines".as_ref(), "--plugin-dir".as_ref(), folder.as_os_str()]);
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.status.success(), "{list:?}");
    assert!(text.contains("tally") && text.contains("an ordered map that counts"), "{text}");
    let inspect = server::run(&["inspect".as_ref(), build::stranger("tally").as_os_str()]);
    let text = String::from_utf8_lossy(&inspect.stdout).into_owned();
    assert!(inspect.status.success() && text.contains("tally") && text.contains("0.3.0"), "{inspect:?}");
}

#[test]
fn the_host_runs_the_lanes_of_a_strangers_engine() {
    let server = Server::start(engines::tally());
    let mut client = server.client();
    assert_eq!(client.line("MSET a 1 b 2 c 3"), Reply::ok());
    // Three user keys; what the host keeps for itself may be counted with them.
    server::until("the lane has counted", || {
        let metrics = client.line("ENGINE METRICS").all_text();
        let counted = number_behind(&metrics, "tally_counted_entries");
        counted.is_some_and(|entries| entries >= 3.0)
    });
}

/// The first number behind the name in a text of metrics.
fn number_behind(metrics: &str, name: &str) -> Option<f64> {
    let rest = &metrics[metrics.find(name)? + name.len()..];
    let word = rest.split_whitespace().find(|word| word.parse::<f64>().is_ok())?;
    word.parse().ok()
}
