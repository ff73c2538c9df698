//! Whether a compute environment makes sense as a whole. The same rules hold for a new one and for the result of an update.
//!
//! Nothing outside the request is asked: roles and subnets need not exist anywhere.
//!
//! Source: AWS Batch API reference, ComputeResource and EksConfiguration; texts as observed.

use std::collections::BTreeSet;

use fornada_core::arn::Scope;
use fornada_model::batch as model;

use super::super::require::require;
use super::instance_types;
use super::update::is_unset;
use crate::error::WireError;

/// The path of the service-linked role's name.
pub(super) const SERVICE_LINKED: &str = "aws-service-role/batch.amazonaws.com";

/// Minutes.
const SCALE_DOWN_DELAY: std::ops::RangeInclusive<i32> = 20..=10_080;
const FARGATE_SECURITY_GROUPS_MAX: usize = 5;
const FARGATE_SUBNETS_MAX: usize = 16;
const EC2_CONFIGURATIONS_MAX: usize = 2;
const LAUNCH_TEMPLATE_OVERRIDES_MAX: usize = 10;
/// Characters of a namespace. Source: RFC 1123 labels.
const NAMESPACE_MAX: usize = 63;
const ECS_IMAGE_TYPES: [&str; 4] = ["ECS_AL2", "ECS_AL2_NVIDIA", "ECS_AL2023", "ECS_AL2023_NVIDIA"];
const EKS_IMAGE_TYPES: [&str; 4] = ["EKS_AL2", "EKS_AL2_NVIDIA", "EKS_AL2023", "EKS_AL2023_NVIDIA"];

pub(super) fn check(detail: &model::ComputeEnvironmentDetail, scope: &Scope) -> Result<(), WireError> {
    let eks = detail.eks_configuration.as_ref();
    if detail.r#type == Some(model::CEType::Unmanaged) {
        require(detail.service_role.is_some(), "ServiceRole is required.")?;
        require(eks.is_none(), "eksConfiguration is not applicable for UNMANAGED compute environments.")?;
        return require(
            detail.unmanaged_vcpus.is_none_or(|n| n >= 0),
            "unmanagedvCpus should be greater than or equal to 0.",
        );
    }
    require(
        detail.unmanaged_vcpus.is_none(),
        "unmanagedvCpus is only applicable for UNMANAGED compute environments.",
    )?;
    let resources = detail.compute_resources.as_ref().ok_or_else(|| {
        WireError::invalid("computeResources must be specified when creating a MANAGED environment")
    })?;
    if let Some(eks) = eks {
        check_eks(eks, resources, scope)?;
    }
    check_capacity(resources)?;
    check_managed_instances(resources)?;
    match resources.r#type {
        model::CRType::Ec2 | model::CRType::Spot => check_instances(resources, eks.is_some()),
        model::CRType::Fargate | model::CRType::FargateSpot => check_fargate(resources),
        model::CRType::EcsManagedInstances => Ok(()),
    }
}

pub(super) fn is_service_linked(role: &str) -> bool {
    role.contains(SERVICE_LINKED)
}

