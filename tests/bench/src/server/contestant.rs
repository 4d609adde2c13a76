//! The servers that are compared: Debian's redis-server and ours, started alike.
//!
//! Promises: each server has a folder of its own on the file system that was asked for, and an
//! address of its own; both are built and configured as a user would have them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{ServerProcess, free_address};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// redis-server that syncs before it answers: `appendonly yes`, `appendfsync always`.
    RedisDurable,
    /// redis-server that writes nothing: its best setting for reads.
    RedisInMemory,
    /// Ours, as it is by default.
    Enginebay,
}

/// Starts servers.
pub struct Launcher {
    host: PathBuf,
    engine: String,
    options: Vec<String>,
    /// In which every server's folder is made.
    parent: PathBuf,
}

/// A server with its folder. The folder goes with the value.
pub struct Running {
    /// The process.
    pub server: ServerProcess,
    /// Which server it is.
    pub contestant: Contestant,
    folder: TempDir,
}

impl Launcher {
    /// Builds our host and the engine, a name or a plugin's path, in release mode. Their folders will be below
    /// `parent`, or below cargo's target folder.
    ///
    /// # Errors
    /// If there is no such plugin, or no folder can be made there.
    ///
    /// # Panics
    /// If the build fails, with what cargo said.
    pub fn build(engine: &str, options: &[String], parent: Option<&Path>) -> Result<Self> {
        let is_path = engine.contains('/');
        let mut cargo = Command::new(e2e::build::cargo());
        cargo.current_dir(e2e::build::root()).args(["build", "--release", "-p", "enginebay"]);
        if !is_path {
            cargo.args(["-p", &format!("engine_{engine}")]);
        }
        let artifacts = e2e::build::artifacts(&mut cargo);
        let host = e2e::build::find(&artifacts, "enginebay");
        let engine = match is_path {
            true => {
                Path::new(engine).canonicalize().with_context(|| format!("there is no plugin {engine}"))?
            }
            false => e2e::build::find(&artifacts, &format!("libengine_{engine}.so")),
        };
        let target = host.ancestors().nth(2).context("cargo puts executables two folders deep")?;
        let parent = parent.map_or_else(|| target.join("tmp"), Path::to_path_buf);
        std::fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let engine = engine.to_str().context("the path of the plugin is no text")?.to_string();
        Ok(Self { host, engine, options: options.to_vec(), parent })
    }

    /// Starts a server with nothing in it.
    ///
    /// # Errors
    /// If it is not ready in time.
    pub fn start(&self, contestant: Contestant) -> Result<Running> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.parent)?;
        self.start_in(contestant, folder)
    }

    /// Ends a server in order and starts it again on what it stored.
    ///
    /// # Errors
    /// If it does not end or start.
    pub fn restart(&self, running: Running) -> Result<Running> {
        running.server.stop()?;
        self.start_in(running.contestant, running.folder)
    }

    /// Kills a server and starts it again on what it stored.
    ///
    /// # Errors
    /// If it does not start.
    pub fn kill_and_restart(&self, running: Running) -> Result<Running> {
        running.server.kill()?;
        self.start_in(running.contestant, running.folder)
    }

    fn start_in(&self, contestant: Contestant, folder: TempDir) -> Result<Running> {
        let address = free_address()?;
        let data = folder.path().join("data");
        let port = address.port().to_string();
        let mut command = match contestant {
            Contestant::Enginebay => {
                let mut command = Command::new(&self.host);
                command.args(["serve", "--engine", &self.engine, "--listen", &address.to_string()]);
                command.arg("--dir").arg(&data);
                command.args(self.options.iter().flat_map(|option| ["--option", option]));
                command.env("RUST_LOG", "warn");
                command
            }
            redis => {
                std::fs::create_dir_all(&data)?;
                let mut command = Command::new("redis-server");
                command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
                let durable = redis == Contestant::RedisDurable;
                command.args(["--appendonly", if durable { "yes" } else { "no" }, "--appendfsync", "always"]);
                // A rewrite of its file in mid-run would be to its disadvantage, and to that of whoever runs next.
                command.args(["--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"]);
                command.arg("--dir").arg(&data);
                command
            }
        };
        command.current_dir(folder.path());
        let server = ServerProcess::start(command, address, &folder.path().join("log"))?;
        Ok(Running { server, contestant, folder })
    }
}

impl Running {
    /// A new connection.
    ///
    /// # Errors
    /// If the server does not take it.
    pub fn client(&self) -> Result<Client> {
        self.server.client()
    }

    /// The server and its version, for the head of the table.
    ///
    /// # Errors
    /// If it does not say.
    pub fn description(&self) -> Result<String> {
        let info = self.client()?.ask(&["INFO"])?;
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim().to_string());
            found.with_context(|| format!("INFO of the server has no field {name}"))
        };
        Ok(match self.contestant {
            Contestant::Enginebay => {
                format!(
                    "enginebay {} with {} {}",
                    field("enginebay_version")?,
                    field("engine")?,
                    field("engine_version")?
                )
            }
            Contestant::RedisDurable => {
                format!("redis-server {}, appendonly yes, appendfsync always", field("redis_version")?)
            }
            Contestant::RedisInMemory => format!("redis-server {}, appendonly no", field("redis_version")?),
        })
    }

    /// The name of the engine of ours.
    ///
    /// # Errors
    /// If the server does not say, as a redis-server does not.
    pub fn engine(&self) -> Result<String> {
        let info = self.client()?.ask(&["INFO", "enginebay"])?;
        let line = info.lines().find_map(|line| line.strip_prefix("engine:"));
        Ok(line.context("the server does not say which engine it has")?.trim().to_string())
    }

    /// Whether what it stored is there after a restart.
    ///
    /// # Errors
    /// If the server does not say.
    pub fn is_durable(&self) -> Result<bool> {
        match self.client()?.info()?.get("aof_enabled") {
            Some(enabled) => Ok(*enabled == 1.0),
            None => bail!("INFO of the server has no field aof_enabled"),
        }
    }

    /// Sets the keys `0..keys`, and checks that the server has them and no others.
    ///
    /// # Errors
    /// If it has not.
    pub fn fill(&self, keys: u64) -> Result<()> {
        let mut client = self.client()?;
        client.fill(keys)?;
        let size = client.ask(&["DBSIZE"])?;
        ensure!(size == keys.to_string(), "the server holds {size} keys after a fill of {keys}");
        Ok(())
    }
}
