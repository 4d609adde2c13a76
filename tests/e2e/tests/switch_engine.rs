//! One host binary serves every engine; a line of the config chooses.

use std::fs;

use e2e::{Reply, Server, build};
use sha2::{Digest, Sha256};

use crate::engines;

fn host_hash() -> Vec<u8> {
    Sha256::digest(fs::read(&build::built().host).unwrap()).to_vec()
}

#[test]
fn the_same_binary_serves_every_engine_by_config_alone() {
    let before = host_hash();
    let all = ["atomic", "atomic-as-written", "naive"].map(engines::snapshot);
    for config in [engines::memory(), engines::logmap(), engines::tally()].into_iter().chain(all) {
        let name = config.engine.clone();
        let mut server = Server::start(config);
        let mut client = server.client();
        assert!(client.line("ENGINE STATUS").all_text().contains(&name));
        assert_eq!(client.line("SET engine here"), Reply::ok());
        assert_eq!(client.line("GET engine"), Reply::bulk("here"));
        assert!(server.stop().success());
    }
    assert_eq!(before, host_hash());
}

#[test]
fn an_engine_may_be_named_by_the_path_of_its_file() {
    let server = Server::start(e2e::Config::engine(build::own_engine("memory")));
    assert_eq!(server.client().line("SET k v"), Reply::ok());
}
