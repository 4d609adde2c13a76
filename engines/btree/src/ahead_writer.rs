//! Writes pages into free blocks, ahead of the record of the log that says that they count, and of the checkpoint that
//! will name them.
//!
//! ```text
//! pages ─▶ run of 1 MiB ─▶ free blocks ─▶ sync ─▶ record of the log ─▶ published
//!                          └── given back, if it does not come so far ──┘
//! ```
//!
//! Promises: nothing that counts is written over; what is not logged is free again; memory is that of a run, of the
//! longest value and of the record. Called by `leaf_writer` and the store.

use std::io::IoSlice;

use adapter_api::environment::Cause;
use adapter_api::{BatchBuilder, Result};
use page::{Page, UNNAMED};

use crate::data_file::{DataFile, Since};
use crate::map::Place;
use crate::page_writer::failure;
use crate::places::Places;
use crate::record::{AheadLeaf, RecordBuilder};
use crate::space::{Extent, blocks};
use crate::tree::Size;

/// How many bytes are gathered before they are written.
const RUN_BYTES: usize = 1 << 20;

/// What a page does not say itself of what it holds.
enum Kind {
    Leaf(Size),
    Value { key: Vec<u8> },
}

/// A page of the run.
struct InRun {
    page: Page,
    checksum: u32,
    kind: Kind,
}

/// Pages on their way into the file, and the record that will name them.
pub(crate) struct AheadWriter<'a> {
    places: &'a Places,
    file: DataFile,
    since: Since,
    version: u64,
    cause: Cause,
    record: RecordBuilder,
    run: Vec<InRun>,
    run_bytes: usize,
    /// What was written into, and is free again if nobody keeps it.
    taken: Vec<Extent>,
}

impl<'a> AheadWriter<'a> {
    /// Begins, beside a durable checkpoint of a version.
    pub(crate) fn new(places: &'a Places, file: DataFile, version: u64, cause: Cause) -> Self {
        let record = RecordBuilder::new(version);
        let (since, run, taken) = (file.begin(), Vec::new(), Vec::new());
        Self { places, file, since, version, cause, record, run, run_bytes: 0, taken }
    }

    /// Adds a leaf without a number.
    pub(crate) fn leaf(&mut self, leaf: Page, size: Size) -> Result<()> {
        self.add(leaf, Kind::Leaf(size))
    }

    /// Adds a value, for a page of its own.
    pub(crate) fn value(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.add(Page::of_value(UNNAMED, key, value), Kind::Value { key: key.to_vec() })
    }

    /// Adds mutations that are in the record itself, in front of the pages of the run.
    pub(crate) fn batch(&mut self, batch: &BatchBuilder) {
        if !batch.is_empty() {
            self.record.batch(batch);
        }
    }

    fn add(&mut self, mut page: Page, kind: Kind) -> Result<()> {
        page.set_version(self.version);
        let checksum = page.seal();
        self.run_bytes += page.view().bytes().len();
        self.run.push(InRun { page, checksum, kind });
        if self.run_bytes >= RUN_BYTES { self.write_run() } else { Ok(()) }
    }

    /// Writes what was gathered, and puts it into the record.
    pub(crate) fn write_run(&mut self) -> Result<()> {
        if self.run.is_empty() {
            return Ok(());
        }
        let extent = self.places.space().take(blocks(self.run_bytes as u64));
        self.taken.push(extent);
        let bytes: Vec<_> = self.run.iter().map(|it| IoSlice::new(it.page.view().bytes())).collect();
        self.file.write(&bytes, extent.offset(), self.cause).map_err(failure)?;
        self.run_bytes = 0;
        let mut start = extent.start;
        for InRun { page, checksum, kind } in self.run.drain(..) {
            let page = page.view();
            let extent = Extent { start, blocks: blocks(page.bytes().len() as u64) };
            let place = Place { extent, checksum };
            start = extent.end();
            match kind {
                Kind::Leaf(size) => {
                    let (lower, upper) = (page.lower(), page.upper());
                    self.record.leaf(AheadLeaf { place, size, lower, upper })?;
                }
                Kind::Value { key } => self.record.value(&key, page.value().len() as u32, place)?,
            }
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.write_run()?;
        // What has no page needs none.
        if self.taken.is_empty() { Ok(()) } else { self.file.sync(self.since).map_err(failure) }
    }

    /// The record that names what was written.
    pub(crate) fn take_record(&mut self) -> Vec<u8> {
        self.record.take()
    }

    /// How much was written.
    pub(crate) fn bytes(&self) -> u64 {
        self.taken.iter().map(Extent::bytes).sum()
    }

    /// The log may name what was written: it is not free again.
    pub(crate) fn keep(&mut self) {
        self.taken.clear();
    }
}

impl Drop for AheadWriter<'_> {
    fn drop(&mut self) {
        self.places.give_back(self.taken.drain(..));
    }
}
