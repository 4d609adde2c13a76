//! A pointer to a node of the tree, of which there may be many, and which nobody counts.
//!
//! Whoever has borrowed such a pointer has something that keeps the node alive: the writer's turn, a view that has not
//! ended together with a pin, or a pin (`history`). Pointers lie in nodes, the first one in a published moment, so a walk down
//! the tree borrows one from the other and all of them from the pin. To free a node and to change one are
//! `unsafe`, and that is where the argument is made. Called by `versioned_map` alone.

use std::ops::Deref;
use std::ptr::NonNull;

use super::sync::{self, AtomicPtr, Ordering};

/// A pointer to a node that may be shared with other versions of the map.
pub(super) struct Shared<T>(NonNull<T>);

// SAFETY: whoever has the pointer can reach the node, and, by the two `unsafe` methods, own it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(super) fn new(node: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(node))))
    }

    /// Another pointer to the same node.
    pub(super) fn duplicate(&self) -> Self {
        Self(self.0)
    }

    /// Where the node lies, to fetch it early.
    pub(super) fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }

    /// The node, to be changed.
    ///
    /// # Safety
    /// Nobody else can come across a pointer to the node as long as it is lent.
    pub(super) unsafe fn get_mut(&mut self) -> &mut T {
        // SAFETY: the caller's promise, and nodes are alive while somebody may borrow them.
        unsafe { self.0.as_mut() }
    }

    /// Frees the node, but not what it points to.
    ///
    /// # Safety
    /// Nobody has the node borrowed, or can come across a pointer to it any more; it is freed once.
    pub(super) unsafe fn free(self)
    where
        T: 'static,
    {
        // SAFETY: `new` has leaked a box; the caller promises that this is its only owner.
        sync::free(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        sync::borrow(self.0);
        // SAFETY: what the module says of borrowed pointers.
        unsafe { self.0.as_ref() }
    }
}

/// The place of a pointer that is replaced at one instant.
pub(super) struct Published<T>(AtomicPtr<T>);

impl<T> Published<T> {
    pub(super) fn new(first: Shared<T>) -> Self {
        Self(AtomicPtr::new(first.0.as_ptr()))
    }

    pub(super) fn load(&self) -> Shared<T> {
        // SAFETY: the pointer was made from one that is not null, here or in `new`.
        Shared(unsafe { NonNull::new_unchecked(self.0.load(Ordering::SeqCst)) })
    }

    /// Returns what was there before.
    pub(super) fn replace(&self, next: Shared<T>) -> Shared<T> {
        let before = self.load();
        self.0.store(next.0.as_ptr(), Ordering::SeqCst);
        before
    }
}
