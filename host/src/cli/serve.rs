//! `serve`: puts the parts together, runs until somebody asks for the end, takes them apart in order.
//!
//! Promises: everything that can be refused is checked before anything is created on disk: first the
//! settings, then the plugin and its options, then the addresses. After an orderly end the engine is closed
//! and the exit code is 0; whatever ends the process otherwise is a crash to the engine, which loses nothing
//! that was answered OK.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::environment::real::RealClock;
use adapter_api::host::DataDirectory;
use adapter_api::{Capabilities, Description, Durability, EngineError, Promise};

use super::arguments::SettingArguments;
use super::failure::Failure;
use super::signals;
use crate::command::{Context, EngineSummary, ServerFacts, ShutdownHandle};
use crate::config::{self, Config, LiveSettings, Settings};
use crate::observe::Observe;
use crate::sequencer::{self, Sequencer};
use crate::server::{self, Listeners, Server};
use crate::storage::Storage;
use crate::storage::registry::{Plugin, Registry, RegistryError};

/// Files that the server needs open besides its clients: the engine's, the listeners, the loops.
const FILES_BESIDE_CLIENTS: u64 = 256;

/// Serves until SIGTERM, SIGINT or SHUTDOWN.
pub fn serve(arguments: &SettingArguments) -> Result<(), Failure> {
    let config = arguments.load()?;
    let settings = &config.settings;
    let plugin = load_plugin(&config)?;
    let engine = plugin.loaded.description();
    let options = config::engine_options(engine, &settings.storage.options)?;
    let clients_possible = allow_open_files(settings.server.max_clients);
    let mut server_settings = server_settings(settings);
    // The engine must not find that clients took all the files there are.
    server_settings.max_clients = server_settings.max_clients.min(clients_possible);
    let listeners = Listeners::bind(&server_settings)?;
    let shutdown = ShutdownHandle::new();
    signals::listen(ask_for_the_end(shutdown.clone()))
        .map_err(|error| Failure::Check(format!("cannot catch signals: {error}")))?;

    log_start(settings, &plugin, &listeners);
    let directory = DataDirectory::claim(&settings.storage.dir, engine)?;
    let storage = Storage::open(
        &plugin.loaded,
        directory.directory(),
        directory.counters(),
        Arc::new(RealClock::new()),
        options,
        settings.storage.durability,
        settings.storage.reader_threads,
    );
    let storage = storage.map_err(|error| unopened(settings, engine, &error))?;
    let storage = storage.with_disk_reserve(directory.directory(), settings.limits.disk_reserve);
    let storage = Arc::new(storage.with_backup_folder(settings.storage.backup_dir.clone()));
    warn_of_unsafe_options(&storage);
    let limits = sequencer::Limits { queued_bytes: settings.limits.queued_bytes_max, ..Default::default() };
    let sequencer = Sequencer::start(Arc::clone(&storage), limits);
    let sequencer = Arc::new(sequencer.map_err(|error| unopened(settings, engine, &error))?);
    let context = Arc::new(Context::new(
        Arc::clone(&storage),
        Arc::clone(&sequencer),
        Arc::new(Observe::new()),
        Arc::new(facts(&config, arguments.place.config.as_deref(), &listeners, clients_possible)),
        shutdown,
        engine_list(registry(settings)?, &plugin),
    ));
    let addresses = addresses(&listeners);
    let server = Server::new(server_settings, listeners, context)?;
    log::info!("ready to accept connections on {addresses}");
    let ran = server.run();
    let ran = match sequencer.shutdown() {
        true => ran,
        false => Err(std::io::Error::other("the commit thread ended in a panic, which is a defect")),
    };
    let closed = storage.close();
    drop(directory);
    report_end(ran, closed, &engine.name)
}

/// What the first signal does. The end that a client asked for is none.
fn ask_for_the_end(shutdown: ShutdownHandle) -> impl Fn(i32, &str) -> bool {
    let is_signalled = AtomicBool::new(false);
    move |_, name| {
        if is_signalled.swap(true, Ordering::Relaxed) {
            return false;
        }
        log::info!("{name}: finishing requests and closing the engine; a second signal ends at once");
        shutdown.request();
        true
    }
}

/// The registry that the settings describe.
pub fn registry(settings: &Settings) -> Result<Registry, RegistryError> {
    let registry = Registry::new(&settings.plugins.dirs, settings.plugins.pins.clone())?;
    Ok(registry.outside(&settings.storage.dir))
}

/// The plugin of the engine that the configuration names.
pub fn load_plugin(config: &Config) -> Result<Plugin, Failure> {
    let refused = |error| Failure::Plugin { origin: config.origin("engine"), error };
    registry(&config.settings)?.load(&config.settings.engine).map_err(refused)
}

fn server_settings(settings: &Settings) -> server::Settings {
    let Settings { server, limits, .. } = settings;
    server::Settings {
        listen: server.listen.clone(),
        unix_socket: server.unix_socket.clone(),
        loops: server.loops,
        max_clients: server.max_clients,
        request_bytes_max: limits.request_bytes_max,
        value_bytes_max: limits.value_bytes_max,
        input_bytes_max: limits.input_bytes_max,
        output_bytes_max: limits.output_bytes_max,
        unsent_bytes_max: limits.unsent_bytes_max,
        reply_bytes_max: limits.reply_bytes_max,
        idle_timeout: server.idle_timeout,
        slow_client_timeout: server.slow_client_timeout,
        keepalive: server.keepalive,
        drain_timeout: server.drain_timeout,
    }
}

