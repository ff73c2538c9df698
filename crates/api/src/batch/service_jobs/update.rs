//! UpdateServiceJob: the priority of a job that has not ended.
//!
//! Source: AWS Batch API reference, UpdateServiceJob.

use fornada_model::batch as model;

use super::super::submit_job::scheduling_priority;
use super::id;
use crate::app::Call;
use crate::error::WireError;

pub(in crate::batch) async fn update(
    call: &Call,
    request: model::UpdateServiceJobRequest,
) -> Result<model::UpdateServiceJobResponse, WireError> {
    let model::UpdateServiceJobRequest { job_id, scheduling_priority: priority } = request;
    let (scope, id, priority) = (call.scope.clone(), id(&job_id)?, scheduling_priority(priority)?);
    let job =
        call.decide_about(vec![id], move |turn| turn.update_service_job(&scope, id, priority)).await??;
    Ok(model::UpdateServiceJobResponse {
        job_arn: Some(job.arn().into()),
        job_id: Some(job_id),
        job_name: Some(job.name.clone().into()),
    })
}
