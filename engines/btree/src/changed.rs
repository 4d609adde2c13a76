//! The pages of an edit, by their numbers. Every step down the tree looks here first.
//!
//! Promises: the same edit goes through them in the same order, whatever the process. Called by `edit`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use page::{Page, PageId};

/// Pages that are new or changed; `None` are those that are removed.
pub(crate) type Changed = HashMap<PageId, Option<Page>, BuildHasherDefault<NumberHasher>>;

/// Spreads numbers of pages, which nobody from outside can choose.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    /// By the golden ratio: the table takes its place from the low bits and a mark from the highest, so both must depend
    /// on all of the number.
    fn write_u32(&mut self, number: u32) {
        let spread = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }
}
