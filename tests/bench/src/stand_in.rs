//! A server for the tests of this crate: right, or wrong in a known way.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// As a server should.
    Right,
    /// After so many requests, with errors.
    ErrorAfter(usize),
    /// After so many requests, GETs with the value of another key.
    WrongValueAfter(usize),
    /// After so many requests, by closing the connection.
    CloseAfter(usize),
    /// Rightly, but every connection rests this long before its first answer.
    Rest(Duration),
}

/// The server; it ends with the process.
pub struct StandIn {
    address: SocketAddr,
}

type Words = Vec<Vec<u8>>;

struct Shared {
    manners: Manners,
    seen: AtomicUsize,
    map: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

impl StandIn {
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { manners, seen: AtomicUsize::new(0), map: Mutex::default() });
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) {
        let (mut input, mut output) = (BufReader::new(stream), stream);
        stream.set_nodelay(true).unwrap();
        let mut rested = false;
        while let Some(words) = read_request(&mut input) {
            if let (Manners::Rest(rest), false) = (self.manners, rested) {
                rested = true;
                thread::sleep(rest);
            }
            let seen = self.seen.fetch_add(1, Ordering::SeqCst);
            if matches!(self.manners, Manners::CloseAfter(most) if seen >= most) {
                return;
            }
            if output.write_all(&self.answer(&words, seen)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, words: &Words, seen: usize) -> Vec<u8> {
        if matches!(self.manners, Manners::ErrorAfter(most) if seen >= most) {
            return b"-ERR refused by the stand-in\r\n".to_vec();
        }
        let mut map = self.map.lock().unwrap();
        match words[0].as_slice() {
            b"SET" => {
                map.insert(words[1].clone(), words[2].clone());
                b"+OK\r\n".to_vec()
            }
            b"DBSIZE" => format!(":{}\r\n", map.len()).into_bytes(),
            b"GET" => {
                let is_wrong = matches!(self.manners, Manners::WrongValueAfter(most) if seen >= most);
                let found = if is_wrong { map.values().next() } else { map.get(&words[1]) };
                found.map_or(b"$-1\r\n".to_vec(), |value| {
                    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
                })
            }
            other => panic!("the stand-in does not know {}", other.escape_ascii()),
        }
    }
}

fn read_request(input: &mut impl BufRead) -> Option<Words> {
    let words = read_header(input)?;
    (0..words).map(|_| read_word(input)).collect()
}

fn read_word(input: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut word = vec![0; read_header(input)? + 2];
    input.read_exact(&mut word).ok()?;
    word.truncate(word.len() - 2);
    Some(word)
}

fn read_header(input: &mut impl BufRead) -> Option<usize> {
    let mut line = String::new();
    input.take(64).read_line(&mut line).ok()?;
    line.trim_end().get(1..)?.parse().ok()
}
