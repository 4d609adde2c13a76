//! `redis-benchmark`, the driver that others know.
//!
//! Promises: a run that prints an error, ends with one, or does not end gives no figure.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::client::Client;
use crate::load::VALUE_BYTES;

/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The test, as `-t` takes it.
    pub test: &'static str,
    /// Clients.
    pub clients: usize,
    /// Requests that a client sends at once.
    pub pipeline: usize,
    /// Requests in all.
    pub requests: u64,
    /// Random keys.
    pub keys: u64,
}

/// What a run printed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Requests a second.
    pub per_second: f64,
    /// The median of their times, in milliseconds.
    pub p50_ms: f64,
    /// 99 % of them took no longer, in milliseconds.
    pub p99_ms: f64,
}

impl Run {
    /// Runs it against a server.
    ///
    /// # Errors
    /// If it does not start, does not end in time, or reports an error.
    pub fn against(&self, address: SocketAddr) -> Result<Figures> {
        // Where nobody listens, redis-benchmark tries for ever.
        Client::connect(address).with_context(|| format!("nobody listens on {address}"))?;
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
        command.args(["-t", self.test, "-n", &self.requests.to_string(), "-r", &self.keys.to_string()]);
        command.args(["-c", &self.clients.to_string(), "-P", &self.pipeline.to_string()]);
        command.args(["-d", &VALUE_BYTES.to_string(), "--csv"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().context("redis-benchmark does not start; it is in redis-tools")?;
        let (output, errors) = wait(child)?;
        ensure!(errors.trim().is_empty(), "redis-benchmark reported: {}", errors.trim());
        parse(&output)
    }
}

/// Waits for a program and returns what it printed.
fn wait(mut child: Child) -> Result<(String, String)> {
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("redis-benchmark does not end");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let (mut output, mut errors) = (String::new(), String::new());
    child.stdout.take().map(|mut it| it.read_to_string(&mut output)).transpose()?;
    child.stderr.take().map(|mut it| it.read_to_string(&mut errors)).transpose()?;
    ensure!(status.success(), "redis-benchmark ended with {status}: {} {}", output.trim(), errors.trim());
    Ok((output, errors))
}

/// The figures in what `--csv` prints of one test.
fn parse(output: &str) -> Result<Figures> {
    let mut lines = output.lines().map(fields);
    let (Some(names), Some(figures), None) = (lines.next(), lines.next(), lines.next()) else {
        bail!("redis-benchmark did not print one test: {output}");
    };
    let column = |name: &str| {
        let at = names.iter().position(|it| it == name);
        let text = at.and_then(|at| figures.get(at)).ok_or_else(|| anyhow!("no column {name}: {output}"))?;
        text.parse::<f64>().with_context(|| format!("{name} is no number: {output}"))
    };
    Ok(Figures {
        per_second: column("rps")?,
        p50_ms: column("p50_latency_ms")?,
        p99_ms: column("p99_latency_ms")?,
    })
}

fn fields(line: &str) -> Vec<String> {
    line.split(',').map(|field| field.trim_matches('"').to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\
                        \"p99_latency_ms\",\"max_latency_ms\"\n";

    #[test]
    fn the_figures_are_taken_from_their_columns() {
        let line =
            "\"MSET (10 keys)\",\"31250.00\",\"0.135\",\"0.048\",\"0.087\",\"0.167\",\"2.423\",\"2.823\"\n";
        let figures = parse(&format!("{HEAD}{line}")).unwrap();
        assert_eq!(figures, Figures { per_second: 31_250.0, p50_ms: 0.087, p99_ms: 2.423 });
    }

    #[test]
    fn output_without_exactly_one_test_is_refused() {
        let line = "\"SET\",\"x\",\"0.1\",\"0.1\",\"0.1\",\"0.1\",\"0.1\",\"0.1\"\n";
        for output in ["", HEAD, &format!("{HEAD}{line}"), "a\nb\nc\n"] {
            assert!(parse(output).is_err(), "{output}");
        }
    }

    #[test]
    fn nobody_listening_is_an_error() {
        let run = Run { test: "set", clients: 1, pipeline: 1, requests: 10, keys: 10 };
        let error = run.against(crate::process::free_address().unwrap()).unwrap_err().to_string();
        assert!(error.contains("nobody listens"), "{error}");
    }
}
