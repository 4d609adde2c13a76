//! Tests of the map: against a model, and of what readers see beside a writer.

mod model;
mod reclaim;
