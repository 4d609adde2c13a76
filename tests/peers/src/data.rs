//! The data: 24-byte keys in random order, 150-byte values that do not compress, and the check of both.
//!
//! Promises: a value follows from the number of its key and a version, and says both, so whatever a store
//! returns is checked byte for byte.

use anyhow::{Result, ensure};

/// Bytes of a key.
pub const KEY_BYTES: usize = 24;
/// Bytes of a value.
pub const VALUE_BYTES: usize = 150;
/// Bytes that a user stores with one entry.
pub const ENTRY_BYTES: u64 = (KEY_BYTES + VALUE_BYTES) as u64;
/// From here on are the numbers of keys that are in no store.
pub const ABSENT: u64 = 1 << 40;

/// A key.
pub type Key = [u8; KEY_BYTES];
/// A value.
pub type Value = [u8; VALUE_BYTES];

/// Turns a number into one that looks random; different numbers into different ones.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key with this number.
pub fn key(number: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let mut word = number;
    for bytes in key.chunks_exact_mut(8) {
        word = mix(word);
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    key
}

/// A value of the key with this number.
pub fn value(number: u64, version: u64) -> Value {
    let mut value = [0; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value[8..16].copy_from_slice(&version.to_le_bytes());
    let mut word = mix(number ^ version.rotate_left(32));
    for bytes in value[16..].chunks_mut(8) {
        word = mix(word);
        bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
    }
    value
}

/// Checks that the bytes are a value of the key with this number, of whatever version.
///
/// # Errors
/// If they are not.
pub fn check(number: u64, bytes: &[u8]) -> Result<()> {
    let version = bytes.get(8..16).and_then(|it| it.try_into().ok()).map(u64::from_le_bytes);
    let is_right = version.is_some_and(|version| bytes == value(number, version));
    ensure!(is_right, "key {number} has a value that nobody stored");
    Ok(())
}

/// Checks an entry whose number is not known beforehand.
///
/// # Errors
/// If key and value do not belong together.
pub fn check_entry(stored: &[u8], bytes: &[u8]) -> Result<()> {
    let number = bytes.get(..8).and_then(|it| it.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes);
    ensure!(stored == key(number), "an entry has the value of another key");
    check(number, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_in_no_order() {
        let keys: std::collections::BTreeSet<_> =
            (0..10_000).chain(ABSENT..ABSENT + 10_000).map(key).collect();
        assert_eq!(keys.len(), 20_000);
        assert!(!keys.iter().take(100).copied().eq((0..100).map(key)));
    }

    #[test]
    fn only_what_was_stored_passes() {
        for version in [0, 1, u64::MAX] {
            check(7, &value(7, version)).unwrap();
            check_entry(&key(7), &value(7, version)).unwrap();
        }
        assert!(
            check(7, &value(8, 0)).is_err()
                && check(7, &value(7, 0)[..149]).is_err()
                && check(7, b"").is_err()
        );
        assert!(check_entry(&key(8), &value(7, 0)).is_err());
        for byte in 0..VALUE_BYTES {
            let mut flipped = value(7, 3);
            flipped[byte] ^= 1;
            assert!(check(7, &flipped).is_err(), "byte {byte}");
        }
    }
}
