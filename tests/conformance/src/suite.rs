//! The whole suite in one process: for tests of engines whose code is trusted not to end it.

use std::time::Duration;

use adapter_api::host::LoadedPlugin;
use tempfile::TempDir;

use crate::case::all_cases;
use crate::certificate::Certificate;
use crate::outcome::Outcome;
use crate::trial::Trial;

/// Runs every case but those that need a process of their own. Each that rolls dice gets `time`.
///
/// # Panics
/// If an option is not one of the engine, or there is no room for folders.
pub fn certify(plugin: &LoadedPlugin, options: &[(&str, &str)], seed: u64, time: Duration) -> Certificate {
    let options: Vec<_> = options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let mut certificate = Certificate::default();
    for case in all_cases() {
        let folder = TempDir::new().expect("make a folder");
        let trial = Trial::new(plugin.clone(), &options, seed, time, folder.path());
        let trial = trial.unwrap_or_else(|error| panic!("{error}"));
        let outcome = match case.is_confining {
            true => Outcome::NotJudged("it needs a process of its own".to_string()),
            false => case.run(&trial),
        };
        certificate.add(case, outcome);
    }
    certificate
}