fn facts(
    config: &Config,
    file: Option<&Path>,
    listeners: &Listeners,
    clients_possible: usize,
) -> ServerFacts {
    let settings = &config.settings;
    let live = LiveSettings::default();
    live.set_slowlog_micros(i64::try_from(settings.server.slowlog_micros).unwrap_or(i64::MAX));
    live.set_slowlog_len_max(settings.server.slowlog_len_max);
    live.set_latency_threshold_ms(settings.server.latency_threshold_ms);
    live.set_password(settings.server.password.clone());
    ServerFacts {
        settings: config
            .values()
            .map(|(name, value)| (name.to_string(), value.trim_matches('"').to_string()))
            .collect(),
        tcp_port: listeners.addresses().first().map_or(0, |address| address.port()),
        config_file: file.map_or_else(PathBuf::new, Path::to_path_buf),
        data_directory: settings.storage.dir.clone(),
        value_bytes_max: settings.limits.value_bytes_max,
        clients_possible,
        debug_commands: settings.server.debug_commands,
        live,
    }
}

/// What ENGINE LIST shows. Only the engine in use is described: a client must not make the server run the
/// code of other plugins.
fn engine_list(registry: Registry, used: &Plugin) -> Arc<dyn Fn() -> Vec<EngineSummary> + Send + Sync> {
    let Description { name, version, summary, .. } = used.loaded.description().clone();
    let used = EngineSummary { name, version, path: used.path.clone(), summary };
    Arc::new(move || {
        let mut all = vec![used.clone()];
        let others = registry.list().unwrap_or_else(|error| {
            log::warn!("ENGINE LIST: {error}");
            Vec::new()
        });
        for (name, path) in others {
            if path.canonicalize().is_ok_and(|real| real != used.path) {
                let summary = "not loaded; `enginebay engines` describes it".to_string();
                all.push(EngineSummary { name, version: String::new(), path, summary });
            }
        }
        all
    })
}

/// Raises this process's limit of open files to what the clients may need, as far as it may. Answers how many
/// clients can be connected under it.
fn allow_open_files(max_clients: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = max_clients as u64 + FILES_BESIDE_CLIENTS;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    let mut now = limit.current;
    if !enough(now) {
        let most = if enough(limit.maximum) { Some(wanted) } else { limit.maximum };
        if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: limit.maximum }).is_ok() {
            now = most;
        }
    }
    let clients = now.map_or(u64::MAX, |files| files.saturating_sub(FILES_BESIDE_CLIENTS).max(1));
    let clients = usize::try_from(clients).unwrap_or(usize::MAX);
    match now {
        Some(files) if clients < max_clients => log::warn!(
            "this process may open {files} files, so {clients} clients can connect instead of server.max_clients = \
             {max_clients}; raise `ulimit -n` to {wanted} or lower the setting"
        ),
        Some(files) => log::info!("this process may open {files} files, enough for {clients} clients"),
        None => {}
    }
    clients
}

fn addresses(listeners: &Listeners) -> String {
    let tcp = listeners.addresses().iter().map(ToString::to_string);
    let unix = listeners.unix_socket().map(|path| path.display().to_string());
    tcp.chain(unix).collect::<Vec<_>>().join(", ")
}

fn log_start(settings: &Settings, plugin: &Plugin, listeners: &Listeners) {
    let engine = plugin.loaded.description();
    let durability = settings.storage.durability;
    log::info!(
        "enginebay {} with engine {} {} (format {}, {}), data in {}, durability {}, on {}",
        env!("CARGO_PKG_VERSION"),
        engine.name,
        engine.version,
        engine.format,
        plugin.path.display(),
        settings.storage.dir.display(),
        config::durability_text(durability),
        addresses(listeners)
    );
    if !engine.capabilities.has(Capabilities::DURABLE) {
        log::warn!("engine {} is not durable: all data is lost when this process ends", engine.name);
    } else if durability != Durability::Always {
        log::warn!(
            "durability is {}: a power cut may lose the newest writes that were answered OK",
            config::durability_text(durability)
        );
    }
    if settings.server.insecure && settings.server.password.is_none() {
        log::warn!(
            "server.insecure is set: whoever reaches {} reads and deletes everything",
            addresses(listeners)
        );
    }
}

/// An engine may have options that trade crash safety for something else; whoever chose one is reminded.
fn warn_of_unsafe_options(storage: &Storage) {
    let engine = storage.description();
    let crash_safety = storage.guarantees().line(Promise::CrashSafety).filter(|line| !line.kept);
    if let Some(line) = crash_safety.filter(|_| engine.capabilities.has(Capabilities::DURABLE)) {
        log::warn!("engine {} is not crash safe with the settings in use: {}", engine.name, line.why);
    }
}

fn unopened(settings: &Settings, engine: &Description, error: &EngineError) -> Failure {
    let (name, dir) = (&engine.name, settings.storage.dir.display());
    Failure::Data(format!("engine {name} cannot open the data in {dir}: {error}"))
}

fn report_end(
    ran: std::io::Result<()>,
    closed: Result<(), EngineError>,
    engine: &str,
) -> Result<(), Failure> {
    if let Err(error) = &closed {
        let message = format!(
            "engine {engine} did not close in order: {error}; it will recover at the next start as after a crash"
        );
        return Err(Failure::Check(message));
    }
    ran.map_err(|error| Failure::Check(format!("the server ended because of an error: {error}")))?;
    log::info!("engine {engine} is closed; goodbye");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_behind_a_shutdown_ends_in_order_and_the_second_at_once() {
        let shutdown = ShutdownHandle::new();
        let ask = ask_for_the_end(shutdown.clone());
        shutdown.request();
        assert_eq!([ask(15, "SIGTERM"), ask(15, "SIGTERM")], [true, false]);
        let shutdown = ShutdownHandle::new();
        assert!(ask_for_the_end(shutdown.clone())(2, "SIGINT") && shutdown.is_requested());
    }
}
