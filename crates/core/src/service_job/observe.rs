//! What backends report of service jobs, and what becomes of an attempt that ended. As for container jobs: only reports of
//! the current attempt count, and a lost attempt, a lost action and a lost report are told apart when the backend connects.
//!
//! Source: AWS Batch User Guide, service job status mapping and retry; Amazon SageMaker API reference, FailureReason.

use crate::attempt::{Action, AttemptReport, Observation, Outcome};
use crate::id::AttemptId;
use crate::job::StopCause;
use crate::job::retry::{self, Failure, RetryAction};
use crate::job::stop::TIMED_OUT;
use crate::service_job::{ServiceAttempt, ServiceJob, ServiceJobStatus, ServiceTransition};
use crate::state::Timer;
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// How every reason that comes from SageMaker begins.
const FROM_SAGEMAKER: &str = "Received status from SageMaker: ";
/// Its machine is gone. Text: as observed from Amazon SageMaker.
const INTERNAL_ERROR: &str = "InternalServerError: We encountered an internal error. Please try again.";
/// Text: as observed from Amazon SageMaker.
const MAX_RUNTIME_EXCEEDED: &str = "Training job runtime exceeded MaxRuntimeInSeconds provided";

impl Turn<'_> {
    /// Whether an attempt is one of a service job.
    pub(crate) fn is_of_service_job(&self, attempt: AttemptId) -> bool {
        self.state.service_jobs.records.contains_key(&attempt.job.job)
    }

    /// Applies an observation of one attempt of a service job; hands it back when it is about something else.
    pub(crate) fn observe_service_job(&mut self, observation: Observation) -> Option<Observation> {
        match observation {
            Observation::Started(attempt, at) if self.is_of_service_job(attempt) => {
                self.service_attempt_started(attempt, at);
            }
            Observation::Exited(report) if self.is_of_service_job(report.attempt) => {
                self.service_attempt_exited(report);
            }
            Observation::Refused(attempt) if self.is_of_service_job(attempt) => {
                self.service_attempt_refused(attempt);
            }
            Observation::Connected(..)
            | Observation::Disconnected(_)
            | Observation::Started(..)
            | Observation::Exited(_)
            | Observation::Refused(_)
            | Observation::LaunchFailed(..)
            | Observation::Interrupted(_)
            | Observation::Terminated(_)
            | Observation::Instances(_) => return Some(observation),
        }
        None
    }

    /// Compares an attempt that should run on a machine with what the machine says of it.
    pub(crate) fn reconcile_service_job(
        &mut self,
        attempt: AttemptId,
        report: Option<&AttemptReport>,
        restarted: bool,
    ) {
        let Some(job) = self.state.service_jobs.current(attempt) else { return };
        let is_stopping = job.placement.as_ref().is_some_and(|placement| placement.is_stopping());
        match report {
            Some(report) if report.ended.is_some() => self.service_attempt_exited(report.clone()),
            Some(report) => {
                if let Some(at) = report.started_at {
                    self.service_attempt_started(attempt, at);
                }
                if is_stopping {
                    self.act(Action::Stop(attempt));
                }
            }
            // Scheduled, and durable, but the machine never heard of it: the action was lost in a crash of the server.
            // One that is to be stopped ends there, by being stopped: its start may still be on the way.
            None if !restarted && job.status == ServiceJobStatus::Scheduled && is_stopping => {
                self.act(Action::Stop(attempt));
            }
            None if !restarted && job.status == ServiceJobStatus::Scheduled => {
                self.start_service_job(attempt);
            }
            None => self.end_service_attempt(attempt, self.now, INTERNAL_ERROR, false),
        }
    }

    fn service_attempt_started(&mut self, attempt: AttemptId, at: Timestamp) {
        let Some(job) = self.state.service_jobs.current(attempt) else { return };
        if job.status != ServiceJobStatus::Scheduled {
            return;
        }
        let started_at = at.clamp(job.created_at, self.now);
        // It may be on its way out already, and goes on saying so.
        self.service_transition(job.id, ServiceTransition::Acquire, job.status_reason.clone());
        self.service_transition(job.id, ServiceTransition::Start, job.status_reason.clone());
        self.service_job_mut(job.id).started_at = Some(started_at);
        if let Some((seconds, _)) = job.time_limit() {
            self.state.set_timer(started_at.plus_seconds(seconds), Timer::ServiceJobTimeout(attempt));
        }
    }

    fn service_attempt_exited(&mut self, report: AttemptReport) {
        let AttemptReport { attempt, started_at, ended } = report;
        let Some((stopped_at, outcome)) = ended else { return };
        self.act(Action::Forget(attempt));
        if let Some(at) = started_at {
            self.service_attempt_started(attempt, at); // its own report may have been lost
        }
        self.end_service_attempt(attempt, stopped_at, &status_of(&outcome), outcome.exit_code == Some(0));
    }

    /// A job that was never started goes back to its place in the queue, and no attempt is used up.
    fn service_attempt_refused(&mut self, attempt: AttemptId) {
        let Some(job) = self.state.service_jobs.current(attempt) else { return };
        let placement = job.placement.as_deref().expect("a current attempt is placed");
        if job.status != ServiceJobStatus::Scheduled || placement.is_stopping() {
            return self.end_service_attempt(attempt, self.now, INTERNAL_ERROR, false);
        }
        self.state.vacate_service(&job, placement, attempt);
        self.settle_if_deleting(&placement.environment);
        let record = self.service_job_mut(job.id);
        (record.placement, record.scheduled_at) = (None, None);
        self.service_transition(job.id, ServiceTransition::Retry, None);
    }

    /// The current attempt is over: what it held is free again, and the job succeeds, retries or fails.
    fn end_service_attempt(
        &mut self,
        attempt: AttemptId,
        stopped_at: Timestamp,
        status: &str,
        succeeded: bool,
    ) {
        let Some(job) = self.state.service_jobs.current(attempt) else { return };
        let placement = job.placement.as_deref().expect("a current attempt is placed");
        self.state.vacate_service(&job, placement, attempt);
        if let (Some(started_at), Some((seconds, _))) = (job.started_at, job.time_limit()) {
            self.state.clear_timer(started_at.plus_seconds(seconds), Timer::ServiceJobTimeout(attempt));
        }
        self.settle_if_deleting(&placement.environment);
        let stopped_at = stopped_at.clamp(job.started_at.unwrap_or(job.created_at), self.now);
        let preempted = placement.preempted_at_end(stopped_at);
        let (transition, reason) = match preempted {
            Some(kind) => (job.after_preemption(), kind.as_str().into()),
            None => verdict(&job, status, succeeded, stopped_at),
        };
        let ended = ServiceAttempt {
            task_id: placement.task_id,
            started_at: job.started_at,
            stopped_at,
            status_reason: reason.clone(),
        };
        let record = self.service_job_mut(job.id);
        match preempted {
            Some(_) => record.preemptions.get_or_insert_default().add(ended),
            None => record.attempts.push(ended),
        }
        record.placement = None;
        if transition == ServiceTransition::Retry {
            (record.scheduled_at, record.started_at) = (None, None);
        } else {
            record.stopped_at = Some(stopped_at);
        }
        let reason = Some(reason).filter(|_| transition != ServiceTransition::Retry);
        self.service_transition(job.id, transition, reason);
    }
}

