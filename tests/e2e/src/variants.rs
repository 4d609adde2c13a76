//! Copies of the contract that differ from ours, and engines built against them: older, newer, incompatible,
//! compiled by another compiler.
//!
//! Promises: each variant is built at most once per process and only if it is stale. All of them share their
//! third-party dependencies in one target folder; every variant has names of its own, so that cargo cannot
//! take one for the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;

/// A text of the contract that a variant replaces.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The file, relative to the folder of `adapter_api`.
    pub file: &'static str,
    /// What stands there now. It must stand there, or the variant would test nothing.
    pub from: String,
    /// What the variant has in its place.
    pub to: String,
}

/// A copy of the contract and the stranger's engine `tally` on top of it.
#[derive(Debug, Clone)]
pub struct Variant {
    /// One word, its own for each variant.
    pub name: &'static str,
    /// How the copy differs.
    pub edits: Vec<Edit>,
    /// The toolchain that builds it, if it is not the one that builds the tests.
    pub toolchain: Option<String>,
}

impl Variant {
    /// Builds the engine against the changed contract and returns its shared library.
    pub fn build(&self) -> PathBuf {
        let folder = build::strangers_target().with_file_name("variants").join(self.name);
        self.write(&folder);
        let mut cargo = match &self.toolchain {
            None => Command::new(build::cargo()),
            Some(toolchain) => rustup_run(toolchain),
        };
        cargo.current_dir(&folder).args(["build", "-p", &self.engine()]);
        let artifacts = build::artifacts(cargo.env("CARGO_TARGET_DIR", build::strangers_target()));
        build::find(&artifacts, &format!("lib{}.so", self.engine()))
    }

    fn engine(&self) -> String {
        format!("engine_tally_{}", self.name)
    }

    /// Lays a workspace out: the changed contract and the engine, with the versions of our lock file.
    fn write(&self, folder: &Path) {
        let contract = format!("adapter_api_{}", self.name);
        let root = read(&build::root().join("Cargo.toml"));
        let members = format!("members = [{contract:?}, {:?}]\nignored = [", self.engine());
        let root = replace_once(&root, "members = [", &members);
        let root = comment_out(&root, &["ignored =", "exclude ="]);
        let root = replace_once(&root, "path = \"adapter_api\"", &format!("path = {contract:?}"));
        write_if_changed(&folder.join("Cargo.toml"), &root);
        if !folder.join("Cargo.lock").exists() {
            write_if_changed(&folder.join("Cargo.lock"), &read(&build::root().join("Cargo.lock")));
        }
        self.write_contract(&folder.join(&contract));
        self.write_engine(&folder.join(self.engine()), &contract);
    }

    fn write_contract(&self, folder: &Path) {
        let original = build::root().join("adapter_api");
        let mut files = Vec::new();
        list_files(&original.join("src"), &mut files);
        files.push(original.join("Cargo.toml"));
        for file in files {
            let name = file.strip_prefix(&original).expect("the file is inside");
            let edits = self.edits.iter().filter(|edit| Path::new(edit.file) == name);
            let text = without_tests(&read(&file), name);
            let text = edits.fold(text, |text, edit| replace_once(&text, &edit.from, &edit.to));
            write_if_changed(&folder.join(name), &text);
        }
    }

    fn write_engine(&self, folder: &Path, contract: &str) {
        let original = build::root().join("tests/third_party/tally");
        let manifest = read(&original.join("Cargo.toml"));
        let manifest =
            replace_once(&manifest, "name = \"engine_tally\"", &format!("name = {:?}", self.engine()));
        let manifest = replace_once(&manifest, "../../../adapter_api", &format!("../{contract}"));
        write_if_changed(&folder.join("Cargo.toml"), &manifest);
        write_if_changed(&folder.join("src/lib.rs"), &read(&original.join("src/lib.rs")));
    }
}

/// A toolchain that is installed beside the one that builds the tests and has another compiler.
pub fn other_toolchain() -> Option<String> {
    let own =
        compiler_version(&mut Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())))?;
    let list = Command::new("rustup").args(["toolchain", "list"]).output().ok()?;
    let list = String::from_utf8(list.stdout).ok()?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_string);
    // An older compiler than ours need not understand the contract's sources, a nightly one does.
    names.filter(|name| name.starts_with("nightly")).find(|name| {
        let mut rustc = Command::new("rustup");
        compiler_version(rustc.args(["run", name, "rustc"])).is_some_and(|version| version != own)
    })
}

fn compiler_version(rustc: &mut Command) -> Option<String> {
    let output = rustc.arg("--version").output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// Another toolchain's cargo, without what the outer cargo tells its children about its own.
fn rustup_run(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]);
    for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "CARGO"] {
        command.env_remove(name);
    }
    command
}

/// Replaces a text that stands exactly once.
#[track_caller]
pub fn replace_once(text: &str, from: &str, to: &str) -> String {
    let found = text.matches(from).count();
    assert_eq!(found, 1, "the text {from:?} must stand once, it stands {found} times");
    text.replacen(from, to, 1)
}

fn comment_out(text: &str, starts: &[&str]) -> String {
    let lines = text.lines().map(|line| match starts.iter().any(|start| line.starts_with(start)) {
        true => format!("# {line}\n"),
        false => format!("{line}\n"),
    });
    lines.collect()
}

/// A manifest without its tests and benches and what they need, which the copy does not have; any other file
/// as it is.
fn without_tests(text: &str, name: &Path) -> String {
    if name != Path::new("Cargo.toml") {
        return text.to_string();
    }
    let is_dropped = |header: &str| header.contains("dev-dependencies") || header.starts_with("[[");
    let mut dropping = false;
    let kept = text.lines().filter(|line| {
        if line.starts_with('[') {
            dropping = is_dropped(line);
        }
        !dropping
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("list a folder of sources") {
        let path = entry.expect("list a folder of sources").path();
        match path.is_dir() {
            true => list_files(&path, files),
            false => files.push(path),
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Leaves a file that is right untouched, so that cargo sees nothing to build.
fn write_if_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    let folder = path.parent().expect("the file lies in a folder");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).expect("write a variant");
}
