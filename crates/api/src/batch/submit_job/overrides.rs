//! What a submission changes of the containers of its definition.
//!
//! Source: AWS Batch API reference, ContainerOverrides, EcsPropertiesOverride, EksPropertiesOverride, NodeOverrides.

use std::collections::BTreeSet;

use fornada_core::arn::Scope;
use fornada_core::container::ContainerOverrides;
use fornada_core::job::workload::{NodeOverrides, Overrides, RangeOverrides};
use fornada_core::text::{Document, Text};
use fornada_model::batch as model;

use super::super::consumable_resources::consumables;
use super::super::require::require;
use super::super::{container_fields, eks_resources};
use crate::error::WireError;

/// Characters of the overrides that AWS Batch can hand to Amazon ECS.
const RENDERED_MAX: usize = 8192;
const TOO_LONG: &str = "Container Overrides length must be at most 8192";

/// The overrides of a request. At most one member has a say; one that changes nothing counts as not given.
pub(super) struct Given {
    pub(super) container: Option<model::ContainerOverrides>,
    pub(super) ecs: Option<model::EcsPropertiesOverride>,
    pub(super) eks: Option<model::EksPropertiesOverride>,
    pub(super) nodes: Option<model::NodeOverrides>,
}

/// What becomes of them.
pub(super) struct Read {
    pub(super) overrides: Overrides,
    /// The older `vcpus` or `memory` is among them.
    pub(super) legacy: bool,
    /// As JSON, where the echo shows more than decisions need.
    pub(super) document: Option<Document>,
    /// Why AWS Batch accepts the job and fails it.
    pub(super) too_long: Option<Text>,
}

impl Given {
    pub(super) fn read(self, scope: &Scope) -> Result<Read, WireError> {
        let Given { container, ecs, eks, nodes } = self;
        let container = container.filter(|given| *given != model::ContainerOverrides::default());
        let ecs = ecs.filter(|given| *given != model::EcsPropertiesOverride::default());
        let eks = eks.filter(|given| *given != model::EksPropertiesOverride::default());
        let nodes = nodes.filter(|given| *given != model::NodeOverrides::default());
        let given = [container.is_some(), ecs.is_some(), eks.is_some(), nodes.is_some()];
        require(
            given.into_iter().filter(|given| *given).count() <= 1,
            "Only one of containerOverrides, ecsPropertiesOverride, eksPropertiesOverride and nodeOverrides can be used.",
        )?;
        let legacy = container
            .iter()
            .chain(nodes.iter().flat_map(container_overrides))
            .any(|given| given.vcpus.is_some() || given.memory.is_some());
        let too_long = match (&container, &ecs) {
            (Some(given), _) => is_too_long(given)?,
            (_, Some(given)) => is_too_long(given)?,
            (None, None) => false,
        };
        let document = match (&eks, &nodes) {
            (Some(given), _) => Some(document(given)?),
            (_, Some(given)) => Some(document(given)?),
            (None, None) => None,
        };
        let overrides = match (container, ecs, eks, nodes) {
            (Some(given), ..) => Overrides::Container(of_container(given)?),
            (_, Some(given), ..) => Overrides::Ecs(of_task(given)?),
            (.., Some(given), _) => Overrides::Eks(of_pod(given)?),
            (.., Some(given)) => Overrides::Nodes(of_nodes(scope, given)?),
            (None, None, None, None) => Overrides::None,
        };
        Ok(Read { overrides, legacy, document, too_long: too_long.then(|| TOO_LONG.into()) })
    }
}

fn document(given: &impl serde::Serialize) -> Result<Document, WireError> {
    Ok(Document::new(serde_json::to_string(given).map_err(WireError::server)?))
}

fn is_too_long(given: &impl serde::Serialize) -> Result<bool, WireError> {
    Ok(document(given)?.as_str().len() > RENDERED_MAX)
}

fn container_overrides(nodes: &model::NodeOverrides) -> impl Iterator<Item = &model::ContainerOverrides> {
    nodes.node_property_overrides.iter().flatten().filter_map(|range| range.container_overrides.as_ref())
}

fn of_container(given: model::ContainerOverrides) -> Result<ContainerOverrides, WireError> {
    let model::ContainerOverrides {
        command,
        environment,
        instance_type,
        memory,
        resource_requirements,
        vcpus,
    } = given;
    Ok(ContainerOverrides {
        command: container_fields::command_override(&command)?,
        environment: container_fields::environment(&environment)?,
        requirements: container_fields::requirements(&resource_requirements, vcpus, memory)?,
        instance_type: instance_type.map(Text::from),
        ..ContainerOverrides::default()
    })
}

