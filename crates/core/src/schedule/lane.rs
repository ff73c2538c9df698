//! The jobs of one share that have something RUNNABLE, by shape and in the order in which they go; a FIFO queue has one lane.
//!
//! Within a lane jobs go by priority, then by submission. Adding and taking a job costs O(log jobs of the lane): all of them
//! are in one map, because a map for each shape would cost much more memory where many shares have few jobs of a shape.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_map};
use std::ops::{Bound, RangeInclusive};

use uuid::Uuid;

use crate::job::Job;
use crate::schedule::shape::ShapeId;
use crate::schedule::share::{self, Past};
use crate::text::Text;

/// Place of a job in its lane: priority in the upper 14 bits, highest first; below, the order of submission.
pub(crate) type Rank = u64;

const SEQUENCE_BITS: u32 = 50;

/// Source: AWS Batch API reference, SubmitJob (schedulingPriorityOverride).
const PRIORITY_MAX: u32 = 9999;

/// Place of a job in its lane.
pub(crate) fn rank(job: &Job) -> Rank {
    let priority = job.scheduling_priority.unwrap_or(0).min(PRIORITY_MAX);
    (u64::from(PRIORITY_MAX - priority) << SEQUENCE_BITS) | job.sequence
}

/// Position in the order of submission.
pub(crate) fn sequence(rank: Rank) -> u64 {
    rank & ((1 << SEQUENCE_BITS) - 1)
}

/// A job, and how much of it is RUNNABLE: 1, or of an array so many children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) job: Uuid,
    pub(crate) count: u32,
}

/// The places of all jobs of a shape.
fn all_of(shape: ShapeId) -> RangeInclusive<Key> {
    key(shape, Rank::MIN)..=key(shape, Rank::MAX)
}

/// A shape, and the upper and the lower half of a rank: in the same order as the whole, without padding.
type Key = (ShapeId, u32, u32);

#[expect(clippy::cast_possible_truncation, reason = "what is cut off is in the other half")]
fn key(shape: ShapeId, rank: Rank) -> Key {
    (shape, (rank >> 32) as u32, rank as u32)
}

fn rank_of(&(_, upper, lower): &Key) -> Rank {
    u64::from(upper) << 32 | u64::from(lower)
}

/// The jobs of one share, or of a whole FIFO queue.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// `shareIdentifier`; empty in a FIFO queue.
    pub(crate) name: Text,
    waiting: BTreeMap<Key, Waiting>,
    /// The first job of each shape.
    heads: BTreeSet<(Rank, ShapeId)>,
    /// Thousandths of a vCPU that its attempts have.
    pub(crate) running: u64,
    /// Jobs that have not ended.
    pub(crate) live: usize,
    /// In ten-thousandths.
    pub(crate) weight: u32,
    pub(crate) past: Past,
    /// It has a record.
    pub(crate) recorded: bool,
}

impl Lane {
    pub(crate) fn new(name: Text, weight: u32, past: Past) -> Lane {
        let (waiting, heads) = (BTreeMap::new(), BTreeSet::new());
        Lane { name, waiting, heads, running: 0, live: 0, weight, past, recorded: false }
    }

    /// What decides about its turn: the lowest goes next.
    pub(crate) fn score(&self) -> u128 {
        share::usage(self.past.average() + self.running, self.weight)
    }

    /// Sets how much of a job is RUNNABLE; returns how much was.
    pub(crate) fn set(&mut self, shape: ShapeId, rank: Rank, job: Uuid, count: u32) -> u32 {
        let old_head = self.head(shape);
        let key = key(shape, rank);
        let before = match count {
            0 => self.waiting.remove(&key),
            _ => self.waiting.insert(key, Waiting { job, count }),
        };
        let head = self.head(shape);
        if head != old_head {
            self.heads.extend(head.map(|rank| (rank, shape)));
            old_head.map(|rank| self.heads.remove(&(rank, shape)));
        }
        before.map_or(0, |waiting| waiting.count)
    }

    /// How much of a job is RUNNABLE.
    pub(crate) fn count(&self, shape: ShapeId, rank: Rank) -> u32 {
        self.waiting.get(&key(shape, rank)).map_or(0, |waiting| waiting.count)
    }

    /// Takes one job or child of the first job of a shape; says whether that was the last of the job.
    pub(crate) fn take(&mut self, shape: ShapeId) -> Option<(Uuid, bool)> {
        // Up to the end of the map: another bound would have to be searched for.
        let mut from = self.waiting.range_mut(key(shape, Rank::MIN)..);
        let (&first, waiting) = from.next().filter(|(key, _)| key.0 == shape)?;
        let job = waiting.job;
        if waiting.count > 1 {
            waiting.count -= 1;
            return Some((job, false));
        }
        let next = from.next().map(|(key, _)| *key).filter(|key| key.0 == shape);
        self.waiting.remove(&first);
        self.heads.remove(&(rank_of(&first), shape));
        self.heads.extend(next.map(|key| (rank_of(&key), shape)));
        Some((job, true))
    }

    /// The first job of a shape.
    pub(crate) fn first_of(&self, shape: ShapeId) -> Option<(Rank, Waiting)> {
        let first = self.waiting.range(key(shape, Rank::MIN)..).next();
        first.filter(|(key, _)| key.0 == shape).map(|(key, &waiting)| (rank_of(key), waiting))
    }

    fn head(&self, shape: ShapeId) -> Option<Rank> {
        self.first_of(shape).map(|(rank, _)| rank)
    }

    /// The jobs of a shape, in order.
    pub(crate) fn jobs_of(&self, shape: ShapeId) -> impl Iterator<Item = Uuid> {
        self.waiting.range(all_of(shape)).map(|(_, waiting)| waiting.job)
    }

    /// The first jobs of each shape, in order.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (Rank, ShapeId)> {
        self.heads.iter().copied()
    }

    /// The same, from those of `rank` on.
    pub(crate) fn heads_from(&self, rank: Rank) -> impl Iterator<Item = (Rank, ShapeId)> {
        self.heads.range((Bound::Included((rank, 0)), Bound::Unbounded)).copied()
    }

    /// How many shapes wait.
    pub(crate) fn shapes(&self) -> usize {
        self.heads.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// All jobs, in order. Costs O(log shapes) a job.
    pub(crate) fn jobs(&self) -> Jobs<'_> {
        let mut next = BinaryHeap::new();
        let mut shapes: Vec<btree_map::Range<'_, Key, Waiting>> =
            self.heads.iter().map(|&(_, shape)| self.waiting.range(all_of(shape))).collect();
        for (number, jobs) in shapes.iter_mut().enumerate() {
            next.extend(jobs.next().map(|job| upcoming(number, job)));
        }
        Jobs { next, shapes }
    }
}

/// A job of the shape that has this number among those of [`Jobs`].
type Upcoming = Reverse<(Rank, usize, Uuid, u32)>;

fn upcoming(number: usize, (key, waiting): (&Key, &Waiting)) -> Upcoming {
    Reverse((rank_of(key), number, waiting.job, waiting.count))
}

/// The jobs of a lane, in order.
pub(crate) struct Jobs<'a> {
    next: BinaryHeap<Upcoming>,
    shapes: Vec<btree_map::Range<'a, Key, Waiting>>,
}

impl Iterator for Jobs<'_> {
    type Item = (Rank, Waiting);

    fn next(&mut self) -> Option<(Rank, Waiting)> {
        let Reverse((rank, number, job, count)) = self.next.pop()?;
        let after = self.shapes[number].next();
        self.next.extend(after.map(|job| upcoming(number, job)));
        Some((rank, Waiting { job, count }))
    }
}
