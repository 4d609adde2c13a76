//! What an experiment found: a table, curves, and the circumstances; as text for people, as JSON for machines.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::chart::Series;
use crate::report::{Machine, figure};

/// One place of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// A word.
    Text(String),
    /// A figure.
    Number(f64),
    /// What this engine does not tell, or nobody asked.
    Nothing(()),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Self {
        cell.map_or(Self::Nothing(()), Into::into)
    }
}

/// Everything that one experiment found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// Which experiment.
    pub experiment: String,
    /// The command.
    pub command: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// On what.
    pub machine: Option<Machine>,
    /// The engine with its version.
    pub engine: String,
    /// Its options that were not left as they are.
    pub options: Vec<String>,
    /// Whether it was only tried whether everything works: such figures say nothing.
    pub quick: bool,
    /// The heads of the table's columns, with units.
    pub columns: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// Sentences that the figures bear out.
    pub remarks: Vec<String>,
    /// What must not be: with one of these the experiment has failed.
    pub failures: Vec<String>,
    /// The points of the picture.
    pub series: Vec<Series>,
    /// The picture, as SVG.
    #[serde(skip)]
    pub svg: String,
}

impl Findings {
    /// The circumstances, the table and the remarks.
    pub fn text(&self) -> String {
        let mut out = format!("# {}\n# {} {}", self.command, self.engine, self.options.join(" "));
        if let Some(Machine { processors, kernel, memory_mib }) = &self.machine {
            let _ = write!(out, "; {processors} processors, {memory_mib} MiB, kernel {kernel}");
        }
        out.push('\n');
        if self.quick {
            out += "# QUICK: too short to mean anything; it only shows that everything works\n";
        }
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.columns[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let heads: Vec<_> = self.columns.iter().map(ToString::to_string).collect();
        for row in [heads].iter().chain(&rows) {
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _ = if at == 0 { write!(out, "{cell:<width$}") } else { write!(out, "  {cell:>width$}") };
            }
            out.push('\n');
        }
        for remark in &self.remarks {
            out += remark;
            out.push('\n');
        }
        for failure in &self.failures {
            let _ = writeln!(out, "FAILED: {failure}");
        }
        out
    }

    /// Everything but the picture, for machines.
    ///
    /// # Errors
    /// If a figure cannot be written as JSON.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(number) if number.fract() == 0.0 => format!("{number}"),
        Cell::Number(number) => figure(Some(*number)),
        Cell::Nothing(()) => figure(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_command_and_a_column_under_each_head() {
        let findings = Findings {
            command: "measure".to_string(),
            engine: "btree 1".to_string(),
            columns: vec!["state", "MiB"],
            rows: vec![vec!["filled".into(), 12.5.into()], vec!["empty".into(), Cell::Nothing(())]],
            remarks: vec!["so it is".to_string()],
            failures: vec!["so it must not be".to_string()],
            ..Findings::default()
        };
        let text = findings.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "# measure",
                "# btree 1 ",
                "state    MiB",
                "filled  12.5",
                "empty      –",
                "so it is",
                "FAILED: so it must not be"
            ]
        );
        assert!(Findings { quick: true, ..findings }.text().contains("QUICK"));
    }

    #[test]
    fn the_json_tells_figures_words_and_what_is_not_there_apart() {
        let rows = vec![vec!["word".into(), 1_u64.into(), None::<f64>.into()]];
        let findings = Findings { columns: vec!["a", "b", "c"], rows, ..Findings::default() };
        let json: serde_json::Value = serde_json::from_str(&findings.json().unwrap()).unwrap();
        assert_eq!(json["rows"][0], serde_json::json!(["word", 1.0, null]));
    }
}
