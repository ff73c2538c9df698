//! The one error at the wire, and the one place where situations become AWS's words.

use axum::response::{IntoResponse, Response};
use fornada_core::refusal::Refusal;
use fornada_engine::Unavailable;
use fornada_model::{Violations, batch, logs};
use http::StatusCode;
use serde_json::json;

use crate::batch::{container_fields, scheduling_policies};

/// What a client sees, and what only the log sees.
#[derive(Debug)]
pub struct WireError {
    /// Exception name, for example `ClientException`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// For the client: what to change. No addresses, no paths.
    pub message: String,
    /// The message is shown within AWS Batch's sentence for refused requests.
    pub wrapped: bool,
    /// For the log, with the request id.
    pub internal: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl WireError {
    /// An error of the front door or a service, by name.
    pub fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        WireError { code, status, message: message.into(), wrapped: false, internal: None }
    }

    /// The caller's fault in a Batch operation, in the bare form.
    pub fn client(message: impl Into<String>) -> Self {
        let code = batch::ErrorCode::ClientException;
        WireError::new(code.as_str(), code.status(), message)
    }

    /// The caller's fault in a Batch operation, in the form of request validation:
    /// `Error executing request, Exception : {detail}, RequestId: {id}`.
    pub fn invalid(detail: impl Into<String>) -> Self {
        WireError { wrapped: true, ..WireError::client(detail) }
    }

    /// The caller's fault in a CloudWatch Logs operation.
    pub fn logs(code: logs::ErrorCode, message: impl Into<String>) -> Self {
        WireError::new(code.as_str(), code.status(), message)
    }

    /// There is more to do than can be done at once; SDKs try again. Source: AWS Batch answers 429 as it throttles;
    /// CloudWatch Logs API reference, common errors (ThrottlingException).
    pub fn throttled(is_logs: bool) -> Self {
        match is_logs {
            true => WireError::new("ThrottlingException", 400, "Rate exceeded"),
            false => WireError::new("TooManyRequestsException", 429, "Too Many Requests"),
        }
    }

    /// Our fault; `error` goes to the log only.
    pub fn server(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let code = batch::ErrorCode::ServerException;
        let message = "The server failed to handle the request. Its log says why.";
        WireError { internal: Some(error.into()), ..WireError::new(code.as_str(), code.status(), message) }
    }

    /// The response, in the form that both AWS JSON protocols read.
    pub fn respond(self, request_id: &str) -> Response {
        let WireError { code, status, message, wrapped, internal } = self;
        if let Some(internal) = internal {
            tracing::error!(request_id, error = &*internal as &dyn std::error::Error, "a request failed");
        }
        let message = match wrapped {
            true => format!("Error executing request, Exception : {message}, RequestId: {request_id}"),
            false => message,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = [("content-type", "application/json"), ("x-amzn-errortype", code)];
        (status, headers, json!({ "__type": code, "message": message }).to_string()).into_response()
    }
}

impl From<Violations> for WireError {
    fn from(violations: Violations) -> Self {
        WireError::client(violations.to_string())
    }
}

impl From<Unavailable> for WireError {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Busy => WireError::throttled(false),
            Unavailable::Stopped => {
                let code = batch::ErrorCode::ServerException;
                WireError::new(
                    code.as_str(),
                    code.status(),
                    "The server is stopping; try again when it is back.",
                )
            }
        }
    }
}

