//! One entry of the map as of one version: a record, which is one allocation; and the cell of a leaf, which leads
//! to the newest record of a key.
//!
//! ```text
//! leaf  … │ cell │ …          older                       older
//!             └──▶ version 9 ─────▶ version 7 (superseded) ─────▶ version 2 (superseded)
//!
//! record   version u64 │ older │ value length u32 · key length u16 · flags     native order, 24 bytes
//!          where the value lies (`Away`), if it is not here
//!          key │ value
//! ```
//!
//! Promises: a record never changes once a cell leads to it, and a cell is swapped at one instant; so readers of
//! any version take what is theirs without a lock, while the writer puts newer records in front.
//!
//! Nothing here counts references. Whoever borrows a cell has something that keeps every record alive that its
//! version may come across: the writer's turn, or a pin (`history`). What a cell leads to is therefore lent as long as the
//! cell. To free a record is `unsafe`, and that is where the argument is made. Called by `versioned_map` alone;
//! `Away` and `Stored` are what engines see of it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::node::Size;

/// A value that the map does not hold: somebody else does, and reads it when asked.
#[derive(Clone)]
pub struct Away {
    /// What has to be there as long as any version of the map, or a view, has the entry: a file, for example. It
    /// is dropped with the last of them, or a few writes later.
    pub holder: Arc<dyn Any + Send + Sync>,
    /// Where the value begins, in what the holder holds.
    pub start: u64,
    /// The length of the value, in bytes.
    pub bytes: u32,
    /// A checksum of the value.
    pub checksum: u32,
}

impl fmt::Debug for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from {}", self.bytes, self.start)
    }
}

/// A value as the map has it.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// The value.
    Here(&'a [u8]),
    /// Where the value lies.
    Away(&'a Away),
}

impl<'a> Stored<'a> {
    /// The value; nothing of one that is away.
    pub(super) fn here(self) -> &'a [u8] {
        match self {
            Self::Here(value) => value,
            Self::Away(_) => &[],
        }
    }
}

/// What a record begins with.
#[repr(C)]
struct Header {
    version: u64,
    older: AtomicPtr<Header>,
    /// Of a value that is here; of one that is away, `Away` has it.
    value_len: u32,
    key_len: u16,
    kind: Kind,
    /// Others may have seen it before its version was published: it went into a cell that they see.
    is_shared: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Here,
    /// Behind the header stands an `Away`.
    Away,
    /// No entry, but a change that deletes one: never in a leaf.
    Deletion,
}

/// What a record takes beside its key and value.
pub(super) const RECORD_BYTES: u64 = size_of::<Header>() as u64;

/// What unused cells lead to.
static NOTHING: Header = Header {
    version: 0,
    older: AtomicPtr::new(ptr::null_mut()),
    value_len: 0,
    key_len: 0,
    kind: Kind::Here,
    is_shared: false,
};

impl Header {
    /// Where in a record the key begins.
    fn key_start(kind: Kind) -> usize {
        size_of::<Self>() + if kind == Kind::Away { size_of::<Away>() } else { 0 }
    }

    fn layout(kind: Kind, key_len: usize, value_len: usize) -> Layout {
        let bytes = Self::key_start(kind) + key_len + value_len;
        Layout::from_size_align(bytes, align_of::<Self>().max(align_of::<Away>()))
            .unwrap_or_else(|_| unreachable!("keys and values fit into memory"))
    }
}

/// A record, lent.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    header: NonNull<Header>,
    lent: PhantomData<&'a Header>,
}

