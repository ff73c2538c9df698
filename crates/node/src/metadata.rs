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
use fornada_core::time::Timestamp;
use serde_json::{Value, json};

use crate::process::HOST_IMAGE;

/// Each with when it started.
type Tasks = HashMap<TaskId, (Arc<Launch>, Timestamp)>;

/// What is known of the attempts that run.
#[derive(Clone, Default)]
pub(crate) struct Metadata {
    tasks: Arc<Mutex<Tasks>>,
}

impl Metadata {
    pub(crate) fn insert(&self, launch: Arc<Launch>, started_at: Timestamp) {
        self.lock().insert(launch.task_id, (launch, started_at));
    }

    pub(crate) fn remove(&self, task: TaskId) {
        self.lock().remove(&task);
    }

    fn get(&self, id: &str) -> Option<(Arc<Launch>, Timestamp)> {
        let id = u128::from_str_radix(id, 16).ok().filter(|_| id.len() == 32)?;
        self.lock().get(&TaskId(id)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
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
    answer(&metadata, &version, &id, task)
}

fn answer(metadata: &Metadata, version: &str, id: &str, render: fn(&Launch, Timestamp) -> Value) -> Response {
    match metadata.get(id).filter(|_| version == "v4" || version == "v3") {
        Some((launch, started_at)) => {
            ([(header::CONTENT_TYPE, "application/json")], render(&launch, started_at).to_string())
                .into_response()
        }
        None => (StatusCode::NOT_FOUND, "V4 metadata handler: unable to find the task\n").into_response(),
    }
}

/// Names that are derived from a launch.
struct Names {
    cluster: String,
    family: String,
    revision: String,
    task_arn: String,
    container_arn: String,
}

impl Names {
    fn of(launch: &Launch) -> Names {
        let cluster = launch.cluster.to_string();
        // The stream is `{definition}/default/{task}` unless the job's log options name a prefix of their own.
        let family = launch
            .containers
            .first()
            .map_or("", |container| &container.log_stream)
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let task = launch.task_id;
        Names {
            task_arn: launch.scope.arn("ecs", &format!("task/{cluster}/{task}")).into(),
            container_arn: launch.scope.arn("ecs", &format!("container/{cluster}/{task}/{task}")).into(),
            cluster,
            family,
            revision: "1".to_owned(),
        }
    }
}

fn container(launch: &Launch, started_at: Timestamp) -> Value {
    let names = Names::of(launch);
    let started = rfc3339(started_at);
    json!({
        "DockerId": launch.task_id.to_string(),
        "Name": "default",
        "DockerName": format!("ecs-{}-{}-default-{}", names.family, names.revision, launch.task_id),
        "Image": HOST_IMAGE,
        "ImageID": "",
        "Labels": {
            "com.amazonaws.ecs.cluster": names.cluster,
            "com.amazonaws.ecs.container-name": "default",
            "com.amazonaws.ecs.task-arn": names.task_arn,
            "com.amazonaws.ecs.task-definition-family": names.family,
            "com.amazonaws.ecs.task-definition-version": names.revision,
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": limits(launch, 1024),
        "CreatedAt": started,
        "StartedAt": started,
        "Type": "NORMAL",
        "ContainerARN": names.container_arn,
        "LogDriver": "awslogs",
        "LogOptions": {
            "awslogs-group": launch.containers.first().map_or("", |container| &container.log_group),
            "awslogs-region": launch.scope.region.as_str(),
            "awslogs-stream": launch.containers.first().map_or("", |container| &container.log_stream),
        },
        "Networks": [],
    })
}

fn task(launch: &Launch, started_at: Timestamp) -> Value {
    let names = Names::of(launch);
    json!({
        "Cluster": names.cluster,
        "TaskARN": names.task_arn,
        "Family": names.family,
        "Revision": names.revision,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": limits(launch, 1),
        "PullStartedAt": rfc3339(started_at),
        "PullStoppedAt": rfc3339(started_at),
        "LaunchType": "EC2",
        "Containers": [container(launch, started_at)],
    })
}

/// A container's CPU is in shares (1024 a vCPU), a task's in vCPUs; memory is in MiB.
fn limits(launch: &Launch, cpu_units: u32) -> Value {
    let vcpus = f64::from(u32::try_from(launch.resources.milli_vcpus).unwrap_or(u32::MAX)) / 1000.0;
    json!({ "CPU": vcpus * f64::from(cpu_units), "Memory": launch.resources.memory_mib })
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX).to_string()
}
