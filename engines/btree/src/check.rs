//! Everything that must be true of a tree, looked at page by page. Called by `verify`, and by tests behind each change.

use std::collections::BTreeSet;

use adapter_api::{EngineError, Result};
use page::{Kind, PageId, PageRef, Payload};

use crate::pin::Pin;
use crate::tree::{ROOT, Size};

/// Where pages come from: memory, or the data file.
pub(crate) trait Source {
    /// Looks at a page.
    fn with_page<R>(&self, id: PageId, look: impl FnOnce(PageRef<'_>) -> Result<R>) -> Result<R>;
}

impl Source for Pin<'_> {
    fn with_page<R>(&self, id: PageId, look: impl FnOnce(PageRef<'_>) -> Result<R>) -> Result<R> {
        let missing = || EngineError::failed(format!("page {id} is missing"));
        self.look_at(id, |page| look(page.ok_or_else(missing)?))
    }
}

/// What was found in a whole tree.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) size: Size,
    /// Every page, value pages too.
    pub(crate) ids: BTreeSet<PageId>,
}

/// Looks at every page of a tree: keys in order between the fences that the parent says, each page named once.
///
/// # Errors
/// `Failed`, naming the page, if something is not as it must be; what the source answers.
pub(crate) fn census(source: &impl Source) -> Result<Census> {
    let mut census = Census::default();
    source.with_page(ROOT, |root| match root.lower().is_empty() && root.upper().is_none() {
        true => visit(source, root, ROOT, &mut census),
        false => Err(wrong(ROOT, "the root has a fence")),
    })?;
    Ok(census)
}

fn wrong(id: PageId, what: &str) -> EngineError {
    EngineError::failed(format!("page {id}: {what}"))
}

fn visit(source: &impl Source, page: PageRef<'_>, id: PageId, census: &mut Census) -> Result<()> {
    page.check().map_err(|damage| wrong(id, damage.what))?;
    if page.id() != id || !census.ids.insert(id) {
        return Err(wrong(id, "it is another one, or is named twice"));
    }
    match page.kind() {
        Kind::Branch => (0..page.count()).try_for_each(|index| visit_child(source, page, index, census)),
        Kind::Leaf => (0..page.count()).try_for_each(|index| visit_entry(source, page, index, census)),
        Kind::Value => Err(wrong(id, "a value stands where a leaf should")),
    }
}

fn visit_child(source: &impl Source, page: PageRef<'_>, index: usize, census: &mut Census) -> Result<()> {
    let (lower, id) = (page.cell(index).key(), page.child(index));
    let upper = (index + 1 < page.count()).then(|| page.cell(index + 1).key());
    source.with_page(id, |child| {
        let is_between = child.lower() == lower && child.upper() == upper.as_deref().or(page.upper());
        match is_between && child.level() + 1 == page.level() {
            true => visit(source, child, id, census),
            false => Err(wrong(id, "its fences or its level are not those that its parent says")),
        }
    })
}

fn visit_entry(source: &impl Source, leaf: PageRef<'_>, index: usize, census: &mut Census) -> Result<()> {
    let key_bytes = leaf.prefix().len() + leaf.suffix(index).len();
    let value_bytes = match leaf.payload(index) {
        Payload::Away { id, bytes } => source.with_page(id, |page| {
            let is_right =
                page.id() == id && page.kind() == Kind::Value && page.value().len() == bytes as usize;
            match is_right && census.ids.insert(id) {
                true => Ok(bytes as usize),
                false => Err(wrong(id, "it does not hold the value it should, or is named twice")),
            }
        })?,
        Payload::Here(value) => value.len(),
        Payload::Child(_) => 0,
    };
    census.size.add_entry((key_bytes + value_bytes) as u64);
    Ok(())
}
