//! A tree over a data file, with checkpoints by hand and a cache of no pages at all: what may leave memory does so at
//! once. What is freed too early, or evicted though nobody has it elsewhere, shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_api::environment::Cause;
use crash::environment::Disk;
use page::PageId;

use crate::ahead_writer::AheadWriter;
use crate::data_file::DataFile;
use crate::frames::Bounds;
use crate::page_writer::PageWriter;
use crate::pending::Pending;
use crate::places::Places;
use crate::space::Space;
use crate::superblock::SUPERBLOCKS;
use crate::tree::{ROOT, Size, Tree};

/// A tree, and the file under it.
pub(super) struct Filed {
    pub(super) tree: Arc<Tree>,
    file: DataFile,
    places: Arc<Places>,
    /// The version of the last checkpoint.
    durable: AtomicU64,
}

impl Filed {
    pub(super) fn new(cache_bytes: u64) -> Self {
        let (file, places) = (DataFile::create(&*Disk::default().root()).unwrap(), Arc::<Places>::default());
        places.file_or(file.clone());
        let bounds = Bounds { cache_bytes, retained_bytes: u64::MAX };
        let tree = Arc::new(Tree::new(0, Arc::clone(&places), Size::default(), 4096, bounds));
        *places.space() = Space::besides(vec![SUPERBLOCKS]).unwrap();
        let filed = Self { tree, file, places, durable: AtomicU64::new(0) };
        filed.checkpoint(vec![ROOT]);
        filed
    }

    /// Writes pages, all that are dirty among them. Places that were replaced are used by the next one.
    pub(super) fn checkpoint(&self, dirty: Vec<PageId>) {
        self.take_in(Pending { dirty: dirty.into_iter().collect(), ..Pending::default() });
    }

    /// The same, with pages that were written ahead.
    pub(super) fn take_in(&self, pending: Pending) {
        let view = self.tree.view(false);
        self.tree.frames.begin_checkpoint(view.version());
        let mut writer = PageWriter::new(self.file.clone(), pending.dirty.into_iter().collect(), None);
        while !writer.step(&view, self.places.free()).unwrap() {}
        writer.changes.extend(pending.ahead.into_iter().map(|(id, place)| (id, Some(place))));
        self.tree.frames.end_checkpoint(&writer.changes, pending.spent);
        self.durable.store(view.version(), Ordering::Relaxed);
    }

    /// Begins to write pages ahead.
    pub(super) fn write_ahead(&self) -> AheadWriter<'_> {
        let version = self.durable.load(Ordering::Relaxed);
        AheadWriter::new(&self.places, self.file.clone(), version, Cause::Ingest)
    }
}
