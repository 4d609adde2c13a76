//! A tree of what is whole in a damaged data file.
//!
//! ```text
//! leaves, newest first   |–– v9 ––|      |–––– v9 ––––|          stay where they are, under new numbers
//!                              |––––– v4 –––––|                  only the part that nothing newer accounts for
//! the row                | v9     | v4   | v9         | empty |  every key has its leaf
//! branches               built anew above it
//! ```
//!
//! Promises: what is read from the tree was in pages that are whole, and each key is as the newest of them has it. Nothing
//! is written. In memory stay the branches, which are an index of the leaves, and leaves that had to be changed, which
//! are those that damage touched. Called by `salvage`.

use std::cmp::Reverse;
use std::sync::Arc;

use adapter_api::{Result, Watch};
use page::{Cell, HEADER_BYTES, Head, Page, PageId, Payload};

use crate::cover::{Cover, Stretch};
use crate::data_file::DataFile;
use crate::ids::{Ids, next_id};
use crate::losses::Losses;
use crate::map::{PageMap, Place};
use crate::places::Places;
use crate::recovery::TreeOptions;
use crate::space::Space;
use crate::survivors::{Leaf, Survivors};
use crate::tree::{ROOT, Size, Tree};

/// Puts leaves together, and tells what is missing.
pub(crate) fn rebuild(
    file: &DataFile,
    mut found: Survivors,
    options: TreeOptions,
    watch: &dyn Watch,
) -> Result<Tree> {
    let mut losses = Losses::new(std::mem::take(&mut found.lost), watch);
    let leaves = std::mem::take(&mut found.leaves);
    let (pieces, missing) = newest_of_each_key(leaves);
    let is_alone = pieces.len() + missing.len() == 1;
    let mut row = Row { next: found.end().max(ROOT + 1), ..Row::new(is_alone, options.page_bytes) };
    // The oldest first: what a number means to an older leaf is the older of two pages.
    for piece in pieces.iter().rev() {
        row.add_piece(file, piece, &mut found, &mut losses)?;
    }
    missing.iter().try_for_each(|keys| row.add_empty(keys))?;
    row.add_branches()?;
    losses.tell_rest(file, &found.parents, &missing)?;
    Ok(row.into_tree(file, found.version, options))
}

/// A leaf, and the keys of it that no newer one accounts for.
struct Piece {
    leaf: Arc<Leaf>,
    keys: Stretch,
}

/// The newest leaves of all keys, newest first, and the keys that have none.
fn newest_of_each_key(mut leaves: Vec<Leaf>) -> (Vec<Piece>, Vec<Stretch>) {
    leaves.sort_by_key(|leaf| Reverse((leaf.version, leaf.is_unnamed)));
    let (mut cover, mut pieces) = (Cover::default(), Vec::new());
    for leaf in leaves {
        let new = cover.add(&leaf.keys);
        let leaf = Arc::new(leaf);
        pieces.extend(new.into_iter().map(|keys| Piece { leaf: Arc::clone(&leaf), keys }));
    }
    (pieces, cover.missing(&Stretch::all()))
}

/// Pages of one level side by side, and all those below.
struct Row {
    /// The lower fences of the level that is being built, and whose they are.
    pages: Vec<(Box<[u8]>, PageId)>,
    /// Pages that stay in the file.
    map: PageMap,
    /// Pages that do not.
    built: Vec<Page>,
    size: Size,
    /// A number from which on none is taken.
    next: PageId,
    /// There is one leaf: it is the root.
    is_alone: bool,
    page_bytes: usize,
}

impl Row {
    fn new(is_alone: bool, page_bytes: usize) -> Self {
        let (pages, built, map, size) = (Vec::new(), Vec::new(), PageMap::default(), Size::default());
        Self { pages, map, built, size, next: 0, is_alone, page_bytes }
    }

    fn take_id(&mut self) -> Result<PageId> {
        next_id(&mut self.next)
    }

    /// A number for the next leaf, which begins at a fence.
    fn take_leaf_id(&mut self, lower: &[u8]) -> Result<PageId> {
        let id = if self.is_alone { ROOT } else { self.take_id()? };
        self.pages.push((lower.into(), id));
        Ok(id)
    }

    /// Adds a leaf that no page is left of.
    fn add_empty(&mut self, keys: &Stretch) -> Result<()> {
        let id = self.take_leaf_id(&keys.lower)?;
        self.built.push(Page::build(head_of(id, keys), std::iter::empty(), self.page_bytes));
        Ok(())
    }

