//! The arguments of the commands that work on a data directory without a server.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::arguments::{PlaceArguments, name_and_value};

/// The flags that name the store of a data directory.
#[derive(Debug, Args)]
pub struct StoreArguments {
    /// The data directory. No server may be using it
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The engine that wrote it.
    #[command(flatten)]
    pub writer: WriterArguments,
}

/// The flags that name the engine that wrote what is there.
#[derive(Debug, Clone, Args)]
pub struct WriterArguments {
    /// The engine that wrote the data [default: the one that is remembered beside it]
    #[arg(long, value_name = "NAME|PATH")]
    pub engine: Option<String>,
    /// An option of the engine. Those of the configuration count too, if it names the same engine
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub options: Vec<(String, String)>,
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
}

/// The arguments of `dump`.
#[derive(Debug, Args)]
pub struct DumpArguments {
    /// The store.
    #[command(flatten)]
    pub store: StoreArguments,
    /// The file to write, which is not there yet; - for the standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Answer in JSON; goes with --output FILE
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `load`.
#[derive(Debug, Args)]
pub struct LoadArguments {
    /// The data directory, without data in it. Created if it is not there
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The engine that is to keep the data
    #[arg(long, value_name = "NAME|PATH")]
    pub engine: String,
    /// An option of the engine. Those of the configuration count too, if it names the same engine
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub options: Vec<(String, String)>,
    /// The dump to read; - for the standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The store.
    #[command(flatten)]
    pub store: StoreArguments,
    /// Answer in JSON: one line for each finding, then one with the counts
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `migrate`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["to", "discard_old"])))]
pub struct MigrateArguments {
    /// The data directory. No server may be using it
    pub dir: PathBuf,
    /// The engine that is to have the data
    #[arg(long, value_name = "NAME|PATH")]
    pub to: Option<String>,
    /// The engine that wrote the data [default: the one that the directory remembers]
    #[arg(long, value_name = "NAME|PATH")]
    pub engine: Option<String>,
    /// An option of that engine. Those of the configuration count too, if it names the same engine
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub options: Vec<(String, String)>,
    /// Move even to an engine that keeps nothing when it is closed
    #[arg(long)]
    pub allow_not_durable: bool,
    /// Remove the old data that earlier moves have kept, instead of moving
    #[arg(long, conflicts_with_all = ["options", "allow_not_durable"])]
    pub discard_old: bool,
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The store.
    #[command(flatten)]
    pub store: StoreArguments,
    /// The folder to write, which is not there yet, or empty
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The folder of the backup. It is only read
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,
    /// The data directory, without data in it. Created if it is not there
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The engine that wrote it.
    #[command(flatten)]
    pub writer: WriterArguments,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}
