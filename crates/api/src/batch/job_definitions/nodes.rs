//! `nodeProperties`: what each range of the nodes of a multi-node parallel job runs.
//!
//! Source: AWS Batch API reference, NodeProperties, NodeRangeProperty; AWS Batch User Guide, multi-node parallel jobs; texts as
//! observed.

use fornada_core::arn::Scope;
use fornada_core::task::{NodeRange, NodesTemplate, TaskKind, TaskTemplate};
use fornada_model::batch as model;
use model::PlatformCapability::Ec2;

use super::super::consumable_resources::consumables;
use super::super::container_fields::whole;
use super::super::require::require;
use super::{container, document, ecs, eks};
use crate::error::WireError;
use crate::limits::Limits;

const RANGES_MAX: usize = 5;

/// The checked nodes as they are echoed, and their template.
pub(super) fn nodes(
    scope: &Scope,
    given: model::NodeProperties,
    limits: &Limits,
) -> Result<(model::NodeProperties, NodesTemplate), WireError> {
    let model::NodeProperties { main_node, node_range_properties, num_nodes } = given;
    let count = u32::try_from(num_nodes).ok().filter(|count| (1..=limits.nodes).contains(count));
    let max = limits.nodes;
    let count =
        count.ok_or_else(|| WireError::invalid(format!("Number of nodes must be between 1 and {max}.")))?;
    let main = u32::try_from(main_node).ok().filter(|main| *main < count);
    let main = main
        .ok_or_else(|| WireError::invalid("Main node index is out of range, must be less than numNodes."))?;
    require(!node_range_properties.is_empty(), "Node range properties of multinode job is required.")?;
    require(node_range_properties.len() <= RANGES_MAX, "Maximum allowed size of node range properties is 5")?;
    let (mut echoes, mut ranges) = (Vec::new(), Vec::<NodeRange>::new());
    for given in node_range_properties {
        let (first, last) = target_nodes(&given.target_nodes)?;
        if first >= count || last.is_some_and(|last| last >= count || last < first) {
            return Err(WireError::invalid(format!(
                "targetNodes {} is out of range, must be ascending and less than numNodes.",
                given.target_nodes
            )));
        }
        let target = given.target_nodes.as_str().into();
        let consumables = consumables(scope, given.consumable_resource_properties.clone())?;
        let (echo, task) = range(given)?;
        ranges.push(NodeRange { target, first, last, task, consumables });
        echoes.push(echo);
    }
    let is_pod = |range: &NodeRange| range.task.kind == TaskKind::Eks;
    require(
        ranges.iter().all(is_pod) || !ranges.iter().any(is_pod),
        "Node ranges can not mix eksProperties with container or ecsProperties.",
    )?;
    require(
        echoes.windows(2).all(|pair| namespace(&pair[0]) == namespace(&pair[1])),
        "The namespace of eksProperties must be the same in all node ranges.",
    )?;
    let template = NodesTemplate { num_nodes: count, main_node: main, ranges };
    if let Some(node) = (0..count).find(|&node| template.range_of(node, count).is_none()) {
        return Err(WireError::invalid(format!(
            "Node ranges must cover all nodes: node {node} is in none of them."
        )));
    }
    Ok((model::NodeProperties { main_node, node_range_properties: echoes, num_nodes }, template))
}

/// `n`, `a:b`, `:b`, `a:` and `:`; a missing end is 0 or as many as there are.
fn target_nodes(given: &str) -> Result<(u32, Option<u32>), WireError> {
    let bad = || WireError::invalid("targetNodes should contain only digits.");
    let number = |text: &str| Some(text).filter(|text| !text.is_empty()).and_then(whole).ok_or_else(bad);
    let end = |text: &str| if text.is_empty() { Ok(None) } else { number(text).map(Some) };
    match given.split_once(':') {
        None => number(given).map(|node| (node, Some(node))),
        Some((first, last)) => Ok((end(first)?.unwrap_or(0), end(last)?)),
    }
}

fn range(given: model::NodeRangeProperty) -> Result<(model::NodeRangeProperty, TaskTemplate), WireError> {
    let model::NodeRangeProperty {
        consumable_resource_properties,
        container,
        ecs_properties,
        eks_properties,
        instance_types,
        target_nodes,
    } = given;
    require(
        container.is_none() || ecs_properties.is_none(),
        "NodeRangeProperties can not use both ecsProperties and container fields",
    )?;
    require(
        eks_properties.is_none() || (container.is_none() && ecs_properties.is_none()),
        "NodeRangeProperties can not use eksProperties with ecsProperties or container fields",
    )?;
    let types = instance_types.as_deref().unwrap_or_default();
    require(
        types.is_empty() || ecs_properties.is_some(),
        "Using instanceTypes with nodeRangeProperty is only allowed for ecsProperties jobs.",
    )?;
    require(types.len() <= 1, "instanceTypes of a node range can have at most one element.")?;
    let mut echo = model::NodeRangeProperty {
        consumable_resource_properties,
        instance_types,
        target_nodes,
        ..Default::default()
    };
    let task = match (container, ecs_properties, eks_properties) {
        (Some(container), _, _) => {
            let (container, template) = container::container(container, Ec2)?;
            let properties = document(&container)?;
            echo.container = Some(container);
            TaskTemplate { kind: TaskKind::Container, containers: vec![template], properties }
        }
        (_, Some(ecs), _) => {
            let (ecs, task) = ecs::task(ecs, Ec2)?;
            echo.ecs_properties = Some(ecs);
            task
        }
        (_, _, Some(eks)) => {
            let (eks, task) = eks::task(eks)?;
            echo.eks_properties = Some(eks);
            task
        }
        (None, None, None) => {
            return Err(WireError::invalid(format!(
                "Must specify container for node range {}",
                echo.target_nodes
            )));
        }
    };
    Ok((echo, task))
}

