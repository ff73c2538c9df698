//! What is in use and what waits, for people who watch: from indexes only, whatever the number of jobs.

use std::sync::Arc;

use crate::explain::{ShareUse, share_use};
use crate::id::{AttemptId, JobId};
use crate::instance::Instance;
use crate::quantity::Resources;
use crate::schedule::Backlog;
use crate::service_job::ServiceJob;
use crate::service_job::capacity::Instances;
use crate::state::State;

/// An instance, and how much of it is taken.
#[derive(Clone, Debug)]
pub struct InstanceUse {
    /// What is kept of it.
    pub record: Arc<Instance>,
    /// Attempts can be placed on it.
    pub connected: bool,
    /// What attempts have of it.
    pub used: Resources,
    /// Attempts that are starting or running on it.
    pub attempts: usize,
}

impl State {
    /// All instances, by id.
    pub fn instance_uses(&self) -> impl Iterator<Item = InstanceUse> {
        self.instances.values().map(|instance| InstanceUse {
            record: Arc::clone(&instance.record),
            connected: instance.connected,
            used: instance.used,
            attempts: instance.attempts.len(),
        })
    }

    /// Attempts that are starting or running, instance by instance; those of service jobs too.
    pub fn attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.instances.values().flat_map(|instance| instance.attempts.iter().copied())
    }

    /// What attempts have in a compute environment.
    pub fn environment_usage(&self, environment: &str) -> Resources {
        self.in_use.get(environment).copied().unwrap_or_default()
    }

    /// Instances that service jobs hold in a service environment.
    pub fn service_environment_usage(&self, environment: &str) -> Instances {
        self.service_jobs.in_use.get(environment).cloned().unwrap_or_default()
    }

    /// The active shares of a fair-share queue by identifier, with what each uses and weighs; none of a FIFO queue.
    pub fn shares_of(&self, queue: &str) -> Vec<ShareUse> {
        let Some((queue, backlog)) = self.backlogs.get_key_value(queue) else { return Vec::new() };
        let shares = backlog.shares().keys().filter(|identifier| !identifier.is_empty());
        shares.map(|identifier| share_use(self, queue, identifier)).collect()
    }

    /// The first RUNNABLE jobs of a queue: those that go next, then those that can never fit.
    pub fn waiting_in(&self, queue: &str, limit: usize) -> Vec<JobId> {
        let front = self.front_of_queue(queue, limit).into_iter().map(|(id, _)| id);
        let stuck = self.backlogs.get(queue).into_iter().flat_map(Backlog::stuck);
        front.chain(stuck.map(JobId::whole)).take(limit).collect()
    }

    /// The first RUNNABLE service jobs of a queue, share by share.
    pub fn service_jobs_waiting_in(&self, queue: &str, limit: usize) -> Vec<Arc<ServiceJob>> {
        let Some(backlog) = self.service_jobs.backlogs.get(queue) else { return Vec::new() };
        let in_lanes = backlog.lanes.values().flat_map(|lane| lane.values());
        let ids = in_lanes.chain(backlog.unplaceable.values()).take(limit);
        ids.filter_map(|id| self.service_job(*id).cloned()).collect()
    }

    /// RUNNABLE service jobs of a queue, and those that hold capacity.
    pub fn service_queue_counts(&self, queue: &str) -> (usize, usize) {
        let Some(backlog) = self.service_jobs.backlogs.get(queue) else { return (0, 0) };
        let in_lanes: usize = backlog.lanes.values().map(|lane| lane.len()).sum();
        let runnable = in_lanes + backlog.unplaceable.len();
        (runnable, self.service_jobs.live(queue).saturating_sub(runnable))
    }
}
