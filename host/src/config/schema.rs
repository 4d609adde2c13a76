//! Every setting, declared once: name, kind, range, default, help, flag, and where its value goes.
//!
//! Promises: parsing, the sample file, `config explain`, the table for the documents and the help of the
//! command line's flags all come from [`SETTINGS`]; a setting that is not here does not exist.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use adapter_api::Durability;

use super::{GivenOption, Password, Settings};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The table and the key, with a dot between.
    pub name: &'static str,
    /// Which values it takes, and where they go.
    pub kind: Kind,
    /// The value when nobody sets it, as TOML.
    pub default: &'static str,
    /// The flag of `serve` that sets it too, if there is one.
    pub flag: Option<&'static str>,
    /// What it does: behaviour first, then when to change it. One paragraph.
    pub help: &'static str,
}

/// Which values a setting takes; each kind holds the function that puts a value of its type into place.
#[derive(Debug)]
pub enum Kind {
    /// A text that is not empty.
    Text(fn(&mut Settings, String)),
    /// A path that is not empty. Relative paths start at the working directory.
    Path(fn(&mut Settings, PathBuf)),
    /// A path; the empty text means none.
    OptionalPath(fn(&mut Settings, Option<PathBuf>)),
    /// One path or a list of paths.
    Paths(fn(&mut Settings, Vec<PathBuf>)),
    /// One address or a list of addresses, each `IP:PORT` or `localhost:PORT`.
    Addresses(fn(&mut Settings, Vec<SocketAddr>)),
    /// A password, which is never shown; the empty text means none.
    Secret(fn(&mut Settings, Option<Password>)),
    /// `true` or `false`.
    Flag(fn(&mut Settings, bool)),
    /// A whole number.
    Integer {
        /// The least value.
        min: u64,
        /// The largest value.
        max: u64,
        /// What is counted, such as `clients` or `seconds`.
        unit: &'static str,
        /// Where it goes.
        set: fn(&mut Settings, u64),
    },
    /// A number of bytes: a whole number, or a text such as `"64MiB"`.
    Bytes {
        /// The least value.
        min: u64,
        /// The largest value.
        max: u64,
        /// Where it goes.
        set: fn(&mut Settings, u64),
    },
    /// `"always"`, `"os"` or `"interval(100ms)"`.
    Durability(fn(&mut Settings, Durability)),
    /// A table from engine names to the SHA-256 of their files.
    Pins(fn(&mut Settings, String, String)),
    /// A table from the engine's option names to their values.
    EngineOptions(fn(&mut Settings, GivenOption)),
}

/// The longest interval of `durability = "interval(…)"`.
pub const DURABILITY_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How wide the help of a flag is, in columns.
const HELP_COLUMNS: usize = 90;

