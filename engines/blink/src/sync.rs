//! The atomics that nodes are made of.
//!
//! Promises: those of the standard library; where tests are run in every order of threads and memory, loom's. Called by `row`,
//! `node` and `tree`.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
