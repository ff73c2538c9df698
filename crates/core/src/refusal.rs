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
    /// The overrides are of another kind than the definition.
    #[error("{member} do not fit the definition")]
    WrongOverrides {
        /// The member of the request.
        member: &'static str,
    },
    /// An override names no container of the definition.
    #[error("no container {name}")]
    NoSuchContainer {
        /// As the caller wrote it; empty when it names none though there are several.
        name: Text,
    },
    /// An override's `targetNodes` is no range of the definition.
    #[error("no node range {target}")]
    NodeTargets {
        /// As the caller wrote it.
        target: Text,
    },
    /// The definition's ranges do not make sense for this many nodes.
    #[error("the definition cannot have {num_nodes} nodes")]
    BadNumNodes {
        /// As asked for.
        num_nodes: u32,
        /// Some range has no upper bound.
        is_open: bool,
    },
    /// An array of a multi-node definition.
    #[error("an array of multi-node jobs")]
    ArrayOfNodes,
    /// More than 50.
    #[error("too many tags")]
    TooManyTags,
    /// A job queue refers to a scheduling policy that does not exist.
    #[error("no scheduling policy {arn}")]
    NoSuchPolicy {
        /// The ARN that was asked for.
        arn: Arn,
    },
    /// Quota shares are for queues of service jobs.
    #[error("quota share policy on a container queue")]
    QuotaShareOnContainerQueue,
    /// A queue without a scheduling policy stays without.
    #[error("scheduling policy for FIFO queue {arn}")]
    FifoForGood {
        /// ARN of the queue.
        arn: Arn,
    },
    /// A queue has shares of one kind for life.
    #[error("a scheduling policy of another kind for {arn}")]
    OtherPolicyKind {
        /// ARN of the queue.
        arn: Arn,
    },
    /// A policy is fair-share or quota-share for life.
    #[error("the kind of a scheduling policy cannot change")]
    PolicyKindFixed,
    /// A queue with a fair-share policy needs to know whose job it is.
    #[error("no share identifier for {arn}")]
    ShareRequired {
        /// ARN of the queue.
        arn: Arn,
    },
    /// As many shares as may be are active.
    #[error("too many active shares in {arn}")]
    TooManyShares {
        /// ARN of the queue.
        arn: Arn,
    },
    /// There would be fewer than none, or more than can be said.
    #[error("no such quantity of {arn}")]
    QuantityOutOfRange {
        /// ARN of the consumable resource.
        arn: Arn,
        /// Its total as it is.
        total: u64,
    },
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
    /// A job queue refers to the environment or scheduling policy.
    #[error("a job queue uses it")]
    InUse,
}
