//! The command line as clap sees it: the one table that gives parsing, help and shell completions.
//!
//! Parsing only records what was asked; the command's own module acts on it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fornada_api::limits::Limits;
use fornada_core::state::Settings;

use super::capacity::{self, Capacity};
use super::style::Color;
use super::{completions, data_dir, describe, duration, env, explain, jobs, logs, run, stop, submit, top};
use crate::{data, simulate};

/// A batch computing service that speaks the AWS Batch API.
#[derive(Debug, Parser)]
#[command(name = "fornada", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  fornada up                                   start a server on this machine
  fornada run -- sh -c 'echo hello'            run one command, see its output, get its exit code
  fornada run --array 100 -- ./step.sh         the same command a hundred times, side by side
  fornada submit -f jobs.yaml --wait           a graph of jobs from a file
  fornada jobs --watch                         what is queued, running and finished
  fornada explain train                        why a job waits, or how it ended
  fornada top                                  everything at once, live
  eval \"$(fornada env)\"; aws batch describe-job-queues";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Directory of the server on this machine: its records, logs, endpoint and access key [default:
    /// $FORNADA_DATA_DIR, or fornada under $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// When to colour the output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
}

impl GlobalArgs {
    /// The data directory of a server or node that is to start here.
    pub(crate) fn server_data_dir(&self) -> Result<PathBuf> {
        data_dir::locate(self.data_dir.as_deref())
    }
}

/// Everything `fornada` can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server and a node on this machine, in the foreground
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    /// Start a server without a node
    Server(ServerArgs),
    /// Start the supervisor of this machine's jobs (`up` does it for you)
    Node(NodeArgs),
    #[command(flatten)]
    Client(ClientCommand),
    /// Copy the data directory to a safe place, while the server runs or not
    #[command(after_help = data::BACKUP_EXAMPLES)]
    Backup(data::BackupArgs),
    /// Make the data directory from a backup
    #[command(after_help = data::RESTORE_EXAMPLES)]
    Restore(data::RestoreArgs),
    /// Verify the data directory: records, logs, keys
    #[command(after_help = data::CHECK_EXAMPLES)]
    Check(data::CheckArgs),
    /// Play a workload against queues and environments that need not exist: makespan, waits, cost
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(simulate::SimulateArgs),
    /// Print the completion script for a shell
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
}

/// The commands that talk to a server.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Print the variables that point AWS tools at the server
    #[command(after_help = env::EXAMPLES)]
    Env(env::EnvArgs),
    /// Run a command as a job, follow its log and exit with its exit code
    #[command(after_help = run::EXAMPLES)]
    Run(run::RunArgs),
    /// Submit a graph of jobs from a YAML or JSON file
    #[command(after_help = submit::EXAMPLES)]
    Submit(submit::SubmitArgs),
    /// List what is queued, running and finished, newest first
    #[command(after_help = jobs::EXAMPLES)]
    Jobs(jobs::JobsArgs),
    /// Print the output of a job
    #[command(after_help = logs::EXAMPLES)]
    Logs(logs::LogsArgs),
    /// Show everything about a job
    #[command(after_help = describe::EXAMPLES)]
    Describe(describe::DescribeArgs),
    /// Say why a job waits, where it runs, or how it came to its end
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Watch queues, environments, instances and jobs
    #[command(after_help = top::EXAMPLES)]
    Top(top::TopArgs),
    /// Cancel jobs that have not started
    #[command(after_help = stop::CANCEL_EXAMPLES)]
    Cancel(stop::StopArgs),
    /// Stop jobs, running or not
    #[command(after_help = stop::TERMINATE_EXAMPLES)]
    Terminate(stop::StopArgs),
}

const UP_EXAMPLES: &str = "\
Examples:
  fornada up
  fornada up --data-dir ./batch --listen 127.0.0.1:0
  fornada up --capacity vcpus=4,memory=8g

Ctrl-C stops the server; jobs that are running go on, and the next `fornada up` takes them up again.";

/// `fornada up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// What the node makes of this machine.
#[derive(Clone, Debug, Args)]
pub(crate) struct MachineArgs {
    /// What jobs may use of this machine, such as vcpus=4,memory=8g,gpus=1 [default: all of it]
    #[arg(long, default_value_t, hide_default_value = true)]
    pub(crate) capacity: Capacity,
    /// Refuse jobs with the image `host`, for servers that people share
    #[arg(long)]
    pub(crate) no_host_image: bool,
    /// Where the values of jobs' secrets are: a directory with a file for each, or a file with lines NAME=VALUE [default:
    /// secrets and secrets.env in the data directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) secrets: Option<PathBuf>,
    /// How much output of each container is kept, such as 512m or 10g; the rest is dropped, and the log's last line says so
    #[arg(long, default_value = "1g", value_parser = size_mib, value_name = "SIZE")]
    pub(crate) job_log_max: u64,
}