/// Texts: AWS Batch's own where they are known, otherwise a sentence that names the resource and what to change.
impl From<Refusal> for WireError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AlreadyExists { arn } => {
                WireError::client(format!("Object already exists: {arn} already exists"))
            }
            Refusal::NoSuchResource { arn } => WireError::client(format!("{arn} does not exist")),
            Refusal::BeingModified { arn } => {
                WireError::client(format!("Cannot update, resource is being modified: {arn}"))
            }
            Refusal::CannotDelete(why) => WireError::client(format!(
                "Cannot delete, {}",
                match why {
                    fornada_core::refusal::Undeletable::BeingModified => "resource is being modified",
                    fornada_core::refusal::Undeletable::NotDisabled => "state must be DISABLED",
                    fornada_core::refusal::Undeletable::InUse => "found existing JobQueue relationship",
                }
            )),
            Refusal::EnvironmentNotValid { .. } => WireError::invalid(
                "Compute Environments must be created and valid before attaching them to a job queue",
            ),
            Refusal::MixedEnvironments => {
                WireError::invalid("Fargate and EC2 compute environments can not be mixed.")
            }
            Refusal::QueueDisabled { arn } => WireError::client(format!(
                "Job queue {arn} is not in ENABLED state: enable it to submit jobs"
            )),
            Refusal::NoActiveDefinition { name } => WireError::invalid(format!(
                "JobDefinition name {name} does not exist or is not in ACTIVE status"
            )),
            Refusal::WrongPlatform { capability } => WireError::invalid(format!(
                "Job Queue is attached to Compute Environment that can not run Jobs with capability {capability}"
            )),
            Refusal::MissingParameter { name } => WireError::invalid(format!(
                "Unable to substitute value. No parameter found for reference {name}"
            )),
            Refusal::BadSize { size, resources } => container_fields::bad_size(size, &resources),
            Refusal::DeprecatedOverride => WireError::invalid(
                "This value was submitted in a deprecated key and may conflict with the value provided by the job \
                 definition's resource requirements.",
            ),
            Refusal::ShareOnFifoQueue => WireError::invalid(
                "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share \
                 scheduling policy.",
            ),
            Refusal::NoSuchDependency { job_id } => {
                WireError::invalid(format!("Dependent job {job_id} does not exist"))
            }
            Refusal::ArraySizesDiffer { job_id } => WireError::invalid(format!(
                "N_TO_N dependency {job_id} must be an array job of the same size as this one"
            )),
            Refusal::NotAnArray => {
                WireError::invalid("N_TO_N and SEQUENTIAL dependencies can only be used by array jobs")
            }
            Refusal::NoSuchPolicy { arn } => WireError::invalid(format!("SchedulingPolicy {arn} not found.")),
            Refusal::QuotaShareOnContainerQueue => WireError::invalid(
                "Quota Management feature is only supported for SageMaker Training job queues.",
            ),
            Refusal::FifoForGood { arn } => WireError::invalid(format!(
                "Job queue {arn} is a FIFO queue and cannot get a scheduling policy: create a queue with one"
            )),
            Refusal::OtherPolicyKind { arn } => WireError::invalid(format!(
                "The scheduling policy of job queue {arn} can only be replaced by one of the same kind: create a queue with it"
            )),
            Refusal::PolicyKindFixed => scheduling_policies::one_kind(),
            Refusal::ShareRequired { arn } => WireError::invalid(format!(
                "shareIdentifier is required: job queue {arn} has a fair share scheduling policy"
            )),
            Refusal::TooManyShares { arn } => WireError::invalid(format!(
                "Job queue {arn} has 500 active share identifiers, which is the most: use one of them"
            )),
            Refusal::QuantityOutOfRange { arn, total } => WireError::invalid(format!(
                "The total quantity of {arn} is {total}: it can neither fall below 0 nor exceed {}.",
                fornada_core::resource::consumable_resource::TOTAL_MAX
            )),
            Refusal::WrongOverrides { member } => {
                WireError::invalid(format!("{member} can not be used with this kind of job definition"))
            }
            Refusal::NoSuchContainer { name } => WireError::invalid(match name.is_empty() {
                true => {
                    "A container override must name one of the containers of the job definition".to_owned()
                }
                false => format!("The job definition has no container {name} to override"),
            }),
            Refusal::NodeTargets { target } => WireError::invalid(format!(
                "NodeOverride targets should match job definition. Non matching targets - {target}"
            )),
            Refusal::BadNumNodes { num_nodes, is_open: true } => WireError::invalid(format!(
                "numNodes {num_nodes} must be more than the main node and the first node of every node range of the job \
                 definition"
            )),
            Refusal::BadNumNodes { num_nodes, is_open: false } => WireError::invalid(format!(
                "numNodes {num_nodes} needs a job definition with a node range that has no upper bound"
            )),
            Refusal::ArrayOfNodes => {
                WireError::invalid("A job with a multinode job definition can not be an array job")
            }
            Refusal::TooManyTags => WireError::client("A resource can have at most 50 tags"),
            Refusal::NotTaggable { arn } => {
                WireError::client(format!("{arn} cannot be tagged: tag the parent job instead"))
            }
            Refusal::Service(refusal) => refusal.into(),
        }
    }
}
