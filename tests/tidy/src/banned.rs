//! Calls that have no place: the machine in an engine, unfinished work anywhere, printing in a library.

use crate::code;
use crate::source::{Source, Violation};

/// What an engine may not touch, because the host hands it everything it may use.
const MACHINE: [&str; 6] = ["std::fs", "std::thread", "std::net", "std::process", "std::env", "std::os"];
/// The clocks, by the names of their types.
const CLOCKS: [&str; 2] = ["SystemTime", "Instant"];
/// Macros of unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Macros that print.
const PRINTING: [&str; 4] = ["print", "println", "eprint", "eprintln"];
/// Where printing is the purpose.
const MAY_PRINT: [&str; 2] = ["host/src/cli/", "host/src/main.rs"];

/// Uses of the machine in the code of an engine.
pub fn check_engines(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for path in code::paths(source) {
            let text = path.parts.join("::");
            let machine =
                MACHINE.iter().find(|banned| text == **banned || text.starts_with(&format!("{banned}::")));
            let clock = CLOCKS.iter().find(|banned| path.parts.iter().any(|part| part == *banned));
            if let Some(banned) = machine.or(clock) {
                violations
                    .push(source.violation(path.line, format!("{banned}: an engine uses its Environment")));
            }
        }
    }
    violations
}

/// Macros that finished code does not call, and prints in libraries.
pub fn check_macros(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let may_print = MAY_PRINT.iter().any(|start| source.path.starts_with(start));
        for name in code::macros(source) {
            let is_print = PRINTING.contains(&name.text.as_str()) && !may_print;
            if is_print || UNFINISHED.contains(&name.text.as_str()) {
                violations.push(source.violation(name.line, format!("{}! has no place here", name.text)));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_tidy, source};

    #[test]
    fn engines_use_no_file_system_thread_socket_or_clock_of_the_machine() {
        let sources = source::below("engines", ".rs");
        assert!(sources.len() >= 2, "there are engines");
        assert_tidy(&check_engines(&sources));
    }

    #[test]
    fn the_machine_in_an_engine_is_caught_in_any_spelling() {
        let text = "use std::{fs::File, collections::BTreeMap};\nuse std::time::Instant;\n\
                    fn f() {\n    std::thread::spawn(g);\n    let s = std::net::TcpStream::connect(a);\n}\n\
                    #[cfg(test)]\nmod tests { use std::fs; }\n";
        let found = check_engines(&[Source::planted("engines/planted/src/lib.rs", text)]);
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert_eq!(check_engines(&[Source::planted("engines/planted/tests/x.rs", text)]), []);
    }

    #[test]
    fn no_code_is_unfinished_and_no_library_prints() {
        let folders = ["adapter_api", "engines", "host"];
        let sources: Vec<_> = folders.iter().flat_map(|folder| source::below(folder, ".rs")).collect();
        assert_tidy(&check_macros(&sources));
    }

    #[test]
    fn unfinished_code_and_prints_are_caught() {
        let text = "fn f() {\n    todo!()\n}\nfn g() {\n    println!(\"x\");\n}\n";
        let lines =
            |path| check_macros(&[Source::planted(path, text)]).iter().map(|it| it.line).collect::<Vec<_>>();
        assert_eq!(lines("host/src/server/mod.rs"), [2, 5]);
        assert_eq!(lines("host/src/cli/serve.rs"), [2]);
    }
}
