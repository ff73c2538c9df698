//! The pass itself: which RUNNABLE jobs get room now, and where; nothing but that.
//!
//! Queues go by descending priority; queues of equal priority take turns, the one whose next job was submitted first going
//! first. Priority is a preference, not a barrier: what does not fit leaves its room to lower queues. Within a queue the lane with the lowest
//! score is next, and of it the first job. A shape that finds no room is not looked at again in this pass, and not in later
//! ones either until an instance that could take it has got more room.
//!
//! A pass costs O(shapes that wait + placements · log), however many jobs there are: of each shape only the first is looked at.
//! With n active shares, each placement costs O(log n) more.
//!
//! Source: AWS Batch User Guide, job queue scheduling, compute environment order, fair-share scheduling policies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use uuid::Uuid;

use crate::arn::Arn;
use crate::quantity::Resources;
use crate::schedule::backfill::{Ceiling, Claim};
use crate::schedule::backlog::Backlog;
use crate::schedule::lane::{Rank, sequence};
use crate::schedule::room::Slot;
use crate::schedule::shape::{Shape, ShapeId};
use crate::state::State;
use crate::text::Text;
use crate::time::Timestamp;

/// So many open shapes or fewer are looked up one by one.
const OPEN_FEW: usize = 8;

/// A job, or the next child of an array, that has got room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The job; of an array, its first RUNNABLE child is meant.
    pub job: Uuid,
    /// ARN of the environment that takes it.
    pub compute_environment: Arn,
    /// Where it runs; of a multi-node job, where each node does.
    pub instance_ids: Vec<Text>,
}

/// An environment during a pass.
struct Environment {
    arn: Arn,
    is_open: bool,
    pool: usize,
    used: Resources,
    /// Thousandths of a vCPU.
    ceiling: u64,
}

/// A queue during a pass.
struct Queue {
    arn: Arn,
    backlog: Backlog,
    /// Numbers of its environments, in the order in which they are tried.
    environments: Vec<usize>,
    /// Shapes that may find room.
    open: BTreeSet<ShapeId>,
    /// Lanes that have something of an open shape: by score, then by submission; and where each has come to.
    lanes: BinaryHeap<Reverse<Next>>,
    /// Thousandths of a vCPU beyond which a share that has some gets no more.
    cap: u64,
    /// The first job of each lane of a shape that is known to find no room: by score and place in the order of submission.
    closed: BTreeMap<(u128, u64), (usize, Rank, Blocked)>,
    /// The first job that had to wait.
    blocked: Option<Blocked>,
    /// Its claim has been looked at in this pass.
    has_claim: bool,
    /// Somebody had to wait for another reason than that no instance has room.
    held_back: bool,
}

/// A lane's score, the place in the order of submission of its next job, its number; and that job's rank and shape.
type Next = (u128, u64, usize, Rank, ShapeId);

/// A job that has to wait, and its shape.
type Blocked = (Uuid, ShapeId);

/// Where a job got room.
enum Slots {
    One(Slot),
    /// For each node.
    Nodes(Vec<Slot>),
}

impl Slots {
    fn as_slice(&self) -> &[Slot] {
        match self {
            Slots::One(slot) => std::slice::from_ref(slot),
            Slots::Nodes(slots) => slots,
        }
    }
}

/// Why a job did not get room.
enum Wait {
    Room,
    Consumables,
}

struct Pass<'a> {
    state: &'a mut State,
    now: Timestamp,
    environments: Vec<Environment>,
    numbers: BTreeMap<Arn, usize>,
    /// Units of resources that are not replenishable, which go with this pass.
    spent: BTreeMap<Arn, u64>,
    assignments: Vec<Assignment>,
}

