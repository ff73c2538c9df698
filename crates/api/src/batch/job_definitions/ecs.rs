//! `ecsProperties`: a task of up to ten containers.
//!
//! Source: AWS Batch API reference, EcsTaskProperties, TaskContainerProperties; texts as observed.

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::container::{self, Condition, ContainerDependency, ContainerTemplate, Requirements, Role};
use fornada_core::task::{Task, TaskKind, TaskTemplate};
use fornada_core::text::Text;
use fornada_model::batch as model;
use model::PlatformCapability::{Fargate, ManagedInstances};

use super::super::container_fields;
use super::super::require::require;
use super::container::check_given;
use super::members::{Members, check_fargate_log, check_fargate_only, log_names};
use super::{document, volumes};
use crate::error::WireError;

/// Containers of a task.
pub(super) const CONTAINERS: std::ops::RangeInclusive<usize> = 1..=10;
pub(super) const BAD_COUNT: &str = "Number of containers must be between 1 and 10";
/// Characters of a container's name. Source: Amazon ECS API reference, ContainerDefinition.
const NAME_MAX: usize = 255;
const TIMEOUT_SECONDS_MIN: i32 = 2;
/// Elsewhere a container may take as long as it likes.
const FARGATE_TIMEOUT_SECONDS_MAX: i32 = 120;

/// The checked task as it is echoed, and its template.
pub(super) fn task(
    given: model::EcsProperties,
    platform: model::PlatformCapability,
) -> Result<(model::EcsProperties, TaskTemplate), WireError> {
    let [task] = <[_; 1]>::try_from(given.task_properties)
        .map_err(|_| WireError::invalid("taskProperties of ecsProperties must have exactly one element."))?;
    check_task(&task, platform)?;
    let containers = containers(&task.containers, platform)?;
    let echo = with_empty_lists(task);
    let template = TaskTemplate { kind: TaskKind::Ecs, containers, properties: document(&echo)? };
    check_size(&template, platform)?;
    Ok((model::EcsProperties { task_properties: vec![echo] }, template))
}

/// The lists that the service shows even when they were not given.
fn with_empty_lists(task: model::EcsTaskProperties) -> model::EcsTaskProperties {
    let container = |container: model::TaskContainerProperties| model::TaskContainerProperties {
        command: container.command.or(Some(vec![])),
        depends_on: container.depends_on.or(Some(vec![])),
        environment: container.environment.or(Some(vec![])),
        mount_points: container.mount_points.or(Some(vec![])),
        resource_requirements: container.resource_requirements.or(Some(vec![])),
        secrets: container.secrets.or(Some(vec![])),
        ulimits: container.ulimits.or(Some(vec![])),
        ..container
    };
    let containers = task.containers.into_iter().map(container).collect();
    model::EcsTaskProperties { containers, volumes: task.volumes.or(Some(vec![])), ..task }
}

/// What the containers share.
fn check_task(task: &model::EcsTaskProperties, platform: model::PlatformCapability) -> Result<(), WireError> {
    let model::EcsTaskProperties {
        containers,
        enable_execute_command: _,
        ephemeral_storage,
        execution_role_arn,
        ipc_mode,
        network_configuration,
        network_mode,
        pid_mode,
        platform_version,
        runtime_platform,
        task_role_arn,
        volumes,
    } = task;
    require(CONTAINERS.contains(&containers.len()), BAD_COUNT)?;
    if let Some(mode) = ipc_mode.as_deref().filter(|mode| !["host", "task", "none"].contains(mode)) {
        return Err(WireError::invalid(format!(
            "ipcMode {mode} is not valid. Valid values are: [host, task, none]"
        )));
    }
    if let Some(mode) = pid_mode.as_deref().filter(|mode| !["host", "task"].contains(mode)) {
        return Err(WireError::invalid(format!(
            "Capability {mode} is not valid. Valid capabilities: [host, task]"
        )));
    }
    require(platform != Fargate || ipc_mode.is_none(), "ipcMode is not applicable for Fargate.")?;
    require(
        network_mode.as_deref().is_none_or(|mode| platform == ManagedInstances && mode == "host"),
        "networkMode can only be host, and only for MANAGED_INSTANCES.",
    )?;
    let family = runtime_platform.as_ref().and_then(|runtime| runtime.operating_system_family.as_deref());
    require(
        platform != ManagedInstances || family.is_none_or(|family| family == "LINUX"),
        "runtimePlatform for MANAGED_INSTANCES only supports LINUX operating system family.",
    )?;
    let others = [
        ("networkConfiguration", network_configuration.is_some()),
        ("platformVersion", platform_version.is_some()),
    ];
    check_fargate_only(platform, execution_role_arn.as_deref(), ephemeral_storage.as_ref(), &others)?;
    volumes::check(
        volumes.as_deref().unwrap_or_default(),
        containers.iter().flat_map(|container| container.mount_points.iter().flatten()),
        &volumes::Site {
            fargate: platform == Fargate,
            platform_version: platform_version.as_deref(),
            has_job_role: task_role_arn.as_deref().is_some_and(|role| !role.is_empty()),
        },
    )
}

