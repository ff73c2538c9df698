//! Requests in AWS's shape applied to a state that no server serves: simulations of queues that do not exist.
//!
//! What is accepted here is what a server accepts, checked by the same code.

use fornada_core::arn::Scope;
use fornada_core::job::submit::Submission;
use fornada_core::refusal::Refusal;
use fornada_core::turn::Turn;
use fornada_model::{Request, Shape, batch as model, decode};
use serde_json::Value;

use crate::batch::{
    compute_environments, consumable_resources, job_definitions, job_queues, scheduling_policies, submit_job,
};
use crate::error::WireError;
use crate::limits::Limits;

/// What can be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By CreateComputeEnvironment.
    ComputeEnvironment,
    /// By CreateSchedulingPolicy.
    SchedulingPolicy,
    /// By CreateConsumableResource.
    ConsumableResource,
    /// By CreateJobQueue; its environments are VALID.
    JobQueue,
    /// By RegisterJobDefinition.
    JobDefinition,
}

impl Kind {
    /// What the request must look like.
    pub fn shape(self) -> &'static Shape {
        match self {
            Kind::ComputeEnvironment => model::CreateComputeEnvironmentRequest::SHAPE,
            Kind::SchedulingPolicy => model::CreateSchedulingPolicyRequest::SHAPE,
            Kind::ConsumableResource => model::CreateConsumableResourceRequest::SHAPE,
            Kind::JobQueue => model::CreateJobQueueRequest::SHAPE,
            Kind::JobDefinition => model::RegisterJobDefinitionRequest::SHAPE,
        }
    }
}

/// Creates a resource as the operation of its kind does.
///
/// # Errors
/// What the operation would answer.
pub fn create(turn: &mut Turn<'_>, scope: &Scope, kind: Kind, request: Value) -> Result<(), String> {
    apply(turn, scope, kind, request).map_err(|error| error.message)
}

fn apply(turn: &mut Turn<'_>, scope: &Scope, kind: Kind, request: Value) -> Result<(), WireError> {
    match kind {
        Kind::ComputeEnvironment => {
            let (given, tags) = compute_environments::checked(decode(request)?, scope)?;
            turn.create_compute_environment(given, tags)?;
        }
        Kind::SchedulingPolicy => {
            let (given, tags) = scheduling_policies::created(scope, decode(request)?)?;
            turn.create_scheduling_policy(given, tags)?;
        }
        Kind::ConsumableResource => {
            let (arn, replenishable, total, tags) = consumable_resources::created(scope, decode(request)?)?;
            turn.create_consumable_resource(arn, replenishable, total, tags)?;
        }
        Kind::JobQueue => {
            let (given, tags) = job_queues::checked(turn.state(), scope, decode(request)?)?;
            turn.create_job_queue(given, tags)?;
        }
        Kind::JobDefinition => {
            let request: model::RegisterJobDefinitionRequest = decode(request)?;
            let family = request.job_definition_name.clone();
            let definition = job_definitions::definition(scope, request, &Limits::default())?;
            turn.register_job_definition(scope, &family, definition);
        }
    }
    Ok(())
}

/// What SubmitJob must look like.
pub fn submission_shape() -> &'static Shape {
    model::SubmitJobRequest::SHAPE
}

/// A SubmitJob request as the engine takes it.
///
/// # Errors
/// What the operation would answer.
pub fn submission(scope: &Scope, request: Value) -> Result<Submission, String> {
    let read = |request| submit_job::submission(scope, decode(request)?, &Limits::default(), false);
    read(request).map_err(|error: WireError| error.message)
}

/// What SubmitJob answers to a job that cannot be accepted.
pub fn refusal(refusal: Refusal) -> String {
    WireError::from(refusal).message
}
