//! DescribeServiceJob.
//!
//! Source: AWS Batch API reference, DescribeServiceJob.

use std::sync::Arc;

use fornada_core::service_job::refusal::ServiceRefusal;
use fornada_core::service_job::{PreemptionSummary, ServiceAttempt, ServiceJob};
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;
use fornada_model::batch as model;

use super::super::tags;
use super::submit::retry_to_wire;
use super::{id, latest_attempt, resource_id, usage, wire_status};
use crate::app::Call;
use crate::error::WireError;

pub(in crate::batch) async fn describe(
    call: &Call,
    request: model::DescribeServiceJobRequest,
) -> Result<model::DescribeServiceJobResponse, WireError> {
    let model::DescribeServiceJobRequest { job_id } = request;
    let (scope, wanted) = (call.scope.clone(), id(&job_id)?);
    let find = move |turn: &mut Turn<'_>| -> Option<Arc<ServiceJob>> {
        turn.state().service_job(wanted).filter(|job| scope.owns(&job.queue)).cloned()
    };
    let job = call.decide_about(vec![wanted], find).await?;
    let job = job.ok_or_else(|| ServiceRefusal::NoSuchJob { job_id: job_id.clone().into() })?;
    Ok(model::DescribeServiceJobResponse {
        attempts: Some(job.attempts.iter().map(|attempt| attempt_detail(&job, attempt)).collect()),
        capacity_usage: usage(job.capacity_usage(), |unit, quantity| model::ServiceJobCapacityUsageDetail {
            capacity_unit: Some(unit),
            quantity: Some(quantity),
        }),
        created_at: Some(job.created_at.as_millis()),
        is_terminated: Some(job.is_terminated),
        job_arn: Some(job.arn().into()),
        job_id,
        job_name: job.name.clone().into(),
        job_queue: job.queue.clone().into(),
        latest_attempt: latest_attempt(&job),
        preemption_configuration: job.preemption_retries.map(|retries| {
            model::ServiceJobPreemptionConfiguration { preemption_retries_before_termination: Some(retries) }
        }),
        preemption_summary: job
            .preemptions
            .as_deref()
            .map(|preemptions| preemption_summary(&job, preemptions)),
        quota_share_name: job.quota_share.clone().map(String::from),
        retry_strategy: job.retry.as_deref().map(retry_to_wire),
        scheduled_at: job.scheduled_at.map(Timestamp::as_millis),
        scheduling_priority: job.scheduling_priority.and_then(|priority| i32::try_from(priority).ok()),
        service_job_type: model::ServiceJobType::SagemakerTraining,
        service_request_payload: Some(job.payload.clone().into()),
        share_identifier: job.share_identifier.clone().map(String::from),
        started_at: job.started_at.map(Timestamp::as_millis),
        status: wire_status(job.status),
        status_reason: job.status_reason.clone().map(String::from),
        stopped_at: job.stopped_at.map(Timestamp::as_millis),
        tags: Some(tags::to_wire(&job.tags)),
        timeout_config: job.timeout_seconds.map(|seconds| model::ServiceJobTimeout {
            attempt_duration_seconds: i32::try_from(seconds).ok(),
        }),
    })
}

fn attempt_detail(job: &ServiceJob, attempt: &ServiceAttempt) -> model::ServiceJobAttemptDetail {
    model::ServiceJobAttemptDetail {
        service_resource_id: Some(resource_id(job, attempt.task_id)),
        started_at: attempt.started_at.map(Timestamp::as_millis),
        status_reason: Some(attempt.status_reason.clone().into()),
        stopped_at: Some(attempt.stopped_at.as_millis()),
    }
}

fn preemption_summary(
    job: &ServiceJob,
    preemptions: &PreemptionSummary,
) -> model::ServiceJobPreemptionSummary {
    let PreemptionSummary { count, recent } = preemptions;
    let preempted = |attempt: &ServiceAttempt| {
        let model::ServiceJobAttemptDetail { service_resource_id, started_at, status_reason, stopped_at } =
            attempt_detail(job, attempt);
        model::ServiceJobPreemptedAttempt { service_resource_id, started_at, status_reason, stopped_at }
    };
    model::ServiceJobPreemptionSummary {
        preempted_attempt_count: Some(i32::try_from(*count).unwrap_or(i32::MAX)),
        recent_preempted_attempts: Some(recent.iter().map(preempted).collect()),
    }
}
