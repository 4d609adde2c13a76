//! What leaves a store and comes into one as a stream: our dumps, the RDB files of Redis, and the totals that two
//! stores are compared by.
//!
//! Promises: knows no engine and no directory; a stream is read with bounded memory whatever it claims, and what
//! is damaged is refused with its position. Called by the tools of `cli`; the packing of RDB by DUMP too.

pub mod dump;
pub mod rdb;
mod totals;

pub use totals::{Fingerprint, Observed, Totals, totals_of};
