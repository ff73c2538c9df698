//! SubmitServiceJob and UpdateServiceJob.
//!
//! Source: AWS Batch API reference, the two operations.

use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Scope;
use crate::job::retry::RetryStrategy;
use crate::record::Key;
use crate::refusal::Refusal;
use crate::resource::Status;
use crate::resource::job_queue::JobQueue;
use crate::resource::scheduling_policy::PolicyKind;
use crate::resource::tags::Tags;
use crate::schedule::check_share;
use crate::service_job::refusal::ServiceRefusal;
use crate::service_job::{ServiceJob, ServiceJobStatus, ServiceTransition, TrainingJob};
use crate::text::Text;
use crate::turn::Turn;

/// Name space of the ids that follow from client tokens.
const CLIENT_TOKENS: Uuid = Uuid::from_u128(0x6b1f_20c5_9d0e_4a37_8c52_e1f6_03b7_d94a);

/// A request to run a training job, checked in itself.
#[derive(Clone, Debug, Default)]
pub struct ServiceSubmission {
    /// `jobName`.
    pub name: Text,
    /// Name or ARN.
    pub queue: Text,
    /// `serviceRequestPayload`.
    pub payload: Text,
    /// What the payload says.
    pub training: TrainingJob,
    /// `retryStrategy`.
    pub retry: Option<RetryStrategy>,
    /// `timeoutConfig.attemptDurationSeconds`.
    pub timeout_seconds: Option<u32>,
    /// `clientToken`.
    pub client_token: Option<Text>,
    /// `shareIdentifier`.
    pub share_identifier: Option<Text>,
    /// `quotaShareName`.
    pub quota_share: Option<Text>,
    /// `schedulingPriority`.
    pub scheduling_priority: Option<u32>,
    /// `preemptionRetriesBeforeTermination`.
    pub preemption_retries: Option<i32>,
    /// Tags of the job.
    pub tags: Tags,
}

impl ServiceSubmission {
    /// The id of the job that is submitted with a client token: the token's own, so that whoever knows the token finds the job,
    /// in memory or in the store.
    pub fn id(scope: &Scope, client_token: &str) -> Uuid {
        let name = format!("{}/{}/{client_token}", scope.account, scope.region);
        Uuid::new_v5(&CLIENT_TOKENS, name.as_bytes())
    }
}

