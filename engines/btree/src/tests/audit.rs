//! Everything that must be true of the frames behind each step, looked at from outside.

use std::sync::atomic::Ordering;

use page::PageId;

use crate::frames::{Content, Frame, STORED};
use crate::sync::{Number, lock};
use crate::tree::Tree;

/// Looks at the chain of each page: what is not in memory is in the map; what is clean is in the file, byte for byte;
/// what is superseded and not in memory is still where it was; and the sums are those of the frames.
#[track_caller]
pub(super) fn check_frames(tree: &Tree) {
    let (frames, reclaimer) = (&tree.frames, lock(&tree.frames.reclaimer));
    let (mut resident, mut dirty, mut stored) = (0, 0, 0);
    for id in 0..frames.numbers.end.load(Ordering::Relaxed) as PageId {
        let newest = frames.table.newest(id);
        if newest == STORED {
            assert!(frames.places.place(id).is_some(), "page {id} is nowhere");
            stored += 1;
            continue;
        }
        let (mut next, mut newer) = (newest, u64::MAX);
        // SAFETY: the lock of the reclaimer is held, so nothing in a chain is freed.
        while let Some(frame) = unsafe { next.as_ref() } {
            assert!(frame.version < newer, "page {id}: the older frame is not older");
            resident += frame.bytes();
            match reclaimer.dirty.is_clean(frame.version) {
                true if next == newest => check_clean(tree, id, frame),
                false if next == newest => dirty += frame.bytes(),
                _ => {}
            }
            if let Content::Stored(place) = frame.content {
                frames.places.read_at(id, place).unwrap();
                assert!(frame.older.load(Ordering::Relaxed).is_null() && next != newest, "page {id}");
            }
            (newer, next) = (frame.version, frame.older.load(Ordering::Relaxed));
        }
    }
    let load = |number: &Number| number.load(Ordering::Relaxed);
    let numbers = &frames.numbers;
    let found = (load(&numbers.resident_bytes), reclaimer.dirty.bytes(), load(&numbers.stored_pages));
    assert_eq!(found, (resident, dirty, stored));
    assert_eq!(load(&numbers.dirty_bytes), dirty);
}

/// A clean page is in the file as it is in memory, but for its checksum; a removed one is not there.
fn check_clean(tree: &Tree, id: PageId, frame: &Frame) {
    let stored = tree.frames.places.read(id).unwrap();
    match &frame.content {
        Content::Page(page) => {
            let stored = stored.unwrap_or_else(|| panic!("page {id} is clean, and in no file"));
            assert!(
                stored.view().bytes()[4..] == page.view().bytes()[4..],
                "page {id} is another one in the file"
            );
        }
        _ => assert!(stored.is_none(), "page {id} is gone, and in the file"),
    }
}
