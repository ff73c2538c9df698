//! The ECS task metadata endpoint, version 4, of the attempts that run: clients read their log stream's name from it.
//!
//! Source: Amazon ECS Developer Guide, "Amazon ECS task metadata endpoint version 4". Only on 127.0.0.1, and only of the
//! task that is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fornada_core::attempt::Launch;
use fornada_core::id::TaskId;
use fornada_core::quantity::Resources;
use fornada_core::time::Timestamp;
use serde_json::{Value, json};

/// The id of a container, by which it asks for its metadata: that of its task, and its index if it is not the only one.
/// Source: as on AWS Fargate, `{task id}-{number}`.
pub(crate) fn container_id(launch: &Launch, index: usize) -> String {
    let task = launch.task_id;
    if launch.containers.len() > 1 { format!("{task}-{index}") } else { task.to_string() }
}

/// An attempt that runs.
#[derive(Clone)]
struct Task {
    launch: Arc<Launch>,
    /// Of each container.
    progress: Vec<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    started_at: Option<Timestamp>,
    /// When, and with which exit code.
    ended: Option<(Timestamp, i32)>,
}

/// What is known of the attempts that run.
#[derive(Clone, Default)]
pub(crate) struct Metadata {
    tasks: Arc<Mutex<HashMap<TaskId, Task>>>,
}

impl Metadata {
    pub(crate) fn insert(&self, launch: Arc<Launch>) {
        let progress = vec![Progress::default(); launch.containers.len()];
        self.lock().insert(launch.task_id, Task { launch, progress });
    }

    pub(crate) fn started(&self, task: TaskId, index: usize, at: Timestamp) {
        self.update(task, index, |progress| progress.started_at = Some(at));
    }

    pub(crate) fn ended(&self, task: TaskId, index: usize, at: Timestamp, exit_code: i32) {
        self.update(task, index, |progress| progress.ended = Some((at, exit_code)));
    }

    pub(crate) fn remove(&self, task: TaskId) {
        self.lock().remove(&task);
    }

    fn update(&self, task: TaskId, index: usize, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.lock().get_mut(&task).and_then(|task| task.progress.get_mut(index)) {
            change(progress);
        }
    }

    /// The task of the container with this id, and which of its containers that is.
    fn get(&self, id: &str) -> Option<(Task, usize)> {
        let task = id.split_once('-').map_or(id, |(task, _)| task);
        let number = u128::from_str_radix(task, 16).ok().filter(|_| task.len() == 32)?;
        let task = self.lock().get(&TaskId(number)).cloned()?;
        let index = (0..task.progress.len()).find(|index| container_id(&task.launch, *index) == id)?;
        Some((task, index))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routes. `/v3/…` answers the same to readers of the older variable.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/{version}/{id}", get(container_of))
            .route("/{version}/{id}/task", get(task_of))
            .with_state(self)
    }
}

async fn container_of(
    State(metadata): State<Metadata>,
    Path((version, id)): Path<(String, String)>,
) -> Response {
    answer(&metadata, &version, &id, container)
}

async fn task_of(State(metadata): State<Metadata>, Path((version, id)): Path<(String, String)>) -> Response {
    answer(&metadata, &version, &id, |of, _| task(of))
}

fn answer(metadata: &Metadata, version: &str, id: &str, render: fn(&Task, usize) -> Value) -> Response {
    match metadata.get(id).filter(|_| version == "v4" || version == "v3") {
        Some((task, index)) => {
            ([(header::CONTENT_TYPE, "application/json")], render(&task, index).to_string()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "V4 metadata handler: unable to find the task\n").into_response(),
    }
}

/// Names that are derived from a launch.
struct Names {
    cluster: String,
    family: String,
    revision: &'static str,
    task_arn: String,
}

impl Names {
    fn of(launch: &Launch) -> Names {
        let cluster = launch.cluster.to_string();
        // The stream is `{definition}/{container}/{task}` unless the job's log options name a prefix of their own.
        let stream = launch.containers.first().map_or("", |container| container.log_stream.as_str());
        let family = stream.split('/').next().unwrap_or_default().to_owned();
        let task_arn = launch.scope.arn("ecs", &format!("task/{cluster}/{}", launch.task_id)).into();
        Names { cluster, family, revision: "1", task_arn }
    }
}

fn container(task: &Task, index: usize) -> Value {
    let Task { launch, progress } = task;
    let (container, Progress { started_at, ended }) = (&launch.containers[index], progress[index]);
    let names = Names::of(launch);
    let (id, name) = (container_id(launch, index), container.name.as_str());
    let arn = launch.scope.arn("ecs", &format!("container/{}/{}/{id}", names.cluster, launch.task_id));
    let known = match (started_at, ended) {
        (_, Some(_)) => "STOPPED",
        (Some(_), None) => "RUNNING",
        (None, None) => "PULLED",
    };
    let networks = launch.address.map(|address| json!({ "NetworkMode": "host", "IPv4Addresses": [address] }));
    let mut value = json!({
        "DockerId": id,
        "Name": name,
        "DockerName": format!("ecs-{}-{}-{name}-{}", names.family, names.revision, launch.task_id),
        "Image": container.image.as_str(),
        "ImageID": "",
        "Labels": {
            "com.amazonaws.ecs.cluster": names.cluster,
            "com.amazonaws.ecs.container-name": name,
            "com.amazonaws.ecs.task-arn": names.task_arn,
            "com.amazonaws.ecs.task-definition-family": names.family,
            "com.amazonaws.ecs.task-definition-version": names.revision,
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": known,
        "Limits": limits(&container.resources, 1024),
        "Type": "NORMAL",
        "ContainerARN": arn.as_str(),
        "LogDriver": "awslogs",
        "LogOptions": {
            "awslogs-group": container.log_group.as_str(),
            "awslogs-region": launch.scope.region.as_str(),
            "awslogs-stream": container.log_stream.as_str(),
        },
        "Networks": Vec::from_iter(networks),
    });
    if let Some(at) = started_at.map(rfc3339) {
        value["CreatedAt"] = json!(at);
        value["StartedAt"] = json!(at);
    }
    if let Some((at, exit_code)) = ended {
        value["FinishedAt"] = json!(rfc3339(at));
        value["ExitCode"] = json!(exit_code);
    }
    value
}

fn task(task: &Task) -> Value {
    let Task { launch, progress } = task;
    let names = Names::of(launch);
    let containers: Vec<Value> = (0..progress.len()).map(|index| container(task, index)).collect();
    let mut value = json!({
        "Cluster": names.cluster,
        "TaskARN": names.task_arn,
        "Family": names.family,
        "Revision": names.revision,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": limits(&launch.resources, 1),
        "LaunchType": "EC2",
        "Containers": containers,
    });
    if let Some(at) = progress.iter().filter_map(|container| container.started_at).min().map(rfc3339) {
        value["PullStartedAt"] = json!(at);
        value["PullStoppedAt"] = json!(at);
    }
    value
}

/// A container's CPU is in shares (1024 a vCPU), a task's in vCPUs; memory is in MiB.
fn limits(resources: &Resources, cpu_units: u32) -> Value {
    let vcpus = f64::from(u32::try_from(resources.milli_vcpus).unwrap_or(u32::MAX)) / 1000.0;
    json!({ "CPU": vcpus * f64::from(cpu_units), "Memory": resources.memory_mib })
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX).to_string()
}
