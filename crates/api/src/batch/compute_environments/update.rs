//! What UpdateComputeEnvironment makes of an environment: members that are given replace, absent ones stay, empty ones
//! clear where the service lets them. Whether the whole is valid is checked afterwards, as for a new environment.
//!
//! Source: AWS Batch API reference, UpdateComputeEnvironment and ComputeResourceUpdate.

use fornada_model::batch as model;
use serde_json::Value;

use super::super::require::require;
use super::validate::{is_fargate, is_service_linked};
use crate::error::WireError;

/// An environment after an update.
#[derive(Debug)]
pub(super) struct Merged {
    /// All of it but its state.
    pub(super) detail: model::ComputeEnvironmentDetail,
    /// Whether more changes than how many instances there are: those that run are replaced.
    pub(super) replaces_instances: bool,
}

/// `existing` after `request`; its state is for the caller.
pub(super) fn merged(
    existing: model::ComputeEnvironmentDetail,
    request: model::UpdateComputeEnvironmentRequest,
) -> Result<Merged, WireError> {
    let model::UpdateComputeEnvironmentRequest {
        compute_environment: _,
        compute_resources,
        context,
        ecs_settings,
        eks_configuration,
        service_role,
        state: _,
        unmanaged_vcpus,
        update_policy,
    } = request;
    let (mut detail, mut replaces_instances) = (existing, false);
    if let Some(update) = compute_resources {
        let managed =
            detail.compute_resources.take().filter(|_| detail.r#type == Some(model::CEType::Managed));
        let resources = managed.ok_or_else(|| {
            WireError::invalid("computeResources can only be updated for MANAGED compute environments.")
        })?;
        let eks = detail.eks_configuration.is_some();
        let unchanged = merged_resources(resources.clone(), model::ComputeResourceUpdate::default(), eks)?;
        let new_image = update.update_to_latest_image_version == Some(true);
        let merged = merged_resources(resources, update, eks)?;
        replaces_instances = new_image || is_replacement(&unchanged, &merged);
        if replaces_instances {
            check_replaceable(&unchanged, detail.service_role.as_deref())?;
        }
        detail.compute_resources = Some(merged);
    }
    if let Some(role) = service_role.filter(|role| !role.is_empty()) {
        let linked = detail.service_role.as_deref().is_some_and(is_service_linked);
        require(
            linked == is_service_linked(&role),
            "serviceRole cannot change between the service-linked role and another role.",
        )?;
        detail.service_role = Some(role);
    }
    if let Some(model::EksConfigurationUpdate { access_entry }) = eks_configuration {
        let eks = detail.eks_configuration.as_mut();
        let eks = eks.ok_or_else(|| WireError::invalid("eksConfiguration is not applicable for ECS."))?;
        eks.access_entry = access_entry.or(eks.access_entry.take());
    }
    if let Some(model::UpdatePolicy { job_execution_timeout_minutes, terminate_jobs_on_update }) =
        update_policy
    {
        let before = detail.update_policy.unwrap_or_default();
        detail.update_policy = Some(model::UpdatePolicy {
            job_execution_timeout_minutes: job_execution_timeout_minutes
                .or(before.job_execution_timeout_minutes),
            terminate_jobs_on_update: terminate_jobs_on_update.or(before.terminate_jobs_on_update),
        });
    }
    detail.context = context.or(detail.context);
    detail.ecs_settings = ecs_settings.or(detail.ecs_settings);
    detail.unmanaged_vcpus = unmanaged_vcpus.or(detail.unmanaged_vcpus);
    Ok(Merged { detail, replaces_instances })
}

fn merged_resources(
    existing: model::ComputeResource,
    update: model::ComputeResourceUpdate,
    eks: bool,
) -> Result<model::ComputeResource, WireError> {
    let model::ComputeResourceUpdate {
        allocation_strategy,
        bid_percentage,
        capacity_tags,
        desired_vcpus,
        ec2_configuration,
        ec2_key_pair,
        image_id,
        instance_role,
        instance_types,
        launch_template,
        managed_instances_provider,
        max_vcpus,
        min_vcpus,
        placement_group,
        scaling_policy,
        security_group_ids,
        subnets,
        tags,
        r#type,
        update_to_latest_image_version: _, // instances have no images of their own here
    } = update;
    let r#type = r#type.unwrap_or(existing.r#type);
    require(
        family(r#type) == family(existing.r#type),
        "The type of a compute environment can only change between EC2 and SPOT, or FARGATE and FARGATE_SPOT.",
    )?;
    require(!(eks && desired_vcpus.is_some()), "desiredvCpus is not applicable for EKS.")?;
    require(
        desired_vcpus.is_none_or(|desired| desired >= existing.desired_vcpus.unwrap_or(0)),
        "Manually scaling down compute environment is not supported. Disconnecting job queues from compute \
         environment will cause it to scale-down to minvCpus.",
    )?;
    let (min, max) = (min_vcpus.or(existing.min_vcpus), max_vcpus.unwrap_or(existing.max_vcpus));
    // What was desired earlier moves with its bounds; what is desired now has to lie within them.
    let moved = |desired: i32| desired.max(min.unwrap_or(0)).min(max);
    // An empty list of these means "no change" on Fargate, "none" elsewhere.
    let network = |given: Option<Vec<String>>, existing: Option<Vec<String>>| {
        given.filter(|ids| !(is_fargate(r#type) && ids.is_empty())).or(existing)
    };
    Ok(model::ComputeResource {
        allocation_strategy: allocation_strategy.map(strategy).or(existing.allocation_strategy),
        bid_percentage: bid_percentage.or(existing.bid_percentage),
        capacity_tags: capacity_tags.or(existing.capacity_tags),
        desired_vcpus: desired_vcpus.or(existing.desired_vcpus.map(moved)),
        ec2_configuration: ec2_configuration.or(existing.ec2_configuration).filter(|list| !list.is_empty()),
        ec2_key_pair: cleared(ec2_key_pair, existing.ec2_key_pair),
        image_id: cleared(image_id, existing.image_id),
        instance_role: instance_role.or(existing.instance_role),
        instance_types: instance_types.or(existing.instance_types),
        launch_template: launch_template
            .or(existing.launch_template)
            .filter(|template| !is_removal(template)),
        managed_instances_provider: match (existing.managed_instances_provider, managed_instances_provider) {
            (Some(existing), Some(update)) => Some(provider(&existing, &update)?),
            (None, Some(_)) => {
                return Err(WireError::invalid(
                    "managedInstancesProvider is only applicable for ECS_MANAGED_INSTANCES.",
                ));
            }
            (existing, None) => existing,
        },
        max_vcpus: max,
        min_vcpus: min,
        placement_group: cleared(placement_group, existing.placement_group),
        scaling_policy: scaling_policy.or(existing.scaling_policy).filter(|policy| !is_unset(policy)),
        security_group_ids: network(security_group_ids, existing.security_group_ids),
        spot_iam_fleet_role: existing.spot_iam_fleet_role,
        subnets: network(subnets, existing.subnets),
        tags: tags.or(existing.tags),
        r#type,
    })
}

/// Whether an update changes more than how many instances there are, and so replaces them.
fn is_replacement(existing: &model::ComputeResource, merged: &model::ComputeResource) -> bool {
    let scaled = model::ComputeResource {
        desired_vcpus: merged.desired_vcpus,
        max_vcpus: merged.max_vcpus,
        min_vcpus: merged.min_vcpus,
        scaling_policy: merged.scaling_policy.clone(),
        ..existing.clone()
    };
    scaled != *merged
}

/// Fargate and managed instances can always be replaced.
///
/// Source: AWS Batch User Guide, Updating a compute environment, infrastructure updates.
fn check_replaceable(existing: &model::ComputeResource, role: Option<&str>) -> Result<(), WireError> {
    if !matches!(existing.r#type, model::CRType::Ec2 | model::CRType::Spot) {
        return Ok(());
    }
    require(
        !matches!(existing.allocation_strategy, None | Some(model::CRAllocationStrategy::BestFit)),
        "A compute environment with the allocation strategy BEST_FIT can only change its state, service role, vCPUs and \
         scaling policy: create another one instead.",
    )?;
    require(
        role.is_some_and(is_service_linked),
        "Only a compute environment with the service-linked role can change more than its state, service role, vCPUs \
         and scaling policy: create another one instead.",
    )
}

/// Types that an environment can move between have the same.
fn family(r#type: model::CRType) -> u8 {
    match r#type {
        model::CRType::Ec2 | model::CRType::Spot => 0,
        model::CRType::Fargate | model::CRType::FargateSpot => 1,
        model::CRType::EcsManagedInstances => 2,
    }
}

/// BEST_FIT is not among those that an update may ask for.
fn strategy(given: model::CRUpdateAllocationStrategy) -> model::CRAllocationStrategy {
    use model::CRAllocationStrategy as To;
    use model::CRUpdateAllocationStrategy as From;
    match given {
        From::BestFitProgressive => To::BestFitProgressive,
        From::BestFitProgressiveOrdered => To::BestFitProgressiveOrdered,
        From::SpotCapacityOptimized => To::SpotCapacityOptimized,
        From::SpotPriceCapacityOptimized => To::SpotPriceCapacityOptimized,
        From::SpotCapacityOptimizedPrioritized => To::SpotCapacityOptimizedPrioritized,
    }
}

/// An empty text removes.
fn cleared(given: Option<String>, existing: Option<String>) -> Option<String> {
    given.or(existing).filter(|text| !text.is_empty())
}

/// An empty id or name removes the template.
fn is_removal(template: &model::LaunchTemplateSpecification) -> bool {
    let model::LaunchTemplateSpecification { launch_template_id: id, launch_template_name: name, .. } =
        template;
    [id, name].into_iter().flatten().any(String::is_empty)
}

/// 0 unsets.
pub(super) fn is_unset(policy: &model::ComputeScalingPolicy) -> bool {
    policy.min_scale_down_delay_minutes == Some(0)
}

/// Members of the update replace, level by level. The update's type leaves out what cannot change.
fn provider(
    existing: &model::ManagedInstancesProvider,
    update: &model::UpdateManagedInstancesProviderConfiguration,
) -> Result<model::ManagedInstancesProvider, WireError> {
    let mut provider = serde_json::to_value(existing).map_err(WireError::server)?;
    let mut update = serde_json::to_value(update).map_err(WireError::server)?;
    let template = update.as_object_mut().and_then(|members| members.remove("instanceLaunchTemplate"));
    replace_members(&mut provider, update);
    if let (Some(existing), Some(update)) = (provider.get_mut("instanceLaunchTemplate"), template) {
        replace_members(existing, update);
    }
    serde_json::from_value(provider).map_err(WireError::server)
}

fn replace_members(target: &mut Value, source: Value) {
    if let (Value::Object(target), Value::Object(source)) = (target, source) {
        target.extend(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LINKED: &str = "arn:aws:iam::1:role/aws-service-role/batch.amazonaws.com/X";
    const OWN: &str = "arn:aws:iam::1:role/own";

    fn merge(existing: Value, update: Value) -> Result<Value, String> {
        merge_of(LINKED, existing, update)
    }

    fn merge_of(role: &str, existing: Value, update: Value) -> Result<Value, String> {
        let Merged { detail, .. } = merged_of(role, existing, update)?;
        Ok(serde_json::to_value(detail).unwrap())
    }

    fn merged_of(role: &str, existing: Value, update: Value) -> Result<Merged, String> {
        let existing = json!({ "computeEnvironmentArn": "", "computeEnvironmentName": "", "type": "MANAGED",
            "serviceRole": role, "computeResources": existing });
        let mut request = update;
        request["computeEnvironment"] = json!("ce");
        let (existing, request) =
            (serde_json::from_value(existing).unwrap(), serde_json::from_value(request).unwrap());
        merged(existing, request).map_err(|error| error.message)
    }

    #[test]
    fn given_members_replace_and_empty_ones_clear() {
        let ec2 = json!({ "type": "EC2", "maxvCpus": 8, "minvCpus": 0, "desiredvCpus": 2, "imageId": "ami-1",
            "allocationStrategy": "BEST_FIT_PROGRESSIVE",
            "ec2KeyPair": "k", "securityGroupIds": ["sg"], "subnets": ["a"], "tags": { "a": "b" },
            "launchTemplate": { "launchTemplateId": "lt" }, "ec2Configuration": [{ "imageType": "ECS_AL2" }],
            "scalingPolicy": { "minScaleDownDelayMinutes": 20 } });
        let update = json!({ "type": "SPOT", "maxvCpus": 16, "desiredvCpus": 2, "imageId": "", "ec2KeyPair": "",
            "securityGroupIds": [], "launchTemplate": { "launchTemplateId": "" }, "ec2Configuration": [],
            "scalingPolicy": { "minScaleDownDelayMinutes": 0 }, "updateToLatestImageVersion": true });
        let detail = merge(ec2.clone(), json!({ "computeResources": update })).unwrap();
        let want = json!({ "type": "SPOT", "allocationStrategy": "BEST_FIT_PROGRESSIVE", "maxvCpus": 16, "minvCpus": 0, "desiredvCpus": 2, "securityGroupIds": [],
            "subnets": ["a"], "tags": { "a": "b" } });
        assert_eq!(detail["computeResources"], want);
        assert_eq!(merge(ec2.clone(), json!({ "state": "DISABLED" })).unwrap()["computeResources"], ec2);

        let fargate =
            json!({ "type": "FARGATE", "maxvCpus": 8, "securityGroupIds": ["sg"], "subnets": ["a"] });
        let nothing = json!({ "computeResources": { "securityGroupIds": [], "subnets": [] } });
        assert_eq!(merge(fargate.clone(), nothing).unwrap()["computeResources"], fargate);
    }

    #[test]
    fn some_changes_are_refused() {
        let cases = [
            (
                json!({ "computeResources": { "desiredvCpus": 1 } }),
                "Manually scaling down compute environment",
            ),
            (
                json!({ "computeResources": { "type": "FARGATE" } }),
                "The type of a compute environment can only",
            ),
            (
                json!({ "computeResources": { "managedInstancesProvider": {} } }),
                "managedInstancesProvider is only applicable for ECS_MANAGED_INSTANCES.",
            ),
            (json!({ "eksConfiguration": {} }), "eksConfiguration is not applicable for ECS."),
            (json!({ "serviceRole": OWN }), "serviceRole cannot change between"),
        ];
        for (update, want) in cases {
            let error =
                merge(json!({ "type": "EC2", "maxvCpus": 8, "desiredvCpus": 2 }), update).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
    }

    #[test]
    fn instances_are_replaced_with_the_service_linked_role_and_another_strategy_than_best_fit() {
        let outcome = |r#type: &str, strategy: Value, role: &str, update: &Value| {
            let resources = json!({ "type": r#type, "maxvCpus": 8, "allocationStrategy": strategy });
            let merged = merged_of(role, resources, json!({ "computeResources": update }))?;
            Ok::<bool, String>(merged.replaces_instances)
        };
        let progressive = json!("BEST_FIT_PROGRESSIVE");
        let replaces = [
            json!({ "instanceTypes": ["m5"] }),
            json!({ "allocationStrategy": "BEST_FIT_PROGRESSIVE_ORDERED" }),
            json!({ "updateToLatestImageVersion": true }),
        ];
        for update in &replaces {
            assert_eq!(outcome("EC2", progressive.clone(), LINKED, update), Ok(true), "{update}");
            assert_eq!(outcome("FARGATE", Value::Null, OWN, update), Ok(true), "{update}");
            for strategy in [json!("BEST_FIT"), Value::Null] {
                let fault = outcome("EC2", strategy, LINKED, update).unwrap_err();
                assert!(
                    fault.starts_with("A compute environment with the allocation strategy BEST_FIT"),
                    "{fault}"
                );
            }
            let fault = outcome("SPOT", progressive.clone(), OWN, update).unwrap_err();
            assert!(fault.starts_with("Only a compute environment with the service-linked role"), "{fault}");
        }
        let scales = json!({ "maxvCpus": 9, "minvCpus": 1, "desiredvCpus": 2, "updateToLatestImageVersion": false,
            "scalingPolicy": { "minScaleDownDelayMinutes": 20 } });
        assert_eq!(outcome("EC2", Value::Null, OWN, &scales), Ok(false));
    }

    /// Source: AWS Batch User Guide, Updating a compute environment: these, and nothing else, replace instances.
    #[test]
    fn every_member_of_an_infrastructure_update_replaces_instances() {
        let existing = json!({ "type": "SPOT", "maxvCpus": 8, "minvCpus": 0, "instanceTypes": ["m5"],
            "allocationStrategy": "BEST_FIT_PROGRESSIVE" });
        let replaces = |update: Value| {
            let update = json!({ "computeResources": update });
            merged_of(LINKED, existing.clone(), update).unwrap().replaces_instances
        };
        for (member, value) in [
            ("allocationStrategy", json!("SPOT_CAPACITY_OPTIMIZED")),
            ("bidPercentage", json!(50)),
            ("ec2Configuration", json!([{ "imageType": "ECS_AL2" }])),
            ("ec2KeyPair", json!("k")),
            ("imageId", json!("ami-1")),
            ("instanceRole", json!("r")),
            ("instanceTypes", json!(["m6i"])),
            ("launchTemplate", json!({ "launchTemplateId": "lt" })),
            ("placementGroup", json!("g")),
            ("securityGroupIds", json!(["sg"])),
            ("subnets", json!(["s"])),
            ("tags", json!({ "a": "b" })),
            ("type", json!("EC2")),
            ("updateToLatestImageVersion", json!(true)),
        ] {
            assert!(replaces(json!({ member: value })), "{member}");
        }
        for same in [json!({}), json!({ "instanceTypes": ["m5"] }), json!({ "maxvCpus": 0 })] {
            assert!(!replaces(same.clone()), "{same}");
        }
    }

    #[test]
    fn what_was_desired_moves_with_its_bounds() {
        let existing = json!({ "type": "EC2", "maxvCpus": 8, "minvCpus": 0, "desiredvCpus": 4 });
        for (update, want) in [
            (json!({ "maxvCpus": 0 }), 0),
            (json!({ "minvCpus": 6 }), 6),
            (json!({ "maxvCpus": 16 }), 4),
            (json!({ "maxvCpus": 4, "desiredvCpus": 5 }), 5), // refused as a whole
        ] {
            let merged = merge(existing.clone(), json!({ "computeResources": update })).unwrap();
            assert_eq!(merged["computeResources"]["desiredvCpus"], want);
        }
    }

    #[test]
    fn the_provider_of_managed_instances_is_merged_level_by_level() {
        let template = json!({ "ec2InstanceProfileArn": "p", "capacityOptionType": "SPOT", "monitoring": "BASIC",
            "networkConfiguration": { "securityGroups": ["sg"], "subnets": ["a"] } });
        let existing = json!({ "type": "ECS_MANAGED_INSTANCES", "maxvCpus": 8, "managedInstancesProvider":
            { "infrastructureRoleArn": "r", "instanceLaunchTemplate": template } });
        let update =
            json!({ "instanceLaunchTemplate": { "monitoring": "DETAILED" }, "propagateTags": "NONE" });
        let update = json!({ "computeResources": { "managedInstancesProvider": update } });
        let mut want = existing.clone();
        want["managedInstancesProvider"]["propagateTags"] = json!("NONE");
        want["managedInstancesProvider"]["instanceLaunchTemplate"]["monitoring"] = json!("DETAILED");
        assert_eq!(merge(existing, update).unwrap()["computeResources"], want);
    }
}
