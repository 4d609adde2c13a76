//! `engines`: what is in the plugin folders.

use std::fmt::Write;

use serde_json::{Value, json};

use super::arguments::EnginesArguments;
use super::failure::Failure;
use super::{inspect, output, serve};
use crate::storage::registry::{Found, Registry};

/// Lists every plugin found, or why it is refused. A refused plugin is part of the answer, not a failure.
pub fn engines(arguments: &EnginesArguments) -> Result<(), Failure> {
    let config = arguments.place.load()?;
    let registry = serve::registry(&config.settings)?;
    let found = registry.survey()?;
    let text = if arguments.json { as_json(&found) } else { as_text(&registry, &found) };
    output::answer(&text)?;
    Ok(())
}

fn as_json(found: &[Found]) -> String {
    let all: Vec<Value> = found
        .iter()
        .map(|Found { name, path, plugin }| match plugin {
            Ok(plugin) => inspect::summary_json(plugin),
            Err(error) => {
                json!({"name": name, "file": path.display().to_string(), "refused": error.to_string()})
            }
        })
        .collect();
    format!("{:#}\n", Value::from(all))
}

fn as_text(registry: &Registry, found: &[Found]) -> String {
    let mut text = String::new();
    for Found { name, path, plugin } in found {
        let _ = match plugin {
            Ok(plugin) => {
                let engine = plugin.loaded.description();
                let capabilities: Vec<_> = engine.capabilities.names().collect();
                let capabilities =
                    if capabilities.is_empty() { "none".to_string() } else { capabilities.join(", ") };
                let (version, format, summary) = (&engine.version, engine.format, &engine.summary);
                writeln!(
                    text,
                    "{name}  {version}, format {format}: {summary}\n    can: {capabilities}\n    file: {}",
                    plugin.path.display()
                )
            }
            Err(error) => writeln!(text, "{name}  REFUSED: {error}\n    file: {}", path.display()),
        };
    }
    if found.is_empty() {
        let folders: Vec<_> = registry.folders().iter().map(|folder| folder.display().to_string()).collect();
        let _ = writeln!(
            text,
            "No engine (libengine_NAME.so) in {}. Put one there, or name its folder with --plugin-dir.",
            folders.join(", ")
        );
    }
    text
}
