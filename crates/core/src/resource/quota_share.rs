//! Quota shares of a queue of service jobs: create, update, delete.
//!
//! Source: AWS Batch API reference, CreateQuotaShare, UpdateQuotaShare, DeleteQuotaShare; User Guide, quota management.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::arn::{Arn, name_of};
use crate::record::Key;
use crate::refusal::{Refusal, Undeletable};
use crate::resource::Status;
use crate::resource::scheduling_policy::PolicyKind;
use crate::resource::tags::Tags;
use crate::service_job::capacity::CapacityLimit;
use crate::service_job::refusal::ServiceRefusal;
use crate::state::State;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Reason of jobs that were terminated because their quota share was deleted.
pub const QUOTA_SHARE_DELETED: &str = "Quota share was deleted";

/// Source: AWS Batch User Guide, service quotas.
const SHARES_MAX: usize = 20;

/// Part of a queue's capacity.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct QuotaShare {
    /// `…:job-queue/{queue}/quota-share/{name}`.
    #[n(0)]
    pub arn: Arn,
    /// ARN of its queue.
    #[n(1)]
    pub queue: Arn,
    /// The caller's switch: takes no new jobs when false.
    #[n(2)]
    pub enabled: bool,
    /// Health.
    #[n(3)]
    pub status: Status,
    /// Its own capacity by instance type, in the order given.
    #[n(4)]
    pub limits: Vec<CapacityLimit>,
    /// What it does with idle capacity.
    #[n(5)]
    pub sharing: Sharing,
    /// `inSharePreemption` is ENABLED.
    #[n(6)]
    pub in_share_preemption: bool,
    /// Tags of the resource.
    #[n(7)]
    pub tags: Tags,
    /// When it was created.
    #[n(8)]
    pub created_at: Timestamp,
}

/// `resourceSharingConfiguration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Sharing {
    /// RESERVE: idle capacity stays idle.
    #[n(0)]
    Reserve,
    /// LEND: others may use it.
    #[n(1)]
    Lend,
    /// LEND_AND_BORROW: and it may use that of others, up to this percentage of its own limits; `None` without bound.
    #[n(2)]
    LendAndBorrow(#[n(0)] Option<u32>),
}

impl QuotaShare {
    /// The name without the ARN.
    pub fn name(&self) -> &str {
        name_of(&self.arn)
    }

    /// Its own capacity in a unit.
    pub(crate) fn limit(&self, unit: &str) -> u64 {
        self.limits.iter().find(|limit| limit.unit == *unit).map_or(0, |limit| u64::from(limit.max))
    }

    /// How much of a unit it may borrow; `None` when it does not borrow.
    pub(crate) fn borrow_allowance(&self, unit: &str) -> Option<u64> {
        match self.sharing {
            Sharing::Reserve | Sharing::Lend => None,
            Sharing::LendAndBorrow(None) => Some(u64::MAX),
            Sharing::LendAndBorrow(Some(percent)) => Some(self.limit(unit) * u64::from(percent) / 100),
        }
    }

    /// Whether others may use what it leaves idle.
    pub(crate) fn lends(&self) -> bool {
        matches!(self.sharing, Sharing::Lend | Sharing::LendAndBorrow(_))
    }
}

/// What a caller may change of a share; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct QuotaShareUpdate {
    /// State ENABLED.
    pub enabled: Option<bool>,
    /// Capacity.
    pub limits: Option<Vec<CapacityLimit>>,
    /// Sharing.
    pub sharing: Option<Sharing>,
    /// Preemption.
    pub in_share_preemption: Option<bool>,
}

impl State {
    /// All quota shares, by ARN.
    pub fn quota_shares(&self) -> &std::collections::BTreeMap<Arn, Arc<QuotaShare>> {
        &self.quota_shares
    }

    /// The quota shares of a queue, by name.
    pub fn quota_shares_of(&self, queue: &str) -> impl Iterator<Item = &Arc<QuotaShare>> {
        let prefix = Arn::from(format!("{queue}/quota-share/"));
        let shares = self.quota_shares.range(prefix.clone()..);
        shares.take_while(move |(arn, _)| arn.starts_with(prefix.as_str())).map(|(_, share)| share)
    }
}

