//! What is whole in a damaged data file.
//!
//! ```text
//! by a map     every page that it names, held against the checksum that it says
//! by looking   every block where a page begins whose own checksum holds; whole pages are stepped over, so that what
//!              looks like a page in somebody's value is none
//! ```
//!
//! Branches are not needed: each leaf says which keys are its own. Promises: one page is in memory at a time, and of
//! each leaf its fences, of each value its number. Called by `salvage`.

use std::collections::{BTreeMap, BTreeSet};

use adapter_api::{EngineError, Result, Watch};
use page::{Beginning, Kind, PageId, PageRef, Payload, UNNAMED};
use wal::without_advice;

use crate::cover::Stretch;
use crate::data_file::DataFile;
use crate::map::{PageMap, Place};
use crate::space::{BLOCK, Extent, blocks};
use crate::superblock::SUPERBLOCKS;
use crate::tree::Size;

/// The progress is told every so many pages or blocks.
const STEP: u64 = 256;

/// A leaf that is whole.
pub(crate) struct Leaf {
    pub(crate) place: Place,
    pub(crate) keys: Stretch,
    pub(crate) version: u64,
    /// It was written before it had a number: of two leaves of a version it is the newer one.
    pub(crate) is_unnamed: bool,
    pub(crate) size: Size,
    /// Some of its values lie in pages of their own.
    pub(crate) has_values: bool,
}

/// A page that holds a value.
#[derive(Clone, Copy)]
struct ValuePage {
    /// `None` if it is damaged: an older page of its number is not what a leaf means then.
    place: Option<Place>,
    version: u64,
    owner: u32,
    bytes: u32,
}

impl ValuePage {
    fn damaged(beginning: Beginning) -> Self {
        Self { place: None, version: beginning.version, owner: 0, bytes: 0 }
    }
}

/// A page that a map names and that is damaged.
pub(crate) struct Lost {
    pub(crate) offset: u64,
    pub(crate) what: String,
}

impl Lost {
    pub(crate) fn of(error: EngineError, offset: u64) -> Self {
        let what = match error {
            EngineError::Corrupt { message, .. } => without_advice(&message).to_string(),
            error => error.to_string(),
        };
        Self { offset, what }
    }
}

/// What was found.
#[derive(Default)]
pub(crate) struct Survivors {
    pub(crate) leaves: Vec<Leaf>,
    values: BTreeMap<PageId, Vec<ValuePage>>,
    /// Those that were written before they had numbers, by what they say of their keys, and by their lengths.
    unnamed: BTreeMap<(u32, u32), Vec<ValuePage>>,
    /// Branches right above leaves, if they are known by a map.
    pub(crate) parents: Vec<(PageId, Place)>,
    pub(crate) lost: BTreeMap<PageId, Lost>,
    /// No page is newer.
    pub(crate) version: u64,
}

impl Survivors {
    /// Reads the pages that a map names.
    ///
    /// # Errors
    /// `Rejected` if the watch cancels; `Failed` if the length of the file cannot be told.
    pub(crate) fn by_map(file: &DataFile, map: &PageMap, watch: &dyn Watch) -> Result<Self> {
        let (mut found, len, total) = (Self::default(), file.len()?, map.len() as u64);
        for (done, (id, place)) in (0..).zip(map.pages()) {
            tell(watch, done, total)?;
            let offset = place.extent.offset();
            let read = match place.extent.end() * BLOCK <= len {
                true => file.read_page(id, place),
                false => Err(EngineError::failed(format!("the file ends before page {id} does"))),
            };
            match read {
                Ok(page) => found.take(id, place, page.view()),
                // A device that cannot read it has lost it too.
                Err(error) => drop(found.lost.insert(id, Lost::of(error, offset))),
            }
        }
        Ok(found)
    }