fn containers(
    given: &[model::TaskContainerProperties],
    platform: model::PlatformCapability,
) -> Result<Vec<ContainerTemplate>, WireError> {
    let mut names = BTreeSet::new();
    let mut templates = Vec::with_capacity(given.len());
    for container in given {
        let name = container.name.as_deref().filter(|name| !name.is_empty());
        require(
            given.len() == 1 || name.is_some(),
            "Every container of a multi-container job must have a name.",
        )?;
        let name = name.unwrap_or("default");
        check_name(name, &mut names)?;
        let requirements = check(container, platform)?;
        let (log_group, log_stream_prefix) = log_names(container.log_configuration.as_ref());
        templates.push(ContainerTemplate {
            image: container.image.as_str().into(),
            command: container_fields::texts(&container.command),
            environment: container_fields::environment(&container.environment)?,
            requirements,
            log_group,
            log_stream_prefix,
            role: Some(Box::new(Role {
                name: name.into(),
                essential: container.essential.unwrap_or(true),
                depends_on: dependencies(container)?,
                init: false,
            })),
            secrets: container_fields::secrets(&container.secrets)?,
            entry_point: None,
        });
    }
    require(
        templates.iter().any(ContainerTemplate::is_essential),
        "At least one container must be set as essential",
    )?;
    check_dependencies(&templates)?;
    let is_root = |user: &Option<String>| user.as_deref().is_none_or(|user| user == "0" || user == "root");
    require(
        given.iter().all(|container| container.firelens_configuration.is_none())
            || given.iter().any(|container| is_root(&container.user)),
        "When a firelensConfiguration object is specified, at least one container has to run as root",
    )?;
    Ok(templates)
}

/// A name becomes part of a log stream's, and overrides go by it.
pub(super) fn check_name<'a>(name: &'a str, names: &mut BTreeSet<&'a str>) -> Result<(), WireError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.len() > NAME_MAX || !name.bytes().all(allowed) {
        return Err(WireError::invalid(format!(
            "The container name: {name} can have up to {NAME_MAX} letters, digits, hyphens and underscores."
        )));
    }
    if !names.insert(name) {
        return Err(WireError::invalid(format!(
            "The container name: {name} must be unique in multi-container job."
        )));
    }
    Ok(())
}

