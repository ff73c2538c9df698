//! Service jobs: training jobs that wait in a queue of type SAGEMAKER_TRAINING for capacity of its service environment.
//!
//! | what happens | file |
//! |---|---|
//! | statuses and legal moves | [`status`] |
//! | SubmitServiceJob, UpdateServiceJob | [`submit`] |
//! | limits and usage, in instances | [`capacity`] |
//! | which one starts when | `schedule`, `fit` |
//! | the same where there are quota shares; which one gives way | `quota`, `holdings`, `preempt` |
//! | what the backend is told | `launch` |
//! | what backends report | `observe` |
//! | TerminateServiceJob, timeouts | `stop` |
//! | why a queue is blocked, and for how long it may be | `blocked` |
//! | the front of a queue, and what it uses | [`snapshot`] |
//! | all of them, and the indexes over them | `index` |

mod blocked;
pub mod capacity;
mod fit;
mod holdings;
pub(crate) mod index;
mod launch;
mod observe;
mod preempt;
mod quota;
pub mod refusal;
mod schedule;
pub mod snapshot;
pub mod status;
mod stop;
pub mod submit;

use std::cmp::Reverse;

use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::arn::{Arn, Scope};
use crate::id::{AttemptId, JobId, TaskId, cbor_uuid};
use crate::job::StopCause;
use crate::job::retry::RetryStrategy;
use crate::resource::tags::Tags;
use crate::text::Text;
use crate::time::Timestamp;
use capacity::Instances;
pub use launch::{LOG_GROUP, training_job_arn};
pub use preempt::{Preemption, PreemptionKind, PreemptionSummary};
pub use status::{ServiceJobCounts, ServiceJobStatus, ServiceTransition};

/// A submitted service job, and how far it has come.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ServiceJob {
    /// What SubmitServiceJob returned.
    #[cbor(n(0), with = "cbor_uuid")]
    pub id: Uuid,
    /// Position in the order of submission over all queues, container jobs included; a retried job keeps it.
    #[n(1)]
    pub sequence: u64,
    /// `jobName`.
    #[n(2)]
    pub name: Text,
    /// ARN of its queue.
    #[n(3)]
    pub queue: Arn,
    /// `serviceRequestPayload`, as submitted.
    #[n(4)]
    pub payload: Text,
    /// What decisions need of the payload.
    #[n(5)]
    pub training: TrainingJob,
    /// As submitted; `None` when it was not given.
    #[n(6)]
    pub retry: Option<Box<RetryStrategy>>,
    /// `timeoutConfig.attemptDurationSeconds`.
    #[n(7)]
    pub timeout_seconds: Option<u32>,
    /// Tags of the job.
    #[n(8)]
    pub tags: Tags,
    /// `clientToken`.
    #[n(9)]
    pub client_token: Option<Text>,
    /// `shareIdentifier`.
    #[n(10)]
    pub share_identifier: Option<Text>,
    /// `quotaShareName`.
    #[n(11)]
    pub quota_share: Option<Text>,
    /// `schedulingPriority`.
    #[n(12)]
    pub scheduling_priority: Option<u32>,
    /// `preemptionRetriesBeforeTermination`.
    #[n(13)]
    pub preemption_retries: Option<i32>,
    /// Where it is.
    #[n(14)]
    pub status: ServiceJobStatus,
    /// Why it is there; `None` while there is nothing to say.
    #[n(15)]
    pub status_reason: Option<Text>,
    /// Time of submission.
    #[n(16)]
    pub created_at: Timestamp,
    /// When the current, or the last, attempt was handed to a backend.
    #[n(17)]
    pub scheduled_at: Option<Timestamp>,
    /// Start of the current, or the last, attempt.
    #[n(18)]
    pub started_at: Option<Timestamp>,
    /// When it became terminal.
    #[n(19)]
    pub stopped_at: Option<Timestamp>,
    /// A request to terminate was accepted.
    #[n(20)]
    pub is_terminated: bool,
    /// Attempts that ended, oldest first.
    #[n(21)]
    pub attempts: Vec<ServiceAttempt>,
    /// Where the current attempt is; present exactly while SCHEDULED, STARTING or RUNNING.
    #[n(22)]
    pub placement: Option<Box<ServicePlacement>>,
    /// Its attempts that were preempted; `None` when there are none. They do not count among `attempts`.
    #[n(23)]
    pub preemptions: Option<Box<PreemptionSummary>>,
    /// Since when others are being stopped for it: when they have ended, it goes first.
    #[n(24)]
    pub preempts_since: Option<Timestamp>,
}

