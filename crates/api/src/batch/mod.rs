//! AWS Batch: from an HTTP request to the operation that it names. One file an operation, or a resource's operations.

pub(crate) mod compute_environments;
pub(crate) mod consumable_resources;
pub(crate) mod container_fields;
mod describe_jobs;
mod eks_resources;
pub(crate) mod job_definitions;
pub(crate) mod job_ids;
mod job_queue_snapshot;
pub(crate) mod job_queues;
mod list_jobs;
mod names;
mod paging;
mod quota_shares;
mod require;
mod retry_strategy;
pub(crate) mod scheduling_policies;
mod selection;
mod service_environments;
mod service_jobs;
mod stop_jobs;
pub(crate) mod submit_job;
mod tags;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fornada_model::batch::{self as model, Operation};
use fornada_model::rest::{RouteError, route};
use fornada_model::{Request, decode};
use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::app::Call;
use crate::error::WireError;
use crate::front::parse;
use crate::limits::Limits;

/// Routes, decodes, and runs one operation. Sets `operation` as soon as it is known.
pub(crate) async fn serve(
    call: &Call,
    method: &Method,
    path: &str,
    query: &str,
    body: &Bytes,
    operation: &mut &'static str,
) -> Result<Response, WireError> {
    let route = route(method.as_str(), path).map_err(|error| match error {
        RouteError::UnknownPath => {
            WireError::new("UnknownOperationException", 404, "There is no operation at this path.")
        }
        RouteError::WrongMethod => {
            WireError::new("MethodNotAllowedException", 405, "This path takes another HTTP method.")
        }
    })?;
    *operation = route.operation.name();
    check_payload(&call.app.limits, route.operation, body)?;
    let mut body = parse(body)?;
    route.bind(query, &mut body).map_err(|error| WireError::client(error.to_string()))?;
    dispatch(call, route.operation, body).await
}

fn check_payload(limits: &Limits, operation: Operation, body: &Bytes) -> Result<(), WireError> {
    let kib = match operation {
        Operation::RegisterJobDefinition => limits.register_job_definition_kib,
        Operation::SubmitJob | Operation::SubmitServiceJob => limits.submit_job_kib,
        _ => return Ok(()),
    };
    if body.len() > kib as usize * 1024 {
        let name = operation.name();
        return Err(WireError::invalid(format!("The payload of {name} can have at most {kib} KiB.")));
    }
    Ok(())
}

