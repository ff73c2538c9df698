//! DescribeJobs: everything about some jobs, array children and nodes among them.
//!
//! The engine hands out shared records, at no cost to the loop; the answer is built from them here. Jobs that ended long ago
//! are read from the store.
//!
//! Source: AWS Batch API reference, DescribeJobs and JobDetail.

mod ecs;
mod effective;
mod eks;
mod nodes;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use fornada_core::arn::{Arn, Scope};
use fornada_core::history::PastExecution;
use fornada_core::id::{JobId, Member};
use fornada_core::job::array::StatusCounts;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::{Execution, Job, JobStatus};
use fornada_core::resource::compute_environment::ComputeEnvironment;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::state::State;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_model::batch as model;

use super::{consumable_resources, job_ids, retry_strategy, wire_status};
use crate::app::Call;
use crate::error::WireError;
use effective::{Effective, Submitted};
use run::Run;

/// Why a job waits; where AWS is followed to the letter, only what AWS Batch would say.
pub(super) fn waiting_reason(state: &State, id: JobId, strict: bool) -> Option<Text> {
    if strict { state.blocked_reason(id) } else { state.waiting_reason(id) }
}

pub(super) async fn describe_jobs(
    call: &Call,
    request: model::DescribeJobsRequest,
) -> Result<model::DescribeJobsResponse, WireError> {
    let model::DescribeJobsRequest { jobs } = request;
    let max = call.app.limits.describe_jobs;
    if jobs.len() > max as usize {
        return Err(WireError::invalid(format!("Maximum number of jobs supported is {max}")));
    }
    let mut seen = BTreeSet::new();
    let scope = call.scope.clone();
    let named = jobs.iter().filter_map(|job| job_ids::parse(&scope, job));
    let ids: Vec<JobId> = named.filter(|&id| seen.insert(id)).collect();
    let strict = call.app.strict;
    let owner = scope.clone();
    let found = move |state: &State| -> Vec<(JobId, Option<View>)> {
        let reason = |id| waiting_reason(state, id, strict);
        let view = |id| View::of(state, &owner, id).map(|view| View { waiting_reason: reason(id), ..view });
        ids.into_iter().map(|id| (id, view(id))).collect()
    };
    let mut views = call.app.engine.read(found).await?;
    fill_in_past(call, scope, &mut views).await?;
    let jobs =
        views.iter().filter_map(|(_, view)| view.as_ref()).map(View::detail).collect::<Result<_, _>>()?;
    Ok(model::DescribeJobsResponse { jobs: Some(jobs) })
}

/// Looks in the store for what is no longer in memory.
async fn fill_in_past(
    call: &Call,
    scope: Scope,
    views: &mut [(JobId, Option<View>)],
) -> Result<(), WireError> {
    let absent: Vec<JobId> = views.iter().filter(|(_, view)| view.is_none()).map(|&(id, _)| id).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let past = call.blocking(move |app| app.jobs.find(&absent).map_err(WireError::server)).await?;
    if past.is_empty() {
        return Ok(());
    }
    let complete = move |state: &State| -> HashMap<JobId, View> {
        let views =
            past.into_iter().filter_map(|(id, past)| Some((id, View::of_past(state, &scope, id, past)?)));
        views.collect()
    };
    let mut past = call.app.engine.read(complete).await?;
    for (id, view) in views {
        *view = view.take().or_else(|| past.remove(id));
    }
    Ok(())
}

/// The records that a description is made of.
struct View {
    id: JobId,
    job: Arc<Job>,
    execution: Arc<Execution>,
    /// Why it waits, where AWS Batch would say nothing.
    waiting_reason: Option<Text>,
    /// Of an array parent: its children by status, and when one last changed.
    children: Option<(StatusCounts, Timestamp)>,
    definition: Arc<JobDefinition>,
    /// Those that its attempts ran in.
    environments: BTreeMap<Arn, Arc<ComputeEnvironment>>,
}

impl View {
    fn of(state: &State, scope: &Scope, id: JobId) -> Option<View> {
        let (job, execution) = state.find(id)?;
        let array = state.array(id.job).filter(|_| id.member == Member::Whole);
        let children = array.map(|array| (array.summary(&job), array.changed_at(&job)));
        View::new(state, scope, id, (job, execution), children)
    }

    /// Of a job that is no longer in the state. Its children last changed when it ended.
    fn of_past(state: &State, scope: &Scope, id: JobId, past: PastExecution) -> Option<View> {
        let PastExecution { job, execution, children } = past;
        let children = children.map(|counts| (counts, execution.stopped_at.unwrap_or_default()));
        View::new(state, scope, id, (job, execution), children)
    }

    fn new(
        state: &State,
        scope: &Scope,
        id: JobId,
        (job, execution): (Arc<Job>, Arc<Execution>),
        children: Option<(StatusCounts, Timestamp)>,
    ) -> Option<View> {
        if !scope.owns(&job.queue) {
            return None;
        }
        let definition = Arc::clone(state.job_definition(&job.definition)?);
        let environments = execution.attempts.iter().map(|attempt| &attempt.compute_environment);
        let environments = environments.chain(execution.placement.iter().map(|p| &p.compute_environment));
        let record = |arn: &Arn| Some((arn.clone(), Arc::clone(state.compute_environments().get(arn)?)));
        let environments = environments.filter_map(record).collect();
        Some(View { id, job, execution, waiting_reason: None, children, definition, environments })
    }

