//! `containerProperties`: whether they can run on their platform, and what decisions need of them.
//!
//! Source: AWS Batch API reference, ContainerProperties; AWS Batch User Guide, job definition parameters; texts as observed.

use fornada_core::container::{self, ContainerTemplate, Requirements};
use fornada_model::batch as model;
use model::PlatformCapability::Fargate;

use super::super::container_fields;
use super::super::require::require;
use super::members::{Members, check_fargate_log, check_fargate_only, log_names};
use super::volumes;
use crate::error::WireError;

/// The checked container as it is echoed, and its template.
pub(super) fn container(
    given: model::ContainerProperties,
    platform: model::PlatformCapability,
) -> Result<(model::ContainerProperties, ContainerTemplate), WireError> {
    let requirements = check(&given, platform)?;
    let (log_group, log_stream_prefix) = log_names(given.log_configuration.as_ref());
    let template = ContainerTemplate {
        image: given.image.as_deref().unwrap_or_default().into(),
        command: container_fields::texts(&given.command),
        environment: container_fields::environment(&given.environment)?,
        requirements,
        log_group,
        log_stream_prefix,
        role: None,
        secrets: container_fields::secrets(&given.secrets)?,
        entry_point: None,
    };
    Ok((with_empty_lists(given), template))
}

/// The lists that the service shows even when they were not given.
fn with_empty_lists(container: model::ContainerProperties) -> model::ContainerProperties {
    model::ContainerProperties {
        command: container.command.or(Some(vec![])),
        environment: container.environment.or(Some(vec![])),
        mount_points: container.mount_points.or(Some(vec![])),
        resource_requirements: container.resource_requirements.or(Some(vec![])),
        secrets: container.secrets.or(Some(vec![])),
        ulimits: container.ulimits.or(Some(vec![])),
        volumes: container.volumes.or(Some(vec![])),
        ..container
    }
}

/// Checks all members, and returns what the container asks for.
fn check(
    container: &model::ContainerProperties,
    platform: model::PlatformCapability,
) -> Result<Requirements, WireError> {
    let model::ContainerProperties {
        command: _,
        enable_execute_command: _,
        environment,
        ephemeral_storage,
        execution_role_arn,
        fargate_platform_configuration,
        image,
        instance_type: _,
        job_role_arn,
        linux_parameters,
        log_configuration,
        memory,
        mount_points,
        network_configuration,
        privileged,
        readonly_root_filesystem: _,
        repository_credentials: _,
        resource_requirements,
        runtime_platform: _,
        secrets: _,
        ulimits,
        user,
        vcpus,
        volumes,
    } = container;
    container_fields::check_image(image.as_deref().unwrap_or_default())?;
    container_fields::environment(environment)?;
    let asked = container_fields::requirements(resource_requirements, *vcpus, *memory)?;
    if platform == Fargate {
        require(vcpus.is_none(), "vcpus is not applicable for Fargate.")?;
        require(memory.is_none(), "memory is not applicable for Fargate.")?;
        require(asked.gpus.is_none(), "GPU is not applicable for Fargate.")?;
        log_configuration.as_ref().map_or(Ok(()), |log| check_fargate_log(log, &[]))?;
    }
    let members = Members {
        linux_parameters: linux_parameters.as_ref(),
        log_configuration: log_configuration.as_ref(),
        privileged: *privileged,
        ulimits: ulimits.as_deref().unwrap_or_default(),
        user: user.as_deref(),
    };
    members.check(platform)?;
    let others = [
        ("networkConfiguration", network_configuration.is_some()),
        ("fargatePlatformConfiguration", fargate_platform_configuration.is_some()),
    ];
    check_fargate_only(platform, execution_role_arn.as_deref(), ephemeral_storage.as_ref(), &others)?;
    volumes::check(
        volumes.as_deref().unwrap_or_default(),
        mount_points.iter().flatten(),
        &volumes::Site {
            fargate: platform == Fargate,
            platform_version: fargate_platform_configuration
                .as_ref()
                .and_then(|f| f.platform_version.as_deref()),
            has_job_role: job_role_arn.as_deref().is_some_and(|role| !role.is_empty()),
        },
    )?;
    check_given(&asked)?;
    let resources = container::resources(&asked, None);
    container::check_size(&resources, platform == Fargate)
        .map_err(|size| container_fields::bad_size(size, &resources))?;
    Ok(asked)
}

