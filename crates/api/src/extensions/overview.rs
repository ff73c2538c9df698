//! The answer of `GET /fornada/v1/overview`: queues, shares, environments, instances and jobs of the caller, in one look.
//!
//! It costs what it shows: counts come from indexes, lists are bounded. Instances that were launched for an environment are
//! shown to whoever owns that. The machines that are there by themselves serve all accounts, and what is used of them tells
//! of all: they are shown to the account of the server alone.

use std::collections::BTreeMap;

use fornada_core::arn::{Arn, Scope, name_of};
use fornada_core::id::{AttemptId, JobId, Uuid};
use fornada_core::instance::Phase;
use fornada_core::job::JobStatus;
use fornada_core::overview::InstanceUse;
use fornada_core::quantity::Resources;
use fornada_core::resource::compute_environment::ComputeEnvironment;
use fornada_core::resource::job_queue::JobQueue;
use fornada_core::resource::service_environment::ServiceEnvironment;
use fornada_core::service_job::ServiceJob;
use fornada_core::state::State;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::{JobFilter, JobQuery};
use serde::{Deserialize, Serialize};

use super::explanation::Share;
use super::from_core::{by_status, share, vcpus};
use crate::app::Call;
use crate::error::WireError;

/// Queues and environments in an answer; the first by name.
const RESOURCES_MAX: usize = 200;
/// Shares, and instances.
const SHARES_MAX: usize = 500;
/// Jobs that run, and jobs that wait.
const JOBS_MAX: usize = 300;
/// Of one queue, jobs that wait for dependencies, and RUNNABLE ones.
const QUEUE_JOBS_MAX: usize = 50;

/// What is going on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// When it was so, in milliseconds since the epoch.
    pub at: i64,
    /// Job queues, by name.
    pub queues: Vec<Queue>,
    /// Active shares of fair-share queues, queue by queue.
    pub shares: Vec<QueueShare>,
    /// Compute and service environments, by name.
    pub environments: Vec<Environment>,
    /// Instances, by id.
    pub instances: Vec<Instance>,
    /// Jobs that are starting or running; at most 300.
    pub running: Vec<Job>,
    /// Jobs that wait, those of each queue that start next first; at most 300.
    pub waiting: Vec<Job>,
}

/// A job queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// `state`.
    pub state: String,
    /// `status`.
    pub status: String,
    /// `priority`.
    pub priority: i32,
    /// Jobs by status, array parents counted once; those that are none are left out. Of a queue of service jobs only RUNNABLE
    /// and RUNNING.
    pub jobs: BTreeMap<String, u32>,
    /// Attempts that are starting or running.
    pub attempts: u32,
    /// vCPUs that they have.
    pub used_vcpus: f64,
}

/// A share of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueShare {
    /// Name of the queue.
    pub queue: String,
    /// The share.
    #[serde(flatten)]
    pub share: Share,
}

/// A compute or service environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// `COMPUTE` or `SERVICE`.
    pub kind: String,
    /// `state`.
    pub state: String,
    /// `status`.
    pub status: String,
    /// `vCPUs`, or the capacity unit of a service environment.
    pub unit: String,
    /// How much of the unit is used.
    pub used: f64,
    /// The ceiling, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its id.
    pub instance_id: String,
    /// `CONNECTED`, `DISCONNECTED`, `LAUNCHING`, `DRAINING` or `TERMINATING`.
    pub state: String,
    /// Of one that was launched for an environment: its type, and the environment's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// See there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What attempts may use of it.
    pub capacity: Amounts,
    /// What they have.
    pub used: Amounts,
    /// Attempts that are starting or running.
    pub attempts: usize,
}

/// vCPUs, memory and GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// vCPUs.
    pub vcpus: f64,
    /// Memory.
    pub memory_mib: u64,
    /// GPUs.
    pub gpus: u32,
}