impl Turn<'_> {
    /// Accepts a service job; it is RUNNABLE at once.
    ///
    /// # Errors
    /// The first rule that the request breaks, examined in the order queue, shares, client token. A job of the same token that
    /// is no longer in memory is to be brought back before ([`Turn::recall`]).
    pub fn submit_service_job(
        &mut self,
        scope: &Scope,
        submission: ServiceSubmission,
    ) -> Result<Arc<ServiceJob>, Refusal> {
        let queue = self.open_service_queue(scope, &submission.queue)?;
        self.check_service_share(&queue, &submission)?;
        let of_token = submission.client_token.as_deref().map(|token| ServiceSubmission::id(scope, token));
        if let Some(id) = of_token.filter(|id| self.state.service_jobs.records.contains_key(id)) {
            let job_id = id.as_hyphenated().to_string().into();
            return Err(ServiceRefusal::DuplicateRequest { job_id }.into());
        }
        let id = of_token.unwrap_or_else(|| self.fresh.uuid());
        let job = ServiceJob {
            id,
            sequence: self.state.next_sequence,
            name: submission.name,
            queue: queue.arn.clone(),
            payload: submission.payload,
            training: submission.training,
            retry: submission.retry.map(Box::new),
            timeout_seconds: submission.timeout_seconds,
            tags: submission.tags,
            client_token: submission.client_token,
            share_identifier: submission.share_identifier,
            quota_share: submission.quota_share,
            scheduling_priority: submission.scheduling_priority,
            preemption_retries: submission.preemption_retries,
            status: ServiceJobStatus::Submitted,
            status_reason: None,
            created_at: self.now,
            scheduled_at: None,
            started_at: None,
            stopped_at: None,
            is_terminated: false,
            attempts: Vec::new(),
            placement: None,
            preemptions: None,
            preempts_since: None,
        };
        self.state.next_sequence += 1;
        self.state.track_service_job(&job);
        self.touch(Key::ServiceJob(id));
        self.state.service_jobs.records.insert(id, Arc::new(job));
        self.service_transition(id, ServiceTransition::Queue, None);
        Ok(Arc::clone(&self.state.service_jobs.records[&id]))
    }

    fn open_service_queue(&self, scope: &Scope, name_or_arn: &str) -> Result<Arc<JobQueue>, Refusal> {
        let arn = scope.resolve("job-queue", name_or_arn);
        let found = self.state.job_queues.get(&arn).filter(|_| scope.owns(&arn));
        let queue = found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })?;
        if queue.service_environment.is_none() {
            return Err(ServiceRefusal::NotAServiceQueue { queue: arn }.into());
        }
        if !queue.enabled || queue.status == Status::Deleting {
            return Err(Refusal::QueueDisabled { arn });
        }
        Ok(Arc::clone(queue))
    }

    /// Each kind of queue needs the share that it orders jobs by, and no other.
    fn check_service_share(&self, queue: &JobQueue, submission: &ServiceSubmission) -> Result<(), Refusal> {
        let kind = self.state.policy_kind(&queue.arn);
        let arn = queue.arn.clone();
        if submission.share_identifier.is_some() && kind != PolicyKind::FairShare {
            return Err(Refusal::ShareOnFifoQueue);
        }
        match (&submission.quota_share, kind) {
            (Some(name), PolicyKind::QuotaShare) => {
                let share = self.existing_quota_share(&format!("{arn}/quota-share/{name}").into())?;
                if !share.enabled || share.status == Status::Deleting {
                    return Err(ServiceRefusal::QuotaShareDisabled { share: share.arn }.into());
                }
                Ok(())
            }
            (Some(_), PolicyKind::Fifo | PolicyKind::FairShare) => {
                Err(ServiceRefusal::QuotaShareNotAllowed { queue: arn }.into())
            }
            (None, PolicyKind::QuotaShare) => Err(ServiceRefusal::QuotaShareRequired { queue: arn }.into()),
            (None, PolicyKind::FairShare) => {
                let backlog = self.state.service_jobs.backlogs.get(&arn);
                let active = backlog.map(|backlog| &backlog.live);
                check_share(&arn, submission.share_identifier.as_deref(), active)
            }
            (None, PolicyKind::Fifo) => Ok(()),
        }
    }

    /// UpdateServiceJob: changes the priority of a job that has not ended.
    ///
    /// # Errors
    /// [`ServiceRefusal::NoSuchJob`]; [`ServiceRefusal::JobEnded`].
    pub fn update_service_job(
        &mut self,
        scope: &Scope,
        id: Uuid,
        scheduling_priority: u32,
    ) -> Result<Arc<ServiceJob>, Refusal> {
        let job_id = || id.as_hyphenated().to_string().into();
        let job = self.state.service_job(id).filter(|job| scope.owns(&job.queue)).cloned();
        let job = job.ok_or_else(|| ServiceRefusal::NoSuchJob { job_id: job_id() })?;
        if job.status.is_terminal() {
            return Err(ServiceRefusal::JobEnded { job_id: job_id() }.into());
        }
        let backlog = self.state.service_jobs.backlogs.get(&job.queue);
        let is_set_aside = backlog.is_some_and(|backlog| backlog.unplaceable.contains_key(&job.sequence));
        let moves = job.status == ServiceJobStatus::Runnable && !is_set_aside;
        if moves {
            self.state.service_jobs.dequeue(&job);
        }
        self.service_job_mut(id).scheduling_priority = Some(scheduling_priority);
        let job = Arc::clone(&self.state.service_jobs.records[&id]);
        if moves {
            self.state.service_jobs.enqueue(&job);
        }
        self.state.schedule_due = true; // of a running job too: it may have to give way now
        Ok(job)
    }
}
