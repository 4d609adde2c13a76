//! Where things lie: the top level is short, and a file's name says what is in it.

use crate::source::{Violation, root};

/// What may lie at the top, beside names that begin with a dot.
const TOP_LEVEL: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "README.md",
    "adapter_api",
    "engines",
    "host",
    "notes",
];
/// Beside those: the tests, and what building and running leave behind, which git ignores.
const ALSO: [&str; 3] = ["tests", "target", "enginebay-data"];
/// Names that say nothing.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "helper", "helpers", "manager", "misc", "common", "shared", "tools"];

/// Names at the top level that have no place there.
pub fn check_top_level(names: &[String]) -> Vec<Violation> {
    let strange = names.iter().filter(|name| {
        !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()) && !ALSO.contains(&name.as_str())
    });
    let violation = |name: &String| Violation {
        path: name.clone(),
        line: 0,
        message: "the top level holds nothing but what the design lists".to_string(),
    };
    strange.map(violation).collect()
}

/// Files and folders whose names say nothing.
pub fn check_names(paths: &[String]) -> Vec<Violation> {
    let is_empty = |part: &str| EMPTY_NAMES.contains(&part.split('.').next().unwrap_or(part));
    let empty = paths.iter().filter(|path| path.split('/').any(is_empty));
    let message = "a name says what is inside; this one fits anything".to_string();
    empty.map(|path| Violation { path: path.clone(), line: 0, message: message.clone() }).collect()
}

/// The names at the top level of the repository.
pub fn top_level() -> Vec<String> {
    let entries = std::fs::read_dir(root()).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_tidy, source};

    #[test]
    fn the_top_level_holds_what_the_design_lists() {
        let names = top_level();
        assert!(names.iter().any(|name| name == "Cargo.toml"));
        assert_tidy(&check_top_level(&names));
    }

    #[test]
    fn a_stray_file_at_the_top_is_caught() {
        let names = ["Cargo.toml", ".ci", "TODO.md"].map(str::to_string);
        assert_eq!(check_top_level(&names).len(), 1);
    }

    #[test]
    fn names_of_files_say_what_is_inside() {
        let files: Vec<_> = source::below("", "")
            .into_iter()
            .map(|source| source.path)
            .filter(|p| p != "notes/tools.md")
            .collect();
        assert_tidy(&check_names(&files));
    }

    #[test]
    fn an_empty_name_is_caught() {
        let names =
            ["host/src/utils.rs", "host/src/helpers/x.rs", "host/src/storage/lanes.rs"].map(str::to_string);
        assert_eq!(check_names(&names).len(), 2);
    }
}