fn namespace(range: &model::NodeRangeProperty) -> Option<&str> {
    range.eks_properties.as_ref()?.pod_properties.as_ref()?.metadata.as_ref()?.namespace.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn container() -> Value {
        json!({ "image": "x", "vcpus": 1, "memory": 4 })
    }

    fn outcome(main: i32, count: i32, ranges: Value) -> Result<NodesTemplate, String> {
        let given = json!({ "mainNode": main, "numNodes": count, "nodeRangeProperties": ranges });
        let limits = Limits { nodes: 10, ..Limits::default() };
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let read = nodes(&scope, serde_json::from_value(given).unwrap(), &limits);
        read.map(|(_, template)| template).map_err(|error| error.message)
    }

    fn ranges(targets: &[&str]) -> Value {
        targets.iter().map(|target| json!({ "targetNodes": target, "container": container() })).collect()
    }

    #[test]
    fn target_nodes_in_every_notation() {
        for (targets, want) in [
            (&["0:3"][..], [0, 0, 0, 0]),
            (&["0", "1:"], [0, 1, 1, 1]),
            (&[":1", "2:3"], [0, 0, 1, 1]),
            (&[":", "1:2"], [0, 1, 1, 0]),
            (&["1:2", "0:"], [1, 0, 0, 1]),
        ] {
            let template = outcome(0, 4, ranges(targets)).unwrap();
            let found = [0, 1, 2, 3].map(|node| template.range_of(node, 4).unwrap());
            assert_eq!(found, want, "{targets:?}");
        }
    }

    #[test]
    fn nodes_that_are_refused() {
        let one = |changes: Value| {
            let mut range = json!({ "targetNodes": "0:" });
            range.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            json!([range])
        };
        let needs = json!([{ "type": "VCPU", "value": "1" }, { "type": "MEMORY", "value": "4" }]);
        let ecs = json!({ "taskProperties": [{ "containers": [{ "image": "x", "resourceRequirements": needs }] }] });
        let pod = |namespace: &str| {
            let limits = json!({ "cpu": "1", "memory": "64Mi" });
            let containers = json!([{ "image": "x", "resources": { "limits": limits } }]);
            json!({ "podProperties": { "containers": containers, "metadata": { "namespace": namespace } } })
        };
        let two = |first: (&str, Value), second: (&str, Value)| json!([{ "targetNodes": "0", first.0: first.1 }, { "targetNodes": "1:", second.0: second.1 }]);
        let six = ranges(&["0", "1", "2", "3", "4", "5"]);
        let out_of_range = "targetNodes 0:4 is out of range, must be ascending and less than numNodes.";
        let descending = "targetNodes 2:1 is out of range, must be ascending and less than numNodes.";
        let cases = [
            (0, 0, ranges(&["0:"]), "Number of nodes must be between 1 and 10."),
            (0, 11, ranges(&["0:"]), "Number of nodes must be between 1 and 10."),
            (4, 4, ranges(&["0:"]), "Main node index is out of range, must be less than numNodes."),
            (-1, 4, ranges(&["0:"]), "Main node index is out of range, must be less than numNodes."),
            (0, 6, six, "Maximum allowed size of node range properties is 5"),
            (0, 4, json!([]), "Node range properties of multinode job is required."),
            (0, 4, ranges(&["0-3"]), "targetNodes should contain only digits."),
            (0, 4, ranges(&[""]), "targetNodes should contain only digits."),
            (0, 4, ranges(&["0:4"]), out_of_range),
            (0, 4, ranges(&["0:", "2:1"]), descending),
            (0, 4, ranges(&["0:1", "3"]), "Node ranges must cover all nodes: node 2 is in none of them."),
            (0, 4, one(json!({})), "Must specify container for node range 0:"),
            (
                0,
                4,
                one(json!({ "container": container(), "ecsProperties": ecs })),
                "NodeRangeProperties can not use both ecsProperties and container fields",
            ),
            (
                0,
                4,
                one(json!({ "container": container(), "eksProperties": pod("a") })),
                "NodeRangeProperties can not use eksProperties with ecsProperties or container fields",
            ),
            (
                0,
                4,
                one(json!({ "container": container(), "instanceTypes": ["p4d.24xlarge"] })),
                "Using instanceTypes with nodeRangeProperty is only allowed for ecsProperties jobs.",
            ),
            (
                0,
                4,
                one(json!({ "ecsProperties": ecs, "instanceTypes": ["a", "b"] })),
                "instanceTypes of a node range can have at most one element.",
            ),
            (0, 4, one(json!({ "container": { "image": "x" } })), "vCPU is required."),
            (
                0,
                4,
                two(("container", container()), ("eksProperties", pod("a"))),
                "Node ranges can not mix eksProperties with container or ecsProperties.",
            ),
            (
                0,
                4,
                two(("eksProperties", pod("a")), ("eksProperties", pod("b"))),
                "The namespace of eksProperties must be the same in all node ranges.",
            ),
        ];
        for (main, count, ranges, want) in cases {
            assert_eq!(outcome(main, count, ranges.clone()).map(drop), Err(want.into()), "{ranges}");
        }
        assert!(outcome(0, 4, one(json!({ "ecsProperties": ecs, "instanceTypes": ["a"] }))).is_ok());
    }
}
