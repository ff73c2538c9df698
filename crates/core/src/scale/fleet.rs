//! The fleet of an environment that scales: what is launched for the jobs that wait, what goes when it is idle, and what is
//! replaced when the infrastructure is updated.
//!
//! Launches follow the whole demand in one step; an environment is looked at again when more waits, when an instance came, failed
//! or went, and no more than once in [`PLAN_INTERVAL_MS`]. A look costs O(shapes that wait · instance types), and nothing
//! while the environment is at its ceiling.
//!
//! Source: AWS Batch User Guide, compute environment parameters, updating compute environments; what it leaves open (how long a
//! type that is short is left alone) is said at the constants.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arn::Arn;
use crate::id::TaskId;
use crate::instance::{Instance, LaunchFailure, Managed, Phase, Provision};
use crate::record::Key;
use crate::resource::Status;
use crate::resource::compute_environment::ComputeEnvironment;
use crate::scale::Scaling;
use crate::scale::demand::Unmet;
use crate::scale::plan::{self, Demand, Launch};
use crate::scale::select::Offer;
use crate::scale::spot::SpotMarket;
use crate::scale::surplus::{IDLE_DELAY_MS, Idle, surplus};
use crate::state::{State, Timer};
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// After a start, instances that are there get so long to connect before others are launched for what waits, in milliseconds.
const RECONNECT_MS: u64 = 30_000;

/// Between two plans of one environment, in milliseconds. Our choice: what arrives within a second is planned together.
const PLAN_INTERVAL_MS: u64 = 1000;

/// For how long a type is left alone after its launch failed, in milliseconds. Our choice: AWS publishes none; the reason of
/// a blocked queue is observed to come and go in about three minutes.
pub(super) const SHORT_MS: u64 = 180_000;

/// What is known about the fleet of one environment beside its instances. Not stored: a server that starts anew tries again.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(super) offer: Offer,
    /// Types of which there were no more, until when they are left alone.
    pub(crate) short: BTreeMap<Text, Timestamp>,
    /// How the last launch failed that failed.
    pub(crate) failure: Option<(Text, LaunchFailure)>,
    /// No plan before this time.
    next_plan: Timestamp,
    /// When idle instances are looked at next; `None` when there was none.
    look_again: Option<Timestamp>,
    /// vCPUs that the latest change of the environment asks for, until they are launched.
    pub(crate) desired_vcpus: u64,
    /// It is not known yet which of its instances are still there.
    reconnects: bool,
}

impl Fleet {
    fn new(ce: &ComputeEnvironment, short: BTreeMap<Text, Timestamp>, now: Timestamp) -> Option<Fleet> {
        let scaling = ce.scaling.as_deref()?;
        let offer = Offer::new(scaling, ce.max_vcpus.unwrap_or(0), &SpotMarket::default(), &short, now);
        let (next_plan, look_again) = (Timestamp::default(), None);
        Some(Fleet {
            offer,
            short,
            failure: None,
            next_plan,
            look_again,
            desired_vcpus: 0,
            reconnects: false,
        })
    }
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
        let mut short = known.as_ref().map(|known| known.short.clone()).unwrap_or_default();
        short.retain(|_, until| *until > now);
        if let Some(fleet) = Fleet::new(ce, short, now) {
            let earliest = fleet.short.values().min().copied();
            let fleet = match known {
                Some(known) => {
                    Fleet { offer: fleet.offer, short: fleet.short, look_again: Some(now), ..known }
                }
                None => {
                    let reconnects = self.instances.of(Some(arn)).next().is_some();
                    Fleet { reconnects, look_again: Some(now), ..fleet }
                }
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

    /// Whether something waits in a queue of an environment.
    fn has_waiting(&self, environment: &Arn) -> bool {
        self.backlogs.iter().any(|(arn, backlog)| {
            let queue = self.job_queues.get(arn).filter(|_| !backlog.shapes.is_empty());
            queue.is_some_and(|queue| queue.environments.contains(environment))
        })
    }

    /// Whether instances are there that have to go before an update or a deletion is over.
    pub(crate) fn is_being_replaced(&self, ce: &ComputeEnvironment) -> bool {
        let generation = ce.scaling.as_ref().map(|scaling| scaling.generation);
        let mut rooms = self.instances.of(Some(&ce.arn));
        rooms.any(|room| {
            let managed = room.record.managed.as_ref();
            ce.status == Status::Deleting || managed.map(|managed| managed.generation) != generation
        })
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
                if !ce.status.is_settled() {
                    self.replace_instances(&ce);
                }
                self.resize(&ce);
                self.settle_if_replaced(&ce);
            }
        }
    }

