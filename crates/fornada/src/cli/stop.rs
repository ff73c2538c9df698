//! `fornada cancel` and `fornada terminate`.

use std::process::ExitCode;

use anyhow::Result;

use super::connect::Clients;
use super::{api_error, job_ref, print, report};

pub(crate) const CANCEL_EXAMPLES: &str = "\
Examples:
  fornada cancel 3f2a81c0
  fornada cancel align merge --reason 'wrong input'

A job that has started runs on; `fornada terminate` stops it too.";

pub(crate) const TERMINATE_EXAMPLES: &str = "\
Examples:
  fornada terminate 3f2a81c0
  fornada terminate align:7

A running job gets SIGTERM, and SIGKILL 30 seconds later.";

/// `fornada cancel` and `fornada terminate`.
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// Id, beginning of the id, or name; with :INDEX for one job of an array
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// What to record as the reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Cancels what has not started.
pub(crate) async fn cancel(args: &StopArgs, aws: &Clients) -> Result<ExitCode> {
    let reason = args.reason.as_deref().unwrap_or("Cancelled by the user");
    each(args, aws, async |id| {
        let request = aws.batch.cancel_job().job_id(id).reason(reason);
        request.send().await.map(drop).map_err(api_error::describe)
    })
    .await
}

/// Stops whatever has not ended.
pub(crate) async fn terminate(args: &StopArgs, aws: &Clients) -> Result<ExitCode> {
    let reason = args.reason.as_deref().unwrap_or("Terminated by the user");
    each(args, aws, async |id| {
        let request = aws.batch.terminate_job().job_id(id).reason(reason);
        request.send().await.map(drop).map_err(api_error::describe)
    })
    .await
}

/// All references must mean something before anything is stopped; then one failure does not spare the others.
async fn each(args: &StopArgs, aws: &Clients, stop: impl AsyncFn(&str) -> Result<()>) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for id in job_ref::resolve_all(aws, &args.jobs).await? {
        match stop(&id).await {
            Ok(()) => print(&format!("{id}\n"))?,
            Err(error) if api_error::is_unreachable(&error) => return Err(error),
            Err(error) => code = report(&error.context(id)),
        }
    }
    Ok(code)
}
