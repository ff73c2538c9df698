//! `fornada logs`: the output of a job.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::connect::Clients;
use super::follow::{self, LogFormat, describe_one, refuse_array};
use super::job_ref;
use super::log_stream::LogStream;

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada logs 3f2a81c0
  fornada logs -f align                  the newest job named align, until it ends
  fornada logs align:7                   one job of an array
  fornada logs align --attempt 1 --timestamps";

/// `fornada logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// Id, beginning of the id, or name; with :INDEX for one job of an array
    job: String,
    /// Follow the output until the job ends
    #[arg(long, short)]
    follow: bool,
    /// Which attempt, counted from 1 [default: the newest]
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    attempt: Option<usize>,
    /// Begin each line with the time at which it was written
    #[arg(long, short)]
    timestamps: bool,
}

/// Prints the log.
pub(crate) async fn logs(args: &LogsArgs, aws: &Clients) -> Result<ExitCode> {
    let id = job_ref::resolve(aws, &args.job).await?;
    let format = LogFormat { timestamps: args.timestamps };
    if args.follow {
        follow::follow(aws, &id, format).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let job = describe_one(aws, &id).await?;
    refuse_array(&job)?;
    match (LogStream::of(&job, args.attempt), args.attempt) {
        (Some(mut stream), _) => {
            stream.read_on(aws, |event| format.print(event)).await?;
        }
        (None, Some(attempt)) => bail!("{id} has no attempt {attempt} with a log"),
        // It has not started, or ended before it did: no output is no error.
        (None, None) => {}
    }
    Ok(ExitCode::SUCCESS)
}