pub(super) fn is_fargate(r#type: model::CRType) -> bool {
    matches!(r#type, model::CRType::Fargate | model::CRType::FargateSpot)
}

fn check_eks(
    eks: &model::EksConfiguration,
    resources: &model::ComputeResource,
    scope: &Scope,
) -> Result<(), WireError> {
    let model::EksConfiguration {
        access_entry: _,
        eks_cluster_arn: cluster,
        kubernetes_namespace: namespace,
    } = eks;
    require(
        resources.allocation_strategy.is_some(),
        "allocationStrategy is required for EKS Compute Environments.",
    )?;
    require(
        matches!(resources.r#type, model::CRType::Ec2 | model::CRType::Spot),
        "Supported compute types for EKS compute environments are [EC2, SPOT]",
    )?;
    let parts: Vec<&str> = cluster.splitn(6, ':').collect();
    let ["arn", _, "eks", region, _, resource] = parts[..] else {
        return Err(WireError::invalid("eksClusterArn must be an EKS cluster ARN."));
    };
    require(resource.starts_with("cluster/"), "eksClusterArn must be an EKS cluster ARN.")?;
    require(
        region == scope.region.as_str(),
        "eksClusterArn must be in the same AWS region as the compute environment",
    )?;
    require(namespace != "default", "kubernetesNamespace cannot be the default Kubernetes namespace")?;
    require(
        !namespace.starts_with("kube-"),
        "kubernetesNamespace cannot be a reserved Kubernetes system namespace",
    )?;
    require(
        namespace.len() <= NAMESPACE_MAX,
        "kubernetesNamespace must less than or equal to 63 characters",
    )?;
    require(is_label(namespace), "kubernetesNamespace must be a valid Kubernetes namespace.")
}

/// Lower-case letters, digits and inner hyphens.
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn check_capacity(resources: &model::ComputeResource) -> Result<(), WireError> {
    let model::ComputeResource { min_vcpus, max_vcpus, desired_vcpus, scaling_policy, .. } = resources;
    let min = min_vcpus.unwrap_or(0);
    require(min >= 0, "minvCpus should be greater than or equal to 0.")?;
    require(*max_vcpus >= 0, "maxvCpus should be greater than or equal to 0.")?;
    require(min <= *max_vcpus, "minvCpus should be less than or equal to maxvCpus.")?;
    require(
        desired_vcpus.is_none_or(|desired| (min..=*max_vcpus).contains(&desired)),
        "desiredvCpus should be between minvCpus and maxvCpus.",
    )?;
    let delay = scaling_policy.as_ref().filter(|policy| !is_unset(policy));
    let delay = delay.and_then(|policy| policy.min_scale_down_delay_minutes);
    require(
        delay.is_none_or(|minutes| SCALE_DOWN_DELAY.contains(&minutes)),
        "minScaleDownDelayMinutes must be between 20 and 10080, or 0 for none.",
    )
}

fn check_managed_instances(resources: &model::ComputeResource) -> Result<(), WireError> {
    let provider = resources.managed_instances_provider.is_some();
    if resources.r#type == model::CRType::EcsManagedInstances {
        require(provider, "managedInstancesProvider is required for ECS_MANAGED_INSTANCES.")?;
        return require(
            resources.allocation_strategy.is_none(),
            "allocationStrategy is not applicable for ECS_MANAGED_INSTANCES.",
        );
    }
    require(!provider, "managedInstancesProvider is only applicable for ECS_MANAGED_INSTANCES.")?;
    require(resources.capacity_tags.is_none(), "capacityTags is only applicable for ECS_MANAGED_INSTANCES.")
}

fn check_instances(resources: &model::ComputeResource, eks: bool) -> Result<(), WireError> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let filled = |list: &Option<Vec<String>>| list.as_deref().is_some_and(|list| !list.is_empty());
    require(given(&resources.instance_role), "Instance role is required.")?;
    require(resources.min_vcpus.is_some(), "Resource minvCpus is required.")?;
    require(filled(&resources.instance_types), "Resource instanceTypes are required.")?;
    require(
        filled(&resources.security_group_ids) || resources.launch_template.is_some(),
        "Security group ids are required.",
    )?;
    // BEST_FIT is also what an absent strategy means.
    let best_fit = matches!(resources.allocation_strategy, None | Some(model::CRAllocationStrategy::BestFit));
    require(
        resources.r#type != model::CRType::Spot || !best_fit || given(&resources.spot_iam_fleet_role),
        "compute resource spotIamFleetRole is required.",
    )?;
    check_strategy(resources)?;
    instance_types::checked(resources.instance_types.as_deref().unwrap_or_default())?;
    if let Some(template) = &resources.launch_template {
        check_launch_template(template, resources.instance_types.as_deref().unwrap_or_default())?;
    }
    let configurations = resources.ec2_configuration.as_deref().unwrap_or_default();
    require(configurations.len() <= EC2_CONFIGURATIONS_MAX, "ec2Configuration can have at most 2 entries.")?;
    let known = if eks { EKS_IMAGE_TYPES } else { ECS_IMAGE_TYPES };
    require(
        configurations.iter().all(|configuration| known.contains(&configuration.image_type.as_str())),
        "Invalid imageType in ComputeResources.ec2Configuration",
    )
}

