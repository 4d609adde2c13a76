//! The names of files, and what is left of them when nobody needs them any more.
//!
//! Promises: a file is removed only when it is retired and nobody holds it, and never by a reader: whoever lets go of it
//! last leaves its name here, and a lane removes it. Called by `table`, `blob` and the lanes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use wal::lock;

/// The name of a table.
pub(crate) fn table_name(id: u64) -> String {
    format!("table-{id:016x}")
}

/// The name of a blob file.
pub(crate) fn blob_name(id: u64) -> String {
    format!("blob-{id:016x}")
}

/// The number in the name of a table, a blob file or another file with this prefix.
pub(crate) fn number_in(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix).filter(|digits| digits.len() == 16)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (format!("{number:016x}") == digits).then_some(number)
}

/// Files that nobody needs any more.
#[derive(Default)]
pub(crate) struct Graveyard {
    names: Mutex<Vec<String>>,
    /// Of files that are retired, but held by somebody.
    retained_bytes: AtomicU64,
}

impl Graveyard {
    /// Bytes of files that are there for views alone.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.retained_bytes.load(Ordering::Relaxed)
    }

    /// Takes the names of all files that nobody holds.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.names))
    }

    /// Gives back a name that could not be removed.
    pub(crate) fn put_back(&self, name: String) {
        lock(&self.names).push(name);
    }
}

/// What an open file has to do when it is dropped.
pub(crate) struct Fate {
    name: String,
    bytes: AtomicU64,
    /// What it counted for when it was retired.
    retired_bytes: AtomicU64,
    is_retired: AtomicBool,
    graveyard: Arc<Graveyard>,
}

impl Fate {
    pub(crate) fn new(name: String, bytes: u64, graveyard: &Arc<Graveyard>) -> Self {
        Self {
            name,
            bytes: AtomicU64::new(bytes),
            retired_bytes: AtomicU64::new(0),
            is_retired: AtomicBool::new(false),
            graveyard: Arc::clone(graveyard),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The length, as far as it is known.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The file has grown.
    pub(crate) fn note_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The file is to be removed when nobody holds it any more: nothing durable names it now.
    pub(crate) fn retire(&self) {
        if !self.is_retired.swap(true, Ordering::Relaxed) {
            let bytes = self.bytes();
            self.retired_bytes.store(bytes, Ordering::Relaxed);
            self.graveyard.retained_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Fate {
    fn drop(&mut self) {
        if *self.is_retired.get_mut() {
            self.graveyard.retained_bytes.fetch_sub(*self.retired_bytes.get_mut(), Ordering::Relaxed);
            lock(&self.graveyard.names).push(std::mem::take(&mut self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_removed_when_it_is_retired_and_nobody_holds_it() {
        let graveyard = Arc::new(Graveyard::default());
        let (kept, gone) = (Fate::new(table_name(1), 5, &graveyard), Fate::new(table_name(2), 7, &graveyard));
        gone.retire();
        gone.retire();
        assert_eq!((graveyard.retained_bytes(), graveyard.take().len()), (7, 0));
        drop((kept, gone));
        assert_eq!((graveyard.retained_bytes(), graveyard.take()), (0, vec![table_name(2)]));
    }

    #[test]
    fn names_have_numbers_of_sixteen_small_digits() {
        assert_eq!(number_in(&table_name(0xab), "table-"), Some(0xab));
        for wrong in ["table-ab", "table-00000000000000AB", "blob-00000000000000ab", "table-+0000000000000ab"]
        {
            assert_eq!(number_in(wrong, "table-"), None, "{wrong}");
        }
    }
}
