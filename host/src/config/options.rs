//! The engine's own options, checked against the engine's own schema.

use adapter_api::{Description, Options};

use super::{ConfigError, GivenOption, Origin, suggest};

/// Every option of the engine, with its value in `given` or else with its default.
///
/// # Errors
/// The first option that the engine does not have or does not take, with the place where it was given.
pub fn engine_options(engine: &Description, given: &[GivenOption]) -> Result<Options, ConfigError> {
    for GivenOption { name, value, origin } in given {
        let Some(spec) = engine.options.iter().find(|spec| spec.name == *name) else {
            let names = engine.options.iter().map(|spec| spec.name.as_str());
            let all = match engine.options.len() {
                0 => "; it has no options".to_string(),
                _ => format!("; it has {}", names.clone().collect::<Vec<_>>().join(", ")),
            };
            let hint = suggest::hint(suggest::nearest(name, names), &all);
            let message = format!("engine {} has no option {name:?}{hint}", engine.name);
            return Err(ConfigError::refused(origin, message));
        };
        spec.check(value)
            .map_err(|message| ConfigError::refused(origin, format!("engine {}: {message}", engine.name)))?;
    }
    let pairs = given.iter().map(|option| (option.name.as_str(), option.value.as_str()));
    Options::complete(&engine.options, pairs).map_err(|message| {
        ConfigError::refused(&Origin::Default, format!("engine {}: {message}", engine.name))
    })
}
