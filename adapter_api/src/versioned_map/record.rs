//! One entry of the map as of one version: a record, which is one allocation; and the cell of a leaf, which leads
//! to the newest record of a key.
//!
//! ```text
//! leaf  … │ cell │ …          older                       older
//!             └──▶ version 9 ─────▶ version 7 (superseded) ─────▶ version 2 (superseded)
//!
//! record   older │ version: 48 bits · flags: 8 · key length: 8, if short      native order, 16 bytes
//!          where the value lies (`Away`), if it is not here
//!          value length u8, or, if key or value are longer than 255 bytes: key length u16 · value length u32
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
    older: AtomicPtr<Header>,
    /// From the highest bits on: the version, the flags, the length of a short key.
    word: u64,
}

/// The place of the version in the word: there is room for an edit in each microsecond of eight years.
const VERSION_BIT: u32 = 16;
/// Where the value lies stands behind the header.
const IS_AWAY: u64 = 1 << 8;
/// No entry, but a change that deletes one: never in a leaf.
const IS_DELETION: u64 = 1 << 9;
/// Others may have seen it before its version was published: it went into a cell that they see.
const IS_SHARED: u64 = 1 << 10;
/// Key or value are longer than a byte says.
const IS_LONG: u64 = 1 << 11;
const SHORT_KEY: u64 = 0xff;

/// What a record of a short key and value takes beside these.
pub(super) const RECORD_BYTES: u64 = size_of::<Header>() as u64 + 1;
/// The bytes of the lengths of a long key and value.
const LONG_BYTES: usize = 6;

/// What unused cells lead to.
static NOTHING: Nothing =
    Nothing { header: Header { older: AtomicPtr::new(ptr::null_mut()), word: 0 }, value_len: 0 };

/// An entry without key and value.
#[repr(C)]
struct Nothing {
    header: Header,
    value_len: u8,
}

/// Where in a record its parts are.
#[derive(Clone, Copy)]
struct Parts {
    key_start: usize,
    key_len: usize,
    value_len: usize,
}

impl Parts {
    fn of(flags: u64, key_len: usize, value_len: usize) -> Self {
        let lengths = if flags & IS_LONG == 0 { 1 } else { LONG_BYTES };
        Self { key_start: lengths_start(flags) + lengths, key_len, value_len }
    }

    fn value_start(self) -> usize {
        self.key_start + self.key_len
    }

    fn layout(self) -> Layout {
        let align = align_of::<Header>().max(align_of::<Away>());
        Layout::from_size_align(self.value_start() + self.value_len, align)
            .unwrap_or_else(|_| unreachable!("keys and values fit into memory"))
    }
}

/// Where in a record the lengths are.
fn lengths_start(flags: u64) -> usize {
    size_of::<Header>() + if flags & IS_AWAY == 0 { 0 } else { size_of::<Away>() }
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

    fn has(self, flag: u64) -> bool {
        self.header().word & flag != 0
    }

    pub(super) fn version(self) -> u64 {
        self.header().word >> VERSION_BIT
    }

    pub(super) fn is_deletion(self) -> bool {
        self.has(IS_DELETION)
    }

    pub(super) fn is_shared(self) -> bool {
        self.has(IS_SHARED)
    }

    fn bytes(self, start: usize, len: usize) -> &'a [u8] {
        // SAFETY: as `header`; `OwnedRecord::of` has allocated and written all bytes that the lengths speak of.
        unsafe { slice::from_raw_parts(self.header.as_ptr().cast::<u8>().add(start), len) }
    }

    fn parts(self) -> Parts {
        let word = self.header().word;
        let lengths = self.bytes(lengths_start(word), if word & IS_LONG == 0 { 1 } else { LONG_BYTES });
        match *lengths {
            [k0, k1, v0, v1, v2, v3] => {
                let value_len = u32::from_ne_bytes([v0, v1, v2, v3]) as usize;
                Parts::of(word, usize::from(u16::from_ne_bytes([k0, k1])), value_len)
            }
            _ => Parts::of(word, (word & SHORT_KEY) as usize, usize::from(lengths[0])),
        }
    }

    pub(super) fn key(self) -> &'a [u8] {
        let parts = self.parts();
        self.bytes(parts.key_start, parts.key_len)
    }

    pub(super) fn stored(self) -> Stored<'a> {
        if self.has(IS_AWAY) {
            // SAFETY: as `header`; in a record with this flag an `Away` stands behind the header.
            return Stored::Away(unsafe { self.header.add(1).cast::<Away>().as_ref() });
        }
        let parts = self.parts();
        Stored::Here(self.bytes(parts.value_start(), parts.value_len))
    }

    /// What the entry counts for.
    pub(super) fn size(self) -> Size {
        let key_len = self.parts().key_len as u64;
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
            Stored::Here(value) => Self::of(0, key, value),
            Stored::Away(away) => {
                let record = Self::of(IS_AWAY, key, &[]);
                // SAFETY: a record with this flag has room for it behind the header.
                unsafe { record.0.add(1).cast::<Away>().write(away.clone()) };
                record
            }
        }
    }

    /// A change that deletes the entry of the key.
    pub(super) fn deletion(key: &[u8]) -> Self {
        Self::of(IS_DELETION, key, &[])
    }

    /// With the flag `IS_AWAY` it has yet to be said where the value lies.
    fn of(flags: u64, key: &[u8], value: &[u8]) -> Self {
        let is_long = key.len().max(value.len()) > usize::from(u8::MAX);
        let word = flags | if is_long { IS_LONG } else { key.len() as u64 };
        let (older, parts) = (AtomicPtr::new(ptr::null_mut()), Parts::of(word, key.len(), value.len()));
        let layout = parts.layout();
        // SAFETY: the layout is not empty, and has room for a header, an `Away` if there is that flag, the lengths, key
        // and value.
        unsafe {
            let Some(at) = NonNull::new(alloc(layout).cast::<Header>()) else { handle_alloc_error(layout) };
            at.write(Header { older, word });
            let [k0, k1] = (key.len() as u16).to_ne_bytes();
            let [v0, v1, v2, v3] = (value.len() as u32).to_ne_bytes();
            let (short, long) = ([value.len() as u8], [k0, k1, v0, v1, v2, v3]);
            let copy = |bytes: &[u8], start: usize| {
                let to = at.cast::<u8>().add(start);
                to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            };
            copy(if is_long { &long } else { &short }, lengths_start(word));
            copy(key, parts.key_start);
            copy(value, parts.value_start());
            Self(at)
        }
    }

    pub(super) fn lend(&self) -> Record<'_> {
        Record { header: self.0, lent: PhantomData }
    }

    pub(super) fn set_version(&mut self, version: u64) {
        // SAFETY: nobody else has the record.
        let word = unsafe { &mut self.0.as_mut().word };
        *word = version << VERSION_BIT | *word & ((1 << VERSION_BIT) - 1);
    }
}

impl Drop for OwnedRecord {
    fn drop(&mut self) {
        let (is_away, layout) = (self.lend().has(IS_AWAY), self.lend().parts().layout());
        // SAFETY: nobody else has the record; its layout is the one that it was allocated with.
        unsafe {
            if is_away {
                self.0.add(1).cast::<Away>().drop_in_place();
            }
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
        Self(AtomicPtr::new((&raw const NOTHING).cast::<Header>().cast_mut()))
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
        header.word |= if is_shared { IS_SHARED } else { 0 };
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
