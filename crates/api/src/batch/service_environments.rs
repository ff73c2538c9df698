//! CreateServiceEnvironment, UpdateServiceEnvironment, DescribeServiceEnvironments, DeleteServiceEnvironment.
//!
//! Source: AWS Batch API reference, the four operations; texts as observed.

use std::collections::BTreeSet;

use fornada_core::resource::Status;
use fornada_core::resource::service_environment::ServiceEnvironment;
use fornada_core::service_job::capacity::{CapacityLimit, NUM_INSTANCES};
use fornada_core::state::State;
use fornada_model::batch as model;

use super::names::is_name;
use super::require::require;
use super::selection::{Selection, owned};
use super::tags;
use crate::app::Call;
use crate::error::WireError;

pub(super) const KIND: &str = "service-environment";

/// Source: observed error text.
const LIMITS_MAX: usize = 5;

pub(super) async fn create(
    call: &Call,
    request: model::CreateServiceEnvironmentRequest,
) -> Result<model::CreateServiceEnvironmentResponse, WireError> {
    let model::CreateServiceEnvironmentRequest {
        capacity_limits,
        service_environment_name: name,
        service_environment_type: model::ServiceEnvironmentType::SagemakerTraining,
        state,
        tags,
    } = request;
    require(is_name(&name), "Service environment name should match a valid pattern.")?;
    let limits = capacity_limits.into_iter().map(|limit| (limit.capacity_unit, limit.max_capacity));
    let limits = checked_limits(limits)?;
    let tags = tags::checked(tags)?;
    let arn = call.scope.resolve(KIND, &name);
    let (key, enabled) = (arn.clone(), state != Some(model::ServiceEnvironmentState::Disabled));
    let create = move |turn: &mut fornada_core::turn::Turn<'_>| {
        turn.create_service_environment(key, enabled, limits, tags)
    };
    call.app.engine.decide(create).await??;
    Ok(model::CreateServiceEnvironmentResponse {
        service_environment_arn: arn.into(),
        service_environment_name: name,
    })
}

pub(super) async fn update(
    call: &Call,
    request: model::UpdateServiceEnvironmentRequest,
) -> Result<model::UpdateServiceEnvironmentResponse, WireError> {
    let model::UpdateServiceEnvironmentRequest { capacity_limits, service_environment, state } = request;
    let arn = owned(&call.scope, KIND, &service_environment)?;
    let wire = |limit: model::CapacityLimit| (limit.capacity_unit, limit.max_capacity);
    let limits = capacity_limits.map(|limits| checked_limits(limits.into_iter().map(wire))).transpose()?;
    let enabled = state.map(|state| state == model::ServiceEnvironmentState::Enabled);
    let key = arn.clone();
    call.app.engine.decide(move |turn| turn.update_service_environment(&key, enabled, limits)).await??;
    Ok(model::UpdateServiceEnvironmentResponse {
        service_environment_name: fornada_core::arn::name_of(&arn).to_owned(),
        service_environment_arn: arn.into(),
    })
}

pub(super) async fn describe(
    call: &Call,
    request: model::DescribeServiceEnvironmentsRequest,
) -> Result<model::DescribeServiceEnvironmentsResponse, WireError> {
    let model::DescribeServiceEnvironmentsRequest { max_results, next_token, service_environments: names } =
        request;
    let (scope, selection) = (call.scope.clone(), Selection { names, max_results, next_token });
    let select = move |state: &State| selection.of(state.service_environments(), &scope, KIND);
    let (page, next_token) = call.app.engine.read(select).await??;
    let details = page.iter().map(|environment| described(environment)).collect();
    Ok(model::DescribeServiceEnvironmentsResponse { next_token, service_environments: Some(details) })
}

pub(super) async fn delete(
    call: &Call,
    request: model::DeleteServiceEnvironmentRequest,
) -> Result<model::DeleteServiceEnvironmentResponse, WireError> {
    let model::DeleteServiceEnvironmentRequest { service_environment } = request;
    let arn = owned(&call.scope, KIND, &service_environment)?;
    call.app.engine.decide(move |turn| turn.delete_service_environment(&arn)).await??;
    Ok(model::DeleteServiceEnvironmentResponse {})
}

