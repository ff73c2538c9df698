//! What a job runs: its definition, and what the submission changes of it, merged and checked.
//!
//! Source: AWS Batch API reference, SubmitJob (overrides); User Guide, multi-node parallel jobs.

use std::collections::BTreeMap;

use crate::arn::Arn;
use crate::container::{self, ContainerOverrides};
use crate::job::nodes::{NodeGroup, Nodes};
use crate::quantity::Resources;
use crate::refusal::Refusal;
use crate::resource::consumable_resource::Consumable;
use crate::resource::job_definition::JobDefinition;
use crate::task::{Task, TaskKind};
use crate::text::Text;

/// The overrides of a submission; each kind of definition has its own.
#[derive(Clone, Debug, Default)]
pub enum Overrides {
    /// None are given.
    #[default]
    None,
    /// `containerOverrides`.
    Container(ContainerOverrides),
    /// `ecsPropertiesOverride`.
    Ecs(Vec<ContainerOverrides>),
    /// `eksPropertiesOverride`.
    Eks(Vec<ContainerOverrides>),
    /// `nodeOverrides`.
    Nodes(NodeOverrides),
}

/// `nodeOverrides`.
#[derive(Clone, Debug, Default)]
pub struct NodeOverrides {
    /// `numNodes`.
    pub num_nodes: Option<u32>,
    /// `nodePropertyOverrides`.
    pub ranges: Vec<RangeOverrides>,
}

/// One element of `nodePropertyOverrides`.
#[derive(Clone, Debug, Default)]
pub struct RangeOverrides {
    /// `targetNodes` as written.
    pub target: Text,
    /// What changes of its containers; of the kind that describes them.
    pub overrides: Overrides,
    /// Replaces what the definition says of each of its nodes.
    pub consumables: Option<Vec<Consumable>>,
}

impl Overrides {
    /// As changes of the containers of a task that is described so.
    fn of_kind(self, kind: TaskKind) -> Result<Vec<ContainerOverrides>, Refusal> {
        match (kind, self) {
            (_, Overrides::None) => Ok(Vec::new()),
            (TaskKind::Container, Overrides::Container(given)) => Ok(vec![given]),
            (TaskKind::Ecs, Overrides::Ecs(given)) | (TaskKind::Eks, Overrides::Eks(given)) => Ok(given),
            (_, given) => Err(Refusal::WrongOverrides { member: given.member() }),
        }
    }

    /// The member's name on the wire.
    fn member(&self) -> &'static str {
        match self {
            Overrides::None => "none",
            Overrides::Container(_) => "containerOverrides",
            Overrides::Ecs(_) => "ecsPropertiesOverride",
            Overrides::Eks(_) => "eksPropertiesOverride",
            Overrides::Nodes(_) => "nodeOverrides",
        }
    }
}

/// What a submission makes of a definition: members of the [`crate::job::Job`] to be.
pub(crate) struct Workload {
    pub(crate) resources: Resources,
    pub(crate) only: Option<ContainerOverrides>,
    pub(crate) task: Option<Vec<ContainerOverrides>>,
    pub(crate) nodes: Option<Nodes>,
    pub(crate) consumables: Option<Vec<Consumable>>,
}

impl Workload {
    /// Merges definition and overrides, and checks what comes out.
    ///
    /// # Errors
    /// [`Refusal::WrongOverrides`], [`Refusal::NoSuchContainer`], [`Refusal::MissingParameter`], [`Refusal::BadSize`],
    /// [`Refusal::NodeTargets`], [`Refusal::BadNumNodes`].
    pub(crate) fn new(
        definition: &JobDefinition,
        overrides: Overrides,
        parameters: &BTreeMap<Text, Text>,
    ) -> Result<Workload, Refusal> {
        let Some(task) = definition.task() else {
            return match overrides {
                Overrides::None => Workload::of_nodes(definition, NodeOverrides::default(), parameters),
                Overrides::Nodes(given) => Workload::of_nodes(definition, given, parameters),
                given @ (Overrides::Container(_) | Overrides::Ecs(_) | Overrides::Eks(_)) => {
                    Err(Refusal::WrongOverrides { member: given.member() })
                }
            };
        };
        let (only, several) = match (task.kind, overrides) {
            (_, Overrides::None) => (None, None),
            (TaskKind::Container, Overrides::Container(given)) => (Some(given), None),
            (TaskKind::Ecs, Overrides::Ecs(given)) | (TaskKind::Eks, Overrides::Eks(given)) => {
                (None, Some(given))
            }
            (_, given) => return Err(Refusal::WrongOverrides { member: given.member() }),
        };
        let given = only.as_ref().map(std::slice::from_ref).or(several.as_deref()).unwrap_or_default();
        let resources = check_task(task, given, parameters, definition.fargate)?;
        Ok(Workload {
            resources,
            only,
            task: several,
            nodes: None,
            consumables: definition.consumables.clone(),
        })
    }

