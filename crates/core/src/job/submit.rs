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
use crate::job::retry::RetryStrategy;
use crate::job::{ArrayProperties, Execution, Job};
use crate::record::Key;
use crate::refusal::Refusal;
use crate::resource::Status;
use crate::resource::compute_environment::Platform;
use crate::resource::job_definition::JobDefinition;
use crate::resource::job_queue::JobQueue;
use crate::resource::tags::Tags;
use crate::service_job::refusal::ServiceRefusal;
use crate::text::Text;
use crate::turn::Turn;

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
    /// `containerOverrides`.
    pub overrides: Option<ContainerOverrides>,
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
    /// Tags of the job.
    pub tags: Tags,
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
        let overrides = submission.overrides;
        let container = container::effective(&definition.container, overrides.as_ref(), &parameters)
            .map_err(|missing| Refusal::MissingParameter { name: missing.name.into() })?;
        if overrides.is_some() {
            let resources = container.resources;
            container::check_size(&resources, definition.fargate)
                .map_err(|size| Refusal::BadSize { size, resources })?;
        }
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
            overrides: overrides.map(Box::new),
            resources: container.resources,
            retry: submission.retry.or_else(|| definition.retry.clone()).map(Box::new),
            timeout_seconds: submission.timeout_seconds.or(definition.timeout_seconds),
            propagate_tags: submission.propagate_tags.or(definition.propagate_tags),
            tags: submission.tags,
            share_identifier: submission.share_identifier,
            scheduling_priority: submission.scheduling_priority.or(definition.scheduling_priority),
            array: submission.array_size.map(|size| ArrayProperties { size, fate: None }),
            execution: Execution::new(self.now),
        });
        self.state.next_sequence += 1;
        self.state.track(&job);
        if job.array.is_some() {
            self.state.arrays.entry(id).or_default();
        }
        self.state.jobs.insert(id, Arc::clone(&job));
        self.state.job_counts[job.execution.status as usize] += 1;
        self.touch(Key::Job(id));
        self.examine(id);
        Ok(job)
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
        if submission.share_identifier.is_some() || submission.scheduling_priority.is_some() {
            return Err(Refusal::ShareOnFifoQueue);
        }
        Ok(Arc::clone(queue))
    }

    fn check_platform(&self, definition: &JobDefinition, queue: &JobQueue) -> Result<(), Refusal> {
        let platform =
            |arn: &Arn| self.state.compute_environments.get(arn).map(|ce| ce.platform == Platform::Fargate);
        let capability = if definition.fargate { "FARGATE" } else { "EC2" };
        if queue.environments.iter().filter_map(platform).any(|fargate| fargate != definition.fargate) {
            return Err(Refusal::WrongPlatform { capability: capability.into() });
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
                Dependency::Job(id) => {
                    known(id)?;
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
