//! Loads a shared library, checks that it speaks this contract, and opens engines.
//!
//! The checks, in order, each with its own refusal: the file is there and can be read; it is a whole ELF
//! library for this machine; the dynamic linker takes it; it exports the header of a plugin; the header was
//! made by a compatible `abi_stable`; the contract has the same major version; the layout of everything that
//! crosses agrees, in one direction or the other. Only then is its first function called. A
//! plugin that is newer passes the forward check of `abi_stable`, an older one the same check backward, for
//! either may lack what the other has appended (notes/abi.md).
//!
//! A library stays in memory until the process ends: what it has handed out may live that long.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{
    AbiHeaderRef, LibHeader, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModule,
};
use abi_stable::std_types::{ROption, RVec};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::adapter::StorageAdapter;
use super::cut_check::check_whole;
use super::log_sink::log_sink;
use crate::abi::data::{guarantees_from_abi, pairs};
use crate::abi::environment_glue::{clock_object, directory_object, lanes_object};
use crate::abi::errors::{from_abi, with_sources};
use crate::abi::plugin::{AbiOpenRequest, PluginModule_Ref, module};
use crate::abi::watch::watch_object;
use crate::describe::{Description, Guarantees};
use crate::engine::{Durability, OpenRequest, Plugin};
use crate::error::Result;
use crate::options::Options;

/// A plugin whose code is in memory for the life of the process; opens engines.
#[derive(Clone)]
pub struct LoadedPlugin {
    path: PathBuf,
    module: PluginModule_Ref,
    about: Description,
}

/// Why a file is not a plugin for this host. `Display` is one line: what, which file, what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file, or it cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not a whole shared library for this machine.
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The dynamic linker refused it.
    Unlinkable {
        /// The file.
        path: PathBuf,
        /// What the linker said.
        reason: String,
    },
    /// A library, but it exports no engine.
    NotAPlugin {
        /// The file.
        path: PathBuf,
    },
    /// A plugin for another version of the contract.
    Incompatible {
        /// The file.
        path: PathBuf,
        /// Which versions, and what differs.
        reason: String,
    },
    /// A plugin that fails before it is opened.
    Broken {
        /// The file.
        path: PathBuf,
        /// What it did.
        reason: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(
                    f,
                    "plugin {} cannot be read: {source}; check the path and its permissions",
                    path.display()
                )
            }
            Self::NotALibrary { path, reason } => write!(
                f,
                "plugin {} is not a whole shared library for this machine: {reason}; build or copy it again",
                path.display()
            ),
            Self::Unlinkable { path, reason } => {
                write!(f, "plugin {} was refused by the dynamic linker: {reason}", path.display())
            }
            Self::NotAPlugin { path } => write!(
                f,
                "{} is a shared library but exports no engine; an engine's crate calls export_engine!",
                path.display()
            ),
            Self::Incompatible { path, reason } => write!(
                f,
                "plugin {} does not fit this host: {reason}; build it against adapter_api {}",
                path.display(),
                host_version()
            ),
            Self::Broken { path, reason } => {
                write!(f, "plugin {} is broken: {reason}; report it to the engine's author", path.display())
            }
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl LoadedPlugin {
    /// Loads a shared library and checks that it speaks this contract. Blocks for reading the file.
    ///
    /// The library's own initialisers run before any check of ours can: load only files whose origin is
    /// trusted.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let unreadable = |source| LoadError::Unreadable { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(LoadError::NotALibrary {
                path: path.to_path_buf(),
                reason: "not a regular file".into(),
            });
        }
        check_whole(&file).map_err(|reason| LoadError::NotALibrary { path: path.to_path_buf(), reason })?;
        let header = link(path, file)?;
        let module = check_layout(header)
            .map_err(|reason| LoadError::Incompatible { path: path.to_path_buf(), reason })?
            .map_err(|reason| LoadError::Broken { path: path.to_path_buf(), reason })?;
        module.connect_log()(log_sink());
        let broken = |reason| LoadError::Broken { path: path.to_path_buf(), reason };
        let about = from_abi(module.describe()()).map_err(|error| broken(error.to_string()))?.into();
        check_description(&about).map_err(broken)?;
        Ok(Self { path: path.to_path_buf(), module, about })
    }

    /// The engine `E`, linked into this very program, behind the same border as a loaded one.
    pub fn in_process<E: Plugin>() -> Self {
        Self { path: PathBuf::new(), module: module::<E>(), about: E::describe() }
    }

    /// The file it was loaded from; empty for one that is linked in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the engine says of itself.
    pub fn description(&self) -> &Description {
        &self.about
    }

    /// The engine's table of promises.
    ///
    /// # Errors
    /// `Failed` if the engine panics.
    pub fn guarantees(&self, options: &Options, durability: Durability) -> Result<Guarantees> {
        from_abi(self.module.guarantees()(pairs(options.iter()), durability.into())).map(guarantees_from_abi)
    }

    /// Opens the engine. Blocks as long as its recovery takes. The directory is claimed already, see
    /// [`DataDirectory`](super::DataDirectory).
    pub fn open(&self, request: OpenRequest) -> Result<StorageAdapter> {
        let salvage = request.salvage.map(watch_object);
        let engine = from_abi(self.module.open()(AbiOpenRequest {
            directory: directory_object(request.environment.directory),
            clock: clock_object(request.environment.clock),
            lanes: lanes_object(request.environment.lanes),
            options: pairs(request.options.iter()),
            durability: request.durability.into(),
            salvage: ROption::from(salvage),
            extensions: RVec::new(),
        }))?;
        Ok(StorageAdapter::new(engine, self.about.clone()))
    }
}