fn of_task(given: model::EcsPropertiesOverride) -> Result<Vec<ContainerOverrides>, WireError> {
    let mut tasks = given.task_properties.unwrap_or_default();
    require(tasks.len() <= 1, "taskProperties of ecsPropertiesOverride can have at most one element.")?;
    let containers = tasks.pop().and_then(|task| task.containers).unwrap_or_default();
    let container = |given: model::TaskContainerOverrides| {
        let model::TaskContainerOverrides { command, environment, name, resource_requirements } = given;
        Ok(ContainerOverrides {
            command: container_fields::command_override(&command)?,
            environment: container_fields::environment(&environment)?,
            requirements: container_fields::requirements(&resource_requirements, None, None)?,
            name: name.map(Text::from),
            ..ContainerOverrides::default()
        })
    };
    unique(containers.into_iter().map(container).collect::<Result<_, WireError>>()?)
}

fn of_pod(given: model::EksPropertiesOverride) -> Result<Vec<ContainerOverrides>, WireError> {
    let model::EksPodPropertiesOverride { containers, init_containers, metadata: _ } =
        given.pod_properties.unwrap_or_default();
    let container = |given: model::EksContainerOverride| {
        let model::EksContainerOverride { args, command, env, image, name, resources } = given;
        image.as_deref().map_or(Ok(()), container_fields::check_image)?;
        Ok(ContainerOverrides {
            command: container_fields::command_override(&args)?,
            environment: container_fields::environment(&eks_resources::variables(&env))?,
            requirements: eks_resources::requirements(resources.as_ref())?,
            name: name.map(Text::from),
            image: image.map(Text::from),
            entry_point: container_fields::command_override(&command)?,
            ..ContainerOverrides::default()
        })
    };
    let all = init_containers.into_iter().chain(containers).flatten();
    unique(all.map(container).collect::<Result<_, WireError>>()?)
}

/// Two overrides of one container would contradict each other.
fn unique(overrides: Vec<ContainerOverrides>) -> Result<Vec<ContainerOverrides>, WireError> {
    let mut names = BTreeSet::new();
    for ContainerOverrides { name, .. } in &overrides {
        let name = name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            return Err(WireError::invalid(format!("The container {name} is overridden more than once.")));
        }
    }
    Ok(overrides)
}

