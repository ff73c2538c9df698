//! What a container of `containerProperties` and one of a task have in common.
//!
//! Source: AWS Batch API reference, ContainerProperties, TaskContainerProperties; AWS Batch User Guide, job definition
//! parameters; texts as observed.

use fornada_core::instance::Architecture;
use fornada_core::text::Text;
use fornada_model::batch as model;
use model::PlatformCapability::Fargate;

use super::super::require::require;
use crate::error::WireError;

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

/// The members, however they were given.
pub(super) struct Members<'a> {
    pub(super) linux_parameters: Option<&'a model::LinuxParameters>,
    pub(super) log_configuration: Option<&'a model::LogConfiguration>,
    pub(super) privileged: Option<bool>,
    pub(super) ulimits: &'a [model::Ulimit],
    pub(super) user: Option<&'a str>,
}

impl Members<'_> {
    /// Checks each, alone and for the platform.
    pub(super) fn check(&self, platform: model::PlatformCapability) -> Result<(), WireError> {
        let Members { linux_parameters, log_configuration, privileged, ulimits, user } = *self;
        user.map_or(Ok(()), check_user)?;
        log_configuration.map_or(Ok(()), check_log)?;
        if platform == Fargate {
            require(ulimits.is_empty(), "ulimits is not applicable for Fargate.")?;
            require(privileged != Some(true), "privileged is not applicable for Fargate.")?;
            return linux_parameters.map_or(Ok(()), check_fargate_linux);
        }
        linux_parameters.map_or(Ok(()), check_swap)?;
        match ulimits.iter().find(|ulimit| !ULIMITS.contains(&ulimit.name.as_str())) {
            None => Ok(()),
            Some(ulimit) => {
                let known = ULIMITS.join(", ");
                Err(WireError::invalid(format!("ulimit {} is not one of [{known}].", ulimit.name)))
            }
        }
    }
}

/// Only Fargate has these to choose, and it needs a role to start with.
pub(super) fn check_fargate_only(
    platform: model::PlatformCapability,
    execution_role_arn: Option<&str>,
    ephemeral_storage: Option<&model::EphemeralStorage>,
    others: &[(&str, bool)],
) -> Result<(), WireError> {
    if platform == Fargate {
        require(
            !execution_role_arn.unwrap_or_default().is_empty(),
            "executionRoleArn is required for Fargate.",
        )?;
        return require(
            ephemeral_storage.is_none_or(|s| EPHEMERAL_STORAGE_GIB.contains(&s.size_in_gib)),
            "Ephemeral storage for Fargate tasks can be only between range 21 GiB to 200 GiB",
        );
    }
    let storage = ephemeral_storage.map(|_| "ephemeralStorage");
    let others = others.iter().filter(|(_, given)| *given).map(|(member, _)| *member);
    match others.chain(storage).next() {
        None => Ok(()),
        Some(member) => Err(WireError::invalid(format!("{member} not applicable for {platform}."))),
    }
}

/// The processors that a container or task can run on; `None` for any.
pub(super) fn architecture(
    platform: Option<&model::RuntimePlatform>,
) -> Result<Option<Architecture>, WireError> {
    match platform.and_then(|platform| platform.cpu_architecture.as_deref()) {
        None => Ok(None),
        Some("X86_64") => Ok(Some(Architecture::X86_64)),
        Some("ARM64") => Ok(Some(Architecture::Arm64)),
        Some(other) => {
            Err(WireError::invalid(format!("cpuArchitecture {other} is not valid. Use X86_64 or ARM64.")))
        }
    }
}

/// Log group and stream prefix, where `awslogs` is told them.
pub(super) fn log_names(log: Option<&model::LogConfiguration>) -> (Option<Text>, Option<Text>) {
    let awslogs = log.filter(|log| log.log_driver == model::LogDriver::Awslogs);
    let options = awslogs.and_then(|log| log.options.as_ref());
    let option = |name| {
        let value = options?.get(name).filter(|value| !value.is_empty())?;
        Some(value.as_str().into())
    };
    (option("awslogs-group"), option("awslogs-stream-prefix"))
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

/// Fargate knows `awslogs`, `splunk`, and those in `others`.
pub(super) fn check_fargate_log(
    log: &model::LogConfiguration,
    others: &[model::LogDriver],
) -> Result<(), WireError> {
    use model::LogDriver::{Awslogs, Splunk};
    match log.log_driver {
        Awslogs | Splunk => Ok(()),
        driver if others.contains(&driver) => Ok(()),
        driver => Err(WireError::invalid(format!("Log driver for Fargate is not valid: {driver}"))),
    }
}
