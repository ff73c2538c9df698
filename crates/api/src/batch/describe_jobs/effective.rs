//! What a job runs, in the words of its definition: with the overrides and parameters of its submission applied.

use std::collections::BTreeMap;

use fornada_core::container::{Container, ContainerOverrides};
use fornada_core::quantity::Resources;
use fornada_core::task::{Task, TaskKind};
use fornada_core::text::Text;
use fornada_model::batch as model;

use super::super::{container_fields, eks_resources};
use crate::error::WireError;

/// A task however it was described.
pub(super) enum Effective {
    Container(Box<model::ContainerProperties>),
    Ecs(model::EcsTaskProperties),
    Eks(model::EksPodProperties),
}

/// A task with what the submission says of it.
#[derive(Clone, Copy)]
pub(super) struct Submitted<'a> {
    pub(super) task: Task<'a>,
    pub(super) overrides: &'a [ContainerOverrides],
    pub(super) parameters: &'a BTreeMap<Text, Text>,
    /// Of a pod.
    pub(super) metadata: Option<&'a model::EksMetadata>,
}

impl Submitted<'_> {
    pub(super) fn effective(&self) -> Result<Effective, WireError> {
        let Submitted { task, overrides, parameters, .. } = *self;
        let containers = task.effective(overrides, parameters).map_err(WireError::server)?;
        let json = task.properties.as_str();
        Ok(match task.kind {
            TaskKind::Container => {
                let given = serde_json::from_str(json).map_err(WireError::server)?;
                let instance_type = overrides.iter().find_map(|overrides| overrides.instance_type.as_deref());
                Effective::Container(Box::new(match containers.into_iter().next() {
                    Some(only) => container(given, only, instance_type),
                    None => given,
                }))
            }
            TaskKind::Ecs => {
                Effective::Ecs(ecs(serde_json::from_str(json).map_err(WireError::server)?, containers))
            }
            TaskKind::Eks => {
                Effective::Eks(self.pod(serde_json::from_str(json).map_err(WireError::server)?, containers))
            }
        })
    }

    fn pod(&self, given: model::EksPodProperties, containers: Vec<Container>) -> model::EksPodProperties {
        let mut effective = self.task.containers.iter().zip(containers);
        let mut one = |given: model::EksContainer| {
            let Some((template, container)) = effective.next() else { return given };
            let Container { image, entry_point, command, environment, resources } = container;
            let asked = self.task.overrides_of(template, self.overrides).map(|given| &given.requirements);
            let resources = match asked {
                Some(asked) => eks_resources::effective(given.resources, asked, &resources),
                None => given.resources,
            };
            let variable = |(name, value): (Text, Text)| model::EksContainerEnvironmentVariable {
                name: name.into(),
                value: Some(value.into()),
            };
            model::EksContainer {
                args: Some(strings(command)),
                command: Some(strings(entry_point)),
                env: Some(environment.into_iter().map(variable).collect()),
                image: image.into(),
                name: Some(template.name().to_owned()),
                resources,
                ..given
            }
        };
        // Init containers come first in the template too.
        let init_containers = given.init_containers.map(|all| all.into_iter().map(&mut one).collect());
        let containers = given.containers.map(|all| all.into_iter().map(&mut one).collect());
        let metadata = merged(given.metadata, self.metadata.cloned());
        model::EksPodProperties { init_containers, containers, metadata, ..given }
    }
}

fn container(
    given: model::ContainerProperties,
    effective: Container,
    instance_type: Option<&str>,
) -> model::ContainerProperties {
    let Container { command, environment, resources, .. } = effective;
    let legacy = given.vcpus.is_some() || given.memory.is_some();
    let wire = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
    model::ContainerProperties {
        command: Some(strings(command)),
        environment: Some(environment.into_iter().map(key_value).collect()),
        instance_type: instance_type.map(str::to_owned).or(given.instance_type),
        memory: legacy.then(|| wire(resources.memory_mib)),
        resource_requirements: Some(match legacy {
            true => Vec::new(),
            false => requirements(given.resource_requirements.as_deref(), &resources),
        }),
        vcpus: legacy.then(|| wire(resources.milli_vcpus / 1000)),
        ..given
    }
}

fn ecs(given: model::EcsTaskProperties, effective: Vec<Container>) -> model::EcsTaskProperties {
    let one = |(given, effective): (model::TaskContainerProperties, Container)| {
        let Container { command, environment, resources, .. } = effective;
        let resources = requirements(given.resource_requirements.as_deref(), &resources);
        model::TaskContainerProperties {
            command: Some(strings(command)),
            environment: Some(environment.into_iter().map(key_value).collect()),
            resource_requirements: Some(resources),
            ..given
        }
    };
    let containers = given.containers.into_iter().zip(effective).map(one).collect();
    model::EcsTaskProperties { containers, ..given }
}

/// Labels and annotations by key; the later wins.
fn merged(
    given: Option<model::EksMetadata>,
    later: Option<model::EksMetadata>,
) -> Option<model::EksMetadata> {
    let (mut merged, later) = match (given, later) {
        (Some(given), Some(later)) => (given, later),
        (given, later) => return given.or(later),
    };
    let model::EksMetadata { annotations, labels, namespace } = later;
    for (ours, theirs) in [(&mut merged.annotations, annotations), (&mut merged.labels, labels)] {
        if let Some(theirs) = theirs {
            ours.get_or_insert_default().extend(theirs);
        }
    }
    merged.namespace = namespace.or(merged.namespace);
    Some(merged)
}

/// The definition's types in their order, with the values in force, then what only the overrides ask for.
fn requirements(
    given: Option<&[model::ResourceRequirement]>,
    resources: &Resources,
) -> Vec<model::ResourceRequirement> {
    use model::ResourceType::{Gpu, Memory, Vcpu};
    let value = |kind| match kind {
        Vcpu => container_fields::vcpus(resources.milli_vcpus),
        Memory => resources.memory_mib.to_string(),
        Gpu => resources.gpus.to_string(),
    };
    let mut kinds: Vec<_> = given.into_iter().flatten().map(|requirement| requirement.r#type).collect();
    if resources.gpus > 0 && !kinds.contains(&Gpu) {
        kinds.push(Gpu);
    }
    kinds.into_iter().map(|kind| model::ResourceRequirement { r#type: kind, value: value(kind) }).collect()
}

fn strings(texts: Vec<Text>) -> Vec<String> {
    texts.into_iter().map(String::from).collect()
}

fn key_value((name, value): (Text, Text)) -> model::KeyValuePair {
    model::KeyValuePair { name: Some(name.into()), value: Some(value.into()) }
}
