//! Why a command was not carried out. The API turns each into AWS's words; here they are situations.

use crate::arn::Arn;
use crate::container::BadSize;
use crate::quantity::Resources;
use crate::service_job::refusal::ServiceRefusal;
use crate::text::Text;

/// A command that the state does not allow. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A resource of that name exists.
    #[error("{arn} already exists")]
    AlreadyExists {
        /// Its ARN.
        arn: Arn,
    },
    /// There is no such resource, or it belongs to somebody else.
    #[error("{arn} does not exist")]
    NoSuchResource {
        /// The ARN that was asked for.
        arn: Arn,
    },
    /// It is CREATING, UPDATING or DELETING, or changed under the caller's hands.
    #[error("{arn} is being modified")]
    BeingModified {
        /// Its ARN.
        arn: Arn,
    },
    /// It cannot be deleted as it stands.
    #[error("{0}")]
    CannotDelete(Undeletable),
    /// A compute environment of the queue does not exist or is not VALID.
    #[error("{arn} is not a valid compute environment")]
    EnvironmentNotValid {
        /// Its ARN.
        arn: Arn,
    },
    /// The environments of a queue must be all Fargate or all not.
    #[error("Fargate and EC2 environments in one queue")]
    MixedEnvironments,
    /// The queue takes no jobs.
    #[error("{arn} is disabled")]
    QueueDisabled {
        /// Its ARN.
        arn: Arn,
    },
    /// No ACTIVE revision answers to that name.
    #[error("no active job definition {name}")]
    NoActiveDefinition {
        /// As the caller wrote it.
        name: Text,
    },
    /// The queue's environments are of the other platform.
    #[error("the queue's environments cannot run {capability}")]
    WrongPlatform {
        /// `EC2` or `FARGATE`.
        capability: Text,
    },
    /// A placeholder of the command has no value.
    #[error("no parameter {name}")]
    MissingParameter {
        /// The name after `Ref::`.
        name: Text,
    },
    /// The overrides ask for a size that the definition's platform does not offer.
    #[error("{size}")]
    BadSize {
        /// What is wrong with it.
        size: BadSize,
        /// What the container would have.
        resources: Resources,
    },
    /// `vcpus` or `memory` given for a definition that uses `resourceRequirements`.
    #[error("deprecated override against resourceRequirements")]
    DeprecatedOverride,
    /// Share identifiers and priorities mean something only where a scheduling policy shares a queue.
    #[error("share identifier on a FIFO queue")]
    ShareOnFifoQueue,
    /// A dependency that does not exist.
    #[error("no job {job_id}")]
    NoSuchDependency {
        /// As the caller wrote it.
        job_id: Text,
    },
    /// N_TO_N between jobs that are not arrays of one size.
    #[error("N_TO_N needs arrays of equal size")]
    ArraySizesDiffer {
        /// The job pointed at.
        job_id: Text,
    },
    /// Jobs of this kind have no children to run in sequence or side by side.
    #[error("the dependency type needs an array job")]
    NotAnArray,
    /// More than 50.
    #[error("too many tags")]
    TooManyTags,
    /// Array children and nodes carry no tags.
    #[error("{arn} cannot be tagged")]
    NotTaggable {
        /// Its ARN.
        arn: Arn,
    },
    /// About service environments, quota shares and service jobs.
    #[error(transparent)]
    Service(#[from] ServiceRefusal),
}

/// Why a resource cannot be deleted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undeletable {
    /// It is CREATING, UPDATING or DELETING.
    #[error("it is being modified")]
    BeingModified,
    /// Its state is ENABLED.
    #[error("it is not DISABLED")]
    NotDisabled,
    /// A job queue refers to the compute or service environment.
    #[error("a job queue uses it")]
    InUse,
}
