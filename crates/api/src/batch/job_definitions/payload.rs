//! The kinds of definition: which member of a registration describes what runs, and what becomes of it.
//!
//! Source: AWS Batch API reference, RegisterJobDefinition; texts as observed.

use fornada_core::arn::Scope;
use fornada_core::container::ContainerTemplate;
use fornada_core::instance::Architecture;
use fornada_core::task::{NodesTemplate, TaskKind, TaskTemplate};
use fornada_core::text::Document;
use fornada_model::batch as model;
use model::PlatformCapability::{Ec2, Fargate, ManagedInstances};

use super::super::require::require;
use super::members::architecture;
use super::{container, document, ecs, eks, nodes};
use crate::error::WireError;
use crate::limits::Limits;

/// The members, of which exactly one is there.
pub(super) struct Given {
    pub(super) container_properties: Option<model::ContainerProperties>,
    pub(super) ecs_properties: Option<model::EcsProperties>,
    pub(super) eks_properties: Option<model::EksProperties>,
    pub(super) node_properties: Option<model::NodeProperties>,
}

/// What the kinds differ in.
#[derive(Default)]
pub(super) struct Payload {
    pub(super) container: Option<ContainerTemplate>,
    pub(super) container_properties: Document,
    pub(super) task: Option<Box<TaskTemplate>>,
    pub(super) nodes: Option<Box<NodesTemplate>>,
    /// The processors that it can run on; `None` for any.
    pub(super) architecture: Option<Architecture>,
    /// Their members of the registration, as they are echoed.
    pub(super) echo: model::JobDefinition,
}

impl Given {
    pub(super) fn read(
        self,
        scope: &Scope,
        r#type: model::JobDefinitionType,
        platform: model::PlatformCapability,
        limits: &Limits,
    ) -> Result<Payload, WireError> {
        let Given { container_properties, ecs_properties, eks_properties, node_properties } = self;
        let is_alone = container_properties.is_none() && ecs_properties.is_none() && eks_properties.is_none();
        match r#type {
            model::JobDefinitionType::Multinode => {
                let given = node_properties
                    .ok_or_else(|| WireError::invalid("Node properties of multinode job is required."))?;
                require(is_alone, "A multinode job describes its containers in nodeProperties only.")?;
                multinode(scope, given, platform, limits)
            }
            model::JobDefinitionType::Container => {
                require(node_properties.is_none(), "nodeProperties can only be used for type multinode.")?;
                single(container_properties, ecs_properties, eks_properties, platform)
            }
        }
    }
}

/// Type `container`: exactly one of three descriptions.
fn single(
    container: Option<model::ContainerProperties>,
    ecs: Option<model::EcsProperties>,
    eks: Option<model::EksProperties>,
    platform: model::PlatformCapability,
) -> Result<Payload, WireError> {
    require(
        container.is_none() || ecs.is_none(),
        "Cannot use both ECS containerProperties and ecsProperties",
    )?;
    require(
        eks.is_none() || (container.is_none() && ecs.is_none()),
        "Cannot use eksProperties with ECS containerProperties or ecsProperties",
    )?;
    let mut echo = model::JobDefinition {
        container_orchestration_type: Some(model::OrchestrationType::Ecs),
        ..Default::default()
    };
    if let Some(given) = eks {
        require(platform == Ec2, "eksProperties can only be used with platform capability EC2.")?;
        let (given, task) = eks::task(given)?;
        echo.container_orchestration_type = Some(model::OrchestrationType::Eks);
        echo.eks_properties = Some(given);
        return Ok(Payload { task: Some(Box::new(task)), echo, ..Payload::default() });
    }
    if let Some(given) = ecs {
        let (given, task) = ecs::task(given, platform)?;
        let runtime = given.task_properties.first().and_then(|task| task.runtime_platform.as_ref());
        let architecture = architecture(runtime)?;
        echo.ecs_properties = Some(given);
        return Ok(Payload { task: Some(Box::new(task)), architecture, echo, ..Payload::default() });
    }
    let given =
        container.ok_or_else(|| WireError::invalid("Container properties of container job is required."))?;
    require(platform != ManagedInstances, "Cannot use ECS containerProperties for MANAGED_INSTANCES")?;
    let (given, template) = container::container(given, platform)?;
    let architecture = architecture(given.runtime_platform.as_ref())?;
    let container_properties = document(&given)?;
    echo.container_properties = Some(given);
    Ok(Payload { container: Some(template), container_properties, architecture, echo, ..Payload::default() })
}

fn multinode(
    scope: &Scope,
    given: model::NodeProperties,
    platform: model::PlatformCapability,
    limits: &Limits,
) -> Result<Payload, WireError> {
    require(platform != ManagedInstances, "MANAGED_INSTANCES does not support MNP jobs")?;
    require(platform != Fargate, "FARGATE does not support MNP jobs")?;
    let (given, nodes) = nodes::nodes(scope, given, limits)?;
    let is_eks = nodes.ranges.iter().any(|range| range.task.kind == TaskKind::Eks);
    let orchestration = if is_eks { model::OrchestrationType::Eks } else { model::OrchestrationType::Ecs };
    let echo = model::JobDefinition {
        container_orchestration_type: Some(orchestration),
        node_properties: Some(given),
        ..Default::default()
    };
    Ok(Payload { nodes: Some(Box::new(nodes)), echo, ..Payload::default() })
}

/// The one platform that the definition is for.
pub(super) fn platform(given: &[model::PlatformCapability]) -> Result<model::PlatformCapability, WireError> {
    match given {
        [] => Ok(Ec2),
        [platform] => Ok(*platform),
        _ => Err(WireError::invalid("A job definition can have one platformCapabilities value only.")),
    }
}
