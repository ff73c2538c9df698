//! What waits for instances of an environment, as far as those that are there or coming leave it waiting.
//!
//! Jobs that could start on an idle instance have been placed there before anybody asks: what still waits does not fit, or waits
//! for more than room. So room that is there counts for those who cannot have it alone: the nodes of a multi-node job, and jobs
//! behind one that must go first.
//!
//! Source: AWS Batch User Guide, compute environment order; multi-node parallel jobs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::arn::Arn;
use crate::instance::{Architecture, LaunchFailure};
use crate::resource::compute_environment::ComputeEnvironment;
use crate::resource::job_queue::JobQueue;
use crate::scale::plan::{Coming, Demand, left_over};
use crate::scale::select::{Candidate, Need};
use crate::scale::surplus::Idle;
use crate::schedule::Shape;
use crate::state::State;
use crate::text::Text;

/// What waits for new instances.
#[derive(Debug, Default)]
pub(super) struct Unmet {
    /// In the order in which it goes.
    pub(super) demand: Vec<Demand>,
    /// Idle instances that are kept for what waits.
    pub(super) needs: BTreeSet<Text>,
}

/// What is left to give while a demand is added up.
#[derive(Default)]
struct Left<'a> {
    /// Units of consumable resources.
    consumables: BTreeMap<&'a Arn, u64>,
    /// Room in other environments.
    rooms: BTreeMap<&'a Arn, Vec<Coming>>,
}

/// What each part of a shape needs of an instance.
fn needs(shape: &Shape) -> impl Iterator<Item = (Need, u64)> {
    let multi_node = !shape.nodes.is_empty();
    let architecture = shape.architecture;
    shape
        .parts()
        .map(move |(resources, count)| (Need { resources, architecture, multi_node }, u64::from(count)))
}

impl State {
    /// Whether an environment that scales could ever launch what a shape needs.
    pub(crate) fn could_launch_for(&self, ce: &ComputeEnvironment, shape: &Shape) -> bool {
        self.fleets.get(&ce.arn).is_some_and(|fleet| needs(shape).all(|(need, _)| fleet.offer.suits(&need)))
    }

    /// Whether room for a shape is being launched in an environment, or could be.
    pub(crate) fn is_coming(&self, ce: &ComputeEnvironment, shape: &Shape) -> bool {
        let launching = |need: &Need| {
            self.instances.launching(&ce.arn).any(|coming| {
                Architecture::serves(coming.architecture, need.architecture)
                    && coming.free.covers(&need.resources)
            })
        };
        let could = |need: &Need| launching(need) || self.can_launch(ce, need, self.room_vcpus(ce));
        ce.is_open() && self.fleets.contains_key(&ce.arn) && needs(shape).all(|(need, _)| could(&need))
    }

    /// Whether an environment that may launch `room` vCPUs more can launch an instance for one unit of work.
    fn can_launch(&self, ce: &ComputeEnvironment, need: &Need, room: u64) -> bool {
        let Some(fleet) = self.fleets.get(&ce.arn) else { return false };
        let fits =
            |one: &Candidate| fleet.offer.may_overshoot() || u64::from(one.instance_type.vcpus) <= room;
        room > 0 && fleet.offer.candidates(need).into_iter().any(fits)
    }

    /// `desiredvCpus` of an environment as it is now, within its bounds; `None` when it does not scale.
    ///
    /// Source: AWS Batch API reference, ComputeResource: AWS Batch moves it between minvCpus and maxvCpus by demand.
    pub fn desired_vcpus(&self, ce: &ComputeEnvironment) -> Option<u64> {
        let scaling = ce.scaling.as_deref().filter(|_| self.scales(ce))?;
        let max = u64::from(ce.max_vcpus.unwrap_or(0));
        Some(self.fleet_vcpus(&ce.arn).max(scaling.min_vcpus.into()).min(max))
    }

    /// vCPUs of all instances of an environment that were not asked to go.
    pub fn fleet_vcpus(&self, environment: &Arn) -> u64 {
        self.instances.staying(environment) / 1000
    }

    /// vCPUs that an environment may still launch.
    pub(super) fn room_vcpus(&self, ce: &ComputeEnvironment) -> u64 {
        u64::from(ce.max_vcpus.unwrap_or(0)).saturating_sub(self.fleet_vcpus(&ce.arn))
    }

    /// The type that a shape waits for in an environment, when there is no more of it, nor of any other that would do.
    pub(crate) fn is_short_of(&self, ce: &ComputeEnvironment, shape: &Shape) -> Option<&Text> {
        let fleet = self.fleets.get(&ce.arn)?;
        if self.is_coming(ce, shape) || !self.could_launch_for(ce, shape) || self.room_vcpus(ce) == 0 {
            return None;
        }
        match fleet.failure.as_ref()? {
            (of, LaunchFailure::InsufficientCapacity) => Some(of),
            (_, LaunchFailure::Other(_)) => None,
        }
    }

    /// Whether launches of an environment have failed and none has succeeded since.
    pub(crate) fn launches_fail(&self, ce: &ComputeEnvironment) -> bool {
        self.fleets.get(&ce.arn).is_some_and(|fleet| fleet.failure.is_some())
    }

