//! Instances in memory: what each has left, and where a job of some shape fits best.
//!
//! Instances form pools: those that are there by themselves, on which every environment draws that does not scale, and
//! those of each environment that does. A pool keeps the instances that take attempts ordered by free vCPUs, by free memory
//! and by free GPUs; a search goes along the order of the resource that the job needs most of, and the first instance with
//! room is the one that it leaves the least of it on. Jobs that need no GPU look at instances without GPUs first.
//!
//! Costs, for n instances: taking and giving back O(log n); a search O(log n) plus the instances passed over, which have
//! enough of the resource most needed and too little of another; that nothing has room is mostly seen in O(1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::arn::Arn;
use crate::id::AttemptId;
use crate::instance::{Architecture, Instance, Phase};
use crate::quantity::Resources;
use crate::text::Text;
use crate::time::Timestamp;

/// Number of an instance in [`Instances`]; used again when the instance is gone.
pub(crate) type Slot = u32;

/// More instances than this with new room are not looked at one by one.
const GROWN_MAX: usize = 32;

/// An instance, and how much of it is taken.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) record: Arc<Instance>,
    /// It can be reached.
    pub(crate) connected: bool,
    pub(crate) used: Resources,
    /// Attempts that are starting or running on it.
    pub(crate) attempts: BTreeSet<AttemptId>,
    /// When the last of its attempts ended; when it connected, if it had none.
    pub(crate) idle_since: Timestamp,
    /// It has had an attempt.
    pub(crate) was_used: bool,
    pool: usize,
}

impl Room {
    /// Attempts may be placed on it.
    pub(crate) fn is_open(&self) -> bool {
        self.connected && self.record.managed.as_ref().is_none_or(|managed| managed.phase == Phase::Ready)
    }
}

/// Instances of which any may run a job.
#[derive(Clone, Debug, Default)]
struct Pool {
    /// What the open ones have, taken or not.
    total: Resources,
    plain: Order,
    /// Those with GPUs.
    with_gpus: Order,
    by_gpus: BTreeSet<(u32, Slot)>,
    /// All of them, open or not.
    members: BTreeSet<Slot>,
    /// Open ones on which nothing runs.
    idle: BTreeSet<Slot>,
    /// How many were launched with each version of the environment's infrastructure.
    generations: BTreeMap<u32, usize>,
    /// Thousandths of a vCPU of all but those that were asked to go.
    staying: u64,
    /// What those will have that are being launched, and how many are alike.
    launching: BTreeMap<Resources, usize>,
}

/// Open instances by what they have left.
#[derive(Clone, Debug, Default)]
struct Order {
    by_vcpus: BTreeSet<(u64, Slot)>,
    by_memory: BTreeSet<(u64, Slot)>,
}

impl Order {
    /// Whether every amount that is needed is there, if not on the same instance.
    fn may_cover(&self, need: &Resources) -> bool {
        self.by_vcpus.last().is_some_and(|&(free, _)| free >= need.milli_vcpus)
            && self.by_memory.last().is_some_and(|&(free, _)| free >= need.memory_mib)
    }
}

/// All instances.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    rooms: Vec<Option<Room>>,
    /// What each has left; nothing where no attempt may be placed. Apart from [`Room`] because searches read little else.
    free: Vec<Resources>,
    vacant: Vec<Slot>,
    slots: BTreeMap<Text, Slot>,
    pools: Vec<Pool>,
    pool_of: BTreeMap<Option<Arn>, usize>,
    /// With more room than at the last pass.
    grown: Vec<Slot>,
}

impl Instances {
    pub(crate) fn get(&self, id: &str) -> Option<&Room> {
        self.rooms[*self.slots.get(id)? as usize].as_ref()
    }

    pub(crate) fn at(&self, slot: Slot) -> Option<&Room> {
        self.rooms.get(slot as usize)?.as_ref()
    }

    pub(crate) fn slot(&self, id: &str) -> Option<Slot> {
        self.slots.get(id).copied()
    }

