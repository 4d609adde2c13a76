//! A mutex whose owner may have panicked: for the log and the engines on it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. For values whose changes are single steps: whoever panicked while holding it left a whole one
/// behind, and readers go on.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
