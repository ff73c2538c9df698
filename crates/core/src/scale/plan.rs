//! How many instances of which types to launch for the work that waits, in one step.
//!
//! Work comes as shapes with counts, and instances are filled as groups of equals, so that a million jobs of one shape cost as
//! much as one: the cost grows with shapes × (types + shapes), never with jobs.
//!
//! What must hold: all work gets a place as far as types and room allow; `maxvCpus` is exceeded by at most one instance, and
//! only where the strategy may; an instance is as small as what was put on it allows.
//!
//! Source: AWS Batch User Guide, Instance type allocation strategies: sizes are chosen for all jobs that wait together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::instance_type::InstanceType;
use super::select::{Candidate, Need, Offer};
use crate::instance::Architecture;
use crate::quantity::Resources;

/// Work of one shape that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Of each unit.
    pub need: Need,
    /// How many units.
    pub count: u64,
}

impl Demand {
    /// vCPUs for whatever may come: what `minvCpus` and `desiredvCpus` ask for beyond the work that waits.
    pub fn of_vcpus(count: u64) -> Demand {
        let resources = Resources { milli_vcpus: 1000, memory_mib: 1, gpus: 0 };
        Demand { need: Need { resources, architecture: None, multi_node: false }, count }
    }
}

/// Instances that are alike, and have the same room for work: they are there, or are being launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    /// Of each.
    pub free: Resources,
    /// `None` where it is not known: they take work for any.
    pub architecture: Option<Architecture>,
    /// How many.
    pub count: u64,
}

/// Instances to launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Their type.
    pub instance_type: &'static InstanceType,
    /// How many, at least 1.
    pub count: u64,
    /// The most that an hour of one may cost, in millionths of a US dollar; `None` for whatever it costs.
    pub max_price: Option<u64>,
}

/// Decides what to launch, in the order of the types' names.
///
/// `demand` is what no instance has room for that is there or is being launched ([`left_over`]), in the order in which it should
/// be served. `room_vcpus` is what `maxvCpus` leaves. Where the room is too small for all, the first demands get it, and nothing
/// is launched for those behind one that must wait for room: they would take what it waits for.
pub fn plan(offer: &Offer, demand: &[Demand], room_vcpus: u64) -> Vec<Launch> {
    let mut wanted = Vec::new();
    for &Demand { need, count } in demand.iter().filter(|demand| demand.count > 0) {
        let mut choices = offer.candidates(&need);
        let Some(tier) = choices.first().map(|best| best.tier) else { continue };
        choices.retain(|one| one.tier == tier);
        wanted.push(Wanted { shape: need.resources, architecture: need.architecture, count, choices });
    }
    let all = pack(&largest_first(&wanted), u64::MAX, false);
    if vcpus(&all) <= room_vcpus {
        return launches(&all);
    }
    let in_order: Vec<&Wanted> = wanted.iter().collect();
    launches(&pack(&in_order, room_vcpus, offer.may_overshoot()))
}

/// What is left of `demand` when the instances in `room` have taken what they can, in order; `room` is what is left of that.
/// Single instances stay where they are in `room`; groups that were filled in part go to its end.
pub fn left_over(demand: &[Demand], room: &mut Vec<Coming>) -> Vec<Demand> {
    let group =
        |one: &Coming| Group { free: one.free, architecture: one.architecture, count: one.count, of: None };
    let mut groups: Vec<Group> = room.iter().map(group).collect();
    let left = demand.iter().map(|&Demand { need, count }| {
        let count = fill(&mut groups, 0, &need.resources, need.architecture, count);
        Demand { need, count }
    });
    let left = left.filter(|demand| demand.count > 0).collect();
    let rest = groups.into_iter();
    *room =
        rest.map(|Group { free, architecture, count, .. }| Coming { free, architecture, count }).collect();
    left
}

/// Work that needs new instances.
struct Wanted<'a> {
    shape: Resources,
    architecture: Option<Architecture>,
    count: u64,
    /// Types that are equal to the strategy; never empty.
    choices: Vec<&'a Candidate>,
}

