//! Two engines in one process are two: the loader returns what it was asked for, and no state is shared.
//!
//! `abi_stable`'s own loader caches one root module per type and would return the first engine for the second.

use std::path::Path;
use std::sync::Arc;

use adapter_api::environment::Lanes;
use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::host::{LoadedPlugin, StorageAdapter};
use adapter_api::{BatchBuilder, Buffer, Environment, Lane, OpenRequest, Options, StorageEngine};
use e2e::build;
use tempfile::TempDir;

/// Lanes that nobody runs: the engines here need none.
struct Idle;

impl Lanes for Idle {
    fn wake(&self, _: Lane) {}
    fn wait_for(&self, _: Lane) {}
}

fn open(plugin: &LoadedPlugin, folder: &Path) -> StorageAdapter {
    let directory = RealDirectory::open(folder, Arc::new(IoCounters::default())).unwrap();
    let clock = Arc::new(RealClock::new());
    let environment = Environment { directory: Arc::new(directory), clock, lanes: Arc::new(Idle) };
    let options = Options::complete(&plugin.description().options, []).unwrap();
    plugin.open(OpenRequest { options, ..OpenRequest::new(environment) }).unwrap()
}

fn put(engine: &StorageAdapter, key: &str, value: &str) {
    let mut batch = BatchBuilder::new();
    batch.put(key.as_bytes(), value.as_bytes()).unwrap();
    engine.apply(batch.as_batch()).unwrap();
}

fn get(engine: &StorageAdapter, key: &str) -> Option<String> {
    let mut value = Buffer::new();
    let found = engine.get(key.as_bytes(), &mut value).unwrap();
    found.then(|| String::from_utf8(value.to_vec()).unwrap())
}

fn load(path: &Path) -> LoadedPlugin {
    LoadedPlugin::load(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn different_files_are_different_engines_in_any_order() {
    let paths = [build::own_engine("memory"), build::own_engine("snapshot"), build::stranger("tally")];
    let names = ["memory", "snapshot", "tally"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 1]] {
        for place in order {
            assert_eq!(load(&paths[place]).description().name, names[place]);
        }
    }
    let folders = names.map(|_| TempDir::new().unwrap());
    let engines: Vec<_> =
        paths.iter().zip(&folders).map(|(path, folder)| open(&load(path), folder.path())).collect();
    for (engine, name) in engines.iter().zip(names) {
        put(engine, "name", name);
    }
    for (engine, name) in engines.iter().zip(names) {
        assert_eq!(get(engine, "name").as_deref(), Some(name));
    }
}

#[test]
fn one_file_loaded_and_opened_twice_has_two_states() {
    let path = build::own_engine("memory");
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let one = open(&load(&path), folders[0].path());
    let two = open(&load(&path), folders[1].path());
    put(&one, "key", "one");
    assert_eq!(get(&two, "key"), None);
    put(&two, "key", "two");
    assert_eq!(get(&one, "key").as_deref(), Some("one"));
    drop(one);
    assert_eq!(get(&two, "key").as_deref(), Some("two"));
}
