//! Service jobs: SubmitServiceJob, DescribeServiceJob, ListServiceJobs, TerminateServiceJob, TerminateServiceJobs,
//! UpdateServiceJob.

pub(super) mod describe;
pub(super) mod list;
mod payload;
mod refusal;
pub(super) mod snapshot;
pub(super) mod submit;
pub(super) mod terminate;
pub(super) mod update;

use fornada_core::id::{JobId, Member, TaskId, Uuid};
use fornada_core::service_job::{ServiceJob, ServiceJobStatus, training_job_arn};
use fornada_core::text::Text;
use fornada_model::batch as model;

use crate::error::WireError;

/// A service job is named by the id that SubmitServiceJob returned.
fn id(given: &str) -> Result<Uuid, WireError> {
    match given.parse() {
        Ok(JobId { job, member: Member::Whole }) => Ok(job),
        Ok(_) | Err(_) => Err(WireError::invalid(format!("{given} is not a job id."))),
    }
}

/// Statuses have the same names on both sides.
fn wire_status(status: ServiceJobStatus) -> model::ServiceJobStatus {
    match status {
        ServiceJobStatus::Submitted => model::ServiceJobStatus::Submitted,
        ServiceJobStatus::Pending => model::ServiceJobStatus::Pending,
        ServiceJobStatus::Runnable => model::ServiceJobStatus::Runnable,
        ServiceJobStatus::Scheduled => model::ServiceJobStatus::Scheduled,
        ServiceJobStatus::Starting => model::ServiceJobStatus::Starting,
        ServiceJobStatus::Running => model::ServiceJobStatus::Running,
        ServiceJobStatus::Succeeded => model::ServiceJobStatus::Succeeded,
        ServiceJobStatus::Failed => model::ServiceJobStatus::Failed,
    }
}

/// The training job that stands for an attempt.
fn resource_id(job: &ServiceJob, task_id: TaskId) -> model::ServiceResourceId {
    model::ServiceResourceId {
        name: model::ServiceResourceIdName::TrainingJobArn,
        value: training_job_arn(&job.scope(), &job.training_job_name(task_id)).into(),
    }
}

fn latest_attempt(job: &ServiceJob) -> Option<model::LatestServiceJobAttempt> {
    let service_resource_id = Some(resource_id(job, job.latest_task()?));
    Some(model::LatestServiceJobAttempt { service_resource_id })
}

/// Units and quantities; `None` while nothing is held.
fn usage<T>(usage: Vec<(Text, u64)>, make: impl Fn(String, f64) -> T) -> Option<Vec<T>> {
    #[allow(clippy::cast_precision_loss, reason = "instances are few")]
    let quantity = |count: u64| count as f64;
    let all: Vec<T> = usage.into_iter().map(|(unit, count)| make(unit.into(), quantity(count))).collect();
    (!all.is_empty()).then_some(all)
}