/// Instances that are filled alike.
#[derive(Clone, Copy)]
struct Group<'a> {
    free: Resources,
    architecture: Option<Architecture>,
    count: u64,
    /// What they are, and what else they could be; `None` for those that come anyway.
    of: Option<(&'a Candidate, &'a [&'a Candidate])>,
}

/// The order that packs best: the largest shapes first, so that small ones fill the gaps.
fn largest_first<'a>(wanted: &'a [Wanted<'a>]) -> Vec<&'a Wanted<'a>> {
    let mut order: Vec<&Wanted> = wanted.iter().collect();
    order.sort_by_key(|one| Reverse((one.shape.gpus, bulk(&one.shape))));
    order
}

/// Packs what there is room for, in the order given.
fn pack<'a>(wanted: &[&'a Wanted<'a>], mut room: u64, may_overshoot: bool) -> Vec<Group<'a>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut behind = Behind::new(wanted);
    'wanted: for one in wanted {
        behind.pass(one);
        let mut left = fill(&mut groups, 0, &one.shape, one.architecture, one.count);
        while left > 0 {
            let units = left.saturating_add(behind.units_of(&one.shape));
            let best = cheapest(&one.choices, &one.shape, units, room);
            let overshoot = || one.choices.iter().min_by_key(|one| one.instance_type.vcpus).copied();
            let Some(chosen) = best.or_else(|| overshoot().filter(|_| may_overshoot && room > 0)) else {
                break 'wanted;
            };
            let each = u64::from(chosen.instance_type.vcpus);
            let count = (left / fits(&chosen.capacity, &one.shape)).clamp(1, (room / each).max(1));
            room = room.saturating_sub(each.saturating_mul(count));
            let first = groups.len();
            let architecture = Some(chosen.instance_type.architecture);
            let of = Some((chosen, one.choices.as_slice()));
            groups.push(Group { free: chosen.capacity, architecture, count, of });
            left = fill(&mut groups, first, &one.shape, one.architecture, left);
        }
    }
    for group in &mut groups {
        shrink(group);
    }
    groups
}

/// Puts `count` units of `shape` on the groups from index `first` on, each as full as it gets before the next; returns how many
/// units found no place.
fn fill(
    groups: &mut Vec<Group>,
    first: usize,
    shape: &Resources,
    architecture: Option<Architecture>,
    mut count: u64,
) -> u64 {
    for index in first..groups.len() {
        let group = groups[index];
        let suits = architecture.zip(group.architecture).is_none_or(|(wanted, has)| wanted == has);
        let per_instance = if suits { fits(&group.free, shape) } else { 0 };
        if count == 0 || per_instance == 0 {
            continue;
        }
        let full = (count / per_instance).min(group.count);
        count -= full * per_instance;
        // What is left, less than fills one, goes onto the next; the rest of the group stays as it was.
        let last = if full < group.count { std::mem::take(&mut count) } else { 0 };
        let partial = u64::from(last > 0);
        let parts = [(full, per_instance), (partial, last), (group.count - full - partial, 0)];
        let mut parts = parts.into_iter().filter(|(instances, _)| *instances > 0).map(|(count, units)| {
            let free = without(&group.free, shape, units);
            Group { free, count, ..group }
        });
        groups[index] = parts.next().unwrap_or(group);
        groups.extend(parts);
    }
    count
}

/// The type whose price is lowest for each of the units that it would hold, of those that `room` allows. The larger one of
/// equals, and the one with fewer vCPUs of those.
fn cheapest<'a>(
    choices: &[&'a Candidate],
    shape: &Resources,
    units: u64,
    room: u64,
) -> Option<&'a Candidate> {
    let allowed = choices.iter().filter(|one| u64::from(one.instance_type.vcpus) <= room);
    let held = |one: &Candidate| u128::from(fits(&one.capacity, shape).min(units));
    let cost = |one: &Candidate, other: &Candidate| u128::from(one.price) * held(other);
    let by_cost = |a: &&&Candidate, b: &&&Candidate| {
        let size = held(b).cmp(&held(a)).then(a.instance_type.vcpus.cmp(&b.instance_type.vcpus));
        cost(a, b).cmp(&cost(b, a)).then(size)
    };
    allowed.min_by(by_cost).copied()
}

/// Makes a group of the cheapest type that holds what was put on it.
fn shrink(group: &mut Group) {
    let Some((chosen, choices)) = group.of else { return };
    let used = chosen.capacity.saturating_sub(&group.free);
    let is_like = |one: &&&Candidate| one.instance_type.architecture == chosen.instance_type.architecture;
    let enough = choices.iter().filter(is_like).filter(|one| one.capacity.covers(&used));
    if let Some(best) = enough.min_by_key(|one| (one.price, one.instance_type.vcpus)) {
        *group = Group { free: best.capacity.saturating_sub(&used), of: Some((best, choices)), ..*group };
    }
}

