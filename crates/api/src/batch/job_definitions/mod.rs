//! RegisterJobDefinition, DescribeJobDefinitions, DeregisterJobDefinition.
//!
//! What must hold: a revision is described exactly as it was registered, in the same order and without added defaults, but
//! with the empty lists and maps that the service shows; tools compare it member by member.
//!
//! Source: AWS Batch API reference, the three operations.

mod container;
mod describe;
mod ecs;
mod eks;
mod members;
mod nodes;
mod payload;
mod pod;
mod volumes;

use std::collections::BTreeMap;

use fornada_core::arn::Scope;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::text::{Document, Text};
use fornada_core::time::Timestamp;
use fornada_model::batch as model;
use model::PlatformCapability::{Fargate, ManagedInstances};

use super::consumable_resources::consumables;
use super::names::is_name;
use super::require::require;
use super::{retry_strategy, submit_job, tags};
use crate::app::Call;
use crate::error::WireError;
use crate::limits::Limits;

pub(super) use describe::describe;
use payload::Payload;

const KIND: &str = "job-definition";

pub(super) async fn register(
    call: &Call,
    request: model::RegisterJobDefinitionRequest,
) -> Result<model::RegisterJobDefinitionResponse, WireError> {
    let name = request.job_definition_name.clone();
    let definition = definition(&call.scope, request, &call.app.limits)?;
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
pub(crate) fn definition(
    scope: &Scope,
    request: model::RegisterJobDefinitionRequest,
    limits: &Limits,
) -> Result<JobDefinition, WireError> {
    let model::RegisterJobDefinitionRequest {
        consumable_resource_properties,
        container_properties,
        ecs_properties,
        eks_properties,
        job_definition_name: name,
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
    require(is_name(&name), "Job Definition name should match a valid pattern.")?;
    let platform = payload::platform(platform_capabilities.as_deref().unwrap_or_default())?;
    let given = payload::Given { container_properties, ecs_properties, eks_properties, node_properties };
    let Payload { container, container_properties, task, nodes, architecture, echo } =
        given.read(scope, r#type, platform, limits)?;
    let is_eks = echo.container_orchestration_type == Some(model::OrchestrationType::Eks);
    require(!(is_eks && propagate_tags == Some(true)), "Batch on EKS does not support tag propagation.")?;
    let retry = retry_strategy.as_ref().map(retry_strategy::from_wire).transpose()?;
    let timeout_seconds =
        timeout.as_ref().map(|timeout| submit_job::timeout_seconds(timeout, limits)).transpose()?.flatten();
    let priority = scheduling_priority.map(submit_job::scheduling_priority).transpose()?;
    let tags = tags::checked(tags)?;
    let consumables = consumables(scope, consumable_resource_properties.clone())?;
    require(
        nodes.is_none() || consumables.as_deref().is_none_or(<[_]>::is_empty),
        "A multinode job describes its consumable resources in nodeProperties only.",
    )?;
    let text_map = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
    };
    let legacy = |container: &model::ContainerProperties| container.vcpus.or(container.memory).is_some();
    let ranges = echo.node_properties.iter().flat_map(|nodes| &nodes.node_range_properties);
    let mut containers =
        echo.container_properties.iter().chain(ranges.filter_map(|range| range.container.as_ref()));
    let legacy_requirements = containers.any(legacy);
    let detail = model::JobDefinition {
        consumable_resource_properties,
        parameters: Some(parameters.unwrap_or_default()),
        platform_capabilities,
        propagate_tags,
        retry_strategy: retry.as_ref().map(retry_strategy::to_wire),
        scheduling_priority,
        timeout,
        r#type: r#type.to_string(),
        ..echo
    };
    Ok(JobDefinition {
        arn: Text::default(),
        revision: 0,
        active: true,
        container,
        parameters: detail.parameters.as_ref().map(text_map).unwrap_or_default(),
        retry,
        timeout_seconds,
        propagate_tags,
        scheduling_priority: priority,
        fargate: platform == Fargate,
        legacy_requirements,
        tags,
        document: document(&detail)?,
        created_at: Timestamp::default(),
        container_properties,
        task,
        nodes,
        consumables,
        managed_instances: (platform == ManagedInstances).then_some(true),
        architecture,
    })
}

fn document(value: &impl serde::Serialize) -> Result<Document, WireError> {
    Ok(Document::new(serde_json::to_string(value).map_err(WireError::server)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fornada_core::container::{ContainerTemplate, Requirements};
    use serde_json::{Value, json};

    fn registered(request: Value) -> Result<JobDefinition, String> {
        let mut whole = json!({ "jobDefinitionName": "d", "type": "container" });
        whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let definition = definition(&scope, serde_json::from_value(whole).unwrap(), &Limits::default());
        definition.map_err(|error| error.message)
    }

    #[test]
    fn what_decisions_need_is_taken_out_and_everything_is_echoed() {
        let container = json!({ "image": "busybox", "vcpus": 2, "memory": 64, "command": ["echo", "Ref::x"],
            "environment": [{ "name": "B", "value": "1" }, { "name": "A" }], "ulimits": [],
            "secrets": [{ "name": "S", "valueFrom": "/a/secret" }],
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
            secrets: Some(vec![("S".into(), "/a/secret".into())]),
            ..ContainerTemplate::default()
        };
        assert_eq!(definition.container, Some(template));
        assert!(definition.legacy_requirements && !definition.fargate);
        assert_eq!((definition.timeout_seconds, definition.scheduling_priority), (Some(60), Some(7)));

        let mut want = container.clone();
        for list in ["mountPoints", "resourceRequirements", "volumes"] {
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

    const NEEDS: &str = r#"[{ "type": "VCPU", "value": "1" }, { "type": "MEMORY", "value": "64" }]"#;

    fn needs() -> Value {
        serde_json::from_str(NEEDS).unwrap()
    }

    #[test]
    fn registrations_that_are_refused() {
        let container = json!({ "image": "busybox", "vcpus": 1, "memory": 64 });
        let with = |member: &str, value: Value| json!({ "containerProperties": container, member: value });
        let range = json!({ "targetNodes": "0:", "container": container });
        let nodes = json!({ "mainNode": 0, "numNodes": 1, "nodeRangeProperties": [range] });
        let task = json!({ "taskProperties": [{ "containers": [{ "image": "x", "resourceRequirements": needs() }] }] });
        let limits = json!({ "cpu": "1", "memory": "64Mi" });
        let pod = json!({ "podProperties": { "containers": [{ "image": "x", "resources": { "limits": limits } }] } });
        let multinode = |member: &str, value: Value| json!({ "type": "multinode", "nodeProperties": nodes, member: value });
        let cases = [
            (json!({}), "Container properties of container job is required."),
            (json!({ "type": "multinode" }), "Node properties of multinode job is required."),
            (
                multinode("containerProperties", container.clone()),
                "A multinode job describes its containers in nodeProperties only.",
            ),
            (with("nodeProperties", nodes.clone()), "nodeProperties can only be used for type multinode."),
            (with("ecsProperties", task), "Cannot use both ECS containerProperties and ecsProperties"),
            (
                with("eksProperties", pod.clone()),
                "Cannot use eksProperties with ECS containerProperties or ecsProperties",
            ),
            (
                json!({ "eksProperties": pod, "propagateTags": true }),
                "Batch on EKS does not support tag propagation.",
            ),
            (
                json!({ "eksProperties": pod, "platformCapabilities": ["FARGATE"] }),
                "eksProperties can only be used with platform capability EC2.",
            ),
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
                multinode("platformCapabilities", json!(["MANAGED_INSTANCES"])),
                "MANAGED_INSTANCES does not support MNP jobs",
            ),
            (multinode("platformCapabilities", json!(["FARGATE"])), "FARGATE does not support MNP jobs"),
            (
                multinode(
                    "consumableResourceProperties",
                    json!({ "consumableResourceList": [{ "consumableResource": "licence", "quantity": 1 }] }),
                ),
                "A multinode job describes its consumable resources in nodeProperties only.",
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
    fn processors_are_those_of_the_runtime_platform() {
        use fornada_core::instance::Architecture::{Arm64, X86_64};
        let of = |runtime: Value| {
            let mut container = json!({ "image": "busybox", "resourceRequirements": needs() });
            if !runtime.is_null() {
                container["runtimePlatform"] = runtime;
            }
            let mut task = container.clone();
            if let Some(runtime) = task.as_object_mut().unwrap().remove("runtimePlatform") {
                task = json!({ "containers": [task], "runtimePlatform": runtime });
            } else {
                task = json!({ "containers": [task] });
            }
            let alone = registered(json!({ "containerProperties": container }));
            let in_task = registered(json!({ "ecsProperties": { "taskProperties": [task] } }));
            let architecture = alone.map(|definition| definition.architecture);
            assert_eq!(in_task.map(|definition| definition.architecture), architecture);
            architecture
        };
        assert_eq!(of(Value::Null), Ok(None));
        assert_eq!(of(json!({ "operatingSystemFamily": "LINUX" })), Ok(None));
        assert_eq!(of(json!({ "cpuArchitecture": "X86_64" })), Ok(Some(X86_64)));
        assert_eq!(of(json!({ "cpuArchitecture": "ARM64" })), Ok(Some(Arm64)));
        let refused = of(json!({ "cpuArchitecture": "arm64" })).unwrap_err();
        assert_eq!(refused, "cpuArchitecture arm64 is not valid. Use X86_64 or ARM64.");
    }

    #[test]
    fn each_kind_becomes_what_runs_and_an_echo_of_its_own() {
        let task = json!({ "containers": [{ "image": "x", "resourceRequirements": needs() }] });
        let ecs = json!({ "ecsProperties": { "taskProperties": [task] } });
        let managed = json!({ "ecsProperties": { "taskProperties": [task] },
            "platformCapabilities": ["MANAGED_INSTANCES"] });
        let limits = json!({ "cpu": "0.5", "memory": "64Mi" });
        let pod = json!({ "containers": [{ "image": "x", "resources": { "limits": limits } }] });
        let eks = json!({ "eksProperties": { "podProperties": pod } });
        let container = json!({ "image": "x", "vcpus": 1, "memory": 4 });
        let nodes = |payload: (&str, Value)| {
            let range = json!({ "targetNodes": "0:1", payload.0: payload.1 });
            json!({ "type": "multinode",
                "nodeProperties": { "mainNode": 0, "numNodes": 2, "nodeRangeProperties": [range] } })
        };
        for (request, member, orchestration, capability, legacy) in [
            (ecs.clone(), "ecsProperties", "ECS", "EC2", false),
            (managed, "ecsProperties", "ECS", "MANAGED_INSTANCES", false),
            (eks.clone(), "eksProperties", "EKS", "EKS", false),
            (nodes(("container", container)), "nodeProperties", "ECS", "EC2", true),
            (nodes(("ecsProperties", ecs["ecsProperties"].clone())), "nodeProperties", "ECS", "EC2", false),
            (nodes(("eksProperties", eks["eksProperties"].clone())), "nodeProperties", "EKS", "EKS", false),
        ] {
            let definition = registered(request.clone()).unwrap();
            let echo: Value = serde_json::from_str(definition.document.as_str()).unwrap();
            assert_eq!(echo["containerOrchestrationType"], orchestration, "{request}");
            assert_eq!(definition.capability(), capability, "{request}");
            assert_eq!(definition.legacy_requirements, legacy, "{request}");
            assert_eq!(definition.task().is_none(), member == "nodeProperties", "{request}");
            assert!(echo[member].is_object() && definition.container.is_none(), "{request}");
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