fn check(
    container: &model::TaskContainerProperties,
    platform: model::PlatformCapability,
) -> Result<Requirements, WireError> {
    let model::TaskContainerProperties {
        command: _,
        depends_on: _,
        environment: _,
        essential: _,
        firelens_configuration: _,
        image,
        linux_parameters,
        log_configuration,
        mount_points: _,
        name: _,
        privileged,
        readonly_root_filesystem: _,
        repository_credentials: _,
        resource_requirements,
        secrets: _,
        start_timeout,
        stop_timeout,
        ulimits,
        user,
    } = container;
    container_fields::check_image(image)?;
    let members = Members {
        linux_parameters: linux_parameters.as_ref(),
        log_configuration: log_configuration.as_ref(),
        privileged: *privileged,
        ulimits: ulimits.as_deref().unwrap_or_default(),
        user: user.as_deref(),
    };
    members.check(platform)?;
    let asked = container_fields::requirements(resource_requirements, None, None)?;
    if platform == Fargate {
        require(asked.gpus.is_none(), "GPU is not applicable for Fargate.")?;
        let firelens = [model::LogDriver::Awsfirelens];
        log_configuration.as_ref().map_or(Ok(()), |log| check_fargate_log(log, &firelens))?;
    }
    let max = if platform == Fargate { FARGATE_TIMEOUT_SECONDS_MAX } else { i32::MAX };
    for (member, seconds) in [("startTimeout", start_timeout), ("stopTimeout", stop_timeout)] {
        if seconds.is_some_and(|seconds| !(TIMEOUT_SECONDS_MIN..=max).contains(&seconds)) {
            return Err(WireError::invalid(format!(
                "{member} must be at least {TIMEOUT_SECONDS_MIN} seconds, and on Fargate at most \
                 {FARGATE_TIMEOUT_SECONDS_MAX}."
            )));
        }
    }
    check_given(&asked)?;
    Ok(asked)
}

/// On EC2 each container has whole vCPUs; on Fargate the task as a whole has one of the sizes on offer.
fn check_size(template: &TaskTemplate, platform: model::PlatformCapability) -> Result<(), WireError> {
    let sizes = match platform {
        Fargate => vec![Task::from(template).resources(&[])],
        _ => template.containers.iter().map(|c| container::resources(&c.requirements, None)).collect(),
    };
    sizes.iter().try_for_each(|resources| {
        container::check_size(resources, platform == Fargate)
            .map_err(|size| container_fields::bad_size(size, resources))
    })
}

fn dependencies(container: &model::TaskContainerProperties) -> Result<Vec<ContainerDependency>, WireError> {
    let dependency = |model::TaskContainerDependency { condition, container_name }: &_| {
        let condition = condition.as_deref().unwrap_or("null");
        let condition = match condition {
            "START" => Condition::Start,
            "COMPLETE" => Condition::Complete,
            "SUCCESS" => Condition::Success,
            _ => {
                return Err(WireError::invalid(format!(
                    "TaskContainer dependency {condition} is not valid. Valid values are: [START, COMPLETE, SUCCESS]"
                )));
            }
        };
        Ok(ContainerDependency { container: container_name.as_deref().unwrap_or("null").into(), condition })
    };
    container.depends_on.iter().flatten().map(dependency).collect()
}

