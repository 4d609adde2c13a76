//! Compares the certificate of an engine that ships with the one that it should have.

use std::time::Duration;

use adapter_api::host::LoadedPlugin;
use conformance::{Certificate, Outcome, Standing, certify};

/// How long each case rolls dice. `enginebay check` takes longer, and .ci/long longer still.
const TIME: Duration = Duration::from_millis(300);
const SEED: u64 = 1;

/// Certifies the library that the server loads. At least these badges are earned and those failed; L6 needs a process
/// of its own.
#[track_caller]
pub fn certificate(engine: &str, options: &[(&str, &str)], earned: &str, failed: &str) {
    let plugin = LoadedPlugin::load(&e2e::build::own_engine(engine)).expect("the library loads");
    let certificate = certify(&plugin, options, SEED, TIME);
    let standings = |standing| certificate.badges(standing).join(" ");
    let found = (standings(Standing::Earned), standings(Standing::Failed));
    let has = |found: &str, expected: &str| expected.split_whitespace().all(|badge| found.contains(badge));
    assert!(
        has(&found.0, earned) && has(&found.1, failed) && (!failed.is_empty() || found.1.is_empty()),
        "seed {SEED}: earned {}, failed {}, expected {earned} and {failed}\n{}",
        found.0,
        found.1,
        unpassed(&certificate)
    );
}

fn unpassed(certificate: &Certificate) -> String {
    let unpassed = certificate.outcomes().filter(|(_, outcome)| !matches!(outcome, Outcome::Passed(_)));
    unpassed.map(|(case, outcome)| format!("{} {}: {outcome:?}\n", case.badge, case.name)).collect()
}
