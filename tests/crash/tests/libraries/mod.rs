//! The shared libraries that the tests load, built by cargo if they are stale.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::path::PathBuf;
use std::process::Command;

use crash::script::Script;
use crash::subject::Subject;

/// Options of logmap that make segments and checkpoints change every few operations.
pub const SMALL: [(&str, &str); 2] = [("log_segment", "65536"), ("checkpoint_log_bytes", "20000")];

/// A folder for what is built beside the tests' own programs.
pub fn target(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("a test is a program");
    program.ancestors().nth(3).expect("cargo puts tests three folders deep").join("tmp").join(name)
}

/// One of our engines, as the server would load it.
pub fn own(engine: &str) -> PathBuf {
    let mut cargo = Command::new(e2e::build::cargo());
    cargo.current_dir(e2e::build::root()).args(["build", "-p", &format!("engine_{engine}")]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    e2e::build::find(&e2e::build::artifacts(&mut cargo), &format!("libengine_{engine}.so"))
}

/// The scripts of tests/scripts, or of a folder in it, with their names.
pub fn scripts(folder: &str) -> Vec<(String, Script)> {
    let folder = e2e::build::root().join("tests/crash/tests/scripts").join(folder);
    let files =
        std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a script is text");
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        (
            name.unwrap_or_default(),
            text.parse().unwrap_or_else(|reason| panic!("{}: {reason}", path.display())),
        )
    };
    let mut scripts: Vec<_> = files.filter(|path| path.is_file()).map(read).collect();
    scripts.sort_by(|one, other| one.0.cmp(&other.0));
    scripts
}

/// A stranger's engine, built where the end-to-end tests build it too.
pub fn tally() -> PathBuf {
    let mut cargo = Command::new(e2e::build::cargo());
    cargo.current_dir(e2e::build::root().join("tests/third_party")).args(["build", "--locked"]);
    cargo.env("CARGO_TARGET_DIR", target("strangers"));
    e2e::build::find(&e2e::build::artifacts(&mut cargo), "libengine_tally.so")
}

/// Logmap with a bug inside, by the name of its feature; in a target folder of its own, so that nothing which ships
/// is taken for it.
pub fn planted(bug: &str) -> Subject {
    let mut cargo = Command::new(e2e::build::cargo());
    cargo.current_dir(e2e::build::root()).args(["build", "-p", "engine_logmap", "--features", bug]);
    let built = e2e::build::artifacts(cargo.env("CARGO_TARGET_DIR", target("planted")));
    // The next bug is built over this one.
    let copy = target("planted").join(format!("libengine_logmap_{bug}.so"));
    std::fs::copy(e2e::build::find(&built, "libengine_logmap.so"), &copy).expect("copy a library");
    Subject::load(&copy, &SMALL).expect("the library loads")
}
