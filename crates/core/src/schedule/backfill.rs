//! Backfill: who may go past a job that has to wait, without delaying it (EASY backfill).
//!
//! The first job of a queue that does not fit now claims room: on the instance that will have it first, from the time when
//! enough of the attempts there have reached the end of their timeouts. Jobs behind it may start elsewhere, or there if they
//! end before that time, or in what it leaves. Without timeouts that time is not known; then jobs behind it start only where
//! it could never run. A claim is computed anew in each pass in which somebody could profit from passing.
//!
//! A claim costs O(instances looked at · attempts on each); at most [`LOOKED_AT_MAX`] instances are looked at. For a job
//! that waits for its environment's `maxvCpus`, or a multi-node job, it costs O(attempts · log).

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::id::Member;
use crate::instance::Architecture;
use crate::quantity::Resources;
use crate::schedule::room::{Room, Slot};
use crate::schedule::shape::Shape;
use crate::state::State;
use crate::time::Timestamp;

/// More instances than this are not looked at for the earliest room: any will do that is known.
const LOOKED_AT_MAX: usize = 64;

/// The room that a job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The job that waits.
    pub(crate) job: Uuid,
    /// The pools that it could run in.
    pools: Vec<usize>,
    /// The largest part of it.
    part: Resources,
    architecture: Option<Architecture>,
    /// When it can start at the latest; `None` when that is not known.
    pub(crate) at: Option<Timestamp>,
    /// The instance that it will run on, and what it leaves there then; `None` when it may be any.
    on: Option<(Slot, Resources)>,
    /// Nobody can go past: it may run anywhere, and nobody knows when.
    pub(crate) is_of_everything: bool,
}

impl Claim {
    /// Whether an attempt of `shape` may start on an instance at `now`.
    pub(crate) fn allows(
        &self,
        state: &State,
        shape: &Shape,
        slot: Slot,
        need: &Resources,
        now: Timestamp,
    ) -> bool {
        self.ends_before(shape, now)
            || match &self.on {
                Some((claimed, left)) => slot != *claimed || left.covers(need),
                None => {
                    let is_elsewhere = !self.pools.iter().any(|&pool| state.instances.is_in(slot, pool));
                    is_elsewhere || state.instances.at(slot).is_none_or(|room| !self.could_run_on(room))
                }
            }
    }

    /// An attempt of `shape` has started there, which may still be there when the job that waits begins.
    pub(crate) fn started(&mut self, shape: &Shape, slot: Slot, need: &Resources, now: Timestamp) {
        let ends_before = self.ends_before(shape, now);
        if let Some((claimed, left)) = &mut self.on
            && slot == *claimed
            && !ends_before
        {
            *left = left.saturating_sub(need);
        }
    }

    fn ends_before(&self, shape: &Shape, now: Timestamp) -> bool {
        self.at.zip(shape.seconds).is_some_and(|(at, seconds)| now.plus_seconds(seconds) <= at)
    }

    fn could_run_on(&self, room: &Room) -> bool {
        room.record.capacity.covers(&self.part)
            && Architecture::serves(room.record.architecture, self.architecture)
    }
}

/// An environment as far as a claim goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceiling {
    pub(crate) pool: usize,
    /// Thousandths of a vCPU that are in use, and that may be.
    pub(crate) used: u64,
    pub(crate) max: u64,
}

impl State {
    /// The claim of the first job that has to wait, in `environments` that could take it, where others may use the pools
    /// `all`.
    pub(crate) fn claim(
        &self,
        job: Uuid,
        shape: &Shape,
        environments: &[Ceiling],
        all: &BTreeSet<usize>,
        now: Timestamp,
    ) -> Claim {
        let mut claim = Claim {
            job,
            pools: environments.iter().map(|environment| environment.pool).collect(),
            part: shape.parts().map(|(part, _)| part).max().unwrap_or(shape.need),
            architecture: shape.architecture,
            at: None,
            on: None,
            is_of_everything: false,
        };
        let at_ceiling = |e: &Ceiling| {
            e.max < self.instances.total(e.pool).milli_vcpus
                && e.used.saturating_add(shape.need.milli_vcpus) > e.max
        };
        if !shape.nodes.is_empty() || environments.iter().any(at_ceiling) {
            claim.at = self.all_at_once(shape, environments, now);
        } else {
            let rooms = claim.pools.iter().flat_map(|&pool| self.instances.open_in(pool));
            let possible = rooms.filter(|(_, room)| claim.could_run_on(room)).take(LOOKED_AT_MAX);
            let earliest = possible.filter_map(|(slot, room)| {
                let (at, free) = self.room_at(room, &claim.part, now)?;
                Some((at, slot, free))
            });
            if let Some((at, slot, free)) = earliest.min_by_key(|&(at, slot, ..)| (at, slot)) {
                claim.at = Some(at);
                claim.on = Some((slot, free.saturating_sub(&claim.part)));
            }
        }
        let mut others =
            all.iter().flat_map(|&pool| self.instances.open_in(pool).map(move |room| (pool, room)));
        claim.is_of_everything = claim.at.is_none()
            && others.all(|(pool, (_, room))| claim.pools.contains(&pool) && claim.could_run_on(room));
        claim
    }

    /// When an instance has room for `need` at the latest, and how much then.
    fn room_at(&self, room: &Room, need: &Resources, now: Timestamp) -> Option<(Timestamp, Resources)> {
        let mut used = room.used;
        for (end, has) in self.ends(room, now) {
            used.release(&has);
            let free = room.record.capacity.saturating_sub(&used);
            if free.covers(need) {
                return Some((end, free));
            }
        }
        None
    }

    /// When a multi-node job, or one that waits for vCPUs of its environment, can start at the latest: when enough of what
    /// runs in any one environment has ended. That instances are divided otherwise is not foreseen.
    fn all_at_once(&self, shape: &Shape, environments: &[Ceiling], now: Timestamp) -> Option<Timestamp> {
        let starts = environments.iter().filter_map(|environment| {
            let mut ends = Vec::new();
            let mut free = Resources::default();
            for (_, room) in self.instances.open_in(environment.pool) {
                free.reserve(&room.record.capacity.saturating_sub(&room.used));
                ends.extend(self.ends(room, now));
            }
            ends.sort_unstable_by_key(|&(end, _)| end);
            let mut left = environment.max.saturating_sub(environment.used);
            for (end, has) in ends {
                free.reserve(&has);
                left = left.saturating_add(has.milli_vcpus);
                if free.covers(&shape.need) && left >= shape.need.milli_vcpus {
                    return Some(end);
                }
            }
            None
        });
        starts.min()
    }

    /// When the attempts on an instance end at the latest, and what each has; those without a timeout are not among them.
    fn ends(&self, room: &Room, now: Timestamp) -> Vec<(Timestamp, Resources)> {
        let ends = room.attempts.iter().filter_map(|attempt| {
            let job = self.jobs.get(&attempt.job.job)?;
            let seconds = job.timeout_seconds?; // nodes end with their main node, which has the same
            let started_at = match attempt.job.member {
                Member::Whole => job.execution.started_at,
                Member::Index(_) | Member::Node(_) => self.find(attempt.job)?.1.started_at,
            };
            Some((started_at.unwrap_or(now).plus_seconds(seconds), job.resources_of(attempt.job.member)))
        });
        let mut ends: Vec<(Timestamp, Resources)> = ends.collect();
        ends.sort_unstable_by_key(|&(end, _)| end);
        ends
    }
}
