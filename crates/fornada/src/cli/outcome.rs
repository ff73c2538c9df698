//! How jobs ended, for a person and for an exit code.

use std::fmt::Write;

use anyhow::Result;
use aws_sdk_batch::types::{JobDetail, JobStatus};

use super::connect::Clients;
use super::log_stream::LogStream;
use super::{api_error, containers, nodes, note, poll, style};

/// The reason of every attempt whose process ended by itself.
const PROCESS_ENDED: &str = "Essential container in task exited";
/// How many failed jobs are named, and how many lines of each one's log.
const FAILURES_SHOWN: usize = 5;
const LOG_LINES_SHOWN: i32 = 10;

/// Whether the status is a last one.
pub(crate) fn is_over(status: &JobStatus) -> bool {
    matches!(status, JobStatus::Succeeded | JobStatus::Failed)
}

/// Why a job is in its state: the reasons of job and container and the exit code, as far as there are any.
pub(crate) fn why(
    status_reason: Option<&str>,
    container_reason: Option<&str>,
    exit_code: Option<i32>,
) -> String {
    let exit_code = exit_code.filter(|code| *code != 0).map(|code| format!("exit code {code}"));
    // With an exit code there is no more to say about a process that ended by itself.
    let known = exit_code.is_some() || container_reason.is_some();
    let status_reason = status_reason.filter(|reason| !(known && *reason == PROCESS_ENDED));
    let parts = [status_reason, container_reason, exit_code.as_deref()];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Why this job is in its state.
pub(crate) fn why_job(job: &JobDetail) -> String {
    let container = containers::deciding(job);
    why(
        job.status_reason(),
        container.as_ref().and_then(|container| container.reason),
        container.as_ref().and_then(|container| container.exit_code),
    )
}

/// How it ended, in colour: `FAILED: exit code 3`.
pub(crate) fn verdict(job: &JobDetail) -> String {
    let status = job.status().map(style::paint_status).unwrap_or_default();
    let reason = why_job(job);
    if reason.is_empty() { status } else { format!("{status}: {reason}") }
}

/// What to exit with after a job: its own exit code; 1 if it failed without one.
pub(crate) fn exit_code(job: &JobDetail) -> u8 {
    if job.status() == Some(&JobStatus::Succeeded) {
        return 0;
    }
    let code = containers::deciding(job).and_then(|container| container.exit_code);
    code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1)
}

/// Names the first few jobs that failed, each with its reason and the end of its log; for an array, its children.
pub(crate) async fn report_failures(aws: &Clients, jobs: &[JobDetail]) -> Result<()> {
    let failed = |job: &&JobDetail| job.status() == Some(&JobStatus::Failed);
    let mut unnamed = 0;
    for job in jobs.iter().filter(failed) {
        let (children, more) = match job.array_properties().and_then(|array| array.size()) {
            Some(_) => failed_children(aws, job).await?,
            None => (Vec::new(), 0),
        };
        unnamed += more;
        // An array that was ended before its children began has no failed child to name.
        let shown = if children.is_empty() { std::slice::from_ref(job) } else { &children };
        for job in shown {
            Box::pin(report_failure(aws, job)).await?;
        }
    }
    if unnamed > 0 {
        note(&format!("and {unnamed} more"));
    }
    Ok(())
}

async fn report_failure(aws: &Clients, job: &JobDetail) -> Result<()> {
    let name = job.job_name().unwrap_or_default();
    let id = job.job_id().unwrap_or_default();
    let mut text = format!("{name} {} {}", style::paint(style::DIM, id), verdict(job));
    // The parent of nodes has no log; its main node has.
    let main = match nodes::main_id(job) {
        Some(main) => poll::describe_jobs(aws, &[main]).await?.into_iter().next(),
        None => None,
    };
    let container = containers::deciding(main.as_ref().unwrap_or(job));
    if let Some(stream) = container.as_ref().and_then(LogStream::of) {
        for event in stream.tail(aws, LOG_LINES_SHOWN).await? {
            let message = event.message().unwrap_or_default().trim_end_matches('\n');
            write!(text, "\n    {message}")?;
        }
    }
    note(&text);
    Ok(())
}

/// The first few failed children by index, and how many failed beside them.
async fn failed_children(aws: &Clients, parent: &JobDetail) -> Result<(Vec<JobDetail>, usize)> {
    let request = aws.batch.list_jobs().set_array_job_id(parent.job_id.clone()).job_status(JobStatus::Failed);
    let mut pages = request.into_paginator().items().send();
    let mut children = Vec::new();
    while let Some(child) = pages.next().await {
        let child = child.map_err(api_error::describe)?;
        let index = child.array_properties().and_then(|array| array.index());
        children.extend(index.zip(child.job_id));
    }
    children.sort();
    let more = children.len().saturating_sub(FAILURES_SHOWN);
    let ids: Vec<String> = children.into_iter().take(FAILURES_SHOWN).map(|(_, id)| id).collect();
    Ok((poll::describe_jobs(aws, &ids).await?, more))
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::ContainerDetail;

    use super::*;

    #[test]
    fn reasons_say_what_the_exit_code_does_not() {
        let oom = "OutOfMemoryError: Container killed due to memory usage";
        let cases = [
            (None, None, None, ""),
            (Some(PROCESS_ENDED), None, Some(0), PROCESS_ENDED),
            (Some(PROCESS_ENDED), None, Some(3), "exit code 3"),
            (Some(PROCESS_ENDED), Some(oom), Some(137), &format!("{oom}; exit code 137")),
            (Some("enough"), None, Some(143), "enough; exit code 143"),
            (
                Some("Task failed to start"),
                Some("CannotPullContainerError: x"),
                None,
                "Task failed to start; CannotPullContainerError: x",
            ),
        ];
        for (status_reason, container_reason, exit_code, want) in cases {
            assert_eq!(why(status_reason, container_reason, exit_code), want);
        }
    }

    #[test]
    fn the_exit_code_is_the_jobs() {
        use JobStatus::{Failed, Succeeded};
        let cases = [
            (Succeeded, Some(0), 0),
            (Failed, Some(3), 3),
            (Failed, None, 1),
            (Failed, Some(0), 1),
            (Failed, Some(-1), 1),
        ];
        for (status, code, want) in cases {
            let container = ContainerDetail::builder().set_exit_code(code).build();
            let job = JobDetail::builder().status(status).container(container).build();
            assert_eq!(exit_code(&job), want, "{code:?}");
        }
    }
}