impl State {
    /// Gives room to what waits, in the order in which it goes, and books it. What is returned must be started.
    ///
    /// Costs as the module says.
    pub fn assign(&mut self, now: Timestamp) -> Vec<Assignment> {
        let is_new = std::mem::take(&mut self.capacity_changed);
        let grown = self.instances.take_grown().filter(|_| !is_new);
        let mut by_priority: BTreeMap<Reverse<i32>, Vec<Arn>> = BTreeMap::new();
        for (arn, backlog) in &mut self.backlogs {
            if is_new {
                backlog.never.clear();
                backlog.fresh = backlog.shapes.keys().copied().collect();
                backlog.unjudged.clone_from(&backlog.fresh);
                backlog.denied.clear();
            }
            backlog.fresh.append(&mut backlog.denied); // what is claimed may be less by now
            let is_due = backlog.held_back
                || !backlog.fresh.is_empty()
                || grown.as_ref().is_none_or(|g| !g.is_empty());
            if let Some(queue) = self.job_queues.get(arn).filter(|_| is_due && !backlog.shapes.is_empty()) {
                by_priority.entry(Reverse(queue.priority)).or_default().push(arn.clone());
            }
        }
        let mut pass = Pass {
            state: self,
            now,
            environments: Vec::new(),
            numbers: BTreeMap::new(),
            spent: BTreeMap::new(),
            assignments: Vec::new(),
        };
        for queues in by_priority.into_values() {
            let mut queues: Vec<Queue> =
                queues.into_iter().map(|arn| pass.begin(arn, grown.as_deref())).collect();
            // The queue whose next job was submitted first goes first.
            let first = |queues: &[Queue]| {
                let next = queues.iter().enumerate().filter_map(|(n, queue)| Some((queue.peek()?, n)));
                next.min().map(|(_, n)| n)
            };
            while let Some(n) = if queues.len() == 1 { Some(0) } else { first(&queues) } {
                if !pass.step(&mut queues[n]) {
                    if queues.len() == 1 {
                        break;
                    }
                    queues[n].lanes.clear();
                }
            }
            queues.into_iter().for_each(|queue| pass.end(queue));
        }
        let Pass { environments, assignments, .. } = pass;
        for environment in environments {
            if environment.used != Resources::default() || self.in_use.contains_key(&environment.arn) {
                self.in_use.insert(environment.arn, environment.used);
            }
        }
        assignments
    }
}

impl Queue {
    /// Place in the order of submission of the job that goes next.
    fn peek(&self) -> Option<u64> {
        self.lanes.peek().map(|Reverse((_, sequence, ..))| *sequence)
    }

    /// Puts a lane in its turn, at its first job from `from` on that is of an open shape.
    fn enter(&mut self, number: usize, from: Rank, has: u128) {
        let lane = self.backlog.lane(number);
        // All calls for a lane pass over each of its heads once. Where few shapes are open, that would be too much.
        let next = if self.open.len() <= OPEN_FEW && self.open.len() < lane.shapes() {
            let heads = self.open.iter().filter_map(|&shape| Some((lane.first_of(shape)?.0, shape)));
            heads.min()
        } else {
            lane.heads_from(from).find(|(_, shape)| self.open.contains(shape))
        };
        if let Some((rank, shape)) = next {
            self.lanes.push(Reverse((has, sequence(rank), number, rank, shape)));
        }
    }
}

