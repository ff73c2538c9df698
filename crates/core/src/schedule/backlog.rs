//! What the jobs of one queue wait for, have and had; and its front, as GetJobQueueSnapshot shows it.
//!
//! A queue is a list of lanes ([`super::lane`]): one for each active share, or a single one when it is FIFO. Which lane goes
//! next is decided by use and weight ([`super::share`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::id::{JobId, Member};
use crate::job::depends_on::Dependency;
use crate::job::{Job, JobStatus};
use crate::resource::consumable_resource::Consumable;
use crate::resource::scheduling_policy::PolicyKind;
use crate::schedule::backfill::Claim;
use crate::schedule::lane::{self, Lane, rank};
use crate::schedule::shape::{Shape, ShapeId};
use crate::schedule::share::{Past, usage};
use crate::state::{State, Timer};
use crate::text::Text;
use crate::time::Timestamp;

/// What one queue has to offer to a scheduling pass.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    lanes: Vec<Option<Lane>>,
    /// Active shares, and their lanes; in a FIFO queue the one without a name.
    lane_of: BTreeMap<Text, usize>,
    /// Shapes that wait, how many jobs of each, and how many jobs and array children.
    pub(crate) shapes: BTreeMap<ShapeId, (usize, u64)>,
    /// Shapes to be looked at by the next pass even if no instance has got more room.
    pub(crate) fresh: BTreeSet<ShapeId>,
    /// Shapes that nothing the queue has could ever take, and why; until the environments or machines change.
    pub(crate) never: BTreeMap<ShapeId, &'static str>,
    /// Shapes of which it is not known yet whether they are among those.
    pub(crate) unjudged: BTreeSet<ShapeId>,
    /// Shapes that would find room if it were not claimed: looked at again by the next pass.
    pub(crate) denied: BTreeSet<ShapeId>,
    /// Something was held back at the last pass that had room: every shape is looked at by the next.
    pub(crate) held_back: bool,
    /// The room that the first job has to wait for, when others went past it.
    pub(crate) claim: Option<Claim>,
    /// The job that had to wait first in the last pass, and since when it does.
    pub(crate) blocked: Option<(Uuid, Timestamp)>,
    /// Jobs that have not ended.
    pub(crate) live: usize,
    /// Thousandths of a vCPU that its attempts have.
    pub(crate) running: u64,
    /// The highest place in the order of submission that it has seen.
    newest: u64,
    /// When jobs last changed places.
    pub(crate) moved_at: Timestamp,
}

/// A share as a snapshot shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareUsage {
    /// `shareIdentifier`.
    pub identifier: Text,
    /// Thousandths of a vCPU that its attempts have.
    pub milli_vcpus: u64,
    /// The same, averaged over the decay window, recent use counting more.
    pub recent_milli_vcpus: u64,
    /// In ten-thousandths; the lower, the more it is entitled to.
    pub weight: u32,
}

