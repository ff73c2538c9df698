//! Preemption: running jobs that give way, and what becomes of them.
//!
//! | kind | for whom | who gives way |
//! |---|---|---|
//! | cross-share | a job that needs no more than what its share has of its own | jobs of shares that hold more than their own limits: borrowers, and after an update that lowered the limits |
//! | in-share | a job of a share with in-share preemption | jobs of the same share of lower priority |
//!
//! Across shares is tried first. Jobs of lower priority go first, then those that were scheduled last; of those chosen, the
//! ones that turn out not to be needed are spared. Nobody is stopped for a job that would not fit even then.
//!
//! Source: AWS Batch User Guide, quota management: preemption. Which jobs it chooses AWS Batch does not say.

use std::cmp::Reverse;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::attempt::Action;
use crate::job::StopCause;
use crate::service_job::holdings::{Holdings, share_of};
use crate::service_job::{ServiceAttempt, ServiceJob, ServicePlacement, ServiceTransition};
use crate::state::State;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Preempted attempts of a job that are kept.
const RECENT_MAX: usize = 10;

/// Why a running attempt gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PreemptionKind {
    /// To a share that takes back what is its own.
    #[n(0)]
    CrossShare,
    /// To a job of higher priority in the same share.
    #[n(1)]
    InShare,
}

/// A preemption that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Preemption {
    /// Why.
    #[n(0)]
    pub kind: PreemptionKind,
    /// When; what ended earlier was not preempted.
    #[n(1)]
    pub at: Timestamp,
}

/// `preemptionSummary`.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct PreemptionSummary {
    /// All attempts that were preempted.
    #[n(0)]
    pub count: u32,
    /// The last ten, oldest first.
    #[n(1)]
    pub recent: Vec<ServiceAttempt>,
}

impl PreemptionKind {
    /// The reason of the attempt. The first text: AWS Batch User Guide, quota management.
    pub fn as_str(self) -> &'static str {
        match self {
            PreemptionKind::CrossShare => "Cross-share preemption triggered to reclaim borrowed capacity",
            PreemptionKind::InShare => "In-share preemption triggered to run a job of higher priority",
        }
    }
}

impl PreemptionSummary {
    pub(super) fn add(&mut self, attempt: ServiceAttempt) {
        self.count = self.count.saturating_add(1);
        if self.recent.len() >= RECENT_MAX {
            self.recent.remove(0);
        }
        self.recent.push(attempt);
    }
}

impl ServicePlacement {
    /// Whether it will give back what it holds before its time.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some() || self.preemption.is_some()
    }

    /// Whether an attempt that ended at `stopped_at` was preempted: not when it was also terminated, or had ended before.
    pub(super) fn preempted_at_end(&self, stopped_at: Timestamp) -> Option<PreemptionKind> {
        let is_terminated = matches!(self.stopping, Some(StopCause::Terminated(_)));
        let preemption = self.preemption.filter(|preemption| !is_terminated && stopped_at >= preemption.at);
        preemption.map(|preemption| preemption.kind)
    }
}

impl ServiceJob {
    /// Whether its current attempt is being stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.placement.as_ref().is_some_and(|placement| placement.is_stopping())
    }

    /// What follows when its current attempt was preempted: it waits again, as often as it allows; by default always.
    pub(super) fn after_preemption(&self) -> ServiceTransition {
        let before = self.preemptions.as_ref().map_or(0, |preemptions| preemptions.count);
        match self.preemption_retries.and_then(|retries| u32::try_from(retries).ok()) {
            Some(retries) if before >= retries => ServiceTransition::Fail,
            Some(_) | None => ServiceTransition::Retry,
        }
    }
}

impl Turn<'_> {
    /// Stops what must give way for `job` and takes it from the account; false when nothing would help.
    pub(super) fn make_room(&mut self, job: &ServiceJob, soon: &mut Holdings) -> bool {
        let Some(victims) = victims(self.state, job, soon) else { return false };
        for (victim, kind) in victims {
            soon.remove(&victim);
            self.preempt(&victim, kind);
        }
        let now = self.now;
        self.service_job_mut(job.id).preempts_since.get_or_insert(now);
        true
    }

    fn preempt(&mut self, victim: &ServiceJob, kind: PreemptionKind) {
        let attempt = victim.current_attempt().expect("what holds capacity has an attempt");
        let at = self.now;
        let record = self.service_job_mut(victim.id);
        record.status_reason = Some(format!("PREEMPTION_IN_PROGRESS: {}", kind.as_str()).into());
        let placement = record.placement.as_mut().expect("what holds capacity is placed");
        placement.preemption = Some(Preemption { kind, at });
        self.act(Action::Stop(attempt));
    }
}

type Victims = Vec<(Arc<ServiceJob>, PreemptionKind)>;

/// The jobs that give way to `job`; `None` when it would not fit even so.
fn victims(state: &State, job: &ServiceJob, soon: &Holdings) -> Option<Victims> {
    let share = share_of(state, job)?;
    let running = state.service_jobs.placed(&job.queue).filter(|other| !other.is_stopping());
    let mut running: Vec<&Arc<ServiceJob>> = running.collect();
    running.sort_unstable_by_key(|other| (priority(other), Reverse((other.scheduled_at, other.sequence))));
    let (own, others): (Vec<_>, Vec<_>) =
        running.into_iter().partition(|other| other.quota_share == job.quota_share);
    let gives_way = |other: &&&Arc<ServiceJob>| {
        share.in_share_preemption
            && priority(other) < priority(job)
            && job.training.instances.overlap(&other.training.instances)
    };
    let mut own = own.iter().filter(gives_way);
    let mut after = soon.clone();
    let mut chosen = Victims::new();
    while !after.have_room(state, job) {
        if after.leave_own(state, job)
            && let Some(borrowers) = borrowers(state, job, &after, &others)
        {
            chosen.extend(borrowers.into_iter().map(|borrower| (borrower, PreemptionKind::CrossShare)));
            break;
        }
        let victim = own.next()?;
        after.remove(victim);
        chosen.push((Arc::clone(victim), PreemptionKind::InShare));
    }
    Some(spare(state, job, soon, chosen))
}

/// Jobs of shares beyond their own limits, so many that `job` fits.
fn borrowers(
    state: &State,
    job: &ServiceJob,
    before: &Holdings,
    others: &[&Arc<ServiceJob>],
) -> Option<Vec<Arc<ServiceJob>>> {
    let (mut after, mut chosen, mut left) = (before.clone(), Vec::new(), others.to_vec());
    while !after.have_room(state, job) {
        let victim = left.remove(left.iter().position(|other| after.exceed_limits(state, other, job))?);
        after.remove(victim);
        chosen.push(Arc::clone(victim));
    }
    Some(chosen)
}

/// Without those that are not needed, the ones chosen last first.
fn spare(state: &State, job: &ServiceJob, soon: &Holdings, mut chosen: Victims) -> Victims {
    for at in (0..chosen.len()).rev() {
        let mut rest = chosen.clone();
        rest.remove(at);
        let mut after = soon.clone();
        rest.iter().for_each(|(victim, _)| after.remove(victim));
        let reclaims = rest.iter().any(|(_, kind)| *kind == PreemptionKind::CrossShare);
        if after.have_room(state, job) && (!reclaims || after.leave_own(state, job)) {
            chosen = rest;
        }
    }
    chosen
}

fn priority(job: &ServiceJob) -> u32 {
    job.scheduling_priority.unwrap_or(0)
}
