//! ListJobs: the jobs of a queue, newest first, or the children of an array or the nodes of a multi-node job, by index.
//!
//! A queue is searched in the store, by index; children and nodes in memory, where those of an ended parent are brought back.
//! Beyond AWS, several filters can be combined, and there are filters by status and by tag ([`conditions`]).
//!
//! Source: AWS Batch API reference, ListJobs.

use std::collections::HashMap;
use std::sync::Arc;

use fornada_core::arn::Scope;
use fornada_core::id::{JobId, Member, Uuid};
use fornada_core::job::array::StatusCounts;
use fornada_core::job::{Execution, Job, JobStatus};
use fornada_core::state::State;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;
use fornada_engine::port::store::{DefinitionFilter, JobFilter, JobPage, JobQuery, Pattern};
use fornada_model::batch as model;

use super::describe_jobs::{status_summary, waiting_reason};
use super::selection::check_filters;
use super::{paging, wire_status};
use crate::app::Call;
use crate::error::WireError;

pub(super) async fn list_jobs(
    call: &Call,
    request: model::ListJobsRequest,
) -> Result<model::ListJobsResponse, WireError> {
    let model::ListJobsRequest {
        array_job_id,
        filters,
        job_queue,
        job_status,
        max_results,
        multi_node_job_id,
        next_token,
    } = request;
    let status = job_status.map(core_status);
    let filters = filters.unwrap_or_default();
    let limits = &call.app.limits;
    check_filters(&filters)?;
    match (job_queue, array_job_id, multi_node_job_id) {
        (Some(queue), None, None) => {
            let question = ("queue", call.scope.clone(), queue.clone(), status, format!("{filters:?}"));
            let page_max = if filters.is_empty() { limits.list_jobs } else { limits.list_jobs_filtered };
            let page = Page {
                size: paging::page_size(max_results, page_max as usize)?,
                from: paging::position(next_token.as_deref(), &question)?,
            };
            let (jobs, next) = of_queue(call, &queue, status, filters, page).await?;
            let next_token = next.map(|sequence| paging::token(sequence, &question));
            Ok(model::ListJobsResponse { job_summary_list: jobs, next_token })
        }
        (None, Some(array), None) => members_of(call, "array", array, status, max_results, next_token).await,
        (None, None, Some(nodes)) => members_of(call, "nodes", nodes, status, max_results, next_token).await,
        _ => Err(WireError::invalid(
            "Exactly one of jobQueue, arrayJobId and multiNodeJobId must be specified.",
        )),
    }
}

struct Page {
    size: usize,
    from: Option<u64>,
}

/// A page of children, or of nodes, in one status.
async fn members_of(
    call: &Call,
    kind: &'static str,
    parent: String,
    status: Option<JobStatus>,
    max_results: Option<i32>,
    next_token: Option<String>,
) -> Result<model::ListJobsResponse, WireError> {
    let question = (kind, call.scope.clone(), parent.clone(), status);
    let page = Page {
        size: paging::page_size(max_results, call.app.limits.list_jobs as usize)?,
        from: paging::position(next_token.as_deref(), &question)?,
    };
    let (scope, status) = (call.scope.clone(), status.unwrap_or(JobStatus::Running));
    let strict = call.app.strict;
    let id = parent.parse::<JobId>().ok().filter(|id| id.member == Member::Whole);
    let read = move |turn: &mut Turn<'_>| {
        let state = turn.state();
        let parent = id.and_then(|id| state.job(id.job)).filter(|job| scope.owns(&job.queue));
        let size = parent.and_then(|job| match (kind, &job.array, &job.nodes) {
            ("array", Some(array), _) => Some(array.size),
            ("nodes", _, Some(nodes)) => Some(nodes.num_nodes()),
            _ => None,
        });
        parent
            .zip(size)
            .map(|(parent, size)| members(state, parent, size, status, &page, strict))
            .unwrap_or_default()
    };
    let (jobs, next) = call.decide_about(id.map(|id| id.job).into_iter().collect(), read).await?;
    let next_token = next.map(|index| paging::token(index, &question));
    Ok(model::ListJobsResponse { job_summary_list: jobs, next_token })
}