impl Backlog {
    /// The lanes, by number.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (usize, &Lane)> {
        self.lanes.iter().enumerate().filter_map(|(number, lane)| Some((number, lane.as_ref()?)))
    }

    pub(crate) fn lane(&self, number: usize) -> &Lane {
        self.lanes[number].as_ref().expect("a lane that is asked for exists")
    }

    pub(crate) fn lane_mut(&mut self, number: usize) -> &mut Lane {
        self.lanes[number].as_mut().expect("a lane that is asked for exists")
    }

    /// The number of a lane.
    pub(crate) fn lane_of(&self, name: &str) -> Option<usize> {
        self.lane_of.get(name).copied()
    }

    /// The active shares of a fair-share queue.
    pub(crate) fn shares(&self) -> &BTreeMap<Text, usize> {
        &self.lane_of
    }

    fn lanes_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut().flatten()
    }

    /// The lane of that name, made when there is none.
    fn enter(&mut self, name: &Text, lane: impl FnOnce() -> Lane) -> usize {
        if let Some(number) = self.lane_of(name) {
            return number;
        }
        let number = self.lanes.iter().position(Option::is_none).unwrap_or_else(|| {
            self.lanes.push(None);
            self.lanes.len() - 1
        });
        self.lanes[number] = Some(lane());
        self.lane_of.insert(name.clone(), number);
        number
    }

    /// One job fewer of a shape waits.
    pub(crate) fn leave_shape(&mut self, shape: ShapeId) {
        if let Some((jobs, _)) = self.shapes.get_mut(&shape) {
            *jobs -= 1;
            if *jobs == 0 {
                self.shapes.remove(&shape);
                self.fresh.remove(&shape);
                self.unjudged.remove(&shape);
                self.denied.remove(&shape);
                self.never.remove(&shape);
            }
        }
    }

    /// So many of a job of a shape wait that were so many before.
    pub(crate) fn count_units(&mut self, shape: ShapeId, before: u32, now: u32) {
        if let Some((_, units)) = self.shapes.get_mut(&shape) {
            *units = *units + u64::from(now) - u64::from(before);
        }
    }

    /// How many jobs and array children of a shape wait.
    pub(crate) fn units(&self, shape: ShapeId) -> u64 {
        self.shapes.get(&shape).map_or(0, |&(_, units)| units)
    }

    /// The jobs that can never fit.
    pub(crate) fn stuck(&self) -> impl Iterator<Item = Uuid> {
        let of = |shape: &ShapeId| {
            let shape = *shape;
            self.lanes().flat_map(move |(_, lane)| lane.jobs_of(shape))
        };
        self.never.keys().flat_map(of)
    }

    /// The shapes that wait, those first whose first job goes first.
    pub(crate) fn shapes_in_order(&self) -> Vec<ShapeId> {
        let mut heads: BTreeMap<ShapeId, (u128, u64)> = BTreeMap::new();
        for (_, lane) in self.lanes().filter(|(_, lane)| !lane.is_empty()) {
            let score = lane.score();
            for (rank, shape) in lane.heads() {
                let head = heads.entry(shape).or_insert((score, rank));
                *head = (*head).min((score, rank));
            }
        }
        let mut shapes: Vec<(u128, u64, ShapeId)> =
            heads.into_iter().map(|(shape, (score, rank))| (score, rank, shape)).collect();
        shapes.sort_unstable();
        shapes.into_iter().map(|(.., shape)| shape).collect()
    }

    /// Brings the history of every share up to `now`.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.lanes_mut().for_each(|lane| lane.past.advance(lane.running, now));
    }
}

/// Name of a job's lane.
pub(crate) fn lane_name(job: &Job) -> Text {
    job.share_identifier.clone().unwrap_or_default()
}

/// Jobs of one lane as a snapshot foresees them.
struct Front<'a> {
    had: u64,
    weight: u32,
    jobs: Peekable<Box<dyn Iterator<Item = (u64, JobId)> + 'a>>,
}

impl State {
    /// A job has entered a queue: it counts for its share.
    pub(crate) fn enter_lane(&mut self, job: &Job) {
        let name = lane_name(job);
        let (weight, decay, now) =
            (self.weight(&job.queue, &name), self.decay_seconds(&job.queue), self.latest);
        let backlog = self.backlogs.entry(job.queue.clone()).or_default();
        let lane = backlog.enter(&name, || Lane::new(name.clone(), weight, Past::new(decay, now)));
        backlog.lane_mut(lane).live += 1;
        backlog.live += 1;
    }

    /// The share identifier as earlier jobs have it, if there were any: all share one text.
    pub(crate) fn known_share(&self, queue: &Arn, share: Text) -> Text {
        let known = self.backlogs.get(queue).and_then(|backlog| backlog.shares().get_key_value(&share));
        known.map_or(share, |(known, _)| known.clone())
    }

    /// A job has ended. The last one of a share ends the share, once what it had is forgotten.
    pub(crate) fn leave_lane(&mut self, job: &Job) {
        let now = self.latest;
        let Some(backlog) = self.backlogs.get_mut(&job.queue) else { return };
        backlog.live -= 1;
        let number = backlog.lane_of(&lane_name(job)).expect("a live job has a lane");
        let lane = backlog.lane_mut(number);
        lane.live -= 1;
        if lane.live == 0
            && let Some(share) = &job.share_identifier
        {
            let at = now.plus_millis(lane.past.window());
            self.set_timer(at, Timer::ShareDecay(job.queue.clone(), share.clone()));
        }
    }

