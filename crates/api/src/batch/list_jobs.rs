//! ListJobs: the jobs of a queue, newest first, or the children of an array or the nodes of a multi-node job, by index.
//!
//! A queue is searched in the store, by index; children and nodes in memory, where they are.
//!
//! Source: AWS Batch API reference, ListJobs.

use std::collections::HashMap;

use fornada_core::arn::Scope;
use fornada_core::id::{JobId, Member, Uuid};
use fornada_core::job::array::StatusCounts;
use fornada_core::job::{Execution, Job, JobStatus};
use fornada_core::state::State;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::{DefinitionFilter, JobFilter, JobQuery, Pattern};
use fornada_model::batch as model;

use super::describe_jobs::status_summary;
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
    let read = move |state: &State| {
        let id = parent.parse::<JobId>().ok().filter(|id| id.member == Member::Whole);
        let parent = id.and_then(|id| state.job(id.job)).filter(|job| scope.owns(&job.queue));
        let size = parent.and_then(|job| match (kind, &job.array, &job.nodes) {
            ("array", Some(array), _) => Some(array.size),
            ("nodes", _, Some(nodes)) => Some(nodes.num_nodes()),
            _ => None,
        });
        parent.zip(size).map(|(parent, size)| members(state, parent, size, status, &page)).unwrap_or_default()
    };
    let (jobs, next) = call.app.engine.read(read).await?;
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
    let (status, filter) = match filters.as_slice() {
        [] => (Some(status.unwrap_or(JobStatus::Running)), None),
        [filter] => match job_filter(&call.scope, filter)? {
            Some(filter) => (None, Some(filter)), // with filters, jobStatus is ignored
            None => return Ok((Vec::new(), None)),
        },
        _ => return Err(WireError::invalid("Only one filter can be used at a time.")),
    };
    let limit = u32::try_from(page.size + 1).unwrap_or(u32::MAX); // one more says whether there is another page
    let query = JobQuery { queue: arn, status, filter, before_sequence: page.from, limit };
    let mut jobs = call.blocking(move |app| app.jobs.list_jobs(&query).map_err(WireError::server)).await?;
    let more = jobs.len() > page.size;
    jobs.truncate(page.size);
    let next = jobs.last().filter(|_| more).map(|job| job.sequence);
    let arrays: Vec<Uuid> = jobs.iter().filter(|job| job.array.is_some()).map(|job| job.id).collect();
    let counts: HashMap<Uuid, StatusCounts> = match arrays.is_empty() {
        true => HashMap::new(),
        false => {
            let count = |state: &State, id: Uuid| Some((id, state.status_summary(id)?));
            call.app
                .engine
                .read(move |state| arrays.iter().filter_map(|&id| count(state, id)).collect())
                .await?
        }
    };
    let summaries = jobs.iter().map(|job| {
        let array = job.array.as_ref().map(|array| model::ArrayPropertiesSummary {
            size: wire_number(array.size),
            status_summary: counts.get(&job.id).map(status_summary),
            ..Default::default()
        });
        let nodes = job.nodes.as_ref().map(|nodes| model::NodePropertiesSummary {
            num_nodes: wire_number(nodes.num_nodes()),
            ..Default::default()
        });
        let summary = summary(job, JobId::whole(job.id), &job.execution);
        model::JobSummary { array_properties: array, node_properties: nodes, ..summary }
    });
    Ok((summaries.collect(), next))
}

/// A page of the children or nodes of `parent` in one status, and the index to go on from.
fn members(
    state: &State,
    parent: &Job,
    size: u32,
    status: JobStatus,
    page: &Page,
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
        let summary = summary(parent, id(index), &execution);
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

/// What a filter asks for; `None` when nothing can match it.
fn job_filter(scope: &Scope, filter: &model::KeyValuesPair) -> Result<Option<JobFilter>, WireError> {
    let model::KeyValuesPair { name, values } = filter;
    let name = name.as_deref().unwrap_or_default();
    let value = match values.as_deref() {
        Some([value]) => value.as_str(),
        _ => return Err(WireError::invalid(format!("Filter {name} needs exactly one value."))),
    };
    let time = || {
        let millis = value.parse().map(Timestamp);
        millis.map_err(|_| {
            WireError::invalid(format!("Filter {name} needs a time in milliseconds since the epoch."))
        })
    };
    Ok(Some(match name {
        "JOB_NAME" => JobFilter::Name(match value.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Exact(value.into()),
        }),
        "JOB_DEFINITION" => {
            let arn = scope.resolve("job-definition", value);
            JobFilter::Definition(match arn.strip_suffix('*') {
                Some(prefix) => DefinitionFilter::Prefix(prefix.into()),
                None if value.contains(':') => DefinitionFilter::Revision(arn),
                None => DefinitionFilter::Family(arn),
            })
        }
        "BEFORE_CREATED_AT" => JobFilter::CreatedBefore(time()?),
        "AFTER_CREATED_AT" => JobFilter::CreatedAfter(time()?),
        // Only queues with a scheduling policy have shares, and there are none yet.
        "SHARE_IDENTIFIER" => return Ok(None),
        _ => {
            return Err(WireError::invalid(format!(
                "{name} is not a filter: use JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT or \
                 SHARE_IDENTIFIER."
            )));
        }
    }))
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