async fn of_queue(
    call: &Call,
    queue: &str,
    status: Option<JobStatus>,
    filters: Vec<model::KeyValuesPair>,
    page: Page,
) -> Result<(Vec<model::JobSummary>, Option<u64>), WireError> {
    let arn = call.scope.resolve("job-queue", queue);
    let (scope, wanted) = (call.scope.clone(), arn.clone());
    let known = move |state: &State| scope.owns(&wanted) && state.job_queues().contains_key(&wanted);
    if !call.app.engine.read(known).await? {
        return Err(WireError::client(format!("{arn} does not exist")));
    }
    let filters = conditions(&call.scope, status, &filters, call.app.strict)?;
    let limit = u32::try_from(page.size).unwrap_or(u32::MAX);
    let query = JobQuery { queue: arn, filters, before_sequence: page.from, limit };
    let JobPage { jobs, next } =
        call.blocking(move |app| app.jobs.list_jobs(&query).map_err(WireError::server)).await?;
    let is_live_array = |job: &&Arc<Job>| job.array.as_ref().is_some_and(|array| array.ended.is_none());
    let arrays: Vec<Uuid> = jobs.iter().filter(is_live_array).map(|job| job.id).collect();
    let counts: HashMap<Uuid, StatusCounts> = match arrays.is_empty() {
        true => HashMap::new(),
        false => {
            let count = |state: &State, id: Uuid| Some((id, state.status_summary(id)?));
            let all = arrays.clone(); // one that has just ended may have left memory
            let read = move |turn: &mut Turn<'_>| {
                let state = turn.state();
                arrays.iter().filter_map(|&id| count(state, id)).collect()
            };
            call.decide_about(all, read).await?
        }
    };
    let mut reasons = waiting_reasons(call, &jobs).await?;
    let summaries = jobs.iter().map(|job| {
        let array = job.array.as_ref().map(|array| model::ArrayPropertiesSummary {
            size: wire_number(array.size),
            status_summary: array.ended.as_deref().or_else(|| counts.get(&job.id)).map(status_summary),
            ..Default::default()
        });
        let nodes = job.nodes.as_ref().map(|nodes| model::NodePropertiesSummary {
            num_nodes: wire_number(nodes.num_nodes()),
            ..Default::default()
        });
        let mut summary = summary(job, JobId::whole(job.id), &job.execution);
        summary.status_reason = summary.status_reason.or(reasons.remove(&job.id));
        model::JobSummary { array_properties: array, node_properties: nodes, ..summary }
    });
    Ok((summaries.collect(), next))
}

/// Why the jobs of a page that have not started wait.
async fn waiting_reasons(call: &Call, jobs: &[Arc<Job>]) -> Result<HashMap<Uuid, String>, WireError> {
    let waits = |job: &&Arc<Job>| {
        matches!(job.execution.status, JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable)
    };
    let waiting: Vec<Uuid> = jobs.iter().filter(waits).map(|job| job.id).collect();
    if waiting.is_empty() {
        return Ok(HashMap::new());
    }
    let strict = call.app.strict;
    let reason =
        move |state: &State, id: Uuid| Some((id, waiting_reason(state, JobId::whole(id), strict)?.into()));
    let read = move |state: &State| waiting.iter().filter_map(|&id| reason(state, id)).collect();
    Ok(call.app.engine.read(read).await?)
}

/// A page of the children or nodes of `parent` in one status, and the index to go on from.
fn members(
    state: &State,
    parent: &Job,
    size: u32,
    status: JobStatus,
    page: &Page,
    strict: bool,
) -> (Vec<model::JobSummary>, Option<u64>) {
    let start = u32::try_from(page.from.unwrap_or(0)).unwrap_or(u32::MAX);
    let id = |index| match &parent.nodes {
        Some(_) => JobId::node(parent.id, index),
        None => JobId::child(parent.id, index),
    };
    let mut wanted = (start..size).filter(|&index| state.status_of(id(index)) == Some(status));
    let found = wanted.by_ref().take(page.size);
    let found = found.filter_map(|index| Some((index, state.find(id(index))?.1)));
    let summaries = found.map(|(index, execution)| {
        let mut summary = summary(parent, id(index), &execution);
        let reason = || waiting_reason(state, id(index), strict).map(String::from);
        summary.status_reason = summary.status_reason.or_else(reason);
        match &parent.nodes {
            None => {
                let index = wire_number(index);
                let array = model::ArrayPropertiesSummary { index, ..Default::default() };
                model::JobSummary { array_properties: Some(array), ..summary }
            }
            Some(nodes) => {
                let node = model::NodePropertiesSummary {
                    is_main_node: Some(index == nodes.main_node),
                    node_index: wire_number(index),
                    num_nodes: wire_number(nodes.num_nodes()),
                };
                model::JobSummary { node_properties: Some(node), ..summary }
            }
        }
    });
    let summaries = summaries.collect();
    (summaries, wanted.next().map(u64::from))
}

