//! Scheduling: which RUNNABLE jobs start now, and where.
//!
//! | question | file |
//! |---|---|
//! | which job gets room next | [`pass`](self): `pass` |
//! | what of a job decides where it fits | `shape` |
//! | what waits in a queue, in which order | `backlog`, `lane` |
//! | whose turn it is among shares | `share` |
//! | which environments may take it, and whether any ever could | `fit` |
//! | what each instance has left | `room` |
//! | who may go past a job that has to wait | `backfill` |
//! | which job is given up because it was stuck for too long | `time_limit` |
//! | what the backend is told | `launch` |
//!
//! A pass ([`State::assign`]) only gives out room. What it gave becomes attempts here.
//!
//! Source: AWS Batch User Guide, job queue scheduling and compute environment order.

mod backfill;
mod backlog;
mod fit;
mod lane;
mod launch;
mod pass;
mod room;
mod shape;
mod share;
mod time_limit;

use std::sync::Arc;

use uuid::Uuid;

use crate::id::JobId;
use crate::job::{Placement, Transition};
use crate::turn::Turn;

pub use backlog::{Backlog, ShareUsage};
pub use launch::{DEFAULT_LOG_GROUP, log_group, log_stream, task_arn};
pub use pass::Assignment;
pub(crate) use room::Instances;
pub(crate) use shape::{Shape, Shapes};
pub use share::Past;
pub(crate) use share::{check_share, usage};
pub(crate) use time_limit::Stuck;

impl Turn<'_> {
    /// Places what can be placed.
    pub(crate) fn schedule(&mut self) {
        if !std::mem::take(&mut self.state.schedule_due) {
            return;
        }
        loop {
            if self.state.capacity_changed {
                self.reconsider_service_jobs();
            }
            while self.assign() {}
            self.schedule_service_jobs();
            self.scale();
            if !self.give_up_stuck_jobs() {
                break;
            }
        }
        self.state.schedule_due = false; // placing marks it, but this pass has just looked
    }

    /// Starts what gets room; whether to look again: a claim may build on the ends of what has just got its place, so that more
    /// can pass than was known.
    fn assign(&mut self) -> bool {
        // Whoever was held back may now wait for room: there are more of a consumable resource, or less is reserved.
        self.state.demand_due |= self.state.backlogs.values().any(|backlog| backlog.held_back);
        let assignments = self.state.assign(self.now);
        let again =
            !assignments.is_empty() && self.state.backlogs.values().any(|backlog| !backlog.denied.is_empty());
        for Assignment { job, compute_environment, instance_ids } in assignments {
            self.state.share_changed(job);
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
        again
    }

    /// The job itself, or the next RUNNABLE child of an array.
    fn next_of(&self, job: Uuid) -> JobId {
        match self.state.array(job) {
            Some(array) => JobId::child(job, array.next_runnable().expect("what got room is RUNNABLE")),
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
        self.start(id);
    }

    /// Gives a job, child or node its place, whose room has been booked.
    pub(crate) fn settle_in(&mut self, id: JobId, placement: Placement) {
        let attempt = self.execution_mut(id, |execution| {
            execution.placement = Some(Box::new(placement.clone()));
            execution.current_attempt(id).expect("it has just been placed")
        });
        self.state.attach(&placement, attempt);
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
}
