//! Documents: every relative link leads somewhere, and no document names a place of one machine.

use crate::source::{Source, Violation, root};

/// Folders of the machines that this was written on; a reader has others. In two pieces, so that this file
/// passes its own rule.
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/t", "mp/")];

/// Links to files that are not there.
pub fn check_links(documents: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for document in documents {
        for (line, target) in links(&document.text) {
            if !resolves(&document.path, &target) {
                violations.push(document.violation(line, format!("the link {target} leads nowhere")));
            }
        }
    }
    violations
}

fn resolves(document: &str, target: &str) -> bool {
    let is_elsewhere = target.contains("://") || target.starts_with("mailto:") || target.starts_with('#');
    let file = target.split('#').next().unwrap_or_default();
    let folder = root().join(document);
    is_elsewhere || folder.parent().is_some_and(|folder| folder.join(file).exists())
}

/// The targets of `[text](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for rest in prose.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.to_string()));
        }
    }
    found
}

/// Documents and comments that name a folder of one machine.
pub fn check_machine_paths(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        for (number, line) in (1..).zip(source.text.lines()) {
            let is_prose = source.path.ends_with(".md") || line.trim_start().starts_with("//");
            let named = MACHINE_FOLDERS.iter().find(|folder| line.contains(**folder));
            if let Some(folder) = named.filter(|_| is_prose) {
                violations.push(source.violation(number, format!("{folder} is a place of one machine")));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_tidy, source};

    fn documents() -> Vec<Source> {
        source::file("README.md").into_iter().chain(source::below("notes", ".md")).collect()
    }

    #[test]
    fn every_relative_link_of_the_documents_resolves() {
        assert_tidy(&check_links(&documents()));
    }

    #[test]
    fn a_broken_link_is_caught() {
        let text = "See [one](../Cargo.toml) and [two](gone.md#part).\n```\n[code](nowhere)\n```\n\
                    [web](https://example.org) `[code](nowhere)` [part](#here)\n";
        let found = check_links(&[Source::planted("adapter_api/planted.md", text)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].line, found[0].message.as_str()), (1, "the link gone.md#part leads nowhere"));
    }

    #[test]
    fn documents_and_comments_name_no_place_of_one_machine() {
        let mut sources = documents();
        sources.extend(source::below("", ".rs"));
        assert_tidy(&check_machine_paths(&sources));
    }

    #[test]
    fn a_place_of_one_machine_is_caught() {
        let text = format!("Run it in {}x.\n", MACHINE_FOLDERS[0]);
        assert_eq!(check_machine_paths(&[Source::planted("notes/planted.md", &text)]).len(), 1);
        let code = format!(
            "let x = 1;\n/// Looks at {}y.\nlet path = \"{}\";\n",
            MACHINE_FOLDERS[3], MACHINE_FOLDERS[3]
        );
        assert_eq!(check_machine_paths(&[Source::planted("a.rs", &code)]).len(), 1);
    }
}
