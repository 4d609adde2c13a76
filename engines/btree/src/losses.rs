//! What a damaged data file has lost, told once for each damage: where it is, and whose keys or value it held.
//!
//! Promises: every page that is lost and every key that no page accounts for is told. Called by `rebuild`.

use std::collections::BTreeMap;

use adapter_api::{EngineError, Result, Watch};
use page::PageId;
use wal::quoted;

use crate::cover::{Cover, Stretch};
use crate::data_file::{DATA, DataFile};
use crate::map::Place;
use crate::record::Item;
use crate::survivors::Lost;

/// What is lost and not told yet.
pub(crate) struct Losses<'a> {
    lost: BTreeMap<PageId, Lost>,
    /// Where the first of them is.
    first: u64,
    watch: &'a dyn Watch,
}

impl<'a> Losses<'a> {
    pub(crate) fn new(lost: BTreeMap<PageId, Lost>, watch: &'a dyn Watch) -> Self {
        let first = lost.values().map(|lost| lost.offset).min().unwrap_or(0);
        Self { lost, first, watch }
    }

    /// The page is lost, or unknown, that held the value of a key of a leaf.
    pub(crate) fn tell_value(&mut self, id: PageId, key: &[u8], leaf: Place) {
        let key = quoted(key);
        match self.lost.remove(&id) {
            Some(Lost { offset, what }) => self.tell(offset, format!("{what}; it held the value of {key}")),
            None => {
                self.tell(leaf.extent.offset(), format!("no page that is whole holds the value of {key}"))
            }
        }
    }

    /// The newest page of these keys is lost, and an older leaf stands for it.
    pub(crate) fn tell_older(&self, keys: &Stretch, leaf: Place) {
        let keys = named(keys);
        self.tell(leaf.extent.offset(), format!("a newer page is lost: {keys} are as they were in this one"));
    }

    /// Tells the rest: leaves whose keys a branch right above still says, other pages, and keys that nothing accounts for.
    pub(crate) fn tell_rest(
        mut self,
        file: &DataFile,
        parents: &[(PageId, Place)],
        missing: &[Stretch],
    ) -> Result<()> {
        let (parents, mut told) = (if self.lost.is_empty() { &[] } else { parents }, Cover::default());
        for (id, place) in parents {
            let page = file.read_page(*id, *place)?;
            let branch = page.view();
            for index in 0..branch.count() {
                let Some(Lost { offset, what }) = self.lost.remove(&branch.child(index)) else { continue };
                let next = (index + 1 < branch.count()).then(|| branch.cell(index + 1).key());
                let upper = next.as_deref().or(branch.upper()).map(Into::into);
                let keys = Stretch { lower: branch.cell(index).key().into(), upper };
                self.tell(offset, format!("{what}; it held {}", named(&keys)));
                told.add(&keys);
            }
        }
        for (_, Lost { offset, what }) in std::mem::take(&mut self.lost) {
            self.tell(offset, what);
        }
        for keys in missing.iter().flat_map(|missing| told.missing(missing)) {
            self.tell(self.first, format!("no page that is whole holds {}", named(&keys)));
        }
        Ok(())
    }

    fn tell(&self, offset: u64, what: String) {
        self.watch.finding(EngineError::corrupt(DATA, offset, what));
    }
}

/// A page that a record of the log names is lost.
pub(crate) fn tell_item(item: &Item<'_>, error: EngineError, watch: &dyn Watch) {
    let held = match item {
        Item::Leaf(leaf) => named(&Stretch { lower: leaf.lower.into(), upper: leaf.upper.map(Into::into) }),
        Item::Value { key, .. } => format!("the value of {}", quoted(key)),
        Item::Batch(_) => "what the log has itself".to_string(),
    };
    let offset = item.place().map_or(0, |place| place.extent.offset());
    let Lost { offset, what } = Lost::of(error, offset);
    watch.finding(EngineError::corrupt(DATA, offset, format!("{what}; it held {held}")));
}

/// Keys as an operator reads them.
fn named(keys: &Stretch) -> String {
    match (&*keys.lower, keys.upper.as_deref()) {
        ([], None) => "all keys".to_string(),
        ([], Some(upper)) => format!("the keys below {}", quoted(upper)),
        (lower, None) => format!("the keys from {} on", quoted(lower)),
        (lower, Some(upper)) => format!("the keys from {} to below {}", quoted(lower), quoted(upper)),
    }
}
