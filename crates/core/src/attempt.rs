//! Attempts as backends see them: what to start, what to stop, what was observed. All of it is plain data.
//!
//! Actions may be repeated: each is keyed by [`AttemptId`], and a backend that is told twice to start the same attempt
//! starts it once. Observations may be late or repeated: one of an attempt that is not the current one changes nothing.

use std::net::Ipv4Addr;

use minicbor::{Decode, Encode};

use crate::arn::Scope;
use crate::container::ContainerDependency;
use crate::id::{AttemptId, TaskId};
use crate::instance::{Architecture, LaunchFailure};
use crate::quantity::Resources;
use crate::task::TaskKind;
use crate::text::{Document, Text};
use crate::time::Timestamp;

/// Everything a backend needs to run one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Launch {
    /// Which attempt.
    #[n(0)]
    pub attempt: AttemptId,
    /// Its ECS task id.
    #[n(1)]
    pub task_id: TaskId,
    /// Account and region of the job.
    #[n(2)]
    pub scope: Scope,
    /// Name of the job.
    #[n(3)]
    pub job_name: Text,
    /// How the task was described.
    #[n(4)]
    pub kind: TaskKind,
    /// At least one; init containers first.
    #[n(5)]
    pub containers: Vec<LaunchContainer>,
    /// What all containers together may use.
    #[n(6)]
    pub resources: Resources,
    /// The task's description as JSON ([`crate::task::TaskTemplate::properties`]), for what only a backend reads (user,
    /// volumes, limits).
    #[n(7)]
    pub properties: Document,
    /// Name of the ECS cluster that stands for the compute environment in ARNs.
    #[n(8)]
    pub cluster: Text,
    /// [`Host::incarnation`] that it was decided for; any other refuses it.
    #[n(9)]
    pub incarnation: TaskId,
    /// The node's own address, by which the others of a multi-node job reach it.
    #[n(10)]
    pub address: Option<Ipv4Addr>,
    /// [`Host::instance_id`] of the machine that it is for.
    #[n(11)]
    #[cbor(default)]
    pub instance_id: Text,
}

/// One container of a [`Launch`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LaunchContainer {
    /// Unique in the task; `default` when it is the only one of a job.
    #[n(0)]
    pub name: Text,
    /// Image reference, or `host`.
    #[n(1)]
    pub image: Text,
    /// Replaces the image's entry point unless empty.
    #[n(2)]
    pub entry_point: Vec<Text>,
    /// Command after overrides and parameter substitution; empty means the image's own.
    #[n(3)]
    pub command: Vec<Text>,
    /// Environment after overrides, `AWS_BATCH_*` included; names are unique.
    #[n(4)]
    pub environment: Vec<(Text, Text)>,
    /// Variables whose values are secrets: name, and `valueFrom`. The values are never part of state or logs.
    #[n(5)]
    pub secrets: Vec<(Text, Text)>,
    /// What it may use.
    #[n(6)]
    pub resources: Resources,
    /// Log group, for example `/aws/batch/job`.
    #[n(7)]
    pub log_group: Text,
    /// Log stream, for example `render/default/0123…`.
    #[n(8)]
    pub log_stream: Text,
    /// When it ends, the others are stopped and the attempt is over.
    #[n(9)]
    pub essential: bool,
    /// What must have happened to others before it starts.
    #[n(10)]
    pub depends_on: Vec<ContainerDependency>,
    /// Runs to its end, in order, before the others start.
    #[n(11)]
    pub init: bool,
}

