//! CancelJob and TerminateJob.
//!
//! Both answer 200 for jobs that have ended, are unknown, or belong to somebody else, and do nothing then: workflow engines
//! terminate what they are done with, and nobody learns of other tenants' jobs.
//!
//! Source: AWS Batch API reference, CancelJob and TerminateJob.

use fornada_core::arn::Scope;
use fornada_core::id::JobId;
use fornada_core::text::Text;
use fornada_core::turn::Turn;
use fornada_model::batch as model;

use crate::app::Call;
use crate::error::WireError;

/// Characters of a reason.
const REASON_MAX: usize = 1024;

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

async fn stop(
    call: &Call,
    job_id: &str,
    reason: String,
    how: impl FnOnce(&mut Turn<'_>, JobId, &Text) + Send + 'static,
) -> Result<(), WireError> {
    let reason = checked_reason(reason)?;
    let id: JobId = job_id.parse().map_err(|_| WireError::invalid(format!("{job_id} is not a job id.")))?;
    let scope = call.scope.clone();
    let stop = move |turn: &mut Turn<'_>| {
        if is_owned(turn, &scope, id) {
            how(turn, id, &reason);
        }
    };
    Ok(call.app.engine.decide(stop).await?)
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
