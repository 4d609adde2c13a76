//! The root of a plugin: the functions that the host finds in the library, before an engine is open.
//!
//! The library exports one symbol, a header of `abi_stable` that carries the layout of everything reachable
//! from `PluginModule`; the loader compares it with its own before the first call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use abi_stable::StableAbi;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleError, RootModuleResult};
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::package_version_strings;
use abi_stable::prefix_type::{PrefixRefTrait, PrefixTypeTrait};
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RErr, ROk, ROption, RStr, RString, RVec};

use super::data::{
    AbiDescription, AbiDurability, AbiGuarantee, AbiPair, Extension, guarantees_to_abi, options_from_abi,
};
use super::engine_glue::engine_object;
use super::environment_proxy::{ClockProxy, DirectoryProxy, LanesProxy};
use super::errors::AbiResult;
use super::guard::guard;
use super::tables::{ClockObject, DirectoryObject, EngineObject, LanesObject, WatchObject};
use super::watch::WatchProxy;
use crate::engine::{OpenRequest, Plugin, Watch};
use crate::environment::Environment;

/// What the host finds in a plugin. Grows by fields behind `open`, each `missing_field(option)`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModule_Ref)))]
pub struct PluginModule {
    /// Hands over the host's log; called once, before anything else.
    pub connect_log: extern "C" fn(LogSink),
    pub describe: extern "C" fn() -> AbiResult<AbiDescription>,
    pub guarantees: extern "C" fn(RVec<AbiPair>, AbiDurability) -> AbiResult<RVec<AbiGuarantee>>,
    #[sabi(last_prefix_field)]
    pub open: extern "C" fn(AbiOpenRequest) -> AbiResult<EngineObject>,
}

impl RootModule for PluginModule_Ref {
    abi_stable::declare_root_module_statics! {PluginModule_Ref}
    const BASE_NAME: &'static str = "engine";
    const NAME: &'static str = "engine";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// What an engine is opened with.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiOpenRequest {
    pub directory: DirectoryObject,
    pub clock: ClockObject,
    pub lanes: LanesObject,
    pub options: RVec<AbiPair>,
    pub durability: AbiDurability,
    pub salvage: ROption<WatchObject<'static>>,
    pub extensions: RVec<Extension>,
}

/// The host's log. Levels are those of `log`: 1 error … 5 trace.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct LogSink {
    pub max_level: usize,
    pub enabled: extern "C" fn(usize, RStr<'_>) -> bool,
    /// Level, target, module, line, message.
    pub log: extern "C" fn(usize, RStr<'_>, RStr<'_>, u32, RStr<'_>),
}

/// The header that `export_engine!` exports.
pub(crate) const fn header<E: Plugin>() -> LibHeader {
    // SAFETY: `root` returns a `PluginModule_Ref` erased to its prefix, which is what the header's type says.
    unsafe { LibHeader::from_constructor::<PluginModule_Ref>(root::<E>, CheckTypeLayout::Yes) }
}

extern "C" fn root<E: Plugin>() -> RootModuleResult {
    match catch_unwind(AssertUnwindSafe(module::<E>)) {
        // SAFETY: erasing the type of a prefix reference; the header names the type again.
        Ok(module) => ROk(unsafe { module.to_prefix_ref().cast::<ErasedPrefix>() }),
        Err(_) => RErr(RootModuleError::Unwound),
    }
}

/// The functions of the plugin `E`.
pub(crate) fn module<E: Plugin>() -> PluginModule_Ref {
    PluginModule {
        connect_log: connect_log::<E>,
        describe: describe::<E>,
        guarantees: guarantees::<E>,
        open: open::<E>,
    }
    .leak_into_prefix()
}

extern "C" fn describe<E: Plugin>() -> AbiResult<AbiDescription> {
    guard("describe", || Ok(E::describe().into()))
}

extern "C" fn guarantees<E: Plugin>(
    options: RVec<AbiPair>,
    durability: AbiDurability,
) -> AbiResult<RVec<AbiGuarantee>> {
    guard("guarantees", || {
        Ok(guarantees_to_abi(E::guarantees(&options_from_abi(options), durability.into())))
    })
}

extern "C" fn open<E: Plugin>(request: AbiOpenRequest) -> AbiResult<EngineObject> {
    guard("open", || {
        let environment = Environment {
            directory: Arc::new(DirectoryProxy::new(request.directory)),
            clock: Arc::new(ClockProxy(request.clock)),
            lanes: Arc::new(LanesProxy(request.lanes)),
        };
        let salvage = request.salvage.into_option();
        let engine = E::open(OpenRequest {
            environment,
            options: options_from_abi(request.options),
            durability: request.durability.into(),
            salvage: salvage.map(|watch| Arc::new(WatchProxy::new(watch)) as Arc<dyn Watch>),
        })?;
        Ok(engine_object(engine))
    })
}

/// The log of this library, once the host has handed it over. A library has statics of its own, `log`'s
/// included, so what the host set up does not reach it by itself.
static LOG: OnceLock<ForwardLog> = OnceLock::new();

extern "C" fn connect_log<E: Plugin>(sink: LogSink) {
    // A `describe` that panics is told about when the loader calls it next.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let name = E::describe().name;
        let forward = LOG.get_or_init(|| ForwardLog { sink });
        if log::set_logger(forward).is_ok() {
            log::set_max_level(level_filter(sink.max_level));
            std::panic::set_hook(Box::new(move |panic| log::error!("engine {name} panicked: {panic}")));
        }
    }));
}

struct ForwardLog {
    sink: LogSink,
}

impl log::Log for ForwardLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        (self.sink.enabled)(metadata.level() as usize, metadata.target().into())
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let message = RString::from(record.args().to_string());
            let module = RStr::from(record.module_path().unwrap_or_default());
            let line = record.line().unwrap_or(0);
            (self.sink.log)(record.level() as usize, record.target().into(), module, line, message.as_rstr());
        }
    }

    fn flush(&self) {}
}

fn level_filter(level: usize) -> log::LevelFilter {
    log::LevelFilter::iter().nth(level).unwrap_or(log::LevelFilter::Trace)
}
