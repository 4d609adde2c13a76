//! The command line: commands and flags. The help of a flag that sets a setting comes from the schema.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::transfer_arguments::{
    BackupArguments, DumpArguments, LoadArguments, MigrateArguments, RestoreArguments, VerifyArguments,
};
use crate::config::schema::{flag_help, flag_summary};
use crate::config::{Config, ConfigError, FlagValue, Value};

/// A key-value server (Redis protocol) whose storage engine is a plugin.
#[derive(Debug, Parser)]
#[command(name = "enginebay", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Without a command it serves. The log goes to stderr; RUST_LOG sets its level (error, warn, \
    info, debug, trace).\nExit codes: 0 ok, 1 check failed, 2 usage or configuration, 3 plugin refused, 4 data refused, 130 \
    interrupted."
)]
pub struct CommandLine {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`, for when nothing is said.
    #[command(flatten)]
    pub serve: SettingArguments,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM, SIGINT or SHUTDOWN (the default)
    Serve(SettingArguments),
    /// List the engines in the plugin folders, and why a file is refused
    Engines(EnginesArguments),
    /// Describe one plugin: options, lanes, guarantees, hash
    Inspect(InspectArguments),
    /// Judge an engine, and say which badges it earned (notes/writing_an_engine.md)
    Check(CheckArguments),
    /// What `check` runs in a process of its own
    #[command(hide = true)]
    CheckCase(CheckCaseArguments),
    /// Write the crate of a new engine, which compiles and serves at once (notes/writing_an_engine.md)
    NewEngine(NewEngineArguments),
    /// Copy what can still be read of a damaged data directory into a new one
    Salvage(SalvageArguments),
    /// Copy a store that nobody uses into a folder of its own
    Backup(BackupArguments),
    /// Check a backup and copy it into a new data directory
    Restore(RestoreArguments),
    /// Write everything that a store holds as one stream that any engine can load
    Dump(DumpArguments),
    /// Load a dump into a new data directory of any engine
    Load(LoadArguments),
    /// Move the data of a directory to another engine
    Migrate(MigrateArguments),
    /// Read everything that a store holds and report every damage
    Verify(VerifyArguments),
    /// Check, explain or print the configuration
    Config {
        /// What to do with the configuration.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration, the plugin and its options; nothing is started or created
    Check(SettingArguments),
    /// Show every effective value, where it came from, and what it does
    Explain(SettingArguments),
    /// Print a configuration file with every setting at its default
    Default {
        /// Print a Markdown table instead
        #[arg(long)]
        markdown: bool,
    },
}

/// The flags of `engines`.
#[derive(Debug, Args)]
pub struct EnginesArguments {
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The plugin, a shared library; or the name of an engine in the plugin folders
    #[arg(value_name = "FILE.so|NAME")]
    pub engine: String,
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The plugin, a shared library; or the name of an engine in the plugin folders
    #[arg(value_name = "FILE.so|NAME")]
    pub engine: String,
    /// Ask for all badges up to this one; without it, for no finding
    #[arg(long, value_name = "L0..L6", ignore_case = true, value_parser = ["L0", "L1", "L2", "L3", "L4", "L5", "L6"])]
    pub level: Option<String>,
    /// An option of the engine; small sizes make files change and background work happen more often
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub options: Vec<(String, String)>,
    /// What dice begin with
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// About how long it takes; more time tries more lives and crashes
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub time: u64,
    /// Run this case alone
    #[arg(long, value_name = "NAME")]
    pub case: Option<String>,
    /// What a case may take beyond its share of the time, before it has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub case_time: u64,
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `check-case`.
#[derive(Debug, Args)]
pub struct CheckCaseArguments {
    /// The plugin, or its name.
    pub engine: String,
    /// The case; without one the engine is described.
    #[arg(long, requires = "folder")]
    pub case: Option<String>,
    /// Options of the engine.
    #[arg(long = "option", value_parser = name_and_value)]
    pub options: Vec<(String, String)>,
    /// What dice begin with.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long dice are rolled, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub millis: u64,
    /// An empty folder.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
}

/// The arguments of `new-engine`.
#[derive(Debug, Args)]
pub struct NewEngineArguments {
    /// The engine's name: a lower-case letter, then up to 31 lower-case letters, digits and `_`
    pub name: String,
    /// The folder of the crate; not there yet, or empty [default: one of the engine's name]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The folder of the crate adapter_api [default: where it was when this program was built]
    #[arg(long, value_name = "DIR")]
    pub adapter_api: Option<PathBuf>,
}

/// The arguments of `salvage`.
#[derive(Debug, Args)]
pub struct SalvageArguments {
    /// The damaged data directory; it is locked and never written
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The new data directory; not there yet, or empty
    #[arg(long, value_name = "NEW")]
    pub into: PathBuf,
    /// The engine that wrote the data [default: the one that the directory remembers]
    #[arg(long, value_name = "NAME|PATH")]
    pub engine: Option<String>,
    /// The flags that say where engines are.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Answer in JSON: one line for each finding, then one with the counts
    #[arg(long)]
    pub json: bool,
}

/// The flags that say where engines are found.
#[derive(Debug, Clone, Args, Default)]
pub struct PlaceArguments {
    /// A configuration file (TOML). `enginebay config default` prints one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[allow(missing_docs, reason = "the schema documents it, for the help too")]
    #[arg(long = "plugin-dir", value_name = "DIR", help = flag_summary("plugins.dirs"), long_help = flag_help("plugins.dirs"))]
    pub plugin_dirs: Vec<String>,
}

/// The flags that set settings; each wins over the file.
#[derive(Debug, Args, Default)]
#[allow(missing_docs, reason = "the schema documents the settings, for the help too")]
pub struct SettingArguments {
    #[command(flatten)]
    pub place: PlaceArguments,
    #[arg(long, value_name = "NAME|PATH", help = flag_summary("engine"), long_help = flag_help("engine"))]
    pub engine: Option<String>,
    #[arg(long, value_name = "DIR", help = flag_summary("storage.dir"), long_help = flag_help("storage.dir"))]
    pub dir: Option<String>,
    #[arg(long, value_name = "ADDRESS", help = flag_summary("server.listen"), long_help = flag_help("server.listen"))]
    pub listen: Vec<String>,
    #[arg(long, value_name = "PATH", help = flag_summary("server.unix_socket"), long_help = flag_help("server.unix_socket"))]
    pub unix_socket: Option<String>,
    #[arg(long, value_name = "CLASS", help = flag_summary("storage.durability"), long_help = flag_help("storage.durability"))]
    pub durability: Option<String>,
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = name_and_value, help = flag_summary("storage.options"), long_help = flag_help("storage.options"))]
    pub options: Vec<(String, String)>,
    #[arg(long, help = flag_summary("server.insecure"), long_help = flag_help("server.insecure"))]
    pub insecure: bool,
}

/// Parses the value of `--option`.
pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as mode=atomic")?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

impl PlaceArguments {
    /// The effective settings under these flags and `others`.
    fn load_with(&self, mut others: Vec<Option<FlagValue>>) -> Result<Config, ConfigError> {
        if !self.plugin_dirs.is_empty() {
            others.push(FlagValue::new("plugins.dirs", Value::texts(&self.plugin_dirs)));
        }
        Config::load(self.config.as_deref(), others.into_iter().flatten().collect())
    }

    /// The effective settings under these flags.
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.load_with(Vec::new())
    }
}

impl SettingArguments {
    /// The effective settings: defaults, the file, these flags.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut flags = Vec::new();
        let texts = [
            ("engine", &self.engine),
            ("storage.dir", &self.dir),
            ("server.unix_socket", &self.unix_socket),
            ("storage.durability", &self.durability),
        ];
        for (name, text) in texts {
            flags.extend(text.iter().map(|text| FlagValue::new(name, Value::Text(text.clone()))));
        }
        if !self.listen.is_empty() {
            flags.push(FlagValue::new("server.listen", Value::texts(&self.listen)));
        }
        if self.insecure {
            flags.push(FlagValue::new("server.insecure", Value::Flag(true)));
        }
        for (name, value) in &self.options {
            flags.push(FlagValue::entry("storage.options", name, Value::Text(value.clone())));
        }
        self.place.load_with(flags)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::schema::SETTINGS;

    fn parse(words: &[&str]) -> CommandLine {
        CommandLine::try_parse_from(std::iter::once(&"enginebay").chain(words)).unwrap()
    }

    fn refused(words: &[&str]) -> clap::Error {
        CommandLine::try_parse_from(std::iter::once(&"enginebay").chain(words)).unwrap_err()
    }

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command_with_the_same_flags() {
        let flags =
            ["--engine", "memory", "--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--option", "a=b=c"];
        let bare = parse(&flags);
        assert!(bare.command.is_none());
        let mut words = vec!["serve"];
        words.extend(flags);
        let Some(Command::Serve(named)) = parse(&words).command else { panic!("not serve") };
        for arguments in [&bare.serve, &named] {
            let settings = arguments.load().unwrap().settings;
            assert_eq!(settings.engine, "memory");
            assert_eq!(settings.server.listen.len(), 2);
            assert_eq!(settings.storage.options[0].value, "b=c");
        }
    }

    #[test]
    fn every_flag_reaches_its_setting_under_its_declared_name() {
        let words = [
            "--engine=e",
            "--dir=d",
            "--listen=127.0.0.1:1",
            "--unix-socket=u",
            "--durability=os",
            "--option=o=1",
            "--plugin-dir=p",
            "--plugin-dir=q",
            "--insecure",
        ];
        let config = parse(&words).serve.load().unwrap();
        for setting in SETTINGS {
            let expected = setting.flag.unwrap_or("default");
            assert_eq!(config.origin(setting.name).to_string(), expected, "{}", setting.name);
        }
        assert_eq!(config.settings.plugins.dirs.len(), 2);
    }

    #[test]
    fn every_flag_of_the_schema_is_in_the_help_with_its_text() {
        let help = CommandLine::command().render_long_help().to_string();
        let squeezed = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in SETTINGS {
            let Some(flag) = setting.flag else { continue };
            assert!(help.contains(flag) && squeezed.contains(setting.help), "{flag}");
        }
    }

    #[test]
    fn mistakes_of_usage_end_with_exit_code_2() {
        for words in [&["--engin", "x"][..], &["bogus"], &["inspect"], &["config"], &["--option", "novalue"]]
        {
            assert_eq!(refused(words).exit_code(), 2, "{words:?}");
        }
    }
}
