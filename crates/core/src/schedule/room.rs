//! Instances in memory: what each has left, and where a job of some shape fits best.
//!
//! Instances form pools: those that are there by themselves, on which every environment draws that does not scale, and
//! those of each environment that does. A pool keeps the instances that take attempts ordered by free vCPUs, by free memory
//! and by free GPUs; a search goes along the order of the resource that the job needs most of, where the first instance
//! with room is the one that it leaves the least of it on, and along the other one in turns with it. Jobs that need no GPU look at instances without GPUs first.
//!
//! Costs, for n instances: taking and giving back O(log n); a search O(log n) plus the instances passed over: no
//! more than twice those that have enough vCPUs, or those that have enough memory, whichever are fewer; that nothing has room
//! is mostly seen in O(1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::arn::Arn;
use crate::id::AttemptId;
use crate::instance::{Architecture, Instance, Phase};
use crate::quantity::Resources;
use crate::scale::plan::Coming;
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

    /// It was not asked to go.
    pub(crate) fn stays(&self) -> bool {
        self.record.managed.as_ref().is_none_or(|managed| managed.phase != Phase::Terminating)
    }
}

/// Instances of which any may run a job.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pool {
    /// What the open ones have, taken or not.
    total: Resources,
    plain: Order,
    /// Those with GPUs.
    with_gpus: Order,
    by_gpus: BTreeSet<(u32, Slot)>,
    /// All of them, open or not.
    members: BTreeSet<Slot>,
    /// Those on which nothing runs.
    idle: BTreeSet<Slot>,
    /// Thousandths of a vCPU of all but those that were asked to go.
    staying: u64,
    /// What those will have that are being launched, and how many are alike.
    launching: BTreeMap<(Resources, Option<Architecture>), u64>,
}

