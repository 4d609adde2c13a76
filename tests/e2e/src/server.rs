//! A server under test: a child process with a folder of its own.
//!
//! Promises: it is started with a config file, as an operator would; it is ready when `start` returns; its
//! log is kept; it is killed when the value is dropped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::build;
use crate::client::Client;

/// How long a server may take to start or to end. Builds may run beside it on a small machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// What stands before the address in the line that says the server is ready.
const READY: &str = "ready to accept connections on ";

/// Lets this process and the servers that it starts have `files` open files each, or as many as the operating
/// system allows; answers how many.
pub fn allow_open_files(files: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `getrlimit` writes into the struct that it is handed, which outlives the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if !known || limit.rlim_cur >= files {
        return limit.rlim_cur;
    }
    // The second bound may be raised by an administrator alone.
    for most in [limit.rlim_max.max(files), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: files.min(most), rlim_max: most };
        // SAFETY: `setrlimit` reads the struct that it is handed.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Config {
    /// A name, or the path of a plugin.
    pub engine: String,
    /// The options of the engine.
    pub options: Vec<(String, String)>,
    /// More lines of the config file, section by section.
    pub sections: Vec<(String, String)>,
    /// Where the server looks for plugins; beside its executable if empty.
    pub plugin_folders: Vec<PathBuf>,
    /// The data directory; `None` for one inside the server's own folder.
    pub data: Option<PathBuf>,
}

impl Config {
    /// The engine with default options.
    pub fn engine(engine: impl AsRef<Path>) -> Self {
        Self {
            engine: engine.as_ref().to_str().expect("the paths of the tests are UTF-8").to_string(),
            options: Vec::new(),
            sections: Vec::new(),
            plugin_folders: Vec::new(),
            data: None,
        }
    }

    /// With one more option of the engine.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_string(), value.to_string()));
        self
    }

    /// With one more line in a section of the file; `""` is the top of the file.
    pub fn with(mut self, section: &str, line: &str) -> Self {
        self.sections.push((section.to_string(), line.to_string()));
        self
    }

    /// With this data directory.
    pub fn data(mut self, directory: &Path) -> Self {
        self.data = Some(directory.to_path_buf());
        self
    }

    /// The config file as an operator would write it.
    pub fn to_toml(&self, folder: &Path) -> String {
        let data = self.data.clone().unwrap_or_else(|| folder.join("data"));
        let options: Vec<_> =
            self.options.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
        let mut lines = self.lines("");
        lines.push(format!("engine = {:?}", self.engine));
        lines.push("[server]".to_string());
        if !lines.iter().chain(&self.lines("server")).any(|line| line.starts_with("listen")) {
            lines.push("listen = \"127.0.0.1:0\"".to_string());
        }
        lines.extend(self.lines("server"));
        lines.push("[storage]".to_string());
        lines.push(format!("dir = {data:?}"));
        lines.extend(self.lines("storage"));
        lines.push("[storage.options]".to_string());
        lines.extend(options);
        if !self.plugin_folders.is_empty() {
            lines.push(format!("[plugins]\ndirs = {:?}", self.plugin_folders));
        }
        lines.push("[limits]".to_string());
        lines.extend(self.lines("limits"));
        lines.join("\n") + "\n"
    }

    fn lines(&self, section: &str) -> Vec<String> {
        let lines = self.sections.iter().filter(|(name, _)| name == section);
        lines.map(|(_, line)| line.clone()).collect()
    }
}

/// A running server.
pub struct Server {
    child: Child,
    address: String,
    log: Arc<Mutex<String>>,
    folder: Arc<TempDir>,
    config: Config,
}

impl Server {
    /// Starts a server and waits until it is ready.
    #[track_caller]
    pub fn start(config: Config) -> Self {
        Self::start_in(Arc::new(TempDir::new().expect("make a folder")), config)
    }

    /// Starts a server that must not start, and returns what it said and how it ended.
    #[track_caller]
    pub fn refuse(config: &Config) -> Output {
        let folder = TempDir::new().expect("make a folder");
        let child = spawn(folder.path(), config);
        wait_for_output(child)
    }

