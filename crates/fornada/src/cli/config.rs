//! `--config FILE`: a YAML file whose members are the long names of options and stand in for those not given. An option of
//! the form `--limits array-size=50000,nodes=64` is a table there.
//!
//! The file's values become the options' defaults before the command line is read again, so that both go through the same
//! checks and the command line wins.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Command as ClapCommand, CommandFactory, FromArgMatches, Parser};
use serde::Deserialize;

use super::{Cli, Command};

/// The value of an option.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Setting {
    Switch(bool),
    Number(i64),
    Text(String),
    Table(BTreeMap<String, Setting>),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Switch(on) => on.fmt(f),
            Setting::Number(number) => number.fmt(f),
            Setting::Text(text) => text.fmt(f),
            Setting::Table(table) => {
                let parts: Vec<String> =
                    table.iter().map(|(name, value)| format!("{name}={value}")).collect();
                parts.join(",").fmt(f)
            }
        }
    }
}

/// The command line, with the file's settings for what it leaves out. Ends the process when the command line is wrong.
pub(crate) fn parse() -> Result<Cli> {
    let cli = Cli::parse();
    let (name, path) = match &cli.command {
        Command::Up(args) => ("up", &args.server.config),
        Command::Server(args) => ("server", &args.config),
        Command::Node(_)
        | Command::Client(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Check(_)
        | Command::Simulate(_)
        | Command::Completions(_) => return Ok(cli),
    };
    let Some(path) = path else { return Ok(cli) };
    let command = with_defaults(name, path)?;
    let matches = command.try_get_matches_from(std::env::args_os());
    let matches =
        matches.map_err(|error| anyhow::anyhow!("in {}: {}", path.display(), first_line(&error)))?;
    Ok(Cli::from_arg_matches(&matches)?)
}

/// The table of commands, where the options of command `name` have the file's values as defaults.
fn with_defaults(name: &'static str, path: &Path) -> Result<ClapCommand> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let settings: BTreeMap<String, Setting> = serde_saphyr::from_str(&text).map_err(|error| {
        anyhow::anyhow!("cannot understand {}: {}", path.display(), error.without_snippet())
    })?;
    let mut command = Cli::command();
    for (option, setting) in settings {
        let known = command.find_subcommand(name).into_iter().flat_map(ClapCommand::get_arguments);
        let id = known.filter(|arg| arg.get_id() != "config").find(|arg| arg.get_long() == Some(&option));
        let Some(id) = id.map(|arg| arg.get_id().clone()) else {
            bail!("in {}: `fornada {name}` has no option {option}", path.display());
        };
        let value = setting.to_string();
        command = command.mut_subcommand(name, |c| c.mut_arg(id, |arg| arg.default_value(value)));
    }
    Ok(command)
}

/// What is wrong, without usage and hints.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use fornada_api::limits::Limits;

    use super::*;

    fn parsed(file: &str, line: &[&str]) -> Result<Cli, String> {
        let mut config = tempfile::NamedTempFile::new().unwrap();
        config.write_all(file.as_bytes()).unwrap();
        let command = with_defaults("up", config.path()).map_err(|error| format!("{error:#}"))?;
        let matches = command.try_get_matches_from([&["fornada", "up"], line].concat());
        Cli::from_arg_matches(&matches.map_err(|error| first_line(&error))?)
            .map_err(|error| first_line(&error))
    }

    #[test]
    fn the_file_gives_defaults_and_the_command_line_wins() {
        let file = "listen: 127.0.0.1:9000\nregion: eu-west-1\nbare: true\ncapacity: vcpus=3\nstrict: true\n\
                    limits:\n  array-size: 50000\n  dependencies: 100\n";
        let Command::Up(args) = parsed(file, &["--region", "us-west-2"]).unwrap().command else {
            panic!("not up")
        };
        assert_eq!(args.server.listen.port(), 9000);
        assert_eq!(args.server.region, "us-west-2");
        assert!(args.server.bare && !args.machine.no_host_image);
        assert_eq!(args.machine.capacity.milli_vcpus, Some(3000));
        let limits = Limits { array_size: 50_000, dependencies: 100, ..Limits::default() };
        assert_eq!((args.server.limits, args.server.strict), (limits, true));
        assert_eq!(args.server.account_id, "000000000000");
    }

    #[test]
    fn mistakes_are_named() {
        for (file, want) in [
            ("lisen: 127.0.0.1:9000\n", "has no option lisen"),
            ("config: other.yaml\n", "has no option config"),
            ("listen: nowhere\n", "invalid value 'nowhere' for '--listen"),
            ("account-id: 12\n", "an account id is 12 digits"),
            ("limits:\n  array-size: 1\n", "array-size is a whole number from 2 to 1000000, not `1`"),
            ("- a\n", "cannot understand"),
        ] {
            let error = parsed(file, &[]).err().unwrap_or_default();
            assert!(error.contains(want), "{file:?}: {error}");
        }
    }
}