    /// All of them, by id.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Room> {
        self.slots.values().filter_map(|&slot| self.at(slot))
    }

    /// The instances of an environment that scales, by number; with `None`, those that are there by themselves.
    pub(crate) fn of(&self, environment: Option<&Arn>) -> impl Iterator<Item = &Room> {
        let members = self.existing_pool(environment).into_iter().flat_map(|pool| &pool.members);
        members.filter_map(|&slot| self.at(slot))
    }

    /// Those of them that take attempts and have none.
    pub(crate) fn idle(&self, environment: &Arn) -> impl Iterator<Item = &Room> {
        let idle = self.existing_pool(Some(environment)).into_iter().flat_map(|pool| &pool.idle);
        idle.filter_map(|&slot| self.at(slot))
    }

    /// Whether all of them were launched with this version of the environment's infrastructure.
    pub(crate) fn are_of_generation(&self, environment: &Arn, generation: u32) -> bool {
        let pool = self.existing_pool(Some(environment));
        pool.is_none_or(|pool| pool.generations.keys().all(|&of| of == generation))
    }

    /// Thousandths of a vCPU of the instances of an environment that scales, but for those that were asked to go.
    pub(crate) fn staying(&self, environment: &Arn) -> u64 {
        self.existing_pool(Some(environment)).map_or(0, |pool| pool.staying)
    }

    /// The room that is being launched for an environment, and how many instances are alike.
    pub(crate) fn launching(&self, environment: &Arn) -> impl Iterator<Item = (Resources, u64)> {
        let launching = self.existing_pool(Some(environment)).into_iter().flat_map(|pool| &pool.launching);
        launching.map(|(&capacity, &count)| (capacity, count as u64))
    }

    fn existing_pool(&self, environment: Option<&Arn>) -> Option<&Pool> {
        self.pool_of.get(&environment.cloned()).map(|&pool| &self.pools[pool])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Enters an instance, or what has become of it.
    pub(crate) fn put(&mut self, record: Arc<Instance>, connected: bool, now: Timestamp) {
        let id = record.instance_id.clone();
        let slot = self.slots.get(&id).copied().unwrap_or_else(|| {
            let slot = self.vacant.pop().unwrap_or_else(|| {
                self.rooms.push(None);
                self.free.push(Resources::default());
                Slot::try_from(self.rooms.len() - 1).expect("instances are fewer than 2^32")
            });
            self.slots.insert(id, slot);
            let environment = record.managed.as_ref().map(|managed| managed.compute_environment.clone());
            let pool = self.pool(environment.as_ref());
            self.rooms[slot as usize] = Some(Room {
                record: Arc::clone(&record),
                connected: false,
                used: Resources::default(),
                attempts: BTreeSet::new(),
                idle_since: now,
                was_used: false,
                pool,
            });
            slot
        });
        self.discount(slot);
        self.change(slot, |room| {
            if connected && !room.connected {
                room.idle_since = now;
            }
            room.record = record;
            room.connected = connected;
        });
        self.count(slot);
        self.grown(slot);
    }

    /// An instance that is gone. Whatever ran there has ended before.
    pub(crate) fn remove(&mut self, id: &str) {
        let Some(slot) = self.slots.remove(id) else { return };
        self.leave(slot);
        self.discount(slot);
        self.rooms[slot as usize] = None;
        self.grown.retain(|&grown| grown != slot);
        self.vacant.push(slot);
    }

    /// Nothing new is placed on it until it connects.
    pub(crate) fn disconnect(&mut self, id: &str) {
        if let Some(slot) = self.slot(id) {
            self.change(slot, |room| room.connected = false);
        }
    }

    pub(crate) fn disconnect_all(&mut self) {
        let slots: Vec<Slot> = self.slots.values().copied().collect();
        slots.into_iter().for_each(|slot| self.change(slot, |room| room.connected = false));
    }

    /// Takes room on an instance.
    pub(crate) fn take(&mut self, slot: Slot, need: &Resources) {
        self.change(slot, |room| room.used.reserve(need));
    }

    /// Gives room back that an attempt had; says whether it was the last one there.
    pub(crate) fn give_back(
        &mut self,
        id: &str,
        need: &Resources,
        attempt: AttemptId,
        now: Timestamp,
    ) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let mut is_idle = false;
        self.change(slot, |room| {
            if room.attempts.remove(&attempt) {
                room.used.release(need);
                room.idle_since = now;
                is_idle = room.attempts.is_empty();
            }
        });
        self.grown(slot);
        is_idle
    }

    /// Gives room back that was taken a moment ago, for nobody.
    pub(crate) fn untake(&mut self, slot: Slot, need: &Resources) {
        self.change(slot, |room| room.used.release(need));
    }

    /// An attempt is on it, whose room was taken.
    pub(crate) fn attach(&mut self, id: &str, attempt: AttemptId) {
        let Some(slot) = self.slot(id) else { return };
        if let Some(room) = self.rooms[slot as usize].as_mut() {
            room.attempts.insert(attempt);
            room.was_used = true;
            self.pools[room.pool].idle.remove(&slot);
        }
    }

    /// An attempt is there that takes no room.
    pub(crate) fn detach(&mut self, id: &str, attempt: AttemptId, now: Timestamp) {
        if let Some(slot) = self.slot(id) {
            self.change(slot, |room| {
                room.attempts.remove(&attempt);
                room.idle_since = now;
            });
        }
    }

    /// The pool of an environment that scales; with `None`, of the instances that are there by themselves.
    pub(crate) fn pool(&mut self, environment: Option<&Arn>) -> usize {
        if let Some(&pool) = self.pool_of.get(&environment.cloned()) {
            return pool;
        }
        self.pools.push(Pool::default());
        self.pool_of.insert(environment.cloned(), self.pools.len() - 1);
        self.pools.len() - 1
    }

    /// What the open instances of a pool have, taken or not.
    pub(crate) fn total(&self, pool: usize) -> Resources {
        self.pools[pool].total
    }

    /// What an instance has left; nothing where no attempt may be placed.
    pub(crate) fn free(&self, slot: Slot) -> Resources {
        self.free[slot as usize]
    }

    /// Whether an instance is of a pool.
    pub(crate) fn is_in(&self, slot: Slot, pool: usize) -> bool {
        self.at(slot).is_some_and(|room| room.pool == pool)
    }

    /// The instance of a pool on which `need` leaves the least, among those of that architecture that are `allowed`.
    pub(crate) fn find(
        &self,
        pool: usize,
        need: &Resources,
        architecture: Option<Architecture>,
        mut allowed: impl FnMut(Slot) -> bool,
    ) -> Option<Slot> {
        let pool = &self.pools[pool];
        let mut fits = |slot: &Slot| {
            self.free[*slot as usize].covers(need)
                && architecture.is_none_or(|wanted| self.is_of(*slot, wanted))
                && allowed(*slot)
        };
        if need.gpus > 0 {
            let mut by_gpus = pool.by_gpus.range((need.gpus, 0)..).map(|&(_, slot)| slot);
            return by_gpus.find(fits);
        }
        // Compared as fractions of what the pool has.
        let vcpus = u128::from(need.milli_vcpus) * u128::from(pool.total.memory_mib);
        let memory = u128::from(need.memory_mib) * u128::from(pool.total.milli_vcpus);
        [&pool.plain, &pool.with_gpus].into_iter().filter(|order| order.may_cover(need)).find_map(|order| {
            if vcpus >= memory {
                order.by_vcpus.range((need.milli_vcpus, 0)..).map(|&(_, slot)| slot).find(&mut fits)
            } else {
                order.by_memory.range((need.memory_mib, 0)..).map(|&(_, slot)| slot).find(&mut fits)
            }
        })
    }

    fn is_of(&self, slot: Slot, wanted: Architecture) -> bool {
        let has = self.at(slot).and_then(|room| room.record.architecture);
        has.is_none_or(|has| has == wanted)
    }

    /// Instances with more room than at the last pass, and forgets them; `None` when they are many.
    pub(crate) fn take_grown(&mut self) -> Option<Vec<Slot>> {
        let grown = std::mem::take(&mut self.grown);
        (grown.len() <= GROWN_MAX).then_some(grown)
    }

    fn grown(&mut self, slot: Slot) {
        if self.grown.len() <= GROWN_MAX && !self.grown.contains(&slot) {
            self.grown.push(slot);
        }
    }

    /// Changes an instance and keeps its pool in order.
    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Room)) {
        self.leave(slot);
        let room = self.rooms[slot as usize].as_mut().expect("a changed instance exists");
        change(room);
        self.join(slot);
    }

    /// Counts an instance for its pool: which there are, and which will be.
    fn count(&mut self, slot: Slot) {
        let Some(room) = &self.rooms[slot as usize] else { return };
        let (capacity, pool) = (room.record.capacity, &mut self.pools[room.pool]);
        pool.members.insert(slot);
        if let Some(managed) = &room.record.managed {
            *pool.generations.entry(managed.generation).or_default() += 1;
        }
        let phase = room.record.managed.as_ref().map(|managed| managed.phase);
        if phase != Some(Phase::Terminating) {
            pool.staying = pool.staying.saturating_add(capacity.milli_vcpus);
        }
        if phase == Some(Phase::Launching) {
            *pool.launching.entry(capacity).or_default() += 1;
        }
    }

    /// The reverse of [`Instances::count`].
    fn discount(&mut self, slot: Slot) {
        let Some(room) = &self.rooms[slot as usize] else { return };
        let (capacity, pool) = (room.record.capacity, &mut self.pools[room.pool]);
        if !pool.members.remove(&slot) {
            return;
        }
        if let Some(managed) = &room.record.managed {
            lower(&mut pool.generations, &managed.generation);
        }
        let phase = room.record.managed.as_ref().map(|managed| managed.phase);
        if phase != Some(Phase::Terminating) {
            pool.staying = pool.staying.saturating_sub(capacity.milli_vcpus);
        }
        if phase == Some(Phase::Launching) {
            lower(&mut pool.launching, &capacity);
        }
    }

    /// Puts an instance into its pool's order, if attempts may be placed on it.
    fn join(&mut self, slot: Slot) {
        let Some(room) = self.rooms[slot as usize].as_ref().filter(|room| room.is_open()) else { return };
        let capacity = room.record.capacity;
        let free = capacity.saturating_sub(&room.used);
        self.free[slot as usize] = free;
        let pool = &mut self.pools[room.pool];
        pool.total.reserve(&capacity);
        if room.attempts.is_empty() {
            pool.idle.insert(slot);
        }
        let order = if capacity.gpus > 0 { &mut pool.with_gpus } else { &mut pool.plain };
        order.by_vcpus.insert((free.milli_vcpus, slot));
        order.by_memory.insert((free.memory_mib, slot));
        if capacity.gpus > 0 {
            pool.by_gpus.insert((free.gpus, slot));
        }
    }

    /// Takes an instance out of its pool's order.
    fn leave(&mut self, slot: Slot) {
        let Some(room) = self.rooms[slot as usize].as_ref().filter(|room| room.is_open()) else { return };
        let capacity = room.record.capacity;
        let free = std::mem::take(&mut self.free[slot as usize]);
        let pool = &mut self.pools[room.pool];
        pool.total.release(&capacity);
        pool.idle.remove(&slot);
        let order = if capacity.gpus > 0 { &mut pool.with_gpus } else { &mut pool.plain };
        order.by_vcpus.remove(&(free.milli_vcpus, slot));
        order.by_memory.remove(&(free.memory_mib, slot));
        if capacity.gpus > 0 {
            pool.by_gpus.remove(&(free.gpus, slot));
        }
    }
}

/// One fewer of `key`.
fn lower<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