/// Every setting, in the order of the sample file: a table's keys stand together, tables of their own last.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "engine",
        kind: Kind::Text(|settings, value| settings.engine = value),
        default: r#""btree""#,
        flag: Some("--engine"),
        help: "The storage engine: a name, found as libengine_NAME.so in plugins.dirs, or the path of a plugin. \
               A data directory remembers its engine and refuses another one.",
    },
    Setting {
        name: "server.listen",
        kind: Kind::Addresses(|settings, value| settings.server.listen = value),
        default: r#"["127.0.0.1:6379"]"#,
        flag: Some("--listen"),
        help: "The TCP addresses to listen on: one, or a list. Port 0 lets the operating system choose; the log \
               says which. An address that other machines can reach needs server.requirepass or server.insecure.",
    },
    Setting {
        name: "server.unix_socket",
        kind: Kind::OptionalPath(|settings, value| settings.server.unix_socket = value),
        default: r#""""#,
        flag: Some("--unix-socket"),
        help: "The path of a unix socket to listen on as well; empty for none. Faster than TCP for clients on the \
               same machine.",
    },
    Setting {
        name: "server.requirepass",
        kind: Kind::Secret(|settings, value| settings.server.password = value),
        default: r#""""#,
        flag: None,
        help: "The password that clients give with AUTH or HELLO before anything else; empty for none. Written with # \
               and its SHA-256, the file does not hold it. Make it long: a wrong one is answered late, but there may \
               be many who guess.",
    },
    Setting {
        name: "server.insecure",
        kind: Kind::Flag(|settings, value| settings.server.insecure = value),
        default: "false",
        flag: Some("--insecure"),
        help: "Allows addresses that other machines can reach although server.requirepass is empty. Whoever reaches \
               the port reads and deletes everything. Only for networks where everybody may.",
    },
    Setting {
        name: "server.debug_commands",
        kind: Kind::Flag(|settings, value| settings.server.debug_commands = value),
        default: "false",
        flag: None,
        help: "Allows DEBUG, whose SLEEP holds up every client of an event loop. For tests of programs that use the \
               server, not for service.",
    },
    Setting {
        name: "server.max_clients",
        kind: Kind::Integer {
            min: 1,
            max: 1_000_000,
            unit: "clients",
            set: |settings, value| settings.server.max_clients = value as usize,
        },
        default: "10000",
        flag: None,
        help: "How many clients may be connected at once; further ones get an error and are closed. Each needs an open \
               file: the limit of the process is raised as far as it may be, and the log says how far.",
    },
    Setting {
        name: "server.loops",
        kind: Kind::Integer {
            min: 1,
            max: 64,
            unit: "threads",
            set: |settings, value| settings.server.loops = value as usize,
        },
        default: "1",
        flag: None,
        help: "How many event loops serve connections, each on a thread of its own. One is best until it is \
               seen to use a whole core.",
    },
    Setting {
        name: "server.idle_timeout_s",
        kind: Kind::Integer {
            min: 0,
            max: 31_536_000,
            unit: "seconds",
            set: |settings, value| settings.server.idle_timeout = seconds(value),
        },
        default: "0",
        flag: None,
        help: "Closes connections that have sent nothing for this long; 0 keeps them.",
    },
    Setting {
        name: "server.slow_client_timeout_s",
        kind: Kind::Integer {
            min: 1,
            max: 86_400,
            unit: "seconds",
            set: |settings, value| settings.server.slow_client_timeout = Duration::from_secs(value),
        },
        default: "60",
        flag: None,
        help: "Closes connections that have taken none of their waiting replies, or have left a request \
               unfinished, for this long.",
    },
    Setting {
        name: "server.drain_timeout_s",
        kind: Kind::Integer {
            min: 0,
            max: 3600,
            unit: "seconds",
            set: |settings, value| settings.server.drain_timeout = Duration::from_secs(value),
        },
        default: "10",
        flag: None,
        help: "How long an orderly end waits for requests in progress and for clients to take their replies.",
    },
    Setting {
        name: "server.tcp_keepalive_s",
        kind: Kind::Integer {
            min: 0,
            max: 86_400,
            unit: "seconds",
            set: |settings, value| settings.server.keepalive = seconds(value),
        },
        default: "300",
        flag: None,
        help: "After how long of silence the operating system asks whether the other end of a TCP connection is still \
               there, so that clients whose machine vanished are noticed; 0 never asks.",
    },
    Setting {
        name: "server.slowlog_log_slower_than_us",
        kind: Kind::Integer {
            min: 0,
            max: 1_000_000_000_000,
            unit: "microseconds",
            set: |settings, value| settings.server.slowlog_micros = value,
        },
        default: "10000",
        flag: None,
        help: "A request on which the server works this long is shown by SLOWLOG GET. Waiting for the disk or for other \
               clients is not counted. Below 1000 every request is timed, which costs each a little; above, those that \
               may be slow.",
    },
    Setting {
        name: "server.slowlog_max_len",
        kind: Kind::Integer {
            min: 0,
            max: 1_000_000,
            unit: "requests",
            set: |settings, value| settings.server.slowlog_len_max = value as usize,
        },
        default: "128",
        flag: None,
        help: "How many slow requests are kept, the newest; 0 keeps none.",
    },
    Setting {
        name: "server.latency_monitor_threshold_ms",
        kind: Kind::Integer {
            min: 0,
            max: 86_400_000,
            unit: "milliseconds",
            set: |settings, value| settings.server.latency_threshold_ms = value,
        },
        default: "0",
        flag: None,
        help: "What takes this long is noted for LATENCY: the work on a request, and the way of a run of writes through \
               the engine, the disk included. 0 notes nothing.",
    },
    Setting {
        name: "storage.dir",
        kind: Kind::Path(|settings, value| settings.storage.dir = value),
        default: r#""./enginebay-data""#,
        flag: Some("--dir"),
        help: "The data directory; created if it is not there. One server at a time.",
    },
    Setting {
        name: "storage.backup_dir",
        kind: Kind::OptionalPath(|settings, value| settings.storage.backup_dir = value),
        default: r#""""#,
        flag: None,
        help: "The folder below which ENGINE BACKUP NAME makes a backup; empty: clients make none. It must be there. A \
               client chooses the name and never the folder. Best on another disk than the data; `enginebay backup` \
               needs no setting.",
    },
    Setting {
        name: "storage.durability",
        kind: Kind::Durability(|settings, value| settings.storage.durability = value),
        default: r#""always""#,
        flag: Some("--durability"),
        help: "When a write is answered OK. \"always\": when it survives a power cut. \"interval(100ms)\": when the \
               operating system has it, and it is made durable at most that much later. \"os\": when the operating \
               system has it. The last two may lose the newest writes in a power cut, never in a mere crash of the \
               server, and are faster on slow disks.",
    },
    Setting {
        name: "storage.reader_threads",
        kind: Kind::Integer {
            min: 1,
            max: 256,
            unit: "threads",
            set: |settings, value| settings.storage.reader_threads = value as usize,
        },
        default: "4",
        flag: None,
        help: "How many threads serve scans and reads that have to wait for the disk.",
    },
    Setting {
        name: "plugins.dirs",
        kind: Kind::Paths(|settings, value| settings.plugins.dirs = value),
        default: "[]",
        flag: Some("--plugin-dir"),
        help: "The folders in which engines are found; the first that has the engine wins. Empty: the folder of \
               the executable. Folders and files must belong to root or to the server's user and must not be \
               writable by others.",
    },
    Setting {
        name: "limits.value_bytes_max",
        kind: Kind::Bytes {
            min: KIB,
            max: 512 * MIB,
            set: |settings, value| settings.limits.value_bytes_max = value as usize,
        },
        default: r#""64MiB""#,
        flag: None,
        help: "The largest value. A larger one is refused alone, with an error.",
    },
    Setting {
        name: "limits.request_bytes_max",
        kind: Kind::Bytes {
            min: 64 * KIB,
            max: 2 * GIB,
            set: |settings, value| settings.limits.request_bytes_max = value as usize,
        },
        default: r#""256MiB""#,
        flag: None,
        help: "The largest request, all its arguments together. The connection of a larger one is closed.",
    },
    Setting {
        name: "limits.queued_bytes_max",
        kind: Kind::Bytes {
            min: MIB,
            max: 1024 * GIB,
            set: |settings, value| settings.limits.queued_bytes_max = value as usize,
        },
        default: r#""256MiB""#,
        flag: None,
        help: "How many bytes of writes of all clients together may wait for the engine. Above it, sockets are not \
               read until there is room again.",
    },
    Setting {
        name: "limits.input_bytes_max",
        kind: Kind::Bytes {
            min: MIB,
            max: 1024 * GIB,
            set: |settings, value| settings.limits.input_bytes_max = value as usize,
        },
        default: r#""1GiB""#,
        flag: None,
        help: "How many bytes of unfinished requests of all clients together the server holds. Above it, a client \
               with a large unfinished request is closed when it sends more.",
    },
    Setting {
        name: "limits.output_bytes_max",
        kind: Kind::Bytes {
            min: 64 * KIB,
            max: 1024 * GIB,
            set: |settings, value| settings.limits.output_bytes_max = value as usize,
        },
        default: r#""1MiB""#,
        flag: None,
        help: "How many bytes of replies may wait for one client. Above it, the client's further requests wait \
               until it has taken replies. A single reply may be larger.",
    },
    Setting {
        name: "limits.unsent_bytes_max",
        kind: Kind::Bytes {
            min: MIB,
            max: 1024 * GIB,
            set: |settings, value| settings.limits.unsent_bytes_max = value as usize,
        },
        default: r#""1GiB""#,
        flag: None,
        help: "How many bytes of replies that clients have not taken the server holds, of all clients together. Above \
               it, the client that owes most is closed.",
    },
    Setting {
        name: "limits.reply_bytes_max",
        kind: Kind::Bytes {
            min: MIB,
            max: 1024 * GIB,
            set: |settings, value| settings.limits.reply_bytes_max = value as usize,
        },
        default: r#""256MiB""#,
        flag: None,
        help: "The most bytes of replies to one pipeline of requests. Larger ones are replaced by an error; ask for \
               less at a time.",
    },
    Setting {
        name: "limits.disk_reserve",
        kind: Kind::Bytes {
            min: 0,
            max: 1 << 60,
            set: |settings, value| settings.limits.disk_reserve = value,
        },
        default: r#""64MiB""#,
        flag: None,
        help: "How much room is kept free on the data directory's file system. Below it, writes that put anything \
               are refused with -FULL; reads go on, deletes pass, and writes resume by themselves when there is \
               room. 0 keeps nothing free. Engines that keep nothing on disk are not held to it.",
    },
    Setting {
        name: "plugins.pins",
        kind: Kind::Pins(|settings, name, hash| {
            settings.plugins.pins.insert(name, hash);
        }),
        default: "{}",
        flag: None,
        help: "Engine names, each with the SHA-256 of its file in hexadecimal (`enginebay inspect` prints it). If \
               there is any, only pinned files are loaded.",
    },
    Setting {
        name: "storage.options",
        kind: Kind::EngineOptions(|settings, option| settings.storage.set_option(option)),
        default: "{}",
        flag: Some("--option"),
        help: "The engine's own options; `enginebay inspect FILE.so` lists them.",
    },
];

