//! The engines that every behaviour of the server is tried on.

use e2e::{Config, build};

/// Memory.
pub fn memory() -> Config {
    Config::engine("memory")
}

/// Snapshot in one of its modes.
pub fn snapshot(mode: &str) -> Config {
    Config::engine("snapshot").option("mode", mode)
}

/// Logmap.
pub fn logmap() -> Config {
    Config::engine("logmap")
}

/// Logmap as small as it goes: its log changes files and its checkpoints are written all the time.
pub fn busy_logmap() -> Config {
    logmap().option("log_segment", "65536").option("checkpoint_log_bytes", "262144")
}

/// The B-tree.
pub fn btree() -> Config {
    Config::engine("btree")
}

/// The B-tree as small as it goes: its log changes files, its pages split and merge, its checkpoints are written all
/// the time.
pub fn busy_btree() -> Config {
    btree()
        .option("log_segment", "65536")
        .option("checkpoint_log_bytes", "262144")
        .option("page_bytes", "4096")
}

/// The LSM tree.
pub fn lsm() -> Config {
    Config::engine("lsm")
}

/// The LSM tree as small as it goes: its log changes files, it flushes and merges all the time, its long values lie in
/// blob files.
pub fn busy_lsm() -> Config {
    lsm()
        .option("log_segment", "65536")
        .option("memtable_bytes", "65536")
        .option("table_bytes", "65536")
        .option("block_bytes", "4096")
        .option("blob_value_bytes", "1024")
}

/// The stranger's engine, found in a plugin folder by its name.
pub fn tally() -> Config {
    let mut config = Config::engine("tally");
    config.plugin_folders =
        vec![build::stranger("tally").parent().expect("a file lies in a folder").to_path_buf()];
    config
}

/// The stranger's engine that fails on command.
pub fn faulty(option: &str, value: &str) -> Config {
    Config::engine(build::stranger("faulty")).option(option, value)
}

/// Makes one test for each engine out of a function that takes a config.
macro_rules! on_every_engine {
    ($($fact:ident),+ $(,)?) => {$(
        mod $fact {
            use crate::engines;

            #[test]
            fn on_memory() {
                super::$fact(engines::memory());
            }
            #[test]
            fn on_snapshot_atomic() {
                super::$fact(engines::snapshot("atomic"));
            }
            #[test]
            fn on_snapshot_atomic_as_written() {
                super::$fact(engines::snapshot("atomic-as-written"));
            }
            #[test]
            fn on_snapshot_naive() {
                super::$fact(engines::snapshot("naive"));
            }
            #[test]
            fn on_logmap() {
                super::$fact(engines::logmap());
            }
            #[test]
            fn on_btree() {
                super::$fact(engines::btree());
            }
            #[test]
            fn on_lsm() {
                super::$fact(engines::lsm());
            }
            #[test]
            fn on_a_strangers_engine() {
                super::$fact(engines::tally());
            }
        }
    )+};
}

pub(crate) use on_every_engine;
