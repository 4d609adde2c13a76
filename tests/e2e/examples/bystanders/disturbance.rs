//! What others do to the server, again and again until they are told to stop.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::{Reply, Server, client};

/// One way to disturb.
pub type Disturb = fn(&Server, &AtomicBool) -> Result<(), String>;

/// Names and ways.
pub const DISTURBANCES: [(&str, Disturb); 6] = [
    ("KEYS * over all keys", keys),
    ("values of 32 MiB, written and read", large_values),
    ("values over the limit, refused", oversized_values),
    ("clients killed in the middle of a pipeline", killed_clients),
    ("sockets half closed before the answers", half_closed_sockets),
    ("a client that reads nothing", silent_reader),
];

/// Larger than the largest value, in bytes.
const OVERSIZED_BYTES: usize = 65 << 20;
/// A large value that is allowed, in bytes.
const LARGE_BYTES: usize = 32 << 20;
/// How many requests a pipeline has.
const PIPELINE: usize = 1_000;

/// Nothing.
pub fn none(stop: &AtomicBool) -> Result<(), String> {
    repeat(stop, || {
        thread::sleep(Duration::from_millis(10));
        Ok(())
    })
}

fn repeat(stop: &AtomicBool, mut once: impl FnMut() -> io::Result<()>) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        once().map_err(|error| format!("the disturbance failed: {error}"))?;
    }
    Ok(())
}

fn keys(server: &Server, stop: &AtomicBool) -> Result<(), String> {
    let mut client = server.client();
    repeat(stop, || match client.try_command(&["KEYS", "*"])? {
        Reply::Array(keys) if !keys.is_empty() => Ok(()),
        other => Err(io::Error::other(format!("KEYS answered {other:?}"))),
    })
}

fn large_values(server: &Server, stop: &AtomicBool) -> Result<(), String> {
    let mut client = server.client();
    let value = vec![b'x'; LARGE_BYTES];
    repeat(stop, || {
        client.try_command(&[b"SET".as_slice(), b"large", &value])?;
        client.try_command(&["GET", "large"]).map(drop)
    })
}

fn oversized_values(server: &Server, stop: &AtomicBool) -> Result<(), String> {
    let request = client::encode(&[b"SET".as_slice(), b"oversized", &vec![b'x'; OVERSIZED_BYTES]]);
    repeat(stop, || {
        let mut client = server.client();
        // Whether the server reads it all and refuses or ends the connection is its own affair.
        let _ = client.send(&request);
        let _ = client.receive();
        Ok(())
    })
}

fn pipeline() -> Vec<u8> {
    (0..PIPELINE).flat_map(|n| client::encode(&["SET", &format!("piped:{n}"), "value"])).collect()
}

/// Ends with answers unread, which resets the connection.
fn killed_clients(server: &Server, stop: &AtomicBool) -> Result<(), String> {
    let pipeline = pipeline();
    repeat(stop, || {
        let mut client = server.client();
        client.send(&pipeline[..pipeline.len() - 7])?;
        client.receive().map(drop)
    })
}

fn half_closed_sockets(server: &Server, stop: &AtomicBool) -> Result<(), String> {
    let pipeline = pipeline();
    repeat(stop, || {
        let mut client = server.client();
        client.send(&pipeline)?;
        client.end()?;
        let answers = client.drain()?;
        match answers.len() == PIPELINE * b"+OK\r\n".len() {
            true => Ok(()),
            false => Err(io::Error::other(format!("{} bytes of answers", answers.len()))),
        }
    })
}

/// Asks for much more than fits into the buffers and takes none of it, until the server has enough of it.
fn silent_reader(server: &Server, stop: &AtomicBool) -> Result<(), String> {
    server.client().command(&[b"SET".as_slice(), b"megabyte", &vec![b'x'; 1 << 20]]);
    let requests = client::encode(&["GET", "megabyte"]).repeat(PIPELINE);
    repeat(stop, || {
        let stream = TcpStream::connect(server.address())?;
        stream.set_nonblocking(true)?;
        for _ in 0..100 {
            let _ = io::Write::write(&mut &stream, &requests);
            thread::sleep(Duration::from_millis(10));
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    })
}

/// Writes that the server refuses because the disk is full.
pub fn refused_writes(server: &Server, stop: &AtomicBool) -> Result<(), String> {
    let mut client = server.client();
    repeat(stop, || match client.try_command(&["SET", "key", "value"])? {
        Reply::Error(text) if text.starts_with("FULL ") => Ok(()),
        other => Err(io::Error::other(format!("a write to a full disk was answered {other:?}"))),
    })
}
