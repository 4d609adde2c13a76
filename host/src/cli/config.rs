//! `config check`, `config explain`, `config default`: the configuration without a server.

use std::fmt::Write;

use super::arguments::SettingArguments;
use super::failure::Failure;
use super::{output, serve};
use crate::config;

/// Checks everything that can be checked without starting: the settings, the plugin, the engine's options.
pub fn check(arguments: &SettingArguments) -> Result<(), Failure> {
    let config = arguments.load()?;
    let plugin = serve::load_plugin(&config)?;
    let engine = plugin.loaded.description();
    config::engine_options(engine, &config.settings.storage.options)?;
    let (name, version, path) = (&engine.name, &engine.version, plugin.path.display());
    output::answer(&format!("The configuration is good. Engine: {name} {version} from {path}.\n"))?;
    Ok(())
}

/// Shows every effective value and where it came from; the engine's options too, if it can be loaded.
pub fn explain(arguments: &SettingArguments) -> Result<(), Failure> {
    let config = arguments.load()?;
    let mut text = config::explain(&config);
    match serve::load_plugin(&config) {
        Ok(plugin) => {
            let engine = plugin.loaded.description();
            let given = &config.settings.storage.options;
            let options = config::engine_options(engine, given)?;
            for spec in &engine.options {
                let origin =
                    given.iter().find(|option| option.name == spec.name).map(|option| &option.origin);
                let origin = origin.map_or_else(|| "default".to_string(), ToString::to_string);
                let value = options.text(&spec.name);
                let _ = writeln!(text, "storage.options.{} = {value:?}    (from: {origin})", spec.name);
                let _ = writeln!(text, "    {} Takes {}.", spec.help, spec.range());
            }
        }
        Err(error) => {
            let _ = writeln!(text, "The engine's options are not shown: {error}");
        }
    }
    output::answer(&text)?;
    Ok(())
}

/// Prints the sample file, or the settings as a table for the documents.
pub fn default(markdown: bool) -> Result<(), Failure> {
    output::answer(&if markdown { config::table() } else { config::sample() })?;
    Ok(())
}