/// Each names another container, in a way that can come true.
fn check_dependencies(templates: &[ContainerTemplate]) -> Result<(), WireError> {
    let on = |template: &ContainerTemplate| {
        template.role.as_ref().map(|role| role.depends_on.clone()).unwrap_or_default()
    };
    let mut waiting: BTreeMap<&str, BTreeSet<Text>> = BTreeMap::new();
    for template in templates {
        let dependencies = on(template);
        require(
            templates.len() > 1 || dependencies.is_empty(),
            "Container dependency can not be used in a single-container job.",
        )?;
        for ContainerDependency { container, condition } in &dependencies {
            let target = templates.iter().find(|target| target.name() == container.as_str());
            let target = target.ok_or_else(|| {
                WireError::invalid(format!("containerName {container} must reference a defined container."))
            })?;
            let end = match condition {
                Condition::Start => continue,
                Condition::Complete => "COMPLETE",
                Condition::Success => "SUCCESS",
            };
            if target.is_essential() {
                return Err(WireError::invalid(format!(
                    "The container target of a dependency can not have condition {end} if the target is essential"
                )));
            }
        }
        waiting.insert(template.name(), dependencies.into_iter().map(|on| on.container).collect());
    }
    while let Some(free) = waiting.iter().find_map(|(&name, on)| on.is_empty().then_some(name)) {
        waiting.remove(free);
        waiting.values_mut().for_each(|on| on.retain(|name| name.as_str() != free));
    }
    require(waiting.is_empty(), "Container dependencies must not wait for each other in a circle.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::PlatformCapability::Ec2;
    use serde_json::{Value, json};

    fn needs(vcpus: &str, memory: &str) -> Value {
        json!([{ "type": "VCPU", "value": vcpus }, { "type": "MEMORY", "value": memory }])
    }

    /// The outcome for a task of these containers, each with an image and a size unless it says otherwise.
    fn outcome(
        platform: model::PlatformCapability,
        containers: &Value,
        members: &Value,
    ) -> Result<(model::EcsProperties, TaskTemplate), String> {
        let containers = containers.as_array().unwrap().iter().map(|changes| {
            let mut container = json!({ "image": "x", "resourceRequirements": needs("1", "512") });
            container.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            container
        });
        let mut whole = json!({ "containers": containers.collect::<Vec<_>>() });
        whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let given = serde_json::from_value(json!({ "taskProperties": [whole] })).unwrap();
        task(given, platform).map_err(|error| error.message)
    }

    #[test]
    fn a_task_becomes_containers_with_their_roles() {
        let containers = json!([
            { "name": "fetch", "essential": false, "environment": [{ "name": "A", "value": "1" }],
                "secrets": [{ "name": "S", "valueFrom": "/s" }] },
            { "name": "main", "command": ["run", "Ref::x"],
                "dependsOn": [{ "containerName": "fetch", "condition": "SUCCESS" }],
                "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-stream-prefix": "p" } } },
        ]);
        let (echo, template) = outcome(Ec2, &containers, &json!({})).unwrap();
        let [fetch, main] = template.containers.as_slice() else { panic!("not two") };
        assert_eq!(
            (fetch.name(), fetch.is_essential(), main.name(), main.is_essential()),
            ("fetch", false, "main", true)
        );
        let on = ContainerDependency { container: "fetch".into(), condition: Condition::Success };
        assert_eq!(main.role.as_ref().unwrap().depends_on, [on]);
        assert_eq!(fetch.secrets, Some(vec![("S".into(), "/s".into())]));
        assert_eq!(main.log_stream_prefix.as_deref(), Some("p"));
        assert_eq!(Task::from(&template).resources(&[]).milli_vcpus, 2000);
        let stored: Value = serde_json::from_str(template.properties.as_str()).unwrap();
        assert_eq!(stored, serde_json::to_value(&echo.task_properties[0]).unwrap());
        assert_eq!(stored["volumes"], json!([]));
        assert_eq!(stored["containers"][0]["mountPoints"], json!([]));
        assert!(stored["containers"][1].get("essential").is_none(), "no added defaults");
        let (_, alone) = outcome(Ec2, &json!([{}]), &json!({})).unwrap();
        assert_eq!(alone.containers[0].name(), "default");
    }

    #[test]
    fn tasks_that_are_refused() {
        let two = |first: Value, second: Value| {
            let named = |name: &str, mut given: Value| {
                given.as_object_mut().unwrap().entry("name").or_insert(json!(name));
                given
            };
            json!([named("a", first), named("b", second)])
        };
        let on = |container: &str, condition: &str| json!({ "dependsOn": [{ "containerName": container, "condition": condition }] });
        let none = json!({});
        let firelens = json!({ "firelensConfiguration": { "type": "fluentbit" }, "user": "app" });
        let cases = [
            (json!([]), none.clone(), "Number of containers must be between 1 and 10"),
            (json!(vec![none.clone(); 11]), none.clone(), "Number of containers must be between 1 and 10"),
            (
                json!([{ "essential": false }]),
                none.clone(),
                "At least one container must be set as essential",
            ),
            (json!([{}, {}]), none.clone(), "Every container of a multi-container job must have a name."),
            (
                two(json!({}), json!({ "name": "a" })),
                none.clone(),
                "The container name: a must be unique in multi-container job.",
            ),
            (
                json!([on("default", "START")]),
                none.clone(),
                "Container dependency can not be used in a single-container job.",
            ),
            (
                two(on("c", "START"), json!({})),
                none.clone(),
                "containerName c must reference a defined container.",
            ),
            (
                two(on("b", "END"), json!({})),
                none.clone(),
                "TaskContainer dependency END is not valid. Valid values are: [START, COMPLETE, SUCCESS]",
            ),
            (
                two(on("b", "COMPLETE"), json!({})),
                none.clone(),
                "The container target of a dependency can not have condition COMPLETE if the target is essential",
            ),
            (
                two(on("b", "START"), on("a", "START")),
                none.clone(),
                "Container dependencies must not wait for each other in a circle.",
            ),
            (
                two(firelens.clone(), json!({ "user": "other" })),
                none.clone(),
                "When a firelensConfiguration object is specified, at least one container has to run as root",
            ),
            (json!([{ "image": "" }]), none.clone(), "Container image is required."),
            (json!([{ "resourceRequirements": [] }]), none.clone(), "vCPU is required."),
            (
                json!([{ "resourceRequirements": needs("0.5", "64") }]),
                none.clone(),
                "vCPU must be at least 1, got 0.5.",
            ),
            (json!([{ "user": "Root" }]), none.clone(), "User 'Root' does not match regex"),
            (
                json!([{}]),
                json!({ "ipcMode": "all" }),
                "ipcMode all is not valid. Valid values are: [host, task, none]",
            ),
            (
                json!([{}]),
                json!({ "pidMode": "none" }),
                "Capability none is not valid. Valid capabilities: [host, task]",
            ),
            (
                json!([{}]),
                json!({ "networkMode": "host" }),
                "networkMode can only be host, and only for MANAGED_INSTANCES.",
            ),
            (json!([{}]), json!({ "platformVersion": "1.4.0" }), "platformVersion not applicable for EC2."),
            (
                json!([{ "mountPoints": [{ "containerPath": "/v", "sourceVolume": "v" }] }]),
                none.clone(),
                "sourceVolume 'v' of a mount point must name a volume.",
            ),
        ];
        for (containers, members, want) in cases {
            let fault = outcome(Ec2, &containers, &members).map(drop);
            assert_eq!(fault, Err(want.into()), "{containers} {members}");
        }
        assert!(outcome(Ec2, &two(firelens, json!({ "user": "0" })), &none).is_ok());
        let two_tasks = json!({ "taskProperties": [] });
        assert!(task(serde_json::from_value(two_tasks).unwrap(), Ec2).is_err());
    }

    #[test]
    fn what_depends_on_the_platform() {
        let role = json!({ "executionRoleArn": "r" });
        let small = json!({ "name": "a", "resourceRequirements": needs("0.25", "512") });
        let pair =
            |memory: &str| json!([small, { "name": "b", "resourceRequirements": needs("0.25", memory) }]);
        assert!(outcome(Fargate, &pair("512"), &role).is_ok(), "0.5 vCPU and 1024 MiB together");
        let cases = [
            (
                Fargate,
                pair("256"),
                role.clone(),
                "Fargate resource requirements (0.5 vCPU, 768 MiB) not valid.",
            ),
            (Fargate, pair("512"), json!({}), "executionRoleArn is required for Fargate."),
            (
                Fargate,
                pair("512"),
                json!({ "executionRoleArn": "r", "ipcMode": "task" }),
                "ipcMode is not applicable for Fargate.",
            ),
            (
                ManagedInstances,
                json!([{}]),
                json!({ "runtimePlatform": { "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE" } }),
                "runtimePlatform for MANAGED_INSTANCES only supports LINUX operating system family.",
            ),
        ];
        for (platform, containers, members, want) in cases {
            let fault = outcome(platform, &containers, &members).map(drop);
            assert_eq!(fault, Err(want.into()), "{containers} {members}");
        }
        let timeout = |seconds: i32| {
            json!([{ "stopTimeout": seconds, "resourceRequirements": needs("1", "2048"),
                "logConfiguration": { "logDriver": "awsfirelens" } }])
        };
        for (platform, seconds, good) in
            [(Fargate, 120, true), (Fargate, 121, false), (Ec2, 600, true), (Ec2, 1, false)]
        {
            let role = if platform == Fargate { role.clone() } else { json!({}) };
            assert_eq!(outcome(platform, &timeout(seconds), &role).is_ok(), good, "{platform} {seconds}");
        }
        assert!(outcome(ManagedInstances, &json!([{}]), &json!({ "networkMode": "host" })).is_ok());
    }
}