/// Open instances by what they have left.
#[derive(Clone, Debug, Default, PartialEq)]
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

    /// The instances of a pool on which attempts may be placed, by number.
    pub(crate) fn open_in(&self, pool: usize) -> impl Iterator<Item = (Slot, &Room)> {
        let rooms = self.pools[pool].members.iter().filter_map(|&slot| Some((slot, self.at(slot)?)));
        rooms.filter(|(_, room)| room.is_open())
    }

    /// The instances of an environment that scales, by number; with `None`, those that are there by themselves.
    pub(crate) fn of(&self, environment: Option<&Arn>) -> impl Iterator<Item = &Room> {
        let members = self.existing_pool(environment).into_iter().flat_map(|pool| &pool.members);
        members.filter_map(|&slot| self.at(slot))
    }

    /// Thousandths of a vCPU of the instances of an environment that scales, but for those that were asked to go.
    pub(crate) fn staying(&self, environment: &Arn) -> u64 {
        self.existing_pool(Some(environment)).map_or(0, |pool| pool.staying)
    }

    /// The room that is being launched for an environment.
    pub(crate) fn launching(&self, environment: &Arn) -> impl Iterator<Item = Coming> {
        let launching = self.existing_pool(Some(environment)).into_iter().flat_map(|pool| &pool.launching);
        launching.map(|(&(free, architecture), &count)| Coming { free, architecture, count })
    }

    /// The instances of an environment that scales that take attempts and have none, by number.
    pub(crate) fn idle(&self, environment: &Arn) -> impl Iterator<Item = &Room> {
        let idle = self.existing_pool(Some(environment)).into_iter().flat_map(|pool| &pool.idle);
        idle.filter_map(|&slot| self.at(slot)).filter(|room| room.is_open())
    }

    /// What attempts leave on the open instances of an environment that have some.
    pub(crate) fn busy(&self, environment: &Arn) -> impl Iterator<Item = Coming> {
        let mut busy: BTreeMap<(Resources, Option<Architecture>), u64> = BTreeMap::new();
        for &slot in self.existing_pool(Some(environment)).into_iter().flat_map(|pool| &pool.members) {
            let (free, room) = (self.free(slot), self.at(slot));
            if let Some(room) = room.filter(|room| !room.attempts.is_empty() && free.milli_vcpus > 0) {
                *busy.entry((free, room.record.architecture)).or_default() += 1;
            }
        }
        busy.into_iter().map(|((free, architecture), count)| Coming { free, architecture, count })
    }

    /// What the instances have that are there by themselves and open, taken or not.
    pub(crate) fn machines(&self) -> Resources {
        self.existing_pool(None).map(|pool| pool.total).unwrap_or_default()
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
            // One that has been ready before was there when the server stopped: it may have had attempts.
            let was_used = record.managed.as_ref().is_some_and(|managed| managed.ready_at.is_some());
            self.rooms[slot as usize] = Some(Room {
                record: Arc::clone(&record),
                connected: false,
                used: Resources::default(),
                attempts: BTreeSet::new(),
                idle_since: now,
                was_used,
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
        self.change_used(slot, |used| used.reserve(need));
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
        let room = self.rooms[slot as usize].as_mut().expect("an instance that has a slot exists");
        if !room.attempts.remove(&attempt) {
            return false;
        }
        room.idle_since = now;
        let is_idle = room.attempts.is_empty();
        if is_idle {
            self.pools[room.pool].idle.insert(slot);
        }
        self.change_used(slot, |used| used.release(need));
        self.grown(slot);
        is_idle
    }

    /// Gives room back that was taken a moment ago, for nobody.
    pub(crate) fn untake(&mut self, slot: Slot, need: &Resources) {
        self.change_used(slot, |used| used.release(need));
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
            let mut by_vcpus = order.by_vcpus.range((need.milli_vcpus, 0)..).map(|&(_, slot)| slot);
            let mut by_memory = order.by_memory.range((need.memory_mib, 0)..).map(|&(_, slot)| slot);
            let (most, other): (&mut dyn Iterator<Item = Slot>, &mut dyn Iterator<Item = Slot>) =
                if vcpus >= memory {
                    (&mut by_vcpus, &mut by_memory)
                } else {
                    (&mut by_memory, &mut by_vcpus)
                };
            // What has room is in both orders: the one that ends first has shown that there is none.
            loop {
                if let Some(slot) = Some(most.next()?).filter(&mut fits) {
                    return Some(slot);
                }
                if let Some(slot) = Some(other.next()?).filter(&mut fits) {
                    return Some(slot);
                }
            }
        })
    }

    /// Whether an instance has that architecture, as far as is known.
    fn is_of(&self, slot: Slot, wanted: Architecture) -> bool {
        let has = self.at(slot).and_then(|room| room.record.architecture);
        Architecture::serves(has, Some(wanted))
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

    /// Changes what is taken of an instance, and its place in its pool's order: what has not changed stays where it is.
    fn change_used(&mut self, slot: Slot, change: impl FnOnce(&mut Resources)) {
        let room = self.rooms[slot as usize].as_mut().expect("a changed instance exists");
        change(&mut room.used);
        if !room.is_open() {
            return;
        }
        let capacity = room.record.capacity;
        let free = capacity.saturating_sub(&room.used);
        let before = std::mem::replace(&mut self.free[slot as usize], free);
        let pool = &mut self.pools[room.pool];
        let order = if capacity.gpus > 0 { &mut pool.with_gpus } else { &mut pool.plain };
        if before.milli_vcpus != free.milli_vcpus {
            order.by_vcpus.remove(&(before.milli_vcpus, slot));
            order.by_vcpus.insert((free.milli_vcpus, slot));
        }
        if before.memory_mib != free.memory_mib {
            order.by_memory.remove(&(before.memory_mib, slot));
            order.by_memory.insert((free.memory_mib, slot));
        }
        if before.gpus != free.gpus {
            pool.by_gpus.remove(&(before.gpus, slot));
            pool.by_gpus.insert((free.gpus, slot));
        }
    }

    /// Counts an instance for its pool: which there are, and which will be.
    fn count(&mut self, slot: Slot) {
        let Some(room) = &self.rooms[slot as usize] else { return };
        let (capacity, pool) = (room.record.capacity, &mut self.pools[room.pool]);
        pool.members.insert(slot);
        if room.attempts.is_empty() {
            pool.idle.insert(slot);
        }
        let phase = room.record.managed.as_ref().map(|managed| managed.phase);
        if phase != Some(Phase::Terminating) {
            pool.staying = pool.staying.saturating_add(capacity.milli_vcpus);
        }
        if phase == Some(Phase::Launching) {
            *pool.launching.entry((capacity, room.record.architecture)).or_default() += 1;
        }
    }

    /// The reverse of [`Instances::count`].
    fn discount(&mut self, slot: Slot) {
        let Some(room) = &self.rooms[slot as usize] else { return };
        let (capacity, pool) = (room.record.capacity, &mut self.pools[room.pool]);
        pool.idle.remove(&slot);
        if !pool.members.remove(&slot) {
            return;
        }
        let phase = room.record.managed.as_ref().map(|managed| managed.phase);
        if phase != Some(Phase::Terminating) {
            pool.staying = pool.staying.saturating_sub(capacity.milli_vcpus);
        }
        let alike = (capacity, room.record.architecture);
        if phase == Some(Phase::Launching)
            && let Some(count) = pool.launching.get_mut(&alike)
        {
            *count -= 1;
            if *count == 0 {
                pool.launching.remove(&alike);
            }
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
        let order = if capacity.gpus > 0 { &mut pool.with_gpus } else { &mut pool.plain };
        order.by_vcpus.remove(&(free.milli_vcpus, slot));
        order.by_memory.remove(&(free.memory_mib, slot));
        if capacity.gpus > 0 {
            pool.by_gpus.remove(&(free.gpus, slot));
        }
    }

    /// Checks that the accounts of the pools agree with their instances.
    ///
    /// # Panics
    /// When they do not: a bug.
    pub(crate) fn check(&self) {
        let mut pools = vec![Pool::default(); self.pools.len()];
        for (id, &slot) in &self.slots {
            let room = self.at(slot).expect("an instance that has a number is there");
            assert_eq!(*id, room.record.instance_id, "{id} is where its number says");
            let managed = room.record.managed.as_ref();
            let environment = managed.map(|managed| managed.compute_environment.clone());
            assert_eq!(self.pool_of.get(&environment), Some(&room.pool), "{id} is in its own pool");
            let (pool, capacity) = (&mut pools[room.pool], room.record.capacity);
            if room.attempts.is_empty() {
                pool.idle.insert(slot);
            }
            pool.members.insert(slot);
            match managed.map(|managed| managed.phase) {
                Some(Phase::Terminating) => {}
                phase => {
                    pool.staying += capacity.milli_vcpus;
                    if phase == Some(Phase::Launching) {
                        *pool.launching.entry((capacity, room.record.architecture)).or_default() += 1;
                    }
                }
            }
            let free =
                if room.is_open() { capacity.saturating_sub(&room.used) } else { Resources::default() };
            assert_eq!(self.free(slot), free, "what {id} has left");
            if room.is_open() {
                pool.total.reserve(&capacity);
                let order = if capacity.gpus > 0 { &mut pool.with_gpus } else { &mut pool.plain };
                order.by_vcpus.insert((free.milli_vcpus, slot));
                order.by_memory.insert((free.memory_mib, slot));
                if capacity.gpus > 0 {
                    pool.by_gpus.insert((free.gpus, slot));
                }
            }
        }
        assert_eq!(self.pools, pools, "pools agree with their instances");
    }
}
