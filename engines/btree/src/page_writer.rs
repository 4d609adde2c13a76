//! Writes the pages of a view into free blocks, one bounded step at a time: for checkpoints and for backups.
//!
//! Promises: nothing that counts is written over; a step writes at most 256 KiB, and takes memory for that and for one
//! page. Called by the checkpointer and by `backup`.

use std::io::IoSlice;
use std::sync::Mutex;
use std::vec;

use adapter_api::environment::{Cause, is_full};
use adapter_api::{EngineError, Result};
use page::{Kind, PageId, PageRef};
use wal::lock;

use crate::data_file::{DataFile, Since};
use crate::map::{Changes, MapRef, Place};
use crate::space::{BLOCK, Extent, Space, blocks};
use crate::tree::View;

/// How many bytes one step writes at most: more would stand before a write of the log for long.
const STEP_BYTES: usize = 256 << 10;

/// Neighbouring blocks on their way to the file.
#[derive(Default)]
struct Run {
    start: u64,
    bytes: Vec<u8>,
    written: usize,
    cause: Option<Cause>,
}

impl Run {
    fn end(&self) -> u64 {
        self.start + blocks(self.bytes.len() as u64)
    }

    fn is_drained(&self) -> bool {
        self.written == self.bytes.len()
    }
}

/// Writes pages, and then maps of them.
pub(crate) struct PageWriter {
    file: DataFile,
    since: Since,
    ids: vec::IntoIter<PageId>,
    total: usize,
    run: Run,
    /// What does not go where the run ends.
    next: Option<Run>,
    /// Set for copies; else the cause depends on the page.
    cause: Option<Cause>,
    /// What was written, and what is gone.
    pub(crate) changes: Changes,
    /// Every extent that was taken.
    pub(crate) taken: Vec<Extent>,
    pub(crate) bytes_written: u64,
}

impl PageWriter {
    /// Begins with the pages of these numbers.
    pub(crate) fn new(file: DataFile, ids: Vec<PageId>, cause: Option<Cause>) -> Self {
        let (total, changes, taken) = (ids.len(), Vec::new(), Vec::new());
        let (since, run, next, bytes_written) = (file.begin(), Run::default(), None, 0);
        Self { file, since, ids: ids.into_iter(), total, run, next, cause, changes, taken, bytes_written }
    }

    /// How many pages were written, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        ((self.total - self.ids.len()) as u64, self.total as u64)
    }

    /// Writes a bounded part; answers whether every page is written.
    pub(crate) fn step(&mut self, view: &View, space: &Mutex<Space>) -> Result<bool> {
        if self.run.is_drained() {
            self.run = self.next.take().unwrap_or_default();
            while self.next.is_none() && self.run.bytes.len() < STEP_BYTES {
                let Some(id) = self.ids.next() else { break };
                self.add_page(view, id, space)?;
            }
        }
        self.write()?;
        Ok(self.run.is_drained() && self.next.is_none() && self.ids.len() == 0)
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync(self.since).map_err(failure)
    }

    /// Adds a map to what is written; `step` is called until it is.
    pub(crate) fn add_map(&mut self, bytes: Vec<u8>, space: &Mutex<Space>) -> MapRef {
        let checksum = crc32fast::hash(&bytes);
        let extent = lock(space).take(blocks(bytes.len() as u64));
        self.taken.push(extent);
        let map = MapRef { start: extent.start, bytes: bytes.len() as u64, checksum };
        self.next = Some(Run { start: extent.start, bytes, written: 0, cause: Some(Cause::Metadata) });
        map
    }

    /// Adds a page as the view has it, or notes that it is gone.
    fn add_page(&mut self, view: &View, id: PageId, space: &Mutex<Space>) -> Result<()> {
        view.pin()?.look_at(id, |page| {
            match page {
                Some(page) => self.add(page, space),
                None => self.changes.push((id, None)),
            }
            Ok(())
        })
    }

    fn add(&mut self, page: PageRef<'_>, space: &Mutex<Space>) {
        let extent = lock(space).take(blocks(page.bytes().len() as u64));
        self.taken.push(extent);
        let by_kind = if page.kind() == Kind::Value { Cause::Blob } else { Cause::Checkpoint };
        let cause = self.cause.unwrap_or(by_kind);
        let fits = self.run.bytes.is_empty()
            || self.run.written == 0 && self.run.end() == extent.start && self.run.cause == Some(cause);
        let run = match fits {
            true => &mut self.run,
            false => self.next.insert(Run::default()),
        };
        if run.bytes.is_empty() {
            *run = Run { start: extent.start, bytes: Vec::new(), written: 0, cause: Some(cause) };
        }
        let at = run.bytes.len();
        run.bytes.extend_from_slice(page.bytes());
        let checksum = page::seal(&mut run.bytes[at..]);
        self.changes.push((page.id(), Some(Place { extent, checksum })));
    }

    fn write(&mut self) -> Result<()> {
        let Run { start, bytes, written, cause } = &mut self.run;
        let end = bytes.len().min(*written + STEP_BYTES);
        let part = &bytes[*written..end];
        if part.is_empty() {
            return Ok(());
        }
        let (at, cause) = (*start * BLOCK + *written as u64, cause.unwrap_or(Cause::Checkpoint));
        self.file.write(&[IoSlice::new(part)], at, cause).map_err(failure)?;
        self.bytes_written += part.len() as u64;
        *written = end;
        Ok(())
    }
}

/// What a write that failed means to whoever asked for a checkpoint or a copy.
pub(crate) fn failure(error: std::io::Error) -> EngineError {
    match is_full(&error) {
        true => EngineError::full(format!(
            "the disk has no room for the pages of one more checkpoint ({error}); free some space"
        )),
        false => EngineError::failed_by("could not write a checkpoint", error),
    }
}
