//! `fornada describe`: everything about a job.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde_json::json;

use super::args::Output;
use super::connect::Clients;
use super::response_json::ResponseJson;
use super::{api_error, job_card, job_ref, nodes, print, print_json};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada describe 3f2a81c0
  fornada describe align:7
  fornada describe 'mpi#2'      one node of a multi-node job
  fornada describe align --output json | jq '.jobs[0].container.environment'";

/// `fornada describe`.
#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    /// Id, beginning of the id, or name; with :INDEX for one job of an array, #NODE for one node of a multi-node job
    job: String,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Shows the job.
pub(crate) async fn describe(args: &DescribeArgs, aws: &Clients) -> Result<ExitCode> {
    let id = job_ref::resolve(aws, &args.job).await?;
    let body = ResponseJson::default();
    let request = aws.batch.describe_jobs().jobs(&id).customize().interceptor(body.clone());
    let jobs = request.send().await.map_err(api_error::describe)?.jobs.unwrap_or_default();
    let job = jobs.first().ok_or_else(|| anyhow!("there is no job {id}"))?;
    match args.output {
        Output::Json => print_json(&json!({ "jobs": body.take_list("jobs")? }))?,
        Output::Table => print(&job_card::show(job, &nodes::describe(aws, job).await?))?,
    }
    Ok(ExitCode::SUCCESS)
}
