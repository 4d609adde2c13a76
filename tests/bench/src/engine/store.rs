//! The engine under experiment: the plugin, its lanes and the real disk, as in the server, in a folder of its own.
//!
//! Promises: nothing of the sequencer or of a server is in the way: `put` is one durable `apply`. Bytes written are the
//! environment's own count, by cause. A store whose background work failed gives no figure: `close` is an error then.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adapter_api::environment::Cause;
use adapter_api::host::{LoadedPlugin, StorageAdapter};
use adapter_api::{
    BatchBuilder, Capabilities, Durability, EngineError, KeyRange, Options, StorageEngine, Watch,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::TempDir;

use super::Request;
use super::data::{shuffled, value};
use crate::load::key;
use crate::opened::Opened;

/// Entries of one batch: about what a group of the server has when many clients write.
pub(super) const BATCH: u64 = 100;
/// Segments of the log when it is only tried whether everything works: larger ones take longer to prepare.
const QUICK_SEGMENT: (&str, u64) = ("log_segment", 1 << 20);
/// What the files of the log are called, by the crate that our engines share.
pub(super) const LOG_FILES: [&str; 2] = ["log", "spare"];
/// How long an engine may take to come to rest, and over which time it writes nothing then.
const PATIENCE: Duration = Duration::from_secs(120);
const REST_WINDOW: Duration = Duration::from_millis(300);

/// Opens stores of one engine.
pub(super) struct Launcher {
    plugin: LoadedPlugin,
    given: Vec<(String, String)>,
    parent: PathBuf,
}

impl Launcher {
    /// The engine that was asked for, built if it is ours.
    pub(super) fn new(request: &Request) -> Result<Self> {
        let path = match request.engine.contains('/') {
            true => PathBuf::from(&request.engine),
            false => e2e::build::own_engine(&request.engine),
        };
        ensure!(
            path.exists(),
            "no engine of ours is called {}; or give the path of a plugin",
            request.engine
        );
        let plugin = LoadedPlugin::load(&path)?;
        let mut given = Vec::new();
        for option in &request.options {
            let (name, value) = option.split_once('=').context("an option is NAME=VALUE")?;
            given.push((name.to_string(), value.to_string()));
        }
        let parent = request.parent.clone().unwrap_or_else(|| e2e::build::built().target.join("tmp"));
        std::fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let mut launcher = Self { plugin, given, parent };
        let (name, bytes) = QUICK_SEGMENT;
        if request.scale.is_quick && launcher.has_option(name) && !launcher.is_given(name) {
            launcher.given.push((name.to_string(), bytes.to_string()));
        }
        Ok(launcher)
    }

    /// The engine with its version.
    pub(super) fn engine(&self) -> String {
        let about = self.plugin.description();
        format!("{} {}", about.name, about.version)
    }

    /// The name of the engine.
    pub(super) fn name(&self) -> String {
        self.plugin.description().name.clone()
    }

    /// Its options that differ from what they are by default.
    pub(super) fn options(&self) -> Result<Vec<String>> {
        let specs = &self.plugin.description().options;
        let default = Options::complete(specs, []).map_err(|error| anyhow!(error))?;
        let options = self.complete(&[])?;
        let changed = options.iter().filter(|(name, value)| default.text(name) != *value);
        Ok(changed.map(|(name, value)| format!("{name}={value}")).collect())
    }

    pub(super) fn has_option(&self, name: &str) -> bool {
        self.plugin.description().options.iter().any(|option| option.name == name)
    }

    /// Whether somebody gave a value for this option.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given == name)
    }

    fn complete(&self, set: &[(&str, String)]) -> Result<Options> {
        let specs = &self.plugin.description().options;
        let given = self.given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut options = Options::complete(specs, given).map_err(|error| anyhow!(error))?;
        for (name, value) in set {
            let spec = specs.iter().find(|spec| spec.name == *name);
            let spec = spec.with_context(|| format!("it has no option {name}, which this is about"))?;
            options.set(name, &spec.check(value).map_err(|error| anyhow!(error))?);
        }
        Ok(options)
    }

    /// A store with nothing in it, with some options set whatever was given for them.
    pub(super) fn open(&self, set: &[(&str, u64)]) -> Result<Store> {
        let set: Vec<_> = set.iter().map(|(name, value)| (*name, value.to_string())).collect();
        self.open_with(&set)
    }

    /// The same with options that need not be numbers.
    pub(super) fn open_with(&self, set: &[(&str, String)]) -> Result<Store> {
        let options = self.complete(set)?;
        let folder = tempfile::Builder::new().prefix("experiment-").tempdir_in(&self.parent)?;
        let opened = Opened::open(&self.plugin, &folder.path().join("data"), options, Durability::Always)?;
        Ok(Store { opened, folder })
    }
}

/// An open store. Its folder goes with the value.
pub(super) struct Store {
    opened: Opened,
    folder: TempDir,
}

/// Bytes written so far, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written([u64; Cause::ALL.len()]);

