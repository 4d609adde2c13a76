//! Tests of the map: against a model, and of what readers see beside a writer.

#[cfg(loom)]
mod every_order;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod reclaim;
