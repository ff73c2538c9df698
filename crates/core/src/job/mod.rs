//! Jobs: what was submitted, and how far it has come.
//!
//! A [`Job`] is one record, also when it is an array of 10,000: a child has a record of its own ([`Execution`]) only from
//! the moment it is placed, or otherwise differs from its siblings. Which children wait and which are ready follows from
//! the parent ([`array`]).
//!
//! | what happens | file |
//! |---|---|
//! | statuses and legal moves | [`status`] |
//! | SubmitJob | [`submit`]; what the job runs: [`workload`] |
//! | dependencies of jobs on jobs | [`depends_on`] |
//! | array children | [`array`] |
//! | nodes of multi-node parallel jobs | [`nodes`] |
//! | CancelJob, TerminateJob, timeouts | [`stop`] |
//! | what backends report | [`observe`] |
//! | retry rules | [`retry`] |

pub mod array;
pub mod depends_on;
pub mod index_set;
pub mod nodes;
pub mod observe;
pub mod retry;
pub mod status;
pub mod stop;
pub mod submit;
pub mod workload;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::arn::{Arn, Scope};
use crate::attempt::Outcome;
use crate::container::ContainerOverrides;
use crate::id::{AttemptId, JobId, Member, TaskId, cbor_uuid};
use crate::instance::Architecture;
use crate::quantity::Resources;
use crate::resource::consumable_resource::Consumable;
use crate::resource::job_definition::JobDefinition;
use crate::task::Task;
use crate::text::{Document, Text};
use crate::time::Timestamp;
use depends_on::Dependency;
use nodes::Nodes;
use retry::RetryStrategy;
pub use status::{JobStatus, Transition};

/// A submitted job: a single one, or the parent of an array or of nodes. There may be millions: what is rare is boxed, and
/// lists have no room to grow.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Job {
    /// What SubmitJob returned.
    #[cbor(n(0), with = "cbor_uuid")]
    pub id: Uuid,
    /// Position in the order of submission over all queues; a retried job keeps it.
    #[n(1)]
    pub sequence: u64,
    /// `jobName`.
    #[n(2)]
    pub name: Text,
    /// ARN of its queue.
    #[n(3)]
    pub queue: Arn,
    /// ARN of its definition, with revision.
    #[n(4)]
    pub definition: Arn,
    /// In the order given.
    #[n(5)]
    pub depends_on: Box<[Dependency]>,
    /// The definition's parameters, overlaid with those of the submission.
    #[n(6)]
    pub parameters: BTreeMap<Text, Text>,
    /// As submitted.
    #[n(7)]
    pub overrides: Option<Box<ContainerOverrides>>,
    /// What each attempt may use: the shape that scheduling sees. Of a multi-node job, all nodes together.
    #[n(8)]
    pub resources: Resources,
    /// Of the submission, else of the definition; `None` when neither gave one.
    #[n(9)]
    pub retry: Option<Box<RetryStrategy>>,
    /// Longest duration of an attempt in seconds.
    #[n(10)]
    pub timeout_seconds: Option<u32>,
    /// `propagateTags`.
    #[n(11)]
    pub propagate_tags: Option<bool>,
    /// Tags of the job.
    #[n(12)]
    pub tags: BTreeMap<Text, Text>,
    /// `shareIdentifier`.
    #[n(13)]
    pub share_identifier: Option<Text>,
    /// `schedulingPriorityOverride`, else the definition's.
    #[n(14)]
    pub scheduling_priority: Option<u32>,
    /// Present for array parents.
    #[n(15)]
    pub array: Option<Box<ArrayProperties>>,
    /// How far it has come; of a parent, how far the array or the nodes as a whole have.
    #[n(16)]
    pub execution: Execution,
    /// `ecsPropertiesOverride` or `eksPropertiesOverride`: the containers that they change.
    #[n(17)]
    pub task_overrides: Option<Box<[ContainerOverrides]>>,
    /// Present for multi-node jobs.
    #[n(18)]
    pub nodes: Option<Box<Nodes>>,
    /// Of the overrides, as JSON, what only the echo shows.
    #[n(20)]
    pub overrides_document: Option<Box<Document>>,
    /// What each attempt needs beside compute, each resource once; of an array, what each child needs; of nodes, what all need
    /// together.
    #[n(19)]
    pub consumables: Option<Box<[Consumable]>>,
    /// The only one that it runs on; `None` when any will do.
    #[n(21)]
    pub architecture: Option<Architecture>,
}

