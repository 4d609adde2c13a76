//! A tree over a data file, with checkpoints by hand and a cache of no pages at all: what may leave memory does so at
//! once. What is freed too early, or evicted though nobody has it elsewhere, shows.

use std::sync::{Arc, Mutex};

use crash::environment::Disk;
use page::PageId;

use crate::data_file::DataFile;
use crate::frames::Bounds;
use crate::page_writer::PageWriter;
use crate::places::Places;
use crate::space::Space;
use crate::superblock::SUPERBLOCKS;
use crate::tree::{ROOT, Size, Tree};

/// A tree, and the file under it.
pub(super) struct Filed {
    pub(super) tree: Arc<Tree>,
    file: DataFile,
    places: Arc<Places>,
    space: Mutex<Space>,
}

impl Filed {
    pub(super) fn new(cache_bytes: u64) -> Self {
        let (file, places) = (DataFile::create(&*Disk::default().root()).unwrap(), Arc::<Places>::default());
        places.file_or(file.clone());
        let bounds = Bounds { cache_bytes, retained_bytes: u64::MAX };
        let tree = Arc::new(Tree::new(0, Arc::clone(&places), Size::default(), 4096, bounds));
        let space = Mutex::new(Space::besides(vec![SUPERBLOCKS]).unwrap());
        let filed = Self { tree, file, places, space };
        filed.checkpoint(vec![ROOT]);
        filed
    }

    /// Writes pages, all that are dirty among them. Places that were replaced are used by the next one.
    pub(super) fn checkpoint(&self, dirty: Vec<PageId>) {
        let (view, mut space) = (self.tree.view(false), self.space.lock().unwrap());
        self.places.take_free().into_iter().for_each(|extent| space.give_back(extent));
        self.tree.frames.begin_checkpoint(view.version());
        let mut writer = PageWriter::new(self.file.clone(), dirty, None);
        while !writer.step(&view, &mut space).unwrap() {}
        self.tree.frames.end_checkpoint(&writer.changes);
    }
}
