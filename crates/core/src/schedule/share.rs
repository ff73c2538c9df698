//! The order in which the RUNNABLE jobs of one queue go.
//!
//! A FIFO queue goes by submission. A fair-share queue goes by share: the share whose running vCPUs times its weight are
//! the fewest is next; within a share, jobs of higher priority go first, then by submission. A job is in a share exactly
//! when its queue has a policy, and a queue with a policy keeps one, so a backlog with shares is that of a fair-share queue.
//!
//! FIFO costs O(log jobs) a placement; fair share O(active shares) in addition.
//!
//! Source: AWS Batch User Guide, fair-share scheduling policies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use uuid::Uuid;

use crate::arn::Arn;
use crate::id::{JobId, Member};
use crate::job::Job;
use crate::job::depends_on::Dependency;
use crate::refusal::Refusal;
use crate::resource::consumable_resource::Consumable;
use crate::state::{Backlog, State};
use crate::text::Text;
use crate::time::Timestamp;

/// Shares of a queue that may be active at once. Source: AWS Batch User Guide, service quotas.
const ACTIVE_SHARES_MAX: usize = 500;

/// One active share of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Jobs with something RUNNABLE: by priority, then by order of submission.
    runnable: BTreeSet<(Reverse<u32>, u64)>,
    /// Thousandths of a vCPU that its attempts have.
    pub(crate) running: u64,
    /// Jobs that have not ended; the share is active while there are any.
    live: usize,
    /// In ten-thousandths.
    weight: u32,
}

/// What shares are compared by.
pub(crate) fn usage(running: u64, weight: u32) -> u128 {
    u128::from(running) * u128::from(weight)
}

/// Place of a job in its share.
fn rank(job: &Job) -> (Reverse<u32>, u64) {
    (Reverse(job.scheduling_priority.unwrap_or(0)), job.sequence)
}

impl Backlog {
    /// Puts a job among those with something RUNNABLE.
    pub(crate) fn add(&mut self, job: &Job, now: Timestamp) {
        let is_last = self.runnable.last_key_value().is_none_or(|(&last, _)| last < job.sequence);
        let is_new = self.runnable.insert(job.sequence, job.id).is_none();
        if let Some(share) = self.share_of(job) {
            share.runnable.insert(rank(job));
        }
        if is_new && (!is_last || job.share_identifier.is_some()) {
            self.moved_at = now;
        }
    }

    /// Takes a job out of those with something RUNNABLE.
    pub(crate) fn remove(&mut self, job: &Job, now: Timestamp) {
        if self.runnable.remove(&job.sequence).is_some() {
            self.moved_at = now;
        }
        if let Some(share) = self.share_of(job) {
            share.runnable.remove(&rank(job));
        }
    }

    /// The job that goes next, by its place in the order of submission.
    pub(crate) fn head(&self) -> Option<(u64, Uuid)> {
        if self.shares.is_empty() {
            return self.runnable.first_key_value().map(|(&sequence, &job)| (sequence, job));
        }
        let heads = self.shares.values().filter_map(|share| {
            let &(_, sequence) = share.runnable.first()?;
            Some((usage(share.running, share.weight), sequence))
        });
        let (_, sequence) = heads.min()?;
        Some((sequence, *self.runnable.get(&sequence)?))
    }

    /// The last of a share's jobs ends the share.
    pub(crate) fn leave_share(&mut self, job: &Job) {
        let Some(identifier) = &job.share_identifier else { return };
        if let Some(share) = self.shares.get_mut(identifier) {
            share.live -= 1;
            if share.live == 0 {
                self.shares.remove(identifier);
            }
        }
    }

    fn share_of(&mut self, job: &Job) -> Option<&mut Share> {
        self.shares.get_mut(job.share_identifier.as_ref()?)
    }
}

/// A share as a snapshot shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareUsage {
    /// `shareIdentifier`.
    pub identifier: Text,
    /// Thousandths of a vCPU that its attempts have.
    pub milli_vcpus: u64,
}

/// The jobs of one share, or of a whole FIFO queue, in the order in which they go: their sequence, and what of them goes.
struct Lane<'a> {
    running: u64,
    weight: u32,
    jobs: Peekable<Box<dyn Iterator<Item = (u64, JobId)> + 'a>>,
}

impl State {
    /// A job has entered a queue: it counts for its share.
    pub(crate) fn enter_share(&mut self, job: &Job) {
        let Some(identifier) = &job.share_identifier else { return };
        let weight = self.weight(&job.queue, identifier);
        let shares = &mut self.backlogs.entry(job.queue.clone()).or_default().shares;
        let share = shares.entry(identifier.clone()).or_insert(Share { weight, ..Share::default() });
        share.live += 1;
    }