impl UpArgs {
    /// The same arguments with the data directory that the global option names.
    pub(crate) fn with(self, data_dir: PathBuf) -> UpArgs {
        UpArgs { server: self.server.with(data_dir), ..self }
    }
}

/// `fornada server`, and the server's part of `fornada up`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Where records, logs and keys are kept; filled in from the global `--data-dir`.
    #[arg(skip)]
    pub(crate) data_dir: PathBuf,
    /// File with defaults for the options of this command, in YAML: `listen: 0.0.0.0:8600`, `bare: true`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port to serve on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8600", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Region of the endpoint
    #[arg(long, default_value = "us-east-1", value_parser = region)]
    pub(crate) region: String,
    /// Account that the first access key belongs to
    #[arg(long, default_value = "000000000000", value_parser = account_id, value_name = "NUMBER")]
    pub(crate) account_id: String,
    /// How requests are authenticated; `none` only on a loopback address
    #[arg(long, value_enum, default_value_t)]
    pub(crate) auth: AuthMode,
    /// Leave out the compute environment `local` and the job queue `default` that a new data directory gets
    #[arg(long)]
    pub(crate) bare: bool,
    /// How much one request may ask for, where it is not AWS Batch's own, such as array-size=50000,dependencies=100
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME=NUMBER,…")]
    pub(crate) limits: Limits,
    /// How long jobs that have ended can be found, such as 12h or 90d
    #[arg(long, default_value = "30d", value_parser = retention, value_name = "DURATION")]
    pub(crate) retention: u64,
    /// How many ended jobs and array children stay in memory; all others are read from disk when somebody asks for them
    #[arg(long, default_value_t = Settings::default().ended_records, value_name = "NUMBER")]
    pub(crate) ended_in_memory: usize,
    /// File that each change of a job's status is appended to, one line of JSON in the form of Amazon EventBridge
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Behave as AWS Batch also where Fornada offers more: its limits, and no extensions
    #[arg(long)]
    pub(crate) strict: bool,
}

impl ServerArgs {
    /// The same arguments with the data directory that the global option names.
    pub(crate) fn with(self, data_dir: PathBuf) -> ServerArgs {
        ServerArgs { data_dir, ..self }
    }
}

/// `fornada node`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Where the node keeps its socket and the logs; filled in from the global `--data-dir`.
    #[arg(skip)]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

impl NodeArgs {
    /// The same arguments with the data directory that the global option names.
    pub(crate) fn with(self, data_dir: PathBuf) -> NodeArgs {
        NodeArgs { data_dir, ..self }
    }
}

/// How the server authenticates requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthMode {
    /// Every request's AWS Signature Version 4 is checked.
    #[default]
    Sigv4,
    /// Any credentials are accepted.
    None,
}

/// What a listing command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// The members of the AWS API's answer, for programs.
    Json,
}

/// A retention that leaves time to see the end of a job.
fn retention(text: &str) -> Result<u64, String> {
    duration::parse(text).and_then(|millis| match millis {
        0..1000 => Err("use at least 1s".to_owned()),
        millis => Ok(millis),
    })
}

/// What a signature's credential scope can name, and an ARN can hold.
fn region(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a region is made of lower-case letters, digits and hyphens".to_owned())
    }
}

fn size_mib(text: &str) -> Result<u64, String> {
    capacity::size_mib(text).ok_or_else(|| "a size is at least 1 MiB, such as 512m, 10g or 1GiB".to_owned())
}

fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account id is 12 digits".to_owned())
    }
}

/// Parses the `KEY=VALUE` of an option that is given once for each pair.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_of_commands_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_global_data_dir_is_taken_before_and_after_the_command() {
        for line in [["fornada", "--data-dir", "d", "up"], ["fornada", "up", "--data-dir", "d"]] {
            let cli = Cli::parse_from(line);
            assert_eq!(cli.global.data_dir.as_deref(), Some(std::path::Path::new("d")));
            assert!(matches!(cli.command, Command::Up(_)));
        }
    }
}
