//! `fornada logs`: the output of a job.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::attempt_log::AttemptLog;
use super::connect::Clients;
use super::follow::{self, LogFormat, describe_writer};
use super::{containers, job_ref};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada logs 3f2a81c0
  fornada logs -f align                  the newest job named align, until it ends
  fornada logs align:7                   one job of an array
  fornada logs 'mpi#2'                   one node of a multi-node job
  fornada logs align --container main    one of several containers
  fornada logs align --attempt 1 --timestamps

The output of several containers is merged by time, each line after the container's name. That of a multi-node job is its
main node's.";

/// `fornada logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// Id, beginning of the id, or name; with :INDEX for one job of an array, #NODE for one node of a multi-node job
    job: String,
    /// Follow the output until the job ends
    #[arg(long, short)]
    follow: bool,
    /// Only the output of this container
    #[arg(long, short, value_name = "NAME")]
    container: Option<String>,
    /// Which attempt, counted from 1 [default: the newest]
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    attempt: Option<usize>,
    /// Begin each line with the time at which it was written
    #[arg(long, short)]
    timestamps: bool,
}

/// Prints the log.
pub(crate) async fn logs(args: &LogsArgs, aws: &Clients) -> Result<ExitCode> {
    let job = describe_writer(aws, &job_ref::resolve(aws, &args.job).await?).await?;
    let id = job.job_id().unwrap_or_default();
    let container = args.container.as_deref();
    let names: Vec<&str> = containers::newest(&job).iter().map(|container| container.name).collect();
    if let Some(unknown) = container.filter(|name| !names.contains(name)) {
        bail!("{id} has no container {unknown}; it has {}", names.join(", "));
    }
    let several = container.is_none() && names.len() > 1;
    let name_width = names.iter().map(|name| name.len()).max().filter(|_| several).unwrap_or(0);
    let format = LogFormat { timestamps: args.timestamps, name_width };
    if args.follow {
        follow::follow(aws, id, container, format).await?;
        return Ok(ExitCode::SUCCESS);
    }
    match (AttemptLog::of(&job, args.attempt, container), args.attempt) {
        (Some(mut log), _) => {
            log.read_on(aws, |name, event| format.print(name, event)).await?;
        }
        (None, Some(attempt)) => bail!("{id} has no attempt {attempt} with a log"),
        // It has not started, or ended before it did: no output is no error.
        (None, None) => {}
    }
    Ok(ExitCode::SUCCESS)
}