    /// Instances of an earlier version of the infrastructure, or of an environment that is being deleted, go as soon as nothing
    /// runs on them, or their time is over.
    fn replace_instances(&mut self, ce: &ComputeEnvironment) {
        let Some(scaling) = ce.scaling.as_deref() else { return };
        let is_deleting = ce.status == Status::Deleting;
        let rooms = self.state.instances.of(Some(&ce.arn));
        let outdated: Vec<(Text, Phase, bool)> = rooms
            .filter_map(|room| {
                let managed = room.record.managed.as_ref()?;
                let is_outdated = is_deleting || managed.generation != scaling.generation;
                let is_idle = room.attempts.is_empty();
                is_outdated.then(|| (room.record.instance_id.clone(), managed.phase, is_idle))
            })
            .collect();
        let timeout = self.now.plus_seconds(scaling.job_execution_timeout_minutes.saturating_mul(60));
        let until = (!is_deleting).then_some(timeout);
        for (id, phase, is_idle) in outdated {
            match phase {
                Phase::Terminating => {}
                Phase::Ready if !is_idle && (is_deleting || !scaling.terminate_jobs_on_update) => {
                    self.set_phase(&id, Phase::Draining(until));
                    self.look_at(until, &ce.arn);
                }
                Phase::Draining(None) if !is_idle => {}
                Phase::Draining(Some(until)) if !is_idle && until > self.now => {
                    self.look_at(Some(until), &ce.arn)
                }
                Phase::Launching | Phase::Ready | Phase::Draining(_) => self.terminate_instance(&id),
            }
        }
    }

    fn look_at(&mut self, at: Option<Timestamp>, environment: &Arn) {
        at.into_iter().for_each(|at| self.state.set_timer(at, Timer::Scale(environment.clone())));
    }

    /// Launches what is missing, and lets go what is idle for too long and nobody waits for.
    fn resize(&mut self, ce: &ComputeEnvironment) {
        let (Some(scaling), Some(fleet)) = (ce.scaling.as_deref(), self.state.fleets.get_mut(&ce.arn)) else {
            return;
        };
        if matches!(ce.status, Status::Deleting | Status::Creating | Status::Invalid) {
            return;
        }
        if std::mem::take(&mut fleet.reconnects) {
            fleet.next_plan = self.now.plus_millis(RECONNECT_MS);
        }
        if fleet.next_plan > self.now {
            let at = fleet.next_plan;
            return self.look_at(Some(at), &ce.arn);
        }
        let desired = std::mem::take(&mut fleet.desired_vcpus);
        let is_later = fleet.look_again.is_none_or(|at| at > self.now);
        let has_floor = self.state.fleet_vcpus(&ce.arn) >= u64::from(scaling.min_vcpus);
        if is_later && has_floor && desired == 0 && !self.state.has_waiting(&ce.arn) {
            return; // nothing to launch, and nothing has been idle for long enough
        }
        let idle = self.idle_instances(ce);
        let room = self.state.room_vcpus(ce);
        // At the ceiling, with nothing idle, whatever waits changes nothing; above it, nothing is kept for what waits.
        let looks = ce.is_open() && (room > 0 || !idle.is_empty()) && self.state.usable(ce) == u64::MAX;
        let Unmet { demand, needs } = if looks { self.state.unmet(ce, &idle) } else { Unmet::default() };
        let (kept, idle): (Vec<Idle>, Vec<Idle>) =
            idle.into_iter().partition(|one| needs.contains(&one.instance_id));
        // What waits for the room of idle ones that it cannot use gets it; then the floor is there again.
        let is_blocked = self.state.is_in_the_way(ce, &idle, &demand);
        let desired = if ce.is_open() { desired } else { 0 };
        let (floor, wanted) = match u64::from(scaling.min_vcpus) {
            _ if is_blocked => (0, 0),
            floor => (floor, floor.max(desired)),
        };
        self.launch_instances(ce, scaling, &demand, wanted);
        self.terminate_idle(ce, scaling, idle, floor, !kept.is_empty());
    }