/// Every container says how much it needs.
pub(super) fn check_given(asked: &Requirements) -> Result<(), WireError> {
    require(asked.milli_vcpus.is_some(), "vCPU is required.")?;
    require(asked.memory_mib.is_some(), "Memory is required.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::PlatformCapability::{Ec2, Fargate};
    use serde_json::{Value, json};

    /// The outcome for `changes` over a container that is good; null removes a member.
    fn outcome(platform: model::PlatformCapability, changes: &Value) -> Result<Requirements, String> {
        let size = |vcpus, memory| json!([{ "type": "VCPU", "value": vcpus }, { "type": "MEMORY", "value": memory }]);
        let mut container = match platform {
            Fargate => json!({ "resourceRequirements": size("0.25", "512"), "executionRoleArn": "r" }),
            _ => json!({ "resourceRequirements": size("1", "64") }),
        };
        container["image"] = json!("busybox");
        for (member, value) in changes.as_object().unwrap() {
            container[member] = value.clone();
        }
        container.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        check(&serde_json::from_value(container).unwrap(), platform).map_err(|error| error.message)
    }

    fn size(vcpus: &str, memory: &str) -> Value {
        json!({ "resourceRequirements":
            [{ "type": "VCPU", "value": vcpus }, { "type": "MEMORY", "value": memory }] })
    }

    fn log(driver: &str, options: &Value) -> Value {
        json!({ "logConfiguration": { "logDriver": driver, "options": options } })
    }

    #[test]
    fn containers_on_ec2() {
        for good in [
            json!({ "image": "public.ecr.aws/a/b:1#x@sha256:0", "privileged": true, "user": "nobody" }),
            json!({ "resourceRequirements": null, "vcpus": 1, "memory": 4 }),
            json!({ "ulimits": [{ "name": "nofile", "softLimit": 1, "hardLimit": 2 }] }),
            json!({ "linuxParameters": { "maxSwap": 0, "swappiness": 60, "devices": [] } }),
            log("awslogs", &json!({ "awslogs-group": "/a/b", "awslogs-stream-prefix": "p" })),
        ] {
            assert!(outcome(Ec2, &good).is_ok(), "{good}");
        }
        let cases = [
            (json!({ "image": null }), "Container image is required."),
            (json!({ "resourceRequirements": null }), "vCPU is required."),
            (json!({ "resourceRequirements": null, "vcpus": 1 }), "Memory is required."),
            (
                json!({ "resourceRequirements": null, "vcpus": 0, "memory": 4 }),
                "vCPU must be at least 1, got 0.",
            ),
            (size("0.5", "64"), "vCPU must be at least 1, got 0.5."),
            (size("1.5", "64"), "vCPU must be a whole number, got 1.5."),
            (size("1", "3"), "Memory must be at least 4 Mib, got 3 Mib."),
            (json!({ "environment": [{ "value": "x" }] }), "Environment variable name is required."),
            (json!({ "networkConfiguration": {} }), "networkConfiguration not applicable for EC2."),
            (
                json!({ "fargatePlatformConfiguration": {} }),
                "fargatePlatformConfiguration not applicable for EC2.",
            ),
            (json!({ "ephemeralStorage": { "sizeInGiB": 30 } }), "ephemeralStorage not applicable for EC2."),
            (json!({ "user": "Root" }), "User 'Root' does not match regex"),
            (
                json!({ "linuxParameters": { "maxSwap": 1 } }),
                "When container specified swap memory, swappiness value is required.",
            ),
            (json!({ "linuxParameters": { "swappiness": 101 } }), "swappiness must be between 0 and 100."),
        ];
        for (changes, want) in cases {
            assert_eq!(outcome(Ec2, &changes), Err(want.into()), "{changes}");
        }
        for bad in [
            json!({ "image": "a b" }),
            json!({ "image": "a".repeat(256) }),
            json!({ "user": "-x" }),
            json!({ "user": "x".repeat(32) }),
            json!({ "ulimits": [{ "name": "files", "softLimit": 1, "hardLimit": 2 }] }),
            log("awslogs", &json!({ "awslogs-group": "a b" })),
            log("awslogs", &json!({ "awslogs-stream-prefix": "a:b" })),
        ] {
            assert!(outcome(Ec2, &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn containers_on_fargate() {
        for good in [
            json!({ "privileged": false, "ulimits": [], "networkConfiguration": { "assignPublicIp": "ENABLED" } }),
            json!({ "linuxParameters": { "initProcessEnabled": true, "devices": [], "tmpfs": [] } }),
            json!({ "ephemeralStorage": { "sizeInGiB": 21 } }),
            log("splunk", &json!({})),
            size("0.5", "3072"),
            size("1", "8192"),
            size("8", "20480"),
            size("16", "40960"),
            size("32", "249856"),
        ] {
            assert!(outcome(Fargate, &good).is_ok(), "{good}");
        }
        let gpu = json!({ "resourceRequirements": [{ "type": "GPU", "value": "1" }] });
        let storage = "Ephemeral storage for Fargate tasks can be only between range 21 GiB to 200 GiB";
        let linux = |parameters: Value| json!({ "linuxParameters": parameters });
        let cases = [
            (gpu, "GPU is not applicable for Fargate."),
            (json!({ "vcpus": 1 }), "vcpus is not applicable for Fargate."),
            (json!({ "memory": 512 }), "memory is not applicable for Fargate."),
            (json!({ "privileged": true }), "privileged is not applicable for Fargate."),
            (json!({ "executionRoleArn": null }), "executionRoleArn is required for Fargate."),
            (
                json!({ "ulimits": [{ "name": "nofile", "softLimit": 1, "hardLimit": 2 }] }),
                "ulimits is not applicable for Fargate.",
            ),
            (
                linux(json!({ "devices": [{ "hostPath": "/dev/x" }] })),
                "linuxParameter.devices is not allowed for Fargate.",
            ),
            (
                linux(json!({ "sharedMemorySize": 1 })),
                "linuxParameter.sharedMemorySize is not allowed for Fargate.",
            ),
            (
                linux(json!({ "tmpfs": [{ "containerPath": "/x", "size": 1 }] })),
                "linuxParameter.tmpfs is not allowed for Fargate.",
            ),
            (linux(json!({ "swappiness": 1 })), "linuxParameter.swappiness is not allowed for Fargate."),
            (
                linux(json!({ "maxSwap": 1, "swappiness": 1 })),
                "linuxParameter.swappiness is not allowed for Fargate.",
            ),
            (log("journald", &json!({})), "Log driver for Fargate is not valid: journald"),
            (json!({ "ephemeralStorage": { "sizeInGiB": 20 } }), storage),
            (json!({ "ephemeralStorage": { "sizeInGiB": 201 } }), storage),
            (size("0.25", "4096"), "Fargate resource requirements (0.25 vCPU, 4096 MiB) not valid."),
            (size("1", "2049"), "Fargate resource requirements (1 vCPU, 2049 MiB) not valid."),
            (size("3", "8192"), "Fargate resource requirements (3 vCPU, 8192 MiB) not valid."),
            (size("8", "17408"), "Fargate resource requirements (8 vCPU, 17408 MiB) not valid."),
        ];
        for (changes, want) in cases {
            assert_eq!(outcome(Fargate, &changes), Err(want.into()), "{changes}");
        }
    }
}
