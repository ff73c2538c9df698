//! The scheduling pass: which RUNNABLE jobs start now, and where.
//!
//! Queues are visited by priority ([`order`]); within a queue jobs start in order of submission, and the first that does
//! not fit now holds back those behind it, while lower queues may still start theirs. Environments are tried in the
//! queue's order ([`fit`]). What is decided becomes an attempt in [`launch`].
//!
//! A pass costs O(queues + placements · log); it does not look at jobs behind a head that has to wait.
//!
//! Source: AWS Batch User Guide, job queue scheduling and compute environment order.

mod fit;
mod launch;
mod order;

use uuid::Uuid;

use crate::arn::Arn;
use crate::id::JobId;
use crate::job::{Placement, Transition};
use crate::schedule::fit::Fit;
use crate::turn::Turn;

pub use launch::{DEFAULT_LOG_GROUP, log_group, log_stream, task_arn};

impl Turn<'_> {
    /// Places what can be placed.
    pub(crate) fn schedule(&mut self) {
        if !std::mem::take(&mut self.state.schedule_due) {
            return;
        }
        if std::mem::take(&mut self.state.capacity_changed) {
            self.reconsider_unplaceable();
            self.reconsider_service_jobs();
        }
        for queue in order::by_priority(self.state) {
            while let Some((sequence, job)) = self.head(&queue) {
                match fit::place(self.state, &queue, job) {
                    Fit::Now { compute_environment, instance_id } => {
                        let id = self.next_of(job);
                        let task_id = self.fresh.task_id();
                        let placement =
                            Placement { compute_environment, instance_id, task_id, stopping: None };
                        self.put(id, placement);
                    }
                    Fit::Later => break,
                    Fit::Never(reason) => self.set_aside(&queue, sequence, job, reason),
                }
            }
        }
        self.schedule_service_jobs();
        self.state.schedule_due = false; // placing marks it, but this pass has just looked
    }

    fn head(&self, queue: &Arn) -> Option<(u64, Uuid)> {
        self.state.backlogs.get(queue)?.runnable.first_key_value().map(|(&sequence, &job)| (sequence, job))
    }

    /// The job itself, or the next RUNNABLE child of an array.
    fn next_of(&self, job: Uuid) -> JobId {
        match self.state.array(job) {
            Some(array) => {
                JobId::child(job, array.next_runnable().expect("a job in the backlog has something RUNNABLE"))
            }
            None => JobId::whole(job),
        }
    }

    fn put(&mut self, id: JobId, placement: Placement) {
        let resources = self.state.jobs[&id.job].resources;
        let (environment, instance) = (placement.compute_environment.clone(), placement.instance_id.clone());
        self.transition(id, Transition::Place, None);
        let attempt = self.execution_mut(id, |execution| {
            execution.placement = Some(Box::new(placement));
            execution.current_attempt(id).expect("it has just been placed")
        });
        self.state.reserve(&environment, &instance, &resources, attempt);
        if self.state.jobs[&id.job].execution.status_reason.is_some() {
            // An array that had been set aside before a restart of the server.
            self.job_mut(id.job).execution.status_reason = None;
        }
        self.start(id);
    }

    /// A job that can never fit says so, and lets those behind it pass.
    fn set_aside(&mut self, queue: &Arn, sequence: u64, job: Uuid, reason: &str) {
        let backlog = self.state.backlogs.entry(queue.clone()).or_default();
        backlog.runnable.remove(&sequence);
        backlog.unplaceable.insert(sequence, job);
        self.job_mut(job).execution.status_reason = Some(reason.into());
    }

    fn reconsider_unplaceable(&mut self) {
        let mut again = Vec::new();
        for backlog in self.state.backlogs.values_mut() {
            again.extend(backlog.unplaceable.values().copied());
            let jobs = std::mem::take(&mut backlog.unplaceable);
            backlog.runnable.extend(jobs);
        }
        for job in again {
            self.job_mut(job).execution.status_reason = None;
        }
    }
}