impl fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoadedPlugin({} from {})", self.about.name, self.path.display())
    }
}

/// Links the file that was checked, whatever its path names by now, and finds the header.
fn link(path: &Path, file: File) -> Result<&'static LibHeader, LoadError> {
    // The linker compares names before files: a number that is used again would bring the first library back.
    // So the descriptor of a library stays open as long as the library does, and its name is never reused.
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the library's initialisers run now. That they do no harm is what `load` asks of its caller.
    let library = unsafe { Library::open(Some(&by_descriptor), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| LoadError::Unlinkable {
        path: path.to_path_buf(),
        reason: whole_text(&error).replace(&by_descriptor, &path.display().to_string()),
    })?;
    let _ = file.into_raw_fd();
    // SAFETY: a symbol of this name is a header of `abi_stable`, which begins with a magic string that
    // `upgrade` checks before it looks at anything else.
    let header =
        unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()).map(|it| *it) };
    std::mem::forget(library);
    let header = header.map_err(|_| LoadError::NotAPlugin { path: path.to_path_buf() })?;
    header.upgrade().map_err(|error| {
        log::debug!("plugin {}: {error}", path.display());
        let reason = "it was built with another version of abi_stable".to_string();
        LoadError::Incompatible { path: path.to_path_buf(), reason }
    })
}

/// Compares versions and layouts. The outer error says what differs, the inner one that the plugin failed.
fn check_layout(header: &'static LibHeader) -> Result<Result<PluginModule_Ref, String>, String> {
    let theirs = header.version_strings().to_string();
    if major(&theirs) != major(&host_version()) {
        return Err(format!("it speaks adapter_api {theirs}, this host speaks {}", host_version()));
    }
    if let Err(error) = header.ensure_layout::<PluginModule_Ref>() {
        let ours = <PluginModule_Ref as StableAbi>::LAYOUT;
        let is_older = header.layout().is_some_and(|layout| check_layout_compatibility(layout, ours).is_ok());
        if !is_older {
            log::debug!("the layouts differ: {error}");
            return Err(format!("the layout of its adapter_api {theirs} is not this host's"));
        }
    }
    // SAFETY: one side's layout extends the other's, so all that both know has one layout; what only one of
    // them knows is reached through accessors that look whether it is there.
    let module = unsafe { header.init_root_module_with_unchecked_layout::<PluginModule_Ref>() };
    match module {
        Ok(module) => Ok(Ok(module)),
        Err(LibraryError::RootModule { .. }) => Ok(Err("its root function panicked".into())),
        Err(error) => Err(whole_text(&error)),
    }
}

/// What a description must be before anything is built on it.
fn check_description(about: &Description) -> Result<(), String> {
    let name_is_plain = (1..=32).contains(&about.name.len())
        && about.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if !name_is_plain {
        return Err(format!("it calls itself {:?}, names have 1 to 32 of a-z, 0-9, _ and -", about.name));
    }
    for option in &about.options {
        option.check(&option.default).map_err(|reason| format!("the default is not a value: {reason}"))?;
    }
    Ok(())
}

fn host_version() -> String {
    PluginModule_Ref::VERSION_STRINGS.to_string()
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

/// An error with its sources, in one line.
fn whole_text(error: &dyn Error) -> String {
    with_sources(error.to_string(), error.source()).replace('\n', " ")
}
