//! CancelJob, TerminateJob, and both for many jobs at once: CancelJobs, TerminateJobs.
//!
//! Both answer 200 for jobs that have ended, are unknown, or belong to somebody else, and do nothing then: workflow engines
//! terminate what they are done with, and nobody learns of other tenants' jobs. A node of a multi-node job cannot be stopped
//! alone.
//!
//! Source: AWS Batch API reference, CancelJob, TerminateJob, CancelJobs and TerminateJobs.

use fornada_core::arn::Scope;
use fornada_core::id::{JobId, Member};
use fornada_core::text::Text;
use fornada_core::turn::Turn;
use fornada_model::batch as model;

use super::job_ids;
use crate::app::Call;
use crate::error::WireError;

/// Characters of a reason.
const REASON_MAX: usize = 1024;
/// Jobs of one bulk request. Source: AWS Batch User Guide, service quotas.
const JOBS_MAX: usize = 50;

pub(super) async fn cancel_job(
    call: &Call,
    request: model::CancelJobRequest,
) -> Result<model::CancelJobResponse, WireError> {
    let model::CancelJobRequest { job_id, reason } = request;
    stop(call, &job_id, reason, |turn, id, reason| turn.cancel_job(id, reason)).await?;
    Ok(model::CancelJobResponse {})
}

pub(super) async fn terminate_job(
    call: &Call,
    request: model::TerminateJobRequest,
) -> Result<model::TerminateJobResponse, WireError> {
    let model::TerminateJobRequest { job_id, reason } = request;
    stop(call, &job_id, reason, |turn, id, reason| turn.terminate_job(id, reason)).await?;
    Ok(model::TerminateJobResponse {})
}

pub(super) async fn cancel_jobs(
    call: &Call,
    request: model::CancelJobsRequest,
) -> Result<model::CancelJobsResponse, WireError> {
    let model::CancelJobsRequest { jobs, reason } = request;
    let (successful, bad) =
        stop_all(call, jobs, reason, |turn, id, reason| turn.cancel_job(id, reason)).await?;
    let errors = bad.into_iter().map(|job| {
        let WireError { code, message, .. } = refusal(&call.scope, &job);
        model::CancelJobsErrorDetail { code: code.to_owned(), job, message }
    });
    Ok(model::CancelJobsResponse { errors: errors.collect(), successful })
}

pub(super) async fn terminate_jobs(
    call: &Call,
    request: model::TerminateJobsRequest,
) -> Result<model::TerminateJobsResponse, WireError> {
    let model::TerminateJobsRequest { jobs, reason } = request;
    let (successful, bad) =
        stop_all(call, jobs, reason, |turn, id, reason| turn.terminate_job(id, reason)).await?;
    let errors = bad.into_iter().map(|job| {
        let WireError { code, message, .. } = refusal(&call.scope, &job);
        model::TerminateJobsErrorDetail { code: code.to_owned(), job, message }
    });
    Ok(model::TerminateJobsResponse { errors: errors.collect(), successful })
}

async fn stop(
    call: &Call,
    job_id: &str,
    reason: String,
    how: impl Fn(&mut Turn<'_>, JobId, &Text) + Send + 'static,
) -> Result<(), WireError> {
    let reason = checked_reason(reason)?;
    let id = job_ids::parse(&call.scope, job_id).ok_or_else(|| not_a_job_id(job_id))?;
    if matches!(id.member, Member::Node(_)) {
        return Err(node_alone(id));
    }
    stop_ids(call, vec![id], reason, how).await
}

/// Stops the jobs that can be stopped, all in one turn; gives back which can, and which cannot.
async fn stop_all(
    call: &Call,
    jobs: Vec<String>,
    reason: String,
    how: impl Fn(&mut Turn<'_>, JobId, &Text) + Send + 'static,
) -> Result<(Vec<String>, Vec<String>), WireError> {
    let reason = checked_reason(reason)?;
    if !(1..=JOBS_MAX).contains(&jobs.len()) {
        return Err(WireError::invalid(format!("The number of jobs must be between 1 and {JOBS_MAX}.")));
    }
    let is_node = |id: &JobId| matches!(id.member, Member::Node(_));
    let id = |job: &String| job_ids::parse(&call.scope, job).filter(|id| !is_node(id));
    stop_ids(call, jobs.iter().filter_map(id).collect(), reason, how).await?;
    Ok(jobs.into_iter().partition(|job| id(job).is_some()))
}

async fn stop_ids(
    call: &Call,
    ids: Vec<JobId>,
    reason: Text,
    how: impl Fn(&mut Turn<'_>, JobId, &Text) + Send + 'static,
) -> Result<(), WireError> {
    let scope = call.scope.clone();
    let stop = move |turn: &mut Turn<'_>| {
        for id in ids {
            if is_owned(turn, &scope, id) {
                how(turn, id, &reason);
            }
        }
    };
    Ok(call.app.engine.decide(stop).await?)
}

/// Why a job of a bulk request was not stopped.
fn refusal(scope: &Scope, job: &str) -> WireError {
    job_ids::parse(scope, job).map_or_else(|| not_a_job_id(job), node_alone)
}

fn not_a_job_id(job: &str) -> WireError {
    WireError::invalid(format!("{job} is not a job id."))
}

fn node_alone(id: JobId) -> WireError {
    WireError::client(format!(
        "{id} is a node of a multi-node parallel job: use the id of its parent, {}.",
        JobId::whole(id.job)
    ))
}

/// Why a caller ends a job.
pub(super) fn checked_reason(reason: String) -> Result<Text, WireError> {
    if reason.is_empty() {
        return Err(WireError::invalid("A reason is required."));
    }
    if reason.chars().count() > REASON_MAX {
        return Err(WireError::invalid(format!("A reason can have at most {REASON_MAX} characters.")));
    }
    Ok(reason.into())
}

fn is_owned(turn: &Turn<'_>, scope: &Scope, id: JobId) -> bool {
    turn.state().job(id.job).is_some_and(|job| scope.owns(&job.queue))
}