fn wire_number(n: u32) -> Option<i32> {
    i32::try_from(n).ok()
}

fn summary(job: &Job, id: JobId, execution: &Execution) -> model::JobSummary {
    let container = execution.last_outcome().map(|outcome| model::ContainerSummary {
        exit_code: outcome.exit_code,
        reason: outcome.reason.clone().map(String::from),
    });
    model::JobSummary {
        container,
        created_at: Some(execution.created_at.as_millis()),
        is_cancelled: execution.is_cancelled.then_some(true),
        is_terminated: execution.is_terminated.then_some(true),
        job_arn: Some(job.arn(id).into()),
        job_definition: Some(job.definition.clone().into()),
        job_id: id.to_string(),
        job_name: job.name.clone().into(),
        share_identifier: job.share_identifier.clone().map(String::from),
        started_at: execution.started_at.map(Timestamp::as_millis),
        status: Some(wire_status(execution.status)),
        status_reason: execution.status_reason.clone().map(String::from),
        stopped_at: execution.stopped_at.map(Timestamp::as_millis),
        ..Default::default()
    }
}

/// What of a queue's jobs is asked for: in all that AWS accepts, just as there; else everything that is said holds together.
fn conditions(
    scope: &Scope,
    status: Option<JobStatus>,
    filters: &[model::KeyValuesPair],
    strict: bool,
) -> Result<Vec<JobFilter>, WireError> {
    let given = filters.iter().map(|filter| job_filter(scope, filter, strict));
    let mut conditions: Vec<JobFilter> = given.collect::<Result<_, _>>()?;
    let status = match conditions.as_slice() {
        [] => Some(status.unwrap_or(JobStatus::Running)),
        [JobFilter::Status(_) | JobFilter::Share(_) | JobFilter::Tag(_)] => status,
        [_] => None, // jobStatus is ignored
        _ if strict => return Err(WireError::invalid("Only one filter can be used at a time.")),
        _ => status,
    };
    conditions.extend(status.map(|status| JobFilter::Status(vec![status])));
    Ok(conditions)
}

fn job_filter(scope: &Scope, filter: &model::KeyValuesPair, strict: bool) -> Result<JobFilter, WireError> {
    let model::KeyValuesPair { name, values } = filter;
    let name = name.as_deref().unwrap_or_default();
    let values = values.as_deref().unwrap_or_default();
    let value = || match values {
        [value] => Ok(value.as_str()),
        _ => Err(WireError::invalid(format!("Filter {name} needs exactly one value."))),
    };
    let any = || match values {
        [] => Err(WireError::invalid(format!("Filter {name} needs at least one value."))),
        _ => Ok(values),
    };
    let time = || {
        let millis = value()?.parse().map(Timestamp);
        millis.map_err(|_| {
            WireError::invalid(format!("Filter {name} needs a time in milliseconds since the epoch."))
        })
    };
    Ok(match name {
        "JOB_NAME" => JobFilter::Name(match value()?.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Exact(value()?.into()),
        }),
        "JOB_DEFINITION" => {
            let arn = scope.resolve("job-definition", value()?);
            JobFilter::Definition(match arn.strip_suffix('*') {
                Some(prefix) => DefinitionFilter::Prefix(prefix.into()),
                None if value()?.contains(':') => DefinitionFilter::Revision(arn),
                None => DefinitionFilter::Family(arn),
            })
        }
        "BEFORE_CREATED_AT" => JobFilter::CreatedBefore(time()?),
        "AFTER_CREATED_AT" => JobFilter::CreatedAfter(time()?),
        "SHARE_IDENTIFIER" => JobFilter::Share(value()?.into()),
        "JOB_STATUS" if !strict => {
            JobFilter::Status(any()?.iter().map(|value| status_named(value)).collect::<Result<_, _>>()?)
        }
        "TAG" if !strict => JobFilter::Tag(any()?.iter().map(|value| tag(value)).collect()),
        _ => {
            let beyond = if strict { "" } else { ", JOB_STATUS, TAG" };
            return Err(WireError::invalid(format!(
                "{name} is not a filter: use one of [JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT, \
                 SHARE_IDENTIFIER{beyond}]."
            )));
        }
    })
}

