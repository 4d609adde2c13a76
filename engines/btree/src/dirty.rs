//! Which pages are as the durable checkpoint has them, and how many bytes are not.
//!
//! A checkpoint is of a version and has every page as it was then. So a newest page of that version or an older one
//! is in the file, and any other is not: nothing is noted page by page.
//!
//! Promises: `bytes` is exact. Called by `frames` and `evict`, with the lock of the reclaimer.

/// The bytes of newest pages that no durable checkpoint has.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// The version that is in the file.
    durable: u64,
    /// The version that the checkpoint is of that was begun last.
    begun: u64,
    /// Bytes of pages up to `begun`, and of later ones.
    before: u64,
    since: u64,
}

impl Dirty {
    /// Nothing is; the file has this version.
    pub(crate) fn none(durable: u64) -> Self {
        Self { durable, begun: durable, before: 0, since: 0 }
    }

    /// Whether a page of this version is in the file.
    pub(crate) fn is_clean(&self, version: u64) -> bool {
        version <= self.durable
    }

    /// A newest page of so many bytes was published.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.since += bytes;
    }

    /// A page of a version is the newest no more.
    pub(crate) fn remove(&mut self, version: u64, bytes: u64) {
        match version {
            _ if self.is_clean(version) => {}
            _ if version <= self.begun => self.before -= bytes,
            _ => self.since -= bytes,
        }
    }

    /// A checkpoint of a version is begun; one that was begun before, and did not become durable, was given up.
    pub(crate) fn begin(&mut self, version: u64) {
        self.before += std::mem::take(&mut self.since);
        self.begun = version;
    }

    /// The checkpoint that was begun last is durable.
    pub(crate) fn end(&mut self) {
        self.durable = self.begun;
        self.before = 0;
    }

    /// How many bytes are dirty.
    pub(crate) fn bytes(&self) -> u64 {
        self.before + self.since
    }
}
