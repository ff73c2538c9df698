//! CreateComputeEnvironment, UpdateComputeEnvironment, DescribeComputeEnvironments, DeleteComputeEnvironment.
//!
//! What must hold: an environment is described as it was asked for, without added defaults, so that tools which compare
//! find nothing to change. Its document is the wire's own detail, without what the record keeps and moves by itself.
//!
//! Source: AWS Batch API reference, the four operations.

mod instance_types;
mod scaling;
mod update;
mod validate;

use std::sync::Arc;

use fornada_core::arn::{Arn, Scope, name_of};
use fornada_core::instance::Architecture;
use fornada_core::refusal::Refusal;
use fornada_core::resource::Status;
use fornada_core::resource::compute_environment::{ComputeEnvironment, Platform, Specification};
use fornada_core::resource::tags::Tags;
use fornada_core::state::State;
use fornada_core::text::Document;
use fornada_model::batch as model;

use super::names::is_name;
use super::require::require;
use super::selection::{Selection, owned};
use super::tags;
use crate::app::Call;
use crate::error::WireError;

const KIND: &str = "compute-environment";

pub(crate) async fn create(
    call: &Call,
    request: model::CreateComputeEnvironmentRequest,
) -> Result<model::CreateComputeEnvironmentResponse, WireError> {
    let (given, tags) = checked(request, &call.scope)?;
    let arn = given.arn.clone();
    call.app.engine.decide(move |turn| turn.create_compute_environment(given, tags)).await??;
    Ok(model::CreateComputeEnvironmentResponse {
        compute_environment_name: Some(name_of(&arn).to_owned()),
        compute_environment_arn: Some(arn.into()),
    })
}

pub(super) async fn update(
    call: &Call,
    request: model::UpdateComputeEnvironmentRequest,
) -> Result<model::UpdateComputeEnvironmentResponse, WireError> {
    let arn = owned(&call.scope, KIND, &request.compute_environment)?;
    let wanted = arn.clone();
    let find =
        move |state: &State| state.compute_environments().get(&wanted).map(|ce| with_desired(state, ce));
    let existing = call.app.engine.read(find).await?;
    let (existing, desired) = existing.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })?;
    let enabled = request.state.map_or(existing.enabled, |state| state == model::CEState::Enabled);
    let wish = request.compute_resources.as_ref().and_then(|resources| resources.desired_vcpus);
    let update::Merged { detail, replaces_instances } =
        update::merged(current(&existing, desired)?, request)?;
    validate::check(&detail, &call.scope)?;
    let generation = existing.scaling.as_ref().map_or(0, |scaling| scaling.generation);
    let generation = generation.saturating_add(u32::from(replaces_instances));
    let mut given = specification(arn.clone(), enabled, &detail, generation)?;
    if let Some(scaling) = given.scaling.as_mut().filter(|_| wish.is_none()) {
        scaling.desired_vcpus = scaling.min_vcpus; // what there is now may be too much when the update is over
    }
    let version = existing.version;
    call.app.engine.decide(move |turn| turn.update_compute_environment(given, version)).await??;
    Ok(model::UpdateComputeEnvironmentResponse {
        compute_environment_arn: Some(arn.into()),
        compute_environment_name: Some(existing.name().to_owned()),
    })
}

pub(super) async fn describe(
    call: &Call,
    request: model::DescribeComputeEnvironmentsRequest,
) -> Result<model::DescribeComputeEnvironmentsResponse, WireError> {
    let model::DescribeComputeEnvironmentsRequest { compute_environments: names, max_results, next_token } =
        request;
    let (scope, selection) = (call.scope.clone(), Selection { names, max_results, next_token });
    let select = move |state: &State| {
        let (page, next_token) = selection.of(state.compute_environments(), &scope, KIND)?;
        Ok::<_, WireError>((page.iter().map(|ce| with_desired(state, ce)).collect::<Vec<_>>(), next_token))
    };
    let (page, next_token) = call.app.engine.read(select).await??;
    let details = page.iter().map(|(ce, desired)| described(ce, *desired, &call.scope));
    let details = details.collect::<Result<_, _>>()?;
    Ok(model::DescribeComputeEnvironmentsResponse { compute_environments: Some(details), next_token })
}

