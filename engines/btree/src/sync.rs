//! Atomics and locks of what readers come upon without a lock: those of the standard library, or where loom looks for an
//! order of steps that breaks a promise, its own.
//!
//! Called by `slots`, `frames`, `evict` and `reclaim`. The test is `tests::orders`.

/// An address that is looked at by nobody but the processor, so loom need not look at it either.
pub(crate) use std::sync::atomic::AtomicPtr as Hint;
/// A number that is counted in and orders nothing, so loom need not look at it.
pub(crate) use std::sync::atomic::AtomicU64 as Number;

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex,
    atomic::{AtomicPtr, AtomicU64},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex,
    atomic::{AtomicPtr, AtomicU64},
};

/// Locks a mutex, whoever panicked while holding it.
#[cfg(loom)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(not(loom))]
pub(crate) use wal::lock;

/// Orders this thread's step before it and its step behind it for all others. Loom takes sequentially consistent
/// loads and stores for weaker ones, and knows only fences to be so.
pub(crate) fn sequential() {
    #[cfg(loom)]
    loom::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
