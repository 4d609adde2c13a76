//! A server under measurement: a process, its address, what it costs the machine.
//!
//! Promises: `start` returns when the server answers PING with PONG, and says how long that took; the process
//! is killed when the value is dropped. CPU time and memory are the kernel's, of the whole process.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;

/// How long a server may take to start, to end or to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at whether something has happened.
const LOOK: Duration = Duration::from_millis(1);
/// Over which a server at rest uses no more CPU time than `REST_CPU_SECONDS`.
const REST_WINDOW: Duration = Duration::from_millis(200);
/// Two ticks of the kernel's usual clock.
const REST_CPU_SECONDS: f64 = 0.02;

/// A running server.
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    started_in: Duration,
}

/// An address on this machine that nobody listens on now.
///
/// # Errors
/// If the machine has none left.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

impl ServerProcess {
    /// Starts a server that will listen on `address`, and waits until it answers. What it prints goes to
    /// `log`.
    ///
    /// # Errors
    /// If it ends or does not answer in time, with the end of its log.
    pub fn start(mut command: Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("{command:?} does not start"))?;
        let mut server = Self { child, address, log: log.to_path_buf(), started_in: Duration::ZERO };
        while !answers(address)? {
            if let Some(status) = server.child.try_wait()? {
                bail!("{command:?} ended with {status}; it said:\n{}", server.log_end());
            }
            ensure!(began.elapsed() < PATIENCE, "{command:?} is not ready; it said:\n{}", server.log_end());
            thread::sleep(LOOK);
        }
        server.started_in = began.elapsed();
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the start of the process to its first PONG.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// A new connection.
    ///
    /// # Errors
    /// If the server does not take it.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.address).with_context(|| format!("no connection; the log:\n{}", self.log_end()))
    }

    /// CPU time of all its threads so far, in seconds, to a tick of the kernel's clock.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&self.proc("stat")?).ok_or_else(|| anyhow!("the kernel reports no CPU time"))
    }

    /// Memory of it that is in use, file mappings included, in bytes.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        let kib =
            field(&self.proc("status")?, "VmRSS:").ok_or_else(|| anyhow!("the kernel reports no VmRSS"))?;
        Ok(kib * 1024)
    }

    /// Bytes that it made the kernel write to a device, as the kernel accounts them. Wrong for mapped files;
    /// `None` where the kernel does not tell.
    pub fn written_bytes(&self) -> Option<u64> {
        field(&self.proc("io").ok()?, "write_bytes:")
    }

    /// Waits until the server does no work of its own, so that it does not disturb the next measurement.
    ///
    /// # Errors
    /// If it does not come to rest.
    pub fn come_to_rest(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let before = self.cpu_seconds()?;
            thread::sleep(REST_WINDOW);
            if self.cpu_seconds()? - before <= REST_CPU_SECONDS {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the server on {} does not come to rest", self.address);
        }
    }

    /// Asks it to end, and waits for an orderly end.
    ///
    /// # Errors
    /// If it does not end, or not with exit code 0.
    pub fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}; it said:\n{}", self.log_end());
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the server does not end; it said:\n{}", self.log_end());
            thread::sleep(LOOK);
        }
    }

    /// Kills it as a crash would.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the server ended?"))
    }

    fn log_end(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(2000)..]).into_owned()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended long ago; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the server answers PING with PONG; `false` while it does not listen or is loading.
fn answers(address: SocketAddr) -> Result<bool> {
    match Client::connect(address).and_then(|mut client| client.ask(&["PING"])) {
        Ok(answer) => Ok(answer == "PONG"),
        Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            None | Some(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => Ok(false),
            Some(_) => Err(error),
        },
    }
}

/// User and system time in the text of `/proc/PID/stat`, in seconds.
pub fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is the program's name, which may hold spaces and brackets.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The number of a line `name number …` in a text such as `/proc/PID/status`.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets() {
        let stat = "17 (a) b) (c) S 1 17 17 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 4 0 12345 1000 200";
        let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(cpu_seconds(stat), Some(281.0 / ticks_a_second));
        assert_eq!(cpu_seconds("17 (cut) S 1"), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let io = "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(field(io, "write_bytes:"), Some(4096));
        assert_eq!(field("VmRSS:\t  1024 kB\n", "VmRSS:"), Some(1024));
        assert_eq!(field(io, "absent:"), None);
    }

    #[test]
    fn a_program_that_ends_is_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo cannot serve; exit 3"]);
        let started = ServerProcess::start(command, free_address().unwrap(), &folder.path().join("log"));
        let error = started.err().unwrap().to_string();
        assert!(error.contains("cannot serve") && error.contains('3'), "{error}");
    }
}
