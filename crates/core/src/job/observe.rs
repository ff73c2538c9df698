//! What backends report, and what becomes of an attempt that ended.
//!
//! Reports may be late, repeated, or of an older attempt: only those of the current attempt count, and the end of any
//! other is merely acknowledged, so that the backend can forget it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attempt::{Action, AttemptReport, Host, Observation, Outcome};
use crate::id::{AttemptId, JobId, Member};
use crate::instance::{self, Phase};
use crate::job::retry::{self, Failure, RetryAction};
use crate::job::stop::TIMED_OUT;
use crate::job::{Attempt, Execution, Job, JobStatus, Placement, StopCause, Transition};
use crate::record::Key;
use crate::state::Timer;
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Status reason of an attempt whose container ran and ended, well or badly.
pub const EXITED: &str = "Essential container in task exited";
/// Status reason of an attempt whose container never ran.
pub const FAILED_TO_START: &str = "Task failed to start";

impl Turn<'_> {
    /// Applies one observation.
    pub fn observe(&mut self, observation: Observation) {
        let Some(observation) = self.observe_service_job(observation) else { return };
        let Some(observation) = self.observe_instances(observation) else { return };
        match observation {
            Observation::Connected(host, reports) => self.reconcile(host, reports),
            Observation::Started(attempt, at) => self.runs(attempt, at),
            Observation::Exited(report) => self.attempt_exited(report),
            Observation::Disconnected(instance_id) => self.disconnected(&instance_id),
            Observation::Refused(attempt) => self.attempt_refused(attempt),
            Observation::LaunchFailed(..)
            | Observation::Interrupted(_)
            | Observation::Terminated(_)
            | Observation::Instances(_) => unreachable!("they were applied above"),
        }
        self.settle_dependents();
    }

    /// Nothing new is placed on a machine that cannot be reached, until it is back.
    fn disconnected(&mut self, instance_id: &str) {
        self.state.instances.disconnect(instance_id);
        // What only this machine could take fits nowhere now. What an environment could launch for is known without it.
        let is_machine =
            self.state.instances.get(instance_id).is_some_and(|room| room.record.managed.is_none());
        self.state.capacity_changed |= is_machine;
        self.state.schedule_due = true;
    }

    /// Places nothing more on any machine until it connects anew: the server is about to stop them.
    pub fn drain(&mut self) {
        self.state.instances.disconnect_all();
    }

    /// Compares what should run on a machine with what does run there, and corrects.
    fn reconcile(&mut self, host: Host, reports: Vec<AttemptReport>) {
        let id = host.instance_id.clone();
        let known = self.state.instances.get(&id).map(|instance| Arc::clone(&instance.record));
        let restarted = known.as_ref().is_some_and(|known| known.incarnation != host.incarnation);
        let mut managed = known.as_ref().and_then(|known| known.managed.clone());
        if let Some(managed) = managed.as_mut().filter(|managed| managed.phase == Phase::Launching) {
            managed.phase = Phase::Ready;
            managed.ready_at = Some(self.now);
            self.state.demand_due = true;
            if let Some(fleet) = self.state.fleets.get_mut(&managed.compute_environment) {
                fleet.failure = None;
            }
        }
        let record = Arc::new(instance::Instance { managed, ..instance::Instance::of(&host) });
        let reports: BTreeMap<AttemptId, AttemptReport> =
            reports.into_iter().map(|r| (r.attempt, r)).collect();
        if known.as_ref() != Some(&record) {
            self.touch(Key::Instance(id.clone()));
        }
        // What an environment could launch for is known without the instances that it has launched.
        self.state.capacity_changed |= record.managed.is_none();
        self.state.instances.put(record, true, self.now);
        self.state.instance_idle(&id); // until something is placed on it
        let expected = self.state.instances.get(&id).map(|room| room.attempts.clone()).unwrap_or_default();
        self.state.schedule_due = true;

        // Ends first: the end of a main node decides about nodes that have yet to start.
        let has_ended =
            |attempt: &AttemptId| reports.get(attempt).is_some_and(|report| report.ended.is_some());
        let (ended, live): (Vec<AttemptId>, Vec<AttemptId>) =
            expected.iter().partition(|attempt| has_ended(attempt));
        for attempt in ended.iter().chain(&live) {
            if self.is_of_service_job(*attempt) {
                self.reconcile_service_job(*attempt, reports.get(attempt), restarted);
                continue;
            }
            match reports.get(attempt) {
                Some(report) if report.ended.is_some() => self.attempt_exited(report.clone()),
                Some(report) => self.adopt(*attempt, report.started_at),
                None if !restarted && self.is_held(*attempt) => {} // its turn has not come
                // Placed, and durable, but the machine never heard of it: the action was lost in a crash of the server.
                None if !restarted && self.has_status(attempt.job, JobStatus::Starting) => {
                    self.start_after_all(*attempt);
                }
                None => self.host_lost(*attempt, &id),
            }
        }
        for (attempt, report) in reports {
            if !expected.contains(&attempt) {
                let action =
                    if report.ended.is_some() { Action::Forget(attempt) } else { Action::Stop(attempt) };
                self.act(action);
            }
        }
    }

    /// Asks again for an attempt that the machine has not heard of. One that is to be stopped ends there, by being stopped: its
    /// start may still be on the way.
    fn start_after_all(&mut self, attempt: AttemptId) {
        if self.is_stopping(attempt) {
            self.act(Action::Stop(attempt));
        } else {
            self.start(attempt.job);
        }
    }

    fn is_stopping(&self, attempt: AttemptId) -> bool {
        let placement = self.current(attempt).and_then(|(_, execution)| execution.placement.clone());
        placement.is_some_and(|placement| placement.stopping.is_some())
    }

    fn has_status(&self, id: JobId, status: JobStatus) -> bool {
        self.state.status_of(id) == Some(status)
    }

    /// An attempt that runs as it should, though a report of its start or a request to stop it may have been lost.
    fn adopt(&mut self, attempt: AttemptId, started_at: Option<Timestamp>) {
        if let Some(at) = started_at {
            self.runs(attempt, at);
        }
        if self.is_stopping(attempt) {
            self.act(Action::Stop(attempt));
        }
    }

    fn runs(&mut self, attempt: AttemptId, at: Timestamp) {
        self.attempt_started(attempt, at);
        if self.state.gangs.contains_key(&attempt.job.job) {
            self.start_other_nodes(attempt.job);
        }
    }

    fn attempt_started(&mut self, attempt: AttemptId, at: Timestamp) {
        let Some((job, execution)) = self.current(attempt) else { return };
        if execution.status != JobStatus::Starting {
            return;
        }
        let started_at = at.clamp(execution.created_at, self.now);
        self.execution_mut(attempt.job, |execution| execution.started_at = Some(started_at));
        self.transition(attempt.job, Transition::Start, None);
        if let Some(seconds) = job.timeout_of(attempt.job.member) {
            self.state.set_timer(started_at.plus_seconds(seconds), Timer::AttemptTimeout(attempt));
        }
        if job.nodes.is_some() {
            self.node_started(attempt.job, started_at);
        }
    }

    fn attempt_exited(&mut self, report: AttemptReport) {
        let AttemptReport { attempt, started_at, ended } = report;
        let Some((stopped_at, outcome)) = ended else { return };
        self.act(Action::Forget(attempt));
        if self.is_held(attempt) {
            return; // it was never told to start
        }
        if let Some(at) = started_at {
            self.attempt_started(attempt, at); // its own report may have been lost
        }
        let status_reason = if started_at.is_some() { EXITED } else { FAILED_TO_START };
        self.end_attempt(attempt, stopped_at, status_reason.into(), outcome);
    }

    /// A job that was never started goes back to its place in the queue, and no attempt is used up.
    fn attempt_refused(&mut self, attempt: AttemptId) {
        let Some((job, execution)) = self.current(attempt) else { return };
        let placement = execution.placement.as_deref().expect("a current attempt is placed");
        let is_led =
            job.nodes.as_ref().is_some_and(|nodes| attempt.job.member != Member::Node(nodes.main_node));
        let is_cancelled = execution.is_cancelled || job.execution.is_cancelled;
        let is_over = execution.status != JobStatus::Starting || placement.stopping.is_some() || is_cancelled;
        if is_over || is_led {
            let outcome = Outcome::without_process(None);
            return self.end_attempt(attempt, self.now, FAILED_TO_START.into(), outcome);
        }
        self.take_back_starts(job.id, attempt);
        if job.nodes.is_some() {
            return self.gang_refused(job.id);
        }
        self.release(placement, attempt);
        self.refund_consumables(job.held_consumables(attempt.job.member));
        self.execution_mut(attempt.job, |execution| execution.placement = None);
        self.transition(attempt.job, Transition::Retry, None);
    }

    /// Gives back what an attempt held; an environment that is being deleted may have waited for just that.
    pub(crate) fn release(&mut self, placement: &Placement, attempt: AttemptId) {
        self.state.release(placement, attempt);
        self.settle_if_deleting(&placement.compute_environment);
    }

    pub(crate) fn host_lost(&mut self, attempt: AttemptId, instance_id: &Text) {
        let outcome = Outcome::without_process(None);
        self.end_attempt(
            attempt,
            self.now,
            format!("Host EC2 (instance {instance_id}) terminated.").into(),
            outcome,
        );
    }

    /// The current attempt of a job is over: what it held is free again, and the job succeeds, retries or fails.
    fn end_attempt(
        &mut self,
        attempt: AttemptId,
        stopped_at: Timestamp,
        status_reason: Text,
        outcome: Outcome,
    ) {
        let Some((job, execution)) = self.current(attempt) else { return };
        let placement = execution.placement.as_deref().expect("a current attempt is placed");
        self.release(placement, attempt);
        if let (Some(started_at), Some(seconds)) = (execution.started_at, job.timeout_of(attempt.job.member))
        {
            self.state.clear_timer(started_at.plus_seconds(seconds), Timer::AttemptTimeout(attempt));
        }
        let stopped_at = stopped_at.clamp(execution.started_at.unwrap_or(execution.created_at), self.now);
        let (transition, reason) = verdict(&job, &execution, attempt, &status_reason, stopped_at, &outcome);
        let ended = Attempt {
            task_id: placement.task_id,
            compute_environment: placement.compute_environment.clone(),
            instance_id: placement.instance_id.clone(),
            started_at: execution.started_at,
            stopped_at,
            status_reason,
            outcome,
            address: placement.address,
        };
        if job.nodes.is_some() {
            return self.node_ended(attempt.job, ended, (transition, reason));
        }
        self.execution_mut(attempt.job, |execution| {
            execution.record(ended);
            execution.placement = None;
            if transition == Transition::Retry {
                execution.started_at = None;
            } else {
                execution.stopped_at = Some(stopped_at);
            }
        });
        self.transition(attempt.job, transition, reason);
    }

    /// The job and its moving part, when `attempt` is its current attempt: the fence against late reports.
    fn current(&self, attempt: AttemptId) -> Option<(Arc<Job>, Arc<Execution>)> {
        self.state
            .find(attempt.job)
            .filter(|(_, execution)| execution.current_attempt(attempt.job) == Some(attempt))
    }
}