    #[track_caller]
    fn start_in(folder: Arc<TempDir>, config: Config) -> Self {
        Self::try_start_in(folder, config).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    fn try_start_in(folder: Arc<TempDir>, config: Config) -> Result<Self, String> {
        let mut child = spawn(folder.path(), &config);
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, ready) = mpsc::channel();
        let stderr = child.stderr.take().expect("stderr is piped");
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let address = line.split_once(READY).map(|(_, rest)| rest.trim().to_string());
                *kept.lock().unwrap_or_else(PoisonError::into_inner) += &(line + "\n");
                if let Some(address) = address {
                    let _ = sender.send(address);
                }
            }
        });
        let mut server = Self { child, address: String::new(), log, folder, config };
        match ready.recv_timeout(PATIENCE) {
            Ok(address) => server.address = address.split([' ', ',']).next().unwrap_or_default().to_string(),
            Err(_) => {
                let ended = server.child.try_wait();
                return Err(format!("the server is not ready, {ended:?}; it said:\n{}", server.log()));
            }
        }
        Ok(server)
    }

    /// Starts another server in the same folder, on the same data; ends this one first if it still runs.
    #[track_caller]
    pub fn restart(self) -> Self {
        self.try_restart().unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    /// The same; if the server does not start, what it said.
    pub fn try_restart(mut self) -> Result<Self, String> {
        if self.lives() {
            self.stop();
        }
        let (folder, config) = (Arc::clone(&self.folder), self.config.clone());
        Self::try_start_in(folder, config)
    }

    /// Starts another server in the same folder and kills it after so long; answers whether it was ready. This
    /// server must have ended.
    #[track_caller]
    pub fn interrupt_start(&self, after: Duration) -> bool {
        let mut child = spawn(self.folder(), &self.config);
        thread::sleep(after);
        let ended = child.try_wait().expect("wait for the server");
        let _ = child.kill();
        let output = child.wait_with_output().expect("read what the server said");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(ended.is_none(), "the server refused to start, {ended:?}; it said:\n{said}");
        said.contains(READY)
    }

    /// The same with another config; the data stays in this server's folder unless the config says otherwise.
    #[track_caller]
    pub fn restart_as(mut self, config: Config) -> Self {
        self.config = config;
        self.restart()
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.address).unwrap_or_else(|error| panic!("{error}; the log:\n{}", self.log()))
    }

    /// The server's own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.config.data.clone().unwrap_or_else(|| self.folder().join("data"))
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the log contains the text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        until(text, || self.log().contains(text));
    }

    /// How much memory the process has in use, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel reports VmRSS");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("VmRSS is a number of kB")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).expect("process ids fit");
        // SAFETY: `kill` takes two integers and touches no memory; the child was not yet waited for, so the
        // number is still its own.
        unsafe { libc::kill(id, signal) };
    }

    /// Kills the server as a power cut would end it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.wait();
    }

    /// Waits until the server has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("wait for the server") {
                Some(status) => return status,
                None if Instant::now() > deadline => {
                    panic!("the server does not end; it said:\n{}", self.log())
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Asks the server to end, as `kill` does, and waits for it.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Whether the process still runs.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let start = log.char_indices().rev().nth(4000).map_or(0, |(start, _)| start);
            eprint_log(&log[start..]);
        }
    }
}

#[allow(clippy::print_stderr)]
fn eprint_log(log: &str) {
    eprintln!("--- the log of the server ---\n{log}---");
}

/// Runs the server's executable with these arguments until it ends.
#[track_caller]
pub fn run<T: AsRef<std::ffi::OsStr>>(arguments: &[T]) -> Output {
    let mut command = Command::new(&build::built().host);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait_for_output(command.spawn().expect("start the server"))
}

/// Waits until `holds` is true.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn spawn(folder: &Path, config: &Config) -> Child {
    let file = folder.join("enginebay.toml");
    std::fs::write(&file, config.to_toml(folder)).expect("write the config file");
    let mut command = Command::new(&build::built().host);
    command.args(["serve", "--config"]).arg(&file).current_dir(folder);
    command.env("RUST_LOG", std::env::var("E2E_LOG").unwrap_or_else(|_| "info".to_string()));
    command.env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("start the server")
}

/// Waits for the end of a process that is expected to end by itself.
#[track_caller]
fn wait_for_output(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("wait for the server").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the server does not end: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("read what the server said")
}
