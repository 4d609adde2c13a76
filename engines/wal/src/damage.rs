//! How engines on the log tell of damage.
//!
//! Promises: the same words everywhere; a key takes so much of a line and no more. Called by the engines.

/// So many bytes of a key are told.
const KEY_BYTES_TOLD: usize = 200;

/// What to do about damage, at the end of a message.
pub const ADVICE: &str = "restore a backup, or take out what is left with `enginebay salvage`";

/// What is wrong, without what to do about it: for whoever does so already.
pub fn without_advice(what: &str) -> &str {
    what.trim_end_matches(ADVICE).trim_end_matches([';', ':', ' '])
}

/// A key as an operator reads it.
pub fn quoted(key: &[u8]) -> String {
    let told = &key[..key.len().min(KEY_BYTES_TOLD)];
    format!("\"{}\"{}", told.escape_ascii(), if told.len() < key.len() { "…" } else { "" })
}