/// A job that runs or waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id; of an array's child or a node with the index.
    pub job_id: String,
    /// `jobName`.
    pub job_name: String,
    /// Name of its queue.
    pub queue: String,
    /// Its status.
    pub status: String,
    /// When it started; of a job that waits when it was submitted. In milliseconds since the epoch.
    pub since: i64,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(super) async fn get(call: &Call) -> Result<Overview, WireError> {
    let scope = call.scope.clone();
    let mine = move |state: &State| -> Vec<Arn> { queues_of(state, &scope).map(|q| q.arn.clone()).collect() };
    let queues = call.app.engine.read(mine).await?;
    // Jobs that wait for others are in no index of the engine, but in the store's.
    let pending = call.blocking(move |app| {
        let mut pending: Vec<Uuid> = Vec::new();
        for queue in queues {
            let filters = vec![JobFilter::Status(vec![JobStatus::Pending])];
            let limit = u32::try_from(QUEUE_JOBS_MAX).unwrap_or(u32::MAX);
            let query = JobQuery { queue, filters, before_sequence: None, limit };
            let page = app.jobs.list_jobs(&query).map_err(WireError::server)?;
            pending.extend(page.jobs.iter().map(|job| job.id));
            if pending.len() >= JOBS_MAX {
                break;
            }
        }
        Ok(pending)
    });
    let pending = pending.await?;
    let (scope, at) = (call.scope.clone(), call.app.clock.now());
    let sees_machines = scope.account == *call.app.account_id;
    let read = move |state: &State| overview(state, &scope, at, sees_machines, &pending);
    Ok(call.app.engine.read(read).await?)
}

fn overview(state: &State, scope: &Scope, at: Timestamp, sees_machines: bool, pending: &[Uuid]) -> Overview {
    let mut attempts: BTreeMap<Arn, u32> = BTreeMap::new();
    let mut running = Vec::new();
    for attempt in state.attempts() {
        let Some(queue) = queue_of(state, attempt).filter(|queue| scope.owns(queue)) else { continue };
        *attempts.entry(queue.clone()).or_default() += 1;
        if running.len() < JOBS_MAX {
            running.extend(running_job(state, attempt));
        }
    }
    let queues = || queues_of(state, scope);
    let runnable = queues().flat_map(|queue| state.waiting_in(&queue.arn, QUEUE_JOBS_MAX));
    let waiting = runnable.chain(pending.iter().map(|&job| JobId::whole(job)));
    let waiting = waiting.filter_map(|id| waiting_job(state, id));
    let training = queues().flat_map(|queue| state.service_jobs_waiting_in(&queue.arn, QUEUE_JOBS_MAX));
    let waiting = waiting.chain(training.map(|job| waiting_service_job(state, &job)));
    let shares = queues().flat_map(|queue| {
        let of_queue = state.shares_of(&queue.arn).into_iter();
        of_queue.map(|given| QueueShare { queue: queue.name().to_owned(), share: share(given) })
    });
    let compute = state.compute_environments().values().filter(|ce| scope.owns(&ce.arn));
    let service = state.service_environments().values().filter(|environment| scope.owns(&environment.arn));
    let environments = compute.map(|ce| compute_environment(state, ce));
    let environments = environments.chain(service.flat_map(|given| service_environment(state, given)));
    let is_shown = |instance: &InstanceUse| match &instance.record.managed {
        Some(managed) => scope.owns(&managed.compute_environment),
        None => sees_machines,
    };
    Overview {
        at: at.as_millis(),
        queues: queues()
            .map(|queue| self::queue(state, queue, attempts.get(&queue.arn).copied().unwrap_or(0)))
            .collect(),
        shares: shares.take(SHARES_MAX).collect(),
        environments: environments.take(RESOURCES_MAX).collect(),
        instances: state.instance_uses().filter(is_shown).take(SHARES_MAX).map(|i| instance(&i)).collect(),
        running,
        waiting: waiting.take(JOBS_MAX).collect(),
    }
}

fn queues_of<'a>(state: &'a State, scope: &Scope) -> impl Iterator<Item = &'a JobQueue> {
    let scope = scope.clone();
    let queues = state.job_queues().values().filter(move |queue| scope.owns(&queue.arn));
    queues.take(RESOURCES_MAX).map(|queue| &**queue)
}

fn queue(state: &State, queue: &JobQueue, attempts: u32) -> Queue {
    let mut jobs = by_status(&state.job_counts_of(&queue.arn));
    if queue.service_environment.is_some() {
        let (runnable, running) = state.service_queue_counts(&queue.arn);
        let counts = [("RUNNABLE", runnable), ("RUNNING", running)].into_iter().filter(|(_, n)| *n > 0);
        jobs = counts.map(|(name, n)| (name.to_owned(), u32::try_from(n).unwrap_or(u32::MAX))).collect();
    }
    Queue {
        name: queue.name().to_owned(),
        state: switch(queue.enabled),
        status: queue.status.as_str().to_owned(),
        priority: queue.priority,
        jobs,
        attempts,
        used_vcpus: vcpus(state.queue_usage(&queue.arn)),
    }
}

