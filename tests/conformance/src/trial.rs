//! What a case is given: the engine, its options, a seed, a time, and an empty folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adapter_api::host::LoadedPlugin;
use adapter_api::{Capabilities, Description, Durability, OptionKind, OptionSpec, Options};
use crash::scope::Scope;
use crash::subject::Subject;
use crash::workload::Dice;

use crate::outcome::{Finding, Stop, Verdict};
use crate::store::Store;

/// Sizes at which an engine changes files and writes checkpoints every few operations.
const SMALL_BYTES: [i64; 4] = [1_000, 4_096, 20_000, 65_536];
/// A default of this size is never reached in a life of a few operations.
const LARGE_BYTES: i64 = 1 << 20;

/// One engine in one case.
pub struct Trial {
    plugin: LoadedPlugin,
    given: Vec<(String, String)>,
    options: Options,
    seed: u64,
    until: Instant,
    folder: PathBuf,
}

impl Trial {
    /// A trial of an engine with some of its options given. Cases that roll dice do so until `time` has passed,
    /// and at least once. `folder` is empty, and nobody else's.
    ///
    /// # Errors
    /// A sentence: what is wrong with an option.
    pub fn new(
        plugin: LoadedPlugin,
        given: &[(String, String)],
        seed: u64,
        time: Duration,
        folder: &Path,
    ) -> Result<Self, String> {
        let pairs = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let options = Options::complete(&plugin.description().options, pairs)?;
        let (given, folder) = (given.to_vec(), folder.to_path_buf());
        Ok(Self { plugin, given, options, seed, until: Instant::now() + time, folder })
    }

    /// What the engine says of itself.
    pub fn about(&self) -> &Description {
        self.plugin.description()
    }

    /// The engine's code.
    pub(crate) fn plugin(&self) -> &LoadedPlugin {
        &self.plugin
    }

    /// Whether the engine claims to have a primitive.
    pub(crate) fn can(&self, capability: Capabilities) -> bool {
        self.about().capabilities.has(capability)
    }

    /// The options in use.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The seed of this trial.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// A place in the trial's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Opens the store on a real disk.
    pub(crate) fn open(&self) -> Result<Store, String> {
        self.open_at("data")
    }

    /// Opens a store in a folder of this trial.
    pub(crate) fn open_at(&self, name: &str) -> Result<Store, String> {
        Store::open(&self.plugin, &self.path(name), &self.options, Durability::Always)
    }

    /// Closes a store in order and opens it again.
    pub(crate) fn reopen(&self, store: Store) -> Result<Store, String> {
        let model = store.close()?;
        Ok(self.open()?.showing(model))
    }

    /// The engine on a simulated disk, with small sizes where nobody gave any: so that files change and background
    /// work is done in lives of a few operations. Every other seed has those sizes that are not large anyway as
    /// they are by default.
    pub(crate) fn small_subject(&self, seed: u64, scope: Scope) -> Subject {
        let mut dice = Dice::new(seed);
        let mut options = self.options.clone();
        for OptionSpec { name, kind, unit, .. } in &self.about().options {
            let is_given = self.given.iter().any(|(given, _)| given == name);
            let is_kept = is_given || (seed.is_multiple_of(2) && options.integer(name) < LARGE_BYTES);
            if let (OptionKind::Integer { min, max }, "bytes", false) = (kind, unit.as_str(), is_kept) {
                let small = SMALL_BYTES[dice.roll(SMALL_BYTES.len() as u64) as usize].clamp(*min, *max);
                options.set(name, &small.to_string());
            }
        }
        Subject::of(self.plugin.clone(), options).with_scope(scope)
    }

    /// Tries one seed after the other until the time has passed, the trial's own first.
    pub(crate) fn for_seeds(&self, mut attempt: impl FnMut(u64) -> Result<(), Stop>) -> Result<u64, Stop> {
        let mut tried = 0;
        loop {
            let seed = self.seed.wrapping_add(tried);
            attempt(seed).map_err(|stop| stop.with_seed(seed))?;
            tried += 1;
            if self.time_left().is_zero() {
                return Ok(tried);
            }
        }
    }

    /// How much of the time is left.
    pub(crate) fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Runs a case, unless the engine lacks what it needs.
    pub(crate) fn run(&self, needs: Capabilities, case: fn(&Self) -> Verdict) -> Verdict {
        let lacks: Vec<_> = needs.names().filter(|name| !self.names().any(|has| has == *name)).collect();
        match lacks.is_empty() {
            true => case(self),
            false => Err(Stop::NotOffered(lacks.join(", "))),
        }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.about().capabilities.names()
    }
}

/// A finding with the steps that lead to it.
pub(crate) fn finding(message: String, reproducer: String) -> Stop {
    Stop::Finding(Finding { message, seed: None, reproducer: Some(reproducer) })
}
