//! The suite on logmap, linked in, for sanitizers: they see what an engine does only where they built it.
//!
//! ```text
//! RUSTFLAGS=-Zsanitizer=thread cargo +nightly run -Zbuild-std -p conformance --example logmap_in_process --target …
//! ```

use std::process::ExitCode;
use std::time::Duration;

use adapter_api::host::LoadedPlugin;
use conformance::{Outcome, Standing, certify};
use engine_logmap::LogmapEngine;

/// How long each case rolls dice.
const TIME: Duration = Duration::from_secs(5);
/// Weighs the memory of the process, most of which is a sanitizer's own: what it finds does not count here.
const WEIGHS_MEMORY: &str = "a_view_held_for_long_answers_as_it_was_or_that_it_is_too_old";

#[allow(clippy::print_stdout, reason = "the certificate is what it is run for")]
fn main() -> ExitCode {
    let certificate = certify(&LoadedPlugin::in_process::<LogmapEngine>(), &[], 1, TIME);
    let mut code = ExitCode::SUCCESS;
    for (case, outcome) in certificate.outcomes() {
        if let Outcome::Failed(finding) = outcome {
            println!("{} {}: {}", case.badge, case.name, finding.message);
            if case.name != WEIGHS_MEMORY {
                code = ExitCode::FAILURE;
            }
        }
    }
    println!("certificate: {}", certificate.badges(Standing::Earned).join(" "));
    code
}
