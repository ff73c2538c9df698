//! DescribeJobs: everything about up to 100 jobs, array children among them.
//!
//! The engine hands out shared records, at no cost to the loop; the answer is built from them here.
//!
//! Source: AWS Batch API reference, DescribeJobs and JobDetail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fornada_core::arn::{Arn, Scope};
use fornada_core::container::{self, Container};
use fornada_core::id::{JobId, Member, TaskId};
use fornada_core::job::array::StatusCounts;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::{Attempt, Execution, Job, JobStatus};
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::schedule::{log_stream, task_arn};
use fornada_core::state::State;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_model::batch as model;

use super::{consumable_resources, container_fields, retry_strategy, wire_status};
use crate::app::Call;
use crate::error::WireError;

/// Source: observed error text.
const JOBS_MAX: usize = 100;

pub(super) async fn describe_jobs(
    call: &Call,
    request: model::DescribeJobsRequest,
) -> Result<model::DescribeJobsResponse, WireError> {
    let model::DescribeJobsRequest { jobs } = request;
    if jobs.len() > JOBS_MAX {
        return Err(WireError::invalid(format!("Maximum number of jobs supported is {JOBS_MAX}")));
    }
    let mut seen = BTreeSet::new();
    let ids: Vec<JobId> =
        jobs.iter().filter_map(|id| id.parse().ok()).filter(|&id| seen.insert(id)).collect();
    let scope = call.scope.clone();
    let found = move |state: &State| -> Vec<View> {
        ids.iter().filter_map(|&id| View::of(state, &scope, id)).collect()
    };
    let views = call.app.engine.read(found).await?;
    let jobs = views.iter().map(View::detail).collect::<Result<_, _>>()?;
    Ok(model::DescribeJobsResponse { jobs: Some(jobs) })
}

/// The records that a description is made of.
struct View {
    id: JobId,
    job: Arc<Job>,
    execution: Arc<Execution>,
    /// Of an array parent: its children by status, and when one last changed.
    children: Option<(StatusCounts, Timestamp)>,
    definition: Arc<JobDefinition>,
    /// Cluster names by compute environment.
    clusters: BTreeMap<Arn, Text>,
}

impl View {
    fn of(state: &State, scope: &Scope, id: JobId) -> Option<View> {
        let (job, execution) = state.find(id).filter(|(job, _)| scope.owns(&job.queue))?;
        let definition = Arc::clone(state.job_definition(&job.definition)?);
        let array = state.array(id.job).filter(|_| id.member == Member::Whole);
        let children = array.map(|array| (array.summary(&job), array.changed_at(&job)));
        let environments = execution.attempts.iter().map(|attempt| &attempt.compute_environment);
        let environments = environments.chain(execution.placement.iter().map(|p| &p.compute_environment));
        let cluster = |arn: &Arn| Some((arn.clone(), state.compute_environments().get(arn)?.cluster()));
        let clusters = environments.filter_map(cluster).collect();
        Some(View { id, job, execution, children, definition, clusters })
    }

