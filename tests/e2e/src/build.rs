//! Builds what the tests run: the host, our engines, the strangers' engines, a library that is no plugin.
//!
//! Promises: each is built at most once per process, and only if it is stale; the host in the profile of the
//! test itself. `cargo test` alone builds no shared library, which is why the tests ask cargo for them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The host and the folder of its own engines.
#[derive(Debug)]
pub struct Built {
    /// The server's executable. Our engines lie beside it, where the server looks for plugins.
    pub host: PathBuf,
    /// Where cargo keeps what it builds.
    pub target: PathBuf,
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Our engines.
const OWN_ENGINES: [&str; 5] = ["memory", "snapshot", "logmap", "btree", "lsm"];

/// The host and our engines, built if they are stale.
pub fn built() -> &'static Built {
    // A build that failed is remembered too: trying it again for every test would only take long.
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let mut cargo = Command::new(cargo());
        cargo.current_dir(root()).args(["build", "-p", "enginebay"]);
        for engine in OWN_ENGINES {
            cargo.args(["-p", &format!("engine_{engine}")]);
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let artifacts = try_artifacts(&mut cargo)?;
        let host = find(&artifacts, "enginebay");
        for engine in OWN_ENGINES {
            let library = find(&artifacts, &format!("libengine_{engine}.so"));
            assert_eq!(library.parent(), host.parent(), "{engine} lies beside the host");
        }
        let target = host.ancestors().nth(2).expect("cargo puts executables two folders deep").to_path_buf();
        Ok(Built { host, target })
    });
    built.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// One of our engines, by its name.
pub fn own_engine(name: &str) -> PathBuf {
    built().host.with_file_name(format!("libengine_{name}.so"))
}

/// One of our engines with a bug inside, by the name of its feature `planted_…`; among the strangers' engines, so that
/// nothing which ships is taken for it.
pub fn planted_engine(name: &str, bug: &str) -> PathBuf {
    let target = strangers_target();
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root()).args(["build", "-p", &format!("engine_{name}"), "--features", bug]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = artifacts(cargo.env("CARGO_TARGET_DIR", &target));
    // The next bug is built over this one.
    let copy = target.join(format!("libengine_{name}_{bug}.so"));
    std::fs::copy(find(&built, &format!("libengine_{name}.so")), &copy).expect("copy a library");
    copy
}

/// One of the strangers' engines, by its name: `tally` or `faulty`.
pub fn stranger(name: &str) -> PathBuf {
    static ARTIFACTS: OnceLock<Result<Vec<PathBuf>, String>> = OnceLock::new();
    let artifacts = ARTIFACTS.get_or_init(|| {
        let mut cargo = Command::new(cargo());
        cargo.current_dir(root().join("tests/third_party")).args(["build", "--locked"]);
        try_artifacts(cargo.env("CARGO_TARGET_DIR", strangers_target()))
    });
    let artifacts = artifacts.as_ref().unwrap_or_else(|error| panic!("{error}"));
    find(artifacts, &format!("libengine_{name}.so"))
}

/// Where the strangers' engines are built: one folder for all, apart from ours, so that their dependencies
/// are compiled once. Nothing in it may share both a package name and a place relative to its workspace:
/// cargo would take one for the other.
pub fn strangers_target() -> PathBuf {
    built().target.join("tmp").join("strangers")
}

/// A shared library that is no plugin, made from a line of C.
pub fn library_in_c(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("plain.c"), folder.join("libplain.so"));
    std::fs::write(&source, "int answer(void) { return 42; }\n").expect("write a C file");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    let status = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(status.expect("the tests need a C compiler, cc").success(), "cc failed");
    library
}

/// The cargo that runs this test.
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs a build and returns the files it made or found fresh.
///
/// # Panics
/// If the build fails, with what cargo said.
pub fn artifacts(cargo: &mut Command) -> Vec<PathBuf> {
    try_artifacts(cargo).unwrap_or_else(|error| panic!("{error}"))
}

fn try_artifacts(cargo: &mut Command) -> Result<Vec<PathBuf>, String> {
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::piped());
    let output = cargo.output().map_err(|error| format!("{cargo:?} does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{cargo:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    Ok(messages.flat_map(|message| files_of(&message)).collect())
}

fn files_of(message: &serde_json::Value) -> Vec<PathBuf> {
    let files = message["filenames"].as_array().into_iter().flatten();
    files.filter_map(|file| file.as_str()).map(PathBuf::from).collect()
}

/// The file of that name among the artifacts.
pub fn find(artifacts: &[PathBuf], name: &str) -> PathBuf {
    let found = artifacts.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    found.unwrap_or_else(|| panic!("cargo made no {name}: {artifacts:?}")).clone()
}
