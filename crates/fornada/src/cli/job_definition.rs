//! Job definitions that commands register for the person.
//!
//! An equal ACTIVE revision is used again, so that a command that is run a thousand times leaves one revision.

use anyhow::Result;
use aws_sdk_batch::types::{
    ContainerProperties, JobDefinitionType, KeyValuePair, ResourceRequirement, ResourceType,
};

use super::api_error;
use super::connect::Clients;

/// The ARN of a revision of `name` that holds exactly `container`; registers one if there is none.
pub(crate) async fn find_or_register(
    aws: &Clients,
    name: &str,
    container: ContainerProperties,
) -> Result<String> {
    let request = aws.batch.describe_job_definitions().job_definition_name(name).status("ACTIVE");
    let mut pages = request.into_paginator().items().send();
    let wanted = normalized(container.clone());
    while let Some(definition) = pages.next().await {
        let definition = definition.map_err(api_error::describe)?;
        // Only what these commands register themselves: no parameters, retries or timeouts of somebody else's.
        let bare = definition.parameters().is_none_or(|parameters| parameters.is_empty())
            && definition.retry_strategy().is_none_or(|retry| {
                retry.attempts().unwrap_or(1) <= 1 && retry.evaluate_on_exit().is_empty()
            })
            && definition.timeout().is_none();
        let equal = definition.container_properties.map(normalized).as_ref() == Some(&wanted);
        if let Some(arn) = definition.job_definition_arn.filter(|_| bare && equal) {
            return Ok(arn);
        }
    }
    let request = aws.batch.register_job_definition().job_definition_name(name);
    let request = request.r#type(JobDefinitionType::Container).container_properties(container);
    let registered = request.send().await.map_err(api_error::describe)?;
    Ok(registered.job_definition_arn.unwrap_or_else(|| name.to_owned()))
}

/// A name that AWS accepts (letters, digits, `-` and `_`, at most 128, beginning with a letter or digit).
pub(crate) fn valid_name(text: &str) -> Option<String> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = text.chars().map(allowed).take(128).collect();
    let name = name.trim_start_matches(['-', '_']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// A resource requirement such as 0.5 VCPU.
pub(crate) fn requirement(kind: ResourceType, value: impl ToString) -> ResourceRequirement {
    ResourceRequirement::builder().r#type(kind).value(value.to_string()).build()
}

/// An environment variable of a container.
pub(crate) fn variable(name: impl Into<String>, value: impl Into<String>) -> KeyValuePair {
    KeyValuePair::builder().name(name).value(value).build()
}

/// Servers add empty lists and default switches to what was registered; those make no difference.
fn normalized(mut container: ContainerProperties) -> ContainerProperties {
    fn drop_empty<T>(list: &mut Option<Vec<T>>) {
        if list.as_ref().is_some_and(Vec::is_empty) {
            *list = None;
        }
    }
    drop_empty(&mut container.command);
    drop_empty(&mut container.volumes);
    drop_empty(&mut container.environment);
    drop_empty(&mut container.mount_points);
    drop_empty(&mut container.ulimits);
    drop_empty(&mut container.resource_requirements);
    drop_empty(&mut container.secrets);
    if let Some(environment) = &mut container.environment {
        environment.sort_by(|a, b| a.name.cmp(&b.name));
    }
    if let Some(requirements) = &mut container.resource_requirements {
        requirements.sort_by(|a, b| a.r#type.cmp(&b.r#type));
    }
    for switch in [
        &mut container.readonly_root_filesystem,
        &mut container.privileged,
        &mut container.enable_execute_command,
    ] {
        *switch = switch.filter(|on| *on);
    }
    container
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_valid() {
        let long = "x".repeat(200);
        let cases = [
            ("run-host", Some("run-host")),
            ("run-ghcr.io/a/b:1", Some("run-ghcr-io-a-b-1")),
            ("__x", Some("x")),
            ("", None),
            ("---", None),
            (long.as_str(), Some(&long[..128])),
        ];
        for (text, want) in cases {
            assert_eq!(valid_name(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn added_defaults_make_no_difference_and_content_does() {
        let ours = || {
            ContainerProperties::builder()
                .image("host")
                .resource_requirements(requirement(ResourceType::Vcpu, 1))
                .resource_requirements(requirement(ResourceType::Memory, 512))
        };
        let theirs = ours()
            .set_command(Some(vec![]))
            .set_volumes(Some(vec![]))
            .set_environment(Some(vec![]))
            .set_mount_points(Some(vec![]))
            .set_ulimits(Some(vec![]))
            .set_secrets(Some(vec![]))
            .privileged(false);
        assert_eq!(normalized(ours().build()), normalized(theirs.build()));

        for other in
            [ours().image("busybox"), ours().privileged(true), ours().command("x"), ours().user("root")]
        {
            assert_ne!(normalized(ours().build()), normalized(other.build()));
        }
    }
}
