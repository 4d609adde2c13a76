//! Rules of the house that no compiler checks, each a test with a planted violation that proves it can fail.
//!
//! A rule is a function from sources to violations; its tests run it over the repository, where it must find
//! nothing, and over a planted piece of code, where it must find what was planted. Exceptions stand in a list
//! beside their rule, each with its reason.

pub mod arrows;
pub mod banned;
pub mod code;
pub mod layout;
pub mod lengths;
pub mod links;
pub mod promises;
pub mod source;
pub mod vocabulary;

pub use source::{Source, Violation};

/// Fails with every violation, a line each.
#[cfg(test)]
#[track_caller]
fn assert_tidy(violations: &[Violation]) {
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}