pub(super) async fn delete(
    call: &Call,
    request: model::DeleteComputeEnvironmentRequest,
) -> Result<model::DeleteComputeEnvironmentResponse, WireError> {
    let model::DeleteComputeEnvironmentRequest { compute_environment } = request;
    let arn = owned(&call.scope, KIND, &compute_environment)?;
    call.app.engine.decide(move |turn| turn.delete_compute_environment(&arn)).await??;
    Ok(model::DeleteComputeEnvironmentResponse {})
}

/// A new environment as the engine takes it.
pub(crate) fn checked(
    request: model::CreateComputeEnvironmentRequest,
    scope: &Scope,
) -> Result<(Specification, Tags), WireError> {
    let model::CreateComputeEnvironmentRequest {
        compute_environment_name: name,
        compute_resources,
        context,
        ecs_settings,
        eks_configuration,
        service_role,
        state,
        tags,
        r#type,
        unmanaged_vcpus,
    } = request;
    require(is_name(&name), "Compute Environment name should match a valid pattern.")?;
    let enabled = state != Some(model::CEState::Disabled);
    require(enabled, "Compute Environment must be created in ENABLED state.")?;
    let role_given = service_role.filter(|role| !role.is_empty());
    let detail = model::ComputeEnvironmentDetail {
        container_orchestration_type: Some(match eks_configuration {
            Some(_) => model::OrchestrationType::Eks,
            None => model::OrchestrationType::Ecs,
        }),
        compute_resources,
        context,
        ecs_settings,
        eks_configuration,
        service_role: role_given.or_else(|| default_role(scope, r#type)),
        r#type: Some(r#type),
        unmanaged_vcpus,
        ..Default::default()
    };
    validate::check(&detail, scope)?;
    Ok((specification(scope.resolve(KIND, &name), enabled, &detail, 0)?, tags::checked(tags)?))
}

/// The service-linked role that a MANAGED environment has when none is given.
fn default_role(scope: &Scope, r#type: model::CEType) -> Option<String> {
    let (partition, account) = (scope.partition(), &scope.account);
    (r#type == model::CEType::Managed).then(|| {
        format!("arn:{partition}:iam::{account}:role/{}/AWSServiceRoleForBatch", validate::SERVICE_LINKED)
    })
}

/// For the engine; `detail` has been checked, and `generation` counts the updates that replaced instances.
fn specification(
    arn: Arn,
    enabled: bool,
    detail: &model::ComputeEnvironmentDetail,
    generation: u32,
) -> Result<Specification, WireError> {
    let resources =
        detail.compute_resources.as_ref().filter(|_| detail.r#type == Some(model::CEType::Managed));
    let platform = match resources.map(|resources| resources.r#type) {
        None => Platform::Unmanaged,
        Some(_) if detail.eks_configuration.is_some() => Platform::Eks,
        Some(model::CRType::Ec2 | model::CRType::Spot) => Platform::Ec2,
        Some(model::CRType::Fargate | model::CRType::FargateSpot) => Platform::Fargate,
        Some(model::CRType::EcsManagedInstances) => Platform::ManagedInstances,
    };
    let document = Document::new(serde_json::to_string(detail).map_err(WireError::server)?);
    let max_vcpus = resources.and_then(|resources| u32::try_from(resources.max_vcpus).ok());
    let scaling = resources.and_then(|resources| {
        scaling::of(resources, detail.update_policy.as_ref(), generation).map(Box::new)
    });
    Ok(Specification { arn, platform, enabled, max_vcpus, scaling, document })
}

/// The architecture of an environment's instances; `None` where it names no instance types.
///
/// # Errors
/// A document that cannot be read.
pub(super) fn architecture(ce: &ComputeEnvironment) -> Result<Option<Architecture>, WireError> {
    let resources = stored(ce)?.compute_resources;
    let instance_types = resources.and_then(|resources| resources.instance_types);
    instance_types::checked(&instance_types.unwrap_or_default())
}

fn stored(ce: &ComputeEnvironment) -> Result<model::ComputeEnvironmentDetail, WireError> {
    serde_json::from_str(ce.document.as_str()).map_err(WireError::server)
}

/// An environment, and the `desiredvCpus` that it has now if it scales.
fn with_desired(state: &State, ce: &Arc<ComputeEnvironment>) -> (Arc<ComputeEnvironment>, Option<u64>) {
    (Arc::clone(ce), state.desired_vcpus(ce))
}

/// As it was asked for, but for the `desiredvCpus` of one that scales.
fn current(
    ce: &ComputeEnvironment,
    desired: Option<u64>,
) -> Result<model::ComputeEnvironmentDetail, WireError> {
    let mut detail = stored(ce)?;
    if let Some((resources, desired)) = detail.compute_resources.as_mut().zip(desired) {
        resources.desired_vcpus = i32::try_from(desired).ok();
    }
    Ok(detail)
}

fn described(
    ce: &ComputeEnvironment,
    desired: Option<u64>,
    scope: &Scope,
) -> Result<model::ComputeEnvironmentDetail, WireError> {
    let cluster = || scope.arn("ecs", &format!("cluster/{}", ce.cluster())).into();
    Ok(model::ComputeEnvironmentDetail {
        compute_environment_arn: ce.arn.clone().into(),
        compute_environment_name: ce.name().to_owned(),
        ecs_cluster_arn: (ce.platform != Platform::Eks).then(cluster),
        state: Some(if ce.enabled { model::CEState::Enabled } else { model::CEState::Disabled }),
        status: Some(match ce.status {
            Status::Creating => model::CEStatus::Creating,
            Status::Updating => model::CEStatus::Updating,
            Status::Deleting => model::CEStatus::Deleting,
            Status::Valid => model::CEStatus::Valid,
            Status::Invalid => model::CEStatus::Invalid,
        }),
        status_reason: Some(ce.status_reason.clone().into()),
        tags: Some(tags::to_wire(&ce.tags)),
        uuid: Some(ce.uuid.clone().into()),
        ..current(ce, desired)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fornada_core::time::Timestamp;
    use fornada_core::turn::Turn;
    use serde_json::{Value, json};

    #[test]
    fn an_environment_is_described_as_it_was_asked_for() {
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let fargate =
            json!({ "type": "FARGATE", "maxvCpus": 8, "securityGroupIds": ["b", "a"], "subnets": [] });
        let asked = json!({ "computeEnvironmentName": "ce", "type": "MANAGED", "computeResources": fargate });
        let mut state = State::default();
        let mut turn = Turn::begin(&mut state, Timestamp::default(), 0);
        let (given, tags) = checked(serde_json::from_value(asked.clone()).unwrap(), &scope).unwrap();
        assert_eq!((given.platform, given.max_vcpus), (Platform::Fargate, Some(8)));
        turn.create_compute_environment(given, tags).unwrap();
        let record = turn.state().compute_environments().values().next().unwrap();
        let uuid = record.uuid.as_str();
        let want = json!({
            "computeEnvironmentArn": "arn:aws:batch:eu-west-1:000000000000:compute-environment/ce",
            "computeEnvironmentName": "ce",
            "computeResources": fargate,
            "containerOrchestrationType": "ECS",
            "ecsClusterArn": format!("arn:aws:ecs:eu-west-1:000000000000:cluster/AWSBatch-ce-{uuid}"),
            "serviceRole":
                "arn:aws:iam::000000000000:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch",
            "state": "ENABLED",
            "status": "CREATING",
            "statusReason": "ComputeEnvironment Healthy",
            "tags": {},
            "type": "MANAGED",
            "uuid": uuid,
        });
        assert_eq!(serde_json::to_value(described(record, None, &scope).unwrap()).unwrap(), want);

        let ec2 = json!({ "type": "EC2", "maxvCpus": 8, "minvCpus": 2, "desiredvCpus": 4, "instanceTypes": ["m6i.large"],
            "instanceRole": "ecsInstanceRole", "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"] });
        let asked_ec2 =
            json!({ "computeEnvironmentName": "ec2", "type": "MANAGED", "computeResources": ec2 });
        let (given, tags) = checked(serde_json::from_value(asked_ec2).unwrap(), &scope).unwrap();
        let ec2_arn = given.arn.clone();
        turn.create_compute_environment(given, tags).unwrap();
        let ec2 = &turn.state().compute_environments()[&ec2_arn];
        let desired = |now| {
            let resources = described(ec2, now, &scope).unwrap().compute_resources;
            resources.unwrap().desired_vcpus
        };
        assert_eq!((desired(None), desired(Some(6))), (Some(4), Some(6)));

        let refused = |member: &str, value: Value| {
            let mut asked = asked.clone();
            asked[member] = value;
            checked(serde_json::from_value(asked).unwrap(), &scope).map(drop).unwrap_err().message
        };
        let disabled = "Compute Environment must be created in ENABLED state.";
        assert_eq!(refused("state", json!("DISABLED")), disabled);
        let name = "Compute Environment name should match a valid pattern.";
        assert_eq!(refused("computeEnvironmentName", json!("a/b")), name);
    }
}
