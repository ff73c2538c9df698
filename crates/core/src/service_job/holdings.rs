//! What the quota shares of a queue hold, in fact or in a plan, and what they may take beside it.
//!
//! Shares lend what they do not use when they say so; those that borrow may go beyond their own limits by as much as their
//! `borrowLimit` allows and the others together have left to lend.
//!
//! Source: AWS Batch User Guide, quota management.

use std::collections::BTreeMap;

use crate::arn::Arn;
use crate::resource::Status;
use crate::resource::quota_share::{QuotaShare, Sharing};
use crate::service_job::capacity::Instances;
use crate::service_job::{ServiceJob, fit};
use crate::state::State;
use crate::text::Text;

/// Instances by quota share.
#[derive(Clone)]
pub(super) struct Holdings {
    by_share: BTreeMap<Text, Instances>,
    /// Of the whole service environment.
    total: Instances,
    /// ARN of that.
    environment: Option<Arn>,
}

impl Holdings {
    /// What is held now.
    pub(super) fn now(state: &State, queue: &Arn) -> Holdings {
        let held = state.service_jobs.backlogs.get(queue).map(|backlog| backlog.in_use.clone());
        let environment = fit::environment(state, queue);
        Holdings {
            by_share: held.unwrap_or_default(),
            total: environment.map(|it| state.service_jobs.held_in(&it.arn)).unwrap_or_default(),
            environment: environment.map(|it| it.arn.clone()),
        }
    }

    /// What will be held once everything that is being stopped has ended.
    pub(super) fn soon(state: &State, queue: &Arn) -> Holdings {
        let mut holdings = Holdings::now(state, queue);
        let stopping = state.service_jobs.placed(queue).filter(|job| job.is_stopping());
        stopping.for_each(|job| holdings.remove(job));
        holdings
    }

    /// A job takes what it needs.
    pub(super) fn add(&mut self, job: &ServiceJob) {
        self.by_share.entry(job.lane()).or_default().add(&job.training.instances);
        self.total.add(&job.training.instances);
    }

    /// A job gives back what it holds.
    pub(super) fn remove(&mut self, job: &ServiceJob) {
        self.by_share.entry(job.lane()).or_default().remove(&job.training.instances);
        // What it holds may be of an environment that the queue had before.
        if job.placement.as_ref().map(|placement| &placement.environment) == self.environment.as_ref() {
            self.total.remove(&job.training.instances);
        }
    }

    /// Instances of all types that a share holds.
    pub(super) fn held(&self, share: &str) -> u64 {
        self.by_share.get(share).map_or(0, Instances::total)
    }

    fn in_unit(&self, share: &QuotaShare, unit: &str) -> u64 {
        self.by_share.get(share.name()).map_or(0, |held| held.in_unit(unit))
    }

    /// Whether a job may start beside this.
    pub(super) fn have_room(&self, state: &State, job: &ServiceJob) -> bool {
        let need = &job.training.instances;
        let environment = fit::environment(state, &job.queue);
        environment.is_some_and(|environment| self.total.leave_room(&environment.limits, need))
            && share_of(state, job).is_some_and(|share| {
                let takes_jobs = share.enabled && share.status == Status::Valid;
                takes_jobs && need.types().all(|unit| self.share_has_room(state, share, unit, need))
            })
    }

    fn share_has_room(&self, state: &State, share: &QuotaShare, unit: &str, need: &Instances) -> bool {
        let after = |of: &QuotaShare| {
            self.in_unit(of, unit) + if of.arn == share.arn { need.in_unit(unit) } else { 0 }
        };
        if after(share) > share.limit(unit).saturating_add(share.borrow_allowance(unit).unwrap_or(0)) {
            return false;
        }
        if share.sharing == Sharing::Reserve {
            return true; // its capacity is lent to nobody, and it borrows none
        }
        let shares = || state.quota_shares_of(&share.queue);
        let borrowed = shares().map(|of| after(of).saturating_sub(of.limit(unit)));
        let idle = shares().filter(|of| of.lends()).map(|of| of.limit(unit).saturating_sub(after(of)));
        borrowed.sum::<u64>() <= idle.sum()
    }

    /// Whether a job needs nothing but what its share has of its own.
    pub(super) fn leave_own(&self, state: &State, job: &ServiceJob) -> bool {
        let need = &job.training.instances;
        share_of(state, job).is_some_and(|share| {
            need.types().all(|unit| self.in_unit(share, unit) + need.in_unit(unit) <= share.limit(unit))
        })
    }

    /// Whether the share of `holder` has more than its own limits of something that both jobs ask for.
    pub(super) fn exceed_limits(&self, state: &State, holder: &ServiceJob, job: &ServiceJob) -> bool {
        share_of(state, holder).is_some_and(|share| {
            holder.training.instances.types().any(|unit| {
                job.training.instances.in_unit(unit) > 0 && self.in_unit(share, unit) > share.limit(unit)
            })
        })
    }
}

impl State {
    /// Whether the quota share of a job may take it beside what the shares of its queue hold now.
    pub(crate) fn quota_share_has_room(&self, job: &ServiceJob) -> bool {
        let (now, need) = (Holdings::now(self, &job.queue), &job.training.instances);
        share_of(self, job)
            .is_some_and(|share| need.types().all(|unit| now.share_has_room(self, share, unit, need)))
    }
}

/// The quota share that a job draws on.
pub(super) fn share_of<'s>(state: &'s State, job: &ServiceJob) -> Option<&'s QuotaShare> {
    state.quota_shares.get(&job.quota_share_arn()?).map(AsRef::as_ref)
}
