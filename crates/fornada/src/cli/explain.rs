//! `fornada explain`: why a job is where it is.

use std::process::ExitCode;

use anyhow::{Context, Result};
use fornada_api::extensions::explanation::Explanation;

use super::args::Output;
use super::connect::Clients;
use super::{explanation_card, extension, job_ref, print, print_json};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada explain 3f2a81c0
  fornada explain align:7       one job of an array
  fornada explain align --output json | jq .waits";

/// `fornada explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Id, beginning of the id, or name; with :INDEX for one job of an array, #NODE for one node of a multi-node job
    job: String,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Explains the job.
pub(crate) async fn explain(args: &ExplainArgs, aws: &Clients) -> Result<ExitCode> {
    let id = job_ref::resolve(aws, &args.job).await?;
    let answer = extension::get(aws, &format!("explain/{id}")).await?;
    match args.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(&explanation_card::show(&read(answer)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The explanation in an answer.
pub(crate) fn read(answer: serde_json::Value) -> Result<Explanation> {
    serde_json::from_value(answer)
        .context("the server explains in a way that this version does not understand")
}