    fn detail(&self) -> Result<model::JobDetail, WireError> {
        let View { id, job, execution, definition, .. } = self;
        let array_properties = job.array.as_ref().map(|array| match id.member {
            Member::Index(index) => {
                model::ArrayPropertiesDetail { index: i32::try_from(index).ok(), ..Default::default() }
            }
            Member::Whole | Member::Node(_) => model::ArrayPropertiesDetail {
                size: i32::try_from(array.size).ok(),
                status_summary: self.children.as_ref().map(|(counts, _)| status_summary(counts)),
                status_summary_last_updated_at: self.children.map(|(_, changed_at)| changed_at.as_millis()),
                ..Default::default()
            },
        });
        let registered: model::JobDefinition =
            serde_json::from_str(definition.document.as_str()).map_err(WireError::server)?;
        let text_map = |map: &BTreeMap<Text, Text>| {
            map.iter().map(|(key, value)| (key.clone().into(), value.clone().into())).collect()
        };
        Ok(model::JobDetail {
            array_properties,
            attempts: Some(execution.attempts.iter().map(|attempt| self.attempt(attempt)).collect()),
            consumable_resource_properties: job.consumables.as_deref().map(consumable_resources::to_wire),
            container: Some(self.container()?),
            created_at: Some(execution.created_at.as_millis()),
            depends_on: Some(
                job.depends_on.iter().filter_map(|dependency| self.dependency(dependency)).collect(),
            ),
            is_cancelled: Some(execution.is_cancelled),
            is_terminated: Some(execution.is_terminated),
            job_arn: Some(job.arn(*id).into()),
            job_definition: job.definition.clone().into(),
            job_id: id.to_string(),
            job_name: job.name.clone().into(),
            job_queue: job.queue.clone().into(),
            parameters: Some(text_map(&job.parameters)),
            platform_capabilities: Some(registered.platform_capabilities.unwrap_or_default()),
            propagate_tags: Some(job.propagate_tags.unwrap_or(false)),
            retry_strategy: Some(retry_strategy::to_wire(&job.retry_strategy())),
            scheduling_priority: job.scheduling_priority.and_then(|priority| i32::try_from(priority).ok()),
            share_identifier: job.share_identifier.clone().map(String::from),
            started_at: execution.started_at.map(Timestamp::as_millis),
            status: wire_status(execution.status),
            status_reason: execution.status_reason.clone().map(String::from),
            stopped_at: execution.stopped_at.map(Timestamp::as_millis),
            tags: Some(text_map(&job.tags)),
            timeout: job
                .timeout_seconds
                .map(|seconds| model::JobTimeout { attempt_duration_seconds: i32::try_from(seconds).ok() }),
            ..Default::default()
        })
    }