    /// Looks for pages in every block, none newer than `newest` if that is known, and none that the log will name.
    ///
    /// # Errors
    /// As `by_map`.
    pub(crate) fn by_looking(
        file: &DataFile,
        newest: Option<u64>,
        in_log: &BTreeSet<u64>,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let (mut found, end) = (Self::default(), file.len()?.div_ceil(BLOCK));
        let (mut at, mut told) = (SUPERBLOCKS.end(), 0);
        while at < end {
            if at / STEP != told {
                told = at / STEP;
                tell(watch, told * STEP, end)?;
            }
            match file.page_at(at) {
                Some((_, Some(page))) => {
                    let page = page.view();
                    let extent = Extent { start: at, blocks: blocks(page.bytes().len() as u64) };
                    let counts = newest.is_none_or(|newest| page.version() <= newest);
                    if counts && !(page.id() == UNNAMED && in_log.contains(&at)) {
                        found.take(page.id(), Place { extent, checksum: page.checksum() }, page);
                    }
                    at += extent.blocks;
                }
                Some((beginning, None)) if beginning.kind == Kind::Value => {
                    found.values.entry(beginning.id).or_default().push(ValuePage::damaged(beginning));
                    at += 1;
                }
                _ => at += 1,
            }
        }
        found.parents.clear();
        Ok(found)
    }

    fn take(&mut self, id: PageId, place: Place, page: PageRef<'_>) {
        let version = page.version();
        self.version = self.version.max(version);
        match page.kind() {
            Kind::Leaf => self.leaves.push(Leaf::of(place, page)),
            Kind::Branch if page.level() == 1 => self.parents.push((id, place)),
            Kind::Branch => {}
            Kind::Value => {
                let (owner, bytes) = (page.owner(), page.value().len() as u32);
                let value = ValuePage { place: Some(place), version, owner, bytes };
                match id == UNNAMED {
                    true => self.unnamed.entry((owner, bytes)).or_default().push(value),
                    false => self.values.entry(id).or_default().push(value),
                }
            }
        }
    }

    /// Takes the value of a key out that a leaf of a version means by a number: the newest page of it that is not newer
    /// than the leaf, if it is whole and the one that the leaf says; else one that was written before it had a number.
    /// Each is taken once.
    pub(crate) fn take_value(&mut self, id: PageId, key: &[u8], version: u64, bytes: u32) -> Option<Place> {
        let owner = page::owner_of(key);
        let newest = |pages: Option<&'_ mut Vec<ValuePage>>| {
            let pages = pages.into_iter().flatten().filter(|page| page.version <= version);
            let meant = pages.max_by_key(|page| page.version)?;
            // Before pages said whose they are, they said 0.
            meant.place.take_if(|_| meant.bytes == bytes && [0, owner].contains(&meant.owner))
        };
        newest(self.values.get_mut(&id)).or_else(|| newest(self.unnamed.get_mut(&(owner, bytes))))
    }

    /// No value page that is whole has this number, or one above.
    pub(crate) fn end(&self) -> PageId {
        let is_whole = |pages: &Vec<ValuePage>| pages.iter().any(|page| page.place.is_some());
        let last = self.values.iter().rev().find(|(_, pages)| is_whole(pages));
        last.map_or(0, |(id, _)| id.saturating_add(1))
    }
}

impl Leaf {
    fn of(place: Place, page: PageRef<'_>) -> Self {
        let (mut size, mut has_values) = (Size::default(), false);
        for cell in page.cells() {
            let value = match cell.payload {
                Payload::Away { bytes, .. } => {
                    has_values = true;
                    u64::from(bytes)
                }
                Payload::Here(value) => value.len() as u64,
                Payload::Child(_) => 0,
            };
            size.add_entry((cell.prefix.len() + cell.suffix.len()) as u64 + value);
        }
        let keys = Stretch { lower: page.lower().into(), upper: page.upper().map(Into::into) };
        let is_unnamed = page.id() == UNNAMED;
        Self { place, keys, version: page.version(), is_unnamed, size, has_values }
    }
}

/// Tells how far it is, now and then.
fn tell(watch: &dyn Watch, done: u64, total: u64) -> Result<()> {
    match done.is_multiple_of(STEP) && watch.progress(done, total).is_break() {
        true => Err(EngineError::rejected("salvage was cancelled")),
        false => Ok(()),
    }
}