/// What follows after an attempt ended. A stopped job fails with the reason it was stopped for, whatever its process said.
fn verdict(
    job: &Job,
    execution: &Execution,
    attempt: AttemptId,
    status_reason: &Text,
    stopped_at: Timestamp,
    outcome: &Outcome,
) -> (Transition, Option<Text>) {
    match execution.placement.as_ref().and_then(|placement| placement.stopping.as_ref()) {
        Some(StopCause::Terminated(reason)) => return (Transition::Fail, Some(reason.clone())),
        // It may have ended in time while the server was away to see it. Nodes end with the time of the main node.
        Some(StopCause::TimedOut) if ran_for(execution, stopped_at) >= job.timeout_of(attempt.job.member) => {
            return (Transition::Fail, Some(TIMED_OUT.into()));
        }
        Some(StopCause::TimedOut | StopCause::MainNodeEnded) | None => {}
    }
    if outcome.exit_code == Some(0) {
        return (Transition::Succeed, Some(status_reason.clone()));
    }
    let failure = Failure { status_reason, reason: outcome.reason.as_deref(), exit_code: outcome.exit_code };
    match retry::decide(job.retry.as_deref().unwrap_or(&Default::default()), attempt.number, failure) {
        // A job whose cancellation was accepted while it ran is not tried again.
        RetryAction::Retry if !execution.is_cancelled && !job.execution.is_cancelled => {
            (Transition::Retry, None)
        }
        RetryAction::Retry | RetryAction::Exit => (Transition::Fail, Some(status_reason.clone())),
    }
}

/// Whole seconds from the attempt's start to its end.
fn ran_for(execution: &Execution, stopped_at: Timestamp) -> Option<u32> {
    let millis = stopped_at.0.saturating_sub(execution.started_at?.0);
    Some(u32::try_from(millis / 1000).unwrap_or(u32::MAX))
}