fn switch(enabled: bool) -> String {
    if enabled { "ENABLED" } else { "DISABLED" }.to_owned()
}

fn compute_environment(state: &State, ce: &ComputeEnvironment) -> Environment {
    Environment {
        name: ce.name().to_owned(),
        kind: "COMPUTE".to_owned(),
        state: switch(ce.enabled),
        status: ce.status.as_str().to_owned(),
        unit: "vCPUs".to_owned(),
        used: vcpus(state.environment_usage(&ce.arn).milli_vcpus),
        max: ce.max_vcpus.map(f64::from),
    }
}

/// One row a limit.
fn service_environment(state: &State, given: &ServiceEnvironment) -> Vec<Environment> {
    let used = state.service_environment_usage(&given.arn);
    let row = |limit: &fornada_core::service_job::capacity::CapacityLimit| Environment {
        name: given.name().to_owned(),
        kind: "SERVICE".to_owned(),
        state: switch(given.enabled),
        status: given.status.as_str().to_owned(),
        unit: limit.unit.to_string(),
        used: vcpus(used.in_unit(&limit.unit).saturating_mul(1000)),
        max: Some(f64::from(limit.max)),
    };
    given.limits.iter().map(row).collect()
}

fn instance(given: &InstanceUse) -> Instance {
    let InstanceUse { record, connected, used, attempts } = given;
    let managed = record.managed.as_deref();
    let state = match managed.map(|managed| managed.phase) {
        Some(Phase::Launching) => "LAUNCHING",
        Some(Phase::Draining(_)) => "DRAINING",
        Some(Phase::Terminating) => "TERMINATING",
        Some(Phase::Ready) | None if *connected => "CONNECTED",
        Some(Phase::Ready) | None => "DISCONNECTED",
    };
    Instance {
        instance_id: record.instance_id.to_string(),
        state: state.to_owned(),
        instance_type: managed.map(|managed| managed.instance_type.to_string()),
        environment: managed.map(|managed| name_of(&managed.compute_environment).to_owned()),
        capacity: amounts(&record.capacity),
        used: amounts(used),
        attempts: *attempts,
    }
}

fn amounts(of: &Resources) -> Amounts {
    Amounts { vcpus: vcpus(of.milli_vcpus), memory_mib: of.memory_mib, gpus: of.gpus }
}

/// ARN of the queue that an attempt's job came through.
fn queue_of(state: &State, attempt: AttemptId) -> Option<&Arn> {
    let id = attempt.job.job;
    state.job(id).map(|job| &job.queue).or_else(|| Some(&state.service_job(id)?.queue))
}

fn running_job(state: &State, attempt: AttemptId) -> Option<Job> {
    let Some((job, execution)) = state.find(attempt.job) else {
        let job = state.service_job(attempt.job.job)?;
        return Some(Job {
            job_id: attempt.job.to_string(),
            job_name: job.name.to_string(),
            queue: name_of(&job.queue).to_owned(),
            status: job.status.as_str().to_owned(),
            since: job.started_at.or(job.scheduled_at).unwrap_or(job.created_at).as_millis(),
            instance_id: job.placement.as_ref().map(|placement| placement.instance_id.to_string()),
            reason: None,
        });
    };
    Some(Job {
        job_id: attempt.job.to_string(),
        job_name: job.name.to_string(),
        queue: name_of(&job.queue).to_owned(),
        status: execution.status.as_str().to_owned(),
        since: execution.started_at.unwrap_or(execution.created_at).as_millis(),
        instance_id: execution.placement.as_ref().map(|placement| placement.instance_id.to_string()),
        reason: None,
    })
}

/// A job as it waits; `None` when it no longer does.
fn waiting_job(state: &State, id: JobId) -> Option<Job> {
    let reason = state.waiting_reason(id)?;
    let (job, execution) = state.find(id)?;
    Some(Job {
        job_id: id.to_string(),
        job_name: job.name.to_string(),
        queue: name_of(&job.queue).to_owned(),
        status: execution.status.as_str().to_owned(),
        since: execution.created_at.as_millis(),
        instance_id: None,
        reason: Some(reason.into()),
    })
}

fn waiting_service_job(state: &State, job: &ServiceJob) -> Job {
    Job {
        job_id: JobId::whole(job.id).to_string(),
        job_name: job.name.to_string(),
        queue: name_of(&job.queue).to_owned(),
        status: job.status.as_str().to_owned(),
        since: job.created_at.as_millis(),
        instance_id: None,
        reason: Some(state.waiting_service_reason(job).into()),
    }
}
