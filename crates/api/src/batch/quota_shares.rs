//! CreateQuotaShare, UpdateQuotaShare, DescribeQuotaShare, ListQuotaShares, DeleteQuotaShare.
//!
//! Source: AWS Batch API reference, the five operations; User Guide, quota management.

use std::sync::Arc;

use fornada_core::arn::{Arn, name_of};
use fornada_core::refusal::Refusal;
use fornada_core::resource::Status;
use fornada_core::resource::quota_share::{QuotaShare, QuotaShareUpdate, Sharing};
use fornada_core::service_job::capacity::{CapacityLimit, NUM_INSTANCES};
use fornada_core::state::State;
use fornada_core::time::Timestamp;
use fornada_model::batch as model;

use super::names::is_name;
use super::require::require;
use super::selection::{self, owned};
use super::service_environments::{distinct, limit};
use super::{paging, tags};
use crate::app::Call;
use crate::error::WireError;

/// Source: AWS Batch User Guide, service quotas.
const LIMITS_MAX: usize = 5;

pub(super) async fn create(
    call: &Call,
    request: model::CreateQuotaShareRequest,
) -> Result<model::CreateQuotaShareResponse, WireError> {
    let model::CreateQuotaShareRequest {
        capacity_limits,
        job_queue,
        preemption_configuration,
        quota_share_name: name,
        resource_sharing_configuration,
        state,
        tags,
    } = request;
    require(is_name(&name), "Quota share name should match a valid pattern.")?;
    let queue = owned(&call.scope, "job-queue", &job_queue)?;
    let arn = Arn::from(format!("{queue}/quota-share/{name}"));
    let share = QuotaShare {
        arn: arn.clone(),
        queue,
        enabled: state != Some(model::QuotaShareState::Disabled),
        status: Status::Creating,
        limits: checked_limits(&capacity_limits)?,
        sharing: sharing(&resource_sharing_configuration)?,
        in_share_preemption: in_share_preemption(&preemption_configuration),
        tags: tags::checked(tags)?,
        created_at: Timestamp::default(),
    };
    call.app.engine.decide(move |turn| turn.create_quota_share(share)).await??;
    Ok(model::CreateQuotaShareResponse { quota_share_arn: Some(arn.into()), quota_share_name: Some(name) })
}

pub(super) async fn update(
    call: &Call,
    request: model::UpdateQuotaShareRequest,
) -> Result<model::UpdateQuotaShareResponse, WireError> {
    let model::UpdateQuotaShareRequest {
        capacity_limits,
        preemption_configuration,
        quota_share_arn,
        resource_sharing_configuration,
        state,
    } = request;
    let arn = own_arn(call, &quota_share_arn)?;
    let update = QuotaShareUpdate {
        enabled: state.map(|state| state == model::QuotaShareState::Enabled),
        limits: capacity_limits.as_deref().map(checked_limits).transpose()?,
        sharing: resource_sharing_configuration.as_ref().map(sharing).transpose()?,
        in_share_preemption: preemption_configuration.as_ref().map(in_share_preemption),
    };
    let key = arn.clone();
    call.app.engine.decide(move |turn| turn.update_quota_share(&key, update)).await??;
    Ok(model::UpdateQuotaShareResponse {
        quota_share_name: Some(name_of(&arn).to_owned()),
        quota_share_arn: Some(arn.into()),
    })
}

pub(super) async fn describe(
    call: &Call,
    request: model::DescribeQuotaShareRequest,
) -> Result<model::DescribeQuotaShareResponse, WireError> {
    let arn = own_arn(call, &request.quota_share_arn)?;
    let find =
        move |state: &State| state.quota_shares().get(&arn).cloned().ok_or(Refusal::NoSuchResource { arn });
    let share = call.app.engine.read(find).await??;
    let model::QuotaShareDetail {
        capacity_limits,
        job_queue_arn,
        preemption_configuration,
        quota_share_arn,
        quota_share_name,
        resource_sharing_configuration,
        state,
        status,
    } = detail(&share);
    Ok(model::DescribeQuotaShareResponse {
        capacity_limits,
        job_queue_arn,
        preemption_configuration,
        quota_share_arn,
        quota_share_name,
        resource_sharing_configuration,
        state,
        status,
        tags: Some(tags::to_wire(&share.tags)),
    })
}

pub(super) async fn list(
    call: &Call,
    request: model::ListQuotaSharesRequest,
) -> Result<model::ListQuotaSharesResponse, WireError> {
    let model::ListQuotaSharesRequest { job_queue, max_results, next_token } = request;
    let queue = owned(&call.scope, "job-queue", &job_queue)?;
    let shares = move |state: &State| -> Result<(Vec<Arc<QuotaShare>>, _), WireError> {
        if !state.job_queues().contains_key(&queue) {
            return Err(Refusal::NoSuchResource { arn: queue }.into());
        }
        let shares = state.quota_shares_of(&queue).cloned();
        paging::page(shares, max_results, selection::MAX, next_token.as_deref(), &queue.as_str())
    };
    let (page, next_token) = call.app.engine.read(shares).await??;
    let quota_shares = Some(page.iter().map(|share| detail(share)).collect());
    Ok(model::ListQuotaSharesResponse { next_token, quota_shares })
}