fn seconds(value: u64) -> Option<Duration> {
    (value > 0).then(|| Duration::from_secs(value))
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The help of the command line's flag for a setting, in full. Empty for a name that is not declared, which a
/// test rules out.
pub fn flag_help(name: &str) -> String {
    find(name).map_or_else(String::new, |setting| {
        let text = format!("{} Takes {}.", setting.help, setting.taken());
        let lines = super::sample::wrap(&text, HELP_COLUMNS).join("\n");
        format!("{lines}\n[default: {}]", setting.default)
    })
}

/// The first sentence of that help.
pub fn flag_summary(name: &str) -> String {
    find(name).map_or_else(String::new, |setting| {
        let sentence =
            setting.help.split_once(". ").map_or(setting.help.trim_end_matches('.'), |(first, _)| first);
        format!("{sentence} [default: {}]", setting.default)
    })
}

impl Setting {
    /// The key, without its table.
    pub fn key(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The table, without the key; empty at the top.
    pub fn table(&self) -> &'static str {
        self.name.rsplit_once('.').map_or("", |(table, _)| table)
    }

    /// Whether the setting is a table of names that are not declared here.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Pins(_) | Kind::EngineOptions(_))
    }

    /// Whether its value is shown to nobody.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(_))
    }

    /// The values that are taken, for people.
    pub fn taken(&self) -> String {
        match &self.kind {
            Kind::Text(_) => "a text that is not empty".to_string(),
            Kind::Path(_) => "a path".to_string(),
            Kind::OptionalPath(_) => "a path, or \"\" for none".to_string(),
            Kind::Paths(_) => "a path or a list of paths".to_string(),
            Kind::Addresses(_) => {
                "an IP address with a port, such as \"127.0.0.1:6379\" or \"[::1]:6379\", or a list of them"
                    .to_string()
            }
            Kind::Secret(_) => {
                "a text, \"#\" and the SHA-256 of one in 64 hexadecimal digits, or \"\" for none".to_string()
            }
            Kind::Flag(_) => "true or false".to_string(),
            Kind::Integer { min, max, unit, .. } => format!("a whole number of {unit} from {min} to {max}"),
            Kind::Bytes { min, max, .. } => format!(
                "a number of bytes from {} to {}, such as 65536 or \"64MiB\"",
                super::value::size(*min),
                super::value::size(*max)
            ),
            Kind::Durability(_) => {
                let most = DURABILITY_INTERVAL_MAX.as_millis();
                format!("\"always\", \"os\" or \"interval(100ms)\" with 1 to {most} ms")
            }
            Kind::Pins(_) => {
                "a table of engine names, each with a SHA-256 in 64 hexadecimal digits".to_string()
            }
            Kind::EngineOptions(_) => "a table of texts, whole numbers, true or false".to_string(),
        }
    }
}