impl Turn<'_> {
    /// Creates a share of a VALID queue with a quota-share policy, in status CREATING whatever `given` says.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`ServiceRefusal::NotAServiceQueue`]; [`ServiceRefusal::NoQuotaSharePolicy`];
    /// [`ServiceRefusal::QueueNotValid`]; [`Refusal::AlreadyExists`]; [`ServiceRefusal::TooManyQuotaShares`].
    pub fn create_quota_share(&mut self, given: QuotaShare) -> Result<(), Refusal> {
        let queue = self.existing_job_queue(&given.queue)?;
        if queue.service_environment.is_none() {
            return Err(ServiceRefusal::NotAServiceQueue { queue: queue.arn }.into());
        }
        if self.state.policy_kind(&queue.arn) != PolicyKind::QuotaShare {
            return Err(ServiceRefusal::NoQuotaSharePolicy { queue: queue.arn }.into());
        }
        if queue.status != Status::Valid {
            return Err(ServiceRefusal::QueueNotValid { queue: queue.arn }.into());
        }
        if self.state.quota_shares.contains_key(&given.arn) {
            return Err(Refusal::AlreadyExists { arn: given.arn });
        }
        if self.state.quota_shares_of(&queue.arn).count() >= SHARES_MAX {
            return Err(ServiceRefusal::TooManyQuotaShares { queue: queue.arn }.into());
        }
        self.put_quota_share(QuotaShare { status: Status::Creating, created_at: self.now, ..given });
        Ok(())
    }

    /// Changes what is given. Jobs that run beyond a lowered limit go on until another share wants what is its own.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::BeingModified`].
    pub fn update_quota_share(&mut self, arn: &Arn, update: QuotaShareUpdate) -> Result<(), Refusal> {
        let share = self.existing_quota_share(arn)?;
        if !share.status.is_settled() {
            return Err(Refusal::BeingModified { arn: arn.clone() });
        }
        self.put_quota_share(QuotaShare {
            enabled: update.enabled.unwrap_or(share.enabled),
            limits: update.limits.unwrap_or(share.limits),
            sharing: update.sharing.unwrap_or(share.sharing),
            in_share_preemption: update.in_share_preemption.unwrap_or(share.in_share_preemption),
            status: Status::Updating,
            ..share
        });
        Ok(())
    }

    /// Deletes a DISABLED share: its jobs are terminated, and it is gone when the last has ended.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::CannotDelete`].
    pub fn delete_quota_share(&mut self, arn: &Arn) -> Result<(), Refusal> {
        let share = self.existing_quota_share(arn)?;
        if !share.status.is_settled() {
            return Err(Refusal::CannotDelete(Undeletable::BeingModified));
        }
        if share.enabled {
            return Err(Refusal::CannotDelete(Undeletable::NotDisabled));
        }
        let jobs = self.state.service_jobs.live_of(&share.queue, Some(share.name()));
        self.put_quota_share(QuotaShare { status: Status::Deleting, ..share });
        for job in jobs {
            self.terminate_service_job(job, &QUOTA_SHARE_DELETED.into());
        }
        Ok(())
    }

    pub(crate) fn settle_quota_share(&mut self, arn: &Arn) {
        let Some(share) = self.state.quota_shares.get(arn) else { return };
        match share.status {
            Status::Creating | Status::Updating => {
                self.put_quota_share(QuotaShare { status: Status::Valid, ..(**share).clone() });
            }
            Status::Deleting if !self.state.service_jobs.is_live(&share.queue, share.name()) => {
                self.remove_quota_share(arn);
            }
            Status::Deleting | Status::Valid | Status::Invalid => {}
        }
    }

    /// The shares of a queue end with it.
    pub(crate) fn remove_quota_shares_of(&mut self, queue: &str) {
        let shares: Vec<Arn> = self.state.quota_shares_of(queue).map(|share| share.arn.clone()).collect();
        shares.iter().for_each(|arn| self.remove_quota_share(arn));
    }

    fn remove_quota_share(&mut self, arn: &Arn) {
        self.state.quota_shares.remove(arn);
        self.touch(Key::QuotaShare(arn.clone()));
        self.state.capacity_changed = true;
        self.state.schedule_due = true;
    }

    pub(crate) fn existing_quota_share(&self, arn: &Arn) -> Result<QuotaShare, Refusal> {
        let found = self.state.quota_shares.get(arn).map(|share| (**share).clone());
        found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })
    }

    fn put_quota_share(&mut self, share: QuotaShare) {
        let arn = share.arn.clone();
        if !share.status.is_settled() {
            self.settle_soon(&arn);
        }
        self.touch(Key::QuotaShare(arn.clone()));
        self.state.quota_shares.insert(arn, Arc::new(share));
        self.state.capacity_changed = true;
        self.state.schedule_due = true;
    }
}