fn of_nodes(scope: &Scope, given: model::NodeOverrides) -> Result<NodeOverrides, WireError> {
    let model::NodeOverrides { node_property_overrides, num_nodes } = given;
    let num_nodes = num_nodes.map(|count| u32::try_from(count).unwrap_or(0));
    let mut ranges: Vec<RangeOverrides> = Vec::new();
    for given in node_property_overrides.unwrap_or_default() {
        let model::NodePropertyOverride {
            consumable_resource_properties_override,
            container_overrides,
            ecs_properties_override,
            eks_properties_override,
            instance_types,
            target_nodes,
        } = given;
        if ranges.iter().any(|range| *range.target == *target_nodes) {
            return Err(WireError::invalid(format!(
                "The nodes {target_nodes} are overridden more than once."
            )));
        }
        let types = instance_types.unwrap_or_default();
        require(types.len() <= 1, "instanceTypes of a node override can have at most one element.")?;
        let overrides = match (container_overrides, ecs_properties_override, eks_properties_override) {
            (None, None, None) => Overrides::None,
            (Some(given), None, None) => Overrides::Container(of_container(given)?),
            (None, Some(given), None) => Overrides::Ecs(of_task(given)?),
            (None, None, Some(given)) => Overrides::Eks(of_pod(given)?),
            _ => {
                return Err(WireError::invalid(format!(
                    "Only one kind of override can be used for the nodes {target_nodes}."
                )));
            }
        };
        let consumables = consumables(scope, consumable_resource_properties_override)?;
        ranges.push(RangeOverrides { target: target_nodes.into(), overrides, consumables });
    }
    Ok(NodeOverrides { num_nodes, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fornada_core::container::Requirements;
    use serde_json::{Value, json};

    fn read(request: &Value) -> Result<Read, String> {
        let member = |name: &str| request[name].clone();
        let given = Given {
            container: serde_json::from_value(member("containerOverrides")).unwrap(),
            ecs: serde_json::from_value(member("ecsPropertiesOverride")).unwrap(),
            eks: serde_json::from_value(member("eksPropertiesOverride")).unwrap(),
            nodes: serde_json::from_value(member("nodeOverrides")).unwrap(),
        };
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        given.read(&scope).map_err(|error| error.message)
    }

    fn task(containers: Value) -> Value {
        json!({ "ecsPropertiesOverride": { "taskProperties": [{ "containers": containers }] } })
    }

    fn pod(containers: Value) -> Value {
        json!({ "eksPropertiesOverride": { "podProperties": { "containers": containers } } })
    }

    fn range(members: Value) -> Value {
        let mut range = json!({ "targetNodes": "0:" });
        range.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        range
    }

    fn nodes(ranges: Value) -> Value {
        json!({ "nodeOverrides": { "numNodes": 2, "nodePropertyOverrides": ranges } })
    }

    #[test]
    fn each_kind_becomes_changes_of_containers() {
        let cpu = json!([{ "type": "VCPU", "value": "2" }]);
        let Read { overrides, document, .. } =
            read(&task(json!([{ "name": "a", "command": ["x"], "resourceRequirements": cpu }]))).unwrap();
        let Overrides::Ecs(given) = overrides else { panic!("not a task") };
        let want = ContainerOverrides {
            name: Some("a".into()),
            command: Some(vec!["x".into()]),
            requirements: Requirements { milli_vcpus: Some(2000), ..Requirements::default() },
            ..ContainerOverrides::default()
        };
        assert_eq!((given, document), (vec![want], None));

        let Read { overrides, document, .. } =
            read(&pod(json!([{ "image": "y", "command": ["sh"], "args": ["-c"] }]))).unwrap();
        let Overrides::Eks(given) = overrides else { panic!("not a pod") };
        assert_eq!(given[0].entry_point.as_deref(), Some(&["sh".into()][..]));
        assert_eq!(given[0].command.as_deref(), Some(&["-c".into()][..]));
        assert_eq!((given[0].image.as_deref(), document.is_some()), (Some("y"), true));

        let one = range(json!({ "containerOverrides": { "vcpus": 3, "command": [] } }));
        let Read { overrides, legacy, .. } = read(&nodes(json!([one]))).unwrap();
        let Overrides::Nodes(given) = overrides else { panic!("not nodes") };
        assert_eq!((given.num_nodes, &*given.ranges[0].target, legacy), (Some(2), "0:", true));
        let Overrides::Container(given) = &given.ranges[0].overrides else { panic!("not a container") };
        assert_eq!(given.requirements.milli_vcpus, Some(3000));
        assert_eq!(given.command, None, "an empty list is what SDKs send for nothing");

        for nothing in [json!({}), json!({ "containerOverrides": {}, "nodeOverrides": {} })] {
            assert!(matches!(read(&nothing).unwrap().overrides, Overrides::None), "{nothing}");
        }
    }

    #[test]
    fn overrides_that_are_refused() {
        let some = json!({ "command": ["x"] });
        let both = range(json!({ "containerOverrides": some, "eksPropertiesOverride": {} }));
        for (request, want) in [
            (
                json!({ "containerOverrides": some, "nodeOverrides": { "numNodes": 2 } }),
                "Only one of containerOverrides, ecsPropertiesOverride",
            ),
            (
                task(json!([{ "name": "a" }, { "name": "a" }])),
                "The container a is overridden more than once.",
            ),
            (task(json!([{ "command": [""] }])), "An element of the command override must not be empty."),
            (
                json!({ "ecsPropertiesOverride": { "taskProperties": [{}, {}] } }),
                "taskProperties of ecsPropertiesOverride can have at most one element.",
            ),
            (pod(json!([{ "image": "a b" }])), "Container image can have"),
            (
                pod(json!([{ "resources": { "limits": { "cpu": "0.1" } } }])),
                "cpu of a container must be a multiple of 0.25, got 0.1.",
            ),
            (nodes(json!([both])), "Only one kind of override can be used for the nodes 0:."),
            (
                nodes(json!([range(json!({})), range(json!({}))])),
                "The nodes 0: are overridden more than once.",
            ),
            (
                nodes(json!([range(json!({ "instanceTypes": ["a", "b"] }))])),
                "instanceTypes of a node override can have at most one element.",
            ),
        ] {
            let fault = read(&request).map(drop).unwrap_err();
            assert!(fault.starts_with(want), "{request}: {fault}");
        }
    }

    #[test]
    fn long_overrides_are_noted() {
        let long = |length: usize| json!({ "containerOverrides": { "command": ["x".repeat(length)] } });
        assert_eq!(read(&long(8000)).unwrap().too_long, None);
        assert_eq!(read(&long(8192)).unwrap().too_long.as_deref(), Some(TOO_LONG));
    }
}
