//! The border: what crosses between the host's binary and an engine's shared library, and how.
//!
//! Private, so that neither side sees it: authors and the host hold plain traits. Built on `abi_stable`.
//! Both directions have the same three parts: a *table* of functions whose layout is checked when the
//! library is loaded, *glue* that answers the table's calls with an implementation of the trait, and a
//! *proxy* that implements the trait by calling the table.
//!
//! ```text
//!            host                      ║           plugin
//!   StorageAdapter ── EngineTable ─────╫──▶ EngineGlue ──▶ author's StorageEngine
//!   Arc<dyn File> ◀── FileGlue ◀───────╫─── FileTable ◀── FileProxy (an Arc<dyn File>)
//! ```
//!
//! Rules that keep old and new apart peacefully:
//! - A table grows by methods appended with a default body; a method is never inserted, changed or removed.
//! - The structs of hot paths are frozen. Those of cold paths end in a list of extensions.
//! - No Rust enum crosses but `RResult` and `ROption`: everything else is a number, and a number that is not
//!   known here is taken for the safest meaning.
//! - Every call is guarded on the side that answers it: a panic becomes an error.

// `sabi_trait` and prefix types expand to items and names that these lints dislike.
#![allow(non_camel_case_types, non_local_definitions, missing_docs, unused_qualifications)]
#![allow(clippy::undocumented_unsafe_blocks, unused_braces)]
// Without the host's side, what only it calls is left over.
#![cfg_attr(not(feature = "host"), allow(dead_code))]

pub(crate) mod cursor;
pub(crate) mod data;
pub(crate) mod engine_glue;
pub(crate) mod environment_glue;
pub(crate) mod environment_proxy;
pub(crate) mod errors;
pub(crate) mod guard;
#[cfg(test)]
mod layout_test;
pub(crate) mod plugin;
pub(crate) mod tables;
pub(crate) mod watch;
