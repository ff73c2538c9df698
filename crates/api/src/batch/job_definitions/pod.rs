//! Whether the members of a pod beside its containers are what Kubernetes takes.
//!
//! Source: AWS Batch API reference, EksPodProperties, EksVolume, EksMetadata, EksContainerSecurityContext; Kubernetes
//! documentation, labels and selectors; texts as observed.

use std::collections::{BTreeMap, BTreeSet};

use fornada_model::batch as model;

use super::super::container_fields::whole;
use super::super::require::require;
use crate::error::WireError;

const DNS_POLICIES: [&str; 3] = ["Default", "ClusterFirst", "ClusterFirstWithHostNet"];
/// Users and groups.
const IDS: std::ops::RangeInclusive<i64> = 0..=2_147_483_647;
/// Capabilities to add, and to drop.
const CAPABILITIES_MAX: usize = 64;
/// Characters of a label's name or value, and of a namespace.
const LABEL_MAX: usize = 63;
/// Characters of a prefix.
const PREFIX_MAX: usize = 253;
/// Kubernetes' own.
const RESERVED: [&str; 2] = ["kubernetes.io", "k8s.io"];

/// Checks what the containers share.
pub(super) fn check(pod: &model::EksPodProperties) -> Result<(), WireError> {
    let model::EksPodProperties {
        containers,
        dns_policy,
        host_network: _,
        image_pull_secrets: _,
        init_containers,
        metadata,
        security_context,
        service_account_name: _,
        share_process_namespace: _,
        volumes,
    } = pod;
    require(
        dns_policy.as_deref().is_none_or(|policy| DNS_POLICIES.contains(&policy)),
        "Unsupported DNS policy value.",
    )?;
    metadata.as_ref().map_or(Ok(()), check_metadata)?;
    if let Some(model::EksPodSecurityContext {
        fs_group,
        run_as_group,
        run_as_non_root: _,
        run_as_user,
        seccomp_profile,
    }) = security_context
    {
        check_ids([("fsGroup", fs_group), ("runAsGroup", run_as_group), ("runAsUser", run_as_user)])?;
        seccomp_profile.as_ref().map_or(Ok(()), check_seccomp)?;
    }
    let mut names = BTreeSet::new();
    for volume in volumes.iter().flatten() {
        require(!volume.name.is_empty(), "Volume name is required.")?;
        require(names.insert(volume.name.as_str()), "Volume names must be unique.")?;
        check_volume(volume)?;
    }
    let mounts = containers.iter().chain(init_containers).flatten();
    for mount in mounts.flat_map(|container| container.volume_mounts.iter().flatten()) {
        let source = mount.name.as_deref().unwrap_or_default();
        if !names.contains(source) {
            return Err(WireError::invalid(format!("name '{source}' of a volume mount must name a volume.")));
        }
        require(
            mount.mount_path.as_deref().is_some_and(|path| !path.is_empty()),
            "mountPath of a volume mount is required.",
        )?;
    }
    Ok(())
}

fn check_volume(volume: &model::EksVolume) -> Result<(), WireError> {
    let model::EksVolume { empty_dir, host_path, name: _, persistent_volume_claim, secret } = volume;
    let kinds =
        [empty_dir.is_some(), host_path.is_some(), persistent_volume_claim.is_some(), secret.is_some()];
    require(
        kinds.into_iter().filter(|given| *given).count() <= 1,
        "When the volume parameter is specified, only one volume configuration type should be used.",
    )?;
    let Some(model::EksEmptyDir { medium, size_limit }) = empty_dir else { return Ok(()) };
    require(
        medium.as_deref().is_none_or(|medium| ["", "Memory"].contains(&medium)),
        "medium of emptyDir must be empty or Memory.",
    )?;
    require(
        size_limit.as_deref().is_none_or(|limit| limit.strip_suffix("Mi").and_then(whole).is_some()),
        "Invalid empty dir size limit.",
    )
}

pub(super) fn check_container_security(
    context: &model::EksContainerSecurityContext,
) -> Result<(), WireError> {
    let model::EksContainerSecurityContext {
        allow_privilege_escalation: _,
        capabilities,
        privileged: _,
        read_only_root_filesystem: _,
        run_as_group,
        run_as_non_root: _,
        run_as_user,
        seccomp_profile,
    } = context;
    check_ids([("runAsGroup", run_as_group), ("runAsUser", run_as_user)])?;
    let lists = capabilities.iter().flat_map(|capabilities| [&capabilities.add, &capabilities.drop]);
    require(
        lists.flatten().all(|list| list.len() <= CAPABILITIES_MAX),
        "At most 64 capabilities can be added, and at most 64 dropped.",
    )?;
    seccomp_profile.as_ref().map_or(Ok(()), check_seccomp)
}

fn check_ids<const N: usize>(given: [(&str, &Option<i64>); N]) -> Result<(), WireError> {
    match given.iter().find(|(_, id)| id.is_some_and(|id| !IDS.contains(&id))) {
        None => Ok(()),
        Some((member, _)) => {
            let max = IDS.end();
            Err(WireError::invalid(format!("{member} must be between 0 and {max}.")))
        }
    }
}

