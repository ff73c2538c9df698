//! ListJobs: the jobs of a queue, newest first, or the children of an array, by index.
//!
//! A queue is searched in the store, by index; an array in memory, where its children are.
//!
//! Source: AWS Batch API reference, ListJobs.

use std::collections::HashMap;

use fornada_core::arn::Scope;
use fornada_core::id::{JobId, Uuid};
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

/// Largest page with a status, or with nothing.
const PAGE_MAX: usize = 1000;
/// Largest page with filters.
const FILTERED_PAGE_MAX: usize = 100;

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
    match (job_queue, array_job_id, multi_node_job_id) {
        (Some(queue), None, None) => {
            let question = ("queue", call.scope.clone(), queue.clone(), status, format!("{filters:?}"));
            let page_max = if filters.is_empty() { PAGE_MAX } else { FILTERED_PAGE_MAX };
            let page = Page {
                size: paging::page_size(max_results, page_max)?,
                from: paging::position(next_token.as_deref(), &question)?,
            };
            let (jobs, next) = of_queue(call, &queue, status, filters, page).await?;
            let next_token = next.map(|sequence| paging::token(sequence, &question));
            Ok(model::ListJobsResponse { job_summary_list: jobs, next_token })
        }
        (None, Some(array), None) => {
            let question = ("array", call.scope.clone(), array.clone(), status);
            let page = Page {
                size: paging::page_size(max_results, PAGE_MAX)?,
                from: paging::position(next_token.as_deref(), &question)?,
            };
            let (scope, status) = (call.scope.clone(), status.unwrap_or(JobStatus::Running));
            let read = move |state: &State| of_array(state, &scope, &array, status, &page);
            let (jobs, next) = call.app.engine.read(read).await?;
            let next_token = next.map(|index| paging::token(index, &question));
            Ok(model::ListJobsResponse { job_summary_list: jobs, next_token })
        }
        // Multi-node jobs cannot be submitted yet, so nothing has nodes.
        (None, None, Some(_)) => Ok(model::ListJobsResponse::default()),
        _ => Err(WireError::invalid(
            "Exactly one of jobQueue, arrayJobId and multiNodeJobId must be specified.",
        )),
    }
}

struct Page {
    size: usize,
    from: Option<u64>,
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
            size: i32::try_from(array.size).ok(),
            status_summary: counts.get(&job.id).map(status_summary),
            ..Default::default()
        });
        summary(job, JobId::whole(job.id), &job.execution, array)
    });
    Ok((summaries.collect(), next))
}

/// A page of children in one status, and the index to go on from.
fn of_array(
    state: &State,
    scope: &Scope,
    array_id: &str,
    status: JobStatus,
    page: &Page,
) -> (Vec<model::JobSummary>, Option<u64>) {
    let parent =
        array_id.parse::<JobId>().ok().and_then(|id| state.job(id.job)).filter(|job| scope.owns(&job.queue));
    let Some((parent, array)) = parent.and_then(|job| Some((job, job.array.as_ref()?))) else {
        return Default::default();
    };
    let start = u32::try_from(page.from.unwrap_or(0)).unwrap_or(u32::MAX);
    let mut wanted = (start..array.size)
        .map(|index| JobId::child(parent.id, index))
        .filter(|&id| state.status_of(id) == Some(status));
    let children = wanted.by_ref().take(page.size).filter_map(|id| Some((id, state.find(id)?.1)));
    let summaries = children
        .map(|(id, child)| {
            let array = model::ArrayPropertiesSummary { index: index_of(id), ..Default::default() };
            summary(parent, id, &child, Some(array))
        })
        .collect();
    let next = wanted.next().and_then(index_of).map(i64::from).and_then(|index| u64::try_from(index).ok());
    (summaries, next)
}

fn index_of(id: JobId) -> Option<i32> {
    match id.member {
        fornada_core::id::Member::Index(index) => i32::try_from(index).ok(),
        fornada_core::id::Member::Whole | fornada_core::id::Member::Node(_) => None,
    }
}

fn summary(
    job: &Job,
    id: JobId,
    execution: &Execution,
    array_properties: Option<model::ArrayPropertiesSummary>,
) -> model::JobSummary {
    let container = execution.last_outcome().map(|outcome| model::ContainerSummary {
        exit_code: outcome.exit_code,
        reason: outcome.reason.clone().map(String::from),
    });
    model::JobSummary {
        array_properties,
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
