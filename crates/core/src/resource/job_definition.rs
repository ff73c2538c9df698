//! Job definitions: register, deregister, and which revision a name means.
//!
//! Source: AWS Batch API reference, RegisterJobDefinition, DeregisterJobDefinition, SubmitJob (jobDefinition).

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::arn::{Arn, Scope, name_of};
use crate::container::ContainerTemplate;
use crate::instance::Architecture;
use crate::job::retry::RetryStrategy;
use crate::record::Key;
use crate::refusal::Refusal;
use crate::resource::consumable_resource::Consumable;
use crate::resource::tags::Tags;
use crate::state::State;
use crate::task::{NodesTemplate, Task, TaskKind, TaskTemplate};
use crate::text::{Document, Text};
use crate::time::Timestamp;
use crate::turn::Turn;

/// One revision. Immutable but for its end and its tags.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct JobDefinition {
    /// `arn:…:job-definition/{name}:{revision}`.
    #[n(0)]
    pub arn: Arn,
    /// 1 for the first; never reused.
    #[n(1)]
    pub revision: u32,
    /// ACTIVE; INACTIVE once deregistered.
    #[n(2)]
    pub active: bool,
    /// `containerProperties`; exactly one of this, [`Self::task`] and [`Self::nodes`] is there.
    #[n(3)]
    pub container: Option<ContainerTemplate>,
    /// Defaults for `Ref::` placeholders.
    #[n(4)]
    pub parameters: BTreeMap<Text, Text>,
    /// Unless the submission brings its own.
    #[n(5)]
    pub retry: Option<RetryStrategy>,
    /// Unless the submission brings its own.
    #[n(6)]
    pub timeout_seconds: Option<u32>,
    /// Unless the submission brings its own.
    #[n(7)]
    pub propagate_tags: Option<bool>,
    /// Unless the submission brings its own.
    #[n(8)]
    pub scheduling_priority: Option<u32>,
    /// `platformCapabilities` names FARGATE.
    #[n(9)]
    pub fargate: bool,
    /// `vcpus` and `memory` were given in the older members, so overrides may use them too.
    #[n(10)]
    pub legacy_requirements: bool,
    /// Tags of the revision.
    #[n(11)]
    pub tags: Tags,
    /// The whole registration as JSON, for the echo and for backends.
    #[n(12)]
    pub document: Document,
    /// When it was registered.
    #[n(13)]
    pub created_at: Timestamp,
    /// `containerProperties` alone as JSON: what a backend gets.
    #[n(14)]
    pub container_properties: Document,
    /// `ecsProperties` or `eksProperties`.
    #[n(15)]
    pub task: Option<Box<TaskTemplate>>,
    /// `nodeProperties`: type `multinode`.
    #[n(16)]
    pub nodes: Option<Box<NodesTemplate>>,
    /// `platformCapabilities` names MANAGED_INSTANCES.
    #[n(18)]
    pub managed_instances: Option<bool>,
    /// Unless the submission brings its own.
    #[n(17)]
    pub consumables: Option<Vec<Consumable>>,
    /// `runtimePlatform.cpuArchitecture`; `None` when any will do.
    #[n(19)]
    pub architecture: Option<Architecture>,
}

impl JobDefinition {
    /// The name without ARN and revision.
    pub fn name(&self) -> &str {
        let name = name_of(&self.arn);
        name.rsplit_once(':').map_or(name, |(name, _)| name)
    }

    /// What an attempt of the job or of a child runs; `None` when each node has its own.
    pub fn task(&self) -> Option<Task<'_>> {
        let container = self.container.as_ref().map(|container| Task {
            kind: TaskKind::Container,
            containers: std::slice::from_ref(container),
            properties: &self.container_properties,
        });
        container.or_else(|| self.task.as_deref().map(Task::from))
    }

    /// What an environment must be able to run: `EC2`, `FARGATE`, `EKS` or `MANAGED_INSTANCES`.
    pub fn capability(&self) -> &'static str {
        let ranges = self.nodes.iter().flat_map(|nodes| &nodes.ranges).map(|range| Task::from(&range.task));
        let is_eks = self.task().into_iter().chain(ranges).any(|task| task.kind == TaskKind::Eks);
        match (is_eks, self.fargate, self.managed_instances) {
            (true, ..) => "EKS",
            (_, true, _) => "FARGATE",
            (.., Some(true)) => "MANAGED_INSTANCES",
            _ => "EC2",
        }
    }

    /// What the nodes of the range with this index run.
    pub fn task_of_range(&self, range: u32) -> Option<Task<'_>> {
        let ranges = &self.nodes.as_ref()?.ranges;
        ranges.get(usize::try_from(range).ok()?).map(|range| Task::from(&range.task))
    }

    /// The ARN without revision, which all revisions share.
    pub fn family_arn(&self) -> Arn {
        self.arn.rsplit_once(':').map_or_else(|| self.arn.clone(), |(family, _)| family.into())
    }
}

impl State {
    /// The revision that SubmitJob means by `name`, `name:revision`, or either as an ARN: the highest ACTIVE one when no
    /// revision is named.
    ///
    /// # Errors
    /// [`Refusal::NoActiveDefinition`].
    pub fn active_definition(&self, scope: &Scope, name: &str) -> Result<&Arc<JobDefinition>, Refusal> {
        let missing = || Refusal::NoActiveDefinition { name: name.into() };
        let arn = scope.resolve("job-definition", name);
        if !scope.owns(&arn) {
            return Err(missing());
        }
        let found = if name_of(&arn).contains(':') {
            self.job_definition(&arn).filter(|definition| definition.active)
        } else {
            self.job_definitions
                .get(&arn)
                .and_then(|all| all.values().rev().find(|definition| definition.active))
        };
        found.ok_or_else(missing)
    }
}

impl Turn<'_> {
    /// Registers the next revision of `name`; `definition` comes without ARN, revision and time.
    pub fn register_job_definition(
        &mut self,
        scope: &Scope,
        name: &str,
        definition: JobDefinition,
    ) -> Arc<JobDefinition> {
        let family = scope.arn("batch", &format!("job-definition/{name}"));
        let revisions = self.state.job_definitions.entry(family.clone()).or_default();
        let revision = revisions.last_key_value().map_or(1, |(&last, _)| last + 1);
        let arn = Arn::from(format!("{family}:{revision}"));
        let definition =
            Arc::new(JobDefinition { arn, revision, active: true, created_at: self.now, ..definition });
        revisions.insert(revision, Arc::clone(&definition));
        self.touch(Key::JobDefinition(family, revision));
        definition
    }

    /// Makes a revision INACTIVE; again does no harm. Jobs that use it go on.
    ///
    /// # Errors
    /// [`Refusal::NoActiveDefinition`] when there is no such revision; `name` must carry one.
    pub fn deregister_job_definition(&mut self, scope: &Scope, name: &str) -> Result<(), Refusal> {
        let missing = || Refusal::NoActiveDefinition { name: name.into() };
        let arn = scope.resolve("job-definition", name);
        let found = self.state.job_definition(&arn).filter(|_| scope.owns(&arn)).ok_or_else(missing)?;
        let (family, revision) = (found.family_arn(), found.revision);
        let revisions = self.state.job_definitions.get_mut(&family).ok_or_else(missing)?;
        revisions.entry(revision).and_modify(|definition| Arc::make_mut(definition).active = false);
        self.touch(Key::JobDefinition(family, revision));
        Ok(())
    }
}
