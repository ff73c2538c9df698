//! What a job's container runs: the definition's template, the overrides of a submission, and what results from both.
//!
//! Source: AWS Batch User Guide, job definition parameters (containerProperties, `Ref::` parameters); API reference,
//! ContainerOverrides.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::quantity::Resources;
use crate::text::Text;

/// Memory of a container when nobody said how much; only reachable through stored definitions of unusual kinds.
const DEFAULT_MEMORY_MIB: u64 = 512;

/// `resourceRequirements` by type, or the older `vcpus` and `memory` members. Absent means not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Requirements {
    /// Thousandths of a vCPU.
    #[n(0)]
    pub milli_vcpus: Option<u64>,
    /// MiB.
    #[n(1)]
    pub memory_mib: Option<u64>,
    /// Whole devices.
    #[n(2)]
    pub gpus: Option<u32>,
}

/// The members of `containerProperties` that decisions depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ContainerTemplate {
    /// Image reference, or `host`.
    #[n(0)]
    pub image: Text,
    /// May hold `Ref::name` placeholders. Empty means the image's own command.
    #[n(1)]
    pub command: Vec<Text>,
    /// In the order given.
    #[n(2)]
    pub environment: Vec<(Text, Text)>,
    /// What it asks for.
    #[n(3)]
    pub requirements: Requirements,
    /// `awslogs-group`; the default is `/aws/batch/job`.
    #[n(4)]
    pub log_group: Option<Text>,
    /// `awslogs-stream-prefix`; the default is the definition's name.
    #[n(5)]
    pub log_stream_prefix: Option<Text>,
    /// Its part in a task of several containers; `None` in `containerProperties`, which is the only one.
    #[n(6)]
    pub role: Option<Box<Role>>,
    /// Environment variables whose values are secrets: name, and where the value is (`valueFrom`).
    #[n(7)]
    pub secrets: Option<Vec<(Text, Text)>>,
    /// Replaces the image's entry point: `command` of a container of a pod, whose `args` are [`Self::command`] here.
    #[n(8)]
    pub entry_point: Option<Vec<Text>>,
}

impl ContainerTemplate {
    /// `default` for the only container of a job, as in its log stream's name.
    pub fn name(&self) -> &str {
        self.role.as_ref().map_or("default", |role| role.name.as_str())
    }

    /// Whether the end of this container is the end of the attempt.
    pub fn is_essential(&self) -> bool {
        self.role.as_ref().is_none_or(|role| role.essential)
    }
}

/// What a container is to the others of its task.
///
/// Source: AWS Batch API reference, TaskContainerProperties; EksPodProperties (initContainers).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Role {
    /// Unique in the task.
    #[n(0)]
    pub name: Text,
    /// When it ends, the others are stopped and the attempt is over.
    #[n(1)]
    pub essential: bool,
    /// What must have happened before it starts.
    #[n(2)]
    pub depends_on: Vec<ContainerDependency>,
    /// An init container of a pod: runs to its end, in order, before the others start.
    #[n(3)]
    pub init: bool,
}

/// One entry of a container's `dependsOn`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContainerDependency {
    /// Name of the other container.
    #[n(0)]
    pub container: Text,
    /// What of it is waited for.
    #[n(1)]
    pub condition: Condition,
}

/// What a container waits for in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Condition {
    /// It has started.
    #[n(0)]
    Start,
    /// It has ended, however.
    #[n(1)]
    Complete,
    /// It has ended with exit code 0.
    #[n(2)]
    Success,
}

/// What a submission changes of one container: `containerOverrides`, or an element of the overrides of a task or pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ContainerOverrides {
    /// Replaces the whole command.
    #[n(0)]
    pub command: Option<Vec<Text>>,
    /// Replaces by name, appends new names.
    #[n(1)]
    pub environment: Vec<(Text, Text)>,
    /// Replaces by type.
    #[n(2)]
    pub requirements: Requirements,
    /// Echoed; only multi-node jobs act on it.
    #[n(3)]
    pub instance_type: Option<Text>,
    /// Which container of the task; the only one when `None`.
    #[n(4)]
    pub name: Option<Text>,
    /// Replaces the image; pods only.
    #[n(5)]
    pub image: Option<Text>,
    /// Replaces the entry point; pods only.
    #[n(6)]
    pub entry_point: Option<Vec<Text>>,
}

