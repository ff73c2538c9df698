//! Whether a service job can start: what its environment has left, and what its quota share may take.
//!
//! Shares lend what they do not use when they say so; those that borrow may go beyond their own limits by as much as their
//! `borrowLimit` allows and the others together have left to lend. What is lent comes back when the borrower has ended.
//!
//! Source: AWS Batch User Guide, quota management; service job queues that are blocked.

use std::sync::Arc;

use crate::arn::Arn;
use crate::resource::Status;
use crate::resource::quota_share::{QuotaShare, Sharing};
use crate::service_job::ServiceJob;
use crate::service_job::capacity::Instances;
use crate::state::State;
use crate::text::Text;

/// Larger than the environment. Text: AWS Batch User Guide, blocked service job queues.
const ENVIRONMENT_TOO_SMALL: &str = "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE - Service environment(s) associated with the job queue cannot meet the capacity requirement of the job.";
/// Larger than a share that does not borrow. Text: as above.
const SHARE_TOO_SMALL: &str =
    "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requirements exceed quota share capacity limits.";
/// Larger than a share and what it may borrow. Text: as above.
const BORROW_LIMIT_TOO_LOW: &str = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requirements exceed quota share capacity limits and borrow limits.";
/// Larger than what the others could lend. Text: as above.
const TOO_LITTLE_TO_BORROW: &str = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requires borrowing that exceeds all configured borrowable capacity.";

/// What can be done with a service job now.
pub(crate) enum Fit {
    /// It starts here.
    Now { environment: Arn, instance_id: Text },
    /// It could start when something ends or comes back.
    Later,
    /// The limits do not allow it at all.
    Never(&'static str),
}

/// Finds capacity for one attempt of `job`.
pub(crate) fn place(state: &State, job: &ServiceJob) -> Fit {
    let need = &job.training.instances;
    let queue = state.job_queues.get(&job.queue);
    let environment =
        queue.and_then(|queue| state.service_environments.get(queue.service_environment.as_ref()?));
    let Some(environment) = environment else { return Fit::Later };
    if !Instances::default().leave_room(&environment.limits, need) {
        return Fit::Never(ENVIRONMENT_TOO_SMALL);
    }
    if let Some(arn) = job.quota_share_arn() {
        let Some(share) = state.quota_shares.get(&arn) else { return Fit::Later };
        if let Some(reason) = never(state, share, need) {
            return Fit::Never(reason);
        }
        if !share.enabled || share.status != Status::Valid || !has_room(state, share, need) {
            return Fit::Later;
        }
    }
    let used = state.service_jobs.in_use.get(&environment.arn).cloned().unwrap_or_default();
    let open = environment.enabled && environment.status == Status::Valid;
    let machine = state.instances.values().find(|instance| instance.connected);
    match machine {
        Some(machine) if open && used.leave_room(&environment.limits, need) => {
            Fit::Now { environment: environment.arn.clone(), instance_id: machine.record.instance_id.clone() }
        }
        Some(_) | None => Fit::Later,
    }
}

/// Why the shares of the queue could never hold `need`, even with nothing else there.
fn never(state: &State, share: &QuotaShare, need: &Instances) -> Option<&'static str> {
    for unit in need.types() {
        let (wanted, own) = (need.in_unit(unit), share.limit(unit));
        let Some(borrowed) = wanted.checked_sub(own).filter(|&beyond| beyond > 0) else { continue };
        match share.borrow_allowance(unit) {
            None => return Some(SHARE_TOO_SMALL),
            Some(allowance) if borrowed > allowance => return Some(BORROW_LIMIT_TOO_LOW),
            Some(_) => {
                let others = state.quota_shares_of(&share.queue).filter(|other| other.arn != share.arn);
                let lendable: u64 = others.filter(|other| other.lends()).map(|other| other.limit(unit)).sum();
                if borrowed > lendable {
                    return Some(TOO_LITTLE_TO_BORROW);
                }
            }
        }
    }
    None
}

/// Whether `share` may take `need` beside what the shares of the queue hold now.
pub(crate) fn has_room(state: &State, share: &QuotaShare, need: &Instances) -> bool {
    let held = |of: &QuotaShare| state.service_jobs.in_lane(&of.queue, of.name());
    let shares: Vec<(&Arc<QuotaShare>, Instances)> =
        state.quota_shares_of(&share.queue).map(|share| (share, held(share))).collect();
    need.types().all(|unit| {
        let after = |of: &QuotaShare, held: &Instances| {
            held.in_unit(unit) + if of.arn == share.arn { need.in_unit(unit) } else { 0 }
        };
        let own = after(share, &held(share));
        if own > share.limit(unit).saturating_add(share.borrow_allowance(unit).unwrap_or(0)) {
            return false;
        }
        if share.sharing == Sharing::Reserve {
            return true; // its capacity is lent to nobody, and it borrows none
        }
        let borrowed = shares.iter().map(|(of, held)| after(of, held).saturating_sub(of.limit(unit)));
        let lenders = shares.iter().filter(|(of, _)| of.lends());
        let idle = lenders.map(|(of, held)| of.limit(unit).saturating_sub(after(of, held)));
        borrowed.sum::<u64>() <= idle.sum()
    })
}
