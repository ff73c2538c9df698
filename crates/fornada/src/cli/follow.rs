//! Following one job: its log as it is written, until it ends.

use std::io::Write;

use anyhow::{Result, anyhow, bail};
use aws_sdk_batch::types::{JobDetail, JobStatus};
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;

use super::attempt_log::AttemptLog;
use super::connect::Clients;
use super::poll::{self, Pace};
use super::{duration, nodes, note, outcome, print, style};

/// How log lines are printed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogFormat {
    /// Each line begins with the time at which it was written.
    pub(crate) timestamps: bool,
    /// Before the text stands the name of the container, in a column of this width; 0 for no such column.
    pub(crate) name_width: usize,
}

impl LogFormat {
    /// Prints one event of a container as one line on stdout.
    pub(crate) fn print(self, container: &str, event: &OutputLogEvent) -> Result<()> {
        if let Some(at) = event.timestamp().filter(|_| self.timestamps) {
            print(&format!("{} ", style::paint(style::DIM, &duration::rfc3339(at))))?;
        }
        let width = self.name_width;
        if width > 0 {
            print(&style::paint(style::DIM, &format!("{container:width$} | ")))?;
        }
        // Past `style`: what a job wrote, escape sequences and all, is not ours to change.
        let message = event.message().unwrap_or_default().trim_end_matches('\n');
        writeln!(std::io::stdout(), "{message}")?;
        Ok(())
    }
}

/// The job with this id.
pub(crate) async fn describe_one(aws: &Clients, id: &str) -> Result<JobDetail> {
    let jobs = poll::describe_jobs(aws, &[id.to_owned()]).await?;
    jobs.into_iter().next().ok_or_else(|| anyhow!("there is no job {id}"))
}

/// The job that writes the output of the one with this id: for a multi-node job its main node, else itself.
///
/// An array has children with logs, and none of its own.
pub(crate) async fn describe_writer(aws: &Clients, id: &str) -> Result<JobDetail> {
    let job = describe_one(aws, id).await?;
    if let Some(size) = job.array_properties().and_then(|array| array.size()) {
        bail!("{id} is an array of {size} jobs; name one of them, such as {id}:0");
    }
    match nodes::main_id(&job) {
        Some(main) => describe_one(aws, &main).await,
        None => Ok(job),
    }
}

/// Prints what a job's containers (or the one that is named) write, as they do, over all attempts that follow; returns the
/// job as it ended.
pub(crate) async fn follow(
    aws: &Clients,
    id: &str,
    container: Option<&str>,
    format: LogFormat,
) -> Result<JobDetail> {
    let mut pace = Pace::new();
    let mut reading: Option<AttemptLog> = None;
    let mut status: Option<JobStatus> = None;
    loop {
        // The job first, then its log: when the job has ended, all of its log is there to be read.
        let job = poll::patiently(async || describe_one(aws, id).await).await?;
        let mut news = status != job.status;
        if let Some(newest) = AttemptLog::of(&job, None, container) {
            match &mut reading {
                Some(log) if log.attempt == newest.attempt => log.add(newest),
                Some(log) => {
                    log.read_on(aws, |name, event| format.print(name, event)).await?;
                    note(&style::paint(style::DIM, &format!("attempt {}", newest.attempt)));
                    *log = newest;
                }
                None => reading = Some(newest),
            }
        }
        if let Some(log) = &mut reading {
            news |= log.read_on(aws, |name, event| format.print(name, event)).await? > 0;
        }
        if job.status().is_some_and(outcome::is_over) {
            return Ok(job);
        }
        status = job.status;
        if news {
            pace.hurry();
        }
        pace.pause().await;
    }
}