    fn detail(&self) -> Result<model::JobDetail, WireError> {
        let View { id, job, execution, definition, .. } = self;
        let array_properties = job.array.as_ref().map(|array| match id.member {
            Member::Index(index) => model::ArrayPropertiesDetail {
                index: i32::try_from(index).ok(),
                status_summary: Some(BTreeMap::new()),
                ..Default::default()
            },
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
        let detail = model::JobDetail {
            array_properties,
            consumable_resource_properties: job.consumables.as_deref().map(consumable_resources::to_wire),
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
            status_reason: execution.status_reason.clone().or(self.waiting_reason.clone()).map(String::from),
            stopped_at: execution.stopped_at.map(Timestamp::as_millis),
            tags: Some(text_map(&job.tags)),
            timeout: job
                .timeout_seconds
                .map(|seconds| model::JobTimeout { attempt_duration_seconds: i32::try_from(seconds).ok() }),
            ..Default::default()
        };
        self.with_task(detail, registered.node_properties)
    }

    /// Adds what the job runs, and what became of it. The parent of nodes shows all of them, and the attempts of the main one.
    fn with_task(
        &self,
        mut detail: model::JobDetail,
        registered: Option<model::NodeProperties>,
    ) -> Result<model::JobDetail, WireError> {
        let View { id, job, execution, definition, .. } = self;
        let member = match (id.member, &job.nodes) {
            (Member::Whole, Some(nodes)) => Member::Node(nodes.main_node),
            (member, _) => member,
        };
        let task = job.task(definition, member);
        let (task, overrides) = task.ok_or_else(|| WireError::server("a job without a task"))?;
        let metadata = self.metadata(member)?;
        let submitted =
            Submitted { task, overrides, parameters: &job.parameters, metadata: metadata.as_ref() };
        let effective = submitted.effective()?;
        let attempts = execution.attempts.iter();
        if let Effective::Eks(pod) = &effective {
            let namespace = pod.metadata.as_ref().and_then(|metadata| metadata.namespace.as_deref());
            let attempt = |attempt| eks::attempt(self, task, namespace, attempt);
            detail.eks_attempts = Some(attempts.map(attempt).collect());
            detail.attempts = Some(Vec::new());
        } else {
            detail.attempts = Some(attempts.map(|attempt| ecs::attempt(self, task, attempt)).collect());
            detail.eks_attempts = Some(Vec::new());
        }
        if let (Member::Whole, Some(nodes), Some(given)) = (id.member, &job.nodes, registered) {
            detail.node_properties = Some(nodes::properties(job, definition, nodes, given)?);
            return Ok(detail);
        }
        if let (Member::Node(node), Some(nodes)) = (id.member, &job.nodes) {
            detail.node_details = Some(model::NodeDetails {
                is_main_node: Some(node == nodes.main_node),
                node_index: i32::try_from(node).ok(),
            });
        }
        let newest = Run::newest(self);
        match effective {
            Effective::Container(given) => {
                detail.container = Some(ecs::container(*given, task.containers.first(), newest.as_ref()));
            }
            Effective::Ecs(given) => {
                detail.ecs_properties = Some(ecs::task(given, task.containers, newest.as_ref()));
            }
            Effective::Eks(given) => {
                detail.eks_properties = Some(eks::pod(given, task.containers, newest.as_ref()));
            }
        }
        Ok(detail)
    }

    /// What the submission says of the metadata of its pods.
    fn metadata(&self, member: Member) -> Result<Option<model::EksMetadata>, WireError> {
        let View { job, definition, .. } = self;
        if let (Some(nodes), Some(template), Member::Node(node)) = (&job.nodes, &definition.nodes, member) {
            let Some(group) = nodes.group(node) else { return Ok(None) };
            let given = nodes::overridden_range(job, template, group.range)?;
            return Ok(given.as_ref().and_then(nodes::metadata).cloned());
        }
        let Some(document) = &job.overrides_document else { return Ok(None) };
        let given: model::EksPropertiesOverride =
            serde_json::from_str(document.as_str()).map_err(WireError::server)?;
        Ok(given.pod_properties.and_then(|pod| pod.metadata))
    }

    /// Children show what they themselves wait for: their counterpart, or the sibling before them.
    fn dependency(&self, dependency: &Dependency) -> Option<model::JobDependency> {
        use model::ArrayJobDependency::{AfterAny, NToN, Sequential};
        let (id, r#type) = match (*dependency, self.id.member) {
            (Dependency::Job(id), _) => (Some(id), None),
            (Dependency::AfterAny(id), _) => (Some(id), Some(AfterAny)),
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
}

/// All seven statuses, zeros included.
pub(super) fn status_summary(counts: &StatusCounts) -> BTreeMap<String, i32> {
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    JobStatus::ALL.iter().zip(counts).map(|(status, &n)| (status.as_str().to_owned(), count(n))).collect()
}