fn check_seccomp(profile: &model::EksSeccompProfile) -> Result<(), WireError> {
    let model::EksSeccompProfile { localhost_profile, r#type } = profile;
    require(
        localhost_profile.is_some() == (*r#type == model::EksSeccompProfileType::Localhost),
        "localhostProfile of a seccompProfile must be given for type Localhost, and only for it.",
    )
}

fn check_metadata(metadata: &model::EksMetadata) -> Result<(), WireError> {
    let model::EksMetadata { annotations, labels, namespace } = metadata;
    check_keys(labels, "label")?;
    check_keys(annotations, "annotation")?;
    for (key, value) in labels.iter().flatten() {
        if !value.is_empty() && !is_label(value) {
            return Err(WireError::invalid(format!(
                "The value {value} of the pod label {key} does not match a valid pattern."
            )));
        }
    }
    namespace.as_deref().map_or(Ok(()), check_namespace)
}

/// Keys of labels and annotations: `name` or `prefix/name`.
fn check_keys(given: &Option<BTreeMap<String, String>>, kind: &str) -> Result<(), WireError> {
    for key in given.iter().flatten().map(|(key, _)| key) {
        let (prefix, name) = key.split_once('/').map_or((None, key.as_str()), |(p, n)| (Some(p), n));
        if !is_label(name) {
            return Err(WireError::invalid(format!(
                "The name {name} of the pod {kind} key does not match a valid pattern."
            )));
        }
        let Some(prefix) = prefix else { continue };
        if RESERVED.iter().any(|reserved| prefix.contains(reserved)) {
            return Err(WireError::invalid(format!(
                "The prefix {prefix} of the pod {kind} key cannot contain terms from the Kubernetes reserved namespaces."
            )));
        }
        if prefix.len() > PREFIX_MAX || !prefix.split('.').all(is_dns_label) {
            return Err(WireError::invalid(format!(
                "The prefix {prefix} of the pod {kind} key does not match a valid pattern."
            )));
        }
    }
    Ok(())
}

fn check_namespace(namespace: &str) -> Result<(), WireError> {
    require(namespace != "default", "kubernetesNamespace cannot be the default Kubernetes namespace.")?;
    require(
        !namespace.starts_with("kube-"),
        "kubernetesNamespace cannot be a reserved Kubernetes system namespace.",
    )?;
    require(is_dns_label(namespace), "kubernetesNamespace must be a valid Kubernetes namespace.")
}

/// Up to 63 letters, digits, `-`, `_` and `.`, the first and last a letter or digit.
fn is_label(text: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= LABEL_MAX
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Up to 63 lower-case letters, digits and `-`, the first and last a letter or digit.
fn is_dns_label(text: &str) -> bool {
    is_label(text) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_pods_share() {
        let outcome = |members: &Value| {
            let mut pod = json!({ "containers": [{ "image": "x" }] });
            pod.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            check(&serde_json::from_value(pod).unwrap()).map_err(|error| error.message)
        };
        let volume = |kind: Value| {
            let mut volume = json!({ "name": "v" });
            volume.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
            json!({ "volumes": [volume] })
        };
        let label = |key: &str, value: &str| json!({ "metadata": { "labels": { key: value } } });
        let namespace = |name: &str| json!({ "metadata": { "namespace": name } });
        for good in [
            json!({ "dnsPolicy": "ClusterFirstWithHostNet", "securityContext": { "runAsUser": 1000, "fsGroup": 0 } }),
            volume(json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } })),
            volume(json!({ "hostPath": { "path": "/data" } })),
            label("example.com/team", "a-b"),
            label("team", ""),
            namespace("jobs-1"),
        ] {
            assert_eq!(outcome(&good), Ok(()), "{good}");
        }
        let reserved = "cannot contain terms from the Kubernetes reserved namespaces.";
        let system = "kubernetesNamespace cannot be a reserved Kubernetes system namespace.";
        for (pod, want) in [
            (volume(json!({ "emptyDir": { "sizeLimit": "64" } })), "Invalid empty dir size limit."),
            (
                volume(json!({ "emptyDir": { "medium": "Disk" } })),
                "medium of emptyDir must be empty or Memory.",
            ),
            (
                volume(json!({ "emptyDir": {}, "hostPath": {} })),
                "When the volume parameter is specified, only one volume configuration type should be used.",
            ),
            (
                json!({ "containers": [{ "image": "x", "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }] }),
                "name 'v' of a volume mount must name a volume.",
            ),
            (label("-a", "b"), "The name -a of the pod label key does not match a valid pattern."),
            (
                label("app.kubernetes.io/name", "b"),
                &format!("The prefix app.kubernetes.io of the pod label key {reserved}"),
            ),
            (
                json!({ "metadata": { "annotations": { "k8s.io/x": "b" } } }),
                &format!("The prefix k8s.io of the pod annotation key {reserved}"),
            ),
            (label("a", "-"), "The value - of the pod label a does not match a valid pattern."),
            (namespace("kube-system"), system),
            (namespace("default"), "kubernetesNamespace cannot be the default Kubernetes namespace."),
            (namespace("A"), "kubernetesNamespace must be a valid Kubernetes namespace."),
            (
                json!({ "securityContext": { "runAsUser": -1 } }),
                "runAsUser must be between 0 and 2147483647.",
            ),
        ] {
            assert_eq!(outcome(&pod), Err(want.to_owned()), "{pod}");
        }
    }

    #[test]
    fn security_of_a_container() {
        let outcome =
            |context: Value| check_container_security(&serde_json::from_value(context).unwrap()).is_ok();
        assert!(outcome(json!({ "privileged": true, "capabilities": { "add": ["NET_ADMIN"] } })));
        assert!(outcome(json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "p" } })));
        assert!(!outcome(json!({ "seccompProfile": { "type": "Localhost" } })));
        assert!(!outcome(json!({ "seccompProfile": { "type": "Unconfined", "localhostProfile": "p" } })));
        assert!(!outcome(json!({ "runAsGroup": 2_147_483_648_i64 })));
        assert!(!outcome(json!({ "capabilities": { "drop": vec!["ALL"; 65] } })));
    }
}
