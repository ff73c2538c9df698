//! Why a command on service environments, quota shares or service jobs was not carried out.

use crate::arn::Arn;
use crate::text::Text;

/// A command that the state does not allow. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceRefusal {
    /// A service environment of the queue does not exist or is not VALID.
    #[error("the service environment is not valid")]
    EnvironmentNotValid,
    /// An environment whose capacity is counted by instance type serves one queue.
    #[error("another queue uses {environment}")]
    EnvironmentTaken {
        /// ARN of the environment.
        environment: Arn,
    },
    /// Service jobs and quota shares need a queue of type SAGEMAKER_TRAINING.
    #[error("{queue} takes container jobs")]
    NotAServiceQueue {
        /// ARN of the queue.
        queue: Arn,
    },
    /// A queue of type SAGEMAKER_TRAINING takes service jobs only.
    #[error("{queue} takes service jobs")]
    ServiceQueue {
        /// ARN of the queue.
        queue: Arn,
    },
    /// Quota shares need a queue with a quota-share policy.
    #[error("{queue} has no quota-share policy")]
    NoQuotaSharePolicy {
        /// ARN of the queue.
        queue: Arn,
    },
    /// The queue is not VALID.
    #[error("{queue} is not valid")]
    QueueNotValid {
        /// ARN of the queue.
        queue: Arn,
    },
    /// A queue has at most 20.
    #[error("too many quota shares in {queue}")]
    TooManyQuotaShares {
        /// ARN of the queue.
        queue: Arn,
    },
    /// The client token was used before.
    #[error("the same request as {job_id}")]
    DuplicateRequest {
        /// The job that was submitted with it.
        job_id: Text,
    },
    /// A queue with a quota-share policy needs to know from which one a job draws.
    #[error("no quota share for {queue}")]
    QuotaShareRequired {
        /// ARN of the queue.
        queue: Arn,
    },
    /// A job names a quota share, but the queue has no quota-share policy.
    #[error("a quota share for {queue}")]
    QuotaShareNotAllowed {
        /// ARN of the queue.
        queue: Arn,
    },
    /// The quota share takes no jobs.
    #[error("{share} is disabled")]
    QuotaShareDisabled {
        /// ARN of the share.
        share: Arn,
    },
    /// There is no such service job, or it belongs to somebody else.
    #[error("no service job {job_id}")]
    NoSuchJob {
        /// As the caller wrote it.
        job_id: Text,
    },
    /// The job has ended.
    #[error("{job_id} has ended")]
    JobEnded {
        /// Its id.
        job_id: Text,
    },
}
