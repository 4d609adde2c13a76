//! The engine under judgement: the plugin as it ships, with the options it is opened with.

use std::path::Path;
use std::sync::Arc;

use adapter_api::environment::fault::{FaultPlan, FaultyDirectory};
use adapter_api::environment::{Clock, Lanes};
use adapter_api::host::{LoadedPlugin, StorageAdapter};
use adapter_api::{
    Capabilities, Durability, EngineError, Environment, OpenRequest, Options, Plugin, StorageEngine,
};

use crate::environment::{Disk, Lie, SimulatedClock, SimulatedLanes};
use crate::scope::Scope;

/// Wraps an engine in one that does something wrong: a planted bug above the engine.
pub type Wrap = fn(StorageAdapter) -> StorageAdapter;

/// An engine, how it is opened, and what is planted around it.
#[derive(Clone)]
pub struct Subject {
    plugin: LoadedPlugin,
    options: Options,
    /// The class of durability.
    pub durability: Durability,
    /// A planted bug between engine and disk.
    pub lie: Lie,
    /// Whether the disks of copies are honest.
    pub has_honest_copies: bool,
    /// A planted bug above the engine.
    pub wrap: Option<Wrap>,
    /// What of it is judged.
    pub scope: Scope,
    /// Counters among its metrics whose growth is noted down beside the moments of its lives.
    pub counted: Vec<Arc<str>>,
}

impl Subject {
    /// The engine in a shared library, with some of its options.
    ///
    /// # Errors
    /// A sentence: what is wrong with the file, or with an option.
    pub fn load(path: &Path, options: &[(&str, &str)]) -> Result<Self, String> {
        Self::new(LoadedPlugin::load(path).map_err(|error| error.to_string())?, options)
    }

    /// An engine that is linked into this program.
    ///
    /// # Errors
    /// A sentence: what is wrong with an option.
    pub fn in_process<E: Plugin>(options: &[(&str, &str)]) -> Result<Self, String> {
        Self::new(LoadedPlugin::in_process::<E>(), options)
    }

    fn new(plugin: LoadedPlugin, options: &[(&str, &str)]) -> Result<Self, String> {
        let options = Options::complete(&plugin.description().options, options.iter().copied())?;
        Ok(Self::of(plugin, options))
    }

    /// A loaded engine with all of its options.
    pub fn of(plugin: LoadedPlugin, options: Options) -> Self {
        let (durability, lie, scope) = (Durability::Always, Lie::None, Scope::Everything);
        Self {
            plugin,
            options,
            durability,
            lie,
            has_honest_copies: false,
            wrap: None,
            scope,
            counted: Vec::new(),
        }
    }

    /// The same engine, of which one promise is judged.
    pub fn with_scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same engine in another class of durability.
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// The same engine on a disk that lies.
    pub fn with_lie(self, lie: Lie) -> Self {
        Self { lie, ..self }
    }

    /// The same engine, whose copies go to a disk that does not lie.
    pub fn with_honest_copies(self) -> Self {
        Self { has_honest_copies: true, ..self }
    }

    /// The same engine, with these counters noted down.
    pub fn with_counted<'n>(self, counters: impl IntoIterator<Item = &'n str>) -> Self {
        Self { counted: counters.into_iter().map(Arc::from).collect(), ..self }
    }

    /// The same engine, called through something that is wrong.
    pub fn with_wrap(self, wrap: Wrap) -> Self {
        Self { wrap: Some(wrap), ..self }
    }

    /// The engine's name.
    pub fn name(&self) -> &str {
        &self.plugin.description().name
    }

    /// The options that were given or are the default.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter()
    }

    /// Whether the engine has a primitive.
    pub fn can(&self, capability: Capabilities) -> bool {
        self.plugin.description().capabilities.has(capability)
    }

    /// Opens the store on a disk, and sets its lanes going.
    pub(crate) fn open(
        &self,
        disk: &Disk,
        plan: Option<&Arc<FaultPlan>>,
        clock: &Arc<SimulatedClock>,
        lanes: &Arc<SimulatedLanes>,
    ) -> Result<StorageAdapter, EngineError> {
        let root = disk.root();
        let directory = match plan {
            Some(plan) => Arc::new(FaultyDirectory::new(root, Arc::clone(plan))),
            None => root,
        };
        let environment = Environment {
            directory,
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            lanes: Arc::clone(lanes) as Arc<dyn Lanes>,
        };
        let mut request = OpenRequest::new(environment);
        request.options = self.options.clone();
        request.durability = self.durability;
        disk.plant(self.lie);
        disk.set_opening(true);
        let opened = self.plugin.open(request);
        disk.set_opening(false);
        let opened = opened?;
        let engine = match self.wrap {
            Some(wrap) => wrap(opened),
            None => opened,
        };
        lanes.run(Some(engine.clone()));
        Ok(engine)
    }
}

/// Closes a store in order.
pub(crate) fn close(engine: StorageAdapter, lanes: &SimulatedLanes) -> Result<(), EngineError> {
    lanes.run(None);
    engine.close()
}