fn status_named(name: &str) -> Result<JobStatus, WireError> {
    JobStatus::ALL.into_iter().find(|status| status.as_str() == name).ok_or_else(|| {
        let all = JobStatus::ALL.map(JobStatus::as_str).join(", ");
        WireError::invalid(format!("{name} is not a job status: use one of [{all}]."))
    })
}

/// `key` or `key=value`.
fn tag(given: &str) -> (Text, Option<Text>) {
    match given.split_once('=') {
        Some((key, value)) => (key.into(), Some(value.into())),
        None => (given.into(), None),
    }
}

fn core_status(status: model::JobStatus) -> JobStatus {
    match status {
        model::JobStatus::Submitted => JobStatus::Submitted,
        model::JobStatus::Pending => JobStatus::Pending,
        model::JobStatus::Runnable => JobStatus::Runnable,
        model::JobStatus::Starting => JobStatus::Starting,
        model::JobStatus::Running => JobStatus::Running,
        model::JobStatus::Succeeded => JobStatus::Succeeded,
        model::JobStatus::Failed => JobStatus::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source of the strict half: AWS Batch API reference, ListJobs.
    #[test]
    fn what_aws_accepts_means_the_same_and_more_is_possible() {
        use JobFilter::{CreatedBefore, Name, Share, Status, Tag};
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let filter = |&(name, values): &(&str, &[&str])| model::KeyValuesPair {
            name: Some(name.to_owned()),
            values: Some(values.iter().map(|&value| value.to_owned()).collect()),
        };
        let ask = |status, filters: &[(&str, &[&str])], strict| {
            let filters: Vec<_> = filters.iter().map(filter).collect();
            conditions(&scope, status, &filters, strict).map_err(|error| error.message)
        };
        let failed = Some(JobStatus::Failed);
        let only = |status| Status(vec![status]);
        let name = || Name(Pattern::Exact("a".into()));
        type Given<'a> = (Option<JobStatus>, &'a [(&'a str, &'a [&'a str])]);
        let same: [(Given<'_>, Vec<JobFilter>); 6] = [
            ((None, &[]), vec![only(JobStatus::Running)]),
            ((failed, &[]), vec![only(JobStatus::Failed)]),
            ((failed, &[("JOB_NAME", &["a"])]), vec![name()]),
            ((failed, &[("BEFORE_CREATED_AT", &["7"])]), vec![CreatedBefore(Timestamp(7))]),
            ((None, &[("SHARE_IDENTIFIER", &["s"])]), vec![Share("s".into())]),
            ((failed, &[("SHARE_IDENTIFIER", &["s"])]), vec![Share("s".into()), only(JobStatus::Failed)]),
        ];
        for ((status, filters), want) in same {
            for strict in [true, false] {
                assert_eq!(ask(status, filters, strict).as_ref(), Ok(&want), "{filters:?}");
            }
        }
        let tags = vec![("k".into(), None), ("k".into(), Some("v=w".into())), ("e".into(), Some("".into()))];
        let two: &[(&str, &[&str])] = &[("JOB_NAME", &["a"]), ("BEFORE_CREATED_AT", &["7"])];
        let beyond: [(Given<'_>, Vec<JobFilter>); 5] = [
            ((None, two), vec![name(), CreatedBefore(Timestamp(7))]),
            ((failed, two), vec![name(), CreatedBefore(Timestamp(7)), only(JobStatus::Failed)]),
            (
                (None, &[("JOB_STATUS", &["FAILED", "RUNNING"])]),
                vec![Status(vec![JobStatus::Failed, JobStatus::Running])],
            ),
            ((None, &[("TAG", &["k", "k=v=w", "e="])]), vec![Tag(tags)]),
            ((failed, &[("TAG", &["k"])]), vec![Tag(vec![("k".into(), None)]), only(JobStatus::Failed)]),
        ];
        for ((status, filters), want) in beyond {
            assert_eq!(ask(status, filters, false), Ok(want), "{filters:?}");
            assert!(ask(status, filters, true).is_err(), "{filters:?}");
        }
        let bad: [&[(&str, &[&str])]; 6] = [
            &[("JOB_STATUS", &["ASLEEP"])],
            &[("JOB_STATUS", &[])],
            &[("TAG", &[])],
            &[("JOB_NAME", &["a", "b"])],
            &[("AFTER_CREATED_AT", &["noon"])],
            &[("job_name", &["a"])],
        ];
        for filters in bad {
            assert!(ask(None, filters, false).is_err() && ask(None, filters, true).is_err(), "{filters:?}");
        }
    }
}
