//! One blocking connection to a server: fills it, asks what it counts. Not for measuring rates of requests.
//!
//! Promises: every call ends within two minutes; replies are checked as those of load are.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::load::{self, Expected};
use crate::resp::{Reply, encode, parse, shown};

/// How long a reply may take before the server is taken for dead.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many SETs of a fill are sent before their replies are read.
const FILL_PIPELINE: usize = 1000;

/// The connection.
pub struct Client {
    stream: TcpStream,
    /// What has arrived; `at` is where the next reply begins.
    input: Vec<u8>,
    at: usize,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: Vec::new(), at: 0 })
    }

    /// Sends bytes that hold whole requests.
    ///
    /// # Errors
    /// If the server takes them not.
    pub fn send(&mut self, requests: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(requests)?)
    }

    /// Waits for the next reply and hands it to `with`.
    ///
    /// # Errors
    /// If none comes, and what `with` says.
    pub fn receive<T>(&mut self, with: impl FnOnce(Reply<'_>) -> Result<T>) -> Result<T> {
        loop {
            if let Some((reply, len)) = parse(&self.input[self.at..])? {
                self.at += len;
                return with(reply);
            }
            self.input.drain(..self.at);
            self.at = 0;
            let mut chunk = [0; 64 * 1024];
            let read = self.stream.read(&mut chunk).context("the server does not answer")?;
            ensure!(read > 0, "the server closed the connection");
            self.input.extend_from_slice(&chunk[..read]);
        }
    }

    /// The answer to one request as text.
    ///
    /// # Errors
    /// If it is an error.
    pub fn ask(&mut self, words: &[&str]) -> Result<String> {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        let mut request = Vec::new();
        encode(&words, &mut request);
        self.send(&request)?;
        self.receive(|reply| match reply {
            Reply::Simple(text) | Reply::Bulk(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            Reply::Integer(number) => Ok(number.to_string()),
            Reply::Null => Ok(String::new()),
            Reply::Error(message) => bail!("the server answered an error: {}", shown(message)),
        })
    }

    /// Sets the keys `0..keys` to their values.
    ///
    /// # Errors
    /// If a SET is not answered OK.
    pub fn fill(&mut self, keys: u64) -> Result<()> {
        let mut number = 0;
        while number < keys {
            let end = keys.min(number + FILL_PIPELINE as u64);
            let mut requests = Vec::new();
            for number in number..end {
                load::set(number, &mut requests);
            }
            self.send(&requests)?;
            for _ in number..end {
                self.receive(|reply| load::check(Expected::Ok, reply))?;
            }
            number = end;
        }
        Ok(())
    }

    /// Checks that the server holds exactly the keys `0..keys`, and the values of a sample of them.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_filled(&mut self, keys: u64) -> Result<()> {
        let size = self.ask(&["DBSIZE"])?;
        ensure!(size == keys.to_string(), "the server holds {size} keys, not {keys}");
        for number in (0..keys).step_by((keys / 1000).max(1) as usize) {
            let mut request = Vec::new();
            let expected = load::get(number, &mut request);
            self.send(&request)?;
            self.receive(|reply| load::check(expected, reply))?;
        }
        Ok(())
    }

    /// The numbers of INFO by name; fields that are no number are left out.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn info(&mut self) -> Result<HashMap<String, f64>> {
        let text = self.ask(&["INFO"])?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.filter_map(|(name, value)| Some((name.to_string(), value.trim().parse().ok()?))).collect())
    }

    /// The engine's metrics, `name{label="…"}` to value; empty if the server has no engines.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn engine_metrics(&mut self) -> Result<HashMap<String, f64>> {
        let Ok(text) = self.ask(&["ENGINE", "METRICS"]) else { return Ok(HashMap::new()) };
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(lines.filter_map(|(name, value)| Some((name.to_string(), value.parse().ok()?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::{Manners, StandIn};

    #[test]
    fn a_fill_sets_every_key_and_the_check_finds_what_is_missing() {
        let server = StandIn::start(Manners::Right);
        let mut client = Client::connect(server.address()).unwrap();
        client.fill(2345).unwrap();
        client.check_filled(2345).unwrap();
        let error = client.check_filled(2346).unwrap_err().to_string();
        assert!(error.contains("holds 2345 keys"), "{error}");
    }

    #[test]
    fn a_fill_that_is_refused_fails() {
        let server = StandIn::start(Manners::ErrorAfter(1500));
        let error = Client::connect(server.address()).unwrap().fill(2000).unwrap_err().to_string();
        assert!(error.contains("refused by the stand-in"), "{error}");
    }
}
