//! Ending service jobs before their time: TerminateServiceJob, and the timeout of an attempt.
//!
//! | status | terminate |
//! |---|---|
//! | SUBMITTED, PENDING, RUNNABLE | FAILED with the caller's reason |
//! | SCHEDULED, STARTING, RUNNING | stopped; FAILED with the caller's reason when the process has ended |
//! | SUCCEEDED, FAILED | no effect |
//!
//! Source: AWS Batch API reference, TerminateServiceJob.

use uuid::Uuid;

use crate::attempt::Action;
use crate::id::AttemptId;
use crate::job::StopCause;
use crate::service_job::ServiceTransition;
use crate::text::Text;
use crate::turn::Turn;

impl Turn<'_> {
    /// TerminateServiceJob. Unknown and finished jobs are left alone.
    pub fn terminate_service_job(&mut self, id: Uuid, reason: &Text) {
        let Some(job) = self.state.service_job(id).filter(|job| !job.status.is_terminal()) else { return };
        let attempt = job.current_attempt();
        self.service_job_mut(id).is_terminated = true;
        match attempt {
            Some(attempt) => self.stop_service_attempt(attempt, StopCause::Terminated(reason.clone())),
            None => self.service_transition(id, ServiceTransition::Fail, Some(reason.clone())),
        }
    }

    pub(crate) fn service_job_timed_out(&mut self, attempt: AttemptId) {
        self.stop_service_attempt(attempt, StopCause::TimedOut);
    }

    /// Asks the backend to stop an attempt, if it is the current one. The first cause stays.
    fn stop_service_attempt(&mut self, attempt: AttemptId, cause: StopCause) {
        let Some(job) = self.state.service_jobs.current(attempt) else { return };
        if let Some(placement) = &mut self.service_job_mut(job.id).placement
            && placement.stopping.is_none()
        {
            placement.stopping = Some(cause);
            self.act(Action::Stop(attempt));
        }
    }
}
