//! Job queues: create, update, delete.
//!
//! Source: AWS Batch API reference, CreateJobQueue, UpdateJobQueue, DeleteJobQueue.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::arn::{Arn, name_of};
use crate::record::Key;
use crate::refusal::{Refusal, Undeletable};
use crate::resource::Status;
use crate::resource::compute_environment::Platform;
use crate::resource::tags::Tags;
use crate::text::{Document, Text};
use crate::time::Timestamp;
use crate::turn::Turn;

/// `statusReason` while nothing is wrong.
pub const HEALTHY: &str = "JobQueue Healthy";

/// Reason of jobs that were terminated because their queue was deleted.
pub const QUEUE_DELETED: &str = "Job queue was deleted";

/// Where jobs wait.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct JobQueue {
    /// Its name is the part after the last `/`.
    #[n(0)]
    pub arn: Arn,
    /// The caller's switch: takes no new jobs when false.
    #[n(1)]
    pub enabled: bool,
    /// Health.
    #[n(2)]
    pub status: Status,
    /// `statusReason`.
    #[n(3)]
    pub status_reason: Text,
    /// Higher goes first among queues that share an environment.
    #[n(4)]
    pub priority: i32,
    /// ARNs of compute environments, in the order in which they are tried.
    #[n(5)]
    pub environments: Vec<Arn>,
    /// Tags of the resource.
    #[n(6)]
    pub tags: Tags,
    /// Everything else that was asked for, as JSON for the echo.
    #[n(7)]
    pub document: Document,
    /// Counts changes, so that one prepared on an older version is refused.
    #[n(8)]
    pub version: u64,
    /// When it was created.
    #[n(9)]
    pub created_at: Timestamp,
    /// ARN of the policy that orders its jobs; `None` for FIFO. It may be replaced, but none stays none.
    #[n(10)]
    pub scheduling_policy: Option<Arn>,
    /// ARN of the service environment of a queue of service jobs; such a queue has no compute environments.
    #[n(11)]
    pub service_environment: Option<Arn>,
    /// How long the job at its head may be stuck; `None` for as long as it takes.
    #[n(12)]
    pub time_limits: Option<Vec<TimeLimit>>,
}

/// After how long the RUNNABLE job at the head of a queue is given up.
///
/// Source: AWS Batch API reference, JobStateTimeLimitAction.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TimeLimit {
    /// Code of the reason for which it is stuck, such as `MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT`.
    #[n(0)]
    pub reason: Text,
    /// Seconds for which it has been stuck for that reason, 600..=86400.
    #[n(1)]
    pub max_seconds: u32,
}

impl JobQueue {
    /// For how many seconds a job may be stuck at the head for the reason with this code; `None` for as long as it takes.
    pub fn time_limit(&self, code: &str) -> Option<u32> {
        let limit = self.time_limits.iter().flatten().find(|limit| limit.reason.as_str() == code);
        limit.map(|limit| limit.max_seconds)
    }

    /// The name without the ARN.
    pub fn name(&self) -> &str {
        name_of(&self.arn)
    }
}

/// What a caller may say of a queue, already checked in itself.
#[derive(Clone, Debug)]
pub struct Specification {
    /// Full ARN.
    pub arn: Arn,
    /// State ENABLED.
    pub enabled: bool,
    /// Priority.
    pub priority: i32,
    /// Full ARNs, in order.
    pub environments: Vec<Arn>,
    /// Full ARN; `None` for FIFO.
    pub scheduling_policy: Option<Arn>,
    /// Full ARN, instead of compute environments.
    pub service_environment: Option<Arn>,
    /// At most one for each reason.
    pub time_limits: Option<Vec<TimeLimit>>,
    /// The rest.
    pub document: Document,
}

