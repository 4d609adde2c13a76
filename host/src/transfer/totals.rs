//! How much a store holds, and a digest by which two stores are compared, whatever their engines.
//!
//! ```text
//! digest    SHA-256 of all entries in the order of their keys, each as it stands in a dump:
//!           key length u16 | value length u32 | key | value          little-endian
//! ```

use std::fmt;

use adapter_api::{Cursor, EngineError, Entry, Watch};
use sha2::{Digest, Sha256};

/// After how many bytes and entries whoever watches hears of progress again.
const REPORT_BYTES: u64 = 1 << 20;
const REPORT_ENTRIES: u64 = 1 << 12;

/// How many bytes of an entry stand before its key.
pub(super) const ENTRY_HEAD_BYTES: usize = 6;

/// How much a store holds. Two stores with equal totals hold the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Entries, the host's own among them.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The digest drawn above.
    pub digest: [u8; 32],
}

impl Totals {
    /// The digest in lower-case hexadecimal.
    pub fn digest_text(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries with {} bytes, digest {}", self.entries, self.bytes, self.digest_text())
    }
}

/// What stands before the key of an entry in a dump.
pub(super) fn entry_head(entry: Entry<'_>) -> [u8; ENTRY_HEAD_BYTES] {
    let mut head = [0; ENTRY_HEAD_BYTES];
    head[..2].copy_from_slice(&(entry.key.len() as u16).to_le_bytes());
    head[2..].copy_from_slice(&(entry.value.len() as u32).to_le_bytes());
    head
}

/// Adds entries up, which come in the order of their keys.
#[derive(Clone, Default)]
pub(super) struct Sum {
    entries: u64,
    bytes: u64,
    hasher: Sha256,
}

impl Sum {
    pub(super) fn add(&mut self, entry: Entry<'_>) {
        self.entries += 1;
        self.bytes += (entry.key.len() + entry.value.len()) as u64;
        self.hasher.update(entry_head(entry));
        self.hasher.update(entry.key);
        self.hasher.update(entry.value);
    }

    pub(super) fn totals(&self) -> Totals {
        let digest = self.hasher.clone().finalize().into();
        Totals { entries: self.entries, bytes: self.bytes, digest }
    }
}

/// What a set of entries is compared by that does not come in the order of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint {
    entries: u64,
    bytes: u64,
    /// The first 16 bytes of each entry's SHA-256, added up.
    sum: u128,
}

impl Fingerprint {
    /// Adds an entry.
    pub fn add(&mut self, entry: Entry<'_>) {
        let mut one = Sum::default();
        one.add(entry);
        let Totals { bytes, digest, .. } = one.totals();
        let first = digest.iter().take(16).fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
        self.entries += 1;
        self.bytes += bytes;
        self.sum = self.sum.wrapping_add(first);
    }

    /// How many bytes the keys and values have together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Passes entries on, adds them up, reports progress in bytes and ends early when whoever watches says so.
pub struct Observed<'a> {
    entries: &'a mut dyn Cursor,
    watch: &'a dyn Watch,
    bytes_about: u64,
    sum: Sum,
    next_report: (u64, u64),
}

impl<'a> Observed<'a> {
    /// The same entries, of about `bytes_about` bytes together.
    pub fn new(entries: &'a mut dyn Cursor, bytes_about: u64, watch: &'a dyn Watch) -> Self {
        Self { entries, watch, bytes_about, sum: Sum::default(), next_report: (0, 0) }
    }

    /// What has come by so far.
    pub fn totals(&self) -> Totals {
        self.sum.totals()
    }

    fn report(&mut self) -> Result<(), EngineError> {
        let (bytes, entries) = (self.sum.bytes, self.sum.entries);
        if bytes < self.next_report.0 && entries < self.next_report.1 {
            return Ok(());
        }
        self.next_report = (bytes + REPORT_BYTES, entries + REPORT_ENTRIES);
        match self.watch.progress(bytes, self.bytes_about.max(bytes)).is_break() {
            true => Err(EngineError::rejected("interrupted")),
            false => Ok(()),
        }
    }
}

impl Cursor for Observed<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        self.report()?;
        let entry = self.entries.next()?;
        if let Some(entry) = entry {
            self.sum.add(entry);
        }
        Ok(entry)
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::unsupported("seek in entries that are added up"))
    }
}

/// The totals of all entries, of about `bytes_about` bytes together.
///
/// # Errors
/// What the entries' source says; `Rejected` if whoever watches ended it.
pub fn totals_of(
    entries: &mut dyn Cursor,
    bytes_about: u64,
    watch: &dyn Watch,
) -> Result<Totals, EngineError> {
    let mut observed = Observed::new(entries, bytes_about, watch);
    while observed.next()?.is_some() {}
    Ok(observed.totals())
}