    fn idle_instances(&self, ce: &ComputeEnvironment) -> Vec<Idle> {
        let idle = self.state.instances.idle(&ce.arn).map(|room| Idle {
            instance_id: room.record.instance_id.clone(),
            vcpus: u32::try_from(vcpus(&room.record)).unwrap_or(u32::MAX),
            idle_since: room.idle_since,
            used: room.was_used,
        });
        idle.collect()
    }

    /// Launches for what waits, and so many vCPUs that there are `floor`.
    fn launch_instances(
        &mut self,
        ce: &ComputeEnvironment,
        scaling: &Scaling,
        demand: &[Demand],
        floor: u64,
    ) {
        let (room, total) = (self.state.room_vcpus(ce), self.state.fleet_vcpus(&ce.arn));
        let Some(fleet) = self.state.fleets.get_mut(&ce.arn) else { return };
        let mut launches = plan::plan(&fleet.offer, demand, room);
        let planned: u64 =
            launches.iter().map(|launch| u64::from(launch.instance_type.vcpus) * launch.count).sum();
        // What the caller wants there to be whatever waits is not tied to any job.
        let missing = floor.saturating_sub(total + planned);
        if missing > 0 {
            let room = room.saturating_sub(planned);
            launches.extend(plan::plan(&fleet.offer, &[Demand::of_vcpus(missing)], room));
        }
        if !demand.is_empty() || !launches.is_empty() {
            fleet.next_plan = self.now.plus_millis(PLAN_INTERVAL_MS);
        }
        if !launches.is_empty() {
            // What this one cannot serve any more is for those after it.
            let others: Vec<Arn> = self.state.fleets.keys().filter(|arn| **arn != ce.arn).cloned().collect();
            let at = self.now.plus_millis(PLAN_INTERVAL_MS);
            others.into_iter().for_each(|other| self.look_at(Some(at), &other));
        }
        for launch in launches {
            self.launch(ce, scaling, launch);
        }
    }

    fn launch(&mut self, ce: &ComputeEnvironment, scaling: &Scaling, launch: Launch) {
        let Launch { instance_type, count, max_price } = launch;
        for _ in 0..count {
            let instance_id = self.fresh.instance_id();
            let managed = Managed {
                compute_environment: ce.arn.clone(),
                instance_type: instance_type.name.into(),
                market: scaling.market,
                generation: scaling.generation,
                phase: Phase::Launching,
                requested_at: self.now,
                ready_at: None,
                max_price,
            };
            let request = managed.request(instance_id.clone());
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

    /// Lets go what is idle for too long. Where others are kept for what waits, they are looked at again: nobody says when it has
    /// gone elsewhere, or was cancelled.
    fn terminate_idle(
        &mut self,
        ce: &ComputeEnvironment,
        scaling: &Scaling,
        idle: Vec<Idle>,
        floor: u64,
        keeps: bool,
    ) {
        let total = self.state.fleet_vcpus(&ce.arn);
        let surplus = surplus(scaling, idle, total, floor, self.now);
        surplus.terminate.iter().for_each(|id| self.terminate_instance(id));
        let next = keeps.then(|| self.now.plus_millis(IDLE_DELAY_MS));
        let look_again = surplus.look_again.into_iter().chain(next).min();
        if let Some(fleet) = self.state.fleets.get_mut(&ce.arn) {
            fleet.look_again = look_again;
        }
        self.look_at(look_again, &ce.arn);
    }

    /// An update of the infrastructure, or a deletion, is over when the last instance is gone that it is about.
    fn settle_if_replaced(&mut self, ce: &ComputeEnvironment) {
        if !ce.status.is_settled() && !self.state.is_being_replaced(ce) {
            self.settle_soon(&ce.arn);
        }
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
