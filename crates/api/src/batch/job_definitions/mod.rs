//! RegisterJobDefinition, DescribeJobDefinitions, DeregisterJobDefinition.
//!
//! What must hold: a revision is described exactly as it was registered, in the same order and without added defaults, but
//! with the empty lists and maps that the service shows; tools compare it member by member.
//!
//! Source: AWS Batch API reference, the three operations.

mod describe;
mod validate;
mod volumes;

use std::collections::BTreeMap;

use fornada_core::arn::Scope;
use fornada_core::container::{ContainerTemplate, Requirements};
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::text::{Document, Text};
use fornada_core::time::Timestamp;
use fornada_model::batch as model;

use super::consumable_resources::consumables;
use super::names::is_name;
use super::require::require;
use super::{container_fields, retry_strategy, submit_job, tags};
use crate::app::Call;
use crate::error::WireError;

pub(super) use describe::describe;

const KIND: &str = "job-definition";

pub(super) async fn register(
    call: &Call,
    request: model::RegisterJobDefinitionRequest,
) -> Result<model::RegisterJobDefinitionResponse, WireError> {
    let name = request.job_definition_name.clone();
    require(is_name(&name), "Job Definition name should match a valid pattern.")?;
    let definition = definition(&call.scope, request)?;
    let (scope, family) = (call.scope.clone(), name.clone());
    let registered =
        call.app.engine.decide(move |turn| turn.register_job_definition(&scope, &family, definition)).await?;
    Ok(model::RegisterJobDefinitionResponse {
        job_definition_arn: registered.arn.clone().into(),
        job_definition_name: name,
        revision: wire_revision(registered.revision),
    })
}

pub(super) async fn deregister(
    call: &Call,
    request: model::DeregisterJobDefinitionRequest,
) -> Result<model::DeregisterJobDefinitionResponse, WireError> {
    let model::DeregisterJobDefinitionRequest { job_definition: name } = request;
    require(
        has_revision(&name),
        "A job definition is deregistered by revision: give name:revision or its ARN.",
    )?;
    let scope = call.scope.clone();
    call.app.engine.decide(move |turn| turn.deregister_job_definition(&scope, &name)).await??;
    Ok(model::DeregisterJobDefinitionResponse {})
}

/// Whether `name`, possibly an ARN, ends in `:{revision}`.
fn has_revision(name: &str) -> bool {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    last.rsplit_once(':').is_some_and(|(_, revision)| revision.parse::<u32>().is_ok())
}

/// Far from overflowing: revisions count registrations of one name.
fn wire_revision(revision: u32) -> i32 {
    i32::try_from(revision).unwrap_or(i32::MAX)
}

