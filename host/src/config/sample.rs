//! The settings written out: as a sample file, as an explanation of the effective values, as a table.

use std::fmt::Write;

use super::Config;
use super::schema::{SETTINGS, Setting};

/// How wide comments are in the sample file, in columns.
const COMMENT_COLUMNS: usize = 100;

/// A configuration file that sets every setting to its default and says what it does.
pub fn sample() -> String {
    let mut text = String::from(
        "# Enginebay's configuration: every setting with its default. Keep the lines that you change.\n\
         # Paths that do not begin with / start at the working directory of the server.\n",
    );
    let mut table = "";
    for setting in SETTINGS {
        if setting.is_table() {
            let _ = writeln!(text, "\n[{}]", setting.name);
            comment(&mut text, setting);
            continue;
        }
        if setting.table() != table {
            table = setting.table();
            let _ = writeln!(text, "\n[{table}]");
        } else {
            text.push('\n');
        }
        comment(&mut text, setting);
        let _ = writeln!(text, "{} = {}", setting.key(), setting.default);
    }
    text
}

fn comment(text: &mut String, setting: &Setting) {
    for line in wrap(&format!("{} Takes {}.", setting.help, setting.taken()), COMMENT_COLUMNS) {
        let _ = writeln!(text, "# {line}");
    }
}

/// Every effective value, where it came from, what it does and what it takes.
pub fn explain(config: &Config) -> String {
    let mut text = String::new();
    for entry in &config.entries {
        let value = if entry.value.is_empty() { entry.setting.default } else { &entry.value };
        let value = if entry.setting.is_table() {
            format!("{{{}}}", value.trim_matches(['{', '}']))
        } else {
            value.to_string()
        };
        let _ = writeln!(text, "{} = {value}    (from: {})", entry.setting.name, entry.origin);
        for line in wrap(&format!("{} Takes {}.", entry.setting.help, entry.setting.taken()), COMMENT_COLUMNS)
        {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// The settings as a Markdown table, for the documents.
pub fn table() -> String {
    let mut text =
        String::from("| setting | default | takes | flag | what it does |\n|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let flag = setting.flag.map_or_else(String::new, |flag| format!("`{flag}`"));
        let (name, default, taken, help) = (setting.name, setting.default, setting.taken(), setting.help);
        let _ = writeln!(text, "| `{name}` | `{default}` | {taken} | {flag} | {help} |");
    }
    text
}

/// Breaks a paragraph into lines of at most `columns` letters; a longer word gets a line of its own.
pub(super) fn wrap(paragraph: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let full = lines.last().is_some_and(|line| !line.is_empty() && line.len() + 1 + word.len() > columns);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