impl Job {
    /// Account and region, from its queue.
    ///
    /// # Panics
    /// When the queue's ARN is not one; a job is only made with the ARN of a queue that exists.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.queue).expect("a job's queue is named by an ARN")
    }

    /// `arn:…:job/{id}`.
    pub fn arn(&self, id: JobId) -> Arn {
        self.scope().arn("batch", &format!("job/{id}"))
    }

    /// What one attempt of it, of a child, or of a node may use.
    pub fn resources_of(&self, member: Member) -> Resources {
        match (member, &self.nodes) {
            (Member::Node(node), Some(nodes)) => {
                nodes.group(node).map(|group| group.resources).unwrap_or_default()
            }
            (Member::Whole | Member::Index(_) | Member::Node(_), _) => self.resources,
        }
    }

    /// Longest duration of an attempt in seconds; that of the main node stands for all nodes.
    pub fn timeout_of(&self, member: Member) -> Option<u32> {
        let counts = match (member, &self.nodes) {
            (Member::Node(node), Some(nodes)) => node == nodes.main_node,
            (Member::Whole | Member::Index(_) | Member::Node(_), _) => true,
        };
        self.timeout_seconds.filter(|_| counts)
    }

    /// What an attempt runs, and what the submission changes of it; `None` for the parent of nodes, which runs nothing.
    pub fn task<'a>(
        &'a self,
        definition: &'a JobDefinition,
        member: Member,
    ) -> Option<(Task<'a>, &'a [ContainerOverrides])> {
        match (member, &self.nodes) {
            (Member::Node(node), Some(nodes)) => {
                let range = nodes.group(node)?.range;
                Some((definition.task_of_range(range)?, nodes.overrides_of(range)))
            }
            (Member::Whole | Member::Index(_), Some(_)) => None,
            (Member::Whole | Member::Index(_) | Member::Node(_), None) => {
                let only = self.overrides.as_deref().map(std::slice::from_ref);
                Some((definition.task()?, only.or(self.task_overrides.as_deref()).unwrap_or_default()))
            }
        }
    }

    /// What one attempt holds of consumable resources while it is starting or running. The main node holds it for all.
    pub fn held_consumables(&self, member: Member) -> &[Consumable] {
        match (member, &self.nodes) {
            (Member::Node(node), Some(nodes)) if node != nodes.main_node => &[],
            (Member::Whole | Member::Index(_) | Member::Node(_), _) => {
                self.consumables.as_deref().unwrap_or_default()
            }
        }
    }

    /// The strategy in force.
    pub fn retry_strategy(&self) -> RetryStrategy {
        self.retry.as_deref().cloned().unwrap_or_default()
    }
}

/// What makes a job an array.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ArrayProperties {
    /// Number of children.
    #[n(0)]
    pub size: u32,
    /// When present, every child without a record of its own has ended this way.
    #[n(1)]
    pub fate: Option<Box<Fate>>,
    /// Once it has ended: how its children ended, by status, so that nobody has to count them again.
    #[n(2)]
    pub ended: Option<Box<array::StatusCounts>>,
}

/// The common end of children that never started.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Fate {
    /// Why they failed.
    #[n(0)]
    pub status_reason: Text,
    /// When.
    #[n(1)]
    pub at: Timestamp,
    /// By CancelJob.
    #[n(2)]
    pub is_cancelled: bool,
    /// By TerminateJob.
    #[n(3)]
    pub is_terminated: bool,
}

