//! What the state does not allow of service environments, quota shares and service jobs, in AWS's words where they are known.

use fornada_core::service_job::refusal::ServiceRefusal;

use crate::error::WireError;

impl From<ServiceRefusal> for WireError {
    fn from(refusal: ServiceRefusal) -> Self {
        match refusal {
            ServiceRefusal::EnvironmentNotValid => WireError::invalid(
                "Service environments must be created and valid before attaching them to a job queue.",
            ),
            ServiceRefusal::EnvironmentTaken { environment } => WireError::invalid(format!(
                "Service environment {environment} has capacity limits by instance type and can be attached to one job queue only."
            )),
            ServiceRefusal::NotAServiceQueue { queue } => {
                WireError::invalid(format!("Job queue {queue} is not of type SAGEMAKER_TRAINING."))
            }
            ServiceRefusal::ServiceQueue { queue } => WireError::invalid(format!(
                "Job queue {queue} is of type SAGEMAKER_TRAINING: use SubmitServiceJob."
            )),
            ServiceRefusal::NoQuotaSharePolicy { queue } => WireError::invalid(format!(
                "Job queue {queue} has no quota share scheduling policy: create quota shares in a queue that has one."
            )),
            ServiceRefusal::QueueNotValid { queue } => {
                WireError::invalid(format!("Job queue {queue} must be VALID to create a quota share in it."))
            }
            ServiceRefusal::TooManyQuotaShares { queue } => {
                WireError::invalid(format!("Job queue {queue} can have at most 20 quota shares."))
            }
            ServiceRefusal::DuplicateRequest { job_id } => WireError::client(format!(
                "The clientToken was already used: the request was submitted as service job {job_id}"
            )),
            ServiceRefusal::QuotaShareRequired { queue } => WireError::invalid(format!(
                "quotaShareName is required: job queue {queue} has a quota share scheduling policy"
            )),
            ServiceRefusal::QuotaShareNotAllowed { queue } => WireError::invalid(format!(
                "quotaShareName can not be used: job queue {queue} has no quota share scheduling policy"
            )),
            ServiceRefusal::QuotaShareDisabled { share } => WireError::client(format!(
                "Quota share {share} is not in ENABLED state: enable it to submit jobs"
            )),
            ServiceRefusal::NoSuchJob { job_id } => {
                WireError::client(format!("Service job {job_id} does not exist"))
            }
            ServiceRefusal::JobEnded { job_id } => {
                WireError::client(format!("Service job {job_id} has ended and cannot be updated"))
            }
        }
    }
}
