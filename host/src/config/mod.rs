//! The settings of a server: declared once in [`schema`], read from defaults, a TOML file and flags.
//!
//! Promises: every effective value is inside its range and remembers where it came from; an unknown key, a
//! wrong type and a value out of range are errors that name the place and what would be taken; nothing on
//! disk is touched. Called by `cli`; the layers below read the plain data of [`Settings`].

mod error;
mod file;
mod live;
mod options;
mod password;
mod sample;
pub mod schema;
pub mod suggest;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapter_api::Durability;

pub use error::{ConfigError, Origin};
pub use live::LiveSettings;
pub use options::engine_options;
pub use password::{HIDDEN, Password};
pub use sample::{explain, sample, table};
pub use value::{Value, durability_text, size};

use schema::{SETTINGS, Setting};

/// The effective values. What each means is said once, in [`schema::SETTINGS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `engine`: a name or a path.
    pub engine: String,
    /// `[server]`
    pub server: ServerSettings,
    /// `[plugins]`
    pub plugins: PluginSettings,
    /// `[storage]`
    pub storage: StorageSettings,
    /// `[limits]`
    pub limits: Limits,
}

/// `[server]`: sockets and connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerSettings {
    /// The TCP addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The unix socket to listen on as well.
    pub unix_socket: Option<PathBuf>,
    /// What clients have to give before anything else.
    pub password: Option<Password>,
    /// Whether addresses that other machines reach are allowed without a password.
    pub insecure: bool,
    /// Whether DEBUG is allowed.
    pub debug_commands: bool,
    /// The most clients at once.
    pub max_clients: usize,
    /// The number of event loops.
    pub loops: usize,
    /// How long a connection may be silent.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may leave replies untaken or a request unfinished.
    pub slow_client_timeout: Duration,
    /// How long an orderly end waits for clients.
    pub drain_timeout: Duration,
    /// After how long of silence the other end of a connection is asked whether it is there.
    pub keepalive: Option<Duration>,
    /// From how many microseconds on a request is slow.
    pub slowlog_micros: u64,
    /// How many slow requests are kept.
    pub slowlog_len_max: usize,
    /// From how many milliseconds on an event is noted for LATENCY.
    pub latency_threshold_ms: u64,
}

/// `[plugins]`: where engines come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginSettings {
    /// The folders to search; empty means the folder of the executable.
    pub dirs: Vec<PathBuf>,
    /// Engine names, each with the SHA-256 of its file in lower-case hexadecimal.
    pub pins: BTreeMap<String, String>,
}

/// `[storage]`: the data and how safe it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageSettings {
    /// The data directory.
    pub dir: PathBuf,
    /// The folder below which clients may make backups.
    pub backup_dir: Option<PathBuf>,
    /// When a write is answered OK.
    pub durability: Durability,
    /// The number of reader threads.
    pub reader_threads: usize,
    /// The engine's options as they were given, each name once; not yet checked against the engine.
    pub options: Vec<GivenOption>,
}

impl StorageSettings {
    /// Sets an option, replacing an earlier value.
    fn set_option(&mut self, option: GivenOption) {
        self.options.retain(|earlier| earlier.name != option.name);
        self.options.push(option);
    }
}

/// An option of the engine as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenOption {
    /// Its name.
    pub name: String,
    /// Its value as text.
    pub value: String,
    /// Who gave it.
    pub origin: Origin,
}

/// `[limits]`: what one client, or all of them, may make the server hold. All in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// The largest value.
    pub value_bytes_max: usize,
    /// The largest request.
    pub request_bytes_max: usize,
    /// The most bytes of writes that wait for the engine, over all clients.
    pub queued_bytes_max: usize,
    /// The most bytes of unfinished requests, over all clients.
    pub input_bytes_max: usize,
    /// The most bytes of replies that wait for one client before its further requests wait too.
    pub output_bytes_max: usize,
    /// The most bytes of replies that clients have not taken, over all clients.
    pub unsent_bytes_max: usize,
    /// The most bytes of replies to one pipeline of requests.
    pub reply_bytes_max: usize,
    /// How much room is kept free on the data directory's file system.
    pub disk_reserve: u64,
}

/// The effective settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Config {
    /// The values.
    pub settings: Settings,
    /// One entry a setting, in the order of the schema.
    entries: Vec<Entry>,
}

/// One effective value.
#[derive(Debug, Clone)]
struct Entry {
    setting: &'static Setting,
    /// As TOML. For tables: what was given, one entry behind the other.
    value: String,
    origin: Origin,
}

/// A value that a flag gives to a setting.
#[derive(Debug, Clone)]
pub struct FlagValue {
    setting: &'static Setting,
    flag: &'static str,
    /// The name inside a table; `None` for plain settings.
    entry: Option<String>,
    value: Value,
}

