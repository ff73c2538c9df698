//! TerminateServiceJob and TerminateServiceJobs.
//!
//! Both are content with jobs that have ended, are unknown, or belong to somebody else, and do nothing then.
//!
//! Source: AWS Batch API reference, the two operations.

use fornada_core::arn::Scope;
use fornada_core::id::Uuid;
use fornada_core::text::Text;
use fornada_core::turn::Turn;
use fornada_model::batch as model;

use super::super::require::require;
use super::super::stop_jobs::checked_reason;
use super::id;
use crate::app::Call;
use crate::error::WireError;

/// Source: AWS Batch User Guide, service quotas.
const JOBS_MAX: usize = 50;

pub(in crate::batch) async fn one(
    call: &Call,
    request: model::TerminateServiceJobRequest,
) -> Result<model::TerminateServiceJobResponse, WireError> {
    let model::TerminateServiceJobRequest { job_id, reason } = request;
    let (reason, id) = (checked_reason(reason)?, id(&job_id)?);
    terminate(call, vec![id], reason).await?;
    Ok(model::TerminateServiceJobResponse {})
}

pub(in crate::batch) async fn several(
    call: &Call,
    request: model::TerminateServiceJobsRequest,
) -> Result<model::TerminateServiceJobsResponse, WireError> {
    let model::TerminateServiceJobsRequest { jobs, reason } = request;
    require((1..=JOBS_MAX).contains(&jobs.len()), "jobs must have 1 to 50 job ids.")?;
    let reason = checked_reason(reason)?;
    let (mut ids, mut successful, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        match id(&job) {
            Ok(id) => {
                ids.push(id);
                successful.push(job);
            }
            Err(error) => errors.push(model::TerminateServiceJobsErrorDetail {
                code: error.code.to_owned(),
                job,
                message: error.message,
            }),
        }
    }
    terminate(call, ids, reason).await?;
    Ok(model::TerminateServiceJobsResponse { errors, successful })
}

async fn terminate(call: &Call, ids: Vec<Uuid>, reason: Text) -> Result<(), WireError> {
    let scope = call.scope.clone();
    let terminate = move |turn: &mut Turn<'_>| {
        for id in ids {
            if is_owned(turn, &scope, id) {
                turn.terminate_service_job(id, &reason);
            }
        }
    };
    Ok(call.app.engine.decide(terminate).await?)
}

fn is_owned(turn: &Turn<'_>, scope: &Scope, id: Uuid) -> bool {
    turn.state().service_job(id).is_some_and(|job| scope.owns(&job.queue))
}
