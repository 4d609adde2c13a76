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

/// Raises how many files this process may have open; the server inherits it.
pub fn allow_open_files(files: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `getrlimit` writes into the struct that it is handed, which outlives the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let wanted = files + 100;
    if known == 0 && limit.rlim_cur >= wanted {
        return Ok(());
    }
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max.max(wanted);
    // SAFETY: `setrlimit` reads the struct that it is handed.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(format!("{wanted} open files are not allowed: {}", io::Error::last_os_error())),
    }
}

/// Connects them all, lets the slow ones sip until told to stop.
pub fn gather(server: &Server, idle: u64, slow: u64, stop: &AtomicBool) -> Result<(), String> {
    let failed = |error: io::Error| format!("a client of the crowd cannot connect: {error}");
    server.client().command(&[b"SET".as_slice(), b"megabyte", &vec![b'x'; VALUE_BYTES]]);
    let connect = || TcpStream::connect(server.address());
    let idle = (0..idle).map(|_| connect()).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    let requests = client::encode(&["GET", "megabyte"]).repeat(REQUESTS);
    let mut drinkers = Vec::new();
    for _ in 0..slow {
        let mut stream = connect().map_err(failed)?;
        stream.write_all(&requests).and_then(|()| stream.set_nonblocking(true)).map_err(failed)?;
        drinkers.push(stream);
    }
    let mut closed = 0;
    let mut sip = [0; SIP_BYTES];
    while !stop.load(Ordering::Relaxed) {
        drinkers.retain_mut(|stream| {
            let stays = match stream.read(&mut sip) {
                Ok(bytes) => bytes > 0,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
            closed += u64::from(!stays);
            stays
        });
        thread::sleep(REST);
    }
    println!(
        "    at the end {} idle and {} slow clients were connected, {closed} had been closed",
        idle.len(),
        drinkers.len()
    );
    Ok(())
}
