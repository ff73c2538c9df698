//! Multi-node parallel jobs: `nodeProperties` of the parent, and what a submission says of a range.

use fornada_core::job::Job;
use fornada_core::job::nodes::Nodes;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::task::{NodesTemplate, Task};
use fornada_model::batch as model;

use super::effective::{Effective, Submitted};
use crate::error::WireError;

/// The nodes as they run: as many as the submission asked for, with its overrides and parameters.
pub(super) fn properties(
    job: &Job,
    definition: &JobDefinition,
    nodes: &Nodes,
    given: model::NodeProperties,
) -> Result<model::NodeProperties, WireError> {
    let templates = definition.nodes.as_deref().map(|nodes| nodes.ranges.as_slice()).unwrap_or_default();
    let mut ranges = Vec::with_capacity(templates.len());
    for ((index, template), given) in (0..).zip(templates).zip(given.node_range_properties) {
        let overridden = overridden(job, &template.target)?;
        let submitted = Submitted {
            task: Task::from(&template.task),
            overrides: nodes.overrides_of(index),
            parameters: &job.parameters,
            metadata: overridden.as_ref().and_then(metadata),
        };
        let mut range = model::NodeRangeProperty { ..given };
        match submitted.effective()? {
            Effective::Container(container) => range.container = Some(*container),
            Effective::Ecs(task) => {
                range.ecs_properties = Some(model::EcsProperties { task_properties: vec![task] });
            }
            Effective::Eks(pod) => {
                range.eks_properties = Some(model::EksProperties { pod_properties: Some(pod) });
            }
        }
        let types = overridden.and_then(|given| given.instance_types).filter(|types| !types.is_empty());
        range.instance_types = types.or(range.instance_types);
        ranges.push(range);
    }
    Ok(model::NodeProperties {
        main_node: given.main_node,
        node_range_properties: ranges,
        num_nodes: i32::try_from(nodes.num_nodes()).unwrap_or(i32::MAX),
    })
}

/// What the submission says of the nodes of the range with this index.
pub(super) fn overridden_range(
    job: &Job,
    template: &NodesTemplate,
    range: u32,
) -> Result<Option<model::NodePropertyOverride>, WireError> {
    let range = usize::try_from(range).ok().and_then(|range| template.ranges.get(range));
    range.map_or(Ok(None), |range| overridden(job, &range.target))
}

fn overridden(job: &Job, target: &str) -> Result<Option<model::NodePropertyOverride>, WireError> {
    let Some(document) = &job.overrides_document else { return Ok(None) };
    let given: model::NodeOverrides = serde_json::from_str(document.as_str()).map_err(WireError::server)?;
    Ok(given.node_property_overrides.into_iter().flatten().find(|range| range.target_nodes == target))
}

/// Of the pods of a range.
pub(super) fn metadata(given: &model::NodePropertyOverride) -> Option<&model::EksMetadata> {
    given.eks_properties_override.as_ref()?.pod_properties.as_ref()?.metadata.as_ref()
}