/// A container as it will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Image reference, or `host`.
    pub image: Text,
    /// Replaces the image's entry point, unless empty; with every placeholder replaced.
    pub entry_point: Vec<Text>,
    /// With every placeholder replaced.
    pub command: Vec<Text>,
    /// Definition's variables in their order, then new ones of the overrides. Names are unique.
    pub environment: Vec<(Text, Text)>,
    /// What it may use.
    pub resources: Resources,
}

/// A `Ref::name` placeholder has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no parameter {name}")]
pub struct MissingParameter {
    /// The name after `Ref::`.
    pub name: String,
}

/// Merges template, overrides and parameters; the later wins.
///
/// # Errors
/// When a placeholder of the effective command names no parameter.
pub fn effective(
    template: &ContainerTemplate,
    overrides: Option<&ContainerOverrides>,
    parameters: &BTreeMap<Text, Text>,
) -> Result<Container, MissingParameter> {
    let command = overrides.and_then(|o| o.command.as_deref()).unwrap_or(&template.command);
    let entry_point = overrides.and_then(|o| o.entry_point.as_deref()).or(template.entry_point.as_deref());
    let substituted = |elements: &[Text]| -> Result<Vec<Text>, MissingParameter> {
        elements.iter().map(|element| substitute(element, parameters)).collect()
    };
    let mut environment = Vec::with_capacity(template.environment.len());
    set_all(&mut environment, &template.environment);
    if let Some(overrides) = overrides {
        set_all(&mut environment, &overrides.environment);
    }
    Ok(Container {
        image: overrides.and_then(|o| o.image.as_ref()).unwrap_or(&template.image).clone(),
        entry_point: substituted(entry_point.unwrap_or_default())?,
        command: substituted(command)?,
        environment,
        resources: resources(&template.requirements, overrides.map(|o| &o.requirements)),
    })
}

/// What the container may use: each type from the overrides, else from the definition.
pub fn resources(template: &Requirements, overrides: Option<&Requirements>) -> Resources {
    let given = overrides.cloned().unwrap_or_default();
    Resources {
        milli_vcpus: given.milli_vcpus.or(template.milli_vcpus).unwrap_or(1000),
        memory_mib: given.memory_mib.or(template.memory_mib).unwrap_or(DEFAULT_MEMORY_MIB),
        gpus: given.gpus.or(template.gpus).unwrap_or(0),
    }
}

/// A size that the platform does not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSize {
    /// EC2 takes whole vCPUs.
    #[error("less than one vCPU")]
    TooFewVcpus,
    /// EC2 takes whole vCPUs.
    #[error("a fraction of a vCPU")]
    FractionalVcpus,
    /// Fargate takes certain pairs of vCPU and memory.
    #[error("not a Fargate size")]
    NotOnFargate,
}

/// Checks vCPU and memory against what the platform offers.
///
/// Source: AWS Batch API reference, ResourceRequirement.
///
/// # Errors
/// [`BadSize`].
pub fn check_size(resources: &Resources, fargate: bool) -> Result<(), BadSize> {
    let Resources { milli_vcpus, memory_mib, gpus: _ } = *resources;
    match (fargate, milli_vcpus) {
        (true, _) if is_fargate_size(milli_vcpus, memory_mib) => Ok(()),
        (true, _) => Err(BadSize::NotOnFargate),
        (false, 0..1000) => Err(BadSize::TooFewVcpus),
        (false, _) if !milli_vcpus.is_multiple_of(1000) => Err(BadSize::FractionalVcpus),
        (false, _) => Ok(()),
    }
}

