//! Which RUNNABLE service jobs start now.
//!
//! Queues are visited by priority, equal ones by age of their first job. Within a queue the lane goes first whose held
//! instances times its weight are the fewest, equal ones by age. The first job that does not fit now holds back those
//! behind it. A pass costs O(queues + placements · lanes). Queues with quota shares: see `quota`.
//!
//! Source: AWS Batch User Guide, service jobs; fair-share scheduling policies; quota management.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::resource::scheduling_policy::PolicyKind;
use crate::schedule::usage;
use crate::service_job::capacity::Instances;
use crate::service_job::fit::{self, Fit, Place};
use crate::service_job::index::ServiceBacklog;
use crate::service_job::{ServiceJob, ServicePlacement, ServiceTransition};
use crate::state::State;
use crate::text::Text;
use crate::turn::Turn;

impl ServiceBacklog {
    /// Instances that the jobs of a lane hold.
    pub(crate) fn held(&self, lane: &str) -> u64 {
        self.in_use.get(lane).map_or(0, Instances::total)
    }

    /// The first job of the lane that goes next.
    pub(crate) fn head(&self, weights: &BTreeMap<Text, u32>) -> Option<Uuid> {
        let heads = weights.iter().filter_map(|(lane, &weight)| {
            let (&(_, sequence), &job) = self.lanes.get(lane)?.first_key_value()?;
            Some((usage(self.held(lane), weight), sequence, job))
        });
        heads.min().map(|(_, _, job)| job)
    }
}

impl State {
    /// The lanes of a queue that have something RUNNABLE, with their weights; all weigh the same but in a fair-share queue.
    pub(crate) fn lane_weights(&self, queue: &Arn) -> BTreeMap<Text, u32> {
        let lanes =
            self.service_jobs.backlogs.get(queue).into_iter().flat_map(|backlog| backlog.lanes.keys());
        lanes.map(|lane| (lane.clone(), self.weight(queue, lane))).collect()
    }
}

impl Turn<'_> {
    /// Places what can be placed.
    pub(crate) fn schedule_service_jobs(&mut self) {
        for queue in self.service_queues() {
            match self.state.policy_kind(&queue) {
                PolicyKind::QuotaShare => self.schedule_quota_shares(&queue),
                PolicyKind::Fifo | PolicyKind::FairShare => self.schedule_lanes(&queue),
            }
        }
    }

    fn schedule_lanes(&mut self, queue: &Arn) {
        let weights = self.state.lane_weights(queue);
        while let Some(job) = self.service_head(queue, &weights) {
            let job = Arc::clone(&self.state.service_jobs.records[&job]);
            match fit::place(self.state, &job) {
                Fit::Now(place) => self.put_service_job(job.id, place),
                Fit::Never(reason) => self.set_service_job_aside(&job, reason),
                Fit::Later => return self.diagnose(&job, None),
                Fit::NoMachine => return self.diagnose(&job, Some(fit::NO_CAPACITY)),
            }
        }
    }

    /// Queues with something RUNNABLE, in the order in which they are visited.
    fn service_queues(&self) -> Vec<Arn> {
        let mut queues: Vec<_> = self
            .state
            .service_jobs
            .backlogs
            .iter()
            .filter_map(|(arn, backlog)| {
                let (_, oldest) = backlog.lanes.values().filter_map(|jobs| jobs.keys().next()).min()?;
                Some((Reverse(self.state.job_queues.get(arn)?.priority), *oldest, arn))
            })
            .collect();
        queues.sort_unstable();
        queues.into_iter().map(|(_, _, arn)| arn.clone()).collect()
    }

    fn service_head(&self, queue: &Arn, weights: &BTreeMap<Text, u32>) -> Option<Uuid> {
        self.state.service_jobs.backlogs.get(queue)?.head(weights)
    }

    pub(super) fn put_service_job(&mut self, id: Uuid, place: Place) {
        let (now, task_id) = (self.now, self.fresh.task_id());
        let Place { environment, instance_id } = place;
        let placement =
            ServicePlacement { environment, instance_id, task_id, stopping: None, preemption: None };
        self.service_transition(id, ServiceTransition::Schedule, None);
        let job = self.service_job_mut(id);
        job.scheduled_at = Some(now);
        job.preempts_since = None;
        job.placement = Some(Box::new(placement.clone()));
        let attempt = job.current_attempt().expect("it has just been placed");
        let job = Arc::clone(&self.state.service_jobs.records[&id]);
        self.state.occupy_service(&job, &placement, attempt);
        self.start_service_job(attempt);
    }

    /// A job that can never fit says so and lets those behind it pass.
    pub(super) fn set_service_job_aside(&mut self, job: &ServiceJob, reason: &'static str) {
        self.state.service_jobs.set_aside(job);
        self.diagnose(job, Some(reason));
    }

    /// Says why a job at the head of its queue or share does not start; `None` when it only waits for others to end.
    pub(super) fn diagnose(&mut self, job: &ServiceJob, reason: Option<&str>) {
        if job.status_reason.as_deref() != reason {
            self.service_job_mut(job.id).status_reason = reason.map(Text::from);
        }
    }

    /// The limits changed: what could never fit may fit now.
    pub(crate) fn reconsider_service_jobs(&mut self) {
        let backlogs = self.state.service_jobs.backlogs.values_mut();
        let again: Vec<Uuid> =
            backlogs.flat_map(|backlog| std::mem::take(&mut backlog.unplaceable).into_values()).collect();
        for id in again {
            self.service_job_mut(id).status_reason = None;
            let job = Arc::clone(&self.state.service_jobs.records[&id]);
            self.state.service_jobs.enqueue(&job);
        }
    }
}
