//! The containers of a job as one list, whether it has one, a task of several or a pod: as they are in the newest attempt,
//! and as they ended in those before.
//!
//! DescribeJobs has a place of its own for each kind: `container`, `ecsProperties` and `eksProperties`.

use aws_sdk_batch::types::{
    ContainerDetail, EksContainerDetail, JobDetail, JobStatus, LogConfiguration, TaskContainerDetails,
};

use super::{job_card, outcome};

const DEFAULT_GROUP: &str = "/aws/batch/job";
/// What log streams call the container of a job that has only one.
const ONLY: &str = "default";
/// What ends a process that is told to stop: SIGTERM, then SIGKILL.
const STOPPED: [i32; 2] = [143, 137];

/// A container in one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Container<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) image: &'a str,
    /// With its arguments.
    pub(crate) command: Vec<&'a str>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) log_group: &'a str,
    /// `None` if it has not started.
    pub(crate) log_stream: Option<String>,
}

/// What the end of a container means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// They are stopped.
    Essential,
    /// Nothing, not even for the job.
    NotEssential,
    /// In a pod: they go on.
    Pod,
    /// In a pod: they start.
    Init,
}

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) started_at: Option<i64>,
    pub(crate) stopped_at: Option<i64>,
    pub(crate) status_reason: Option<&'a str>,
    pub(crate) containers: Vec<Container<'a>>,
    succeeded: bool,
}

impl<'a> Attempt<'a> {
    /// The container that decided how the attempt ended.
    pub(crate) fn deciding(&self) -> Option<&Container<'a>> {
        decides(&self.containers, self.succeeded)
    }
}

/// The containers as they are in the newest attempt; those of a pod's initialisation come first. The parent of nodes has
/// none.
pub(crate) fn newest(job: &JobDetail) -> Vec<Container<'_>> {
    let tasks = job.ecs_properties().map(|ecs| ecs.task_properties()).unwrap_or_default();
    let in_task = tasks.iter().flat_map(|task| task.containers()).map(of_task);
    let pod = job.eks_properties().and_then(|eks| eks.pod_properties());
    let in_pod = pod.into_iter().flat_map(|pod| {
        let one = move |container, role| of_pod(job, pod.pod_name(), container, role);
        let init = pod.init_containers().iter().map(move |container| one(container, Role::Init));
        init.chain(pod.containers().iter().map(move |container| one(container, Role::Pod)))
    });
    job.container().map(only).into_iter().chain(in_task).chain(in_pod).collect()
}

/// The attempts that have ended, in their order.
pub(crate) fn attempts(job: &JobDetail) -> Vec<Attempt<'_>> {
    let known = newest(job);
    let ended = |name, exit_code, reason, log_stream| {
        let same = known.iter().find(|container| container.name == name);
        Container { exit_code, reason, log_stream, ..same.cloned().unwrap_or(Container::named(name)) }
    };
    let mut all: Vec<Attempt<'_>> = Vec::new();
    for attempt in job.attempts() {
        let only = attempt.container().map(|container| {
            let stream = container.log_stream_name().map(String::from);
            ended(ONLY, container.exit_code(), container.reason(), stream)
        });
        let in_task = attempt.task_properties().iter().flat_map(|task| task.containers()).map(|container| {
            let stream = container.log_stream_name().map(String::from);
            ended(container.name().unwrap_or_default(), container.exit_code(), container.reason(), stream)
        });
        all.push(Attempt {
            started_at: attempt.started_at(),
            stopped_at: attempt.stopped_at(),
            status_reason: attempt.status_reason(),
            containers: only.into_iter().chain(in_task).collect(),
            succeeded: false,
        });
    }
    for attempt in job.eks_attempts() {
        let containers = attempt.init_containers().iter().chain(attempt.containers()).map(|container| {
            let name = container.name().unwrap_or_default();
            let stream = pod_log_stream(job, attempt.pod_name(), name);
            ended(name, container.exit_code(), container.reason(), stream)
        });
        all.push(Attempt {
            started_at: attempt.started_at(),
            stopped_at: attempt.stopped_at(),
            status_reason: attempt.status_reason(),
            containers: containers.collect(),
            succeeded: false,
        });
    }
    // Of all attempts only the last may have succeeded.
    if let Some(last) = all.last_mut() {
        last.succeeded = job.status() == Some(&JobStatus::Succeeded);
    }
    all
}