/// The checked record, without what the engine sets.
fn definition(
    scope: &Scope,
    request: model::RegisterJobDefinitionRequest,
) -> Result<JobDefinition, WireError> {
    let model::RegisterJobDefinitionRequest {
        consumable_resource_properties,
        container_properties,
        ecs_properties,
        eks_properties,
        job_definition_name: _,
        node_properties,
        parameters,
        platform_capabilities,
        propagate_tags,
        retry_strategy,
        scheduling_priority,
        tags,
        timeout,
        r#type,
    } = request;
    if r#type == model::JobDefinitionType::Multinode {
        require(node_properties.is_some(), "Node properties of multinode job is required.")?;
    }
    require(
        !(container_properties.is_some() && ecs_properties.is_some()),
        "Cannot use both ECS containerProperties and ecsProperties",
    )?;
    let unsupported = [
        ("ecsProperties", ecs_properties.is_some()),
        ("eksProperties", eks_properties.is_some()),
        ("nodeProperties", node_properties.is_some()),
    ];
    if let Some((member, _)) = unsupported.iter().find(|(_, given)| *given) {
        return Err(WireError::invalid(format!("{member} is not supported by Fornada yet.")));
    }
    let container = container_properties
        .ok_or_else(|| WireError::invalid("Container properties of container job is required."))?;
    let platform = platform(platform_capabilities.as_deref().unwrap_or_default())?;
    let requirements = validate::check(&container, platform)?;
    let retry = retry_strategy.as_ref().map(retry_strategy::from_wire).transpose()?;
    let timeout_seconds = timeout.as_ref().map(submit_job::timeout_seconds).transpose()?.flatten();
    let priority = scheduling_priority.map(submit_job::scheduling_priority).transpose()?;
    let tags = tags::checked(tags)?;
    let consumables = consumables(scope, consumable_resource_properties.clone())?;
    let text_map = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
    };
    let echoed = with_empty_lists(container);
    let detail = model::JobDefinition {
        consumable_resource_properties,
        container_orchestration_type: Some(model::OrchestrationType::Ecs),
        container_properties: Some(echoed.clone()),
        parameters: Some(parameters.unwrap_or_default()),
        platform_capabilities,
        propagate_tags,
        retry_strategy: retry.as_ref().map(retry_strategy::to_wire),
        scheduling_priority,
        timeout,
        r#type: r#type.to_string(),
        ..Default::default()
    };
    Ok(JobDefinition {
        arn: Text::default(),
        revision: 0,
        active: true,
        container: template(&echoed, requirements)?,
        parameters: detail.parameters.as_ref().map(text_map).unwrap_or_default(),
        retry,
        timeout_seconds,
        propagate_tags,
        scheduling_priority: priority,
        fargate: platform == model::PlatformCapability::Fargate,
        legacy_requirements: echoed.vcpus.is_some() || echoed.memory.is_some(),
        tags,
        document: document(&detail)?,
        created_at: Timestamp::default(),
        container_properties: document(&echoed)?,
        consumables,
    })
}

fn document(value: &impl serde::Serialize) -> Result<Document, WireError> {
    Ok(Document::new(serde_json::to_string(value).map_err(WireError::server)?))
}

