//! Which RUNNABLE service jobs start now.
//!
//! Queues are visited by priority, equal ones by age of their first job. Within a queue the lane that holds the fewest
//! instances goes first, equal ones by age; the first job of a lane that does not fit now holds back those behind it, but
//! not other lanes. A pass costs O(queues + placements · lanes).
//!
//! Source: AWS Batch User Guide, service jobs; quota management.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::service_job::fit::{self, Fit};
use crate::service_job::index::ServiceBacklog;
use crate::service_job::{ServicePlacement, ServiceTransition};
use crate::text::Text;
use crate::turn::Turn;

impl ServiceBacklog {
    /// Lanes with something RUNNABLE in the order in which they are served, each with its first job.
    pub(crate) fn heads(&self) -> Vec<(Text, Uuid)> {
        let held = |lane: &Text| self.in_use.get(lane).map_or(0, |instances| instances.total());
        let head = |(lane, jobs): (&Text, &std::collections::BTreeMap<_, Uuid>)| {
            let (&(_, sequence), &job) = jobs.first_key_value()?;
            Some((held(lane), sequence, lane.clone(), job))
        };
        let mut heads: Vec<_> = self.lanes.iter().filter_map(head).collect();
        heads.sort_unstable();
        heads.into_iter().map(|(_, _, lane, job)| (lane, job)).collect()
    }
}

impl Turn<'_> {
    /// Places what can be placed.
    pub(crate) fn schedule_service_jobs(&mut self) {
        for queue in self.service_queues() {
            let mut held_back = BTreeSet::new();
            while let Some((lane, job)) = self.service_head(&queue, &held_back) {
                let job = Arc::clone(&self.state.service_jobs.records[&job]);
                match fit::place(self.state, &job) {
                    Fit::Now { environment, instance_id } => {
                        let task_id = self.fresh.task_id();
                        self.put_service_job(
                            job.id,
                            ServicePlacement { environment, instance_id, task_id, stopping: None },
                        );
                    }
                    Fit::Later => {
                        held_back.insert(lane);
                    }
                    Fit::Never(reason) => {
                        self.state.service_jobs.set_aside(&job);
                        self.service_job_mut(job.id).status_reason = Some(reason.into());
                    }
                }
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

    fn service_head(&self, queue: &Arn, held_back: &BTreeSet<Text>) -> Option<(Text, Uuid)> {
        let heads = self.state.service_jobs.backlogs.get(queue)?.heads();
        heads.into_iter().find(|(lane, _)| !held_back.contains(lane))
    }

    fn put_service_job(&mut self, id: Uuid, placement: ServicePlacement) {
        let now = self.now;
        self.service_transition(id, ServiceTransition::Schedule, None);
        let job = self.service_job_mut(id);
        job.scheduled_at = Some(now);
        job.placement = Some(Box::new(placement.clone()));
        let attempt = job.current_attempt().expect("it has just been placed");
        let job = Arc::clone(&self.state.service_jobs.records[&id]);
        self.state.occupy_service(&job, &placement, attempt);
        self.start_service_job(attempt);
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
