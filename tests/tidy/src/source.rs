//! The files of the repository, and what a rule says about one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold what was built, fetched or stored, not what was written.
const NOT_OURS: [&str; 4] = ["target", ".git", "enginebay-data", "results"];

/// One text file of the repository.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the root of the repository, with `/` between the parts.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// What breaks a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The file, relative to the root of the repository.
    pub path: String,
    /// The line, from 1; 0 stands for the file as a whole.
    pub line: usize,
    /// Which rule is broken and by what.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

impl Source {
    /// A file that exists only in a test.
    pub fn planted(path: &str, text: &str) -> Self {
        Self { path: path.to_string(), text: text.to_string() }
    }

    /// A violation in this file.
    pub fn violation(&self, line: usize, message: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, message: message.into() }
    }

    /// Whether the file holds tests or benches alone: they may do what the code they test must not.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/benches/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tidy lies two folders deep")
        .to_path_buf()
}

/// Every file below the folder whose name ends in the text; the folder is relative to the root.
pub fn below(folder: &str, ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    let wanted = paths.iter().filter(|path| path.to_string_lossy().ends_with(ending));
    wanted.map(|path| read(path)).collect()
}

/// One file, if it is there; the path is relative to the root.
pub fn file(path: &str) -> Option<Source> {
    let path = root().join(path);
    path.is_file().then(|| read(&path))
}

fn read(path: &Path) -> Source {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let relative = path.strip_prefix(root()).expect("the walk began at the root");
    Source {
        path: relative.to_string_lossy().replace('\\', "/"),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name();
        match path.is_dir() {
            true if NOT_OURS.iter().any(|skipped| name == *skipped) => {}
            true => walk(&path, paths),
            false => paths.push(path),
        }
    }
}
