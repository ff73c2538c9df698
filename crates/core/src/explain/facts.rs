//! What the scheduler knows of a job that waits. Nothing else in this folder looks into [`crate::schedule`]: whatever places
//! jobs, and by whatever rules, speaks to the rest through these functions.
//!
//! [`waits`] and [`environments`] cost O(active shares + environments · instances), [`front`] what it returns.

use std::collections::BTreeMap;

use crate::arn::Arn;
use crate::explain::{HeldBack, Position, ShareUse, Verdict, Waits};
use crate::id::{JobId, Member};
use crate::instance::Phase;
use crate::job::Job;
use crate::quantity::Resources;
use crate::resource::Status;
use crate::resource::compute_environment::ComputeEnvironment;
use crate::resource::consumable_resource::Consumable;
use crate::state::State;
use crate::text::Text;
use crate::time::Timestamp;

/// Positions are exact up to here.
const FRONT_MAX: usize = 10_000;

/// What is taken. A copy, so that the future can be played on it.
#[derive(Clone)]
pub(super) struct Room {
    /// In use in each environment.
    used: BTreeMap<Arn, Resources>,
    /// What each connected instance has left.
    free: BTreeMap<Text, Resources>,
}

impl Room {
    /// As it is now.
    pub(super) fn of(state: &State) -> Room {
        let connected = state.instances.iter().filter(|(_, instance)| instance.connected);
        let free = connected.map(|(id, i)| (id.clone(), i.record.capacity.saturating_sub(&i.used)));
        Room { used: state.in_use.clone(), free: free.collect() }
    }

    /// Takes room for an attempt on an instance.
    pub(super) fn take(&mut self, environment: &Arn, instance_id: &Text, amount: &Resources) {
        self.used.entry(environment.clone()).or_default().reserve(amount);
        if let Some(free) = self.free.get_mut(instance_id) {
            *free = free.saturating_sub(amount);
        }
    }

    /// Gives it back.
    pub(super) fn give_back(&mut self, environment: &Arn, instance_id: &Text, amount: &Resources) {
        self.used.entry(environment.clone()).or_default().release(amount);
        if let Some(free) = self.free.get_mut(instance_id) {
            free.reserve(amount);
        }
    }
}

/// What keeps a RUNNABLE job, or a RUNNABLE child, from starting.
pub(super) fn waits(state: &State, id: JobId) -> Waits {
    let job = &state.jobs[&id.job];
    let Some(backlog) = state.backlogs.get(&job.queue) else { return Waits::Pass };
    if backlog.unplaceable.contains_key(&job.sequence) {
        return Waits::Never(job.execution.status_reason.clone().unwrap_or_default());
    }
    match first(state, &job.queue) {
        Some(first) if first != id => behind(state, job, first),
        Some(_) | None => itself(state, job),
    }
}

/// What goes next in a queue.
pub(super) fn first(state: &State, queue: &str) -> Option<JobId> {
    let (_, first) = state.backlogs.get(queue)?.head()?;
    Some(next_of(state, first))
}

/// The job itself, or the next RUNNABLE child of an array.
fn next_of(state: &State, job: crate::id::Uuid) -> JobId {
    let child = state.arrays.get(&job).and_then(|array| array.next_runnable());
    child.map_or(JobId::whole(job), |index| JobId::child(job, index))
}

fn behind(state: &State, job: &Job, first: JobId) -> Waits {
    let other = &state.jobs[&first.job];
    match (&job.share_identifier, &other.share_identifier) {
        (Some(own), Some(before)) if own != before => Waits::Turn {
            own: share_use(state, &job.queue, own),
            first: share_use(state, &job.queue, before),
        },
        (Some(_) | None, _) => {
            Waits::Ahead { job: first, name: other.name.clone(), because: HeldBack::StrictOrder }
        }
    }
}

/// What a share uses and weighs.
pub(crate) fn share_use(state: &State, queue: &Arn, identifier: &Text) -> ShareUse {
    let share = state.backlogs.get(queue).and_then(|backlog| backlog.shares.get(identifier));
    ShareUse {
        identifier: identifier.clone(),
        milli_vcpus: share.map_or(0, |share| share.running),
        weight: state.weight(queue, identifier),
    }
}

/// The job is the next of its queue.
fn itself(state: &State, job: &Job) -> Waits {
    let room = Room::of(state);
    if place(state, job, &room).is_none() {
        return match &job.nodes {
            Some(nodes) => Waits::AllNodes(nodes.num_nodes()),
            None => Waits::Capacity,
        };
    }
    let short = job.held_consumables(Member::Whole).iter().find_map(|Consumable { arn, quantity }| {
        let resource = state.consumable_resources.get(arn);
        let left = resource.map_or(0, |resource| state.consumables_left(resource));
        let held = resource.map_or(0, |resource| state.consumables_in_use(resource));
        (*quantity > left).then(|| Waits::Consumable { arn: arn.clone(), needed: *quantity, left, held })
    });
    short.unwrap_or(Waits::Pass)
}

/// The environments of the job's queue in order, each with what it says to the job.
pub(super) fn environments(state: &State, job: &Job) -> Vec<(Arn, Verdict)> {
    let room = Room::of(state);
    let verdict = |ce: &ComputeEnvironment| place_in(state, ce, job, &room).err().unwrap_or(Verdict::Room);
    of_queue(state, &job.queue).map(|ce| (ce.arn.clone(), verdict(ce))).collect()
}

