//! engine snapshot
