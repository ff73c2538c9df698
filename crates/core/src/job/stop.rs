//! Ending jobs before their time: CancelJob, TerminateJob, and the timeout of an attempt.
//!
//! | status | cancel | terminate |
//! |---|---|---|
//! | SUBMITTED, PENDING, RUNNABLE | FAILED with the caller's reason | the same |
//! | STARTING, RUNNING | noted, no effect | stopped; FAILED with the caller's reason when the process has ended |
//! | SUCCEEDED, FAILED | no effect | no effect |
//!
//! On an array parent both act on every child, on the parent of nodes on every node; a node alone cannot be stopped. Stopped
//! jobs are never retried.
//!
//! Source: AWS Batch API reference, CancelJob and TerminateJob; User Guide, job timeouts.

use crate::attempt::Action;
use crate::id::{AttemptId, JobId, Member};
use crate::job::{Fate, JobStatus, StopCause};
use crate::text::Text;
use crate::turn::Turn;

/// Status reason of an attempt that ran too long.
pub const TIMED_OUT: &str = "Job attempt duration exceeded timeout";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cancel,
    Terminate,
}

impl Turn<'_> {
    /// CancelJob. Unknown and finished jobs are left alone.
    pub fn cancel_job(&mut self, id: JobId, reason: &Text) {
        self.stop_job(id, Kind::Cancel, reason);
    }

    /// TerminateJob. Unknown and finished jobs are left alone.
    pub fn terminate_job(&mut self, id: JobId, reason: &Text) {
        self.stop_job(id, Kind::Terminate, reason);
    }

    fn stop_job(&mut self, id: JobId, kind: Kind, reason: &Text) {
        if matches!(id.member, Member::Node(_)) {
            return;
        }
        let is_parent = id.member == Member::Whole && self.state.array(id.job).is_some();
        match self.state.status_of(id) {
            None | Some(JobStatus::Succeeded | JobStatus::Failed) => return,
            Some(_) if is_parent => return self.stop_array(id, kind, reason),
            Some(JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable) => {
                self.flag(id, kind);
                self.fail(id, reason.clone());
            }
            Some(JobStatus::Starting | JobStatus::Running) if self.state.gangs.contains_key(&id.job) => {
                self.flag(id, kind);
                if !self.stop_between_attempts(id.job, reason) && kind == Kind::Terminate {
                    self.stop_nodes(id.job, &StopCause::Terminated(reason.clone()));
                }
            }
            Some(JobStatus::Starting | JobStatus::Running) => {
                self.flag(id, kind);
                if kind == Kind::Terminate {
                    self.stop_attempt(id, StopCause::Terminated(reason.clone()));
                }
            }
        }
        self.settle_dependents();
    }

    fn stop_array(&mut self, id: JobId, kind: Kind, reason: &Text) {
        self.flag(id, kind);
        let array = self.state.array(id.job).expect("checked by the caller");
        let started: Vec<u32> =
            array.children.iter().filter(|(_, child)| !child.status.is_terminal()).map(|(&i, _)| i).collect();
        let fate = Fate {
            status_reason: reason.clone(),
            at: self.now,
            is_cancelled: kind == Kind::Cancel,
            is_terminated: kind == Kind::Terminate,
        };
        self.fail_unstarted(id.job, fate);
        for index in started {
            self.stop_job(JobId::child(id.job, index), kind, reason);
        }
        self.settle_dependents();
    }

    fn flag(&mut self, id: JobId, kind: Kind) {
        self.execution_mut(id, |execution| match kind {
            Kind::Cancel => execution.is_cancelled = true,
            Kind::Terminate => execution.is_terminated = true,
        });
    }

    pub(crate) fn attempt_timed_out(&mut self, attempt: AttemptId) {
        let current =
            self.state.find(attempt.job).and_then(|(_, execution)| execution.current_attempt(attempt.job));
        if current != Some(attempt) {
            return;
        }
        if matches!(attempt.job.member, Member::Node(_)) {
            self.stop_nodes(attempt.job.job, &StopCause::TimedOut);
        } else {
            self.stop_attempt(attempt.job, StopCause::TimedOut);
        }
    }

    /// Asks the backend to stop the current attempt. The first cause stays.
    pub(crate) fn stop_attempt(&mut self, id: JobId, cause: StopCause) {
        let attempt = self.execution_mut(id, |execution| {
            let attempt = execution.current_attempt(id)?;
            let placement = execution.placement.as_mut()?;
            if placement.stopping.is_some() {
                return None;
            }
            placement.stopping = Some(cause);
            Some(attempt)
        });
        if let Some(attempt) = attempt {
            self.act(Action::Stop(attempt));
        }
    }
}