    /// The queue has another policy, or its policy other weights.
    pub(crate) fn weigh_shares(&mut self, queue: &Arn) {
        let active = self.backlogs.get(queue).into_iter().flat_map(|backlog| backlog.shares.keys());
        let weights: Vec<u32> = active.map(|identifier| self.weight(queue, identifier)).collect();
        let shares = self.backlogs.get_mut(queue).into_iter().flat_map(|backlog| backlog.shares.values_mut());
        shares.zip(weights).for_each(|(share, weight)| share.weight = weight);
    }

    /// Counts what an attempt of `job` has of its queue, its share and of consumable resources.
    pub(crate) fn occupy(&mut self, job: &Job, member: Member) {
        let now = self.latest;
        self.reserve_consumables(job.held_consumables(member));
        let milli_vcpus = job.resources_of(member).milli_vcpus;
        let backlog = self.backlogs.entry(job.queue.clone()).or_default();
        backlog.running += milli_vcpus;
        backlog.moved_at = now;
        if let Some(share) = backlog.share_of(job) {
            share.running += milli_vcpus;
        }
    }

    /// The reverse of [`State::occupy`].
    pub(crate) fn vacate(&mut self, job: &Job, member: Member) {
        let now = self.latest;
        self.release_consumables(job.held_consumables(member));
        let milli_vcpus = job.resources_of(member).milli_vcpus;
        let Some(backlog) = self.backlogs.get_mut(&job.queue) else { return };
        backlog.running -= milli_vcpus;
        if let Some(share) = backlog.share_of(job) {
            share.running -= milli_vcpus;
            backlog.moved_at = now;
        }
    }

    /// Thousandths of a vCPU that the queue's attempts have.
    pub fn queue_usage(&self, queue: &str) -> u64 {
        self.backlogs.get(queue).map_or(0, |backlog| backlog.running)
    }

    /// The active shares of a queue, those that use most first.
    pub fn share_usage(&self, queue: &str) -> Vec<ShareUsage> {
        let shares = self.backlogs.get(queue).into_iter().flat_map(|backlog| &backlog.shares);
        let mut usage: Vec<ShareUsage> = shares
            .map(|(identifier, share)| ShareUsage {
                identifier: identifier.clone(),
                milli_vcpus: share.running,
            })
            .collect();
        usage.sort_by_key(|usage| Reverse(usage.milli_vcpus)); // stable: equal ones stay by name
        usage
    }

    /// The first `limit` jobs and array children that go next, and since when each is where it is (as far as is known since
    /// the server started). What can never fit is not among them.
    pub fn front_of_queue(&self, queue: &str, limit: usize) -> Vec<(JobId, Timestamp)> {
        let Some(backlog) = self.backlogs.get(queue) else { return Vec::new() };
        let mut lanes: Vec<Lane<'_>> = Vec::new();
        for Share { runnable, running, weight, .. } in backlog.shares.values() {
            let sequences = Box::new(runnable.iter().map(|&(_, sequence)| sequence));
            lanes.push(self.lane(backlog, (*running, *weight), limit, sequences));
        }
        if lanes.is_empty() {
            lanes.push(self.lane(backlog, (0, 0), limit, Box::new(backlog.runnable.keys().copied())));
        }
        let mut front = Vec::new();
        while front.len() < limit {
            let heads = lanes.iter_mut().filter_map(|lane| {
                let &(sequence, _) = lane.jobs.peek()?;
                Some((usage(lane.running, lane.weight), sequence, lane))
            });
            let Some((_, _, lane)) = heads.min_by_key(|&(usage, sequence, _)| (usage, sequence)) else {
                break;
            };
            let Some((_, id)) = lane.jobs.next() else { break };
            lane.running += self.jobs[&id.job].resources.milli_vcpus;
            front.push((id, backlog.moved_at.max(self.runnable_since(id))));
        }
        front
    }

