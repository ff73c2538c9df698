//! SubmitJob: from a checked request to a job in its queue.
//!
//! Source: AWS Batch API reference, SubmitJob; User Guide, job definition parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::{Arn, Scope};
use crate::id::{JobId, Member};
use crate::job::depends_on::Dependency;
use crate::job::retry::RetryStrategy;
use crate::job::workload::{Overrides, Workload};
use crate::job::{ArrayProperties, Execution, Fate, Job, Transition};
use crate::record::Key;
use crate::refusal::Refusal;
use crate::resource::Status;
use crate::resource::compute_environment::Platform;
use crate::resource::consumable_resource::Consumable;
use crate::resource::job_definition::JobDefinition;
use crate::resource::job_queue::JobQueue;
use crate::resource::tags::{MAX_TAGS, Tags};
use crate::schedule::{Backlog, check_share};
use crate::service_job::refusal::ServiceRefusal;
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
        let workload = Workload::new(&definition, submission.overrides, &parameters)?;
        let consumables = submission.consumables.or(workload.consumables);
        self.check_consumables(consumables.as_deref())?;
        self.check_dependencies(scope, &submission.depends_on, submission.array_size)?;

        let id = self.fresh.uuid();
        let share_identifier =
            submission.share_identifier.map(|share| self.state.known_share(&queue.arn, share));
        let job = Arc::new(Job {
            id,
            sequence: self.state.next_sequence,
            name: submission.name,
            queue: queue.arn.clone(),
            definition: definition.arn.clone(),
            depends_on: submission.depends_on.into(),
            parameters,
            overrides: workload.only.map(Box::new),
            resources: workload.resources,
            retry: submission.retry.or_else(|| definition.retry.clone()).map(Box::new),
            timeout_seconds: submission.timeout_seconds.or(definition.timeout_seconds),
            propagate_tags: submission.propagate_tags.or(definition.propagate_tags),
            tags: submission.tags,
            share_identifier,
            scheduling_priority: submission.scheduling_priority.or(definition.scheduling_priority),
            array: submission
                .array_size
                .map(|size| Box::new(ArrayProperties { size, fate: None, ended: None })),
            execution: Execution::new(self.now),
            task_overrides: workload.task.map(Into::into),
            nodes: workload.nodes.map(Box::new),
            overrides_document: submission.overrides_document.map(Box::new),
            consumables: consumables.map(Into::into),
            architecture: definition.architecture,
        });
        self.state.next_sequence += 1;
        self.state.track(&job);
        if job.array.is_some() {
            self.state.arrays.entry(id).or_default();
        }
        if job.nodes.is_some() {
            self.state.gangs.entry(id).or_default();
        }
        self.state.jobs.insert(id, Arc::clone(&job));
        self.state.count_job(&job);
        self.touch(Key::Job(id));
        self.note_status(JobId::whole(id));
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
        if queue.service_environment.is_some() {
            return Err(ServiceRefusal::ServiceQueue { queue: arn }.into());
        }
        if !queue.enabled || queue.status == Status::Deleting {
            return Err(Refusal::QueueDisabled { arn });
        }
        if queue.scheduling_policy.is_some() {
            let active = self.state.backlogs.get(&arn).map(Backlog::shares);
            check_share(&arn, submission.share_identifier.as_deref(), active)?;
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

    /// After recovery, hands out the events that still wait, and works out what waiting jobs may do: who is ready is not
    /// stored, it follows from dependencies.
    pub fn resume(&mut self) {
        self.resume_events();
        let waiting: Vec<Uuid> = self.state.waiting_jobs();
        for job in waiting {
            self.examine(job);
        }
    }
}

/// With `propagateTags`, a task carries the tags of its job and of its definition, and no more than it may have.
fn too_many_tags(job: &Job, definition: &JobDefinition) -> Option<Text> {
    let mut tags: Vec<&Text> = job.tags.keys().chain(definition.tags.keys()).collect();
    tags.sort_unstable();
    tags.dedup();
    let too_many = job.propagate_tags == Some(true) && tags.len() > MAX_TAGS;
    too_many.then(|| TOO_MANY_TAGS.into())
}
