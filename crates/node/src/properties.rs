//! What a process needs of its task's description, however that was written: user and limits.

use fornada_core::attempt::Launch;
use fornada_core::task::TaskKind;
use rustix::process::{Resource, Rlimit};
use serde::Deserialize;

/// What is read of `containerProperties`, of an element of `taskProperties.containers`, or of a container of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Properties {
    name: Option<String>,
    user: Option<String>,
    ulimits: Option<Vec<Ulimit>>,
    security_context: Option<SecurityContext>,
}

/// `taskProperties` or `podProperties`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TaskProperties {
    containers: Option<Vec<Properties>>,
    init_containers: Option<Vec<Properties>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ulimit {
    name: String,
    soft_limit: i64,
    hard_limit: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    run_as_user: Option<u32>,
    run_as_group: Option<u32>,
}

impl Properties {
    /// Of the container `name`.
    pub(crate) fn of(launch: &Launch, name: &str) -> Properties {
        let json = launch.properties.as_str();
        if launch.kind == TaskKind::Container {
            return serde_json::from_str(json).unwrap_or_default();
        }
        let task: TaskProperties = serde_json::from_str(json).unwrap_or_default();
        let all = task.init_containers.into_iter().flatten().chain(task.containers.into_iter().flatten());
        let mut all: Vec<Properties> = all.collect();
        // The only container of a task may go without a name.
        let only = all.len() == 1;
        let found = all.iter().position(|container| only || container.name.as_deref() == Some(name));
        found.map(|index| all.swap_remove(index)).unwrap_or_default()
    }

    /// As in a container's `USER`; `None` to run as the node does.
    pub(crate) fn user(&self) -> Option<String> {
        let in_pod = || {
            let SecurityContext { run_as_user, run_as_group } = self.security_context.as_ref()?;
            let group = run_as_group.map(|group| format!(":{group}")).unwrap_or_default();
            run_as_user.map(|user| format!("{user}{group}"))
        };
        self.user.clone().filter(|user| !user.is_empty()).or_else(in_pod)
    }

    /// Those that this machine knows.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (Resource, Rlimit)> {
        self.ulimits.iter().flatten().filter_map(limit)
    }
}

/// Source: AWS Batch API reference, Ulimit; names are those of Docker. -1 is no limit.
fn limit(ulimit: &Ulimit) -> Option<(Resource, Rlimit)> {
    let resource = match ulimit.name.as_str() {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    };
    let value = |limit: i64| u64::try_from(limit).ok();
    Some((resource, Rlimit { current: value(ulimit.soft_limit), maximum: value(ulimit.hard_limit) }))
}
