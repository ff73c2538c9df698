//! The fleet of an environment that scales: what is launched for the jobs that wait, what goes when it is idle, and what is
//! replaced when the infrastructure is updated.
//!
//! Launches follow the whole demand in one step; an environment is looked at again when more waits, when an instance came, failed
//! or went, and no more than once in [`PLAN_INTERVAL_MS`]. A look costs O(shapes that wait · instance types), and nothing
//! while the environment is at its ceiling. Idle instances are looked at as rarely, which costs O(idle instances · log).
//!
//! Source: AWS Batch User Guide, compute environment parameters, updating compute environments; what it leaves open (how long a
//! type that is short is left alone) is said at the constants.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arn::Arn;
use crate::id::TaskId;
use crate::instance::{Instance, InstanceRequest, LaunchFailure, Managed, Phase, Provision};
use crate::quantity::Resources;
use crate::record::Key;
use crate::resource::Status;
use crate::resource::compute_environment::ComputeEnvironment;
use crate::scale::plan::{self, Demand, Launch};
use crate::scale::select::{Need, Offer};
use crate::scale::spot::SpotMarket;
use crate::scale::surplus::{IDLE_DELAY_MS, Idle, surplus};
use crate::schedule::{Shape, ShapeId};
use crate::state::{State, Timer};
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Between two plans of one environment, in milliseconds. Our choice: what arrives within a second is planned together.
const PLAN_INTERVAL_MS: u64 = 1000;

/// For how long a type is left alone after its launch failed, in milliseconds. Our choice: AWS publishes none; the reason of
/// a blocked queue is observed to come and go in about three minutes.
pub(super) const SHORT_MS: u64 = 180_000;

/// What is known about the fleet of one environment beside its instances. Not stored: a server that starts anew tries again.
#[derive(Debug)]
pub(crate) struct Fleet {
    offer: Offer,
    /// Types of which there were no more, until when they are left alone.
    pub(crate) short: BTreeMap<Text, Timestamp>,
    /// How the last launch failed that failed.
    pub(crate) failure: Option<(Text, LaunchFailure)>,
    /// No plan before this time.
    next_plan: Timestamp,
    /// No look at idle instances before this time.
    next_look: Timestamp,
    /// When idle instances are looked at next; `None` when there was none.
    look_again: Option<Timestamp>,
}

impl Fleet {
    fn new(ce: &ComputeEnvironment, short: BTreeMap<Text, Timestamp>, now: Timestamp) -> Option<Fleet> {
        let scaling = ce.scaling.as_deref()?;
        let offer = Offer::new(scaling, ce.max_vcpus.unwrap_or(0), &SpotMarket::default(), &short, now);
        let (next_plan, next_look) = (Timestamp::default(), Timestamp::default());
        Some(Fleet { offer, short, failure: None, next_plan, next_look, look_again: None })
    }
}

/// What each part of a shape needs of an instance.
fn needs(shape: &Shape) -> impl Iterator<Item = (Need, u64)> {
    let multi_node = !shape.nodes.is_empty();
    let architecture = shape.architecture;
    shape
        .parts()
        .map(move |(resources, count)| (Need { resources, architecture, multi_node }, u64::from(count)))
}

/// vCPUs of an instance.
fn vcpus(instance: &Instance) -> u64 {
    instance.capacity.milli_vcpus / 1000
}

impl State {
    /// Begins to look after the fleet of an environment, or takes up what has changed of it.
    pub(crate) fn refresh_fleet(&mut self, arn: &Arn) {
        let now = self.latest;
        let Some(ce) = self.compute_environments.get(arn).filter(|ce| self.scales(ce)) else {
            self.fleets.remove(arn);
            return;
        };
        let known = self.fleets.remove(arn);
        let mut short = known.as_ref().map(|fleet| fleet.short.clone()).unwrap_or_default();
        short.retain(|_, until| *until > now);
        if let Some(fleet) = Fleet::new(ce, short, now) {
            let earliest = fleet.short.values().min().copied();
            let fleet = match known {
                Some(known) => Fleet { offer: fleet.offer, short: fleet.short, ..known },
                None => fleet,
            };
            self.fleets.insert(arn.clone(), fleet);
            self.scale_due.insert(arn.clone());
            self.schedule_due = true;
            if let Some(at) = earliest {
                self.set_timer(at, Timer::Scale(arn.clone()));
            }
        }
    }

    /// It is time to look at a fleet.
    pub(crate) fn fleet_due(&mut self, arn: &Arn) {
        let now = self.latest;
        let Some(fleet) = self.fleets.get(arn) else { return };
        if fleet.short.values().any(|until| *until <= now) {
            self.refresh_fleet(arn);
        }
        self.scale_due.insert(arn.clone());
        self.schedule_due = true;
    }

