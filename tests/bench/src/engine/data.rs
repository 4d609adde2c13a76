//! The entries of the experiments: keys as `redis-benchmark` names them, values of 100 bytes that do not compress.
//!
//! Promises: a value follows from the number of its key and a version, and says both, so whatever an engine returns is
//! checked byte for byte.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use crate::load::{KEY_BYTES, VALUE_BYTES, key};

/// Bytes that a user stores with one entry.
pub(super) const ENTRY_BYTES: u64 = (KEY_BYTES + VALUE_BYTES) as u64;
/// Where the version lies in a value.
const VERSION: std::ops::Range<usize> = KEY_BYTES..KEY_BYTES + 8;

/// A version of the value of the key with this number.
pub(super) fn value(number: u64, version: u64) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..KEY_BYTES].copy_from_slice(&key(number));
    value[VERSION].copy_from_slice(&version.to_le_bytes());
    Rng::with_seed(number ^ version.rotate_left(32)).fill(&mut value[VERSION.end..]);
    value
}

/// The version of a value of the key with this number.
///
/// # Errors
/// If it is no such value.
pub(super) fn version(number: u64, bytes: &[u8]) -> Result<u64> {
    let version = bytes.get(VERSION).and_then(|it| it.try_into().ok()).map(u64::from_le_bytes);
    let version = version.with_context(|| format!("key {number} has a value of {} bytes", bytes.len()))?;
    ensure!(bytes == value(number, version), "key {number} has a value that nobody stored");
    Ok(version)
}

/// The numbers `0..count` in random order.
pub(super) fn shuffled(count: u64, seed: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).collect();
    Rng::with_seed(seed).shuffle(&mut numbers);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_stored_passes_and_says_its_version() {
        for of in [0, 1, u64::MAX] {
            assert_eq!(version(7, &value(7, of)).unwrap(), of);
        }
        assert!(version(8, &value(7, 0)).is_err() && version(7, &value(7, 0)[..99]).is_err());
        assert!(version(7, b"").is_err());
        for byte in 0..VALUE_BYTES {
            let mut flipped = value(7, 3);
            flipped[byte] ^= 1;
            assert!(version(7, &flipped).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn shuffled_numbers_are_all_there_and_in_no_order() {
        let mut numbers = shuffled(1_000, 1);
        assert!(!numbers.is_sorted());
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1_000));
    }
}
