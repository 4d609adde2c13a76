//! The crash simulator.

pub mod environment;
pub mod image;
pub mod power_cut;
pub mod state;