    /// The last attempt on an instance has ended.
    pub(crate) fn instance_idle(&mut self, id: &str) {
        let now = self.latest;
        let Some(managed) = self.instances.get(id).and_then(|room| room.record.managed.as_deref()) else {
            return;
        };
        let arn = managed.compute_environment.clone();
        if managed.phase == Phase::Ready {
            let at = now.plus_millis(IDLE_DELAY_MS);
            if let Some(fleet) = self.fleets.get_mut(&arn).filter(|fleet| fleet.look_again.is_none()) {
                fleet.look_again = Some(at);
                self.set_timer(at, Timer::Scale(arn));
            }
        } else {
            self.scale_due.insert(arn);
        }
    }

    /// Whether an environment that scales could ever launch what a shape needs.
    pub(crate) fn could_launch_for(&self, ce: &ComputeEnvironment, shape: &Shape) -> bool {
        self.fleets.get(&ce.arn).is_some_and(|fleet| needs(shape).all(|(need, _)| fleet.offer.suits(&need)))
    }

    /// Whether room for a shape is being launched in an environment, or could be.
    pub(crate) fn is_coming(&self, ce: &ComputeEnvironment, shape: &Shape) -> bool {
        let Some(fleet) = self.fleets.get(&ce.arn).filter(|_| ce.is_open()) else { return false };
        let launching = |need: &Need| {
            self.instances.launching(&ce.arn).any(|(capacity, _)| capacity.covers(&need.resources))
        };
        let could = |need: &Need| self.room_vcpus(ce) > 0 && !fleet.offer.candidates(need).is_empty();
        needs(shape).all(|(need, _)| launching(&need) || could(&need))
    }

    /// vCPUs of all instances of an environment that were not asked to go: AWS Batch's `desiredvCpus`.
    pub fn fleet_vcpus(&self, environment: &Arn) -> u64 {
        self.instances.staying(environment) / 1000
    }

    /// vCPUs that an environment may still launch.
    fn room_vcpus(&self, ce: &ComputeEnvironment) -> u64 {
        u64::from(ce.max_vcpus.unwrap_or(0)).saturating_sub(self.fleet_vcpus(&ce.arn))
    }

    /// The type that a shape waits for in an environment, when there is no more of it, nor of any other that would do.
    pub(crate) fn is_short_of(&self, ce: &ComputeEnvironment, shape: &Shape) -> Option<&Text> {
        let fleet = self.fleets.get(&ce.arn)?;
        if self.is_coming(ce, shape) || !self.could_launch_for(ce, shape) || self.room_vcpus(ce) == 0 {
            return None;
        }
        let (of, _) = fleet.failure.as_ref()?;
        Some(of)
    }

    /// What waits for instances of an environment, in the order in which it goes: all that its queues have and that no
    /// environment before it could serve.
    fn demand(&self, ce: &ComputeEnvironment) -> Vec<Demand> {
        let mut queues: Vec<_> =
            self.job_queues.values().filter(|queue| queue.environments.contains(&ce.arn)).collect();
        queues.sort_by_key(|queue| (std::cmp::Reverse(queue.priority), &queue.arn));
        let mut demand: Vec<Demand> = Vec::new();
        for queue in queues {
            let Some(backlog) = self.backlogs.get(&queue.arn) else { continue };
            let mut of_queue: Vec<Demand> = Vec::new();
            for shape in backlog.shapes_in_order() {
                let units = self.placeable_units(shape, backlog.units(shape));
                let parts = needs(self.shapes.get(shape));
                of_queue
                    .extend(parts.map(|(need, count)| Demand { need, count: count.saturating_mul(units) }));
            }
            // An environment before this one serves all that it may launch for, and beyond its ceiling what is coming.
            for other in self.environments_of(&queue.arn).take_while(|other| other.arn != ce.arn) {
                let Some(fleet) = self.fleets.get(&other.arn).filter(|_| other.is_open()) else { continue };
                if self.room_vcpus(other) > 0 {
                    of_queue.retain(|demand| fleet.offer.candidates(&demand.need).is_empty());
                } else {
                    of_queue =
                        plan::left_over(&of_queue, &self.instances.launching(&other.arn).collect::<Vec<_>>());
                }
            }
            demand.extend(of_queue);
        }
        demand
    }

