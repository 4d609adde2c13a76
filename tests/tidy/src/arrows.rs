//! Who may depend on whom. Arrows point one way, as the design draws them.

use toml::{Table, Value};

use crate::code::{self, CodePath};
use crate::source::{Source, Violation};

/// What an engine may depend on besides the contract: our plain libraries, and a few crates by others.
const ENGINE_MAY_USE: [&str; 14] = [
    "adapter_api",
    "wal",
    "blink",
    "page",
    "crc32fast",
    "log",
    "serde",
    "serde_json",
    "base64",
    "arc-swap",
    "lz4_flex",
    "xorf",
    "xxhash-rust",
    "zstd",
];
/// Our packages that the host may use: the contract, and for one command the kit that judges engines.
const HOST_MAY_USE_OF_OURS: [&str; 2] = ["adapter_api", "conformance"];
/// The packages that judge engines, and where alone the host may use them.
const JUDGES: [&str; 2] = ["conformance", "crash"];
const MAY_JUDGE: [&str; 2] = ["host/src/cli/check.rs", "host/src/cli/check/"];

/// The layers of the host; each may use those listed. The files at the top of `src` put them together.
const LAYERS: [(&str, &[&str]); 9] = [
    ("cli", &["server", "resp", "command", "sequencer", "storage", "transfer", "config", "observe"]),
    ("server", &["resp", "command", "sequencer", "storage", "config", "observe"]),
    ("resp", &[]),
    ("command", &["sequencer", "storage", "transfer", "config", "observe"]),
    ("sequencer", &["storage", "config", "observe"]),
    ("storage", &["config", "observe"]),
    ("transfer", &[]),
    ("config", &[]),
    ("observe", &[]),
];

/// Names of the contract that touch a loaded engine.
const TOUCHES_AN_ENGINE: [&str; 4] = ["StorageAdapter", "LoadedPlugin", "StorageEngine", "OpenRequest"];
/// Where the host may touch one: file or folder, reason.
const MAY_TOUCH: [(&str, &str); 11] = [
    ("host/src/storage/", "the one place that calls an engine"),
    ("host/src/cli/inspect.rs", "prints what a plugin says of itself, without a server"),
    ("host/src/cli/engines.rs", "lists what the plugin folders hold, without a server"),
    ("host/src/cli/serve.rs", "claims the data directory before storage opens the engine in it"),
    ("host/src/cli/salvage.rs", "claims both data directories before storage opens engines in them"),
    ("host/src/cli/store.rs", "claims the data directory before storage opens the engine in it"),
    ("host/src/cli/arrival.rs", "has storage open an engine in a directory that is not in use yet"),
    ("host/src/cli/load.rs", "claims the data directory that a dump comes into"),
    ("host/src/cli/restore.rs", "claims the data directory that a backup comes into"),
    ("host/src/cli/migrate.rs", "replaces the data in a directory that it has claimed"),
    ("host/src/cli/failure.rs", "chooses the exit code for a directory that cannot be claimed"),
];

/// Where the host names an engine: file, name, reason.
const MAY_NAME: [(&str, &str, &str); 1] =
    [("host/src/config/schema.rs", "logmap", "the default of the setting `engine`")];

/// Names of sockets, which the protocol does not know.
const SOCKETS: [&str; 6] = ["net", "mio", "TcpStream", "TcpListener", "UnixStream", "UnixListener"];

/// Dependencies in a manifest that the package may not have.
pub fn check_manifest(manifest: &Source, may_use: impl Fn(&str, &Value) -> bool) -> Vec<Violation> {
    let table: Table = manifest.text.parse().unwrap_or_else(|error| panic!("{}: {error}", manifest.path));
    let mut violations = Vec::new();
    for section in ["dependencies", "build-dependencies"] {
        let dependencies = table.get(section).and_then(Value::as_table).into_iter().flatten();
        for (name, how) in dependencies.filter(|(name, how)| !may_use(name, how)) {
            let line =
                manifest.text.lines().position(|line| line.starts_with(name.as_str())).map_or(0, |at| at + 1);
            let message = format!("{section}: {name} = {how} is an arrow that the design does not draw");
            violations.push(manifest.violation(line, message));
        }
    }
    violations
}

/// An engine's manifest.
pub fn check_engine_manifest(manifest: &Source) -> Vec<Violation> {
    check_manifest(manifest, |name, _| ENGINE_MAY_USE.contains(&name))
}

/// The contract's manifest: nothing of ours.
pub fn check_contract_manifest(manifest: &Source, ours: &[String]) -> Vec<Violation> {
    check_manifest(manifest, |name, how| !is_ours(name, how, ours))
}

/// The host's manifest: of ours, the contract alone.
pub fn check_host_manifest(manifest: &Source, ours: &[String]) -> Vec<Violation> {
    check_manifest(manifest, |name, how| HOST_MAY_USE_OF_OURS.contains(&name) || !is_ours(name, how, ours))
}