/// The container that decided how the newest attempt ended. For the parent of nodes that is one of the main node.
pub(crate) fn deciding(job: &JobDetail) -> Option<Container<'_>> {
    let newest = newest(job);
    if newest.is_empty() && job.status().is_some_and(outcome::is_over) {
        return attempts(job).last()?.deciding().cloned();
    }
    decides(&newest, job.status() == Some(&JobStatus::Succeeded)).cloned()
}

/// AWS does not say which container decided. The first that failed did, unless it only stopped because it was told to.
fn decides<'a, 'b>(containers: &'b [Container<'a>], succeeded: bool) -> Option<&'b Container<'a>> {
    let counting = || containers.iter().filter(|container| container.role != Role::NotEssential);
    let failed = |container: &&Container<'_>| match container.exit_code {
        None => container.reason.is_some(),
        Some(code) => code != 0,
    };
    let by_itself = |container: &&Container<'_>| {
        container.reason.is_some() || !container.exit_code.is_some_and(|code| STOPPED.contains(&code))
    };
    let decided = match succeeded {
        true => counting().find(|container| container.exit_code == Some(0)),
        false => counting().filter(failed).find(by_itself).or_else(|| counting().find(failed)),
    };
    decided.or_else(|| counting().next())
}

impl<'a> Container<'a> {
    /// One of which only the name is known.
    fn named(name: &'a str) -> Container<'a> {
        Container {
            name,
            role: Role::Essential,
            image: "",
            command: Vec::new(),
            exit_code: None,
            reason: None,
            log_group: DEFAULT_GROUP,
            log_stream: None,
        }
    }
}

fn only(container: &ContainerDetail) -> Container<'_> {
    Container {
        image: container.image().unwrap_or_default(),
        command: container.command().iter().map(String::as_str).collect(),
        exit_code: container.exit_code(),
        reason: container.reason(),
        log_group: log_group(container.log_configuration()),
        log_stream: container.log_stream_name().map(String::from),
        ..Container::named(ONLY)
    }
}

fn of_task(container: &TaskContainerDetails) -> Container<'_> {
    let not_essential = container.essential() == Some(false);
    Container {
        role: if not_essential { Role::NotEssential } else { Role::Essential },
        image: container.image().unwrap_or_default(),
        command: container.command().iter().map(String::as_str).collect(),
        exit_code: container.exit_code(),
        reason: container.reason(),
        log_group: log_group(container.log_configuration()),
        log_stream: container.log_stream_name().map(String::from),
        ..Container::named(container.name().unwrap_or_default())
    }
}

fn of_pod<'a>(
    job: &JobDetail,
    pod: Option<&str>,
    container: &'a EksContainerDetail,
    role: Role,
) -> Container<'a> {
    let name = container.name().unwrap_or_default();
    Container {
        role,
        image: container.image().unwrap_or_default(),
        command: container.command().iter().chain(container.args()).map(String::as_str).collect(),
        exit_code: container.exit_code(),
        reason: container.reason(),
        log_stream: pod_log_stream(job, pod, name),
        ..Container::named(name)
    }
}

/// DescribeJobs names no log streams of pods. Theirs are called as all others are, and a pod has its name from the task.
fn pod_log_stream(job: &JobDetail, pod: Option<&str>, container: &str) -> Option<String> {
    let task = pod?.strip_prefix("aws-batch.")?.replace('-', "");
    let (definition, _) = job_card::last_part(job.job_definition()?).split_once(':')?;
    Some(format!("{definition}/{container}/{task}"))
}