    /// Adds a part of a leaf, or all of it, with its values.
    fn add_piece(
        &mut self,
        file: &DataFile,
        piece: &Piece,
        found: &mut Survivors,
        losses: &mut Losses<'_>,
    ) -> Result<()> {
        let Piece { leaf, keys } = piece;
        let id = self.take_leaf_id(&keys.lower)?;
        let is_cut = *keys != leaf.keys;
        if !is_cut && !leaf.has_values {
            self.map.set(id, Some(leaf.place));
            self.size += leaf.size;
            return Ok(());
        }
        let page = file.read_page(id, leaf.place)?;
        let cells = page.view().cells().filter(|cell| !is_cut || keys.contains(&cell.key()));
        let (mut kept, mut is_changed) = (Vec::new(), is_cut);
        for cell in cells {
            let value = match cell.payload {
                Payload::Away { id, bytes } => match found.take_value(id, &cell.key(), leaf.version, bytes) {
                    Some(place) => Payload::Away { id: self.add_value(id, place)?, bytes },
                    None => {
                        losses.tell_value(id, &cell.key(), leaf.place);
                        is_changed = true;
                        continue;
                    }
                },
                value => value,
            };
            is_changed |= value != cell.payload;
            kept.push(Cell { payload: value, ..cell });
            self.size.add_entry((cell.prefix.len() + cell.suffix.len() + bytes_of(value)) as u64);
        }
        if is_cut && !kept.is_empty() {
            losses.tell_older(keys, leaf.place);
        }
        match is_changed {
            true => self.built.push(Page::build(head_of(id, keys), kept.iter().copied(), self.page_bytes)),
            false => drop(self.map.set(id, Some(leaf.place))),
        }
        Ok(())
    }

    /// Adds the page of a value, under its number unless another has that; answers which it has.
    fn add_value(&mut self, id: PageId, place: Place) -> Result<PageId> {
        let is_free = id != ROOT && self.map.place(id).is_none();
        let id = if is_free { id } else { self.take_id()? };
        self.map.set(id, Some(place));
        Ok(id)
    }

    /// Builds branches over the leaves, up to the root.
    fn add_branches(&mut self) -> Result<()> {
        self.pages.sort_unstable();
        let mut level = 1;
        while self.pages.len() > 1 {
            let below = std::mem::take(&mut self.pages);
            let mut rest = &below[..];
            while !rest.is_empty() {
                let (these, behind) = rest.split_at(self.fitting(rest));
                let id = if these.len() == below.len() { ROOT } else { self.take_id()? };
                let lower = &these[0].0;
                let head = Head { id, level, lower, upper: behind.first().map(|(lower, _)| &**lower) };
                let cells = these.iter().map(|(lower, id)| Cell::new(lower, Payload::Child(*id)));
                self.built.push(Page::build(head, cells, self.page_bytes));
                self.pages.push((lower.clone(), id));
                rest = behind;
            }
            level += 1;
        }
        Ok(())
    }

    /// How many pages fit below one branch: two at least, so that the levels come to an end.
    fn fitting(&self, pages: &[(Box<[u8]>, PageId)]) -> usize {
        let mut bytes = HEADER_BYTES + pages.first().map_or(0, |(lower, _)| lower.len());
        let fit = pages.iter().enumerate().take_while(|(at, (lower, id))| {
            bytes += Cell::new(lower, Payload::Child(*id)).bytes(0);
            bytes + pages.get(at + 1).map_or(0, |(upper, _)| upper.len()) <= self.page_bytes
        });
        fit.count().max(pages.len().min(2))
    }

    fn into_tree(self, file: &DataFile, version: u64, options: TreeOptions) -> Tree {
        let Self { map, built, size, .. } = self;
        let ids = map.pages().map(|(id, _)| id).chain(built.iter().map(|page| page.view().id()));
        let ids = Ids::besides(ids.collect());
        // Nobody will write, so nobody asks what is free but the log: whether two of its records name the same blocks.
        let places = Arc::new(Places::new(file.clone(), map, Space::default()));
        let tree = Tree::new(version, places, size, options.page_bytes, options.bounds);
        tree.frames.publish(built.into_iter().map(|page| (page.view().id(), Some(page))));
        *tree.take_turn() = ids;
        tree
    }
}

fn head_of(id: PageId, keys: &Stretch) -> Head<'_> {
    Head { id, level: 0, lower: &keys.lower, upper: keys.upper.as_deref() }
}

fn bytes_of(value: Payload<'_>) -> usize {
    match value {
        Payload::Here(value) => value.len(),
        Payload::Away { bytes, .. } => bytes as usize,
        Payload::Child(_) => 0,
    }
}
