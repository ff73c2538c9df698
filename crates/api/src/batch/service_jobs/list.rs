//! ListServiceJobs: the service jobs of a queue, newest first, searched in the store.
//!
//! Source: AWS Batch API reference, ListServiceJobs.

use fornada_core::refusal::Refusal;
use fornada_core::service_job::{ServiceJob, ServiceJobStatus};
use fornada_core::state::State;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::{Pattern, ServiceJobFilter, ServiceJobQuery};
use fornada_model::batch as model;

use super::super::paging;
use super::super::selection::owned;
use super::{latest_attempt, usage, wire_status};
use crate::app::Call;
use crate::error::WireError;

/// Largest page.
const PAGE_MAX: usize = 100;

pub(in crate::batch) async fn list(
    call: &Call,
    request: model::ListServiceJobsRequest,
) -> Result<model::ListServiceJobsResponse, WireError> {
    let model::ListServiceJobsRequest { filters, job_queue, job_status, max_results, next_token } = request;
    let queue = job_queue.ok_or_else(|| WireError::invalid("jobQueue must be specified."))?;
    let arn = owned(&call.scope, "job-queue", &queue)?;
    let question = ("service jobs", arn.clone(), job_status, format!("{filters:?}"));
    let size = paging::page_size(max_results, PAGE_MAX)?;
    let before_sequence = paging::position(next_token.as_deref(), &question)?;
    let key = arn.clone();
    if !call.app.engine.read(move |state: &State| state.job_queues().contains_key(&key)).await? {
        return Err(Refusal::NoSuchResource { arn }.into());
    }
    let (status, filter) = match filters.unwrap_or_default().as_slice() {
        [] => (Some(job_status.map_or(ServiceJobStatus::Running, core_status)), None),
        [filter] => {
            let filter = job_filter(filter)?;
            // With filters, jobStatus is ignored, except with shares.
            let is_share =
                matches!(filter, ServiceJobFilter::ShareIdentifier(_) | ServiceJobFilter::QuotaShare(_));
            (job_status.filter(|_| is_share).map(core_status), Some(filter))
        }
        _ => return Err(WireError::invalid("Only one filter can be used at a time.")),
    };
    let limit = u32::try_from(size + 1).unwrap_or(u32::MAX); // one more says whether there is another page
    let query = ServiceJobQuery { queue: arn, status, filter, before_sequence, limit };
    let read = move |app: &crate::app::App| app.jobs.list_service_jobs(&query).map_err(WireError::server);
    let mut jobs = call.blocking(read).await?;
    let more = jobs.len() > size;
    jobs.truncate(size);
    let next = jobs.last().filter(|_| more).map(|job| job.sequence);
    Ok(model::ListServiceJobsResponse {
        job_summary_list: jobs.iter().map(|job| summary(job)).collect(),
        next_token: next.map(|sequence| paging::token(sequence, &question)),
    })
}

fn summary(job: &ServiceJob) -> model::ServiceJobSummary {
    model::ServiceJobSummary {
        capacity_usage: usage(job.capacity_usage(), |unit, quantity| model::ServiceJobCapacityUsageSummary {
            capacity_unit: Some(unit),
            quantity: Some(quantity),
        }),
        created_at: Some(job.created_at.as_millis()),
        is_terminated: job.is_terminated.then_some(true),
        job_arn: Some(job.arn().into()),
        job_id: job.id.as_hyphenated().to_string(),
        job_name: job.name.clone().into(),
        latest_attempt: latest_attempt(job),
        quota_share_name: job.quota_share.clone().map(String::from),
        scheduled_at: job.scheduled_at.map(Timestamp::as_millis),
        service_job_type: model::ServiceJobType::SagemakerTraining,
        share_identifier: job.share_identifier.clone().map(String::from),
        started_at: job.started_at.map(Timestamp::as_millis),
        status: Some(wire_status(job.status)),
        status_reason: job.status_reason.clone().map(String::from),
        stopped_at: job.stopped_at.map(Timestamp::as_millis),
    }
}

fn job_filter(filter: &model::KeyValuesPair) -> Result<ServiceJobFilter, WireError> {
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
    Ok(match name {
        "JOB_NAME" => ServiceJobFilter::Name(match value.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Exact(value.into()),
        }),
        "BEFORE_CREATED_AT" => ServiceJobFilter::CreatedBefore(time()?),
        "AFTER_CREATED_AT" => ServiceJobFilter::CreatedAfter(time()?),
        "SHARE_IDENTIFIER" => ServiceJobFilter::ShareIdentifier(value.into()),
        "QUOTA_SHARE_NAME" => ServiceJobFilter::QuotaShare(value.into()),
        _ => {
            return Err(WireError::invalid(format!(
                "{name} is not a filter: use JOB_NAME, BEFORE_CREATED_AT, AFTER_CREATED_AT, SHARE_IDENTIFIER or \
                 QUOTA_SHARE_NAME."
            )));
        }
    })
}

fn core_status(status: model::ServiceJobStatus) -> ServiceJobStatus {
    match status {
        model::ServiceJobStatus::Submitted => ServiceJobStatus::Submitted,
        model::ServiceJobStatus::Pending => ServiceJobStatus::Pending,
        model::ServiceJobStatus::Runnable => ServiceJobStatus::Runnable,
        model::ServiceJobStatus::Scheduled => ServiceJobStatus::Scheduled,
        model::ServiceJobStatus::Starting => ServiceJobStatus::Starting,
        model::ServiceJobStatus::Running => ServiceJobStatus::Running,
        model::ServiceJobStatus::Succeeded => ServiceJobStatus::Succeeded,
        model::ServiceJobStatus::Failed => ServiceJobStatus::Failed,
    }
}