    /// Forgets a share that has had nothing for as long as use is remembered.
    pub(crate) fn forget_share(&mut self, queue: &Arn, name: &Text) {
        let now = self.latest;
        let Some(backlog) = self.backlogs.get_mut(queue) else { return };
        let Some(number) = backlog.lane_of(name) else { return };
        let lane = backlog.lane_mut(number);
        lane.past.advance(lane.running, now);
        if lane.live == 0 && lane.past.average() == 0 {
            if lane.recorded {
                self.shares_changed.insert((queue.clone(), name.clone()));
            }
            backlog.lanes[number] = None;
            backlog.lane_of.remove(name);
            self.schedule_due = true; // less may be kept free for others
        }
    }

    /// The queue has another policy, or its policy other weights or another window.
    pub(crate) fn weigh_shares(&mut self, queue: &Arn) {
        let (decay, now) = (self.decay_seconds(queue), self.latest);
        let Some(backlog) = self.backlogs.get(queue) else { return };
        let weights: Vec<u32> = backlog.lanes().map(|(_, lane)| self.weight(queue, &lane.name)).collect();
        let mut idle = Vec::new();
        let Some(backlog) = self.backlogs.get_mut(queue) else { return };
        backlog.held_back = true;
        backlog.advance(now);
        for (lane, weight) in backlog.lanes_mut().zip(weights) {
            lane.weight = weight;
            lane.past = lane.past.over(decay);
            if lane.live == 0 {
                idle.push((now.plus_millis(lane.past.window()), lane.name.clone()));
            }
        }
        for (at, name) in idle {
            self.set_timer(at, Timer::ShareDecay(queue.clone(), name));
        }
    }

    /// How much of a job is RUNNABLE: of an array its children, of another one or none.
    fn runnable_count(&self, job: &Job) -> u32 {
        match self.arrays.get(&job.id) {
            Some(array) => array.runnable_count(),
            None => u32::from(job.execution.status == JobStatus::Runnable),
        }
    }

    /// Puts a job among those with something RUNNABLE, or takes it out, as its status and its children say.
    pub(crate) fn sync_backlog(&mut self, job: Uuid) {
        let job = Arc::clone(&self.jobs[&job]);
        let count = self.runnable_count(&job);
        let (now, shape, rank) = (self.latest, Shape::of(&job), rank(&job));
        let Some(backlog) = self.backlogs.get_mut(&job.queue) else { return };
        let Some(lane) = backlog.lane_of(job.share_identifier.as_deref().unwrap_or_default()) else { return };
        let known = self.shapes.find(&shape);
        let before = known.map_or(0, |known| backlog.lane(lane).count(known, rank));
        match (before, count) {
            (0, 0) => return,
            (0, _) => {
                let is_new = known.is_none_or(|known| !backlog.shapes.contains_key(&known));
                let shape = self.shapes.enter(shape);
                backlog.lane_mut(lane).set(shape, rank, job.id, count);
                let waiting = backlog.shapes.entry(shape).or_default();
                *waiting = (waiting.0 + 1, waiting.1 + u64::from(count));
                self.demand_due = true;
                backlog.fresh.insert(shape);
                if is_new {
                    backlog.unjudged.insert(shape);
                }
                if job.sequence < backlog.newest || job.share_identifier.is_some() {
                    backlog.moved_at = now;
                }
                backlog.newest = backlog.newest.max(job.sequence);
            }
            (_, count) => {
                let shape = known.expect("it waits");
                backlog.lane_mut(lane).set(shape, rank, job.id, count);
                backlog.count_units(shape, before, count);
                if count == 0 {
                    self.shapes.leave(shape);
                    backlog.leave_shape(shape);
                    backlog.moved_at = now;
                    backlog.held_back = true; // it may have held back those behind it
                } else {
                    self.demand_due |= count > before;
                    backlog.fresh.insert(shape);
                }
            }
        }
        self.schedule_due = true;
    }