/// What the engine asks of a backend, after the decision is durable.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// Run this attempt.
    #[n(0)]
    Start(#[n(0)] Box<Launch>),
    /// SIGTERM, 30 seconds, SIGKILL. The end is observed as [`Observation::Exited`].
    #[n(1)]
    Stop(#[n(0)] AttemptId),
    /// The end of this attempt is durable: the backend need not report it again.
    #[n(2)]
    Forget(#[n(0)] AttemptId),
}

/// What an attempt used, as far as the machine could tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Usage {
    /// Highest resident memory of all its processes, in bytes.
    #[n(0)]
    pub peak_memory_bytes: u64,
    /// User and system CPU time of all its processes, in milliseconds.
    #[n(1)]
    pub cpu_time_millis: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Outcome {
    /// 0 to 255; 128 + n for a process that ended by signal n. `None` when no process ran. Of several containers: 0 when all
    /// essential ones ended so, else that of the essential one that failed first.
    #[n(0)]
    pub exit_code: Option<i32>,
    /// Of the container that decided; `container.reason`, for example `CannotPullContainerError: …` or `OutOfMemoryError: …`.
    #[n(1)]
    pub reason: Option<Text>,
    /// What it used.
    #[n(2)]
    pub usage: Usage,
    /// Of a task described by `ecsProperties` or `eksProperties`: each container that started or was to start.
    #[n(3)]
    pub containers: Option<Vec<ContainerOutcome>>,
}

/// How one container of several ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContainerOutcome {
    /// Its name in the task.
    #[n(0)]
    pub name: Text,
    /// As [`Outcome::exit_code`].
    #[n(1)]
    pub exit_code: Option<i32>,
    /// As [`Outcome::reason`].
    #[n(2)]
    pub reason: Option<Text>,
    /// Whether a process of it ran, and with that its log stream may hold something.
    #[n(3)]
    pub started: bool,
}

impl Outcome {
    /// Of an attempt without a process: it never started, or vanished with its machine.
    pub fn without_process(reason: Option<Text>) -> Outcome {
        Outcome { exit_code: None, reason, usage: Usage::default(), containers: None }
    }
}

/// One attempt in a backend's answer to "what are you running?".
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AttemptReport {
    /// Which attempt.
    #[n(0)]
    pub attempt: AttemptId,
    /// When its process started; `None` when it has not, or never did.
    #[n(1)]
    pub started_at: Option<Timestamp>,
    /// When and how it ended; `None` while it runs.
    #[n(2)]
    pub ended: Option<(Timestamp, Outcome)>,
}

/// A machine that a backend offers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Host {
    /// EC2-style instance id, `i-` and 17 hex digits; stays the same for the life of the data directory.
    #[n(0)]
    pub instance_id: Text,
    /// Changes whenever the process that owns the containers was started anew: what it ran before is gone.
    #[n(1)]
    pub incarnation: TaskId,
    /// What it has, or what the operator claims it has.
    #[n(2)]
    pub capacity: Resources,
    /// `None` where it is not known: jobs of any architecture are placed there.
    #[n(3)]
    pub architecture: Option<Architecture>,
}

/// What a backend saw.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Observation {
    /// The backend is there, and this is all it runs or has not yet been told to forget. Sent on each (re)connection.
    #[n(0)]
    Connected(#[n(0)] Host, #[n(1)] Vec<AttemptReport>),
    /// The process of an attempt started.
    #[n(1)]
    Started(#[n(0)] AttemptId, #[n(1)] Timestamp),
    /// An attempt ended. Its log is complete and readable.
    #[n(2)]
    Exited(#[n(0)] AttemptReport),
    /// The machine of that instance id cannot be reached, or takes nothing more. What runs there goes on.
    #[n(3)]
    Disconnected(#[n(0)] Text),
    /// The attempt was not started and will not be: the machine is about to stop, or the request was meant for an earlier
    /// incarnation of it.
    #[n(4)]
    Refused(#[n(0)] AttemptId),
    /// The instance of that id was not launched, and will not be.
    #[n(5)]
    LaunchFailed(#[n(0)] Text, #[n(1)] LaunchFailure),
    /// The instance of that id will be taken back within two minutes.
    #[n(6)]
    Interrupted(#[n(0)] Text),
    /// The instance of that id is gone, and with it all that ran there: asked for, or not.
    #[n(7)]
    Terminated(#[n(0)] Text),
    /// These are all the instances that the provisioner has launched, or is launching, for environments that scale. Sent on
    /// each (re)connection.
    #[n(8)]
    Instances(#[n(0)] Vec<Text>),
}
