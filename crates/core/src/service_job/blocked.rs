//! Which service job blocks a queue, and what ends its wait.
//!
//! Source: AWS Batch User Guide, blocked service job queues; API reference, JobStateTimeLimitAction.

use uuid::Uuid;

use crate::service_job::{ServiceJob, ServiceJobStatus};
use crate::state::State;
use crate::turn::Turn;

impl State {
    /// The service job that blocks a queue, and the code of its reason, such as
    /// `CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY`: what comes before ` - ` in its `statusReason`. Of several the one that was
    /// submitted first; `None` when jobs of the queue wait for nothing but others to end.
    pub fn blocked_service_head(&self, queue: &str) -> Option<(Uuid, &str)> {
        let backlog = self.service_jobs.backlogs.get(queue)?;
        let heads = backlog.lanes.values().filter_map(|jobs| jobs.values().next());
        let first = backlog.unplaceable.values().next();
        let jobs = heads.chain(first).map(|id| &self.service_jobs.records[id]);
        let blocked = jobs.filter_map(|job| Some((job.sequence, job.id, job.blocked_by()?)));
        blocked.min().map(|(_, id, code)| (id, code))
    }
}

impl ServiceJob {
    /// The code of the reason why it does not start.
    fn blocked_by(&self) -> Option<&str> {
        let reason = self.status_reason.as_deref()?;
        reason.split_once(" - ").map(|(code, _)| code)
    }
}

impl Turn<'_> {
    /// The action TERMINATE of a job state time limit. Leaves alone what does not wait any more.
    pub fn terminate_service_job_for_time_limit(&mut self, id: Uuid, code: &str) {
        let job = self.state.service_job(id);
        if job.is_some_and(|job| job.status == ServiceJobStatus::Runnable) {
            let reason = format!("Terminated by JobStateTimeLimit action due to reason: {code}");
            self.terminate_service_job(id, &reason.into());
        }
    }
}
