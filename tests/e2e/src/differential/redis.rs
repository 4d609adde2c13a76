//! A real Redis to compare with: a child process on a free port, without persistence.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::client::{Client, Reply};

/// The version whose replies ours are; another one answers otherwise here and there.
const VERSION: &str = "7.0.";
/// How many ports are tried.
const PORTS_TRIED: usize = 10;

/// A running Redis. It ends with the value.
pub struct Redis {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Redis {
    /// Starts `redis-server`, or what the environment variable `REDIS_SERVER` names.
    ///
    /// # Errors
    /// A sentence: it is not installed, does not start, or is of another version.
    pub fn start() -> Result<Self, String> {
        let mut last = String::new();
        for _ in 0..PORTS_TRIED {
            match Self::start_on(free_port()?) {
                Ok(redis) => return redis.checked(),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Another process may take the port first: then Redis ends, and the next port is tried.
    fn start_on(port: u16) -> Result<Self, String> {
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_string());
        let folder = tempfile::tempdir().map_err(|error| format!("no folder for Redis: {error}"))?;
        let mut command = Command::new(&program);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command
            .spawn()
            .map_err(|error| format!("{program} does not start: {error}; install Debian's redis-server"))?;
        let output = child.stdout.take();
        let redis = Self { child, address: format!("127.0.0.1:{port}"), _folder: folder };
        let mut lines = BufReader::new(output.ok_or("Redis has no output")?).lines().map_while(Result::ok);
        let mut said = String::new();
        let ready = lines.by_ref().any(|line| {
            said = said.clone() + &line + "\n";
            line.contains("Ready to accept connections")
        });
        // Nobody may block it by not reading what it says.
        thread::spawn(move || lines.for_each(drop));
        if ready { Ok(redis) } else { Err(format!("{program} is not ready; it said:\n{said}")) }
    }

    fn checked(self) -> Result<Self, String> {
        let mut client = Client::connect(&self.address).map_err(|error| format!("Redis: {error}"))?;
        let info = client.try_command(&["INFO", "server"]).map_err(|error| format!("Redis: {error}"))?;
        let Reply::Bulk(info) = info else { return Err(format!("Redis answers INFO with {info:?}")) };
        let info = String::from_utf8_lossy(&info).into_owned();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or_default();
        match version.starts_with(VERSION) {
            true => Ok(self),
            false => {
                Err(format!("redis-server is of version {version}; the replies are those of {VERSION}x"))
            }
        }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no port is free: {error}"))
}
