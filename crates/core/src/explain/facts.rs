//! What the scheduler knows of a job that waits. Nothing else in this folder looks into [`crate::schedule`]: whatever places
//! jobs, and by whatever rules, speaks to the rest through these functions.
//!
//! [`waits`] and [`environments`] cost O(active shares + environments · instances), [`front`] what it returns.

use std::collections::BTreeMap;

use crate::arn::Arn;
use crate::explain::{HeldBack, Position, ShareUse, Verdict, Waits};
use crate::id::{JobId, Member};
use crate::instance::{Architecture, Instance, LaunchFailure, Phase};
use crate::job::Job;
use crate::quantity::Resources;
use crate::resource::compute_environment::ComputeEnvironment;
use crate::resource::consumable_resource::Consumable;
use crate::schedule::Shape;
use crate::state::State;
use crate::text::Text;
use crate::time::Timestamp;

/// Positions are exact up to here.
const FRONT_MAX: usize = 10_000;

/// What is taken, as far as it differs from now: so the future can be played on it.
#[derive(Clone)]
pub(super) struct Future {
    /// In use in each environment.
    used: BTreeMap<Arn, Resources>,
    /// What instances have left where that has changed.
    free: BTreeMap<Text, Resources>,
}

impl Future {
    /// As it is now.
    pub(super) fn of(state: &State) -> Future {
        Future { used: state.in_use.clone(), free: BTreeMap::new() }
    }

    /// Takes room for an attempt on an instance.
    pub(super) fn take(&mut self, state: &State, environment: &Arn, instance_id: &Text, amount: &Resources) {
        self.used.entry(environment.clone()).or_default().reserve(amount);
        let free = self.free.entry(instance_id.clone()).or_insert_with(|| free(state, instance_id));
        *free = free.saturating_sub(amount);
    }

    /// Gives it back.
    pub(super) fn give_back(
        &mut self,
        state: &State,
        environment: &Arn,
        instance_id: &Text,
        amount: &Resources,
    ) {
        self.used.entry(environment.clone()).or_default().release(amount);
        self.free.entry(instance_id.clone()).or_insert_with(|| free(state, instance_id)).reserve(amount);
    }

    /// What the instances that an environment may use have left.
    fn rooms<'a>(
        &'a self,
        state: &'a State,
        ce: &'a ComputeEnvironment,
    ) -> impl Iterator<Item = (&'a Text, &'a Instance, Resources)> {
        let own = Some(&ce.arn).filter(|_| state.scales(ce));
        state.instances.of(own).filter(|room| room.is_open()).map(|room| {
            let record = &*room.record;
            let now = record.capacity.saturating_sub(&room.used);
            (&record.instance_id, record, self.free.get(&record.instance_id).copied().unwrap_or(now))
        })
    }
}

fn free(state: &State, instance_id: &str) -> Resources {
    let room = state.instances.get(instance_id);
    room.map_or(Resources::default(), |room| room.record.capacity.saturating_sub(&room.used))
}

/// What keeps a RUNNABLE job, or a RUNNABLE child, from starting.
pub(super) fn waits(state: &State, id: JobId) -> Waits {
    let job = &state.jobs[&id.job];
    if let Some(reason) = state.blocked_reason(id) {
        return Waits::Never(reason);
    }
    let first = first(state, &job.queue).filter(|&first| first.job != id.job);
    if let Some(first) = first {
        let before = state.jobs[&first.job].share_identifier.as_ref();
        if let (Some(own), Some(before)) = (&job.share_identifier, before)
            && own != before
        {
            let of = |share| share_use(state, &job.queue, share);
            return Waits::Turn { own: of(own), first: of(before) };
        }
        if !state.settings.backfill {
            return ahead(state, first, HeldBack::StrictOrder);
        }
    }
    if let Some(short) = lacks(state, job) {
        return short;
    }
    if !has_room(state, job) {
        return job.nodes.as_ref().map_or(Waits::Capacity, |nodes| Waits::AllNodes(nodes.num_nodes()));
    }
    // There is room, but somebody who came before waits for it.
    match state.backlogs.get(&job.queue).and_then(|backlog| backlog.claim.as_ref()) {
        Some(claim) if claim.job != id.job && state.is_live(claim.job) => {
            let because = claim.at.map_or(HeldBack::StrictOrder, HeldBack::ReservedStart);
            ahead(state, next_of(state, claim.job), because)
        }
        Some(_) | None => Waits::Pass,
    }
}

