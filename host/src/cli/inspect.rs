//! `inspect`: what one plugin says of itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use adapter_api::{Capabilities, Durability, Guarantees, OptionKind, OptionSpec, Options};
use serde_json::{Value, json};

use super::arguments::InspectArguments;
use super::failure::Failure;
use super::output;
use crate::config::{durability_text, size};
use crate::storage::registry::{Plugin, Registry, sha256};

/// The guarantees under one choice of options and durability.
struct Choice {
    /// The option and its value; `None` for the defaults.
    option: Option<(String, String)>,
    durability: Durability,
    guarantees: Guarantees,
}

/// The classes that are shown besides `always`.
const WEAKER_CLASSES: [Durability; 2] = [Durability::Interval(Duration::from_millis(100)), Durability::Os];

/// Describes a plugin. It is loaded under the same checks as for `serve`, pins aside: what this prints is what
/// one pins.
pub fn inspect(arguments: &InspectArguments) -> Result<(), Failure> {
    let settings = arguments.place.load()?.settings;
    let plugin = Registry::new(&settings.plugins.dirs, BTreeMap::new())?.load(&arguments.engine)?;
    let hash = sha256(&plugin.path)?;
    let choices = choices(&plugin)?;
    let text =
        if arguments.json { as_json(&plugin, &hash, &choices) } else { as_text(&plugin, &hash, &choices) };
    output::answer(&text)?;
    Ok(())
}

/// The guarantees for the defaults, for every weaker class of durability if the engine is durable, and for every
/// other word of every option that is a choice of words.
fn choices(plugin: &Plugin) -> Result<Vec<Choice>, Failure> {
    let specs = &plugin.loaded.description().options;
    let choice = |given: Option<(&str, &str)>, durability| {
        let options =
            Options::complete(specs, given).map_err(|message| Failure::Check(broken(plugin, &message)))?;
        let guarantees = plugin.loaded.guarantees(&options, durability);
        let guarantees = guarantees.map_err(|error| Failure::Check(broken(plugin, &error.to_string())))?;
        let option = given.map(|(name, word)| (name.to_string(), word.to_string()));
        Ok::<_, Failure>(Choice { option, durability, guarantees })
    };
    let mut choices = vec![choice(None, Durability::Always)?];
    if plugin.loaded.description().capabilities.has(Capabilities::DURABLE) {
        for durability in WEAKER_CLASSES {
            choices.push(choice(None, durability)?);
        }
    }
    for OptionSpec { name, kind, default, .. } in specs {
        let OptionKind::Choice(words) = kind else { continue };
        for word in words.iter().filter(|word| *word != default) {
            choices.push(choice(Some((name, word)), Durability::Always)?);
        }
    }
    Ok(choices)
}

fn broken(plugin: &Plugin, message: &str) -> String {
    format!("the plugin {} is broken: {message}; report it to the engine's author", plugin.path.display())
}

/// What `engines --json` and `inspect --json` have in common.
pub fn summary_json(plugin: &Plugin) -> Value {
    let engine = plugin.loaded.description();
    json!({
        "name": engine.name,
        "version": engine.version,
        "format": engine.format,
        "summary": engine.summary,
        "capabilities": engine.capabilities.names().collect::<Vec<_>>(),
        "file": plugin.path.display().to_string(),
    })
}

fn as_json(plugin: &Plugin, hash: &str, choices: &[Choice]) -> String {
    let engine = plugin.loaded.description();
    let options: Vec<_> = engine.options.iter().map(option_json).collect();
    let lanes: Vec<_> =
        engine.lanes.iter().map(|lane| json!({"name": lane.name, "help": lane.help})).collect();
    let guarantees: Vec<_> = choices.iter().map(choice_json).collect();
    let mut all = summary_json(plugin);
    all["sha256"] = json!(hash);
    all["batch_bytes_max"] = json!(engine.batch_bytes_max);
    all["options"] = json!(options);
    all["lanes"] = json!(lanes);
    all["guarantees"] = json!(guarantees);
    format!("{all:#}\n")
}

fn option_json(spec: &OptionSpec) -> Value {
    let OptionSpec { name, kind, unit, default, help } = spec;
    let mut option = json!({"name": name, "unit": unit, "default": default, "help": help});
    match kind {
        OptionKind::Integer { min, max } => {
            option["kind"] = json!("integer");
            option["min"] = json!(min);
            option["max"] = json!(max);
        }
        OptionKind::Choice(words) => {
            option["kind"] = json!("choice");
            option["words"] = json!(words);
        }
        OptionKind::Flag => option["kind"] = json!("flag"),
        OptionKind::Text => option["kind"] = json!("text"),
    }
    option
}

fn choice_json(choice: &Choice) -> Value {
    let options: serde_json::Map<_, _> =
        choice.option.iter().map(|(name, word)| (name.clone(), json!(word))).collect();
    let line = |line: &adapter_api::Guarantee| json!({"promise": line.promise.name(), "kept": line.kept, "why": line.why});
    json!({
        "options": options,
        "durability": durability_text(choice.durability),
        "lines": choice.guarantees.lines().iter().map(line).collect::<Vec<_>>(),
    })
}

fn as_text(plugin: &Plugin, hash: &str, choices: &[Choice]) -> String {
    let engine = plugin.loaded.description();
    let mut text = String::new();
    let _ = writeln!(text, "{} {}: {}", engine.name, engine.version, engine.summary);
    let _ = writeln!(text, "file           {}\nsha256         {hash}", plugin.path.display());
    let _ = writeln!(text, "format         {}", engine.format);
    let _ = writeln!(
        text,
        "can            {}",
        or_none(engine.capabilities.names().collect::<Vec<_>>().join(", "))
    );
    let _ = writeln!(text, "largest batch  {}", size(engine.batch_bytes_max));
    let _ = writeln!(text, "\noptions ([storage.options], --option NAME=VALUE):");
    for spec in &engine.options {
        let _ = writeln!(text, "  {} = {}: {}\n      {}", spec.name, spec.default, spec.range(), spec.help);
    }
    let _ = writeln!(text, "{}\nlanes (background work):", none_if(engine.options.is_empty()));
    for lane in &engine.lanes {
        let _ = writeln!(text, "  {}: {}", lane.name, lane.help);
    }
    text.push_str(none_if(engine.lanes.is_empty()));
    for Choice { option, durability, guarantees } in choices {
        let under = option
            .as_ref()
            .map_or_else(|| "default options".to_string(), |(name, word)| format!("{name} = {word}"));
        let class = durability_text(*durability);
        let _ = writeln!(text, "\nguarantees with {under} and durability {class}:");
        for line in guarantees.lines() {
            let kept = if line.kept { "kept" } else { "NOT KEPT" };
            let _ = writeln!(text, "  {:<20}  {kept:<8}  {}", line.promise.name(), line.why);
        }
        text.push_str(none_if(guarantees.lines().is_empty()));
    }
    text
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_string() } else { text }
}

fn none_if(empty: bool) -> &'static str {
    if empty { "  none\n" } else { "" }
}