fn is_ours(name: &str, how: &Value, ours: &[String]) -> bool {
    how.get("path").is_some() || ours.iter().any(|package| package == name)
}

/// Layers of the host that use a layer above or beside them.
pub fn check_layers(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        let Some((layer, may_use)) = LAYERS.iter().find(|(layer, _)| is_in_layer(&source.path, layer)) else {
            continue;
        };
        for path in code::paths(source) {
            let Some(used) = layer_of(&path).filter(|used| used != layer) else { continue };
            if !may_use.contains(&used) {
                violations
                    .push(source.violation(path.line, format!("{layer} uses {used}: arrows go down only")));
            }
        }
    }
    violations
}

fn is_in_layer(path: &str, layer: &str) -> bool {
    let rest = path.strip_prefix("host/src/").and_then(|rest| rest.strip_prefix(layer));
    rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// The layer that `crate::layer::…` or `super::super::layer::…` leads to.
fn layer_of(path: &CodePath) -> Option<&'static str> {
    let (first, rest) = path.parts.split_first()?;
    let name = match first.as_str() {
        "crate" | "enginebay" => rest.first()?,
        "super" => rest.iter().find(|part| *part != "super")?,
        _ => return None,
    };
    // `super::name` stays inside the layer for a file one folder deep; names of layers are not reused there.
    let supers = path.parts.iter().take_while(|part| *part == "super").count();
    LAYERS.iter().map(|(layer, _)| *layer).find(|layer| layer == name).filter(|_| supers != 1)
}

/// Code of the protocol that knows a socket.
pub fn check_protocol(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| is_in_layer(&source.path, "resp")) {
        for path in code::paths(source) {
            if let Some(name) = path.parts.iter().find(|part| SOCKETS.contains(&part.as_str())) {
                violations.push(
                    source.violation(path.line, format!("the protocol knows no socket, and no {name}")),
                );
            }
        }
    }
    violations
}

/// Code of the host outside its places that touches a loaded engine.
pub fn check_touch(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in
        sources.iter().filter(|source| !MAY_TOUCH.iter().any(|(start, _)| source.path.starts_with(start)))
    {
        for path in code::paths(source) {
            let by_module = path.parts.starts_with(&["adapter_api".to_string(), "host".to_string()]);
            let by_name = TOUCHES_AN_ENGINE.iter().any(|name| path.parts.iter().any(|part| part == name));
            if by_module || by_name {
                let message =
                    format!("{} touches a loaded engine; that is for storage", path.parts.join("::"));
                violations.push(source.violation(path.line, message));
            }
        }
    }
    violations
}

/// Code of the host outside `check` that uses what judges engines.
pub fn check_judges(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in
        sources.iter().filter(|source| !MAY_JUDGE.iter().any(|start| source.path.starts_with(start)))
    {
        for path in code::paths(source) {
            let first = path.parts.first().filter(|_| path.parts.len() > 1);
            if let Some(judge) = first.filter(|first| JUDGES.contains(&first.as_str())) {
                violations
                    .push(source.violation(path.line, format!("{judge} is for the command `check` alone")));
            }
        }
    }
    violations
}

/// Code of the host that names an engine.
pub fn check_names(sources: &[Source], engines: &[String]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for token in code::tokens(source) {
            let literal = token.text.trim_matches(|c| matches!(c, '"' | '#' | 'r' | 'b'));
            let is_literal = token.text.contains('"');
            let named = engines.iter().find(|engine| {
                token.text.contains(&format!("engine_{engine}")) || (is_literal && is_a_name(literal, engine))
            });
            let Some(engine) = named else { continue };
            if !MAY_NAME.iter().any(|(path, name, _)| source.path == *path && engine == name) {
                violations.push(source.violation(token.line, format!("the host names the engine {engine}")));
            }
        }
    }
    violations
}

