//! What connections send, and what must come back.
//!
//! Promises: the value of a key follows from the key, so every GET is checked byte for byte; keys have the
//! form that `redis-benchmark` uses, so both drivers work on the same data.

use anyhow::{Result, bail};
use fastrand::Rng;

use crate::resp::{Reply, encode, shown};

/// Bytes of a key.
pub const KEY_BYTES: usize = 16;
/// Bytes of a value.
pub const VALUE_BYTES: usize = 100;
/// What stands behind the key in every value: bytes that do not compress well.
const FILLER: &[u8; VALUE_BYTES - KEY_BYTES] =
    b"qZ8vR1nY5kTfW0cJ7xLbA3mEoHs9UdGpI6rBtNw2yKaVjPz4MlCxQeSuFhOgDi8Xk5TnR7bW1vYf0LcZ3aJm";

/// What must come back for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// `+OK`
    Ok,
    /// The value of the key with this number.
    Value(u64),
}

/// Makes the requests of one connection, one after the other.
pub trait Requests {
    /// Appends a request and says what must come back.
    fn next(&mut self, out: &mut Vec<u8>) -> Expected;
}

/// The key with this number, as `redis-benchmark -r` names it.
pub fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// The value of the key with this number.
pub fn value(number: u64) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..KEY_BYTES].copy_from_slice(&key(number));
    value[KEY_BYTES..].copy_from_slice(FILLER);
    value
}

/// Appends the SET of a key to its value.
pub fn set(number: u64, out: &mut Vec<u8>) -> Expected {
    encode(&[b"SET", &key(number), &value(number)], out);
    Expected::Ok
}

/// Appends the GET of a key.
pub fn get(number: u64, out: &mut Vec<u8>) -> Expected {
    encode(&[b"GET", &key(number)], out);
    Expected::Value(number)
}

/// Checks a reply.
///
/// # Errors
/// If anything but what was expected came back.
pub fn check(expected: Expected, reply: Reply<'_>) -> Result<()> {
    let is_right = match (expected, reply) {
        (Expected::Ok, Reply::Simple(b"OK")) => true,
        (Expected::Value(number), Reply::Bulk(bytes)) => bytes == value(number),
        _ => false,
    };
    if is_right {
        return Ok(());
    }
    match reply {
        Reply::Error(message) => bail!("the server answered an error: {}", shown(message)),
        Reply::Bulk(bytes) => bail!("{expected:?} was expected, the server answered {}", shown(bytes)),
        other => bail!("{expected:?} was expected, the server answered {other:?}"),
    }
}

/// SETs, GETs or both in turns, of random keys.
pub struct RandomKeys {
    keys: u64,
    random: Rng,
    kind: Kind,
    sent: u64,
}

/// What [`RandomKeys`] sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SETs alone.
    Set,
    /// GETs alone.
    Get,
    /// A SET, a GET, a SET, …
    Alternating,
}

impl RandomKeys {
    /// Requests on the keys `0..keys`, which are there; the same seed makes the same requests.
    pub fn new(kind: Kind, keys: u64, seed: u64) -> Self {
        Self { keys, random: Rng::with_seed(seed), kind, sent: 0 }
    }
}

impl Requests for RandomKeys {
    fn next(&mut self, out: &mut Vec<u8>) -> Expected {
        let number = self.random.u64(..self.keys);
        self.sent += 1;
        match self.kind {
            Kind::Set => set(number, out),
            Kind::Get => get(number, out),
            Kind::Alternating if self.sent % 2 == 1 => set(number, out),
            Kind::Alternating => get(number, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_redis_benchmark() {
        assert_eq!(&key(0), b"key:000000000000");
        assert_eq!(&key(987_654), b"key:000000987654");
    }

    #[test]
    fn only_the_value_of_the_key_passes() {
        assert!(check(Expected::Value(7), Reply::Bulk(&value(7))).is_ok());
        assert!(check(Expected::Ok, Reply::Simple(b"OK")).is_ok());
        let mut torn = value(7);
        torn[99] ^= 1;
        let wrong = [
            (Expected::Value(7), Reply::Bulk(&value(8)[..])),
            (Expected::Value(7), Reply::Bulk(&torn)),
            (Expected::Value(7), Reply::Bulk(&torn[..50])),
            (Expected::Value(7), Reply::Null),
            (Expected::Ok, Reply::Error(b"ERR no")),
            (Expected::Ok, Reply::Integer(1)),
            (Expected::Ok, Reply::Simple(b"QUEUED")),
        ];
        for (expected, reply) in wrong {
            assert!(check(expected, reply).is_err(), "{expected:?} {reply:?}");
        }
    }

    #[test]
    fn alternating_requests_are_half_of_each_kind() {
        let mut requests = RandomKeys::new(Kind::Alternating, 10, 1);
        let kinds: Vec<_> = (0..6).map(|_| requests.next(&mut Vec::new()) == Expected::Ok).collect();
        assert_eq!(kinds, [true, false, true, false, true, false]);
    }
}
