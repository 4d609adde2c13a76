//! What the examples are told alike on the command line, and where what they found goes.
//!
//! Called by the examples `server` and `engine`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

/// The words that both examples know.
#[derive(Debug, Args)]
pub struct Common {
    /// An option of the engine
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// Where the data is; cargo's target folder unless set
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Also write everything, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also draw it
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Only see whether everything works: few keys, short runs, figures that mean nothing
    #[arg(long)]
    pub quick: bool,
}

/// How an example of this name was called.
pub fn command(example: &str) -> String {
    let words: Vec<_> = std::env::args().skip(1).collect();
    format!("cargo run --release -p bench --example {example} -- {}", words.join(" "))
}

/// Writes a file of results.
///
/// # Errors
/// If it cannot be written.
pub fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