impl Turn<'_> {
    /// Creates a queue, in status CREATING.
    ///
    /// # Errors
    /// [`Refusal::AlreadyExists`]; [`Refusal::EnvironmentNotValid`]; [`Refusal::MixedEnvironments`];
    /// [`Refusal::NoSuchPolicy`]; [`Refusal::QuotaShareOnContainerQueue`]; for service environments [`Refusal::Service`].
    pub fn create_job_queue(&mut self, given: Specification, tags: Tags) -> Result<(), Refusal> {
        let Specification {
            arn,
            enabled,
            priority,
            environments,
            scheduling_policy,
            service_environment,
            time_limits,
            document,
        } = given;
        if self.state.job_queues.contains_key(&arn) {
            return Err(Refusal::AlreadyExists { arn });
        }
        self.check_environments(&environments)?;
        let takes_service_jobs = service_environment.is_some();
        scheduling_policy
            .as_ref()
            .map_or(Ok(()), |policy| self.check_scheduling_policy(policy, takes_service_jobs))?;
        service_environment.as_ref().map_or(Ok(()), |it| self.check_service_environment(it, &arn))?;
        self.put_job_queue(JobQueue {
            arn: arn.clone(),
            enabled,
            status: Status::Creating,
            status_reason: HEALTHY.into(),
            priority,
            environments,
            tags,
            document,
            version: 0,
            created_at: self.now,
            scheduling_policy,
            service_environment,
            time_limits,
        });
        self.settle_soon(&arn);
        Ok(())
    }

    /// Replaces what a caller may change; `version` is the one that the change was prepared on.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::BeingModified`]; as [`Turn::create_job_queue`] for the environments
    /// and the policy; [`Refusal::FifoForGood`]; [`Refusal::OtherPolicyKind`].
    pub fn update_job_queue(&mut self, given: Specification, version: u64) -> Result<(), Refusal> {
        let Specification {
            arn,
            enabled,
            priority,
            environments,
            scheduling_policy,
            service_environment,
            time_limits,
            document,
        } = given;
        let queue = self.existing_job_queue(&arn)?;
        if !queue.status.is_settled() || queue.version != version {
            return Err(Refusal::BeingModified { arn });
        }
        if environments != queue.environments {
            self.check_environments(&environments)?;
        }
        let scheduling_policy = match (&queue.scheduling_policy, scheduling_policy) {
            (None, Some(_)) => return Err(Refusal::FifoForGood { arn }),
            (Some(old), Some(new)) if *old != new => {
                self.check_policy_replacement(&queue, &new)?;
                Some(new)
            }
            (old, _) => old.clone(),
        };
        if service_environment != queue.service_environment {
            service_environment.as_ref().map_or(Ok(()), |it| self.check_service_environment(it, &arn))?;
        }
        let (status, version) = (Status::Updating, version + 1);
        self.put_job_queue(JobQueue {
            enabled,
            priority,
            environments,
            scheduling_policy,
            service_environment,
            time_limits,
            document,
            status,
            version,
            ..queue
        });
        self.settle_soon(&arn);
        Ok(())
    }

    /// Deletes a DISABLED queue: its jobs are terminated, and it is gone when the last has ended.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::CannotDelete`].
    pub fn delete_job_queue(&mut self, arn: &Arn) -> Result<(), Refusal> {
        let queue = self.existing_job_queue(arn)?;
        if !queue.status.is_settled() {
            return Err(Refusal::CannotDelete(Undeletable::BeingModified));
        }
        if queue.enabled {
            return Err(Refusal::CannotDelete(Undeletable::NotDisabled));
        }
        self.put_job_queue(JobQueue { status: Status::Deleting, version: queue.version + 1, ..queue });
        let mut jobs: Vec<(u64, Uuid)> = self
            .state
            .jobs
            .values()
            .filter(|job| job.queue == *arn && !job.execution.status.is_terminal())
            .map(|job| (job.sequence, job.id))
            .collect();
        jobs.sort_unstable();
        for (_, job) in jobs {
            self.terminate_job(crate::id::JobId::whole(job), &QUEUE_DELETED.into());
        }
        for job in self.state.service_jobs.live_of(arn, None) {
            self.terminate_service_job(job, &QUEUE_DELETED.into());
        }
        self.settle_soon(arn);
        Ok(())
    }

    pub(crate) fn settle_job_queue(&mut self, arn: &Arn) {
        let Some(queue) = self.state.job_queues.get(arn) else { return };
        match queue.status {
            Status::Creating | Status::Updating => {
                self.put_job_queue(JobQueue { status: Status::Valid, ..(**queue).clone() });
            }
            Status::Deleting if self.state.live_jobs(arn) == 0 => {
                self.state.job_queues.remove(arn);
                self.state.remove_backlog(arn);
                self.state.service_jobs.backlogs.remove(arn);
                self.remove_quota_shares_of(arn);
                self.touch(Key::JobQueue(arn.clone()));
            }
            Status::Deleting | Status::Valid | Status::Invalid => {}
        }
    }

    /// A job of a queue ended: a queue that is being deleted may be gone now.
    pub(crate) fn job_ended(&mut self, job: Uuid) {
        let job = Arc::clone(&self.state.jobs[&job]);
        let queue = job.queue.clone();
        self.state.leave_lane(&job);
        if self.state.live_jobs(&queue) == 0
            && self.state.job_queues.get(&queue).is_some_and(|q| q.status == Status::Deleting)
        {
            self.settle_soon(&queue);
        }
    }

    fn check_environments(&self, environments: &[Arn]) -> Result<(), Refusal> {
        let mut fargate = None;
        for arn in environments {
            let ce = self.state.compute_environments.get(arn).filter(|ce| ce.status == Status::Valid);
            let ce = ce.ok_or_else(|| Refusal::EnvironmentNotValid { arn: arn.clone() })?;
            if *fargate.get_or_insert(ce.platform == Platform::Fargate) != (ce.platform == Platform::Fargate)
            {
                return Err(Refusal::MixedEnvironments);
            }
        }
        Ok(())
    }

    pub(crate) fn existing_job_queue(&self, arn: &Arn) -> Result<JobQueue, Refusal> {
        let found = self.state.job_queues.get(arn).map(|queue| (**queue).clone());
        found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })
    }

    fn put_job_queue(&mut self, queue: JobQueue) {
        let arn = queue.arn.clone();
        self.touch(Key::JobQueue(arn.clone()));
        self.state.job_queues.insert(arn.clone(), Arc::new(queue));
        self.state.weigh_shares(&arn);
        self.state.capacity_changed = true;
        self.state.demand_due = true;
        self.state.schedule_due = true;
    }
}