/// The one platform that the container is for.
fn platform(given: &[model::PlatformCapability]) -> Result<model::PlatformCapability, WireError> {
    use model::PlatformCapability::{Ec2, Fargate, ManagedInstances};
    match given {
        [] | [Ec2] => Ok(Ec2),
        [Fargate] => Ok(Fargate),
        [ManagedInstances] => {
            Err(WireError::invalid("Cannot use ECS containerProperties for MANAGED_INSTANCES"))
        }
        _ => Err(WireError::invalid("A job definition can have one platformCapabilities value only.")),
    }
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

/// The members that decisions depend on.
fn template(
    container: &model::ContainerProperties,
    requirements: Requirements,
) -> Result<ContainerTemplate, WireError> {
    let awslogs =
        container.log_configuration.as_ref().filter(|log| log.log_driver == model::LogDriver::Awslogs);
    let options = awslogs.and_then(|log| log.options.as_ref());
    let option = |name| options.and_then(|options| options.get(name)).filter(|value| !value.is_empty());
    Ok(ContainerTemplate {
        image: container.image.as_deref().unwrap_or_default().into(),
        command: container.command.iter().flatten().map(|element| element.as_str().into()).collect(),
        environment: container_fields::environment(&container.environment)?,
        requirements,
        log_group: option("awslogs-group").map(|group| group.as_str().into()),
        log_stream_prefix: option("awslogs-stream-prefix").map(|prefix| prefix.as_str().into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn registered(request: Value) -> Result<JobDefinition, String> {
        let mut whole = json!({ "jobDefinitionName": "d", "type": "container" });
        whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        definition(&scope, serde_json::from_value(whole).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn what_decisions_need_is_taken_out_and_everything_is_echoed() {
        let container = json!({ "image": "busybox", "vcpus": 2, "memory": 64, "command": ["echo", "Ref::x"],
            "environment": [{ "name": "B", "value": "1" }, { "name": "A" }], "ulimits": [],
            "logConfiguration": { "logDriver": "awslogs",
                "options": { "awslogs-group": "g", "awslogs-stream-prefix": "p" } } });
        let rule = json!({ "action": "RETRY", "onReason": "*" });
        let definition = registered(json!({ "containerProperties": container, "parameters": { "x": "y" },
            "retryStrategy": { "attempts": 3, "evaluateOnExit": [rule] }, "schedulingPriority": 7,
            "timeout": { "attemptDurationSeconds": 60 } }))
        .unwrap();
        let template = ContainerTemplate {
            image: "busybox".into(),
            command: vec!["echo".into(), "Ref::x".into()],
            environment: vec![("B".into(), "1".into()), ("A".into(), "".into())],
            requirements: Requirements { milli_vcpus: Some(2000), memory_mib: Some(64), gpus: None },
            log_group: Some("g".into()),
            log_stream_prefix: Some("p".into()),
        };
        assert_eq!(definition.container, template);
        assert!(definition.legacy_requirements && !definition.fargate);
        assert_eq!((definition.timeout_seconds, definition.scheduling_priority), (Some(60), Some(7)));

        let mut want = container.clone();
        for list in ["mountPoints", "resourceRequirements", "secrets", "volumes"] {
            want[list] = json!([]);
        }
        let stored: Value = serde_json::from_str(definition.document.as_str()).unwrap();
        let alone: Value = serde_json::from_str(definition.container_properties.as_str()).unwrap();
        assert_eq!((&stored["containerProperties"], &alone), (&want, &want));
        assert_eq!(stored["retryStrategy"]["evaluateOnExit"][0]["action"], "retry");
        assert_eq!(stored["containerOrchestrationType"], "ECS");
        assert_eq!(stored["type"], "container");
        assert!(stored.get("platformCapabilities").is_none(), "no added defaults");
    }

    #[test]
    fn registrations_that_are_refused() {
        let container = json!({ "image": "busybox", "vcpus": 1, "memory": 64 });
        let with = |member: &str, value: Value| json!({ "containerProperties": container, member: value });
        let cases = [
            (json!({}), "Container properties of container job is required."),
            (json!({ "type": "multinode" }), "Node properties of multinode job is required."),
            (
                json!({ "type": "multinode",
                    "nodeProperties": { "mainNode": 0, "numNodes": 1, "nodeRangeProperties": [] } }),
                "nodeProperties is not supported by Fornada yet.",
            ),
            (
                with("ecsProperties", json!({ "taskProperties": [] })),
                "Cannot use both ECS containerProperties and ecsProperties",
            ),
            (
                json!({ "ecsProperties": { "taskProperties": [] } }),
                "ecsProperties is not supported by Fornada yet.",
            ),
            (json!({ "eksProperties": {} }), "eksProperties is not supported by Fornada yet."),
            (
                with(
                    "consumableResourceProperties",
                    json!({ "consumableResourceList": [{ "consumableResource": "licence", "quantity": -1 }] }),
                ),
                "quantity cannot be a negative number.",
            ),
            (
                with("platformCapabilities", json!(["MANAGED_INSTANCES"])),
                "Cannot use ECS containerProperties for MANAGED_INSTANCES",
            ),
            (
                with("platformCapabilities", json!(["EC2", "FARGATE"])),
                "A job definition can have one platformCapabilities value only.",
            ),
            (with("retryStrategy", json!({})), "RetryAttempts must be provided with retry strategy."),
        ];
        for (request, want) in cases {
            assert_eq!(registered(request.clone()).map(drop), Err(want.into()), "{request}");
        }
        for request in [
            with("timeout", json!({ "attemptDurationSeconds": 59 })),
            with("schedulingPriority", json!(10_000)),
            with("tags", json!({ "aws:x": "y" })),
        ] {
            assert!(registered(request.clone()).is_err(), "{request}");
        }
    }

    #[test]
    fn only_revisions_can_be_deregistered() {
        for good in ["d:1", "arn:aws:batch:eu-west-1:000000000000:job-definition/d:12"] {
            assert!(has_revision(good), "{good}");
        }
        for bad in ["d", "d:", "d:x", "arn:aws:batch:eu-west-1:000000000000:job-definition/d"] {
            assert!(!has_revision(bad), "{bad}");
        }
    }
}
