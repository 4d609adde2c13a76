//! The B-tree engine.
#![deny(unsafe_code)]
#![allow(dead_code, reason = "the engine around the tree follows")]

mod balance;
mod check;
mod cursor;
mod edit;
mod estimate;
#[allow(unsafe_code, reason = "frames are found without a lock, and freed once nobody can look at them")]
mod frames;
mod ids;
mod range_delete;
#[allow(unsafe_code, reason = "see `frames`")]
mod reclaim;
mod slots;
mod tree;
mod views;

#[cfg(test)]
mod tests;
