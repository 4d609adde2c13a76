//! `new-engine`: writes the crate of a new engine.
//!
//! Promises: the crate compiles, serves and earns its first badges as it is, for it is one that the tests build,
//! under another name. Nothing that is there already is written over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::arguments::NewEngineArguments;
use super::failure::Failure;
use super::output;

/// The crate under its own name, and what in it depends on where it lies.
const MANIFEST: &str = include_str!("../../../tests/third_party/starter/Cargo.toml");
const SOURCE: &str = include_str!("../../../tests/third_party/starter/src/lib.rs");
const NAME_OF_TEMPLATE: &str = "starter";
const CONTRACT_OF_TEMPLATE: &str = "\"../../../adapter_api\"";

/// Where the contract was when this program was built.
const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapter_api");

/// The longest name of an engine, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// Writes the crate, and says what to do with it.
pub fn new_engine(arguments: &NewEngineArguments) -> Result<(), Failure> {
    let name = &arguments.name;
    if !is_name(name) {
        return Err(Failure::Usage(format!(
            "{name:?} cannot be the name of an engine: write a lower-case letter, then up to {} lower-case letters, \
             digits and _",
            NAME_BYTES_MAX - 1
        )));
    }
    let contract = contract(arguments.adapter_api.as_deref())?;
    let folder = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let unable =
        |error: io::Error| Failure::Check(format!("{} cannot be written: {error}", folder.display()));
    match fs::read_dir(&folder).map(|mut names| names.next().is_some()) {
        Ok(true) => {
            return Err(Failure::Usage(format!(
                "{} is not empty; name a new folder with --dir",
                folder.display()
            )));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unable(error)),
        _ => {}
    }
    fs::create_dir_all(folder.join("src")).map_err(unable)?;
    for (file, text) in files(name, &contract) {
        fs::write(folder.join(file), text).map_err(unable)?;
    }
    output::answer(&next_steps(name, &folder))?;
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_letter)
}

/// The folder of the contract, which cargo must find from anywhere.
fn contract(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = given.unwrap_or(Path::new(CONTRACT));
    match folder.canonicalize() {
        Ok(folder) if folder.join("Cargo.toml").is_file() => Ok(folder),
        _ => Err(Failure::Usage(format!(
            "{} does not hold the crate adapter_api; name its folder with --adapter-api",
            folder.display()
        ))),
    }
}

/// The files of the crate.
fn files(name: &str, contract: &Path) -> [(&'static str, String); 3] {
    let contract = toml::Value::from(contract.display().to_string()).to_string();
    let manifest = MANIFEST.replace(CONTRACT_OF_TEMPLATE, &contract).replace(NAME_OF_TEMPLATE, name);
    // The crate is a workspace of its own, wherever it lies.
    let manifest = format!("{manifest}\n[workspace]\n");
    let source = SOURCE.replace("Starter", name).replace(NAME_OF_TEMPLATE, name);
    [("Cargo.toml", manifest), ("src/lib.rs", source), (".gitignore", "/target\n".to_string())]
}

fn next_steps(name: &str, folder: &Path) -> String {
    let folder = output::one_line(&folder.display().to_string());
    format!(
        "{folder} holds the engine {name}. Build it, judge it, serve it:\n\n    \
         cargo build --release --manifest-path {folder}/Cargo.toml\n    \
         enginebay check {folder}/target/release/libengine_{name}.so\n    \
         enginebay --engine {folder}/target/release/libengine_{name}.so --dir {name}-data\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_library_and_a_crate() {
        for good in ["a", "ledger", "b_tree2", &"x".repeat(32)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Ledger", "2tree", "_x", "my-engine", "../x", "a b", "é", &"x".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn nothing_of_the_template_is_left_but_its_code() {
        for (file, text) in files("ledger", Path::new("/a \"folder\"/adapter_api")) {
            assert!(!text.to_lowercase().contains(NAME_OF_TEMPLATE), "{file}: {text}");
            assert!(!text.contains(".."), "{file}: {text}");
        }
        let [(_, manifest), ..] = files("ledger", Path::new("/a \"folder\"/adapter_api"));
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("engine_ledger"));
        assert_eq!(
            manifest["dependencies"]["adapter_api"]["path"].as_str(),
            Some("/a \"folder\"/adapter_api")
        );
    }
}
