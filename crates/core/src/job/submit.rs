//! SubmitJob: from a checked request to a job in its queue.
//!
//! Source: AWS Batch API reference, SubmitJob; User Guide, job definition parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::{Arn, Scope};
use crate::container::{self, ContainerOverrides};
use crate::id::{JobId, Member};
use crate::job::depends_on::Dependency;
use crate::job::nodes::{NodeGroup, Nodes};
use crate::job::retry::RetryStrategy;
use crate::job::{ArrayProperties, Execution, Fate, Job, Transition};
use crate::quantity::Resources;
use crate::record::Key;
use crate::refusal::Refusal;
use crate::resource::Status;
use crate::resource::compute_environment::Platform;
use crate::resource::consumable_resource::Consumable;
use crate::resource::job_definition::JobDefinition;
use crate::resource::job_queue::JobQueue;
use crate::resource::tags::{MAX_TAGS, Tags};
use crate::task::{Task, TaskKind};
use crate::text::{Document, Text};
use crate::turn::Turn;

/// Status reason of a job whose task would carry more than 50 tags.
const TOO_MANY_TAGS: &str = "The tags of the job and of its job definition together exceed the maximum of 50";

/// A request to run something, checked in itself.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// `jobName`.
    pub name: Text,
    /// Name or ARN.
    pub queue: Text,
    /// Name or ARN, with or without revision.
    pub definition: Text,
    /// `arrayProperties.size`.
    pub array_size: Option<u32>,
    /// In the order given.
    pub depends_on: Vec<Dependency>,
    /// Overlay the definition's.
    pub parameters: BTreeMap<Text, Text>,
    /// What it changes of the definition's containers.
    pub overrides: Overrides,
    /// The overrides use the older `vcpus` or `memory`.
    pub legacy_override: bool,
    /// Replaces the definition's.
    pub retry: Option<RetryStrategy>,
    /// Replaces the definition's.
    pub timeout_seconds: Option<u32>,
    /// Replaces the definition's.
    pub propagate_tags: Option<bool>,
    /// `shareIdentifier`.
    pub share_identifier: Option<Text>,
    /// `schedulingPriorityOverride`.
    pub scheduling_priority: Option<u32>,
    /// Replaces the definition's.
    pub consumables: Option<Vec<Consumable>>,
    /// Tags of the job.
    pub tags: Tags,
    /// The overrides as JSON, for members that only the echo shows.
    pub overrides_document: Option<Document>,
    /// It is accepted, and fails at once for this reason.
    pub refused_later: Option<Text>,
}

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
    /// `nodePropertyOverrides`: target as written, and what changes there.
    pub ranges: Vec<(Text, Vec<ContainerOverrides>)>,
}

impl Overrides {
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

/// What a submission makes of a definition.
struct Workload {
    resources: Resources,
    only: Option<ContainerOverrides>,
    task: Option<Vec<ContainerOverrides>>,
    nodes: Option<Nodes>,
    consumables: Option<Vec<Consumable>>,
}

impl Turn<'_> {
    /// Accepts a job and moves it as far as its dependencies allow.
    ///
    /// # Errors
    /// The first rule that the request breaks, examined in the order queue, definition, overrides, dependencies.
    pub fn submit_job(&mut self, scope: &Scope, submission: Submission) -> Result<Arc<Job>, Refusal> {
        let queue = self.open_queue(scope, &submission)?;
        let definition = Arc::clone(self.state.active_definition(scope, &submission.definition)?);
        self.check_platform(&definition, &queue)?;
        if submission.legacy_override && !definition.legacy_requirements {
            return Err(Refusal::DeprecatedOverride);
        }
        let mut parameters = definition.parameters.clone();
        parameters.extend(submission.parameters);
        if definition.nodes.is_some() && submission.array_size.is_some() {
            return Err(Refusal::ArrayOfNodes);
        }
        let workload = workload(&definition, submission.overrides, &parameters)?;
        let consumables = submission.consumables.or(workload.consumables);
        self.check_consumables(consumables.as_deref())?;
        self.check_dependencies(scope, &submission.depends_on, submission.array_size)?;

        let id = self.fresh.uuid();
        let job = Arc::new(Job {
            id,
            sequence: self.state.next_sequence,
            name: submission.name,
            queue: queue.arn.clone(),
            definition: definition.arn.clone(),
            depends_on: submission.depends_on,
            parameters,
            overrides: workload.only.map(Box::new),
            resources: workload.resources,
            retry: submission.retry.or_else(|| definition.retry.clone()).map(Box::new),
            timeout_seconds: submission.timeout_seconds.or(definition.timeout_seconds),
            propagate_tags: submission.propagate_tags.or(definition.propagate_tags),
            tags: submission.tags,
            share_identifier: submission.share_identifier,
            scheduling_priority: submission.scheduling_priority.or(definition.scheduling_priority),
            array: submission.array_size.map(|size| ArrayProperties { size, fate: None }),
            execution: Execution::new(self.now),
            task_overrides: workload.task,
            nodes: workload.nodes.map(Box::new),
            overrides_document: submission.overrides_document,
            consumables,
        });
        self.state.next_sequence += 1;
        self.state.track(&job);
        self.state.track_consumer(&job);
        if job.array.is_some() {
            self.state.arrays.entry(id).or_default();
        }
        if job.nodes.is_some() {
            self.state.gangs.entry(id).or_default();
        }
        self.state.jobs.insert(id, Arc::clone(&job));
        self.state.job_counts[job.execution.status as usize] += 1;
        self.touch(Key::Job(id));
        match submission.refused_later.or_else(|| too_many_tags(&job, &definition)) {
            Some(reason) => self.refuse_later(id, reason),
            None => self.examine(id),
        }
        Ok(job)
    }

