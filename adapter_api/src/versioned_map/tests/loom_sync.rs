//! What `sync` has, as loom gives it: every order of threads and memory is tried, and what was freed is watched.
//!
//! Promises: what is freed in one order keeps its memory until the next one begins, so whoever borrows it is found
//! out, and does not read what is there by then. Called in place of `sync`, under `cfg(loom)`.

use std::any::Any;
use std::cell::RefCell;
use std::ptr::NonNull;

pub(in super::super) use loom::sync::atomic::Ordering;
use loom::sync::atomic::{self, fence};
pub(in super::super) use loom::sync::{Mutex, MutexGuard};

/// One, so that a second reader finds none.
pub(in super::super) const SLOTS: usize = 1;

thread_local! {
    /// What was freed in this order, by its address. Loom runs all threads of a model on one.
    static FREED: RefCell<Vec<(usize, Box<dyn Any>)>> = const { RefCell::new(Vec::new()) };
}

/// Another order begins.
pub(in super::super) fn begin() {
    FREED.take();
}

/// Keeps a node, which is nobody's any more.
pub(in super::super) fn free<T: 'static>(node: Box<T>) {
    let address = (&raw const *node).addr();
    FREED.with_borrow_mut(|freed| freed.push((address, node)));
}

/// Somebody borrows what is there.
pub(in super::super) fn borrow<T>(node: NonNull<T>) {
    let is_freed = FREED.with_borrow(|freed| freed.iter().any(|(address, _)| *address == node.addr().get()));
    assert!(!is_freed, "somebody reads a {} that was freed", std::any::type_name::<T>());
}

/// Loom takes `SeqCst` for `AcqRel`: what is in one order for all is a fence that is. Between a store and a later load of
/// another place there is one, which is all that `history` relies on; where only one of the two asks for it, that is not found.
fn in_one_order(order: Ordering) {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
}

macro_rules! atomic {
    ($name:ident $(<$of:ident>)?, $value:ty) => {
        pub(in super::super) struct $name$(<$of>)?(atomic::$name$(<$of>)?);

        impl$(<$of>)? $name$(<$of>)? {
            pub(in super::super) fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(in super::super) fn load(&self, order: Ordering) -> $value {
                in_one_order(order);
                self.0.load(if order == Ordering::SeqCst { Ordering::Acquire } else { order })
            }

            pub(in super::super) fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, if order == Ordering::SeqCst { Ordering::Release } else { order });
                in_one_order(order);
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicPtr<T>, *mut T);
atomic!(AtomicU64, u64);

impl AtomicU64 {
    pub(in super::super) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let outcome = self.0.compare_exchange(current, new, Ordering::AcqRel, failure);
        if outcome.is_ok() {
            in_one_order(success);
        }
        outcome
    }
}
