//! Whether `containerProperties` can run on their platform.
//!
//! Source: AWS Batch API reference, ContainerProperties; AWS Batch User Guide, job definition parameters; texts as observed.

use fornada_core::container::{self, Requirements};
use fornada_model::batch as model;

use super::super::container_fields;
use super::super::require::require;
use super::volumes;
use crate::error::WireError;

/// Characters of an image reference.
const IMAGE_MAX: usize = 255;
/// Characters of a user name.
const USER_MAX: usize = 31;
const EPHEMERAL_STORAGE_GIB: std::ops::RangeInclusive<i32> = 21..=200;
const SWAPPINESS: std::ops::RangeInclusive<i32> = 0..=100;
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];
/// Characters of a log group's name. Source: Amazon CloudWatch Logs API reference, CreateLogGroup.
const LOG_GROUP_MAX: usize = 512;
/// Leaves room in a stream's 512 characters for what follows the prefix.
const LOG_PREFIX_MAX: usize = 400;

/// Checks all members, and returns what the container asks for.
pub(super) fn check(
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
    check_image(image.as_deref().unwrap_or_default())?;
    container_fields::environment(environment)?;
    if let Some(user) = user {
        check_user(user)?;
    }
    if let Some(linux) = linux_parameters {
        check_swap(linux)?;
    }
    if let Some(log) = log_configuration {
        check_log(log)?;
    }
    let asked = container_fields::requirements(resource_requirements, *vcpus, *memory)?;
    let ulimits = ulimits.as_deref().unwrap_or_default();
    let platform_version =
        fargate_platform_configuration.as_ref().and_then(|platform| platform.platform_version.as_deref());
    if platform == model::PlatformCapability::Fargate {
        require(vcpus.is_none(), "vcpus is not applicable for Fargate.")?;
        require(memory.is_none(), "memory is not applicable for Fargate.")?;
        require(asked.gpus.is_none(), "GPU is not applicable for Fargate.")?;
        require(ulimits.is_empty(), "ulimits is not applicable for Fargate.")?;
        require(*privileged != Some(true), "privileged is not applicable for Fargate.")?;
        let role = execution_role_arn.as_deref().unwrap_or_default();
        require(!role.is_empty(), "executionRoleArn is required for Fargate.")?;
        linux_parameters.as_ref().map_or(Ok(()), check_fargate_linux)?;
        log_configuration.as_ref().map_or(Ok(()), check_fargate_log)?;
        require(
            ephemeral_storage.as_ref().is_none_or(|s| EPHEMERAL_STORAGE_GIB.contains(&s.size_in_gib)),
            "Ephemeral storage for Fargate tasks can be only between range 21 GiB to 200 GiB",
        )?;
    } else {
        require(network_configuration.is_none(), "networkConfiguration not applicable for EC2.")?;
        require(
            fargate_platform_configuration.is_none(),
            "fargatePlatformConfiguration not applicable for EC2.",
        )?;
        require(ephemeral_storage.is_none(), "ephemeralStorage not applicable for EC2.")?;
        if let Some(ulimit) = ulimits.iter().find(|ulimit| !ULIMITS.contains(&ulimit.name.as_str())) {
            let known = ULIMITS.join(", ");
            return Err(WireError::invalid(format!("ulimit {} is not one of [{known}].", ulimit.name)));
        }
    }
    volumes::check(
        volumes.as_deref().unwrap_or_default(),
        mount_points.as_deref().unwrap_or_default(),
        &volumes::Site {
            fargate: platform == model::PlatformCapability::Fargate,
            platform_version,
            has_job_role: job_role_arn.as_deref().is_some_and(|role| !role.is_empty()),
        },
    )?;
    check_size(&asked, platform)?;
    Ok(asked)
}

fn check_image(image: &str) -> Result<(), WireError> {
    require(!image.is_empty(), "Container image is required.")?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_:./#@".contains(&b);
    require(
        image.len() <= IMAGE_MAX && image.bytes().all(allowed),
        "Container image can have up to 255 letters, digits, hyphens, underscores, colons, periods, slashes, number \
         and at signs.",
    )
}

fn check_user(user: &str) -> Result<(), WireError> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if !(1..=USER_MAX).contains(&user.len()) || !user.bytes().all(word) || user.starts_with('-') {
        return Err(WireError::invalid(format!("User '{user}' does not match regex")));
    }
    Ok(())
}

fn check_swap(linux: &model::LinuxParameters) -> Result<(), WireError> {
    let model::LinuxParameters { max_swap, swappiness, .. } = linux;
    require(
        max_swap.is_none() || swappiness.is_some(),
        "When container specified swap memory, swappiness value is required.",
    )?;
    require(max_swap.is_none_or(|mib| mib >= 0), "maxSwap must be at least 0.")?;
    require(swappiness.is_none_or(|n| SWAPPINESS.contains(&n)), "swappiness must be between 0 and 100.")
}

/// The names become those of log groups and streams.
fn check_log(log: &model::LogConfiguration) -> Result<(), WireError> {
    if log.log_driver != model::LogDriver::Awslogs {
        return Ok(());
    }
    let option = |name| log.options.as_ref().and_then(|options| options.get(name)).map_or("", String::as_str);
    let group_word = |b: u8| b.is_ascii_alphanumeric() || b".-_/#".contains(&b);
    let group = option("awslogs-group");
    require(
        group.len() <= LOG_GROUP_MAX && group.bytes().all(group_word),
        "awslogs-group can have up to 512 letters, digits, periods, hyphens, underscores, slashes and number signs.",
    )?;
    let prefix = option("awslogs-stream-prefix");
    require(
        prefix.chars().count() <= LOG_PREFIX_MAX && !prefix.contains([':', '*']),
        "awslogs-stream-prefix can have up to 400 characters, without colons and asterisks.",
    )
}

fn check_fargate_linux(linux: &model::LinuxParameters) -> Result<(), WireError> {
    let model::LinuxParameters {
        devices,
        init_process_enabled: _,
        max_swap,
        shared_memory_size,
        swappiness,
        tmpfs,
    } = linux;
    let given = [
        ("devices", devices.as_ref().is_some_and(|devices| !devices.is_empty())),
        ("sharedMemorySize", shared_memory_size.is_some()),
        ("tmpfs", tmpfs.as_ref().is_some_and(|tmpfs| !tmpfs.is_empty())),
        ("swappiness", swappiness.is_some()),
        ("maxSwap", max_swap.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((member, _)) => {
            Err(WireError::invalid(format!("linuxParameter.{member} is not allowed for Fargate.")))
        }
    }
}

fn check_fargate_log(log: &model::LogConfiguration) -> Result<(), WireError> {
    match log.log_driver {
        model::LogDriver::Awslogs | model::LogDriver::Splunk => Ok(()),
        driver => Err(WireError::invalid(format!("Log driver for Fargate is not valid: {driver}"))),
    }
}

fn check_size(asked: &Requirements, platform: model::PlatformCapability) -> Result<(), WireError> {
    require(asked.milli_vcpus.is_some(), "vCPU is required.")?;
    require(asked.memory_mib.is_some(), "Memory is required.")?;
    let resources = container::resources(asked, None);
    let fargate = platform == model::PlatformCapability::Fargate;
    container::check_size(&resources, fargate).map_err(|size| container_fields::bad_size(size, &resources))
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
