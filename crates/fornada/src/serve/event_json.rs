//! The form of an event: EventBridge's "Batch Job State Change", with the members of JobDetail that can have changed.
//!
//! Source: AWS Batch User Guide, job state change events.

use fornada_core::event::Event;
use fornada_core::id::{Member, Uuid};
use fornada_core::job::Attempt;
use fornada_core::time::Timestamp;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope<'a> {
    version: &'a str,
    id: String,
    detail_type: &'a str,
    source: &'a str,
    account: &'a str,
    time: String,
    region: &'a str,
    resources: [&'a str; 1],
    detail: Detail<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    job_arn: &'a str,
    job_name: &'a str,
    job_id: String,
    job_queue: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<&'a str>,
    attempts: Vec<AttemptDetail<'a>>,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at: Option<i64>,
    job_definition: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    array_properties: Option<ArrayProperties>,
    /// Of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
}

#[derive(Serialize)]
struct ArrayProperties {
    index: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptDetail<'a> {
    container: Container<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    stopped_at: i64,
    status_reason: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// One line, with its end.
pub(super) fn line(event: &Event) -> Vec<u8> {
    let (scope, arn) = (event.scope(), event.job_arn());
    let index = match event.job.member {
        Member::Index(index) => Some(index),
        Member::Whole | Member::Node(_) => None,
    };
    let envelope = Envelope {
        version: "0",
        // The same each time, and of no other event: job ids are random, and a job's numbers are its own.
        id: Uuid::new_v5(&event.job.job, &event.number.to_be_bytes()).to_string(),
        detail_type: "Batch Job State Change",
        source: "aws.batch",
        account: &scope.account,
        time: time(event.at),
        region: &scope.region,
        resources: [&arn],
        detail: Detail {
            job_arn: &arn,
            job_name: &event.name,
            job_id: event.job.to_string(),
            job_queue: &event.queue,
            status: event.status.as_str(),
            status_reason: event.status_reason.as_deref(),
            attempts: event.attempts.iter().map(attempt).collect(),
            created_at: event.created_at.as_millis(),
            started_at: event.started_at.map(Timestamp::as_millis),
            stopped_at: event.stopped_at.map(Timestamp::as_millis),
            job_definition: &event.definition,
            array_properties: index.map(|index| ArrayProperties { index }),
            container: event.attempts.last().map(container),
        },
    };
    let mut line = serde_json::to_vec(&envelope).expect("text and numbers have a JSON form");
    line.push(b'\n');
    line
}

fn attempt(attempt: &Attempt) -> AttemptDetail<'_> {
    AttemptDetail {
        container: container(attempt),
        started_at: attempt.started_at.map(Timestamp::as_millis),
        stopped_at: attempt.stopped_at.as_millis(),
        status_reason: &attempt.status_reason,
    }
}

fn container(attempt: &Attempt) -> Container<'_> {
    Container { exit_code: attempt.outcome.exit_code, reason: attempt.outcome.reason.as_deref() }
}

/// To the second, as in `2022-01-11T23:36:40Z`.
fn time(at: Timestamp) -> String {
    let seconds = at.as_millis().div_euclid(1000);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}
