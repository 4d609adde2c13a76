//! The options of the engine, as its parts use them.

use adapter_api::environment::Cause;
use adapter_api::{OptionSpec, Options};

use crate::picker::{self, Style};
use crate::table::{Compression, FilterKind, TableOptions};

/// Values of so many bytes are written once: into a blob file, ahead of the log.
pub(crate) const AHEAD_BYTES: usize = 256 << 10;

/// What the engine was opened with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) cache_bytes: u64,
    pub(crate) memtable_bytes: u64,
    pub(crate) block_bytes: usize,
    pub(crate) table_bytes: u64,
    pub(crate) blob_value_bytes: u64,
    pub(crate) view_bytes: u64,
    pub(crate) style: Style,
    pub(crate) ratio: u64,
    pub(crate) has_filters: bool,
    pub(crate) compression: Compression,
}

/// The options that the engine publishes, but that of the log.
pub(crate) fn specs() -> Vec<OptionSpec> {
    let bytes = |name: &'static str, default: i64, least: i64, most: i64, help: &'static str| {
        OptionSpec::integer(name, "bytes", default, least, most, help)
    };
    let mut specs = vec![
        bytes(
            "cache_bytes",
            1 << 30,
            1 << 20,
            1 << 44,
            "The memory for memtables, filters, indexes and blocks of tables, together. What memtables, filters and \
             indexes leave is for blocks.",
        ),
        bytes(
            "memtable_bytes",
            256 << 20,
            4 << 10,
            1 << 32,
            "A memtable of this size is sealed and flushed to a table. Up to four are in memory at a time. Larger ones \
             write less and make starts longer.",
        ),
        bytes(
            "table_bytes",
            64 << 20,
            4 << 10,
            1 << 32,
            "About how large a table becomes that compaction writes.",
        ),
        bytes(
            "block_bytes",
            8 << 10,
            4 << 10,
            64 << 10,
            "About how large a block of a table is: what a read of one key takes from the disk. Smaller ones are read \
             faster where data is larger than memory, and slower where it is not.",
        ),
        bytes(
            "blob_value_bytes",
            16 << 10,
            64,
            AHEAD_BYTES as i64,
            "Values of this size and more lie in blob files beside the tables, so that compaction need not write them \
             again.",
        ),
        bytes(
            "view_bytes",
            1 << 30,
            1 << 20,
            1 << 44,
            "How much of memory and disk may be there for views alone. Beyond that the oldest views end.",
        ),
    ];
    specs.extend(choices());
    specs
}

/// Those that are words.
fn choices() -> [OptionSpec; 4] {
    [
        OptionSpec::choice(
            "compaction",
            &["lazy_leveled", "leveled", "off"],
            "How tables are merged: lazy_leveled writes less, leveled reads less and takes less room; off merges nothing, \
             and is for experiments.",
        ),
        OptionSpec::integer(
            "level_ratio",
            "times",
            8,
            2,
            32,
            "How many times larger a level is than the one above it.",
        ),
        OptionSpec::choice(
            "filters",
            &["on", "off"],
            "Whether tables have filters, which tell most keys that are not there without a read; off is for experiments.",
        ),
        OptionSpec::choice(
            "compression",
            &["lz4", "zstd", "none"],
            "How blocks of tables are stored in the last two levels, where nearly all data is: lz4 is the fastest to read; \
             zstd, in the last level alone with lz4 above it, takes the least room and some microseconds a cold read.",
        ),
    ]
}

impl Settings {
    /// Reads what `specs` publishes.
    pub(crate) fn of(options: &Options) -> Self {
        let bytes = |name| options.integer(name).unsigned_abs();
        Self {
            cache_bytes: bytes("cache_bytes"),
            memtable_bytes: bytes("memtable_bytes"),
            block_bytes: bytes("block_bytes") as usize,
            table_bytes: bytes("table_bytes"),
            blob_value_bytes: bytes("blob_value_bytes"),
            view_bytes: bytes("view_bytes"),
            style: match options.text("compaction") {
                "leveled" => Style::Leveled,
                "off" => Style::Off,
                _ => Style::LazyLeveled,
            },
            ratio: bytes("level_ratio"),
            has_filters: options.text("filters") == "on",
            compression: match options.text("compression") {
                "none" => Compression::None,
                "zstd" => Compression::Zstd,
                _ => Compression::Lz4,
            },
        }
    }

    /// How a table of a level is written.
    pub(crate) fn table(&self, level: u8, cause: Cause) -> TableOptions {
        let level = usize::from(level);
        // Above the levels that most data is in, by far.
        let is_upper = level + 1 < picker::LAST;
        TableOptions {
            block_bytes: self.block_bytes,
            filter: match (self.has_filters, is_upper) {
                (false, _) => FilterKind::Off,
                (true, true) => FilterKind::Fuse16,
                (true, false) => FilterKind::Fuse8,
            },
            compression: match self.compression {
                _ if is_upper => Compression::None,
                // What is in the last level is written anew the least often.
                Compression::Zstd if level < picker::LAST => Compression::Lz4,
                chosen => chosen,
            },
            cause,
        }
    }
}