fn log_group(configuration: Option<&LogConfiguration>) -> &str {
    let options = configuration.and_then(LogConfiguration::options);
    options.and_then(|options| options.get("awslogs-group")).map_or(DEFAULT_GROUP, String::as_str)
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{
        EksAttemptContainerDetail, EksAttemptDetail, EksPodPropertiesDetail, EksPropertiesDetail, LogDriver,
    };

    use super::*;

    #[test]
    fn one_container_decides() {
        use Role::{Essential, Init, NotEssential, Pod};
        type Given<'a> = (&'a str, Role, Option<i32>, Option<&'a str>);
        let cases: [(&[Given<'_>], bool, Option<&str>); 11] = [
            (&[], true, None),
            (&[("a", Essential, None, None)], false, Some("a")),
            (&[("a", Essential, Some(0), None)], false, Some("a")),
            (&[("side", NotEssential, Some(7), None), ("a", Essential, Some(0), None)], true, Some("a")),
            (&[("a", Essential, Some(143), None), ("b", Essential, Some(0), None)], true, Some("b")),
            (&[("a", Essential, Some(143), None), ("b", Essential, Some(3), None)], false, Some("b")),
            (
                &[("a", Essential, Some(143), None), ("b", Essential, Some(137), Some("OOM"))],
                false,
                Some("b"),
            ),
            (&[("a", Essential, Some(143), None), ("b", Essential, Some(137), None)], false, Some("a")),
            (
                &[("a", Essential, Some(143), None), ("b", Essential, None, Some("no image"))],
                false,
                Some("b"),
            ),
            (&[("a", Pod, Some(0), None), ("b", Pod, Some(4), None)], false, Some("b")),
            (&[("i", Init, Some(5), None), ("a", Pod, None, None)], false, Some("i")),
        ];
        for (given, succeeded, want) in cases {
            let container = |&(name, role, exit_code, reason): &Given<'static>| Container {
                role,
                exit_code,
                reason,
                ..Container::named(name)
            };
            let containers: Vec<_> = given.iter().map(container).collect();
            let got = decides(&containers, succeeded).map(|container| container.name);
            assert_eq!(got, want, "{given:?}");
        }
    }

    #[test]
    fn pods_are_known_by_their_task() {
        let container = |name: &str| EksContainerDetail::builder().name(name).exit_code(0).build();
        let pod = EksPodPropertiesDetail::builder()
            .pod_name("aws-batch.00000000-0000-4000-8000-0000000000b2")
            .containers(container("Default"))
            .init_containers(container("setup"));
        let attempt = EksAttemptDetail::builder()
            .pod_name("aws-batch.00000000-0000-4000-8000-0000000000a1")
            .containers(EksAttemptContainerDetail::builder().name("Default").exit_code(4).build());
        let job = JobDetail::builder()
            .job_definition("arn:aws:batch:us-east-1:000000000000:job-definition/bread:3")
            .status(JobStatus::Failed)
            .eks_properties(EksPropertiesDetail::builder().pod_properties(pod.build()).build())
            .eks_attempts(attempt.build())
            .build();
        let streams: Vec<_> = newest(&job).into_iter().filter_map(|container| container.log_stream).collect();
        assert_eq!(
            streams,
            [
                "bread/setup/000000000000400080000000000000b2",
                "bread/Default/000000000000400080000000000000b2"
            ]
        );
        let [first] = &attempts(&job)[..] else { panic!("one attempt") };
        let [container] = &first.containers[..] else { panic!("one container") };
        assert_eq!((container.exit_code, container.role), (Some(4), Role::Pod));
        assert_eq!(container.log_stream.as_deref(), Some("bread/Default/000000000000400080000000000000a1"));
    }

    #[test]
    fn the_group_is_the_containers_own() {
        let options =
            LogConfiguration::builder().log_driver(LogDriver::Awslogs).options("awslogs-group", "mine");
        assert_eq!(log_group(Some(&options.build())), "mine");
        assert_eq!(log_group(None), DEFAULT_GROUP);
    }
}
