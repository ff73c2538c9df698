//! What one attempt runs: a task of one or more containers, on one machine.
//!
//! A definition describes it as `containerProperties` (one container), as the element of `ecsProperties.taskProperties`, or
//! as `eksProperties.podProperties`; a multi-node one describes a task for each range of its nodes.
//!
//! Source: AWS Batch API reference, RegisterJobDefinition; User Guide, multi-container jobs, multi-node parallel jobs, jobs
//! on Amazon EKS.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::container::{self, Container, ContainerOverrides, ContainerTemplate, MissingParameter};
use crate::quantity::Resources;
use crate::resource::consumable_resource::Consumable;
use crate::text::{Document, Text};

/// Which member of a registration describes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TaskKind {
    /// `containerProperties`: one container.
    #[n(0)]
    Container,
    /// `ecsProperties`: up to ten containers.
    #[n(1)]
    Ecs,
    /// `eksProperties`: the containers of a pod.
    #[n(2)]
    Eks,
}

/// A task as it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TaskTemplate {
    /// Where it was described.
    #[n(0)]
    pub kind: TaskKind,
    /// At least one; init containers first, otherwise in the order given.
    #[n(1)]
    pub containers: Vec<ContainerTemplate>,
    /// `containerProperties`, `taskProperties[0]` or `podProperties` as JSON, for the echo and for backends.
    #[n(2)]
    pub properties: Document,
}

/// The nodes of a multi-node parallel job as they are registered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodesTemplate {
    /// Range 1..=1000.
    #[n(0)]
    pub num_nodes: u32,
    /// Index of the node whose end is the end of the job.
    #[n(1)]
    pub main_node: u32,
    /// At most five; together they cover all nodes.
    #[n(2)]
    pub ranges: Vec<NodeRange>,
}

/// One element of `nodeRangeProperties`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeRange {
    /// `targetNodes` as written.
    #[n(0)]
    pub target: Text,
    /// First node.
    #[n(1)]
    pub first: u32,
    /// Last node; `None` is open: as many as there are.
    #[n(2)]
    pub last: Option<u32>,
    /// What each of them runs.
    #[n(3)]
    pub task: TaskTemplate,
    /// What each of them needs of consumable resources.
    #[n(4)]
    pub consumables: Option<Vec<Consumable>>,
}

impl NodeRange {
    fn contains(&self, node: u32) -> bool {
        self.first <= node && self.last.is_none_or(|last| node <= last)
    }

    fn width(&self, num_nodes: u32) -> u32 {
        self.last.unwrap_or(num_nodes.saturating_sub(1)).saturating_sub(self.first)
    }
}

impl NodesTemplate {
    /// The range that says what `node` of `num_nodes` runs: the narrowest that contains it; of equal ones the later.
    ///
    /// `None` when no range contains it.
    pub fn range_of(&self, node: u32, num_nodes: u32) -> Option<u32> {
        let ranges = self.ranges.iter().enumerate().rev().filter(|(_, range)| range.contains(node));
        let (index, _) = ranges.min_by_key(|(_, range)| range.width(num_nodes))?;
        u32::try_from(index).ok()
    }
}

/// A task of a definition, seen alike however it was described.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Where it was described.
    pub kind: TaskKind,
    /// At least one.
    pub containers: &'a [ContainerTemplate],
    /// As JSON, see [`TaskTemplate::properties`].
    pub properties: &'a Document,
}

impl<'a> From<&'a TaskTemplate> for Task<'a> {
    fn from(task: &'a TaskTemplate) -> Task<'a> {
        Task { kind: task.kind, containers: &task.containers, properties: &task.properties }
    }
}

impl Task<'_> {
    /// The containers with overrides and parameters applied, in the order of the template.
    ///
    /// # Errors
    /// When a placeholder names no parameter.
    pub fn effective(
        &self,
        overrides: &[ContainerOverrides],
        parameters: &BTreeMap<Text, Text>,
    ) -> Result<Vec<Container>, MissingParameter> {
        let effective = |template: &ContainerTemplate| {
            container::effective(template, self.overrides_of(template, overrides), parameters)
        };
        self.containers.iter().map(effective).collect()
    }

    /// What the task as a whole may use: the sum over its containers, and no less than any init container needs alone.
    pub fn resources(&self, overrides: &[ContainerOverrides]) -> Resources {
        let (mut sum, mut init) = (Resources::default(), Resources::default());
        for template in self.containers {
            let given = self.overrides_of(template, overrides).map(|given| &given.requirements);
            let need = container::resources(&template.requirements, given);
            if template.role.as_ref().is_some_and(|role| role.init) {
                init.milli_vcpus = init.milli_vcpus.max(need.milli_vcpus);
                init.memory_mib = init.memory_mib.max(need.memory_mib);
                init.gpus = init.gpus.max(need.gpus);
            } else {
                sum.reserve(&need);
            }
        }
        Resources {
            milli_vcpus: sum.milli_vcpus.max(init.milli_vcpus),
            memory_mib: sum.memory_mib.max(init.memory_mib),
            gpus: sum.gpus.max(init.gpus),
        }
    }

    /// Whether an override without a name, or with this one, is meant for a container that exists.
    pub fn names(&self, given: &ContainerOverrides) -> bool {
        match &given.name {
            Some(name) => self.containers.iter().any(|template| template.name() == name.as_str()),
            None => self.containers.len() == 1,
        }
    }

    /// What the overrides change of one of its containers.
    pub fn overrides_of<'o>(
        &self,
        template: &ContainerTemplate,
        overrides: &'o [ContainerOverrides],
    ) -> Option<&'o ContainerOverrides> {
        let only = self.containers.len() == 1;
        overrides.iter().find(|given| given.name.as_ref().map_or(only, |name| *name == *template.name()))
    }
}
