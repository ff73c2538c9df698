//! What GetJobQueueSnapshot says of a queue of service jobs.
//!
//! Source: AWS Batch API reference, GetJobQueueSnapshot, QueueSnapshotUtilizationDetail.

use std::cmp::Reverse;

use fornada_core::arn::Arn;
use fornada_core::resource::scheduling_policy::PolicyKind;
use fornada_core::service_job::ServiceJob;
use fornada_core::service_job::snapshot::{Snapshot, Usage};
use fornada_core::state::State;
use fornada_core::text::Text;
use fornada_model::batch as model;

use super::usage;

/// Shares that are shown, those that hold most. Source: AWS Batch API reference, FairshareUtilizationDetail.
const SHARES_MAX: usize = 20;

/// `None` unless the queue is one of service jobs.
pub(in crate::batch) fn of_queue(state: &State, queue: &Arn) -> Option<model::GetJobQueueSnapshotResponse> {
    let Snapshot { front, front_of_shares, usage: total, mut usage_by_share, active_shares, kind } =
        state.service_queue_snapshot(queue)?;
    let at = Some(state.latest().as_millis());
    let in_front = |job: &ServiceJob| model::FrontOfQueueJobSummary {
        earliest_time_at_position: Some(job.created_at.as_millis()),
        job_arn: Some(job.arn().into()),
    };
    let first_of_share = |job: &ServiceJob| model::FrontOfQuotaShareJobSummary {
        earliest_time_at_position: Some(job.created_at.as_millis()),
        job_arn: Some(job.arn().into()),
    };
    let front_of_quota_shares = front_of_shares.map(|shares| model::FrontOfQuotaSharesDetail {
        last_updated_at: at,
        quota_shares: Some(
            shares
                .into_iter()
                .map(|(name, first)| (name.into(), first.iter().map(|job| first_of_share(job)).collect()))
                .collect(),
        ),
    });
    usage_by_share.sort_by_key(|(_, used)| Reverse(used.iter().map(|(_, count)| count).sum::<u64>()));
    usage_by_share.truncate(SHARES_MAX);
    Some(model::GetJobQueueSnapshotResponse {
        front_of_queue: Some(model::FrontOfQueueDetail {
            jobs: Some(front.iter().map(|job| in_front(job)).collect()),
            last_updated_at: at,
        }),
        front_of_quota_shares,
        queue_utilization: Some(model::QueueSnapshotUtilizationDetail {
            fairshare_utilization: (kind == PolicyKind::FairShare).then(|| {
                model::FairshareUtilizationDetail {
                    active_share_count: i64::try_from(active_shares).ok(),
                    top_capacity_utilization: Some(usage_by_share.iter().map(fair_share).collect()),
                }
            }),
            last_updated_at: at,
            quota_share_utilization: (kind == PolicyKind::QuotaShare).then(|| {
                model::QuotaShareUtilizationDetail {
                    top_capacity_utilization: Some(usage_by_share.iter().map(quota_share).collect()),
                }
            }),
            total_capacity_usage: usage(total, |unit, quantity| model::QueueSnapshotCapacityUsage {
                capacity_unit: Some(unit),
                quantity: Some(quantity),
            }),
        }),
    })
}

fn fair_share((name, used): &(Text, Usage)) -> model::FairshareCapacityUtilization {
    model::FairshareCapacityUtilization {
        capacity_usage: usage(used.clone(), |unit, quantity| model::FairshareCapacityUsage {
            capacity_unit: Some(unit),
            quantity: Some(quantity),
        }),
        share_identifier: Some(name.clone().into()),
    }
}

fn quota_share((name, used): &(Text, Usage)) -> model::QuotaShareCapacityUtilization {
    model::QuotaShareCapacityUtilization {
        capacity_usage: usage(used.clone(), |unit, quantity| model::QuotaShareCapacityUsage {
            capacity_unit: Some(unit),
            quantity: Some(quantity),
        }),
        quota_share_name: Some(name.clone().into()),
    }
}
