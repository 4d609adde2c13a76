//! Plugins built against another state of the contract: what only grew loads in both directions, what changed
//! is refused; another compiler is no obstacle.

use std::path::Path;

use e2e::variants::{Edit, Variant, other_toolchain};
use e2e::{Config, Reply, Server, build};

const TABLES: &str = "src/abi/tables.rs";
const GLUE: &str = "src/abi/engine_glue.rs";
/// Around the last method of the engine's table, where it grows.
const BEGIN: &str = "// skew: last method begin";
const END: &str = "// skew: last method end";

fn variant(name: &'static str, edits: Vec<Edit>) -> Variant {
    Variant { name, edits, toolchain: None }
}

fn edit(file: &'static str, from: &str, to: &str) -> Edit {
    Edit { file, from: from.to_string(), to: to.to_string() }
}

/// Takes the marked method out of the file.
fn without_last_method(file: &'static str) -> Edit {
    let text = std::fs::read_to_string(build::root().join("adapter_api").join(file)).unwrap();
    let (from, to) = (text.find(BEGIN).unwrap(), text.find(END).unwrap());
    edit(file, &text[from..to], "")
}

fn version(to: &str) -> Edit {
    let text = std::fs::read_to_string(build::root().join("adapter_api/Cargo.toml")).unwrap();
    let from = text.lines().find(|line| line.starts_with("version = ")).unwrap().to_string();
    edit("Cargo.toml", &from, &format!("version = {to:?}"))
}

#[track_caller]
fn serves(plugin: &Path) {
    let mut server = Server::start(Config::engine(plugin));
    let mut client = server.client();
    assert_eq!(client.line("MSET a 1 b 2"), Reply::ok());
    assert_eq!(client.line("GET a"), Reply::bulk("1"));
    assert_eq!(client.line("RANGE - +"), Reply::bulks(["a", "1", "b", "2"]));
    assert_eq!(client.line("INCR a"), Reply::Integer(2));
    assert_eq!(server.stop().code(), Some(0));
}

#[track_caller]
fn refused(plugin: &Path, expected: &[&str]) {
    let output = Server::refuse(&Config::engine(plugin));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{}: {said}", output.status);
    let name = plugin.file_name().unwrap().to_str().unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
    let [line] = lines.as_slice() else { panic!("one line names the plugin:\n{said}") };
    for text in expected {
        assert!(line.contains(text), "{text:?} is missing in: {line}");
    }
    assert!(line.len() < 600 && said.lines().count() <= 3, "{said}");
}

#[test]
fn a_plugin_with_a_method_fewer_than_the_host_knows_loads_and_serves() {
    serves(&variant("fewer", vec![without_last_method(TABLES), without_last_method(GLUE)]).build());
}

#[test]
fn a_plugin_with_a_method_more_than_the_host_knows_loads_and_serves() {
    let method = "    fn probe(&self, _number: u64) -> AbiResult<u64> {\n        AbiError::unsupported(\"probe\")\n    }\n";
    let more = edit(TABLES, END, &format!("{END}\n{method}"));
    serves(&variant("more", vec![more, version("1.9.0")]).build());
}

#[test]
fn a_plugin_with_a_changed_layout_is_refused() {
    let swapped = edit(
        "src/abi/plugin.rs",
        "pub clock: ClockObject,\n    pub lanes: LanesObject,",
        "pub lanes: LanesObject,\n    pub clock: ClockObject,",
    );
    refused(&variant("layout", vec![swapped]).build(), &["layout", "adapter_api"]);
}

#[test]
fn a_plugin_with_a_method_in_the_middle_is_refused() {
    let method = "fn probe(&self) -> AbiResult<u64> {\n        AbiError::unsupported(\"probe\")\n    }\n    ";
    let table = "pub trait EngineTable: Send + Sync {\n    ";
    let first = edit(TABLES, table, &format!("{table}{method}"));
    refused(&variant("middle", vec![first]).build(), &["layout", "adapter_api"]);
}

#[test]
fn a_plugin_of_another_major_version_is_refused_with_both_versions() {
    refused(&variant("major", vec![version("2.0.0")]).build(), &["adapter_api 2.0.0", "1."]);
}

#[test]
fn a_plugin_built_by_another_compiler_loads_and_serves() {
    let Some(toolchain) = other_toolchain() else {
        assert!(
            std::env::var_os("E2E_OTHER_TOOLCHAIN").is_none(),
            "E2E_OTHER_TOOLCHAIN is set, none is installed"
        );
        return report("no other toolchain is installed: a plugin by another compiler was NOT tried");
    };
    report(&format!("a plugin by another compiler: {toolchain}"));
    let foreign = Variant { toolchain: Some(toolchain), ..variant("compiler", Vec::new()) };
    serves(&foreign.build());
}

/// Says on the terminal, past the capture of test output, what was or was not tried.
fn report(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "note: {line}");
}
