//! The conformance kit: one suite for every engine, and the badges that an engine earns by it.
//!
//! It knows nothing of an engine but the contract, so an engine by a stranger is judged like ours. A case is a
//! fact about an engine, with the badge that it counts for and the capabilities that it needs. What an engine
//! lacks is not offered, and never passes. `enginebay check` runs each case in a process of its own; the tests
//! beside this run those that need none in theirs.
//!
//! ```text
//! certificate ◀─ outcomes ◀─ case ─▶ trial ─▶ store ══ the engine ══ real directory, lanes on threads
//!                                      └────▶ crash::Subject ══ the engine ══ simulated disk, lanes by hand
//! ```

#![forbid(unsafe_code)]

mod badge;
mod case;
mod cases;
mod certificate;
mod confinement;
mod gate;
mod lanes;
mod model;
mod outcome;
mod store;
mod suite;
mod trial;

pub use badge::Badge;
pub use case::{Case, Time, all_cases, case_named};
pub use certificate::{Certificate, Standing};
pub use outcome::{Finding, Outcome};
pub use suite::certify;
pub use trial::Trial;
