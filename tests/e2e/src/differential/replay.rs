//! Sends a stream to two servers and finds the first thing that differs: a reply, or what is stored in the end.

use std::fmt;
use std::io;

use super::accepted;
use super::stream::{self, CLIENTS, Request};
use crate::client::Client;
use crate::frame::Frame;

/// Databases of both servers.
const DATABASES: usize = 16;
/// How much of a reply is shown.
const SHOWN_BYTES: usize = 600;
/// Where a value from another server's DUMP is restored.
const PROBE: &[u8] = b"probe";

/// Two servers that are to answer alike.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The address of the one that is right.
    pub redis: String,
    /// The address of the one under test.
    pub ours: String,
}

/// Something that the two servers do not agree on.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The name of the command, or `contents`.
    pub what: String,
    /// How many requests had been answered alike before.
    pub alike: usize,
    /// The request, or what was compared.
    pub question: String,
    redis: String,
    ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}\n    redis: {}\n    ours:  {}",
            self.question.trim_start(),
            self.redis,
            self.ours
        )
    }
}

/// A reply, or how the connection ended instead.
type Answer = io::Result<Frame>;

/// One connection to each.
struct Both {
    redis: Client,
    ours: Client,
}

impl Both {
    fn connect(pair: &Pair) -> io::Result<Self> {
        Ok(Self { redis: Client::connect(&pair.redis)?, ours: Client::connect(&pair.ours)? })
    }

    fn ask(&mut self, words: &[&[u8]]) -> io::Result<(Frame, Frame)> {
        Ok((ask(&mut self.redis, words)?, ask(&mut self.ours, words)?))
    }
}

fn ask<T: AsRef<[u8]>>(client: &mut Client, words: &[T]) -> Answer {
    client.send(&crate::client::encode(words))?;
    client.receive_frame()
}

/// Empties both servers, sends them the stream and compares all they answer and then hold.
///
/// # Errors
/// If one of them cannot be reached at all.
pub fn replay(pair: &Pair, requests: &[Request]) -> io::Result<Option<Difference>> {
    let mut control = Both::connect(pair)?;
    control.ask(&[b"FLUSHALL"])?;
    let mut clients = (0..CLIENTS).map(|_| Both::connect(pair)).collect::<io::Result<Vec<_>>>()?;
    let mut alike = 0;
    for batch in stream::batches(requests) {
        let both = &mut clients[batch[0].client];
        let redis = answers(&mut both.redis, batch);
        let ours = answers(&mut both.ours, batch);
        for ((request, redis), ours) in batch.iter().zip(redis).zip(ours) {
            let equal = match (&redis, &ours) {
                (Ok(redis), Ok(ours)) => accepted::alike(&request.words, redis, ours),
                // Both ended the connection; what is stored must still be the same.
                (Err(_), Err(_)) => break,
                _ => false,
            };
            if !equal {
                let (redis, ours) = (shown_answer(&redis), shown_answer(&ours));
                let question = request.to_string();
                return Ok(Some(Difference { what: request.name(), alike, question, redis, ours }));
            }
            alike += 1;
        }
    }
    for database in 0..DATABASES {
        if let Some((question, redis, ours)) = compare_contents(&mut control, database)? {
            return Ok(Some(Difference { what: "contents".to_string(), alike, question, redis, ours }));
        }
    }
    Ok(None)
}

fn answers(client: &mut Client, batch: &[Request]) -> Vec<Answer> {
    if let [request] = batch
        && is_start_of_scan(request)
    {
        return vec![iterate(client, request)];
    }
    let bytes: Vec<u8> = batch.iter().flat_map(Request::to_bytes).collect();
    // What was not taken shows in the replies.
    let _ = client.send(&bytes);
    batch.iter().map(|_| client.receive_frame()).collect()
}

fn is_start_of_scan(request: &Request) -> bool {
    request.name() == "scan" && request.words.get(1).is_some_and(|cursor| cursor == b"0")
}

/// A whole SCAN as if it were one reply with the end as its cursor: each key once, in order.
fn iterate(client: &mut Client, request: &Request) -> Answer {
    let mut words = request.words.clone();
    let mut keys = Vec::new();
    loop {
        let mut reply = ask(client, &words)?;
        let Some(found) = reply.parts.pop().filter(|_| reply.parts.len() == 1) else { return Ok(reply) };
        keys.extend(found.parts);
        words[1] = reply.parts[0].body.clone().unwrap_or_default();
        if words[1] == b"0" {
            keys.sort();
            keys.dedup();
            return Ok(Frame::array(vec![reply.parts.remove(0), Frame::array(keys)]));
        }
    }
}

/// What was asked and the two answers, if a database does not hold the same in both.
fn compare_contents(both: &mut Both, database: usize) -> io::Result<Option<(String, String, String)>> {
    both.ask(&[b"SELECT", database.to_string().as_bytes()])?;
    let (mut redis, mut ours) = both.ask(&[b"KEYS", b"*"])?;
    redis.parts.sort();
    ours.parts.sort();
    let differs = |question: String, redis: &Frame, ours: &Frame| {
        Ok(Some((format!("{question} in database {database}, in the end"), shown(redis), shown(ours))))
    };
    if redis != ours {
        return differs("KEYS *".to_string(), &redis, &ours);
    }
    for key in redis.parts.iter().filter_map(|key| key.body.as_deref()) {
        let (redis, ours) = both.ask(&[b"GET", key])?;
        if redis != ours {
            return differs(format!("GET {}", key.escape_ascii()), &redis, &ours);
        }
        let (from_redis, from_ours) = both.ask(&[b"DUMP", key])?;
        let (Some(from_redis), Some(from_ours)) = (from_redis.body, from_ours.body) else { continue };
        // Each must understand what the other one says.
        let [redis, ours] = [(&mut both.redis, &from_ours), (&mut both.ours, &from_redis)].map(|it| {
            let (client, payload) = it;
            match ask(client, &[b"RESTORE", PROBE, b"0", payload, b"REPLACE"]) {
                Ok(reply) if reply.is_error() => Ok(reply),
                _ => ask(client, &[&b"GET"[..], PROBE]),
            }
        });
        let (redis, ours) = (redis?, ours?);
        if redis != ours {
            return differs(format!("GET of the other's DUMP {}", key.escape_ascii()), &redis, &ours);
        }
    }
    both.ask(&[b"DEL", PROBE])?;
    Ok(None)
}

fn shown_answer(answer: &Answer) -> String {
    match answer {
        Ok(frame) => shown(frame),
        Err(error) => format!("(the connection ended: {error})"),
    }
}

fn shown(frame: &Frame) -> String {
    let bytes = frame.to_bytes();
    let rest = bytes.len().saturating_sub(SHOWN_BYTES);
    let more = if rest > 0 { format!("… and {rest} bytes more") } else { String::new() };
    format!("{}{more}", bytes[..bytes.len() - rest].escape_ascii())
}
