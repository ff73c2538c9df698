//! Shapes: what of a job decides where and when it can start. Jobs of one shape wait together, and a pass looks for room
//! once for all of them.
//!
//! Shapes are numbered while jobs of them wait; finding a shape's number costs one hash of it.

use std::collections::HashMap;

use crate::instance::Architecture;
use crate::job::Job;
use crate::quantity::Resources;
use crate::resource::consumable_resource::Consumable;

/// Number of a shape in [`Shapes`]; used again when no job of it waits any more.
pub(crate) type ShapeId = u32;

/// What of a job decides where and when it can start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Of one attempt; of a multi-node job, of all nodes together.
    pub(crate) need: Resources,
    /// Of a multi-node job: what its nodes need, and how many need so much; in the order of the nodes.
    pub(crate) nodes: Vec<(Resources, u32)>,
    /// Of one attempt, or of all nodes together.
    pub(crate) consumables: Vec<Consumable>,
    /// `None` when any will do.
    pub(crate) architecture: Option<Architecture>,
    /// The longest that an attempt may run; `None` when it may run for ever.
    pub(crate) seconds: Option<u32>,
}

impl Shape {
    pub(crate) fn of(job: &Job) -> Shape {
        let groups = job.nodes.iter().flat_map(|nodes| &nodes.groups);
        Shape {
            need: job.resources,
            nodes: groups.map(|group| (group.resources, group.count)).collect(),
            consumables: job.consumables.as_deref().unwrap_or_default().to_vec(),
            architecture: job.architecture,
            seconds: job.timeout_seconds,
        }
    }

    /// What each part of it needs that has to be on one instance, and how many there are of that part.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Resources, u32)> {
        let whole = self.nodes.is_empty().then_some((self.need, 1));
        whole.into_iter().chain(self.nodes.iter().copied())
    }

    /// What each of those parts needs; of a multi-node job, each node from the first on.
    pub(crate) fn each_part(&self) -> impl Iterator<Item = Resources> {
        self.parts().flat_map(|(part, count)| std::iter::repeat_n(part, count as usize))
    }
}

/// The shapes of all jobs that wait.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    shapes: Vec<Shape>,
    /// How many jobs of each wait.
    waiting: Vec<usize>,
    ids: HashMap<Shape, ShapeId>,
    vacant: Vec<ShapeId>,
}

impl Shapes {
    pub(crate) fn get(&self, id: ShapeId) -> &Shape {
        &self.shapes[id as usize]
    }

    pub(crate) fn find(&self, shape: &Shape) -> Option<ShapeId> {
        self.ids.get(shape).copied()
    }

    /// One more job of this shape waits.
    pub(crate) fn enter(&mut self, shape: Shape) -> ShapeId {
        if let Some(id) = self.find(&shape) {
            self.waiting[id as usize] += 1;
            return id;
        }
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.shapes.push(shape.clone());
            self.waiting.push(0);
            ShapeId::try_from(self.shapes.len() - 1).expect("shapes are fewer than 2^32")
        });
        self.shapes[id as usize] = shape.clone();
        self.waiting[id as usize] = 1;
        self.ids.insert(shape, id);
        id
    }

    /// One job fewer of this shape waits.
    pub(crate) fn leave(&mut self, id: ShapeId) {
        let waiting = &mut self.waiting[id as usize];
        *waiting -= 1;
        if *waiting == 0 {
            self.ids.remove(&self.shapes[id as usize]);
            self.vacant.push(id);
        }
    }

    /// Checks that so many jobs of each shape wait.
    ///
    /// # Panics
    /// When they do not: a bug.
    pub(crate) fn check(&self, waiting: &HashMap<ShapeId, usize>) {
        assert_eq!(self.ids.len(), waiting.len(), "shapes are known while jobs of them wait");
        assert!(
            self.ids.values().all(|&id| waiting.get(&id) == Some(&self.waiting[id as usize])),
            "shapes add up"
        );
    }
}
