//! The scheduling pass: which RUNNABLE jobs start now, and where.
//!
//! Queues are visited by priority ([`order`]); within a queue jobs start in order of submission or by share ([`share`]), and
//! the first that does not fit now, or lacks a consumable resource, holds back those behind it, while lower queues may
//! still start theirs. Environments are tried in the queue's order ([`fit`]). What is decided becomes an attempt in
//! [`launch`].
//!
//! A pass costs O(queues + placements · log); it does not look at jobs behind a head that has to wait.
//!
//! Source: AWS Batch User Guide, job queue scheduling and compute environment order.

mod fit;
mod launch;
mod order;
mod share;

use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::id::{JobId, Member};
use crate::job::{Placement, Transition};
use crate::schedule::fit::Fit;
use crate::turn::Turn;

pub use launch::{DEFAULT_LOG_GROUP, log_group, log_stream, task_arn};
pub use share::ShareUsage;
pub(crate) use share::{Share, check_share, usage};

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
                    Fit::Now { compute_environment, instance_ids } if self.has_consumables(job) => {
                        let placements = instance_ids.into_iter().map(|instance_id| Placement {
                            compute_environment: compute_environment.clone(),
                            instance_id,
                            task_id: self.fresh.task_id(),
                            stopping: None,
                            address: None,
                        });
                        let placements = placements.collect();
                        self.put(job, placements);
                    }
                    Fit::Now { .. } | Fit::Later => break,
                    Fit::Never(reason) => self.set_aside(&queue, sequence, job, reason),
                }
            }
        }
        self.schedule_service_jobs();
        self.state.schedule_due = false; // placing marks it, but this pass has just looked
    }

    fn head(&self, queue: &Arn) -> Option<(u64, Uuid)> {
        self.state.backlogs.get(queue)?.head()
    }

    fn has_consumables(&self, job: Uuid) -> bool {
        self.state.consumables_available(self.state.jobs[&job].held_consumables(Member::Whole))
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

    /// Places a job, its next child, or all its nodes.
    fn put(&mut self, job: Uuid, mut placements: Vec<Placement>) {
        if self.state.gangs.contains_key(&job) {
            self.give_addresses(&mut placements);
            return self.place_gang(job, placements);
        }
        let (id, placement) = (self.next_of(job), placements.swap_remove(0));
        self.transition(id, Transition::Place, None);
        self.settle_in(id, placement);
        if self.state.jobs[&id.job].execution.status_reason.is_some() {
            // An array that had been set aside before a restart of the server.
            self.job_mut(id.job).execution.status_reason = None;
        }
        self.start(id);
    }

    /// Gives a job, child or node its place.
    pub(crate) fn settle_in(&mut self, id: JobId, placement: Placement) {
        let attempt = self.execution_mut(id, |execution| {
            execution.placement = Some(Box::new(placement.clone()));
            execution.current_attempt(id).expect("it has just been placed")
        });
        self.state.reserve(&placement, attempt);
        let job = Arc::clone(&self.state.jobs[&id.job]);
        self.spend_consumables(job.held_consumables(id.member));
    }

    /// Gives each node an address of its own on this machine's loopback network, where all of 127.0.0.0/8 is at home. One
    /// that was given back is not used again soon: somebody may still know it.
    fn give_addresses(&mut self, placements: &mut [Placement]) {
        const FIRST: u32 = 0x7f40_0001; // 127.64.0.1: far from what other software binds
        const LAST: u32 = 0x7fff_fffe;
        for placement in placements {
            loop {
                let next = self.state.next_address.clamp(FIRST, LAST);
                self.state.next_address = if next == LAST { FIRST } else { next + 1 };
                let address = next.into();
                if !self.state.addresses.contains(&address) {
                    placement.address = Some(address);
                    break;
                }
            }
        }
    }

    /// A job that can never fit says so, and lets those behind it pass.
    fn set_aside(&mut self, queue: &Arn, sequence: u64, job: Uuid, reason: &str) {
        self.job_mut(job).execution.status_reason = Some(reason.into());
        let (record, now) = (Arc::clone(&self.state.jobs[&job]), self.now);
        let backlog = self.state.backlogs.entry(queue.clone()).or_default();
        backlog.remove(&record, now);
        backlog.unplaceable.insert(sequence, job);
    }

    fn reconsider_unplaceable(&mut self) {
        let backlogs = self.state.backlogs.values_mut();
        let again: Vec<Uuid> =
            backlogs.flat_map(|backlog| std::mem::take(&mut backlog.unplaceable).into_values()).collect();
        for job in again {
            self.job_mut(job).execution.status_reason = None;
            self.state.enqueue(job);
        }
    }
}
