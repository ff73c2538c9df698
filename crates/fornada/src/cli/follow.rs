//! Following one job: its log as it is written, until it ends.

use std::io::Write;

use anyhow::{Result, anyhow, bail};
use aws_sdk_batch::types::{JobDetail, JobStatus};
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;

use super::connect::Clients;
use super::log_stream::LogStream;
use super::poll::{self, Pace};
use super::{duration, note, outcome, print, style};

/// How log lines are printed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogFormat {
    /// Each line begins with the time at which it was written.
    pub(crate) timestamps: bool,
}

impl LogFormat {
    /// Prints one event as one line on stdout.
    pub(crate) fn print(self, event: &OutputLogEvent) -> Result<()> {
        if let Some(at) = event.timestamp().filter(|_| self.timestamps) {
            print(&format!("{} ", style::paint(style::DIM, &duration::rfc3339(at))))?;
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

/// An array has children with logs, and none of its own.
pub(crate) fn refuse_array(job: &JobDetail) -> Result<()> {
    if let Some(size) = job.array_properties().and_then(|array| array.size()) {
        let id = job.job_id().unwrap_or_default();
        bail!("{id} is an array of {size} jobs; name one of them, such as {id}:0");
    }
    Ok(())
}

/// Prints the log of a job as it is written, over all attempts that follow; returns the job as it ended.
pub(crate) async fn follow(aws: &Clients, id: &str, format: LogFormat) -> Result<JobDetail> {
    let mut pace = Pace::new();
    let mut reading: Option<LogStream> = None;
    let mut status: Option<JobStatus> = None;
    loop {
        // The job first, then its log: when the job has ended, all of its log is there to be read.
        let job = poll::patiently(async || describe_one(aws, id).await).await?;
        refuse_array(&job)?;
        let mut news = status != job.status;
        if let Some(newest) = LogStream::of(&job, None) {
            if let Some(old) = reading.as_mut().filter(|old| !old.is_same(&newest)) {
                old.read_on(aws, |event| format.print(event)).await?;
                reading = None;
                note(&style::paint(style::DIM, &format!("attempt {}", newest.attempt_number(&job))));
            }
            let stream = reading.get_or_insert(newest);
            news |= stream.read_on(aws, |event| format.print(event)).await? > 0;
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