/// What Amazon SageMaker would say of a training job that ended so.
fn status_of(outcome: &Outcome) -> String {
    let reason = outcome.reason.as_deref().unwrap_or_default();
    match outcome.exit_code {
        Some(0) => "Training job completed".into(),
        Some(code) => format!("AlgorithmError: {reason}, exit code: {code}"),
        None => format!("ClientError: {reason}"),
    }
}

/// What follows after an attempt ended. A stopped job fails with the reason it was stopped for, whatever its process said.
fn verdict(
    job: &ServiceJob,
    status: &str,
    succeeded: bool,
    stopped_at: Timestamp,
) -> (ServiceTransition, Text) {
    let stopping = job.placement.as_ref().and_then(|placement| placement.stopping.as_ref());
    if let Some(StopCause::Terminated(reason)) = stopping {
        return (ServiceTransition::Fail, reason.clone());
    }
    let mut reason: Text = format!("{FROM_SAGEMAKER}{status}").into();
    // It may have ended in time while the server was away to see it.
    let timed_out = stopping == Some(&StopCause::TimedOut)
        && job.time_limit().is_some_and(|(seconds, _)| {
            job.started_at.is_some_and(|started_at| stopped_at >= started_at.plus_seconds(seconds))
        });
    match job.time_limit() {
        Some((_, false)) if timed_out => return (ServiceTransition::Fail, TIMED_OUT.into()),
        Some((_, true)) if timed_out => reason = format!("{FROM_SAGEMAKER}{MAX_RUNTIME_EXCEEDED}").into(),
        Some(_) | None if succeeded => return (ServiceTransition::Succeed, reason),
        Some(_) | None => {}
    }
    let failure = Failure { status_reason: &reason, reason: None, exit_code: None };
    match retry::decide(job.retry.as_deref().unwrap_or(&Default::default()), job.next_attempt(), failure) {
        RetryAction::Retry => (ServiceTransition::Retry, reason),
        RetryAction::Exit => (ServiceTransition::Fail, reason),
    }
}
