//! The smallest and the largest keys and values, and every byte.

use adapter_api::{Capabilities, KEY_BYTES_MAX};

use crate::badge::Badge::Semantics;
use crate::case::Case;
use crate::model::Edit;
use crate::outcome::Verdict;
use crate::trial::Trial;

pub const CASES: &[Case] = &[
    Case::new(Semantics, "keys_of_1_to_65535_bytes_are_kept", keys_of_every_length),
    Case::new(Semantics, "keys_and_values_of_any_bytes_are_kept", keys_and_values_of_any_bytes),
    Case::new(Semantics, "values_of_0_bytes_to_64_mib_are_kept", values_of_every_length),
];

fn keys_of_every_length(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let lengths =
        [1, 2, 63, 64, 127, 128, 255, 256, 257, 4_095, 4_096, 32_768, KEY_BYTES_MAX - 1, KEY_BYTES_MAX];
    for len in lengths {
        // Two that differ in their last byte alone.
        let (mut one, mut other) = (vec![b'k'; len], vec![b'k'; len]);
        (one[len - 1], other[len - 1]) = (1, 2);
        store.apply(&[Edit::put(&one, "one"), Edit::put(&other, "other")])?;
        store.apply(&[Edit::delete(&one), Edit::put(&one, len.to_string())])?;
    }
    store.expect_keys()?;
    if trial.can(Capabilities::DURABLE) {
        trial.reopen(store)?.expect_keys()?;
    }
    Ok(format!("{} lengths", lengths.len()))
}

fn keys_and_values_of_any_bytes(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let mut edits = Vec::new();
    for byte in 0..=255_u8 {
        edits.push(Edit::put([byte], [255 - byte]));
        edits.push(Edit::put([byte, 0, byte], [byte; 3]));
        edits.push(Edit::put([b'k', byte, 0xff, b'\n', b'"', b'\\'], [0, byte, 0]));
    }
    // No text: cut off, too long, a lone surrogate.
    edits.extend([&b"\xc3"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88"].map(|key| Edit::put(key, key)));
    store.apply(&edits)?;
    store.expect_keys()?;
    Ok(format!("{} keys", store.model.0.len()))
}

fn values_of_every_length(trial: &Trial) -> Verdict {
    let mut store = trial.open()?;
    let largest = trial.about().batch_bytes_max.saturating_sub(64).min(64 << 20) as usize;
    let lengths = [0, 1, 511, 512, 513, 4_096, 65_535, 65_536, 1 << 20, (16 << 20) + 1, largest];
    for len in lengths.into_iter().filter(|len| *len <= largest) {
        // Bytes that do not repeat at any power of two.
        let value: Vec<_> = (0..len).map(|at| (at % 251) as u8).collect();
        store.put("large", &value)?;
        store.expect_key(b"large")?;
    }
    store.put("small", "1")?;
    store.expect_keys()?;
    Ok(format!("up to {largest} bytes"))
}
