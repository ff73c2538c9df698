//! Whether a service job can start: what its environment has left, and what the limits of its quota share would allow.
//!
//! Source: AWS Batch User Guide, quota management; service job queues that are blocked.

use std::sync::Arc;

use crate::arn::Arn;
use crate::resource::Status;
use crate::resource::quota_share::QuotaShare;
use crate::resource::service_environment::ServiceEnvironment;
use crate::service_job::ServiceJob;
use crate::service_job::capacity::Instances;
use crate::state::State;
use crate::text::Text;

/// There is room, but nothing to run it on. Text: AWS Batch User Guide, blocked service job queues.
pub(super) const NO_CAPACITY: &str =
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Unable to provision requested compute resources";
/// Larger than the environment. Text: as above.
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
    Now(Place),
    /// It could start when something ends or comes back.
    Later,
    /// It could start if there were a machine.
    NoMachine,
    /// The limits do not allow it at all.
    Never(&'static str),
}

/// Where the jobs of a queue run.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) environment: Arn,
    pub(super) instance_id: Text,
}

/// Finds capacity for one attempt of `job`, whose queue has no quota shares.
pub(super) fn place(state: &State, job: &ServiceJob) -> Fit {
    let need = &job.training.instances;
    if let Some(reason) = never(state, job) {
        return Fit::Never(reason);
    }
    let has_room = environment(state, &job.queue).is_some_and(|environment| {
        state.service_jobs.held_in(&environment.arn).leave_room(&environment.limits, need)
    });
    if has_room { open(state, &job.queue) } else { Fit::Later }
}

/// The place for jobs of a queue for which there is room.
pub(super) fn open(state: &State, queue: &Arn) -> Fit {
    let is_open =
        |environment: &&ServiceEnvironment| environment.enabled && environment.status == Status::Valid;
    let Some(environment) = environment(state, queue).filter(is_open) else { return Fit::Later };
    let Some(machine) = state.instances.values().find(|instance| instance.is_open()) else {
        return Fit::NoMachine;
    };
    Fit::Now(Place { environment: environment.arn.clone(), instance_id: machine.record.instance_id.clone() })
}

/// Why the limits do not allow a job, even with nothing else there.
pub(super) fn never(state: &State, job: &ServiceJob) -> Option<&'static str> {
    let need = &job.training.instances;
    if !Instances::default().leave_room(&environment(state, &job.queue)?.limits, need) {
        return Some(ENVIRONMENT_TOO_SMALL);
    }
    exceeds_shares(state, state.quota_shares.get(&job.quota_share_arn()?)?, need)
}

/// The service environment of a queue.
pub(super) fn environment<'s>(state: &'s State, queue: &Arn) -> Option<&'s ServiceEnvironment> {
    let arn = state.job_queues.get(queue)?.service_environment.as_ref()?;
    state.service_environments.get(arn).map(Arc::as_ref)
}

/// Why the shares of the queue could never hold `need`, even with nothing else there.
fn exceeds_shares(state: &State, share: &QuotaShare, need: &Instances) -> Option<&'static str> {
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