/// What a CreateTrainingJob request says about running it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TrainingJob {
    /// `AlgorithmSpecification.TrainingImage`, or `host`.
    #[n(0)]
    pub image: Text,
    /// `ContainerEntrypoint` and `ContainerArguments`; `train` when there are none.
    #[n(1)]
    pub command: Vec<Text>,
    /// `Environment`.
    #[n(2)]
    pub environment: Vec<(Text, Text)>,
    /// `ResourceConfig`: `InstanceType` and `InstanceCount`, or `InstanceGroups`.
    #[n(3)]
    pub instances: Instances,
    /// `StoppingCondition.MaxRuntimeInSeconds`.
    #[n(4)]
    pub max_runtime_seconds: Option<u32>,
}

/// Where and as what the current attempt runs.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ServicePlacement {
    /// ARN of the service environment whose capacity it holds.
    #[n(0)]
    pub environment: Arn,
    /// The instance it was put on.
    #[n(1)]
    pub instance_id: Text,
    /// Part of the training job's name.
    #[n(2)]
    pub task_id: TaskId,
    /// Set when it is being stopped; the first cause stays.
    #[n(3)]
    pub stopping: Option<StopCause>,
    /// Set when it is being stopped to let another job run.
    #[n(4)]
    pub preemption: Option<Preemption>,
}

/// An attempt that ended.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ServiceAttempt {
    /// Part of the training job's name.
    #[n(0)]
    pub task_id: TaskId,
    /// `None` when its process never started.
    #[n(1)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[n(2)]
    pub stopped_at: Timestamp,
    /// For example `Received status from SageMaker: Training job completed`.
    #[n(3)]
    pub status_reason: Text,
}

impl ServiceJob {
    /// Account and region, from its queue.
    ///
    /// # Panics
    /// When the queue's ARN is not one; a job is only made with the ARN of a queue that exists.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.queue).expect("a job's queue is named by an ARN")
    }

    /// `arn:…:service-job/{id}`.
    pub fn arn(&self) -> Arn {
        self.scope().arn("batch", &format!("service-job/{}", self.id.as_hyphenated()))
    }

    /// The attempt that is scheduled, starting or running.
    pub fn current_attempt(&self) -> Option<AttemptId> {
        let preempted = self.preemptions.as_ref().map_or(0, |preemptions| preemptions.count);
        let number = self.next_attempt().saturating_add(preempted);
        self.placement.is_some().then(|| AttemptId { job: JobId::whole(self.id), number })
    }

    /// The number that the current, or the next, attempt has for the retry strategy, from 1.
    pub(crate) fn next_attempt(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The training job of the current attempt, or of the last one.
    pub fn latest_task(&self) -> Option<TaskId> {
        let current = self.placement.as_ref().map(|placement| placement.task_id);
        current.or_else(|| self.last_attempt().map(|attempt| attempt.task_id))
    }

    /// The attempt that ended last, preempted or not.
    fn last_attempt(&self) -> Option<&ServiceAttempt> {
        let preempted = self.preemptions.as_ref().and_then(|preemptions| preemptions.recent.last());
        preempted.into_iter().chain(self.attempts.last()).max_by_key(|attempt| attempt.stopped_at)
    }

    /// What it holds or held since it was scheduled, in units: instance types where a quota share is drawn on.
    pub fn capacity_usage(&self) -> Vec<(Text, u64)> {
        match self.scheduled_at {
            Some(_) => self.training.instances.usage(self.quota_share.is_some()),
            None => Vec::new(),
        }
    }

    /// ARN of the quota share that it draws on.
    pub fn quota_share_arn(&self) -> Option<Arn> {
        self.quota_share.as_ref().map(|name| format!("{}/quota-share/{name}", self.queue).into())
    }

    /// Its share of the queue, within which it is ordered; empty where the queue is FIFO.
    pub(crate) fn lane(&self) -> Text {
        self.quota_share.clone().or_else(|| self.share_identifier.clone()).unwrap_or_default()
    }

    /// Its place in the lane: by priority where there are shares, then by order of submission.
    pub(crate) fn rank(&self) -> index::Rank {
        let is_shared = self.quota_share.is_some() || self.share_identifier.is_some();
        (Reverse(self.scheduling_priority.filter(|_| is_shared).unwrap_or(0)), self.sequence)
    }

    /// How long an attempt may run, and whether it is SageMaker's limit that ends it.
    pub(crate) fn time_limit(&self) -> Option<(u32, bool)> {
        match (self.timeout_seconds, self.training.max_runtime_seconds) {
            (Some(batch), Some(sagemaker)) if sagemaker < batch => Some((sagemaker, true)),
            (Some(batch), _) => Some((batch, false)),
            (None, Some(sagemaker)) => Some((sagemaker, true)),
            (None, None) => None,
        }
    }

    /// The latest time that it tells of.
    pub(crate) fn latest(&self) -> Timestamp {
        let attempt = self.last_attempt().map(|attempt| attempt.stopped_at);
        let times = [self.scheduled_at, self.started_at, self.stopped_at, attempt];
        times.into_iter().flatten().fold(self.created_at, Timestamp::max)
    }
}