    /// Counts what an attempt of `job` has of its queue, its share and of consumable resources.
    pub(crate) fn occupy(&mut self, job: &Job, member: Member) {
        self.reserve_consumables(job.held_consumables(member));
        let milli_vcpus = job.resources_of(member).milli_vcpus;
        self.change_running(job, |running| running + milli_vcpus);
    }

    /// The reverse of [`State::occupy`].
    pub(crate) fn vacate(&mut self, job: &Job, member: Member) {
        let held = job.held_consumables(member);
        self.demand_due |= !held.is_empty(); // others may be waiting for it
        self.release_consumables(held);
        let milli_vcpus = job.resources_of(member).milli_vcpus;
        self.change_running(job, |running| running - milli_vcpus);
    }

    /// The share of a job has more or less than before: its record is to be written.
    pub(crate) fn share_changed(&mut self, job: Uuid) {
        let job = &self.jobs[&job];
        let Some(name) = &job.share_identifier else { return };
        let Some(backlog) = self.backlogs.get_mut(&job.queue) else { return };
        let Some(number) = backlog.lane_of(name) else { return };
        backlog.lane_mut(number).recorded = true;
        self.shares_changed.insert((job.queue.clone(), name.clone()));
    }

    fn change_running(&mut self, job: &Job, change: impl Fn(u64) -> u64) {
        let now = self.latest;
        let Some(backlog) = self.backlogs.get_mut(&job.queue) else { return };
        backlog.running = change(backlog.running);
        if let Some(name) = &job.share_identifier
            && let Some(number) = backlog.lane_of(name)
        {
            let lane = backlog.lane_mut(number);
            lane.past.advance(lane.running, now);
            lane.running = change(lane.running);
            backlog.moved_at = now;
            self.share_changed(job.id);
        }
    }

    /// What a share had until it last changed, from its record. Since then it has had what its live attempts have.
    pub(crate) fn recover_share(&mut self, queue: &Arn, share: &Text, past: &Past) {
        if self.policy_kind(queue) != PolicyKind::FairShare {
            return;
        }
        let (weight, past) = (self.weight(queue, share), past.over(self.decay_seconds(queue)));
        self.latest = self.latest.max(past.until());
        let backlog = self.backlogs.entry(queue.clone()).or_default();
        let lane = backlog.enter(share, || Lane::new(share.clone(), weight, past.clone()));
        let lane = backlog.lane_mut(lane);
        (lane.past, lane.recorded) = (past, true);
    }

    /// The lane of a share.
    pub(crate) fn lane(&self, queue: &str, share: &str) -> Option<&Lane> {
        let backlog = self.backlogs.get(queue)?;
        Some(backlog.lane(backlog.lane_of(share)?))
    }

    /// A queue is gone, and with it what its shares had.
    pub(crate) fn remove_backlog(&mut self, queue: &Arn) {
        let lanes = self.backlogs.remove(queue);
        let lanes = lanes.iter().flat_map(Backlog::lanes).filter(|(_, lane)| lane.recorded);
        self.shares_changed.extend(lanes.map(|(_, lane)| (queue.clone(), lane.name.clone())));
    }

    /// After recovery: shares that have no live jobs are forgotten in time.
    pub(crate) fn await_share_decay(&mut self) {
        for (queue, backlog) in &self.backlogs {
            for (_, lane) in backlog.lanes().filter(|(_, lane)| lane.live == 0 && !lane.name.is_empty()) {
                let at = self.latest.plus_millis(lane.past.window());
                self.timers.insert((at, Timer::ShareDecay(queue.clone(), lane.name.clone())));
            }
        }
    }

    /// Thousandths of a vCPU that the queue's attempts have.
    pub fn queue_usage(&self, queue: &str) -> u64 {
        self.backlogs.get(queue).map_or(0, |backlog| backlog.running)
    }

