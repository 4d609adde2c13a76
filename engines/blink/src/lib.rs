//! An ordered map in memory that only grows: what memtables are made of.
//!
//! ```text
//! nodes      branch ─▶ branch ─▶ … ─▶ leaf ─▶ next leaf       sorted rows of 30 keys' heads and references
//!                                      │
//! records    … | key, value | key, value, older ─▶ | …        written once, one behind the other
//! ```
//!
//! It is a B-link tree with one writer. Readers go down while the writer inserts and divides, and notice from the
//! fences of nodes where they have to go on to the right. A key has one place in one leaf, which names its newest record;
//! that one names the one before it. A batch has a number, and is visible once the number of the last visible
//! one has come to it: so a snapshot is a number.
//!
//! Whoever has many keys hands them over together: they go down side by side, and wait for memory together (`abreast`).
//!
//! Promises: one thread writes at a time, and a batch becomes visible at one instant; readers wait for nobody. Nothing is
//! ever removed, so snapshots need no end and hold nothing: whoever seals a map drops it as a whole. An entry
//! takes its key and value and about 40 bytes more. Called by engines whose newest data lies in memory before it is flushed.
//!
//! ```
//! # use std::sync::Arc;
//! # use adapter_api::{Direction, KeyRange};
//! let tree = Arc::new(blink::Tree::new());
//! tree.apply([(&b"key"[..], &b"old"[..])]);
//! let before = tree.snapshot();
//! tree.apply([(&b"key"[..], &b"new"[..]), (b"other", b"value")]);
//! assert_eq!(tree.find(b"key", before), Some(&b"old"[..]));
//! let mut cursor = blink::Cursor::new(&tree, tree.snapshot(), KeyRange::all(), Direction::Forward);
//! assert!(cursor.advance() && cursor.value() == b"new");
//! ```

#![deny(unsafe_code)]

mod abreast;
mod cursor;
mod insert;
mod node;
#[allow(unsafe_code, reason = "records are read where they lie, while others are written behind them")]
mod records;
mod row;
mod segments;
mod sync;
mod tree;

#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub use tree::{Snapshot, Tree};
