//! Jobs of one container, and of a task of several, under Amazon ECS.

use fornada_core::container::ContainerTemplate;
use fornada_core::job::Attempt;
use fornada_core::task::{Task, TaskKind};
use fornada_core::time::Timestamp;
use fornada_model::batch as model;

use super::View;
use super::run::{ContainerState, Run};

/// `container`: what runs, and what the newest attempt says.
pub(super) fn container(
    given: model::ContainerProperties,
    template: Option<&ContainerTemplate>,
    newest: Option<&Run<'_>>,
) -> model::ContainerDetail {
    let state = newest.zip(template).map(|(run, template)| run.state_of(template)).unwrap_or_default();
    model::ContainerDetail {
        command: given.command,
        container_instance_arn: newest.map(Run::container_instance_arn),
        enable_execute_command: given.enable_execute_command,
        environment: given.environment,
        ephemeral_storage: given.ephemeral_storage,
        execution_role_arn: given.execution_role_arn,
        exit_code: state.exit_code,
        fargate_platform_configuration: given.fargate_platform_configuration,
        image: given.image,
        instance_type: given.instance_type,
        job_role_arn: given.job_role_arn,
        linux_parameters: given.linux_parameters,
        log_configuration: given.log_configuration,
        log_stream_name: state.log_stream_name,
        memory: given.memory,
        mount_points: given.mount_points,
        network_configuration: given.network_configuration,
        network_interfaces: Some(newest.map(Run::network_interfaces).unwrap_or_default()),
        privileged: given.privileged,
        readonly_root_filesystem: given.readonly_root_filesystem,
        reason: state.reason,
        repository_credentials: given.repository_credentials,
        resource_requirements: given.resource_requirements,
        runtime_platform: given.runtime_platform,
        secrets: given.secrets,
        task_arn: newest.map(Run::task_arn),
        ulimits: given.ulimits,
        user: given.user,
        vcpus: given.vcpus,
        volumes: given.volumes,
    }
}

/// `ecsProperties`: what runs, and what the newest attempt says of each container.
pub(super) fn task(
    given: model::EcsTaskProperties,
    templates: &[ContainerTemplate],
    newest: Option<&Run<'_>>,
) -> model::EcsPropertiesDetail {
    let one = |(given, template): (model::TaskContainerProperties, &ContainerTemplate)| {
        let ContainerState { exit_code, reason, log_stream_name } =
            newest.map(|run| run.state_of(template)).unwrap_or_default();
        model::TaskContainerDetails {
            command: given.command,
            depends_on: given.depends_on,
            environment: given.environment,
            essential: Some(template.is_essential()),
            exit_code,
            firelens_configuration: given.firelens_configuration,
            image: Some(given.image),
            linux_parameters: given.linux_parameters,
            log_configuration: given.log_configuration,
            log_stream_name,
            mount_points: given.mount_points,
            name: Some(template.name().to_owned()),
            network_interfaces: Some(newest.map(Run::network_interfaces).unwrap_or_default()),
            privileged: given.privileged,
            readonly_root_filesystem: given.readonly_root_filesystem,
            reason,
            repository_credentials: given.repository_credentials,
            resource_requirements: given.resource_requirements,
            secrets: given.secrets,
            start_timeout: given.start_timeout,
            stop_timeout: given.stop_timeout,
            ulimits: given.ulimits,
            user: given.user,
        }
    };
    let task = model::EcsTaskDetails {
        container_instance_arn: newest.map(Run::container_instance_arn),
        containers: Some(given.containers.into_iter().zip(templates).map(one).collect()),
        enable_execute_command: given.enable_execute_command,
        ephemeral_storage: given.ephemeral_storage,
        execution_role_arn: given.execution_role_arn,
        ipc_mode: given.ipc_mode,
        network_configuration: given.network_configuration,
        network_mode: given.network_mode,
        pid_mode: given.pid_mode,
        platform_version: given.platform_version,
        runtime_platform: given.runtime_platform,
        task_arn: newest.map(Run::task_arn),
        task_role_arn: given.task_role_arn,
        volumes: given.volumes,
    };
    model::EcsPropertiesDetail { task_properties: Some(vec![task]) }
}

/// One element of `attempts`.
pub(super) fn attempt(view: &View, task: Task<'_>, attempt: &Attempt) -> model::AttemptDetail {
    let run = Run::of(view, attempt);
    let mut detail = model::AttemptDetail {
        started_at: attempt.started_at.map(Timestamp::as_millis),
        status_reason: Some(attempt.status_reason.clone().into()),
        stopped_at: Some(attempt.stopped_at.as_millis()),
        ..Default::default()
    };
    if task.kind == TaskKind::Container {
        let state = task.containers.first().map(|template| run.state_of(template)).unwrap_or_default();
        detail.container = Some(model::AttemptContainerDetail {
            container_instance_arn: Some(run.container_instance_arn()),
            exit_code: state.exit_code,
            log_stream_name: state.log_stream_name,
            network_interfaces: Some(run.network_interfaces()),
            reason: state.reason,
            task_arn: Some(run.task_arn()),
        });
        return detail;
    }
    let one = |template: &ContainerTemplate| {
        let ContainerState { exit_code, reason, log_stream_name } = run.state_of(template);
        model::AttemptTaskContainerDetails {
            exit_code,
            log_stream_name,
            name: Some(template.name().to_owned()),
            network_interfaces: Some(run.network_interfaces()),
            reason,
        }
    };
    detail.task_properties = Some(vec![model::AttemptEcsTaskDetails {
        container_instance_arn: Some(run.container_instance_arn()),
        containers: Some(task.containers.iter().map(one).collect()),
        task_arn: Some(run.task_arn()),
    }]);
    detail
}