    /// The active shares of a queue, those that use most first; none of a FIFO queue.
    pub fn share_usage(&self, queue: &str) -> Vec<ShareUsage> {
        let lanes = self.backlogs.get(queue).into_iter().flat_map(Backlog::lanes);
        let shares = lanes.filter(|(_, lane)| !lane.name.is_empty());
        let mut usage: Vec<ShareUsage> = shares
            .map(|(_, lane)| {
                let mut past = lane.past.clone();
                past.advance(lane.running, self.latest);
                ShareUsage {
                    identifier: lane.name.clone(),
                    milli_vcpus: lane.running,
                    recent_milli_vcpus: past.average(),
                    weight: lane.weight,
                }
            })
            .collect();
        usage.sort_by(|a, b| {
            (Reverse(a.milli_vcpus), &a.identifier).cmp(&(Reverse(b.milli_vcpus), &b.identifier))
        });
        usage
    }

    /// The first `limit` jobs and array children that go next, and since when each is where it is (as far as is known since
    /// the server started). What can never fit is not among them.
    pub fn front_of_queue(&self, queue: &str, limit: usize) -> Vec<(JobId, Timestamp)> {
        let Some(backlog) = self.backlogs.get(queue) else { return Vec::new() };
        let lanes = backlog.lanes().filter(|(_, lane)| !lane.is_empty());
        let mut lanes: Vec<Front<'_>> =
            lanes.map(|(_, lane)| self.front_of_lane(backlog, lane, limit)).collect();
        let mut front = Vec::new();
        while front.len() < limit {
            let heads = lanes.iter_mut().filter_map(|lane| {
                let &(sequence, _) = lane.jobs.peek()?;
                Some((usage(lane.had, lane.weight), sequence, lane))
            });
            let Some((_, _, lane)) = heads.min_by_key(|&(usage, sequence, _)| (usage, sequence)) else {
                break;
            };
            let Some((_, id)) = lane.jobs.next() else { break };
            lane.had += self.jobs[&id.job].resources.milli_vcpus;
            front.push((id, backlog.moved_at.max(self.runnable_since(id))));
        }
        front
    }

