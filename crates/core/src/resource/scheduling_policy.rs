//! Scheduling policies: create, update, delete, and the weight that one gives a share.
//!
//! Source: AWS Batch API reference, CreateSchedulingPolicy, UpdateSchedulingPolicy, DeleteSchedulingPolicy, FairsharePolicy.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::arn::{Arn, name_of};
use crate::record::Key;
use crate::refusal::{Refusal, Undeletable};
use crate::resource::job_queue::JobQueue;
use crate::resource::tags::Tags;
use crate::state::State;
use crate::text::{Document, Text};
use crate::time::Timestamp;
use crate::turn::Turn;

/// The weight 1.0, in ten-thousandths: that of shares for which the policy has none.
pub const DEFAULT_WEIGHT: u32 = 10_000;

/// How the jobs of a queue are ordered.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SchedulingPolicy {
    /// Its name is the part after the last `/`.
    #[n(0)]
    pub arn: Arn,
    /// What it does. Its kind never changes.
    #[n(1)]
    pub kind: Kind,
    /// Tags of the resource.
    #[n(2)]
    pub tags: Tags,
    /// What was asked for, as JSON for the echo.
    #[n(3)]
    pub document: Document,
    /// Counts changes.
    #[n(4)]
    pub version: u64,
    /// When it was created.
    #[n(5)]
    pub created_at: Timestamp,
}

/// The two kinds of policies.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Kind {
    /// `fairsharePolicy`.
    #[n(0)]
    FairShare(#[n(0)] FairShare),
    /// `quotaSharePolicy`, whose one strategy for idle resources is FIFO.
    #[n(1)]
    QuotaShare,
}

/// By what the jobs of a queue are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyKind {
    /// Submission.
    #[default]
    Fifo,
    /// `shareIdentifier`.
    FairShare,
    /// `quotaShareName`.
    QuotaShare,
}

/// Shares of a queue, and what each is entitled to.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct FairShare {
    /// `shareDecaySeconds`, 0..=604800.
    #[n(0)]
    pub decay_seconds: Option<u32>,
    /// `computeReservation`, 0..=99 percent.
    #[n(1)]
    pub compute_reservation: Option<u32>,
    /// Weights in ten-thousandths (1..=9999999), by share identifier; one that ends in `*` is for all that begin so. No two
    /// of them are for the same share.
    #[n(2)]
    pub weights: BTreeMap<Text, u32>,
}

impl SchedulingPolicy {
    /// The name without the ARN.
    pub fn name(&self) -> &str {
        name_of(&self.arn)
    }

    /// The weight of a share in ten-thousandths; the lower, the more it is entitled to.
    pub fn weight_of(&self, share: &str) -> u32 {
        let Kind::FairShare(FairShare { weights, .. }) = &self.kind else { return DEFAULT_WEIGHT };
        let by_prefix = || {
            let prefixes = (0..=share.len()).rev().filter_map(|end| share.get(..end));
            prefixes.filter_map(|prefix| weights.get(format!("{prefix}*").as_str())).next()
        };
        weights.get(share).or_else(by_prefix).copied().unwrap_or(DEFAULT_WEIGHT)
    }
}

impl State {
    /// By what the jobs of a queue are ordered.
    pub fn policy_kind(&self, queue: &str) -> PolicyKind {
        match self.policy_of(queue).map(|policy| &policy.kind) {
            None => PolicyKind::Fifo,
            Some(Kind::FairShare(_)) => PolicyKind::FairShare,
            Some(Kind::QuotaShare) => PolicyKind::QuotaShare,
        }
    }

    /// The weight of a share of a queue, in ten-thousandths.
    pub(crate) fn weight(&self, queue: &str, share: &str) -> u32 {
        self.policy_of(queue).map_or(DEFAULT_WEIGHT, |policy| policy.weight_of(share))
    }

    /// For how long use counts, in seconds.
    pub(crate) fn decay_seconds(&self, queue: &str) -> u32 {
        self.fair_share(queue).and_then(|policy| policy.decay_seconds).unwrap_or(0)
    }

    /// Percent of the capacity that is kept for shares that are not active; `None` where there are no shares.
    pub(crate) fn compute_reservation(&self, queue: &str) -> Option<u32> {
        self.fair_share(queue)
            .map(|policy| policy.compute_reservation.unwrap_or(0))
            .filter(|&percent| percent > 0)
    }

    fn fair_share(&self, queue: &str) -> Option<&FairShare> {
        match &self.policy_of(queue)?.kind {
            Kind::FairShare(policy) => Some(policy),
            Kind::QuotaShare => None,
        }
    }

    fn policy_of(&self, queue: &str) -> Option<&SchedulingPolicy> {
        let policy = self.job_queues.get(queue)?.scheduling_policy.as_ref()?;
        self.scheduling_policies.get(policy).map(|policy| &**policy)
    }
}

/// What a caller may say of a policy, already checked in itself.
#[derive(Clone, Debug)]
pub struct Specification {
    /// Full ARN.
    pub arn: Arn,
    /// What it does.
    pub kind: Kind,
    /// For the echo.
    pub document: Document,
}