    /// What AWS Batch finds out only when it looks at an accepted job.
    fn refuse_later(&mut self, id: Uuid, reason: Text) {
        if self.state.array(id).is_some() {
            self.transition(JobId::whole(id), Transition::Wait, None);
            let fate =
                Fate { status_reason: reason, at: self.now, is_cancelled: false, is_terminated: false };
            self.fail_unstarted(id, fate);
        } else {
            self.fail(JobId::whole(id), reason);
        }
        self.settle_dependents();
    }

    fn open_queue(&self, scope: &Scope, submission: &Submission) -> Result<Arc<JobQueue>, Refusal> {
        let arn: Arn = scope.resolve("job-queue", &submission.queue);
        let found = self.state.job_queues.get(&arn).filter(|_| scope.owns(&arn));
        let queue = found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })?;
        if !queue.enabled || queue.status == Status::Deleting {
            return Err(Refusal::QueueDisabled { arn });
        }
        if queue.scheduling_policy.is_some() {
            self.check_share(queue, submission.share_identifier.as_deref())?;
        } else if submission.share_identifier.is_some() || submission.scheduling_priority.is_some() {
            return Err(Refusal::ShareOnFifoQueue);
        }
        Ok(Arc::clone(queue))
    }

    fn check_platform(&self, definition: &JobDefinition, queue: &JobQueue) -> Result<(), Refusal> {
        let environments =
            queue.environments.iter().filter_map(|arn| self.state.compute_environments.get(arn));
        let needs = definition.capability();
        for platform in environments.map(|ce| ce.platform) {
            let fits = match platform {
                Platform::Ec2 | Platform::Unmanaged => needs == "EC2",
                Platform::Fargate => needs == "FARGATE",
                Platform::Eks => needs == "EKS",
                Platform::ManagedInstances => needs == "MANAGED_INSTANCES",
            };
            if !fits || (definition.nodes.is_some() && platform == Platform::Unmanaged) {
                return Err(Refusal::WrongPlatform { capability: needs.into() });
            }
        }
        Ok(())
    }

    fn check_dependencies(&self, scope: &Scope, on: &[Dependency], size: Option<u32>) -> Result<(), Refusal> {
        let missing = |id: JobId| Refusal::NoSuchDependency { job_id: id.to_string().into() };
        let known = |id: JobId| -> Result<&Arc<Job>, Refusal> {
            let job =
                self.state.job(id.job).filter(|job| scope.owns(&job.queue)).ok_or_else(|| missing(id))?;
            self.state.status_of(id).map(|_| job).ok_or_else(|| missing(id))
        };
        for dependency in on {
            match *dependency {
                Dependency::Job(id) | Dependency::AfterAny(id) => {
                    known(id)?;
                    if matches!(id.member, Member::Node(_)) {
                        return Err(missing(id)); // nodes are waited for by their job
                    }
                }
                Dependency::NToN(job) => {
                    let array = &known(JobId { job, member: Member::Whole })?.array;
                    let own = size.ok_or(Refusal::NotAnArray)?;
                    if array.as_ref().map(|array| array.size) != Some(own) {
                        return Err(Refusal::ArraySizesDiffer {
                            job_id: job.as_hyphenated().to_string().into(),
                        });
                    }
                }
                Dependency::Sequential => {
                    size.ok_or(Refusal::NotAnArray)?;
                }
            }
        }
        Ok(())
    }

    /// After recovery, works out what waiting jobs may do: who is ready is not stored, it follows from dependencies.
    pub fn resume(&mut self) {
        let waiting: Vec<Uuid> = self.state.waiting_jobs();
        for job in waiting {
            self.examine(job);
        }
    }
}