fn is_fargate_size(milli_vcpus: u64, mib: u64) -> bool {
    let steps =
        |min: u64, max: u64, step: u64| (min..=max).contains(&mib) && (mib - min).is_multiple_of(step);
    match milli_vcpus {
        250 => [512, 1024, 2048].contains(&mib),
        500 => steps(1024, 4096, 1024),
        1000 => steps(2048, 8192, 1024),
        2000 => steps(4096, 16_384, 1024),
        4000 => steps(8192, 30_720, 1024),
        8000 => steps(16_384, 61_440, 4096),
        16_000 => steps(32_768, 122_880, 8192),
        32_000 => [61_440, 122_880, 249_856].contains(&mib),
        _ => false,
    }
}

/// Sets variables by name: an existing one keeps its place, a new one is appended.
pub fn set_all(environment: &mut Vec<(Text, Text)>, variables: &[(Text, Text)]) {
    for (name, value) in variables {
        match environment.iter_mut().find(|(existing, _)| existing == name) {
            Some((_, existing)) => *existing = value.clone(),
            None => environment.push((name.clone(), value.clone())),
        }
    }
}

/// Replaces each `Ref::name` in one element of a command. A name is letters, digits, `_` and `-`.
///
/// A whole element is the documented use; a placeholder within a longer element is replaced too.
fn substitute(element: &Text, parameters: &BTreeMap<Text, Text>) -> Result<Text, MissingParameter> {
    const MARK: &str = "Ref::";
    if !element.contains(MARK) {
        return Ok(element.clone());
    }
    let (mut out, mut rest) = (String::new(), element.as_str());
    while let Some(start) = rest.find(MARK) {
        out.push_str(&rest[..start]);
        rest = &rest[start + MARK.len()..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            out.push_str(MARK); // `Ref::` alone is text
        } else {
            let value = parameters.get(name).ok_or_else(|| MissingParameter { name: name.to_owned() })?;
            out.push_str(value);
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(Text, Text)> {
        list.iter().map(|&(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn placeholders() {
        let parameters = pairs(&[("in", "a.txt"), ("n-1", "7"), ("again", "Ref::in")]).into_iter().collect();
        let cases: &[(&str, Result<&str, &str>)] = &[
            ("plain", Ok("plain")),
            ("Ref::in", Ok("a.txt")),
            ("--in=Ref::in,Ref::n-1;", Ok("--in=a.txt,7;")),
            ("Ref::again", Ok("Ref::in")), // values are not examined again
            ("Ref::", Ok("Ref::")),
            ("Ref::é", Ok("Ref::é")),
            ("Ref::missing", Err("missing")),
            ("Ref::in2", Err("in2")),
        ];
        for (element, want) in cases {
            let got = substitute(&(*element).into(), &parameters);
            assert_eq!(got.as_deref().map_err(|e| e.name.as_str()), *want, "{element}");
        }
    }

    #[test]
    fn overrides_replace_by_name_and_type_and_keep_order() {
        let template = ContainerTemplate {
            image: "host".into(),
            command: vec!["run".into()],
            environment: pairs(&[("A", "1"), ("B", "2")]),
            requirements: Requirements { milli_vcpus: Some(2000), memory_mib: Some(64), gpus: None },
            ..Default::default()
        };
        let overrides = ContainerOverrides {
            environment: pairs(&[("C", "3"), ("A", "9")]),
            requirements: Requirements { memory_mib: Some(128), ..Default::default() },
            ..Default::default()
        };
        let container = effective(&template, Some(&overrides), &BTreeMap::new()).unwrap();
        assert_eq!(container.command, [Text::from("run")]);
        assert_eq!(container.environment, pairs(&[("A", "9"), ("B", "2"), ("C", "3")]));
        assert_eq!(container.resources, Resources { milli_vcpus: 2000, memory_mib: 128, gpus: 0 });
    }
}
