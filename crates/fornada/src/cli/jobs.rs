//! `fornada jobs`: what is queued, running and finished.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use aws_sdk_batch::types::{ArrayPropertiesSummary, JobStatus, JobSummary};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::Cell;
use serde_json::json;

use super::args::Output;
use super::connect::Clients;
use super::job_list::{Listed, NameFilter, Query, list};
use super::{duration, job_ref, outcome, poll, print, print_json, table};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada jobs
  fornada jobs --status RUNNING --status RUNNABLE --watch
  fornada jobs --name align --limit 10
  fornada jobs --status FAILED --output json | jq -r '.jobSummaryList[].jobId'";

/// `fornada jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct JobsArgs {
    /// Only this job queue
    #[arg(long)]
    queue: Option<String>,
    /// Only jobs in this state; may be given many times
    #[arg(long = "status", ignore_case = true, value_parser = status_parser())]
    statuses: Vec<JobStatus>,
    /// Only jobs whose name begins with this
    #[arg(long, value_name = "PREFIX")]
    name: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Show it again each second (on a terminal)
    #[arg(long, short)]
    watch: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

fn status_parser() -> impl TypedValueParser<Value = JobStatus> {
    PossibleValuesParser::new(JobStatus::values())
        .map(|status| JobStatus::from(status.to_ascii_uppercase().as_str()))
}

/// Lists the jobs.
pub(crate) async fn jobs(args: &JobsArgs, aws: &Clients) -> Result<ExitCode> {
    let query = Query {
        queue: args.queue.clone(),
        statuses: args.statuses.clone(),
        name: args.name.clone().map(NameFilter::Prefix),
        limit: args.limit,
    };
    if args.output == Output::Json {
        let jobs: Vec<_> = list(aws, &query).await?.into_iter().map(|job| job.json).collect();
        print_json(&json!({ "jobSummaryList": jobs }))?;
    } else if args.watch && std::io::stdout().is_terminal() {
        loop {
            let query = Query { limit: query.limit.min(rows_on_screen()), ..query.clone() };
            let jobs = poll::patiently(async || list(aws, &query).await).await?;
            // Home, the table with each line's old end erased, then everything below erased: no flicker.
            let screen = show(&jobs).replace('\n', "\x1b[K\n");
            print(&format!("\x1b[H{screen}\x1b[J"))?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    } else {
        print(&show(&list(aws, &query).await?))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(jobs: &[Listed]) -> String {
    let now = duration::now_ms();
    let several_queues = jobs.iter().any(|job| job.queue != jobs[0].queue);
    let mut header = vec!["ID", "STATUS", "AGE", "TIME", "ARRAY", "NAME", "REASON"];
    if several_queues {
        header.insert(5, "QUEUE");
    }
    let mut table = table::new(&header, 5);
    for Listed { queue, summary, .. } in jobs {
        let id = summary.job_id().unwrap_or_default();
        // In a pipe the whole id, since a program reads it.
        let id = if std::io::stdout().is_terminal() { job_ref::shorten(id) } else { id.to_owned() };
        let status = summary.status().cloned().unwrap_or(JobStatus::Submitted);
        let mut cells = vec![
            Cell::new(id),
            table::status_cell(&status),
            Cell::new(summary.created_at().map(|at| duration::short(now - at)).unwrap_or_default()),
            Cell::new(running_time(summary, now)),
            Cell::new(members_column(summary)),
            Cell::new(summary.job_name().unwrap_or_default()),
            Cell::new(reason_column(summary)),
        ];
        if several_queues {
            cells.insert(5, Cell::new(queue));
        }
        table::add_row(&mut table, cells);
    }
    table::text(&table)
}

/// How many jobs fit on the terminal under the header, with the cursor's own line below.
fn rows_on_screen() -> usize {
    let rows = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_row));
    if rows == 0 { usize::MAX } else { rows.saturating_sub(2).max(1) }
}

fn running_time(job: &JobSummary, now: i64) -> String {
    let started = job.started_at().filter(|at| *at > 0);
    let stopped = job.stopped_at().filter(|at| *at > 0).unwrap_or(now);
    started.map(|started| duration::short(stopped - started)).unwrap_or_default()
}

/// What is known of an array's jobs, or how many nodes there are.
fn members_column(job: &JobSummary) -> String {
    let num_nodes = job.node_properties().and_then(|nodes| nodes.num_nodes());
    match (job.array_properties(), num_nodes) {
        (Some(array), _) => array_column(array),
        (None, Some(1)) => "1 node".to_owned(),
        (None, Some(num_nodes)) => format!("{num_nodes} nodes"),
        (None, None) => String::new(),
    }
}

/// How many of an array's jobs have ended: `7/64`, and how many of them failed.
fn array_column(array: &ArrayPropertiesSummary) -> String {
    let Some(size) = array.size() else {
        return String::new();
    };
    let count = |status: JobStatus| {
        array.status_summary().and_then(|summary| summary.get(status.as_str())).copied().unwrap_or(0)
    };
    let failed = count(JobStatus::Failed);
    let ended = count(JobStatus::Succeeded) + failed;
    if failed > 0 { format!("{ended}/{size} ({failed} failed)") } else { format!("{ended}/{size}") }
}

/// Why it waits or failed; success needs no reason.
fn reason_column(job: &JobSummary) -> String {
    if job.status() == Some(&JobStatus::Succeeded) {
        return String::new();
    }
    let container = job.container();
    outcome::why(
        job.status_reason(),
        container.and_then(|container| container.reason()),
        container.and_then(|container| container.exit_code()),
    )
}