impl Pass<'_> {
    fn begin(&mut self, arn: Arn, grown: Option<&[Slot]>) -> Queue {
        let mut backlog = self.state.backlogs.get_mut(&arn).map(std::mem::take).unwrap_or_default();
        let environments = self.environments_of(&arn);
        let strict = !self.state.settings.backfill;
        for shape in std::mem::take(&mut backlog.unjudged) {
            if let Some(reason) = self.state.never_fits(&arn, self.state.shapes.get(shape)) {
                backlog.never.insert(shape, reason);
            }
        }
        let all = backlog.held_back || grown.is_none() || strict;
        let has_grown = |shape: &ShapeId| {
            let shape = self.state.shapes.get(*shape);
            let covers =
                |slot: &Slot| shape.parts().any(|(part, _)| self.state.instances.free(*slot).covers(&part));
            all || grown.is_some_and(|grown| grown.iter().any(covers))
        };
        let fresh = std::mem::take(&mut backlog.fresh);
        let open: BTreeSet<ShapeId> = if !all && grown.is_some_and(<[Slot]>::is_empty) {
            fresh
        } else {
            backlog.shapes.keys().copied().filter(|shape| fresh.contains(shape) || has_grown(shape)).collect()
        };
        let open = open.into_iter().filter(|shape| strict || !backlog.never.contains_key(shape)).collect();
        let cap = self.state.cap(&arn, &backlog);
        let mut queue = Queue {
            arn,
            backlog,
            environments,
            open,
            lanes: BinaryHeap::new(),
            cap,
            closed: BTreeMap::new(),
            blocked: None,
            has_claim: false,
            held_back: false,
        };
        if queue.open.is_empty() {
            // Who waits, and for what, is as it was, unless everything was looked at.
            queue.held_back = queue.backlog.held_back && !all;
            queue.blocked = queue.backlog.blocked.filter(|_| !all).map(|(job, _)| (job, ShapeId::MAX));
            return queue;
        }
        let is_fair = !queue.backlog.shares().contains_key("");
        if is_fair {
            queue.backlog.advance(self.now);
        }
        let lanes = queue.backlog.lanes().filter(|(_, lane)| !lane.is_empty());
        let numbers: Vec<usize> = lanes.map(|(number, _)| number).collect();
        for number in numbers {
            let lane = queue.backlog.lane(number);
            let score = if is_fair { lane.score() } else { 0 };
            self.notice_closed(&mut queue, number, score);
            queue.enter(number, 0, score);
        }
        queue
    }

    /// The first job of a lane that would have to wait if it were looked at. Whoever only lacks a consumable resource, or can
    /// never fit, has no claim to room.
    fn notice_closed(&self, queue: &mut Queue, number: usize, score: u128) {
        let (backlog, lane) = (&queue.backlog, queue.backlog.lane(number));
        let waits = |&(_, shape): &(Rank, ShapeId)| {
            !queue.open.contains(&shape)
                && !backlog.never.contains_key(&shape)
                && !self.lacks_consumables(shape)
        };
        let Some((rank, shape)) = lane.heads().find(waits) else { return };
        let Some((_, waiting)) = lane.first_of(shape) else { return };
        queue.closed.insert((score, sequence(rank)), (number, rank, (waiting.job, shape)));
    }

    /// Tries the job that goes next; `false` when none is left that may find room.
    fn step(&mut self, queue: &mut Queue) -> bool {
        let Some(Reverse((score, place, number, rank, shape))) = queue.lanes.pop() else { return false };
        if !queue.open.contains(&shape) {
            queue.enter(number, rank, score); // closed since
            return true;
        }
        if queue.blocked.is_none() {
            // In another lane by its turn; in its own by priority, too.
            let first = queue.closed.iter().find(|((has, at), (lane, closed, _))| match *lane == number {
                true => *closed < rank,
                false => (*has, *at) < (score, place),
            });
            queue.blocked = first.map(|(_, (.., blocked))| *blocked);
        }
        let lane = queue.backlog.lane(number);
        let need = self.state.shapes.get(shape).need;
        if lane.running > 0 && queue.backlog.running.saturating_add(need.milli_vcpus) > queue.cap {
            queue.held_back = true; // what is left is for shares that have nothing yet
            return true;
        }
        let wait = if !self.open_to(queue, shape) {
            Err(Wait::Room)
        } else if self.lacks_consumables(shape) {
            Err(Wait::Consumables)
        } else {
            self.place(queue, shape)
        };
        match wait {
            Ok((environment, slots)) => self.book(queue, number, shape, environment, &slots),
            Err(wait) => {
                queue.open.remove(&shape);
                queue.held_back |= matches!(wait, Wait::Consumables);
                let waiting = queue.backlog.lane(number).first_of(shape);
                let this = waiting.map(|(_, waiting)| (waiting.job, shape));
                if !self.state.settings.backfill {
                    queue.blocked = this;
                    queue.held_back = true;
                    return false;
                }
                if matches!(wait, Wait::Room) && queue.blocked.is_none() {
                    queue.blocked = this;
                }
            }
        }
        let lane = queue.backlog.lane(number);
        let score = if lane.name.is_empty() { 0 } else { lane.score() };
        queue.enter(number, rank, score);
        true
    }

    /// In strict order, nothing goes past a job that can never fit.
    fn open_to(&self, queue: &Queue, shape: ShapeId) -> bool {
        !queue.backlog.never.contains_key(&shape)
    }

    fn lacks_consumables(&self, shape: ShapeId) -> bool {
        let needed = &self.state.shapes.get(shape).consumables;
        let is_short = |(arn, quantity): (&Arn, u64)| {
            let spent = self.spent.get(arn).copied().unwrap_or(0);
            let left = self.state.consumable_resources.get(arn).map(|it| self.state.consumables_left(it));
            left.is_none_or(|left| quantity > left.saturating_sub(spent))
        };
        needed.iter().any(|consumable| is_short((&consumable.arn, consumable.quantity)))
    }

    /// Finds room: for all nodes, or for none.
    fn place(&mut self, queue: &mut Queue, shape: ShapeId) -> Result<(usize, Slots), Wait> {
        let found = self.search(queue, shape, false);
        if queue.blocked.is_none() || found.is_none() {
            return found.ok_or(Wait::Room);
        }
        // There is room, but somebody waits who came before.
        self.claim(queue);
        let is_in_vain = queue.backlog.claim.as_ref().is_some_and(|claim| claim.is_of_everything);
        let allowed = if is_in_vain { None } else { self.search(queue, shape, true) };
        allowed.ok_or_else(|| {
            queue.backlog.denied.insert(shape);
            Wait::Room
        })
    }

    fn search(&mut self, queue: &mut Queue, shape: ShapeId, respectful: bool) -> Option<(usize, Slots)> {
        let claim = queue.backlog.claim.as_ref().filter(|_| respectful);
        for &number in &queue.environments {
            let environment = &self.environments[number];
            let state = &*self.state;
            let shape = state.shapes.get(shape);
            let used = environment.used.milli_vcpus.saturating_add(shape.need.milli_vcpus);
            if !environment.is_open || used > environment.ceiling {
                // It may fall below its ceiling without any instance getting room for this shape.
                queue.held_back |= environment.is_open && shape.need.milli_vcpus <= environment.ceiling;
                continue;
            }
            if shape.nodes.is_empty() {
                let allowed =
                    |slot| claim.is_none_or(|claim| claim.allows(state, shape, slot, &shape.need, self.now));
                let found = state.instances.find(environment.pool, &shape.need, shape.architecture, allowed);
                if let Some(slot) = found {
                    return Some((number, Slots::One(slot)));
                }
            } else {
                let shape = shape.clone();
                if let Some(slots) = pack(self.state, &shape, environment.pool, claim, self.now) {
                    return Some((number, Slots::Nodes(slots)));
                }
            }
        }
        None
    }

    /// The claim of the job that has to wait, as it is in this pass: it never moves to a later time, for nobody has started since
    /// the last one who could delay it.
    fn claim(&self, queue: &mut Queue) {
        let Some((job, shape)) = queue.blocked.filter(|_| !queue.has_claim) else { return };
        queue.has_claim = true;
        if self.is_coming(queue, shape) {
            queue.backlog.claim = None;
            return;
        }
        let shape = self.state.shapes.get(shape);
        let environments = queue.environments.iter().map(|&number| &self.environments[number]);
        let is_possible = |e: &Environment| e.is_open && shape.need.milli_vcpus <= e.ceiling;
        let ceilings: Vec<Ceiling> = environments
            .clone()
            .filter(|e| is_possible(e))
            .map(|e| Ceiling { pool: e.pool, used: e.used.milli_vcpus, max: e.ceiling })
            .collect();
        let pools: BTreeSet<usize> = environments.filter(|e| e.is_open).map(|e| e.pool).collect();
        queue.backlog.claim = Some(self.state.claim(job, shape, &ceilings, &pools, self.now));
    }

    /// Instances are launched for a shape, or will be.
    fn is_coming(&self, queue: &Queue, shape: ShapeId) -> bool {
        let arns = queue.environments.iter().map(|&number| &self.environments[number].arn);
        let mut environments = arns.filter_map(|arn| self.state.compute_environments.get(arn));
        environments.any(|ce| self.state.is_coming(ce, self.state.shapes.get(shape)))
    }

    /// Takes the room, and the job out of its lane.
    fn book(&mut self, queue: &mut Queue, number: usize, shape: ShapeId, environment: usize, slots: &Slots) {
        let slots = slots.as_slice();
        let (job, was_last) =
            queue.backlog.lane_mut(number).take(shape).expect("the shape that goes next has a job");
        let state = &mut *self.state;
        let of = state.shapes.get(shape);
        for (&slot, part) in slots.iter().zip(of.each_part()) {
            state.instances.take(slot, &part);
            if let Some(claim) = queue.backlog.claim.as_mut().filter(|_| queue.has_claim) {
                claim.started(of, slot, &part, self.now);
            }
        }
        let need = of.need;
        let consumables = of.consumables.clone();
        let environment = &mut self.environments[environment];
        environment.used.reserve(&need);
        for consumable in &consumables {
            let resource = state.consumable_resources.get(&consumable.arn);
            if resource.is_some_and(|resource| !resource.replenishable) {
                *self.spent.entry(consumable.arn.clone()).or_default() += consumable.quantity;
            }
        }
        state.reserve_consumables(&consumables);
        let backlog = &mut queue.backlog;
        backlog.running += need.milli_vcpus;
        backlog.moved_at = self.now;
        let lane = backlog.lane_mut(number);
        if !lane.name.is_empty() {
            lane.running += need.milli_vcpus;
        }
        backlog.count_units(shape, 1, 0);
        if was_last {
            state.shapes.leave(shape);
            backlog.leave_shape(shape);
        }
        let ids = slots.iter().filter_map(|&slot| Some(state.instances.at(slot)?.record.instance_id.clone()));
        self.assignments.push(Assignment {
            job,
            compute_environment: environment.arn.clone(),
            instance_ids: ids.collect(),
        });
    }

    fn end(&mut self, mut queue: Queue) {
        let since = |job: Uuid| match queue.backlog.blocked {
            Some((before, since)) if before == job => since,
            _ => self.now,
        };
        let first = queue.blocked.or_else(|| queue.closed.values().next().map(|(.., blocked)| *blocked));
        queue.backlog.blocked = first.map(|(job, _)| (job, since(job)));
        queue.backlog.held_back = queue.held_back;
        if queue.blocked.is_none() {
            queue.backlog.claim = None;
        }
        self.state.backlogs.insert(queue.arn, queue.backlog);
    }

    fn environments_of(&mut self, queue: &Arn) -> Vec<usize> {
        let order: Vec<Arn> = self.state.environments_of(queue).map(|ce| ce.arn.clone()).collect();
        order.into_iter().map(|arn| self.number(arn)).collect()
    }

    fn number(&mut self, arn: Arn) -> usize {
        if let Some(&number) = self.numbers.get(&arn) {
            return number;
        }
        let state = &mut *self.state;
        let ce = &state.compute_environments[&arn];
        let scales = state.scales(ce);
        self.environments.push(Environment {
            arn: arn.clone(),
            is_open: ce.is_open(),
            ceiling: state.usable(ce),
            used: state.in_use.get(&arn).copied().unwrap_or_default(),
            pool: state.instances.pool(Some(&arn).filter(|_| scales)),
        });
        self.numbers.insert(arn, self.environments.len() - 1);
        self.environments.len() - 1
    }
}

/// Room for each node, in the order of the nodes; the largest are placed first. `None` when one finds none.
fn pack(
    state: &mut State,
    shape: &Shape,
    pool: usize,
    claim: Option<&Claim>,
    now: Timestamp,
) -> Option<Vec<Slot>> {
    let needs: Vec<Resources> = shape.each_part().collect();
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&node| Reverse(needs[node]));
    let mut slots = vec![None; needs.len()];
    let mut claim = claim.cloned(); // what one node takes of the room beside it, the next does not find
    for node in order {
        let need = &needs[node];
        let allowed = |slot| claim.as_ref().is_none_or(|claim| claim.allows(state, shape, slot, need, now));
        let Some(slot) = state.instances.find(pool, need, shape.architecture, allowed) else { break };
        state.instances.take(slot, need);
        if let Some(claim) = &mut claim {
            claim.started(shape, slot, need, now);
        }
        slots[node] = Some(slot);
    }
    // They are taken when it is certain that all of them are wanted.
    for (slot, need) in slots.iter().zip(&needs).filter_map(|(slot, need)| Some(((*slot)?, need))) {
        state.instances.untake(slot, need);
    }
    slots.into_iter().collect()
}
