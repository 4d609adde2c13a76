//! The stores, by name.

mod canopydb;
mod fjall;
mod heed;
mod limit;
mod ours;
mod redb;
mod rocksdb;
mod sled;
mod surrealkv;

use std::path::Path;

use anyhow::{Result, bail};

use crate::store::{Settings, Store};

/// The raw loops that no store can be faster than.
pub const LIMIT: &str = "limit";
/// The stores that one would embed instead of ours.
pub const RIVALS: [&str; 7] = ["heed", "redb", "canopydb", "rocksdb", "fjall", "surrealkv", "sled"];

/// Opens or creates the store of that name in a directory. What is no rival's name is the name of an engine
/// of ours, or the path of a plugin.
///
/// # Errors
/// If there is no such store, or it does not open.
pub fn open(name: &str, directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    std::fs::create_dir_all(directory)?;
    match name {
        LIMIT => limit::open(directory, settings),
        "heed" => heed::open(directory, settings),
        "redb" => redb::open(directory, settings),
        "canopydb" => canopydb::open(directory, settings),
        "rocksdb" => rocksdb::open(directory, settings),
        "fjall" => fjall::open(directory, settings),
        "surrealkv" => surrealkv::open(directory, settings),
        "sled" => sled::open(directory, settings),
        "" => bail!("a store has a name"),
        engine => ours::open(engine, directory, settings),
    }
}

/// Whether the store keeps anything when its process ends.
///
/// # Errors
/// If it is a plugin that does not load.
pub fn is_durable(name: &str) -> Result<bool> {
    match name {
        LIMIT => Ok(false),
        rival if RIVALS.contains(&rival) => Ok(true),
        engine => ours::is_durable(engine),
    }
}
