//! A stream of requests: who sends each, in which form, and together with which others.

use std::fmt;

use super::shapes::Shapes;
use super::words::Words;
use crate::client;

/// How many requests a stream has. Streams start on empty servers: long enough to build something up, short
/// enough to be shrunk soon.
pub const STREAM_REQUESTS: usize = 250;
/// How many connections send.
pub const CLIENTS: usize = 2;
/// The longest request that is sent as a line; both servers refuse lines of more than 64 KiB.
const LINE_BYTES_MAX: usize = 4_000;

/// The longest word that is shown whole.
const SHOWN_WORD_BYTES: usize = 160;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The command and its arguments.
    pub words: Vec<Vec<u8>>,
    /// Which connection sends it.
    pub client: usize,
    /// Whether it is sent with the one before it, without waiting for that one's reply.
    pub joined: bool,
    /// Whether it is sent as a line, not as an array.
    pub inline: bool,
}

impl Request {
    /// A request of the first connection that is sent alone, as an array.
    pub fn plain(words: Vec<Vec<u8>>) -> Self {
        Self { words, client: 0, joined: false, inline: false }
    }

    /// What is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.inline {
            true => (self.line() + "\r\n").into_bytes(),
            false => client::encode(&self.words),
        }
    }

    /// The name of the command in small letters.
    pub fn name(&self) -> String {
        let name = self.words.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
        String::from_utf8_lossy(&name).into_owned()
    }

    /// The words as `redis-cli` takes them.
    fn line(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| quoted(word)).collect();
        words.join(" ")
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_the_last = if self.joined { "&" } else { " " };
        let form = if self.inline { "   (as a line)" } else { "" };
        let words: Vec<_> = self.words.iter().map(|word| shown(word)).collect();
        write!(formatter, "{with_the_last}{}> {}{form}", self.client, words.join(" "))
    }
}

/// A word to be read; of a long one the beginning.
fn shown(word: &[u8]) -> String {
    match word.len() {
        ..=SHOWN_WORD_BYTES => quoted(word),
        len => format!("{}… ({len} bytes)", quoted(&word[..SHOWN_WORD_BYTES / 4])),
    }
}

fn quoted(word: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b":_-.*#+".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut text = "\"".to_string();
    for byte in word {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + "\""
}

/// The stream of a seed.
pub fn random(shapes: &Shapes, seed: u64) -> Vec<Request> {
    let mut words = Words::new(seed);
    let mut stream: Vec<Request> = Vec::new();
    for client in 0..CLIENTS {
        if words.random.bool() {
            let hello = vec![b"HELLO".to_vec(), b"3".to_vec()];
            stream.push(Request { client, ..Request::plain(hello) });
        }
    }
    while stream.len() < STREAM_REQUESTS {
        let client = words.random.usize(..CLIENTS);
        // Half of them come one at a time, as from a person; the others in a pipeline.
        let together = if words.random.bool() { 1 } else { words.random.usize(2..40) };
        for place in 0..together {
            let request = shapes.request(&mut words);
            let bytes: usize = request.iter().map(Vec::len).sum();
            let inline = bytes < LINE_BYTES_MAX && words.random.u8(..10) == 0;
            stream.push(Request { words: request, client, joined: place > 0, inline });
        }
    }
    stream
}

/// The requests that are sent at once, one slice each.
pub fn batches(stream: &[Request]) -> impl Iterator<Item = &[Request]> {
    stream.chunk_by(|before, request| request.joined && request.client == before.client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_stream() {
        let shapes = Shapes::of_commands(|_| true);
        assert_eq!(random(&shapes, 5), random(&shapes, 5));
        assert_ne!(random(&shapes, 5), random(&shapes, 6));
        let streams: Vec<_> = (0..20).flat_map(|seed| random(&shapes, seed)).collect();
        assert!(streams.iter().any(|request| request.inline) && streams.iter().any(|it| it.client == 1));
        assert!(batches(&streams).any(|batch| batch.len() > 20));
        assert_eq!(batches(&streams).flatten().count(), streams.len());
    }

    #[test]
    fn a_request_is_shown_as_it_can_be_typed() {
        let words = [&b"SET"[..], b"a b", b"\x00\"", b""].map(<[u8]>::to_vec).to_vec();
        let request = Request { inline: true, ..Request::plain(words) };
        assert_eq!(request.to_bytes(), b"SET \"a b\" \"\\x00\\\"\" \"\"\r\n");
        assert_eq!(request.to_string(), " 0> SET \"a b\" \"\\x00\\\"\" \"\"   (as a line)");
    }
}
