//! `eksProperties`: the containers of a pod.
//!
//! Source: AWS Batch API reference, EksPodProperties, EksContainer; AWS Batch User Guide, jobs on Amazon EKS; texts as observed.

use std::collections::BTreeSet;

use fornada_core::container::{ContainerTemplate, Role};
use fornada_core::task::{TaskKind, TaskTemplate};
use fornada_model::batch as model;

use super::super::require::require;
use super::super::{container_fields, eks_resources};
use super::container::check_given;
use super::document;
use super::ecs::{BAD_COUNT, CONTAINERS, check_name};
use super::pod;
use crate::error::WireError;

/// Name of a container that was given none.
const DEFAULT_NAME: &str = "Default";
/// Init containers of a pod.
const INIT_CONTAINERS_MAX: usize = 10;
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// The checked pod as it is echoed, and its template.
pub(super) fn task(given: model::EksProperties) -> Result<(model::EksProperties, TaskTemplate), WireError> {
    let pod = given.pod_properties;
    let pod = pod.ok_or_else(|| WireError::invalid("podProperties of eksProperties is required."))?;
    let containers = pod.containers.as_deref().unwrap_or_default();
    let init_containers = pod.init_containers.as_deref().unwrap_or_default();
    require(CONTAINERS.contains(&containers.len()), BAD_COUNT)?;
    require(
        init_containers.len() <= INIT_CONTAINERS_MAX,
        "Number of init containers must be between 0 and 10",
    )?;
    pod::check(&pod)?;
    let mut names = BTreeSet::new();
    let mut templates = Vec::with_capacity(init_containers.len() + containers.len());
    let each = init_containers.iter().map(|container| (container, true));
    for (container, init) in each.chain(containers.iter().map(|container| (container, false))) {
        check_name(name(container), &mut names)?;
        templates.push(template(container, init)?);
    }
    let echo = with_empty_lists(pod);
    let template = TaskTemplate { kind: TaskKind::Eks, containers: templates, properties: document(&echo)? };
    Ok((model::EksProperties { pod_properties: Some(echo) }, template))
}

/// The lists that the service shows even when they were not given.
fn with_empty_lists(pod: model::EksPodProperties) -> model::EksPodProperties {
    let container = |container: model::EksContainer| model::EksContainer {
        args: container.args.or(Some(vec![])),
        command: container.command.or(Some(vec![])),
        env: container.env.or(Some(vec![])),
        volume_mounts: container.volume_mounts.or(Some(vec![])),
        ..container
    };
    let all = |containers: Option<Vec<_>>| containers.map(|c| c.into_iter().map(container).collect());
    model::EksPodProperties {
        containers: all(pod.containers),
        init_containers: all(pod.init_containers),
        volumes: pod.volumes.or(Some(vec![])),
        ..pod
    }
}

fn name(container: &model::EksContainer) -> &str {
    container.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAME)
}

fn template(container: &model::EksContainer, init: bool) -> Result<ContainerTemplate, WireError> {
    let model::EksContainer {
        args,
        command,
        env,
        image,
        image_pull_policy,
        name: _,
        resources,
        security_context,
        volume_mounts: _,
    } = container;
    container_fields::check_image(image)?;
    require(
        image_pull_policy.as_deref().is_none_or(|policy| PULL_POLICIES.contains(&policy)),
        "Unsupported image pull policy value.",
    )?;
    security_context.as_ref().map_or(Ok(()), pod::check_container_security)?;
    let requirements = eks_resources::requirements(resources.as_ref())?;
    check_given(&requirements)?;
    Ok(ContainerTemplate {
        image: image.as_str().into(),
        command: container_fields::texts(args),
        environment: container_fields::environment(&eks_resources::variables(env))?,
        requirements,
        log_group: None,
        log_stream_prefix: None,
        role: Some(Box::new(Role {
            name: name(container).into(),
            essential: true,
            depends_on: Vec::new(),
            init,
        })),
        secrets: None,
        entry_point: Some(container_fields::texts(command)).filter(|command| !command.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The outcome for a pod of these members; containers get an image and a size unless they say otherwise.
    fn outcome(mut pod: Value) -> Result<(model::EksProperties, TaskTemplate), String> {
        let small = json!({ "image": "x", "resources": { "limits": { "cpu": "0.5", "memory": "64Mi" } } });
        for list in ["containers", "initContainers"] {
            for container in pod[list].as_array_mut().into_iter().flatten() {
                let mut whole = small.clone();
                whole.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
                *container = whole;
            }
        }
        pod.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        task(serde_json::from_value(json!({ "podProperties": pod })).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn a_pod_becomes_containers_init_containers_first() {
        let env = json!([{ "name": "A", "value": "1" }]);
        let pod = json!({
            "containers": [{ "command": ["sh", "-c"], "args": ["Ref::x"], "env": env }],
            "initContainers": [{ "name": "setup" }],
            "hostNetwork": false, "metadata": { "labels": { "team": "a" }, "namespace": "jobs" },
        });
        let (echo, template) = outcome(pod).unwrap();
        let [setup, main] = template.containers.as_slice() else { panic!("not two") };
        assert!(setup.role.as_ref().unwrap().init && !main.role.as_ref().unwrap().init);
        assert_eq!((setup.name(), main.name()), ("setup", "Default"));
        assert_eq!(main.entry_point, Some(vec!["sh".into(), "-c".into()]));
        assert_eq!(main.command, ["Ref::x"]);
        assert_eq!((setup.entry_point.as_ref(), setup.command.len()), (None, 0));
        assert_eq!(main.requirements.milli_vcpus, Some(500));
        let stored: Value = serde_json::from_str(template.properties.as_str()).unwrap();
        assert_eq!(stored, serde_json::to_value(echo.pod_properties.unwrap()).unwrap());
        assert_eq!(stored["containers"][0]["volumeMounts"], json!([]));
        assert!(stored.get("dnsPolicy").is_none() && stored["containers"][0].get("name").is_none());
    }

    #[test]
    fn pods_that_are_refused() {
        let cases = [
            (json!({ "containers": [] }), "Number of containers must be between 1 and 10"),
            (
                json!({ "containers": [{}], "initContainers": vec![json!({}); 11] }),
                "Number of init containers must be between 0 and 10",
            ),
            (
                json!({ "containers": [{}, {}] }),
                "The container name: Default must be unique in multi-container job.",
            ),
            (
                json!({ "containers": [{ "name": "a" }], "initContainers": [{ "name": "a" }] }),
                "The container name: a must be unique in multi-container job.",
            ),
            (
                json!({ "containers": [{ "imagePullPolicy": "Often" }] }),
                "Unsupported image pull policy value.",
            ),
            (json!({ "containers": [{ "resources": {} }] }), "vCPU is required."),
            (json!({ "containers": [{ "resources": { "limits": { "cpu": "1" } } }] }), "Memory is required."),
            (
                json!({ "containers": [{ "env": [{ "name": "" }] }] }),
                "Environment variable name is required.",
            ),
            (json!({ "containers": [{}], "dnsPolicy": "None" }), "Unsupported DNS policy value."),
        ];
        for (pod, want) in cases {
            assert_eq!(outcome(pod.clone()).map(drop), Err(want.into()), "{pod}");
        }
        assert!(task(model::EksProperties::default()).is_err());
    }
}
