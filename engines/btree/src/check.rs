//! Everything that must be true of a tree, looked at page by page. Called by tests, and by `verify`.

use std::collections::BTreeSet;

use adapter_api::{EngineError, Result};
use page::{PageId, PageRef, Payload};

use crate::frames::Pin;
use crate::tree::{ROOT, Size};

/// What was found in a whole tree.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) size: Size,
    /// Every page, value pages too.
    pub(crate) ids: BTreeSet<PageId>,
    pub(crate) branches: u64,
    pub(crate) leaves: u64,
    pub(crate) values: u64,
    /// Bytes that branches and leaves use, and have.
    pub(crate) used_bytes: u64,
    pub(crate) page_bytes: u64,
}

/// Looks at every page of a tree.
///
/// # Errors
/// `Failed`, naming the page, if something is not as it must be.
pub(crate) fn census(pin: &Pin<'_>) -> Result<Census> {
    let root = pin.page(ROOT)?;
    let mut census = Census::default();
    if !root.lower().is_empty() || root.upper().is_some() {
        return Err(wrong(ROOT, "the root has a fence"));
    }
    visit(pin, root, &mut census)?;
    Ok(census)
}

fn wrong(id: PageId, what: &str) -> EngineError {
    EngineError::failed(format!("page {id}: {what}"))
}

fn visit(pin: &Pin<'_>, page: PageRef<'_>, census: &mut Census) -> Result<()> {
    page.check().map_err(|damage| wrong(page.id(), damage.what))?;
    if !census.ids.insert(page.id()) {
        return Err(wrong(page.id(), "it is named twice"));
    }
    census.used_bytes += page.used_bytes() as u64;
    census.page_bytes += page.bytes().len() as u64;
    if page.level() > 0 {
        census.branches += 1;
        return visit_children(pin, page, census);
    }
    census.leaves += 1;
    for index in 0..page.count() {
        let payload = page.payload(index);
        if let Payload::Away { id, .. } = payload {
            census.values += 1;
            if !census.ids.insert(id) || pin.page(id)?.id() != id {
                return Err(wrong(id, "it is named twice, or is another one"));
            }
        }
        let key_bytes = page.prefix().len() + page.suffix(index).len();
        census.size.entries += 1;
        census.size.bytes += (key_bytes + pin.value(payload)?.len()) as u64;
    }
    Ok(())
}

fn visit_children(pin: &Pin<'_>, page: PageRef<'_>, census: &mut Census) -> Result<()> {
    for index in 0..page.count() {
        let child = pin.below(page, page.child(index))?;
        let upper = (index + 1 < page.count()).then(|| page.cell(index + 1).key());
        let is_between =
            child.lower() == page.cell(index).key() && child.upper() == upper.as_deref().or(page.upper());
        if child.id() != page.child(index) || !is_between {
            return Err(wrong(child.id(), "its fences are not those that its parent says"));
        }
        visit(pin, child, census)?;
    }
    Ok(())
}
