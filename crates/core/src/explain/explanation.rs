//! What an explanation says, as plain data.

use crate::arn::Arn;
use crate::explain::{Awaited, Cause, Past};
use crate::id::JobId;
use crate::job::StopCause;
use crate::job::array::StatusCounts;
use crate::quantity::Resources;
use crate::resource::Status;
use crate::service_job::ServiceAttempt;
use crate::text::Text;
use crate::time::Timestamp;

/// Why a job, an array child, a node or a service job is where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Which one.
    pub id: JobId,
    /// `jobName`.
    pub name: Text,
    /// ARN of its queue.
    pub queue: Arn,
    /// Its status, with AWS's name.
    pub status: &'static str,
    /// Since when it is there; `None` where that is not recorded (STARTING).
    pub since: Option<Timestamp>,
    /// The answer in one sentence.
    pub summary: Text,
    /// Children of an array parent, or nodes of the parent of nodes, by status.
    pub members: Option<StatusCounts>,
    /// Attempts that ended, oldest first.
    pub attempts: Vec<Past>,
    /// What else there is to say, by status.
    pub detail: Detail,
}

/// What there is to say of a job in its status.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// SUBMITTED or PENDING.
    Pending {
        /// Dependencies that are not met.
        awaits: Vec<Awaited>,
        /// Of an array parent: its next RUNNABLE child, and what that one waits for.
        next: Option<(JobId, Box<Runnable>)>,
    },
    /// RUNNABLE.
    Runnable(Box<Runnable>),
    /// STARTING or RUNNING.
    Running(Running),
    /// SUCCEEDED or FAILED; of one that failed with its dependencies, the chain from the nearest to the root cause.
    Ended {
        /// What failed before it, the nearest first.
        causes: Vec<Cause>,
    },
    /// A service job, whatever its status.
    Service {
        /// ARN of the service environment of its queue.
        environment: Option<Arn>,
        /// What it needs, and what there is, unit by unit: of the environment, then of its quota share.
        limits: Vec<LimitUse>,
        /// Attempts that ended, oldest first.
        attempts: Vec<ServiceAttempt>,
    },
}

/// What a RUNNABLE job waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Runnable {
    /// The first thing that keeps it from starting.
    pub waits: Waits,
    /// What the first job of its queue waits for, in one sentence, if that is another one.
    pub first_waits: Option<Text>,
    /// The environments of its queue, in the order in which they are tried, each with what it says to this job.
    pub environments: Vec<(Arn, Verdict)>,
    /// Its place in the queue; `None` for a job that can never fit, which has none.
    pub position: Option<Position>,
    /// When it starts if every run before it takes as long as its timeout allows; `None` when one of them has no timeout, or
    /// jobs of other queues or consumable resources have a say.
    pub starts_by: Option<Timestamp>,
}

/// The first thing that keeps a RUNNABLE job from starting.
#[derive(Clone, Debug, PartialEq)]
pub enum Waits {
    /// Nothing: the next scheduling pass may place it.
    Pass,
    /// It is the turn of another share.
    Turn {
        /// The share of the job.
        own: ShareUse,
        /// The share that goes first.
        first: ShareUse,
    },
    /// No environment has room for it now.
    Capacity,
    /// No environment has room for all of this many nodes at once now.
    AllNodes(u32),
    /// Nothing that the queue has can take it, whatever else ends; AWS's reason, such as `MISCONFIGURATION:…`.
    Never(Text),
    /// There is too little of a consumable resource.
    Consumable {
        /// Its ARN.
        arn: Arn,
        /// How many the job needs.
        needed: u64,
        /// How many are left.
        left: u64,
        /// How many other jobs hold.
        held: u64,
    },
    /// A job ahead of it has to go first.
    Ahead {
        /// Which one.
        job: JobId,
        /// Its name.
        name: Text,
        /// Why it may not be overtaken.
        because: HeldBack,
    },
    /// Of a node: the main node has to run first, or the nodes of the last attempt have to end.
    Nodes,
}

/// Why a job may not overtake another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// The queue is strictly in order.
    StrictOrder,
    /// The other's start is reserved for this time, and would be delayed.
    ReservedStart(Timestamp),
}

/// What a share of a fair-share queue uses, and how much that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareUse {
    /// `shareIdentifier`.
    pub identifier: Text,
    /// Thousandths of a vCPU that its attempts have.
    pub milli_vcpus: u64,
    /// Weight in ten-thousandths: the lower, the more it is entitled to.
    pub weight: u32,
}

/// What a compute environment says to a job that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has room.
    Room,
    /// Its state is DISABLED.
    Disabled,
    /// It is not VALID, with its reason.
    NotValid(Status, Text),
    /// It is of a platform that the job was not defined for.
    WrongPlatform,
    /// It has no instance of the architecture that the job was defined for.
    WrongArchitecture,
    /// The job alone is larger than `maxvCpus`, here in thousandths.
    AboveCeiling(u64),
    /// So many of its `maxvCpus` are used, both in thousandths, that the job does not fit.
    AtCeiling {
        /// In use.
        used: u64,
        /// The ceiling.
        max: u64,
    },
    /// No instance is connected.
    NoInstance,
    /// No instance has room now. Of a multi-node job, both are sums over all nodes and all instances.
    NoRoom {
        /// What the job needs.
        need: Resources,
        /// What the instance with the most room has free.
        free: Resources,
    },
    /// No instance is large enough even when it is empty.
    TooLarge {
        /// What the job needs.
        need: Resources,
        /// The largest instance.
        largest: Resources,
    },
    /// Instances are being launched: how many, the first since when.
    Launching(u32, Timestamp),
    /// An instance could not be launched, with the provisioner's reason.
    LaunchFailed(Text),
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Jobs, and children of arrays, that go before it.
    pub ahead: usize,
    /// Thousandths of a vCPU that those need together.
    pub milli_vcpus_ahead: u64,
    /// Both are exact; otherwise there are more.
    pub is_exact: bool,
}

/// Where an attempt runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// ARN of the compute or service environment; `None` while the nodes of an ended attempt are being stopped.
    pub environment: Option<Arn>,
    /// The instance.
    pub instance_id: Option<Text>,
    /// Number of the attempt, 1-based.
    pub attempt: u32,
    /// Attempts that the job may have.
    pub attempts_max: u32,
    /// When its process started.
    pub started_at: Option<Timestamp>,
    /// When it will be stopped for its timeout.
    pub timeout_at: Option<Timestamp>,
    /// Set while it is being stopped.
    pub stopping: Option<StopCause>,
}

/// One limit of a service environment or quota share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// ARN of the environment or share.
    pub of: Arn,
    /// `NUM_INSTANCES`, or an instance type.
    pub unit: Text,
    /// Instances that jobs hold.
    pub used: u64,
    /// The limit.
    pub max: u64,
    /// Instances that the job needs.
    pub needed: u64,
}
