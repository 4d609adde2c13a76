//! Bugs to plant, the judge's judge: each is one that real stores had, and each must be caught.
//!
//! Most of them are planted around the engine that ships, between it and the disk or above it, so that the engine
//! needs no change: an engine that forgets a sync cannot be told from a disk that forgets it. Those inside an
//! engine are its feature `planted_…`, off by default, in a library that nobody ships.

use std::sync::Arc;

use adapter_api::environment::{Directory, Lane};
use adapter_api::host::StorageAdapter;
use adapter_api::{
    Batch, BatchBuilder, Buffer, Cursor, Direction, Estimate, KeyRange, Mutation, ReadView, Result, Step,
    StorageEngine, Visit, Watch,
};

use crate::environment::Lie;
use crate::state::NameChange;
use crate::subject::Subject;

/// Every bug that is planted around an engine: its name, and what it is.
pub const PLANTED: [(&str, &str); 8] = [
    ("skipped-data-sync", "a file is not synced, and a durable write is a plain one"),
    ("skipped-directory-sync-after-create", "the directory is not synced after a file was created"),
    ("skipped-directory-sync-after-rename", "the directory is not synced after a rename"),
    ("reply-before-sync", "OK is said first, and the sync is made then"),
    ("log-removed-before-manifest", "the older log goes while the name of the checkpoint is not durable"),
    ("retry-after-failed-sync", "a sync that failed is tried again, and its OK is believed"),
    ("batch-not-atomic", "a batch is applied one mutation at a time"),
    ("tail-not-rewritten", "what recovery shows without proof that it is durable is not made so"),
];

/// The subject with a bug around it; `None` if there is none of that name.
pub fn plant(subject: Subject, name: &str) -> Option<Subject> {
    Some(match name {
        "skipped-data-sync" => subject.with_lie(Lie::DataSyncs),
        "skipped-directory-sync-after-create" => subject.with_lie(Lie::DirectorySyncsAfter(is_new)),
        "skipped-directory-sync-after-rename" => subject.with_lie(Lie::DirectorySyncsAfter(is_rename)),
        "reply-before-sync" => subject.with_lie(Lie::LateSyncs),
        // Not in copies: they have no older log.
        "log-removed-before-manifest" => {
            let lie = Lie::DirectorySyncsAfter(is_checkpoint);
            subject.with_lie(lie).with_honest_copies()
        }
        "retry-after-failed-sync" => subject.with_lie(Lie::RetriedSyncs),
        "batch-not-atomic" => subject.with_wrap(|engine| {
            let about = engine.description().clone();
            StorageAdapter::around(OneByOne(engine), about)
        }),
        "tail-not-rewritten" => subject.with_lie(Lie::SyncsAtOpen),
        _ => return None,
    })
}

fn is_new(change: &NameChange) -> bool {
    matches!(change, NameChange::Add(..))
}

fn is_rename(change: &NameChange) -> bool {
    matches!(change, NameChange::Rename(..))
}

fn is_checkpoint(change: &NameChange) -> bool {
    matches!(change, NameChange::Rename(_, to, _) if ["checkpoint-", "manifest-"].iter().any(|it| to.starts_with(it)))
}

/// An engine whose batches are not atomic.
struct OneByOne(StorageAdapter);

impl StorageEngine for OneByOne {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        batch.iter().try_for_each(|mutation| {
            let mut one = BatchBuilder::new();
            match mutation {
                Mutation::Put { key, value } => one.put(key, value)?,
                Mutation::Delete { key } => one.delete(key)?,
                Mutation::DeleteRange(range) => one.delete_range(range)?,
            }
            self.0.apply(one.as_batch())
        })
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        self.0.get(key, value)
    }

    fn scan(&self, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        self.0.scan(range, direction, visit)
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        self.0.read_view()
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        self.0.estimate(range)
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        self.0.ingest(entries)
    }

    fn background(&self, lane: Lane) -> Result<Step> {
        self.0.background(lane)
    }

    fn backup(&self, target: Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
        self.0.backup(target, watch)
    }

    fn verify(&self, watch: &dyn Watch) -> Result<()> {
        self.0.verify(watch)
    }

    fn compact(&self, range: KeyRange<'_>, watch: &dyn Watch) -> Result<()> {
        self.0.compact(range, watch)
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}
