//! Opens what is left of a table.
//!
//! | what is damaged | what is read |
//! |---|---|
//! | the filter | everything: no key is passed over without a look |
//! | the index or the footer | every block that a search of the file finds |
//! | the properties or the footer | blocks; the ranges that the table deletes are lost |
//! | a block | the others, here and where it is read |
//!
//! Promises: each damage is told, with the keys that it may take. Nothing is written. Called by `salvage` of the engine.

use std::sync::Arc;

use adapter_api::environment::{Directory, File, OpenFile};
use adapter_api::{EngineError, KeyRange, Result};

use super::filter::Filter;
use super::index::Index;
use super::reader::{Parts, Tail, unreadable};
use super::{Position, Table, search};
use crate::cache::Cache;
use crate::files::{Graveyard, table_name};
use crate::losses::Losses;
use crate::version::TableInfo;

const WITHOUT_FOOTER: &str =
    "the file was searched for blocks; ranges that the table deleted may be there again";
const WITHOUT_RANGES: &str = "ranges that the table deleted may be there again";
const WITHOUT_FILTER: &str = "nothing is lost with it";
const WITHOUT_INDEX: &str = "the file was searched for blocks";

impl Table {
    /// Opens the table with this number, of which the manifest says this if it is whole. Answers nothing where nothing is left.
    pub(crate) fn salvage(
        directory: &dyn Directory,
        id: u64,
        named: Option<&TableInfo>,
        cache: &Arc<Cache>,
        graveyard: &Arc<Graveyard>,
        losses: &Arc<Losses>,
    ) -> Option<Arc<Self>> {
        let opened =
            directory.open_file(&table_name(id), OpenFile::READ).map_err(|error| unreadable(id, error));
        let outcome = opened.and_then(|file| Ok((parts_of(&*file, id, named, losses)?, file)));
        match outcome {
            Ok((parts, file)) => {
                let losses = Some(Arc::clone(losses));
                Some(Arc::new(Self::of_parts(parts, file, cache, graveyard, losses)))
            }
            Err(error) => {
                losses.tell_keys(&error, named.map_or(KeyRange::all(), TableInfo::range));
                None
            }
        }
    }
}

/// Everything but the blocks, as far as it is whole.
fn parts_of(file: &dyn File, id: u64, named: Option<&TableInfo>, losses: &Losses) -> Result<Parts> {
    let bytes = file.len().map_err(|error| unreadable(id, error))?;
    let told = |error: &EngineError, meaning: &str| losses.tell(error, meaning);
    let tail = Tail::read(file, id).inspect_err(|error| told(error, WITHOUT_FOOTER)).ok();
    let part = tail.as_ref();
    let own = part.and_then(|it| it.properties().inspect_err(|error| told(error, WITHOUT_RANGES)).ok());
    let filter = part.and_then(|it| it.filter().inspect_err(|error| told(error, WITHOUT_FILTER)).ok());
    let index = part.and_then(|it| it.index().inspect_err(|error| told(error, WITHOUT_INDEX)).ok());
    if own.as_ref().zip(named).is_some_and(|((own, _), named)| own != named) {
        let position = Position { table: id, offset: 0 };
        told(
            &position.corrupt("the table is not the one that the manifest names"),
            "it was read all the same",
        );
    }
    let (own, ranges) = own.unzip();
    let info = own.or(named.cloned());
    let index = index.unwrap_or_else(|| {
        let found = search::blocks(file, id, part.map_or(bytes, Tail::blocks_end));
        Index::of_blocks(found, info.as_ref())
    });
    let info = info.unwrap_or_else(|| index.describe(id, bytes));
    let filter = filter.unwrap_or(Filter::None);
    Ok(Parts { filter, index, info, ranges: ranges.unwrap_or_default() })
}