/// One limit in NUM_INSTANCES, or one for each of several instance types.
fn checked_limits(
    given: impl Iterator<Item = (Option<String>, Option<i32>)>,
) -> Result<Vec<CapacityLimit>, WireError> {
    let limits: Vec<CapacityLimit> =
        given.map(|(unit, max)| limit(&unit.unwrap_or_default(), max)).collect::<Result<_, _>>()?;
    require(!limits.is_empty(), "capacityLimits is required.")?;
    require(limits.len() <= LIMITS_MAX, "Number of capacity limits exceeds 5.")?;
    let counts_all = limits.iter().any(|limit| limit.unit == NUM_INSTANCES);
    require(
        !counts_all || limits.iter().all(|limit| limit.unit == NUM_INSTANCES),
        "Capacity units must specify either number of instances OR instance type",
    )?;
    distinct(&limits)?;
    Ok(limits)
}

/// A limit of a service environment or, without NUM_INSTANCES, of a quota share.
pub(super) fn limit(unit: &str, max: Option<i32>) -> Result<CapacityLimit, WireError> {
    if unit != NUM_INSTANCES && !is_instance_type(unit) {
        return Err(WireError::invalid(format!("{unit} is unknown capacity unit")));
    }
    let max = max.and_then(|max| u32::try_from(max).ok()).filter(|&max| max > 0);
    let max = max.ok_or_else(|| WireError::invalid("Max capacity must be more than 0."))?;
    Ok(CapacityLimit { unit: unit.into(), max })
}

/// Every unit has one limit.
pub(super) fn distinct(limits: &[CapacityLimit]) -> Result<(), WireError> {
    let units: BTreeSet<&str> = limits.iter().map(|limit| &*limit.unit).collect();
    require(units.len() == limits.len(), "Capacity units must be unique within capacityLimits.")
}

/// For example `ml.p4d.24xlarge`.
fn is_instance_type(unit: &str) -> bool {
    let parts: Vec<&str> = unit.split('.').collect();
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    unit.len() <= 64 && matches!(parts.as_slice(), ["ml", family, size] if word(family) && word(size))
}

fn described(environment: &ServiceEnvironment) -> model::ServiceEnvironmentDetail {
    use model::ServiceEnvironmentState::{Disabled, Enabled};
    let limit = |limit: &CapacityLimit| model::CapacityLimit {
        capacity_unit: Some(limit.unit.clone().into()),
        max_capacity: i32::try_from(limit.max).ok(),
    };
    model::ServiceEnvironmentDetail {
        capacity_limits: environment.limits.iter().map(limit).collect(),
        service_environment_arn: environment.arn.clone().into(),
        service_environment_name: environment.name().to_owned(),
        service_environment_type: model::ServiceEnvironmentType::SagemakerTraining,
        state: Some(if environment.enabled { Enabled } else { Disabled }),
        status: Some(match environment.status {
            Status::Creating => model::ServiceEnvironmentStatus::Creating,
            Status::Updating => model::ServiceEnvironmentStatus::Updating,
            Status::Deleting => model::ServiceEnvironmentStatus::Deleting,
            Status::Valid => model::ServiceEnvironmentStatus::Valid,
            Status::Invalid => model::ServiceEnvironmentStatus::Invalid,
        }),
        tags: Some(tags::to_wire(&environment.tags)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_limits() {
        let check = |given: &[(&str, i32)]| {
            checked_limits(given.iter().map(|&(unit, max)| (Some(unit.to_owned()), Some(max))))
        };
        let six: Vec<String> = (1..=6).map(|n| format!("ml.m{n}.large")).collect();
        let six: Vec<(&str, i32)> = six.iter().map(|unit| (unit.as_str(), 1)).collect();
        assert!(check(&[("NUM_INSTANCES", 1)]).is_ok() && check(&six[..5]).is_ok());
        const EITHER: &str = "Capacity units must specify either number of instances OR instance type";
        let cases: [(&[(&str, i32)], &str); 9] = [
            (&[], "capacityLimits is required."),
            (&[("NUM_INSTANCES", 0)], "Max capacity must be more than 0."),
            (&[("NUM_INSTANCES", -1)], "Max capacity must be more than 0."),
            (&six, "Number of capacity limits exceeds 5."),
            (&[("NUM_INSTANCES", 1), ("ml.m5.large", 1)], EITHER),
            (
                &[("ml.m5.large", 1), ("ml.m5.large", 2)],
                "Capacity units must be unique within capacityLimits.",
            ),
            (&[("VCPU", 1)], "VCPU is unknown capacity unit"),
            (&[("ml.m5", 1)], "ml.m5 is unknown capacity unit"),
            (&[("", 1)], " is unknown capacity unit"),
        ];
        for (given, want) in cases {
            assert_eq!(check(given).unwrap_err().message, want, "{given:?}");
        }
    }
}
