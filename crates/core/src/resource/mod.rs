//! Resources that hold or describe jobs: compute environments, job queues, job definitions, scheduling policies,
//! consumable resources, service environments, quota shares; their lifecycle and tags.
//!
//! `state` is the caller's switch, `status` the service's health. Creating, updating and deleting return before the status
//! has settled, as on AWS; it settles with the next turn.

pub mod compute_environment;
pub mod consumable_resource;
pub mod job_definition;
pub mod job_queue;
pub mod quota_share;
pub mod scheduling_policy;
pub mod service_environment;
pub mod tags;

use minicbor::{Decode, Encode};

use crate::arn::Arn;
use crate::state::Timer;
use crate::turn::Turn;

/// Health of a compute environment or job queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Status {
    /// Just created.
    #[n(0)]
    Creating,
    /// Just updated.
    #[n(1)]
    Updating,
    /// Being deleted; gone when nothing holds it any more.
    #[n(2)]
    Deleting,
    /// Healthy.
    #[n(3)]
    Valid,
    /// Cannot be used; `statusReason` says why.
    #[n(4)]
    Invalid,
}

impl Status {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "CREATING",
            Status::Updating => "UPDATING",
            Status::Deleting => "DELETING",
            Status::Valid => "VALID",
            Status::Invalid => "INVALID",
        }
    }

    /// Whether it stays as it is until somebody asks for a change.
    pub fn is_settled(self) -> bool {
        matches!(self, Status::Valid | Status::Invalid)
    }
}

impl Turn<'_> {
    /// Lets a resource settle in the next turn: a client that asks at once still sees the status in between.
    pub(crate) fn settle_soon(&mut self, arn: &Arn) {
        self.state.set_timer(self.now.plus_millis(SETTLE_MILLIS), Timer::Settle(arn.clone()));
    }

    /// Ends CREATING, UPDATING or DELETING.
    pub(crate) fn settle(&mut self, arn: &Arn) {
        self.settle_compute_environment(arn);
        self.settle_job_queue(arn);
        self.settle_service_environment(arn);
        self.settle_quota_share(arn);
    }

    /// Looks again at a resource that is being deleted: what held it may be gone.
    pub(crate) fn settle_if_deleting(&mut self, arn: &Arn) {
        let state = &self.state;
        let queue = state.job_queues.get(arn).map(|queue| queue.status);
        let environment = state.service_environments.get(arn).map(|environment| environment.status);
        let share = state.quota_shares.get(arn).map(|share| share.status);
        let compute = state.compute_environments.get(arn).map(|ce| ce.status);
        if queue.or(environment).or(share).or(compute) == Some(Status::Deleting) {
            self.settle_soon(arn);
        }
    }
}

/// AWS takes seconds to minutes; clients poll for VALID after each change. Long enough that the status between is real.
const SETTLE_MILLIS: u64 = 1;