impl Written {
    pub(super) fn of(self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    pub(super) fn total(self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self(std::array::from_fn(|cause| self.0[cause] - before.0[cause]))
    }
}

impl Store {
    pub(super) fn engine(&self) -> &StorageAdapter {
        self.opened.storage.adapter()
    }

    /// A number among the engine's options in use.
    pub(super) fn option(&self, name: &str) -> Option<u64> {
        let (_, value) = self.opened.storage.options().iter().find(|(option, _)| *option == name)?;
        value.parse().ok()
    }

    /// Puts a version of the values of these keys, durably, as one batch.
    pub(super) fn put(&self, numbers: impl IntoIterator<Item = u64>, version: u64) -> Result<()> {
        let mut batch = BatchBuilder::new();
        for number in numbers {
            batch.put(&key(number), &value(number, version))?;
        }
        Ok(self.engine().apply(batch.as_batch())?)
    }

    /// Puts version 0 of the values of these keys, batch by batch.
    pub(super) fn fill(&self, numbers: &[u64]) -> Result<()> {
        numbers.chunks(BATCH as usize).try_for_each(|some| self.put(some.iter().copied(), 0))
    }

    /// Puts version 0 of the values of the keys `0..keys` in random order, and has the engine put itself in order.
    pub(super) fn fill_and_rest(&self, keys: u64) -> Result<()> {
        self.fill(&shuffled(keys, 1))?;
        self.compact()?;
        self.come_to_rest()
    }

    /// Deletes these keys, batch by batch.
    pub(super) fn delete(&self, numbers: &[u64]) -> Result<()> {
        for some in numbers.chunks(BATCH as usize) {
            let mut batch = BatchBuilder::new();
            some.iter().try_for_each(|number| batch.delete(&key(*number)))?;
            self.engine().apply(batch.as_batch())?;
        }
        Ok(())
    }

    /// The sum of a metric over its labels, if the engine reports it.
    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.engine().metrics().into_iter().filter(|metric| metric.name == name);
        metrics.map(|metric| metric.value).reduce(|sum, value| sum + value)
    }

    /// A metric by what one of its labels says; empty if the engine does not report it so.
    pub(super) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let metrics = self.engine().metrics().into_iter().filter(|metric| metric.name == name);
        let labelled = metrics.filter_map(|metric| {
            let (_, value) = metric.labels.into_iter().find(|(own, _)| own == label)?;
            Some((value, metric.value))
        });
        labelled.collect()
    }

    /// A metric without which the experiment says nothing.
    pub(super) fn needed_metric(&self, name: &str) -> Result<f64> {
        self.metric(name).with_context(|| format!("it reports no {name}, which this is about"))
    }

    pub(super) fn written(&self) -> Written {
        Written(self.opened.counters.counts().written_bytes)
    }

    /// Has the engine put itself in order, if it can.
    pub(super) fn compact(&self) -> Result<()> {
        match self.opened.storage.has(Capabilities::COMPACT) {
            true => Ok(self.engine().compact(KeyRange::all(), &Unwatched)?),
            false => Ok(()),
        }
    }

    /// Waits until the engine writes nothing of its own any more.
    pub(super) fn come_to_rest(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let before = self.written();
            std::thread::sleep(REST_WINDOW);
            if self.written() == before && self.engine().pressure().level == 0 {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "it does not come to rest");
        }
    }

    /// Room that its files take on disk without those of the log, in bytes.
    pub(super) fn disk_bytes_without_log(&self) -> Result<u64> {
        let files = self.disk_bytes()?;
        let others = files.iter().filter(|(name, _)| !LOG_FILES.contains(&name.as_str()));
        Ok(others.map(|(_, bytes)| bytes).sum())
    }

    /// Room that its files take on disk, in bytes, by the first word of their names.
    pub(super) fn disk_bytes(&self) -> Result<BTreeMap<String, u64>> {
        let mut bytes = BTreeMap::new();
        add_files(&self.folder.path().join("data").join("data"), &mut bytes)?;
        Ok(bytes)
    }

    /// Ends in order.
    pub(super) fn close(self) -> Result<()> {
        for failures in ["checkpoint_failures", "compaction_failures", "flush_failures"] {
            let count = self.metric(failures).unwrap_or(0.0);
            ensure!(count == 0.0, "it reports {count} {failures}: such a run has no figure");
        }
        if let Some(reason) = self.engine().write_refusal() {
            bail!("it takes no more writes: {reason}");
        }
        Ok(self.opened.storage.close()?)
    }
}

fn add_files(folder: &Path, bytes: &mut BTreeMap<String, u64>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                add_files(&entry.path(), bytes)?;
                continue;
            }
            Ok(metadata) => metadata,
            // The engine may remove a file while we look.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let word: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
        *bytes.entry(word).or_default() += metadata.blocks() * 512;
    }
    Ok(())
}

struct Unwatched;

impl Watch for Unwatched {
    fn progress(&self, _: u64, _: u64) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }

    fn finding(&self, _: EngineError) {}
}
