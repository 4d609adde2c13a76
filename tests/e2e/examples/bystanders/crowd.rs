//! Thousands of clients at once: some do nothing, some ask for much and take it slowly.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::{Server, client};

/// How much each slow client asks for at once: requests of a value of so many bytes.
const REQUESTS: usize = 16;
const VALUE_BYTES: usize = 1 << 20;
/// How much a slow client takes at a time, and how long all of them then rest.
const SIP_BYTES: usize = 1 << 10;
const REST: Duration = Duration::from_millis(20);

/// Connected clients; they leave with the value.
pub struct Crowd {
    _idle: Vec<TcpStream>,
    slow: Vec<TcpStream>,
    closed: usize,
}

impl Crowd {
    /// Connects them all; the slow ones ask for everything at once.
    pub fn gather(server: &Server, idle: u64, slow: u64) -> Result<Self, String> {
        let failed = |error: io::Error| format!("a client of the crowd cannot connect: {error}");
        server.client().command(&[b"SET".as_slice(), b"megabyte", &vec![b'x'; VALUE_BYTES]]);
        let connect = || TcpStream::connect(server.address());
        let idle = (0..idle).map(|_| connect()).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let requests = client::encode(&["GET", "megabyte"]).repeat(REQUESTS);
        let ask = || {
            let mut stream = connect()?;
            stream.write_all(&requests)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let slow = (0..slow).map(|_| ask()).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        Ok(Self { _idle: idle, slow, closed: 0 })
    }

    /// Lets the slow ones take a little at a time until told to stop.
    pub fn sip(&mut self, stop: &AtomicBool) {
        let mut sip = [0; SIP_BYTES];
        while !stop.load(Ordering::Relaxed) {
            let before = self.slow.len();
            self.slow.retain_mut(|stream| match stream.read(&mut sip) {
                Ok(bytes) => bytes > 0,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            });
            self.closed += before - self.slow.len();
            thread::sleep(REST);
        }
    }

    /// How many slow clients the server has closed.
    pub fn closed(&self) -> usize {
        self.closed
    }
}