impl<'a> Record<'a> {
    fn header(self) -> &'a Header {
        // SAFETY: the record is alive as long as it is lent, and its header does not change.
        unsafe { self.header.as_ref() }
    }

    pub(super) fn version(self) -> u64 {
        self.header().version
    }

    pub(super) fn is_deletion(self) -> bool {
        self.header().kind == Kind::Deletion
    }

    pub(super) fn is_shared(self) -> bool {
        self.header().is_shared
    }

    fn bytes(self, start: usize, len: usize) -> &'a [u8] {
        // SAFETY: as `header`; `OwnedRecord::new` has allocated and written all bytes that the lengths speak of.
        unsafe { slice::from_raw_parts(self.header.as_ptr().cast::<u8>().add(start), len) }
    }

    pub(super) fn key(self) -> &'a [u8] {
        let header = self.header();
        self.bytes(Header::key_start(header.kind), usize::from(header.key_len))
    }

    pub(super) fn stored(self) -> Stored<'a> {
        let header = self.header();
        if header.kind == Kind::Away {
            // SAFETY: as `header`; in a record of this kind an `Away` stands behind the header.
            return Stored::Away(unsafe { self.header.add(1).cast::<Away>().as_ref() });
        }
        let start = Header::key_start(Kind::Here) + usize::from(header.key_len);
        Stored::Here(self.bytes(start, header.value_len as usize))
    }

    /// What the entry counts for.
    pub(super) fn size(self) -> Size {
        let key_len = u64::from(self.header().key_len);
        let (value_len, away) = match self.stored() {
            Stored::Here(value) => (value.len() as u64, 0),
            Stored::Away(away) => (u64::from(away.bytes), u64::from(away.bytes)),
        };
        Size { entries: 1, bytes: key_len + value_len, away }
    }

    /// The record that this one supersedes.
    fn older(self) -> Option<Self> {
        let older = NonNull::new(self.header().older.load(Ordering::Relaxed))?;
        Some(Self { header: older, lent: PhantomData })
    }

    /// Begins to fetch the record from memory.
    pub(super) fn prefetch(self) {
        prefetch(self.header.as_ptr());
        prefetch(self.header.as_ptr().wrapping_byte_add(CACHE_LINE_BYTES));
    }

    /// The record, to be freed later.
    pub(super) fn retire(self) -> RetiredRecord {
        RetiredRecord(self.header)
    }
}

/// A record that no cell leads to yet.
pub(super) struct OwnedRecord(NonNull<Header>);

// SAFETY: a record consists of bytes, an `Away`, which may be sent and shared, and the pointer to a record.
unsafe impl Send for OwnedRecord {}
// SAFETY: as above.
unsafe impl Sync for OwnedRecord {}

impl OwnedRecord {
    /// Copies key and value. The key has at most 65,535 bytes, the value less than 4 GiB.
    pub(super) fn new(key: &[u8], value: Stored<'_>) -> Self {
        match value {
            Stored::Here(value) => Self::of(Kind::Here, key, value),
            Stored::Away(away) => {
                let record = Self::of(Kind::Away, key, &[]);
                // SAFETY: a record of this kind has room for it behind the header.
                unsafe { record.0.add(1).cast::<Away>().write(away.clone()) };
                record
            }
        }
    }

    /// A change that deletes the entry of the key.
    pub(super) fn deletion(key: &[u8]) -> Self {
        Self::of(Kind::Deletion, key, &[])
    }

    /// Of the kind `Away` it has yet to be said where the value lies.
    fn of(kind: Kind, key: &[u8], value: &[u8]) -> Self {
        let layout = Header::layout(kind, key.len(), value.len());
        let (older, key_len) = (AtomicPtr::new(ptr::null_mut()), key.len() as u16);
        let header =
            Header { version: 0, older, value_len: value.len() as u32, key_len, kind, is_shared: false };
        // SAFETY: the layout is not empty, and has room for a header, an `Away` if it is of that kind, key and value.
        unsafe {
            let Some(at) = NonNull::new(alloc(layout).cast::<Header>()) else { handle_alloc_error(layout) };
            at.write(header);
            let key_at = at.cast::<u8>().add(Header::key_start(kind));
            key_at.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            key_at.add(key.len()).copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
            Self(at)
        }
    }

