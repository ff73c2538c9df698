//! Jobs of one or all queues, newest first, through DescribeJobQueues and ListJobs.

use anyhow::Result;
use aws_sdk_batch::types::{JobStatus, JobSummary, KeyValuesPair};
use serde_json::Value;

use super::api_error;
use super::connect::Clients;
use super::response_json::ResponseJson;

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    /// Name or ARN; all queues if not given.
    pub(crate) queue: Option<String>,
    /// Only these; all if empty.
    pub(crate) statuses: Vec<JobStatus>,
    pub(crate) name: Option<NameFilter>,
    /// At most this many jobs.
    pub(crate) limit: usize,
}

/// Which names; AWS compares them without regard to case.
#[derive(Clone, Debug)]
pub(crate) enum NameFilter {
    Exactly(String),
    Prefix(String),
}

/// A job, decoded and as the server sent it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) queue: String,
    pub(crate) summary: JobSummary,
    pub(crate) json: Value,
}

/// The jobs that the query asks for, newest first.
pub(crate) async fn list(aws: &Clients, query: &Query) -> Result<Vec<Listed>> {
    let queues = match &query.queue {
        Some(queue) => vec![queue.clone()],
        None => queues(aws).await?,
    };
    let mut jobs = Vec::new();
    for queue in &queues {
        // A filter makes ListJobs return all states in order of creation, newest first; without one it returns one
        // state. So states are asked for one by one only if some were named, and no name was.
        if query.statuses.is_empty() || query.name.is_some() {
            let filter = match &query.name {
                Some(NameFilter::Exactly(name)) => filter("JOB_NAME", name.clone()),
                Some(NameFilter::Prefix(prefix)) => filter("JOB_NAME", format!("{prefix}*")),
                None => filter("AFTER_CREATED_AT", "0".to_owned()),
            };
            jobs.extend(pages(aws, queue, query, Some(filter), None).await?);
        } else {
            for status in &query.statuses {
                jobs.extend(pages(aws, queue, query, None, Some(status.clone())).await?);
            }
        }
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.summary.created_at()));
    jobs.truncate(query.limit);
    Ok(jobs)
}

async fn pages(
    aws: &Clients,
    queue: &str,
    query: &Query,
    filter: Option<KeyValuesPair>,
    status: Option<JobStatus>,
) -> Result<Vec<Listed>> {
    let mut jobs = Vec::new();
    let mut next_token = None;
    loop {
        let body = ResponseJson::default();
        let request = aws
            .batch
            .list_jobs()
            .job_queue(queue)
            .set_filters(filter.clone().map(|filter| vec![filter]))
            .set_job_status(status.clone())
            .max_results(100)
            .set_next_token(next_token);
        let page = request.customize().interceptor(body.clone()).send().await.map_err(api_error::describe)?;
        let summaries = page.job_summary_list.unwrap_or_default();
        for (summary, json) in summaries.into_iter().zip(body.take_list("jobSummaryList")?) {
            let wanted = query.statuses.is_empty()
                || summary.status().is_some_and(|status| query.statuses.contains(status));
            if wanted {
                jobs.push(Listed { queue: queue.to_owned(), summary, json });
            }
        }
        next_token = page.next_token.filter(|_| jobs.len() < query.limit);
        if next_token.is_none() {
            return Ok(jobs);
        }
    }
}

async fn queues(aws: &Clients) -> Result<Vec<String>> {
    let mut pages = aws.batch.describe_job_queues().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(queue) = pages.next().await {
        names.extend(queue.map_err(api_error::describe)?.job_queue_name);
    }
    Ok(names)
}

fn filter(name: &str, value: String) -> KeyValuesPair {
    KeyValuesPair::builder().name(name).values(value).build()
}