fn ahead(state: &State, job: JobId, because: HeldBack) -> Waits {
    Waits::Ahead { job, name: state.jobs[&job.job].name.clone(), because }
}

/// What goes next in a queue.
pub(super) fn first(state: &State, queue: &str) -> Option<JobId> {
    let (first, _) = state.backlogs.get(queue)?.blocked?;
    state.is_live(first).then(|| next_of(state, first))
}

/// The job itself, or the next RUNNABLE child of an array.
fn next_of(state: &State, job: crate::id::Uuid) -> JobId {
    let child = state.arrays.get(&job).and_then(|array| array.next_runnable());
    child.map_or(JobId::whole(job), |index| JobId::child(job, index))
}

/// What a share uses and weighs.
pub(crate) fn share_use(state: &State, queue: &Arn, identifier: &Text) -> ShareUse {
    let backlog = state.backlogs.get(queue);
    let lane = backlog.and_then(|backlog| Some(backlog.lane(backlog.lane_of(identifier)?)));
    ShareUse {
        identifier: identifier.clone(),
        milli_vcpus: lane.map_or(0, |lane| lane.running),
        weight: state.weight(queue, identifier),
    }
}

/// Too little of a consumable resource.
fn lacks(state: &State, job: &Job) -> Option<Waits> {
    job.held_consumables(Member::Whole).iter().find_map(|Consumable { arn, quantity }| {
        let resource = state.consumable_resources.get(arn);
        let left = resource.map_or(0, |resource| state.consumables_left(resource));
        let held = resource.map_or(0, |resource| state.consumables_in_use(resource));
        (*quantity > left).then(|| Waits::Consumable { arn: arn.clone(), needed: *quantity, left, held })
    })
}

fn has_room(state: &State, job: &Job) -> bool {
    let future = Future::of(state);
    state.environments_of(&job.queue).any(|ce| place_in(state, ce, job, &future).is_ok())
}

/// The environments of the job's queue in order, each with what it says to the job.
pub(super) fn environments(state: &State, job: &Job) -> Vec<(Arn, Verdict)> {
    let future = Future::of(state);
    let verdict = |ce: &ComputeEnvironment| place_in(state, ce, job, &future).err().unwrap_or(Verdict::Room);
    state.environments_of(&job.queue).map(|ce| (ce.arn.clone(), verdict(ce))).collect()
}

/// Where the job would go: the environment, and the instance of each node (or of the one attempt) with what it takes.
pub(super) fn place(state: &State, job: &Job, future: &Future) -> Option<(Arn, Vec<(Text, Resources)>)> {
    state
        .environments_of(&job.queue)
        .find_map(|ce| place_in(state, ce, job, future).ok().map(|instances| (ce.arn.clone(), instances)))
}

/// Whether instances are launched for what waits in a queue.
pub(super) fn scales(state: &State, queue: &str) -> bool {
    state.environments_of(queue).any(|ce| state.scales(ce))
}

