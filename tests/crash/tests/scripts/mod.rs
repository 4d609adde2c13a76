//! The scripts that are kept here, and how the engines they are about are opened.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::path::PathBuf;

use crash::script::Script;

/// Options of logmap that make segments and checkpoints change every few operations.
pub const SMALL: [(&str, &str); 2] = [("log_segment", "65536"), ("checkpoint_log_bytes", "20000")];

/// The scripts that are kept here, or in a folder in here, with their names.
pub fn kept(folder: &str) -> Vec<(String, Script)> {
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
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
    let mut scripts: Vec<_> = files.filter(is_script).map(read).collect();
    scripts.sort_by(|one, other| one.0.cmp(&other.0));
    scripts
}