/// Some strategies are for one type only.
fn check_strategy(resources: &model::ComputeResource) -> Result<(), WireError> {
    use model::CRAllocationStrategy as Strategy;
    let Some(strategy) = resources.allocation_strategy else { return Ok(()) };
    let only = match strategy {
        Strategy::BestFit | Strategy::BestFitProgressive => return Ok(()),
        Strategy::BestFitProgressiveOrdered => model::CRType::Ec2,
        Strategy::SpotCapacityOptimized
        | Strategy::SpotPriceCapacityOptimized
        | Strategy::SpotCapacityOptimizedPrioritized => model::CRType::Spot,
    };
    if resources.r#type != only {
        return Err(WireError::invalid(format!(
            "allocationStrategy {strategy} is only applicable for {only}."
        )));
    }
    Ok(())
}

fn check_launch_template(
    template: &model::LaunchTemplateSpecification,
    instance_types: &[String],
) -> Result<(), WireError> {
    const SELECTOR: &str =
        "One of LaunchTemplateId and LaunchTemplateName or LaunchTemplate.overrides should be provided";
    let model::LaunchTemplateSpecification {
        launch_template_id: id,
        launch_template_name: name,
        overrides,
        userdata_type: _,
        version: _,
    } = template;
    let overrides = overrides.as_deref().unwrap_or_default();
    require(!(id.is_some() && name.is_some()), SELECTOR)?;
    require(id.is_some() || name.is_some() || !overrides.is_empty(), SELECTOR)?;
    require(
        overrides.len() <= LAUNCH_TEMPLATE_OVERRIDES_MAX,
        "launchTemplate.overrides can have at most 10 entries.",
    )?;
    let mut targets = BTreeSet::new();
    for entry in overrides {
        let model::LaunchTemplateSpecificationOverride {
            launch_template_id: id,
            launch_template_name: name,
            target_instance_types,
            userdata_type: _,
            version: _,
        } = entry;
        require(id.is_some() != name.is_some(), SELECTOR)?;
        let own = target_instance_types.as_deref().unwrap_or_default();
        require(!own.is_empty(), "targetInstanceTypes is required in launchTemplate.overrides.")?;
        for target in own {
            let fault = if !is_offered(target, instance_types) {
                "must be among the instanceTypes of the compute environment, and not a group of types"
            } else if !targets.insert(target) {
                "must not be repeated"
            } else {
                continue;
            };
            return Err(WireError::invalid(format!("targetInstanceTypes: {target} {fault}.")));
        }
    }
    Ok(())
}

/// Whether `target`, a type or family, is one of `instance_types` or of a family or group there.
fn is_offered(target: &str, instance_types: &[String]) -> bool {
    let is_group = |name: &str| name == "optimal" || name.starts_with("default_");
    let family = target.split('.').next().unwrap_or(target);
    let offers = |offered: &String| offered == target || offered == family || is_group(offered);
    !is_group(target) && instance_types.iter().any(offers)
}