pub(super) async fn delete(
    call: &Call,
    request: model::DeleteQuotaShareRequest,
) -> Result<model::DeleteQuotaShareResponse, WireError> {
    let arn = own_arn(call, &request.quota_share_arn)?;
    call.app.engine.decide(move |turn| turn.delete_quota_share(&arn)).await??;
    Ok(model::DeleteQuotaShareResponse {})
}

/// Quota shares are named by ARN only.
fn own_arn(call: &Call, given: &str) -> Result<Arn, WireError> {
    require(
        given.contains(":job-queue/") && given.contains("/quota-share/"),
        "Only quota share Arn can be allowed.",
    )?;
    owned(&call.scope, "job-queue", given)
}

fn checked_limits(given: &[model::QuotaShareCapacityLimit]) -> Result<Vec<CapacityLimit>, WireError> {
    require(!given.is_empty(), "capacityLimits is required.")?;
    require(given.len() <= LIMITS_MAX, "Number of capacity limits exceeds 5.")?;
    let checked = |given: &model::QuotaShareCapacityLimit| {
        if given.capacity_unit == NUM_INSTANCES {
            return Err(WireError::invalid(format!("{NUM_INSTANCES} is unknown capacity unit")));
        }
        limit(&given.capacity_unit, Some(given.max_capacity))
    };
    let limits: Vec<CapacityLimit> = given.iter().map(checked).collect::<Result<_, _>>()?;
    distinct(&limits)?;
    Ok(limits)
}

fn sharing(given: &model::QuotaShareResourceSharingConfiguration) -> Result<Sharing, WireError> {
    use model::QuotaShareResourceSharingStrategy::{Lend, LendAndBorrow, Reserve};
    let model::QuotaShareResourceSharingConfiguration { borrow_limit, strategy } = given;
    match (strategy, borrow_limit) {
        (Reserve, None) => Ok(Sharing::Reserve),
        (Lend, None) => Ok(Sharing::Lend),
        (LendAndBorrow, None | Some(-1)) => Ok(Sharing::LendAndBorrow(None)),
        (LendAndBorrow, Some(percent)) => {
            let percent = u32::try_from(*percent);
            let percent = percent.map_err(|_| WireError::invalid("borrowLimit must be -1, or 0 or more."))?;
            Ok(Sharing::LendAndBorrow(Some(percent)))
        }
        (Reserve | Lend, Some(_)) => {
            Err(WireError::invalid("borrowLimit can only be given with the strategy LEND_AND_BORROW."))
        }
    }
}

fn in_share_preemption(given: &model::QuotaSharePreemptionConfiguration) -> bool {
    given.in_share_preemption == model::QuotaShareInSharePreemptionState::Enabled
}

fn detail(share: &QuotaShare) -> model::QuotaShareDetail {
    use model::QuotaShareResourceSharingStrategy::{Lend, LendAndBorrow, Reserve};
    let limit = |limit: &CapacityLimit| model::QuotaShareCapacityLimit {
        capacity_unit: limit.unit.clone().into(),
        max_capacity: i32::try_from(limit.max).unwrap_or(i32::MAX),
    };
    let (strategy, borrow_limit) = match share.sharing {
        Sharing::Reserve => (Reserve, None),
        Sharing::Lend => (Lend, None),
        Sharing::LendAndBorrow(percent) => {
            (LendAndBorrow, Some(percent.map_or(-1, |percent| i32::try_from(percent).unwrap_or(i32::MAX))))
        }
    };
    let on_off = |on| match on {
        true => model::QuotaShareInSharePreemptionState::Enabled,
        false => model::QuotaShareInSharePreemptionState::Disabled,
    };
    model::QuotaShareDetail {
        capacity_limits: Some(share.limits.iter().map(limit).collect()),
        job_queue_arn: Some(share.queue.clone().into()),
        preemption_configuration: Some(model::QuotaSharePreemptionConfiguration {
            in_share_preemption: on_off(share.in_share_preemption),
        }),
        quota_share_arn: Some(share.arn.clone().into()),
        quota_share_name: Some(share.name().to_owned()),
        resource_sharing_configuration: Some(model::QuotaShareResourceSharingConfiguration {
            borrow_limit,
            strategy,
        }),
        state: Some(match share.enabled {
            true => model::QuotaShareState::Enabled,
            false => model::QuotaShareState::Disabled,
        }),
        status: Some(match share.status {
            Status::Creating => model::QuotaShareStatus::Creating,
            Status::Updating => model::QuotaShareStatus::Updating,
            Status::Deleting => model::QuotaShareStatus::Deleting,
            Status::Valid => model::QuotaShareStatus::Valid,
            Status::Invalid => model::QuotaShareStatus::Invalid,
        }),
    }
}