    fn lane<'a>(
        &'a self,
        backlog: &'a Backlog,
        (running, weight): (u64, u32),
        limit: usize,
        sequences: Box<dyn Iterator<Item = u64> + 'a>,
    ) -> Lane<'a> {
        let jobs = sequences.filter_map(|sequence| Some((sequence, *backlog.runnable.get(&sequence)?)));
        let members = jobs.flat_map(move |(sequence, job)| {
            self.runnable_members(job, limit).into_iter().map(move |id| (sequence, id))
        });
        let jobs: Box<dyn Iterator<Item = (u64, JobId)> + 'a> = Box::new(members);
        Lane { running, weight, jobs: jobs.peekable() }
    }

    /// A job itself, or the first RUNNABLE children of an array.
    fn runnable_members(&self, job: Uuid, limit: usize) -> Vec<JobId> {
        match self.arrays.get(&job) {
            None => vec![JobId::whole(job)],
            Some(array) => array.runnable().take(limit).map(|index| JobId::child(job, index)).collect(),
        }
    }

    /// When a RUNNABLE job or child became so: with its creation, the end of the last that it waited for, or of its attempt.
    pub(crate) fn runnable_since(&self, id: JobId) -> Timestamp {
        let Some((job, execution)) = self.find(id) else { return Timestamp::default() };
        let awaited = job.depends_on.iter().filter_map(|dependency| match (*dependency, id.member) {
            (Dependency::Job(on) | Dependency::AfterAny(on), _) => Some(on),
            (Dependency::NToN(on), Member::Index(index)) => Some(JobId::child(on, index)),
            (Dependency::Sequential, Member::Index(index)) if index > 0 => {
                Some(JobId::child(id.job, index - 1))
            }
            (Dependency::NToN(_) | Dependency::Sequential, _) => None,
        });
        let ends = awaited.filter_map(|on| self.find(on)?.1.stopped_at);
        ends.fold(execution.latest(), Timestamp::max)
    }

    /// Checks that the accounts of every queue and consumable resource agree with the jobs, of which `placed` gives each as
    /// often as it has attempts.
    ///
    /// # Panics
    /// When they do not: a bug.
    pub(crate) fn check_accounts<'a>(&self, placed: impl Iterator<Item = (&'a Job, Member)>) {
        let mut running: BTreeMap<&str, u64> = BTreeMap::new();
        let mut shares: BTreeMap<&str, BTreeMap<Text, Share>> = BTreeMap::new();
        let mut held: BTreeMap<Arn, u128> = BTreeMap::new();
        let mut consumers: BTreeMap<Arn, BTreeMap<u64, Uuid>> = BTreeMap::new();
        #[expect(clippy::iter_over_hash_type, reason = "whatever the order, the same is found")]
        for job in self.jobs.values() {
            for Consumable { arn, .. } in job.held_consumables(Member::Whole) {
                consumers.entry(arn.clone()).or_default().insert(job.sequence, job.id);
            }
            if let Some(identifier) =
                job.share_identifier.as_ref().filter(|_| !job.execution.status.is_terminal())
            {
                let weight = self.weight(&job.queue, identifier);
                let shares = shares.entry(&job.queue).or_default();
                let share = shares.entry(identifier.clone()).or_insert(Share { weight, ..Share::default() });
                share.live += 1;
                if self.backlogs[&job.queue].runnable.contains_key(&job.sequence) {
                    share.runnable.insert(rank(job));
                }
            }
        }
        for (job, member) in placed {
            let milli_vcpus = job.resources_of(member).milli_vcpus;
            *running.entry(&job.queue).or_default() += milli_vcpus;
            for Consumable { arn, quantity } in job.held_consumables(member) {
                *held.entry(arn.clone()).or_default() += u128::from(*quantity);
            }
            if let Some(identifier) = &job.share_identifier {
                let share = shares.get_mut(job.queue.as_str()).and_then(|shares| shares.get_mut(identifier));
                share.expect("it is active").running += milli_vcpus;
            }
        }
        held.retain(|_, held| *held > 0);
        assert_eq!(self.consumables_held, held, "consumables add up");
        assert_eq!(self.consumers, consumers, "it is known who needs what");
        for (arn, backlog) in &self.backlogs {
            assert_eq!(backlog.running, running.remove(arn.as_str()).unwrap_or(0), "{arn} adds up");
            assert_eq!(backlog.shares, shares.remove(arn.as_str()).unwrap_or_default(), "shares of {arn}");
        }
    }
}

/// A job of a fair-share queue names a share, and one more may be `active`.
pub(crate) fn check_share<V>(
    queue: &Arn,
    share: Option<&str>,
    active: Option<&BTreeMap<Text, V>>,
) -> Result<(), Refusal> {
    let share = share.ok_or_else(|| Refusal::ShareRequired { arn: queue.clone() })?;
    if active.is_some_and(|active| active.len() >= ACTIVE_SHARES_MAX && !active.contains_key(share)) {
        return Err(Refusal::TooManyShares { arn: queue.clone() });
    }
    Ok(())
}