fn check_fargate(resources: &model::ComputeResource) -> Result<(), WireError> {
    let model::ComputeResource {
        allocation_strategy,
        bid_percentage,
        capacity_tags: _,
        desired_vcpus,
        ec2_configuration,
        ec2_key_pair,
        image_id,
        instance_role,
        instance_types,
        launch_template,
        managed_instances_provider: _,
        max_vcpus: _,
        min_vcpus,
        placement_group,
        scaling_policy,
        security_group_ids,
        spot_iam_fleet_role,
        subnets,
        tags,
        r#type: _,
    } = resources;
    let inapplicable = [
        ("allocationStrategy", allocation_strategy.is_some()),
        ("bidPercentage", bid_percentage.is_some()),
        ("desiredvCpus", desired_vcpus.is_some()),
        ("ec2Configuration", ec2_configuration.is_some()),
        ("ec2KeyPair", ec2_key_pair.is_some()),
        ("imageId", image_id.is_some()),
        ("instanceRole", instance_role.is_some()),
        ("instanceTypes", instance_types.is_some()),
        ("launchTemplate", launch_template.is_some()),
        ("minvCpus", min_vcpus.is_some()),
        ("placementGroup", placement_group.is_some()),
        ("scalingPolicy", scaling_policy.is_some()),
        ("spotIamFleetRole", spot_iam_fleet_role.is_some()),
        ("tags", tags.is_some()),
    ];
    if let Some((member, _)) = inapplicable.iter().find(|(_, given)| *given) {
        return Err(WireError::invalid(format!("{member} is not applicable for Fargate.")));
    }
    let (groups, subnets) = (security_group_ids.as_deref(), subnets.as_deref());
    require(groups.is_some_and(|ids| !ids.is_empty()), "Security group ids are required.")?;
    require(
        groups.is_none_or(|ids| ids.len() <= FARGATE_SECURITY_GROUPS_MAX),
        "Fargate supports a maximum of 5 security groups.",
    )?;
    require(
        subnets.is_none_or(|ids| ids.len() <= FARGATE_SUBNETS_MAX),
        "Fargate supports a maximum of 16 subnets.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn outcome(detail: Value) -> Result<(), String> {
        let mut whole =
            json!({ "computeEnvironmentArn": "", "computeEnvironmentName": "", "type": "MANAGED" });
        patch(&mut whole, &detail);
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        check(&serde_json::from_value(whole).unwrap(), &scope).map_err(|error| error.message)
    }

    /// `changes` over `base`; null removes.
    fn patch(base: &mut Value, changes: &Value) {
        for (member, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(base.as_object_mut().unwrap().remove(member)),
                value => base[member] = value.clone(),
            }
        }
    }

    fn with(mut base: Value, changes: &Value) -> Value {
        patch(&mut base, changes);
        base
    }

    fn ec2() -> Value {
        json!({ "type": "EC2", "maxvCpus": 8, "minvCpus": 0, "instanceRole": "r", "instanceTypes": ["optimal"],
            "securityGroupIds": ["sg"], "subnets": ["s"] })
    }

    #[test]
    fn unmanaged_and_managed() {
        let role = json!({ "type": "UNMANAGED", "serviceRole": "r", "unmanagedvCpus": 4 });
        assert_eq!(outcome(role.clone()), Ok(()));
        let cases = [
            (with(role, &json!({ "serviceRole": null })), "ServiceRole is required."),
            (json!({}), "computeResources must be specified when creating a MANAGED environment"),
            (
                json!({ "computeResources": ec2(), "unmanagedvCpus": 4 }),
                "unmanagedvCpus is only applicable for UNMANAGED compute environments.",
            ),
        ];
        for (detail, want) in cases {
            assert_eq!(outcome(detail.clone()), Err(want.into()), "{detail}");
        }
    }

    #[test]
    fn instances() {
        let template =
            |template: Value| json!({ "launchTemplate": template, "instanceTypes": ["c5", "m5.large"] });
        let target = |types: Value| {
            let entry = json!({ "launchTemplateId": "lt", "targetInstanceTypes": types });
            template(json!({ "overrides": [entry] }))
        };
        for good in [
            json!({}),
            json!({ "type": "SPOT", "spotIamFleetRole": "r" }),
            json!({ "type": "SPOT", "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED" }),
            json!({ "securityGroupIds": null, "launchTemplate": { "launchTemplateName": "lt" } }),
            json!({ "desiredvCpus": 8, "scalingPolicy": { "minScaleDownDelayMinutes": 20 } }),
            json!({ "ec2Configuration": [{ "imageType": "ECS_AL2023" }, { "imageType": "ECS_AL2_NVIDIA" }] }),
            target(json!(["c5.large", "m5.large"])),
        ] {
            assert_eq!(outcome(json!({ "computeResources": with(ec2(), &good) })), Ok(()), "{good}");
        }
        let selector =
            "One of LaunchTemplateId and LaunchTemplateName or LaunchTemplate.overrides should be provided";
        let image = "Invalid imageType in ComputeResources.ec2Configuration";
        let among = "must be among the instanceTypes of the compute environment, and not a group of types.";
        let cases = [
            (json!({ "instanceRole": null }), "Instance role is required."),
            (json!({ "minvCpus": null }), "Resource minvCpus is required."),
            (json!({ "minvCpus": -1 }), "minvCpus should be greater than or equal to 0."),
            (json!({ "minvCpus": 9 }), "minvCpus should be less than or equal to maxvCpus."),
            (json!({ "desiredvCpus": 9 }), "desiredvCpus should be between minvCpus and maxvCpus."),
            (json!({ "instanceTypes": [] }), "Resource instanceTypes are required."),
            (json!({ "securityGroupIds": [] }), "Security group ids are required."),
            (json!({ "type": "SPOT" }), "compute resource spotIamFleetRole is required."),
            (
                json!({ "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED" }),
                "allocationStrategy SPOT_CAPACITY_OPTIMIZED is only applicable for SPOT.",
            ),
            (
                json!({ "type": "SPOT", "allocationStrategy": "BEST_FIT_PROGRESSIVE_ORDERED" }),
                "allocationStrategy BEST_FIT_PROGRESSIVE_ORDERED is only applicable for EC2.",
            ),
            (
                json!({ "instanceTypes": ["m6i", "no.such"] }),
                &instance_types::checked(&["no.such".to_owned()]).unwrap_err().message,
            ),
            (
                json!({ "instanceTypes": ["m6g", "m6i"] }),
                "All instanceTypes must have the same architecture.",
            ),
            (template(json!({})), selector),
            (template(json!({ "launchTemplateId": "a", "launchTemplateName": "b" })), selector),
            (template(json!({ "overrides": [{ "targetInstanceTypes": ["c5"] }] })), selector),
            (target(json!([])), "targetInstanceTypes is required in launchTemplate.overrides."),
            (target(json!(["c6.large"])), &format!("targetInstanceTypes: c6.large {among}")),
            (target(json!(["optimal"])), &format!("targetInstanceTypes: optimal {among}")),
            (target(json!(["c5", "c5"])), "targetInstanceTypes: c5 must not be repeated."),
            (json!({ "ec2Configuration": [{ "imageType": "EKS_AL2" }] }), image),
            (
                json!({ "scalingPolicy": { "minScaleDownDelayMinutes": 19 } }),
                "minScaleDownDelayMinutes must be between 20 and 10080, or 0 for none.",
            ),
            (json!({ "capacityTags": {} }), "capacityTags is only applicable for ECS_MANAGED_INSTANCES."),
            (
                json!({ "type": "ECS_MANAGED_INSTANCES" }),
                "managedInstancesProvider is required for ECS_MANAGED_INSTANCES.",
            ),
            (
                json!({ "type": "ECS_MANAGED_INSTANCES", "allocationStrategy": "BEST_FIT",
                    "managedInstancesProvider": { "infrastructureRoleArn": "r", "instanceLaunchTemplate":
                        { "ec2InstanceProfileArn": "p", "networkConfiguration":
                            { "securityGroups": ["sg"], "subnets": ["s"] } } } }),
                "allocationStrategy is not applicable for ECS_MANAGED_INSTANCES.",
            ),
        ];
        for (changes, want) in cases {
            let resources = with(ec2(), &changes);
            assert_eq!(outcome(json!({ "computeResources": resources })), Err(want.into()), "{changes}");
        }
    }

    #[test]
    fn fargate() {
        let fargate =
            json!({ "type": "FARGATE_SPOT", "maxvCpus": 8, "securityGroupIds": ["sg"], "subnets": ["s"] });
        assert_eq!(outcome(json!({ "computeResources": fargate })), Ok(()));
        let cases = [
            (json!({ "desiredvCpus": 1 }), "desiredvCpus is not applicable for Fargate."),
            (json!({ "minvCpus": 0 }), "minvCpus is not applicable for Fargate."),
            (json!({ "instanceTypes": ["optimal"] }), "instanceTypes is not applicable for Fargate."),
            (json!({ "tags": {} }), "tags is not applicable for Fargate."),
            (json!({ "securityGroupIds": null }), "Security group ids are required."),
            (json!({ "securityGroupIds": vec!["x"; 6] }), "Fargate supports a maximum of 5 security groups."),
            (json!({ "subnets": vec!["x"; 17] }), "Fargate supports a maximum of 16 subnets."),
        ];
        for (changes, want) in cases {
            let resources = with(fargate.clone(), &changes);
            assert_eq!(outcome(json!({ "computeResources": resources })), Err(want.into()), "{changes}");
        }
    }

    #[test]
    fn eks() {
        let arn = "arn:aws:eks:eu-west-1:000000000000:cluster/c";
        let configuration = json!({ "eksClusterArn": arn, "kubernetesNamespace": "batch" });
        let resources = with(ec2(), &json!({ "allocationStrategy": "BEST_FIT_PROGRESSIVE" }));
        let try_one = |eks: &Value, changes: &Value| {
            let resources = with(resources.clone(), changes);
            outcome(
                json!({ "eksConfiguration": with(configuration.clone(), eks), "computeResources": resources }),
            )
        };
        let same = json!({});
        assert_eq!(try_one(&same, &same), Ok(()));
        let cases = [
            (
                &same,
                json!({ "allocationStrategy": null }),
                "allocationStrategy is required for EKS Compute Environments.",
            ),
            (
                &same,
                json!({ "type": "FARGATE" }),
                "Supported compute types for EKS compute environments are [EC2, SPOT]",
            ),
            (
                &same,
                json!({ "ec2Configuration": [{ "imageType": "ECS_AL2" }] }),
                "Invalid imageType in ComputeResources.ec2Configuration",
            ),
        ];
        for (eks, changes, want) in cases {
            assert_eq!(try_one(eks, &changes), Err(want.into()), "{changes}");
        }
        let long = "n".repeat(64);
        let cases = [
            ("eksClusterArn", "c", "eksClusterArn must be an EKS cluster ARN."),
            (
                "eksClusterArn",
                "arn:aws:eks:us-east-1:000000000000:cluster/c",
                "eksClusterArn must be in the same AWS region as the compute environment",
            ),
            (
                "kubernetesNamespace",
                "default",
                "kubernetesNamespace cannot be the default Kubernetes namespace",
            ),
            (
                "kubernetesNamespace",
                "kube-system",
                "kubernetesNamespace cannot be a reserved Kubernetes system namespace",
            ),
            ("kubernetesNamespace", &long, "kubernetesNamespace must less than or equal to 63 characters"),
            ("kubernetesNamespace", "a-", "kubernetesNamespace must be a valid Kubernetes namespace."),
        ];
        for (member, value, want) in cases {
            assert_eq!(try_one(&json!({ member: value }), &same), Err(want.into()), "{value}");
        }
    }
}