/// Where the job would go: the environment, and the instance of each node (or of the one attempt) with what it takes.
pub(super) fn place(state: &State, job: &Job, room: &Room) -> Option<(Arn, Vec<(Text, Resources)>)> {
    of_queue(state, &job.queue)
        .find_map(|ce| place_in(state, ce, job, room).ok().map(|instances| (ce.arn.clone(), instances)))
}

fn of_queue<'a>(state: &'a State, queue: &str) -> impl Iterator<Item = &'a ComputeEnvironment> {
    let order = state.job_queues.get(queue).map(|queue| queue.environments.as_slice()).unwrap_or_default();
    order.iter().filter_map(|arn| state.compute_environments.get(arn)).map(|ce| &**ce)
}

/// The instances that would take the job within one environment, or why none would.
fn place_in(
    state: &State,
    ce: &ComputeEnvironment,
    job: &Job,
    room: &Room,
) -> Result<Vec<(Text, Resources)>, Verdict> {
    if !ce.enabled {
        return Err(Verdict::Disabled);
    }
    if ce.status != Status::Valid {
        return Err(Verdict::NotValid(ce.status, ce.status_reason.clone()));
    }
    let need = job.resources;
    if let Some(max) = ce.max_vcpus.map(|vcpus| u64::from(vcpus) * 1000) {
        let used = room.used.get(&ce.arn).map_or(0, |used| used.milli_vcpus);
        if need.milli_vcpus > max {
            return Err(Verdict::AboveCeiling(max));
        }
        if used.saturating_add(need.milli_vcpus) > max {
            return Err(Verdict::AtCeiling { used, max });
        }
    }
    let needs = job.nodes.as_ref().map_or_else(|| vec![need], |nodes| nodes.needs());
    if let Some(instances) = pack(&needs, room) {
        return Ok(instances);
    }
    if let Some(launching) = launching(state, &ce.arn) {
        return Err(launching);
    }
    let of_all = |amounts: &mut dyn Iterator<Item = Resources>| match needs.len() {
        1 => amounts.max_by_key(|free| closeness(free, &need)),
        _ => amounts.reduce(|mut sum, amount| {
            sum.reserve(&amount);
            sum
        }),
    };
    let capacities = state.instances.values().filter(|i| i.connected).map(|i| i.record.capacity);
    match (of_all(&mut { capacities }), of_all(&mut room.free.values().copied())) {
        (Some(largest), _) if !largest.covers(&need) => Err(Verdict::TooLarge { need, largest }),
        (_, Some(free)) => Err(Verdict::NoRoom { need, free }),
        (_, None) => Err(Verdict::NoInstance),
    }
}

/// Puts each part on an instance with room for it, the largest first; `None` when one finds none.
fn pack(needs: &[Resources], room: &Room) -> Option<Vec<(Text, Resources)>> {
    let mut free: Vec<(&Text, Resources)> = room.free.iter().map(|(id, free)| (id, *free)).collect();
    let mut parts = needs.to_vec();
    parts.sort_by(|a, b| b.cmp(a));
    let put = |part: Resources| {
        let (id, free) = free.iter_mut().find(|(_, free)| free.covers(&part))?;
        *free = free.saturating_sub(&part);
        Some(((*id).clone(), part))
    };
    parts.into_iter().map(put).collect()
}

/// By which of several amounts comes closest to what is needed.
fn closeness(free: &Resources, need: &Resources) -> (usize, Resources) {
    let enough =
        [free.milli_vcpus >= need.milli_vcpus, free.memory_mib >= need.memory_mib, free.gpus >= need.gpus];
    (enough.into_iter().filter(|&enough| enough).count(), *free)
}

fn launching(state: &State, environment: &Arn) -> Option<Verdict> {
    let managed = state.instances.values().filter_map(|instance| instance.record.managed.as_deref());
    let launching = managed.filter(|m| m.compute_environment == *environment && m.phase == Phase::Launching);
    let since: Vec<Timestamp> = launching.map(|managed| managed.requested_at).collect();
    let count = u32::try_from(since.len()).unwrap_or(u32::MAX);
    since.into_iter().min().map(|first| Verdict::Launching(count, first))
}

/// What goes first in a queue, in the order in which it goes; one more than a position is exact for.
pub(super) fn front(state: &State, queue: &str) -> Vec<JobId> {
    state.front_of_queue(queue, FRONT_MAX + 1).into_iter().map(|(id, _)| id).collect()
}

/// Where a job stands in the front of its queue, or behind it.
pub(super) fn position(state: &State, id: JobId, front: &[JobId]) -> Position {
    let at = front.iter().take(FRONT_MAX).position(|&other| other == id);
    let ahead = at.unwrap_or(front.len().min(FRONT_MAX));
    let vcpus = |other: &JobId| state.jobs[&other.job].resources.milli_vcpus;
    Position {
        ahead,
        milli_vcpus_ahead: front[..ahead].iter().map(vcpus).fold(0, u64::saturating_add),
        is_exact: at.is_some(),
    }
}

/// Whether jobs of other queues may take what this queue's jobs wait for.
pub(super) fn has_rivals(state: &State, queue: &str) -> bool {
    state.backlogs.iter().any(|(arn, backlog)| *arn != *queue && !backlog.runnable.is_empty())
}

/// When a RUNNABLE job or child became so.
pub(super) fn runnable_since(state: &State, id: JobId) -> Timestamp {
    let whole = matches!(id.member, Member::Node(_)).then_some(JobId::whole(id.job));
    state.runnable_since(whole.unwrap_or(id))
}