    fn front_of_lane<'a>(&'a self, backlog: &'a Backlog, lane: &'a Lane, limit: usize) -> Front<'a> {
        let mut past = lane.past.clone();
        past.advance(lane.running, self.latest);
        let had = past.average() + lane.running;
        let can_fit = move |job: &Uuid| {
            let shape = self.shapes.find(&Shape::of(&self.jobs[job]));
            shape.is_none_or(|shape| !backlog.never.contains_key(&shape))
        };
        let jobs = lane.jobs().map(|(rank, waiting)| (lane::sequence(rank), waiting.job));
        let members = jobs.filter(move |(_, job)| can_fit(job)).flat_map(move |(sequence, job)| {
            self.runnable_members(job, limit).into_iter().map(move |id| (sequence, id))
        });
        let jobs: Box<dyn Iterator<Item = (u64, JobId)> + 'a> = Box::new(members);
        Front { had, weight: lane.weight, jobs: jobs.peekable() }
    }

    /// A job itself, or the first RUNNABLE children of an array.
    pub(crate) fn runnable_members(&self, job: Uuid, limit: usize) -> Vec<JobId> {
        match self.arrays.get(&job) {
            None => vec![JobId::whole(job)],
            Some(array) => array.runnable().take(limit).map(|index| JobId::child(job, index)).collect(),
        }
    }

    /// When a RUNNABLE job or child became so: with its creation, the end of the last that it waited for, or of its attempt.
    pub(crate) fn runnable_since(&self, id: JobId) -> Timestamp {
        let Some((job, execution)) = self.find(id) else { return Timestamp::default() };
        let awaited = job.depends_on.iter().filter_map(|dependency| match (*dependency, id.member) {
            (Dependency::Job(on) | Dependency::AfterAny(on), _) => Some(on),
            (Dependency::NToN(on), Member::Index(index)) => Some(JobId::child(on, index)),
            (Dependency::Sequential, Member::Index(index)) if index > 0 => {
                Some(JobId::child(id.job, index - 1))
            }
            (Dependency::NToN(_) | Dependency::Sequential, _) => None,
        });
        let ends = awaited.filter_map(|on| self.find(on)?.1.stopped_at);
        ends.fold(execution.latest(), Timestamp::max)
    }

    /// Checks that the accounts of every queue and consumable resource agree with the jobs, of which `placed` gives each as
    /// often as it has attempts.
    ///
    /// # Panics
    /// When they do not: a bug.
    pub(crate) fn check_accounts<'a>(&self, placed: impl Iterator<Item = (&'a Job, Member)>) {
        let mut queues: BTreeMap<&Arn, Accounts<'_>> = BTreeMap::new();
        let mut held: BTreeMap<Arn, u128> = BTreeMap::new();
        #[expect(clippy::iter_over_hash_type, reason = "whatever the order, the same is found")]
        for job in self.jobs.values() {
            if !job.execution.status.is_terminal() {
                let queue = queues.entry(&job.queue).or_default();
                queue.lanes.entry(job.share_identifier.as_deref().unwrap_or_default()).or_default().0 += 1;
            }
            let runnable = self.runnable_count(job);
            if runnable > 0 {
                let shape = self.shapes.find(&Shape::of(job)).expect("its shape waits");
                let waiting = queues.entry(&job.queue).or_default().shapes.entry(shape).or_default();
                *waiting = (waiting.0 + 1, waiting.1 + u64::from(runnable));
                let backlog = &self.backlogs[&job.queue];
                let lane = backlog.lane_of(&lane_name(job)).expect("it has a lane");
                assert_eq!(backlog.lane(lane).count(shape, rank(job)), runnable, "{} waits", job.id);
            }
        }
        for (job, member) in placed {
            let milli_vcpus = job.resources_of(member).milli_vcpus;
            let queue = queues.entry(&job.queue).or_default();
            queue.running += milli_vcpus;
            queue.lanes.entry(job.share_identifier.as_deref().unwrap_or_default()).or_default().1 +=
                milli_vcpus;
            for Consumable { arn, quantity } in job.held_consumables(member) {
                *held.entry(arn.clone()).or_default() += u128::from(*quantity);
            }
        }
        held.retain(|_, held| *held > 0);
        assert_eq!(self.consumables_held, held, "consumables add up");
        let mut shapes: HashMap<ShapeId, usize> = HashMap::new();
        for (arn, backlog) in &self.backlogs {
            let want = queues.remove(arn).unwrap_or_default();
            assert_eq!(backlog.running, want.running, "{arn} adds up");
            assert_eq!(backlog.live, want.lanes.values().map(|lane| lane.0).sum::<usize>(), "{arn} counts");
            assert_eq!(backlog.shapes, want.shapes, "{arn} counts what waits");
            let waiting: usize = backlog.lanes().map(|(_, lane)| lane.jobs().count()).sum();
            assert_eq!(
                waiting,
                backlog.shapes.values().map(|&(jobs, _)| jobs).sum::<usize>(),
                "{arn}: no other waits"
            );
            for (_, lane) in backlog.lanes() {
                let (live, running) = want.lanes.get(&*lane.name).copied().unwrap_or_default();
                assert_eq!(lane.live, live, "{arn} {}", lane.name);
                assert_eq!(
                    lane.running,
                    if lane.name.is_empty() { 0 } else { running },
                    "{arn} {}",
                    lane.name
                );
                if !lane.name.is_empty() {
                    assert_eq!(lane.weight, self.weight(arn, &lane.name), "{arn} {}", lane.name);
                }
            }
            for (&shape, &(jobs, _)) in &backlog.shapes {
                *shapes.entry(shape).or_default() += jobs;
            }
        }
        assert!(queues.is_empty(), "every queue with live jobs has a backlog");
        self.shapes.check(&shapes);
    }
}

/// What the jobs of a queue say that its backlog holds.
#[derive(Default)]
struct Accounts<'a> {
    running: u64,
    /// Jobs that have not ended, and thousandths of a vCPU.
    lanes: BTreeMap<&'a str, (usize, u64)>,
    shapes: BTreeMap<ShapeId, (usize, u64)>,
}
