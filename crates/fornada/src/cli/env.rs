//! `fornada env`: the variables that point AWS tools at the server.

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use super::args::Output;
use super::connect::Connection;
use super::{print_json, shell_quote};

pub(crate) const EXAMPLES: &str = "\
Examples:
  eval \"$(fornada env)\"             then: aws batch describe-job-queues
  fornada env --shell fish | source
  fornada env --output json";

/// `fornada env`.
#[derive(Debug, clap::Args)]
pub(crate) struct EnvArgs {
    /// Whose syntax to print
    #[arg(long, value_enum, default_value_t)]
    shell: Shell,
    /// `json` prints an object of names and values instead
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Shell {
    /// sh, bash, zsh, dash, ksh
    #[default]
    Sh,
    Fish,
}

/// Prints the variables.
pub(crate) fn print(args: &EnvArgs, connection: &Connection) -> Result<ExitCode> {
    let variables = variables(connection);
    match args.output {
        Output::Json => print_json(&variables.into_iter().collect())?,
        Output::Table => {
            let mut script = String::new();
            for (name, value) in variables {
                script += &match args.shell {
                    Shell::Sh => format!("export {name}={}\n", shell_quote::posix(value)),
                    Shell::Fish => format!("set -gx {name} {}\n", shell_quote::fish(value)),
                };
            }
            // A token left over from another account would make every signature wrong.
            if connection.session_token.is_none() && std::env::var_os("AWS_SESSION_TOKEN").is_some() {
                script += match args.shell {
                    Shell::Sh => "unset AWS_SESSION_TOKEN\n",
                    Shell::Fish => "set -e AWS_SESSION_TOKEN\n",
                };
            }
            super::print(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn variables(connection: &Connection) -> Vec<(&'static str, &str)> {
    let mut variables = vec![
        ("AWS_ENDPOINT_URL_BATCH", connection.batch_endpoint.as_str()),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &connection.logs_endpoint),
        ("AWS_ACCESS_KEY_ID", &connection.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &connection.secret_access_key),
        ("AWS_REGION", &connection.region),
        ("AWS_DEFAULT_REGION", &connection.region),
        // Otherwise SDKs put `stream-` before the host of StartLiveTail.
        ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true"),
    ];
    variables.extend(connection.session_token.as_deref().map(|token| ("AWS_SESSION_TOKEN", token)));
    variables
}