    fn of_nodes(
        definition: &JobDefinition,
        given: NodeOverrides,
        parameters: &BTreeMap<Text, Text>,
    ) -> Result<Workload, Refusal> {
        let template = definition.nodes.as_ref().expect("a definition without a task has nodes");
        let mut groups = groups(definition, given.num_nodes)?;
        let mut by_range: BTreeMap<u32, (Vec<ContainerOverrides>, Option<Vec<Consumable>>)> = BTreeMap::new();
        for given in given.ranges {
            let RangeOverrides { target, overrides, consumables } = given;
            let range = (0..).zip(&template.ranges).find(|(_, range)| range.target == target);
            let (index, range) = range.ok_or(Refusal::NodeTargets { target })?;
            by_range.insert(index, (overrides.of_kind(range.task.kind)?, consumables));
        }
        let mut resources = Resources::default();
        let mut needed: BTreeMap<Arn, u64> = BTreeMap::new();
        for group in &mut groups {
            let task = definition.task_of_range(group.range).expect("groups are made from the ranges");
            let given = by_range.get(&group.range);
            let overrides = given.map(|(containers, _)| containers.as_slice()).unwrap_or_default();
            group.resources = check_task(task, overrides, parameters, definition.fargate)?;
            (0..group.count).for_each(|_| resources.reserve(&group.resources));
            let range = template.ranges.get(group.range as usize);
            let own = given.and_then(|(_, consumables)| consumables.as_ref());
            for Consumable { arn, quantity } in
                own.or_else(|| range?.consumables.as_ref()).into_iter().flatten()
            {
                let sum = needed.entry(arn.clone()).or_default();
                *sum = sum.saturating_add(quantity.saturating_mul(group.count.into()));
            }
        }
        let overrides = by_range.into_iter().map(|(range, (containers, _))| (range, containers)).collect();
        let consumables: Vec<_> =
            needed.into_iter().map(|(arn, quantity)| Consumable { arn, quantity }).collect();
        Ok(Workload {
            resources,
            only: None,
            task: None,
            nodes: Some(Nodes { main_node: template.main_node, groups, overrides }),
            consumables: Some(consumables).filter(|consumables| !consumables.is_empty()),
        })
    }
}

/// What the task may use, when nothing is wrong with it.
fn check_task(
    task: Task<'_>,
    overrides: &[ContainerOverrides],
    parameters: &BTreeMap<Text, Text>,
    fargate: bool,
) -> Result<Resources, Refusal> {
    if let Some(stranger) = overrides.iter().find(|given| !task.names(given)) {
        return Err(Refusal::NoSuchContainer { name: stranger.name.clone().unwrap_or_default() });
    }
    task.effective(overrides, parameters)
        .map_err(|missing| Refusal::MissingParameter { name: missing.name.into() })?;
    let resources = task.resources(overrides);
    if !overrides.is_empty() && task.kind == TaskKind::Container {
        container::check_size(&resources, fargate).map_err(|size| Refusal::BadSize { size, resources })?;
    }
    Ok(resources)
}

/// The nodes of a job, as many as the overrides say, by what they run. How much that needs is not known yet.
fn groups(definition: &JobDefinition, asked: Option<u32>) -> Result<Vec<NodeGroup>, Refusal> {
    let template = definition.nodes.as_ref().expect("a definition without a task has nodes");
    let num_nodes = asked.unwrap_or(template.num_nodes);
    let is_open = template.ranges.iter().any(|range| range.last.is_none());
    let fits = template.ranges.iter().all(|range| range.first < num_nodes) && template.main_node < num_nodes;
    if asked.is_some() && !(is_open && fits) {
        return Err(Refusal::BadNumNodes { num_nodes, is_open });
    }
    let mut groups: Vec<NodeGroup> = Vec::new();
    for node in 0..num_nodes {
        let range = template.range_of(node, num_nodes).ok_or(Refusal::BadNumNodes { num_nodes, is_open })?;
        match groups.last_mut().filter(|group| group.range == range) {
            Some(group) => group.count += 1,
            None => groups.push(NodeGroup { count: 1, range, resources: Resources::default() }),
        }
    }
    Ok(groups)
}