    pub(super) fn lend(&self) -> Record<'_> {
        Record { header: self.0, lent: PhantomData }
    }

    pub(super) fn set_version(&mut self, version: u64) {
        // SAFETY: nobody else has the record.
        unsafe { self.0.as_mut().version = version };
    }
}

impl Drop for OwnedRecord {
    fn drop(&mut self) {
        // SAFETY: nobody else has the record; its layout is the one that it was allocated with.
        unsafe {
            let Header { kind, key_len, value_len, .. } = *self.0.as_ref();
            if kind == Kind::Away {
                self.0.add(1).cast::<Away>().drop_in_place();
            }
            let layout = Header::layout(kind, usize::from(key_len), value_len as usize);
            dealloc(self.0.as_ptr().cast(), layout);
        }
    }
}

/// A record that is out of the newest version of the map, or about to be, on its way to be freed.
pub(super) struct RetiredRecord(NonNull<Header>);

// SAFETY: as for `OwnedRecord`.
unsafe impl Send for RetiredRecord {}

impl RetiredRecord {
    pub(super) fn lend(&self) -> Record<'_> {
        Record { header: self.0, lent: PhantomData }
    }

    /// Frees it.
    ///
    /// # Safety
    /// Nobody has the record lent, or can come across it any more, and it is not freed a second time.
    pub(super) unsafe fn free(self) {
        drop(OwnedRecord(self.0));
    }
}

/// What leads to the records of a key.
pub(super) struct Cell(AtomicPtr<Header>);

impl Cell {
    /// A cell that leads to no entry.
    pub(super) const fn unused() -> Self {
        Self(AtomicPtr::new((&raw const NOTHING).cast_mut()))
    }

    pub(super) fn new(record: OwnedRecord) -> Self {
        let cell = Self(AtomicPtr::new(record.0.as_ptr()));
        std::mem::forget(record);
        cell
    }

    /// The newest record, be it published or not.
    pub(super) fn newest(&self) -> Record<'_> {
        // SAFETY: a cell leads to a record, or to `NOTHING`, and never to null.
        let header = unsafe { NonNull::new_unchecked(self.0.load(Ordering::Acquire)) };
        Record { header, lent: PhantomData }
    }

    /// The newest record that is not newer than the version, which must be that of what keeps records alive.
    pub(super) fn at(&self, version: u64) -> Record<'_> {
        let mut record = self.newest();
        while record.version() > version
            && let Some(older) = record.older()
        {
            record = older;
        }
        record
    }

    /// Puts a record in front, and returns the one that was there. Of one version only the last record stays in
    /// the chain.
    ///
    /// Called by the writer alone. `is_shared`: others may see the cell.
    pub(super) fn put(&self, mut record: OwnedRecord, is_shared: bool) -> Record<'_> {
        let before = self.newest();
        let older = match before.version() == record.lend().version() {
            true => before.older().map_or(ptr::null_mut(), |older| older.header.as_ptr()),
            false => before.header.as_ptr(),
        };
        // SAFETY: nobody else has the record yet.
        let header = unsafe { record.0.as_mut() };
        header.is_shared = is_shared;
        header.older = AtomicPtr::new(older);
        self.0.store(record.0.as_ptr(), Ordering::Release);
        std::mem::forget(record);
        before
    }

    /// Takes a record that was put in front away again, if it is there. Called by the writer alone.
    pub(super) fn undo(&self, put: Record<'_>) {
        if let Some(older) = put.older()
            && self.newest().header == put.header
        {
            self.0.store(older.header.as_ptr(), Ordering::Release);
        }
    }

    /// Another cell that leads to the same records.
    pub(super) fn duplicate(&self) -> Self {
        Self(AtomicPtr::new(self.0.load(Ordering::Relaxed)))
    }

    /// Begins to fetch the cell from memory.
    pub(super) fn prefetch(&self) {
        prefetch(self);
    }
}

/// What processors fetch at once, usually.
pub(super) const CACHE_LINE_BYTES: usize = 64;

/// Begins to fetch what lies at an address, where the processor can be told so.
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing that the program could see, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
