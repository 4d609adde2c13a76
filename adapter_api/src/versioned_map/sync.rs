//! The atomics and locks that the versions of a map are made of, and the end of what is freed.
//!
//! Promises: those of the standard library, and nothing else. `tests/loom_sync.rs` stands in for it where tests are run in
//! every order of threads and memory. Called by `history`, `pointer` and `edit`.

use std::ptr::NonNull;
pub(super) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};

/// How many readers can be inside at once without a lock.
pub(super) const SLOTS: usize = 64;

/// Frees a node.
pub(super) fn free<T>(node: Box<T>) {
    drop(node);
}

/// Somebody borrows what is there.
#[inline]
pub(super) fn borrow<T>(_: NonNull<T>) {}