impl Turn<'_> {
    /// Creates a policy.
    ///
    /// # Errors
    /// [`Refusal::AlreadyExists`].
    pub fn create_scheduling_policy(&mut self, given: Specification, tags: Tags) -> Result<(), Refusal> {
        let Specification { arn, kind, document } = given;
        if self.state.scheduling_policies.contains_key(&arn) {
            return Err(Refusal::AlreadyExists { arn });
        }
        let created_at = self.now;
        self.put_scheduling_policy(SchedulingPolicy { arn, kind, tags, document, version: 0, created_at });
        Ok(())
    }

    /// Replaces what a policy does; the queues that it is for follow at once.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::PolicyKindFixed`].
    pub fn update_scheduling_policy(&mut self, given: Specification) -> Result<(), Refusal> {
        let Specification { arn, kind, document } = given;
        let existing = self.existing_scheduling_policy(&arn)?;
        if std::mem::discriminant(&existing.kind) != std::mem::discriminant(&kind) {
            return Err(Refusal::PolicyKindFixed);
        }
        let version = existing.version + 1;
        self.put_scheduling_policy(SchedulingPolicy { kind, document, version, ..existing });
        Ok(())
    }

    /// Deletes a policy that no queue refers to.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::CannotDelete`].
    pub fn delete_scheduling_policy(&mut self, arn: &Arn) -> Result<(), Refusal> {
        self.existing_scheduling_policy(arn)?;
        if self.state.job_queues.values().any(|queue| queue.scheduling_policy.as_ref() == Some(arn)) {
            return Err(Refusal::CannotDelete(Undeletable::InUse));
        }
        self.state.scheduling_policies.remove(arn);
        self.touch(Key::SchedulingPolicy(arn.clone()));
        Ok(())
    }

    /// What a job queue may refer to: a policy that exists, with quota shares only if it `takes_service_jobs`.
    pub(crate) fn check_scheduling_policy(&self, arn: &Arn, takes_service_jobs: bool) -> Result<(), Refusal> {
        match self.state.scheduling_policies.get(arn).map(|policy| &policy.kind) {
            Some(Kind::QuotaShare) if !takes_service_jobs => Err(Refusal::QuotaShareOnContainerQueue),
            Some(Kind::FairShare(_) | Kind::QuotaShare) => Ok(()),
            None => Err(Refusal::NoSuchPolicy { arn: arn.clone() }),
        }
    }

    /// What the policy of a job queue may be replaced by: as for a new queue, and of the same kind.
    pub(crate) fn check_policy_replacement(&self, queue: &JobQueue, arn: &Arn) -> Result<(), Refusal> {
        self.check_scheduling_policy(arn, queue.service_environment.is_some())?;
        let policies = &self.state.scheduling_policies;
        let kind = |arn: &Arn| policies.get(arn).map(|policy| std::mem::discriminant(&policy.kind));
        if queue.scheduling_policy.as_ref().and_then(kind) != kind(arn) {
            return Err(Refusal::OtherPolicyKind { arn: queue.arn.clone() });
        }
        Ok(())
    }

    fn existing_scheduling_policy(&self, arn: &Arn) -> Result<SchedulingPolicy, Refusal> {
        let found = self.state.scheduling_policies.get(arn).map(|policy| (**policy).clone());
        found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })
    }

    fn put_scheduling_policy(&mut self, policy: SchedulingPolicy) {
        let arn = policy.arn.clone();
        self.touch(Key::SchedulingPolicy(arn.clone()));
        self.state.scheduling_policies.insert(arn.clone(), Arc::new(policy));
        let queues = self.state.job_queues.values();
        let concerned = queues.filter(|queue| queue.scheduling_policy.as_ref() == Some(&arn));
        let concerned: Vec<Arn> = concerned.map(|queue| queue.arn.clone()).collect();
        concerned.iter().for_each(|queue| self.state.weigh_shares(queue));
        self.state.schedule_due = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_the_weight_of_its_own_entry_or_of_its_prefix() {
        let weights = [("blue", 1), ("red*", 2), ("größe*", 3)].map(|(share, weight)| (share.into(), weight));
        let policy = |kind| SchedulingPolicy {
            arn: Arn::default(),
            kind,
            tags: Tags::new(),
            document: Document::default(),
            version: 0,
            created_at: Timestamp::default(),
        };
        let fair = |weights| policy(Kind::FairShare(FairShare { weights, ..Default::default() }));
        for (share, want) in [
            ("blue", 1),
            ("red", 2),
            ("red-1", 2),
            ("größer", 3),
            ("re", 10_000),
            ("blue-1", 10_000),
            ("", 10_000),
        ] {
            assert_eq!(fair(weights.clone().into()).weight_of(share), want, "{share}");
        }
        assert_eq!(fair([("*".into(), 7)].into()).weight_of("any"), 7);
        assert_eq!(policy(Kind::QuotaShare).weight_of("blue"), DEFAULT_WEIGHT);
    }
}
