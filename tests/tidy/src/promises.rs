//! The README's promises: each names tests, and each test that it names is there.

use crate::source::{Source, Violation};

/// The heading of the table of promises.
const HEADING: &str = "## Guarantees";

/// Rows of the table that name no test, or one that no source has.
pub fn check_promises(readme: &Source, sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let lines = (1..).zip(readme.text.lines()).skip_while(|(_, line)| *line != HEADING).skip(1);
    let rows =
        lines.take_while(|(_, line)| !line.starts_with("## ")).filter(|(_, line)| line.starts_with("| "));
    // The first row is the head of the table.
    for (number, row) in rows.skip(1) {
        let names: Vec<_> = names_of_tests(row).collect();
        if names.is_empty() {
            violations.push(readme.violation(number, "the promise names no test"));
        }
        for name in names.into_iter().filter(|name| !sources.iter().any(|source| has_test(source, name))) {
            violations.push(readme.violation(number, format!("there is no test {name}")));
        }
    }
    violations
}

/// What stands between backticks in the last cell of a row.
fn names_of_tests(row: &str) -> impl Iterator<Item = &str> {
    let shown_by = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
    shown_by.split('`').skip(1).step_by(2)
}

fn has_test(source: &Source, name: &str) -> bool {
    source.text.contains(&format!("fn {name}("))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_tidy, source};

    fn sources() -> Vec<Source> {
        ["adapter_api", "engines", "host", "tests"]
            .into_iter()
            .flat_map(|folder| source::below(folder, ".rs"))
            .collect()
    }

    #[test]
    fn every_promise_of_the_readme_names_tests_that_are_there() {
        let readme = source::file("README.md").expect("there is a README");
        assert!(readme.text.contains(HEADING));
        assert_tidy(&check_promises(&readme, &sources()));
    }

    #[test]
    fn a_promise_without_a_test_is_caught() {
        let text = format!(
            "{HEADING}\n\n| promise | shown by |\n|---|---|\n| one | `no_such_test_{}` |\n| two | nothing |\n",
            "anywhere"
        );
        let found = check_promises(&Source::planted("README.md", &text), &sources());
        assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [5, 6], "{found:?}");
    }
}