    /// As many units of a shape as the consumable resources that they need are there for.
    fn placeable_units(&self, shape: ShapeId, units: u64) -> u64 {
        let needed = self.shapes.get(shape).consumables.iter().filter(|needed| needed.quantity > 0);
        let possible = needed.map(|needed| {
            let resource = self.consumable_resources.get(&needed.arn);
            resource.map_or(0, |resource| self.consumables_left(resource) / needed.quantity)
        });
        possible.fold(units, u64::min)
    }
}

impl Turn<'_> {
    /// Looks after the fleets that something has happened to.
    pub(crate) fn scale(&mut self) {
        let due: Vec<Arn> = if std::mem::take(&mut self.state.demand_due) {
            self.state.scale_due.clear();
            self.state.fleets.keys().cloned().collect()
        } else {
            std::mem::take(&mut self.state.scale_due).into_iter().collect()
        };
        for arn in due {
            let Some(ce) = self.state.compute_environments.get(&arn).cloned() else { continue };
            if self.state.fleets.contains_key(&arn) {
                self.replace_instances(&ce);
                self.launch_instances(&ce);
                self.terminate_idle(&ce);
                self.settle_if_replaced(&ce);
            }
        }
    }

    /// Instances of an earlier version of the infrastructure, or of an environment that is being deleted, go as soon as nothing
    /// runs on them, or their time is over.
    fn replace_instances(&mut self, ce: &ComputeEnvironment) {
        let Some(scaling) = ce.scaling.as_deref() else { return };
        let is_deleting = ce.status == Status::Deleting;
        if !is_deleting && self.state.instances.are_of_generation(&ce.arn, scaling.generation) {
            return;
        }
        let rooms = self.state.instances.of(Some(&ce.arn));
        let outdated: Vec<(Text, Phase, bool)> = rooms
            .filter_map(|room| {
                let managed = room.record.managed.as_ref()?;
                let is_outdated = is_deleting || managed.generation != scaling.generation;
                let is_idle = room.attempts.is_empty();
                is_outdated.then(|| (room.record.instance_id.clone(), managed.phase, is_idle))
            })
            .collect();
        let until = self.now.plus_seconds(scaling.job_execution_timeout_minutes.saturating_mul(60));
        for (id, phase, is_idle) in outdated {
            match phase {
                Phase::Terminating => {}
                Phase::Draining(Some(until)) if until > self.now && !is_idle => {}
                Phase::Ready | Phase::Draining(None) if !is_idle && !scaling.terminate_jobs_on_update => {
                    let until = Some(until).filter(|_| !is_deleting);
                    self.set_phase(&id, Phase::Draining(until));
                    until.into_iter().for_each(|at| self.state.set_timer(at, Timer::Scale(ce.arn.clone())));
                }
                Phase::Launching | Phase::Ready | Phase::Draining(_) => self.terminate_instance(&id),
            }
        }
    }

    fn launch_instances(&mut self, ce: &ComputeEnvironment) {
        let state = &mut *self.state;
        let (Some(scaling), Some(fleet)) = (ce.scaling.as_deref(), state.fleets.get(&ce.arn)) else { return };
        if matches!(ce.status, Status::Deleting | Status::Creating | Status::Invalid) {
            return;
        }
        let room = state.room_vcpus(ce);
        let total = state.fleet_vcpus(&ce.arn);
        // What the caller wants there to be whatever waits; what is launched for it is not tied to any job.
        let floor = u64::from(scaling.min_vcpus.max(if total == 0 { scaling.desired_vcpus } else { 0 }));
        let missing = floor.saturating_sub(total);
        let mut demand = if ce.is_open() && room > 0 && fleet.next_plan <= self.now {
            state.demand(ce)
        } else {
            Vec::new()
        };
        if ce.is_open() && room > 0 && fleet.next_plan > self.now {
            state.set_timer(fleet.next_plan, Timer::Scale(ce.arn.clone()));
        }
        let coming: Vec<(Resources, u64)> = state.instances.launching(&ce.arn).collect();
        let Some(fleet) = state.fleets.get_mut(&ce.arn) else { return };
        let mut launches = if demand.is_empty() {
            Vec::new()
        } else {
            fleet.next_plan = self.now.plus_millis(PLAN_INTERVAL_MS);
            demand.retain(|demand| demand.count > 0);
            plan::plan(&fleet.offer, &demand, &coming, room)
        };
        let planned: u64 =
            launches.iter().map(|launch| u64::from(launch.instance_type.vcpus) * launch.count).sum();
        if missing > planned {
            let resources = Resources { milli_vcpus: 1000, memory_mib: 1, gpus: 0 };
            let need = Need { resources, architecture: None, multi_node: false };
            let demand = [Demand { need, count: missing - planned }];
            launches.extend(plan::plan(&fleet.offer, &demand, &[], room.saturating_sub(planned)));
        }
        if !launches.is_empty() {
            // What this one cannot serve any more is for those after it.
            let others: Vec<Arn> = self.state.fleets.keys().filter(|arn| **arn != ce.arn).cloned().collect();
            let at = self.now.plus_millis(PLAN_INTERVAL_MS);
            others.into_iter().for_each(|other| self.state.set_timer(at, Timer::Scale(other)));
        }
        for launch in launches {
            self.launch(ce, scaling.generation, launch);
        }
    }

    fn launch(&mut self, ce: &ComputeEnvironment, generation: u32, launch: Launch) {
        let Launch { instance_type, count, max_price } = launch;
        let Some(scaling) = ce.scaling.as_deref() else { return };
        for _ in 0..count {
            let instance_id = self.fresh.instance_id();
            let managed = Managed {
                compute_environment: ce.arn.clone(),
                instance_type: instance_type.name.into(),
                market: scaling.market,
                generation,
                phase: Phase::Launching,
                requested_at: self.now,
                ready_at: None,
                max_price,
            };
            let request = InstanceRequest {
                instance_id: instance_id.clone(),
                compute_environment: ce.arn.clone(),
                instance_type: instance_type.name.into(),
                market: scaling.market,
                max_price,
            };
            let instance = Instance {
                instance_id: instance_id.clone(),
                incarnation: TaskId(0),
                capacity: instance_type.capacity(),
                architecture: Some(instance_type.architecture),
                managed: Some(Box::new(managed)),
            };
            self.state.instances.put(Arc::new(instance), false, self.now);
            self.touch(Key::Instance(instance_id));
            self.provision(Provision::Launch(Box::new(request)));
        }
    }

    fn terminate_idle(&mut self, ce: &ComputeEnvironment) {
        let (Some(scaling), Some(fleet)) = (ce.scaling.as_deref(), self.state.fleets.get_mut(&ce.arn)) else {
            return;
        };
        if fleet.next_look > self.now {
            let at = *fleet.look_again.insert(fleet.next_look);
            return self.state.set_timer(at, Timer::Scale(ce.arn.clone()));
        }
        fleet.next_look = self.now.plus_millis(PLAN_INTERVAL_MS);
        let total = self.state.fleet_vcpus(&ce.arn);
        let idle = self.state.instances.idle(&ce.arn).map(|room| Idle {
            instance_id: room.record.instance_id.clone(),
            vcpus: u32::try_from(vcpus(&room.record)).unwrap_or(u32::MAX),
            idle_since: room.idle_since,
            used: room.was_used,
        });
        let surplus = surplus(scaling, idle.collect(), total, scaling.min_vcpus.into(), self.now);
        surplus.terminate.iter().for_each(|id| self.terminate_instance(id));
        if let Some(fleet) = self.state.fleets.get_mut(&ce.arn) {
            fleet.look_again = surplus.look_again;
        }
        if let Some(at) = surplus.look_again {
            self.state.set_timer(at, Timer::Scale(ce.arn.clone()));
        }
    }

    /// An update of the infrastructure, or a deletion, is over when the last instance is gone that it is about.
    fn settle_if_replaced(&mut self, ce: &ComputeEnvironment) {
        if !ce.status.is_settled() && !self.is_being_replaced(ce) {
            self.settle_soon(&ce.arn);
        }
    }

    /// Whether instances are there that have to go before an update or a deletion is over.
    pub(crate) fn is_being_replaced(&self, ce: &ComputeEnvironment) -> bool {
        let generation = ce.scaling.as_ref().map(|scaling| scaling.generation);
        let mut rooms = self.state.instances.of(Some(&ce.arn));
        rooms.any(|room| {
            let managed = room.record.managed.as_ref();
            ce.status == Status::Deleting || managed.map(|managed| managed.generation) != generation
        })
    }

    /// Changes where an instance is in its life.
    pub(super) fn set_phase(&mut self, id: &Text, phase: Phase) {
        let Some(room) = self.state.instances.get(id) else { return };
        let connected = room.connected;
        let mut record = (*room.record).clone();
        if let Some(managed) = record.managed.as_mut() {
            managed.phase = phase;
        }
        self.state.instances.put(Arc::new(record), connected, self.now);
        self.touch(Key::Instance(id.clone()));
    }

    /// Lets an instance go, and with it what runs there.
    pub(super) fn terminate_instance(&mut self, id: &Text) {
        self.set_phase(id, Phase::Terminating);
        self.provision(Provision::Terminate(id.clone()));
    }
}