/// The moving part of a job or array child.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Execution {
    /// Where it is.
    #[n(0)]
    pub status: JobStatus,
    /// Why it is there, in AWS's words; `None` while there is nothing to say.
    #[n(1)]
    pub status_reason: Option<Text>,
    /// Time of submission; of a child, of its spawning.
    #[n(2)]
    pub created_at: Timestamp,
    /// Start of the current, or the last, attempt.
    #[n(3)]
    pub started_at: Option<Timestamp>,
    /// When it became terminal.
    #[n(4)]
    pub stopped_at: Option<Timestamp>,
    /// A request to cancel was accepted.
    #[n(5)]
    pub is_cancelled: bool,
    /// A request to terminate was accepted.
    #[n(6)]
    pub is_terminated: bool,
    /// Attempts that ended, oldest first.
    #[n(7)]
    pub attempts: Box<[Attempt]>,
    /// Where the current attempt is; present exactly while STARTING or RUNNING, and for a node also while it waits for the
    /// main node to run. The parent of nodes has none.
    #[n(8)]
    pub placement: Option<Box<Placement>>,
}

impl Execution {
    /// A fresh one, SUBMITTED.
    pub fn new(created_at: Timestamp) -> Self {
        Execution {
            status: JobStatus::Submitted,
            status_reason: None,
            created_at,
            started_at: None,
            stopped_at: None,
            is_cancelled: false,
            is_terminated: false,
            attempts: Box::default(),
            placement: None,
        }
    }

    /// Number of the current or next attempt, 1-based.
    ///
    /// # Panics
    /// Never in practice: attempts are bounded far below `u32::MAX`.
    pub fn attempt_number(&self) -> u32 {
        u32::try_from(self.attempts.len()).expect("attempts are few") + 1
    }

    /// Adds the attempt that has ended now.
    pub(crate) fn record(&mut self, ended: Attempt) {
        let mut attempts = std::mem::take(&mut self.attempts).into_vec();
        attempts.push(ended);
        self.attempts = attempts.into();
    }

    /// How the newest attempt ended; `None` while another one runs.
    pub fn last_outcome(&self) -> Option<&Outcome> {
        let runs = matches!(self.status, JobStatus::Starting | JobStatus::Running); // the parent of nodes has no placement
        let ended = self.attempts.last().filter(|_| self.placement.is_none() && !runs);
        ended.map(|attempt| &attempt.outcome)
    }

    /// The latest time that it tells of.
    pub(crate) fn latest(&self) -> Timestamp {
        let attempt = self.attempts.last().map(|attempt| attempt.stopped_at);
        let times = [self.started_at, self.stopped_at, attempt];
        times.into_iter().flatten().fold(self.created_at, Timestamp::max)
    }

    /// The attempt that is starting or running.
    pub fn current_attempt(&self, job: JobId) -> Option<AttemptId> {
        self.placement.is_some().then(|| AttemptId { job, number: self.attempt_number() })
    }
}

/// Where and as what the current attempt runs.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Placement {
    /// ARN of the compute environment that took it.
    #[n(0)]
    pub compute_environment: Arn,
    /// The instance it was put on.
    #[n(1)]
    pub instance_id: Text,
    /// Its ECS task.
    #[n(2)]
    pub task_id: TaskId,
    /// Set when it is being stopped; the first cause stays.
    #[n(3)]
    pub stopping: Option<StopCause>,
    /// Of a node: the address by which the others reach it.
    #[n(4)]
    pub address: Option<Ipv4Addr>,
}

/// Why a running attempt is being stopped.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum StopCause {
    /// TerminateJob, with the caller's reason.
    #[n(0)]
    Terminated(#[n(0)] Text),
    /// `attemptDurationSeconds` passed.
    #[n(1)]
    TimedOut,
    /// The main node of its job has ended.
    #[n(2)]
    MainNodeEnded,
}

/// An attempt that ended.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Attempt {
    /// Its ECS task.
    #[n(0)]
    pub task_id: TaskId,
    /// Compute environment it ran in.
    #[n(1)]
    pub compute_environment: Arn,
    /// The instance it ran on.
    #[n(2)]
    pub instance_id: Text,
    /// `None` when its process never started.
    #[n(3)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[n(4)]
    pub stopped_at: Timestamp,
    /// For example `Essential container in task exited`.
    #[n(5)]
    pub status_reason: Text,
    /// Exit code and container reason.
    #[n(6)]
    pub outcome: Outcome,
    /// Of a node: its address.
    #[n(7)]
    pub address: Option<Ipv4Addr>,
}
