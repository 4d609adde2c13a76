//! The crash simulator: a disk that forgets, and the judge of every engine that claims durability.
//!
//! It loads the very library that ships, gives it a simulated environment, lets it live, and crashes it at
//! every moment at which something may be lost, in every way a disk may lose it. What is left must be what was
//! answered OK. What the model says and what it does not: notes/crash_testing.md.
//!
//! ```text
//! judge ─▶ life ─▶ subject ══ the engine ══▶ environment ─▶ state ─▶ image
//!   │        └─▶ oracle: versions of the map
//!   └─▶ enumerate ─▶ power_cut: other states
//! ```

pub mod activity;
pub mod allowed;
pub mod by_hand;
pub mod calls;
pub mod damage;
pub mod enumerate;
pub mod environment;
pub mod findings;
pub mod hooked;
pub mod image;
pub mod judge;
pub mod life;
pub mod oracle;
pub mod planted;
pub mod power_cut;
pub mod replay;
pub mod scope;
pub mod script;
pub mod shrink;
pub mod state;
pub mod stranger;
pub mod subject;
pub mod workload;