/// What there is of the shapes that are still to be served, with and without GPUs: an instance that is launched for one shape
/// may be large enough for some of the next.
struct Behind([Volume; 2]);

#[derive(Clone, Copy, Default)]
struct Volume {
    milli_vcpus: u128,
    memory_mib: u128,
    gpus: u128,
}

impl Behind {
    fn new(wanted: &[&Wanted]) -> Behind {
        let mut behind = Behind([Volume::default(); 2]);
        for one in wanted {
            let (volume, added) = (behind.of(&one.shape), Volume::of(one));
            volume.milli_vcpus += added.milli_vcpus;
            volume.memory_mib += added.memory_mib;
            volume.gpus += added.gpus;
        }
        behind
    }

    fn of(&mut self, shape: &Resources) -> &mut Volume {
        &mut self.0[usize::from(shape.gpus > 0)]
    }

    /// `one` is served now.
    fn pass(&mut self, one: &Wanted) {
        let (volume, served) = (self.of(&one.shape), Volume::of(one));
        volume.milli_vcpus -= served.milli_vcpus;
        volume.memory_mib -= served.memory_mib;
        volume.gpus -= served.gpus;
    }

    /// How many units of `shape` would be as much, in the dimension in which they are fewest.
    fn units_of(&mut self, shape: &Resources) -> u64 {
        let Volume { milli_vcpus, memory_mib, gpus } = *self.of(shape);
        let units = [
            milli_vcpus.checked_div(shape.milli_vcpus.into()),
            memory_mib.checked_div(shape.memory_mib.into()),
            gpus.checked_div(shape.gpus.into()),
        ];
        let fewest = units.into_iter().flatten().min().unwrap_or(0);
        u64::try_from(fewest).unwrap_or(u64::MAX)
    }
}

impl Volume {
    fn of(one: &Wanted) -> Volume {
        let count = u128::from(one.count);
        Volume {
            milli_vcpus: count * u128::from(one.shape.milli_vcpus),
            memory_mib: count * u128::from(one.shape.memory_mib),
            gpus: count * u128::from(one.shape.gpus),
        }
    }
}

/// How many units of `shape` fit into `free`. Nothing at all fits without end.
fn fits(free: &Resources, shape: &Resources) -> u64 {
    let each = [
        free.milli_vcpus.checked_div(shape.milli_vcpus),
        free.memory_mib.checked_div(shape.memory_mib),
        u64::from(free.gpus).checked_div(shape.gpus.into()),
    ];
    each.into_iter().flatten().min().unwrap_or(u64::MAX)
}

/// `free` without `count` units of `shape`, which fit.
fn without(free: &Resources, shape: &Resources, count: u64) -> Resources {
    free.saturating_sub(&Resources {
        milli_vcpus: shape.milli_vcpus.saturating_mul(count),
        memory_mib: shape.memory_mib.saturating_mul(count),
        gpus: shape.gpus.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)),
    })
}

/// One number for how large a shape is: a vCPU counts as much as 4 GiB, as in the general purpose families.
fn bulk(shape: &Resources) -> u128 {
    u128::from(shape.milli_vcpus) * 4096 + u128::from(shape.memory_mib) * 1000
}

/// vCPUs of all instances.
fn vcpus(groups: &[Group]) -> u64 {
    let each = groups.iter().filter_map(|group| Some((group.of?.0, group.count)));
    each.fold(0, |sum: u64, (one, count)| {
        sum.saturating_add(count.saturating_mul(one.instance_type.vcpus.into()))
    })
}

fn launches(groups: &[Group]) -> Vec<Launch> {
    let mut launches: BTreeMap<&str, Launch> = BTreeMap::new();
    for Group { count, of, .. } in groups {
        let Some((Candidate { instance_type, max_price, .. }, _)) = of else { continue };
        let none = Launch { instance_type, count: 0, max_price: *max_price };
        let launch = launches.entry(instance_type.name).or_insert(none);
        launch.count = launch.count.saturating_add(*count);
    }
    launches.into_values().collect()
}

#[cfg(test)]
mod tests;
