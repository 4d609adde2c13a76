//! Memory from the operating system, in huge pages where it has some.
//!
//! Promises: it begins on a line of the caches, holds zeros at first, takes real memory as it is written to, and goes back when
//! the owner is dropped. Called by `memory`, and by whoever lays out memory of its own.

use std::ptr::NonNull;

/// What the processor can find with one entry of its tables.
pub(crate) const HUGE_BYTES: usize = 2 << 20;

/// Memory of one owner.
pub struct Mapped {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns what it points to, and gives out nothing but the address.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Where it begins.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
impl Mapped {
    /// So many bytes of zeros, at least one; huge pages from 2 MiB on. `None` if the operating system has no memory.
    pub fn new(bytes: usize) -> Option<Self> {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        let beside = if bytes < HUGE_BYTES { 0 } else { HUGE_BYTES };
        // SAFETY: memory where there was none touches nobody's; and of what is longer than asked for, one part that is
        // aligned is kept and the rest, which nobody knows of, given back.
        unsafe {
            let start =
                mmap_anonymous(std::ptr::null_mut(), bytes.checked_add(beside)?, access, flags).ok()?;
            let mut aligned = start;
            if beside > 0 {
                let before = start.cast::<u8>().align_offset(HUGE_BYTES) % HUGE_BYTES;
                aligned = start.byte_add(before);
                if before > 0 {
                    let _ = munmap(start, before);
                }
                // The length need not be one of whole pages; what lies behind the last one begins with the next.
                let end = bytes.next_multiple_of(rustix::param::page_size());
                let _ = munmap(
                    aligned.byte_add(end),
                    (bytes + beside).next_multiple_of(rustix::param::page_size()) - before - end,
                );
                // Advice: where there are no huge pages, ordinary ones do.
                let _ = madvise(aligned, bytes, Advice::LinuxHugepage);
            }
            NonNull::new(aligned.cast()).map(|start| Self { start, bytes })
        }
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and whoever had a part of it has given it back.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
impl Mapped {
    fn layout(bytes: usize) -> Option<std::alloc::Layout> {
        std::alloc::Layout::from_size_align(bytes, 64).ok()
    }

    /// So many bytes of zeros, at least one. `None` if the operating system has no memory.
    pub fn new(bytes: usize) -> Option<Self> {
        // SAFETY: the layout has a size.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(Self::layout(bytes)?) })?;
        Some(Self { start, bytes })
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
impl Drop for Mapped {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bytes) {
            // SAFETY: it was allocated with this layout, and whoever had a part of it has given it back.
            unsafe { std::alloc::dealloc(self.start.as_ptr(), layout) };
        }
    }
}