impl FlagValue {
    /// A value for the setting called `name`; `None` unless the schema has a flag for it.
    pub fn new(name: &str, value: Value) -> Option<Self> {
        let setting = schema::find(name)?;
        Some(Self { setting, flag: setting.flag?, entry: None, value })
    }

    /// A value for one entry of the table called `name`.
    pub fn entry(name: &str, entry: &str, value: Value) -> Option<Self> {
        Some(Self { entry: Some(entry.to_string()), ..Self::new(name, value)? })
    }
}

impl Config {
    /// Defaults, overlaid with the file, overlaid with the flags.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the file's lines, then of the flags, then what is wrong
    /// with the values together. Blocks while it reads the file.
    pub fn load(path: Option<&Path>, flags: Vec<FlagValue>) -> Result<Self, ConfigError> {
        let mut config = Self::defaults()?;
        if let Some(path) = path {
            for assignment in file::read(path)? {
                config.assign(assignment)?;
            }
        }
        for FlagValue { setting, flag, entry, value } in flags {
            config.assign(Assignment { setting, entry, value, origin: Origin::Flag(flag) })?;
        }
        config.check_together()?;
        Ok(config)
    }

    /// Every setting with the default that the schema declares.
    fn defaults() -> Result<Self, ConfigError> {
        let entry = |setting| Entry { setting, value: String::new(), origin: Origin::Default };
        let mut config =
            Self { settings: Settings::default(), entries: SETTINGS.iter().map(entry).collect() };
        for mut assignment in file::parse(&sample(), Path::new("defaults"))? {
            assignment.origin = Origin::Default;
            config.assign(assignment)?;
        }
        Ok(config)
    }

    fn assign(&mut self, assignment: Assignment) -> Result<(), ConfigError> {
        let Assignment { setting, entry, value, origin } = assignment;
        let plain = match &entry {
            Some(name) => value::store_entry(&setting.kind, name, &value, &origin, &mut self.settings)
                .map(|()| format!("{name} = {value}")),
            None => value::store(&setting.kind, &value, &mut self.settings),
        };
        let Some(plain) = plain else {
            let value = if setting.is_secret() { HIDDEN.to_string() } else { value.to_string() };
            let dot = if entry.is_some() { "." } else { "" };
            let name = format!("{}{dot}{}", setting.name, entry.unwrap_or_default());
            let taken = setting.taken();
            return Err(ConfigError::refused(
                &origin,
                format!("{name} = {value} is not taken; write {taken}"),
            ));
        };
        if let Some(known) = self.entries.iter_mut().find(|known| known.setting.name == setting.name) {
            let before = if setting.is_table() && !known.value.is_empty() {
                ", "
            } else {
                known.value.clear();
                ""
            };
            known.value.push_str(before);
            known.value.push_str(&plain);
            known.origin = origin;
        }
        Ok(())
    }

    /// Where the value of the setting called `name` came from.
    pub fn origin(&self, name: &str) -> Origin {
        let entry = self.entries.iter().find(|entry| entry.setting.name == name);
        entry.map_or(Origin::Default, |entry| entry.origin.clone())
    }

    /// The name of every setting that has one value, and its effective value as TOML.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.entries.iter().map(|entry| (entry.setting.name, entry.value.as_str()))
    }

    /// What only all values together can get wrong.
    fn check_together(&self) -> Result<(), ConfigError> {
        let Settings { server, limits, .. } = &self.settings;
        let refused = |name, message: String| Err(ConfigError::refused(&self.origin(name), message));
        if server.listen.is_empty() && server.unix_socket.is_none() {
            let message = "there is nothing to listen on; set server.listen or server.unix_socket";
            return refused("server.listen", message.to_string());
        }
        let exposed = server.listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let Some(address) = exposed.filter(|_| !server.insecure && server.password.is_none()) {
            let message = format!(
                "server.listen = {address} can be reached by other machines, and no password is set; write \
                 requirepass = \"a long password\" under [server], or listen on 127.0.0.1, or write insecure = true \
                 under [server] (or --insecure) if whoever reaches the port may read and delete everything"
            );
            return refused("server.listen", message);
        }
        if limits.request_bytes_max < limits.value_bytes_max {
            let (request, value) =
                (size(limits.request_bytes_max as u64), size(limits.value_bytes_max as u64));
            let message = format!(
                "limits.request_bytes_max = {request} is less than limits.value_bytes_max = {value}, so the largest \
                 value could not be sent; raise the first or lower the second"
            );
            let both = ["limits.request_bytes_max", "limits.value_bytes_max"];
            let given = both.into_iter().find(|name| self.origin(name) != Origin::Default);
            return refused(given.unwrap_or(both[0]), message);
        }
        Ok(())
    }
}

/// One value on its way to its setting.
#[derive(Debug)]
struct Assignment {
    setting: &'static Setting,
    /// The name inside a table; `None` for plain settings.
    entry: Option<String>,
    value: Value,
    origin: Origin,
}
