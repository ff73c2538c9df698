//! `fornada completions SHELL`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada completions bash > ~/.local/share/bash-completion/completions/fornada
  fornada completions fish > ~/.config/fish/completions/fornada.fish
  source <(fornada completions zsh)";

/// `fornada completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completion script.
pub(crate) fn print(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fornada", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