/// The instances that would take the job within one environment, or why none would.
fn place_in(
    state: &State,
    ce: &ComputeEnvironment,
    job: &Job,
    future: &Future,
) -> Result<Vec<(Text, Resources)>, Verdict> {
    if !ce.enabled {
        return Err(Verdict::Disabled);
    }
    if !ce.is_open() {
        return Err(Verdict::NotValid(ce.status, ce.status_reason.clone()));
    }
    let need = job.resources;
    if need.milli_vcpus > ce.ceiling() {
        return Err(Verdict::AboveCeiling(ce.ceiling()));
    }
    let used = match state.scales(ce) {
        true => 0, // its instances are the limit
        false => future.used.get(&ce.arn).map_or(0, |used| used.milli_vcpus),
    };
    if used.saturating_add(need.milli_vcpus) > ce.ceiling() {
        return Err(Verdict::AtCeiling { used, max: ce.ceiling() });
    }
    let suits = |instance: &Instance| Architecture::serves(instance.architecture, job.architecture);
    let rooms = || future.rooms(state, ce).filter(|(_, instance, _)| suits(instance));
    let needs = job.nodes.as_ref().map_or_else(|| vec![need], |nodes| nodes.needs());
    if let Some(instances) = pack(&needs, rooms().map(|(id, _, free)| (id, free))) {
        return Ok(instances);
    }
    if let Some(launching) = launching(state, &ce.arn) {
        return Err(launching);
    }
    if let Some((instance_type, failure)) = state.fleets.get(&ce.arn).and_then(|fleet| fleet.failure.as_ref())
        && state.is_short_of(ce, &Shape::of(job)).is_some()
    {
        let why = match failure {
            LaunchFailure::InsufficientCapacity => "there is no more capacity of it now",
            LaunchFailure::Other(reason) => reason,
        };
        return Err(Verdict::LaunchFailed(format!("{instance_type}: {why}").into()));
    }
    if state.scales(ce) {
        let used = state.fleet_vcpus(&ce.arn) * 1000;
        if used.saturating_add(need.milli_vcpus) > ce.ceiling() {
            return Err(Verdict::AtCeiling { used, max: ce.ceiling() });
        }
    }
    let of_all = |amounts: &mut dyn Iterator<Item = Resources>| match needs.len() {
        1 => amounts.max_by_key(|free| closeness(free, &need)),
        _ => amounts.reduce(|mut sum, amount| {
            sum.reserve(&amount);
            sum
        }),
    };
    if rooms().next().is_none() && future.rooms(state, ce).next().is_some() {
        return Err(Verdict::WrongArchitecture);
    }
    let mut capacities = rooms().map(|(_, instance, _)| instance.capacity);
    match (of_all(&mut capacities), of_all(&mut rooms().map(|(.., free)| free))) {
        (Some(largest), _) if !largest.covers(&need) && !state.scales(ce) => {
            Err(Verdict::TooLarge { need, largest })
        }
        (_, Some(free)) => Err(Verdict::NoRoom { need, free }),
        (_, None) => Err(Verdict::NoInstance),
    }
}

/// Puts each part on an instance with room for it, the largest first; `None` when one finds none.
fn pack<'a>(
    needs: &[Resources],
    mut room: impl Iterator<Item = (&'a Text, Resources)>,
) -> Option<Vec<(Text, Resources)>> {
    if let [need] = needs {
        return room.find(|(_, free)| free.covers(need)).map(|(id, _)| vec![(id.clone(), *need)]);
    }
    let mut free: Vec<(&Text, Resources)> = room.collect();
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
    let managed = state.instances.of(Some(environment)).filter_map(|room| room.record.managed.as_deref());
    let since: Vec<Timestamp> = managed
        .filter(|managed| managed.phase == Phase::Launching)
        .map(|managed| managed.requested_at)
        .collect();
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
    state.backlogs.iter().any(|(arn, backlog)| *arn != *queue && !backlog.shapes.is_empty())
}

/// When a RUNNABLE job or child became so.
pub(super) fn runnable_since(state: &State, id: JobId) -> Timestamp {
    let whole = matches!(id.member, Member::Node(_)).then_some(JobId::whole(id.job));
    state.runnable_since(whole.unwrap_or(id))
}