async fn dispatch(call: &Call, operation: Operation, body: Value) -> Result<Response, WireError> {
    match operation {
        Operation::CancelJob => answer(stop_jobs::cancel_job(call, request(body)?).await?),
        Operation::CancelJobs => answer(stop_jobs::cancel_jobs(call, request(body)?).await?),
        Operation::CreateComputeEnvironment => {
            answer(compute_environments::create(call, request(body)?).await?)
        }
        Operation::CreateConsumableResource => {
            answer(consumable_resources::create(call, request(body)?).await?)
        }
        Operation::CreateJobQueue => answer(job_queues::create(call, request(body)?).await?),
        Operation::CreateSchedulingPolicy => answer(scheduling_policies::create(call, request(body)?).await?),
        Operation::DeleteComputeEnvironment => {
            answer(compute_environments::delete(call, request(body)?).await?)
        }
        Operation::DeleteConsumableResource => {
            answer(consumable_resources::delete(call, request(body)?).await?)
        }
        Operation::DeleteJobQueue => answer(job_queues::delete(call, request(body)?).await?),
        Operation::DeleteSchedulingPolicy => answer(scheduling_policies::delete(call, request(body)?).await?),
        Operation::DeregisterJobDefinition => {
            answer(job_definitions::deregister(call, request(body)?).await?)
        }
        Operation::DescribeComputeEnvironments => {
            answer(compute_environments::describe(call, request(body)?).await?)
        }
        Operation::DescribeConsumableResource => {
            answer(consumable_resources::describe(call, request(body)?).await?)
        }
        Operation::DescribeJobDefinitions => answer(job_definitions::describe(call, request(body)?).await?),
        Operation::DescribeJobQueues => answer(job_queues::describe(call, request(body)?).await?),
        Operation::DescribeJobs => answer(describe_jobs::describe_jobs(call, request(body)?).await?),
        Operation::DescribeSchedulingPolicies => {
            answer(scheduling_policies::describe(call, request(body)?).await?)
        }
        Operation::GetJobQueueSnapshot => answer(job_queue_snapshot::get(call, request(body)?).await?),
        Operation::ListConsumableResources => answer(consumable_resources::list(call, request(body)?).await?),
        Operation::ListJobs => answer(list_jobs::list_jobs(call, request(body)?).await?),
        Operation::ListJobsByConsumableResource => {
            answer(consumable_resources::list_jobs(call, request(body)?).await?)
        }
        Operation::ListSchedulingPolicies => answer(scheduling_policies::list(call, request(body)?).await?),
        Operation::ListTagsForResource => answer(tags::list(call, request(body)?).await?),
        Operation::RegisterJobDefinition => answer(job_definitions::register(call, request(body)?).await?),
        Operation::SubmitJob => answer(submit_job::submit_job(call, request(body)?).await?),
        Operation::TagResource => answer(tags::tag(call, request(body)?).await?),
        Operation::TerminateJob => answer(stop_jobs::terminate_job(call, request(body)?).await?),
        Operation::TerminateJobs => answer(stop_jobs::terminate_jobs(call, request(body)?).await?),
        Operation::UntagResource => answer(tags::untag(call, request(body)?).await?),
        Operation::UpdateComputeEnvironment => {
            answer(compute_environments::update(call, request(body)?).await?)
        }
        Operation::UpdateConsumableResource => {
            answer(consumable_resources::update(call, request(body)?).await?)
        }
        Operation::UpdateJobQueue => answer(job_queues::update(call, request(body)?).await?),
        Operation::UpdateSchedulingPolicy => answer(scheduling_policies::update(call, request(body)?).await?),
        Operation::CreateQuotaShare => answer(quota_shares::create(call, request(body)?).await?),
        Operation::CreateServiceEnvironment => {
            answer(service_environments::create(call, request(body)?).await?)
        }
        Operation::DeleteQuotaShare => answer(quota_shares::delete(call, request(body)?).await?),
        Operation::DeleteServiceEnvironment => {
            answer(service_environments::delete(call, request(body)?).await?)
        }
        Operation::DescribeQuotaShare => answer(quota_shares::describe(call, request(body)?).await?),
        Operation::DescribeServiceEnvironments => {
            answer(service_environments::describe(call, request(body)?).await?)
        }
        Operation::DescribeServiceJob => {
            answer(service_jobs::describe::describe(call, request(body)?).await?)
        }
        Operation::ListQuotaShares => answer(quota_shares::list(call, request(body)?).await?),
        Operation::ListServiceJobs => answer(service_jobs::list::list(call, request(body)?).await?),
        Operation::SubmitServiceJob => answer(service_jobs::submit::submit(call, request(body)?).await?),
        Operation::TerminateServiceJob => answer(service_jobs::terminate::one(call, request(body)?).await?),
        Operation::TerminateServiceJobs => {
            answer(service_jobs::terminate::several(call, request(body)?).await?)
        }
        Operation::UpdateQuotaShare => answer(quota_shares::update(call, request(body)?).await?),
        Operation::UpdateServiceEnvironment => {
            answer(service_environments::update(call, request(body)?).await?)
        }
        Operation::UpdateServiceJob => answer(service_jobs::update::update(call, request(body)?).await?),
    }
}

fn request<R: Request>(body: Value) -> Result<R, WireError> {
    Ok(decode(body)?)
}

fn answer(response: impl Serialize) -> Result<Response, WireError> {
    let body = serde_json::to_vec(&response).map_err(WireError::server)?;
    Ok(([("content-type", "application/json")], body).into_response())
}

/// Statuses have the same names on both sides.
fn wire_status(status: fornada_core::job::JobStatus) -> model::JobStatus {
    use fornada_core::job::JobStatus as Core;
    match status {
        Core::Submitted => model::JobStatus::Submitted,
        Core::Pending => model::JobStatus::Pending,
        Core::Runnable => model::JobStatus::Runnable,
        Core::Starting => model::JobStatus::Starting,
        Core::Running => model::JobStatus::Running,
        Core::Succeeded => model::JobStatus::Succeeded,
        Core::Failed => model::JobStatus::Failed,
    }
}