/// Merges definition and overrides, and checks what comes out.
fn workload(
    definition: &JobDefinition,
    overrides: Overrides,
    parameters: &BTreeMap<Text, Text>,
) -> Result<Workload, Refusal> {
    let kind = definition.task().map(|task| task.kind);
    let mut workload = Workload {
        resources: Resources::default(),
        only: None,
        task: None,
        nodes: None,
        consumables: definition.consumables.clone(),
    };
    match (kind, overrides) {
        (_, Overrides::None) => {}
        (Some(TaskKind::Container), Overrides::Container(given)) => workload.only = Some(given),
        (Some(TaskKind::Ecs), Overrides::Ecs(given)) | (Some(TaskKind::Eks), Overrides::Eks(given)) => {
            workload.task = Some(given);
        }
        (None, Overrides::Nodes(given)) => workload.nodes = Some(nodes(definition, given)?),
        (_, given) => return Err(Refusal::WrongOverrides { member: given.member() }),
    }
    if let Some(task) = definition.task() {
        let overrides = workload.only.as_ref().map(std::slice::from_ref).or(workload.task.as_deref());
        workload.resources = check_task(task, overrides.unwrap_or_default(), parameters, definition.fargate)?;
        return Ok(workload);
    }
    let mut nodes = match workload.nodes.take() {
        Some(nodes) => nodes,
        None => nodes(definition, NodeOverrides::default())?,
    };
    for group in &mut nodes.groups {
        let task = definition.task_of_range(group.range).expect("groups are made from the ranges");
        let overrides = nodes.overrides.iter().find(|(range, _)| *range == group.range);
        let overrides = overrides.map(|(_, given)| given.as_slice()).unwrap_or_default();
        group.resources = check_task(task, overrides, parameters, definition.fargate)?;
    }
    for need in nodes.needs() {
        workload.resources.reserve(&need);
    }
    workload.consumables = consumables_of(definition, &nodes);
    workload.nodes = Some(nodes);
    Ok(workload)
}

/// What all nodes need together; each resource once.
fn consumables_of(definition: &JobDefinition, nodes: &Nodes) -> Option<Vec<Consumable>> {
    let mut sum: BTreeMap<Arn, u64> = BTreeMap::new();
    for group in &nodes.groups {
        let range = definition.nodes.as_ref().and_then(|nodes| nodes.ranges.get(group.range as usize));
        for Consumable { arn, quantity } in range.into_iter().flat_map(|range| &range.consumables).flatten() {
            let total = sum.entry(arn.clone()).or_default();
            *total = total.saturating_add(quantity.saturating_mul(group.count.into()));
        }
    }
    let sum: Vec<_> = sum.into_iter().map(|(arn, quantity)| Consumable { arn, quantity }).collect();
    (!sum.is_empty()).then_some(sum)
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

/// The nodes of a job: as many as the overrides say, grouped by what they run.
fn nodes(definition: &JobDefinition, given: NodeOverrides) -> Result<Nodes, Refusal> {
    let template = definition.nodes.as_ref().expect("a definition without a task has nodes");
    let num_nodes = given.num_nodes.unwrap_or(template.num_nodes);
    let is_open = template.ranges.iter().any(|range| range.last.is_none());
    let fits = template.ranges.iter().all(|range| range.first < num_nodes) && template.main_node < num_nodes;
    if given.num_nodes.is_some() && !(is_open && fits) {
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
    let mut overrides: Vec<(u32, Vec<ContainerOverrides>)> = Vec::new();
    for (target, containers) in given.ranges {
        let range = (0..).zip(&template.ranges).find(|(_, range)| range.target == target);
        let (index, _) = range.ok_or(Refusal::NodeTargets { target })?;
        overrides.push((index, containers));
    }
    Ok(Nodes { main_node: template.main_node, groups, overrides })
}

/// With `propagateTags`, a task carries the tags of its job and of its definition, and no more than it may have.
fn too_many_tags(job: &Job, definition: &JobDefinition) -> Option<Text> {
    let mut tags: Vec<&Text> = job.tags.keys().chain(definition.tags.keys()).collect();
    tags.sort_unstable();
    tags.dedup();
    let too_many = job.propagate_tags == Some(true) && tags.len() > MAX_TAGS;
    too_many.then(|| TOO_MANY_TAGS.into())
}