/// Whether a literal can only mean the engine. `memory` is also an ordinary word: a section of INFO.
fn is_a_name(literal: &str, engine: &str) -> bool {
    engine != "memory" && literal == engine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_tidy, source};

    /// The folders of engines/ that hold engines, by their names.
    fn engines() -> Vec<String> {
        let manifests = source::below("engines", "Cargo.toml").into_iter();
        let engines = manifests.filter(|manifest| manifest.text.contains("cdylib"));
        engines.filter_map(|manifest| manifest.path.split('/').nth(1).map(str::to_string)).collect()
    }

    fn packages() -> Vec<String> {
        let manifests = source::below("", "Cargo.toml").into_iter();
        let names = manifests.filter_map(|manifest| {
            let table: Table = manifest.text.parse().ok()?;
            table.get("package")?.get("name")?.as_str().map(str::to_string)
        });
        names.collect()
    }

    fn host() -> Vec<Source> {
        source::below("host/src", ".rs").into_iter().filter(|source| !source.is_test()).collect()
    }

    #[test]
    fn engines_depend_on_the_contract_and_plain_libraries_alone() {
        let manifests = source::below("engines", "Cargo.toml");
        assert!(manifests.len() >= 2);
        assert_tidy(&manifests.iter().flat_map(check_engine_manifest).collect::<Vec<_>>());
    }

    #[test]
    fn the_contract_depends_on_nothing_of_ours_and_the_host_on_the_contract_alone() {
        let ours = packages();
        assert!(ours.iter().any(|name| name == "engine_memory"), "{ours:?}");
        assert_tidy(&check_contract_manifest(&source::file("adapter_api/Cargo.toml").unwrap(), &ours));
        assert_tidy(&check_host_manifest(&source::file("host/Cargo.toml").unwrap(), &ours));
    }

    #[test]
    fn arrows_in_manifests_are_caught() {
        let text = "[package]\nname = \"x\"\n[dependencies]\nadapter_api = { workspace = true }\nenginebay = { workspace = true }\n\
                    log = \"1\"\n[dev-dependencies]\ntempfile = \"3\"\n";
        let manifest = Source::planted("engines/x/Cargo.toml", text);
        let found = check_engine_manifest(&manifest);
        assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [5], "{found:?}");
        let ours = vec!["engine_memory".to_string(), "adapter_api".to_string()];
        let text = "[dependencies]\nengine_memory = { workspace = true }\nadapter_api = { workspace = true }\nlog = \"1\"\n";
        assert_eq!(check_host_manifest(&Source::planted("host/Cargo.toml", text), &ours).len(), 1);
        assert_eq!(check_contract_manifest(&Source::planted("adapter_api/Cargo.toml", text), &ours).len(), 2);
    }

    #[test]
    fn nobody_in_the_host_calls_upward() {
        let sources = host();
        for (layer, _) in LAYERS {
            assert!(
                sources.iter().any(|source| is_in_layer(&source.path, layer)),
                "the layer {layer} exists"
            );
        }
        assert_tidy(&check_layers(&sources));
    }

    #[test]
    fn a_call_upward_is_caught_in_any_spelling() {
        let text = "use crate::{command::Row, storage};\nuse super::super::server::Loop;\n\
                    fn f() { crate::resp::encode(); storage::get(); }\n#[cfg(test)]\nmod tests { use crate::cli; }\n";
        let found = check_layers(&[Source::planted("host/src/sequencer/group.rs", text)]);
        assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [1, 2, 3], "{found:?}");
        assert_eq!(check_layers(&[Source::planted("host/src/lib.rs", text)]), []);
    }

    #[test]
    fn the_protocol_knows_no_socket() {
        assert_tidy(&check_protocol(&host()));
        let text = "use std::net::TcpStream;\n";
        assert_eq!(check_protocol(&[Source::planted("host/src/resp/decode.rs", text)]).len(), 1);
        assert_eq!(check_protocol(&[Source::planted("host/src/server/mod.rs", text)]), []);
    }

    #[test]
    fn a_loaded_engine_is_touched_by_storage_alone() {
        assert_tidy(&check_touch(&host()));
    }

    #[test]
    fn a_touch_from_elsewhere_is_caught() {
        let text = "use adapter_api::{Batch, host::LoadedPlugin};\nfn f(engine: &dyn adapter_api::StorageEngine) {}\n";
        assert_eq!(check_touch(&[Source::planted("host/src/command/mod.rs", text)]).len(), 2);
        assert_eq!(check_touch(&[Source::planted("host/src/storage/registry.rs", text)]), []);
    }

    #[test]
    fn engines_are_judged_by_check_alone() {
        assert_tidy(&check_judges(&host()));
        let text = "use conformance::Badge;\nfn f() { crash::judge::Judge::new() }\nfn crash() {}\n";
        assert_eq!(check_judges(&[Source::planted("host/src/cli/serve.rs", text)]).len(), 2);
        assert_eq!(check_judges(&[Source::planted("host/src/cli/check/report.rs", text)]), []);
    }

    #[test]
    fn the_host_names_no_engine() {
        let engines = engines();
        assert!(engines.len() >= 2, "{engines:?}");
        assert_tidy(&check_names(&host(), &engines));
    }

    #[test]
    fn a_name_of_an_engine_is_caught() {
        let engines = ["memory", "snapshot", "logmap"].map(str::to_string);
        let text = "/// The snapshot engine, \"snapshot\".\nuse engine_memory::Memory;\nconst A: &str = \"snapshot\";\n\
                    const B: &str = \"a snapshot of it\";\n#[cfg(test)]\nmod tests { const C: &str = \"snapshot\"; }\n";
        let found = check_names(&[Source::planted("host/src/storage/mod.rs", text)], &engines);
        assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [2, 3], "{found:?}");
        let text = "const D: &str = r#\"\"logmap\"\"#;\n";
        assert_eq!(check_names(&[Source::planted("host/src/config/schema.rs", text)], &engines), []);
        assert_eq!(check_names(&[Source::planted("host/src/config/mod.rs", text)], &engines).len(), 1);
    }
}