    /// Children show what they themselves wait for: their counterpart, or the sibling before them.
    fn dependency(&self, dependency: &Dependency) -> Option<model::JobDependency> {
        use model::ArrayJobDependency::{NToN, Sequential};
        let (id, r#type) = match (*dependency, self.id.member) {
            (Dependency::Job(id), _) => (Some(id), None),
            (Dependency::NToN(job), Member::Index(index)) => (Some(JobId::child(job, index)), None),
            (Dependency::NToN(job), _) => (Some(JobId::whole(job)), Some(NToN)),
            (Dependency::Sequential, Member::Index(0)) => return None,
            (Dependency::Sequential, Member::Index(index)) => {
                (Some(JobId::child(self.job.id, index - 1)), None)
            }
            (Dependency::Sequential, _) => (None, Some(Sequential)),
        };
        Some(model::JobDependency { job_id: id.map(|id| id.to_string()), r#type })
    }

    /// The definition's container with overrides and parameters applied, and what the newest attempt says.
    fn container(&self) -> Result<model::ContainerDetail, WireError> {
        let View { job, execution, definition, .. } = self;
        let Container { command, environment, resources, .. } =
            container::effective(&definition.container, job.overrides.as_deref(), &job.parameters)
                .map_err(WireError::server)?;
        let given: model::ContainerProperties =
            serde_json::from_str(definition.container_properties.as_str()).map_err(WireError::server)?;
        let legacy = definition.legacy_requirements;
        let resource_requirements = if legacy { Vec::new() } else { requirements(&given, &resources) };
        let newest = self.newest();
        let last = execution.last_outcome();
        let instance_type = job.overrides.as_ref().and_then(|o| o.instance_type.clone()).map(String::from);
        Ok(model::ContainerDetail {
            command: Some(command.into_iter().map(String::from).collect()),
            container_instance_arn: newest.as_ref().map(|newest| newest.container_instance_arn.clone()),
            enable_execute_command: given.enable_execute_command,
            environment: Some(environment.into_iter().map(key_value).collect()),
            ephemeral_storage: given.ephemeral_storage,
            execution_role_arn: given.execution_role_arn,
            exit_code: last.and_then(|outcome| outcome.exit_code),
            fargate_platform_configuration: given.fargate_platform_configuration,
            image: given.image,
            instance_type: instance_type.or(given.instance_type),
            job_role_arn: given.job_role_arn,
            linux_parameters: given.linux_parameters,
            log_configuration: given.log_configuration,
            log_stream_name: newest.as_ref().and_then(|newest| newest.log_stream_name.clone()),
            memory: legacy.then(|| i32::try_from(resources.memory_mib).unwrap_or(i32::MAX)),
            mount_points: Some(given.mount_points.unwrap_or_default()),
            network_configuration: given.network_configuration,
            network_interfaces: Some(Vec::new()),
            privileged: given.privileged,
            readonly_root_filesystem: given.readonly_root_filesystem,
            reason: last.and_then(|outcome| outcome.reason.clone()).map(String::from),
            repository_credentials: given.repository_credentials,
            resource_requirements: Some(resource_requirements),
            runtime_platform: given.runtime_platform,
            secrets: Some(given.secrets.unwrap_or_default()),
            task_arn: newest.map(|newest| newest.task_arn),
            ulimits: Some(given.ulimits.unwrap_or_default()),
            user: given.user,
            vcpus: legacy.then(|| i32::try_from(resources.milli_vcpus / 1000).unwrap_or(i32::MAX)),
            volumes: Some(given.volumes.unwrap_or_default()),
        })
    }

    /// The current attempt, or the last one when none is current.
    fn newest(&self) -> Option<EcsTask> {
        let Execution { placement, attempts, status, .. } = &*self.execution;
        match (placement, attempts.last()) {
            (Some(placement), _) => Some(self.task(
                &placement.compute_environment,
                &placement.instance_id,
                placement.task_id,
                *status == JobStatus::Running,
            )),
            (None, Some(attempt)) => Some(self.task_of(attempt)),
            (None, None) => None,
        }
    }

    fn task_of(&self, attempt: &Attempt) -> EcsTask {
        let ran = attempt.started_at.is_some();
        self.task(&attempt.compute_environment, &attempt.instance_id, attempt.task_id, ran)
    }

    fn task(&self, environment: &Arn, instance_id: &str, task_id: TaskId, ran: bool) -> EcsTask {
        let scope = self.job.scope();
        let cluster = self.clusters.get(environment).map_or("default", |cluster| cluster.as_str());
        let instance = format!("container-instance/{cluster}/{:0>32}", instance_id.trim_start_matches("i-"));
        EcsTask {
            task_arn: task_arn(&scope, cluster, task_id).into(),
            container_instance_arn: scope.arn("ecs", &instance).into(),
            log_stream_name: ran.then(|| log_stream(&self.definition, task_id).into()),
        }
    }

    fn attempt(&self, attempt: &Attempt) -> model::AttemptDetail {
        let EcsTask { task_arn, container_instance_arn, log_stream_name } = self.task_of(attempt);
        model::AttemptDetail {
            container: Some(model::AttemptContainerDetail {
                container_instance_arn: Some(container_instance_arn),
                exit_code: attempt.outcome.exit_code,
                log_stream_name,
                network_interfaces: Some(Vec::new()),
                reason: attempt.outcome.reason.clone().map(String::from),
                task_arn: Some(task_arn),
            }),
            started_at: attempt.started_at.map(Timestamp::as_millis),
            status_reason: Some(attempt.status_reason.clone().into()),
            stopped_at: Some(attempt.stopped_at.as_millis()),
            task_properties: None,
        }
    }
}

/// What Amazon ECS would call the place of an attempt.
struct EcsTask {
    task_arn: String,
    container_instance_arn: String,
    log_stream_name: Option<String>,
}

/// All seven statuses, zeros included.
pub(super) fn status_summary(counts: &StatusCounts) -> BTreeMap<String, i32> {
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    JobStatus::ALL.iter().zip(counts).map(|(status, &n)| (status.as_str().to_owned(), count(n))).collect()
}

fn key_value((name, value): (Text, Text)) -> model::KeyValuePair {
    model::KeyValuePair { name: Some(name.into()), value: Some(value.into()) }
}

/// The definition's types in their order, with the values in force, then what only the overrides ask for.
fn requirements(
    given: &model::ContainerProperties,
    resources: &fornada_core::quantity::Resources,
) -> Vec<model::ResourceRequirement> {
    use model::ResourceType::{Gpu, Memory, Vcpu};
    let value = |kind| match kind {
        Vcpu => container_fields::vcpus(resources.milli_vcpus),
        Memory => resources.memory_mib.to_string(),
        Gpu => resources.gpus.to_string(),
    };
    let mut kinds: Vec<_> =
        given.resource_requirements.iter().flatten().map(|requirement| requirement.r#type).collect();
    if resources.gpus > 0 && !kinds.contains(&Gpu) {
        kinds.push(Gpu);
    }
    kinds.into_iter().map(|kind| model::ResourceRequirement { r#type: kind, value: value(kind) }).collect()
}