    /// What waits for instances of an environment beyond those that are there or coming, of which `idle` are idle.
    pub(super) fn unmet(&self, ce: &ComputeEnvironment, idle: &[Idle]) -> Unmet {
        let demand = self.demand(ce);
        if demand.is_empty() {
            return Unmet::default();
        }
        let rooms = idle.iter().filter_map(|one| self.instances.get(&one.instance_id));
        let single = rooms.map(|room| Coming {
            free: room.record.capacity,
            architecture: room.record.architecture,
            count: 1,
        });
        let mut rooms: Vec<Coming> = single.collect();
        let before = rooms.clone();
        rooms.extend(self.instances.busy(&ce.arn));
        rooms.extend(self.instances.launching(&ce.arn));
        let demand = left_over(&demand, &mut rooms);
        let is_used = |(before, after): (&Coming, &Coming)| before.free != after.free;
        let used = before.iter().zip(&rooms).map(is_used);
        let needs = idle.iter().zip(used).filter(|(_, used)| *used);
        Unmet { demand, needs: needs.map(|(one, _)| one.instance_id.clone()).collect() }
    }

    /// Whether something could be launched for what waits if these idle instances, which are of no use to it, were not there.
    pub(super) fn is_in_the_way(&self, ce: &ComputeEnvironment, idle: &[Idle], demand: &[Demand]) -> bool {
        let room = self.room_vcpus(ce);
        let more = room.saturating_add(idle.iter().map(|one| u64::from(one.vcpus)).sum());
        let mut single = demand.iter().filter(|demand| !demand.need.multi_node);
        single
            .any(|demand| !self.can_launch(ce, &demand.need, room) && self.can_launch(ce, &demand.need, more))
    }

    /// What waits for instances of an environment, in the order in which it goes: all that its queues have and that no
    /// environment before it could serve.
    fn demand(&self, ce: &ComputeEnvironment) -> Vec<Demand> {
        let mut queues: Vec<&JobQueue> = self
            .job_queues
            .values()
            .map(|queue| &**queue)
            .filter(|queue| queue.environments.contains(&ce.arn))
            .collect();
        queues.sort_by_key(|queue| (Reverse(queue.priority), &queue.arn));
        let (mut demand, mut left) = (Vec::new(), Left::default());
        for queue in queues {
            let Some(backlog) = self.backlogs.get(&queue.arn) else { continue };
            let mut allowed = self.cap(&queue.arn, backlog).saturating_sub(backlog.running);
            let mut fresh: Vec<usize> =
                backlog.lanes().filter(|(_, lane)| lane.running == 0).map(|(n, _)| n).collect();
            for id in backlog.shapes_in_order() {
                let shape = self.shapes.get(id);
                if backlog.never.contains_key(&id) || shape.need.milli_vcpus > ce.ceiling() {
                    continue;
                }
                // Shares that have nothing yet get one job each whatever is reserved.
                let waiting = fresh.len();
                fresh.retain(|&lane| backlog.lane(lane).first_of(id).is_none());
                let first = (waiting - fresh.len()) as u64;
                let each = shape.need.milli_vcpus.max(1);
                let units = backlog.units(id).min((allowed / each).max(first));
                let units = self.placeable_units(shape, units, &mut left);
                allowed = allowed.saturating_sub(each.saturating_mul(units));
                demand.extend(self.not_elsewhere(ce, queue, shape, units, &mut left));
            }
        }
        demand
    }

    /// What so many jobs of a shape need that no environment of the queue before this one serves: one that can launch for them
    /// does, and one that cannot what it has room for. A multi-node job waits for the first that could ever take it.
    fn not_elsewhere<'a>(
        &'a self,
        ce: &ComputeEnvironment,
        queue: &JobQueue,
        shape: &Shape,
        units: u64,
        left: &mut Left<'a>,
    ) -> Vec<Demand> {
        let parts = needs(shape).map(|(need, count)| Demand { need, count: count.saturating_mul(units) });
        let mut parts: Vec<Demand> = parts.filter(|demand| demand.count > 0).collect();
        parts.sort_by_key(|demand| Reverse(demand.need.resources)); // as a pass places nodes
        let before = self.environments_of(&queue.arn).take_while(|other| other.arn != ce.arn);
        let before = before.filter(|other| other.is_open() && shape.need.milli_vcpus <= other.ceiling());
        for other in before.filter(|other| self.could_launch_for(other, shape)) {
            if !shape.nodes.is_empty() {
                return Vec::new();
            }
            parts.retain(|demand| !self.can_launch(other, &demand.need, self.room_vcpus(other)));
            let coming =
                || self.instances.busy(&other.arn).chain(self.instances.launching(&other.arn)).collect();
            parts = left_over(&parts, left.rooms.entry(&other.arn).or_insert_with(coming));
        }
        parts
    }

    /// As many units of a shape as the consumable resources that they need are there for.
    fn placeable_units<'a>(&'a self, shape: &'a Shape, units: u64, left: &mut Left<'a>) -> u64 {
        let needed = || shape.consumables.iter().filter(|needed| needed.quantity > 0);
        let mut units = units;
        for needed in needed() {
            let there = || {
                self.consumable_resources
                    .get(&needed.arn)
                    .map_or(0, |resource| self.consumables_left(resource))
            };
            let there = *left.consumables.entry(&needed.arn).or_insert_with(there);
            units = units.min(there / needed.quantity);
        }
        for needed in needed() {
            left.consumables.entry(&needed.arn).and_modify(|there| *there -= needed.quantity * units);
        }
        units
    }
}
