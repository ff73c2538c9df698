//! GetJobQueueSnapshot: what goes next in a queue, and how much of its capacity is in use.
//!
//! Both come from indexes of the engine: a snapshot costs what it shows, however many jobs there are.
//!
//! Source: AWS Batch API reference, GetJobQueueSnapshot, FrontOfQueueDetail and QueueSnapshotUtilizationDetail.

use fornada_core::arn::Arn;
use fornada_core::refusal::Refusal;
use fornada_core::resource::compute_environment::Platform;
use fornada_core::resource::job_queue::JobQueue;
use fornada_core::state::State;
use fornada_model::batch as model;

use super::selection::owned;
use super::service_jobs;
use crate::app::Call;
use crate::error::WireError;

/// Jobs at the front. Source: AWS Batch API reference, FrontOfQueueDetail.
const JOBS_MAX: usize = 100;
/// Shares that are shown, those that use most. Source: AWS Batch API reference, FairshareUtilizationDetail.
const SHARES_MAX: usize = 20;

pub(super) async fn get(
    call: &Call,
    request: model::GetJobQueueSnapshotRequest,
) -> Result<model::GetJobQueueSnapshotResponse, WireError> {
    let model::GetJobQueueSnapshotRequest { job_queue } = request;
    let arn = owned(&call.scope, "job-queue", &job_queue)?;
    let read = move |state: &State| {
        let queue =
            state.job_queues().get(&arn).ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })?;
        Ok::<_, Refusal>(
            service_jobs::snapshot::of_queue(state, &arn).unwrap_or_else(|| snapshot(state, queue)),
        )
    };
    Ok(call.app.engine.read(read).await??)
}

fn snapshot(state: &State, queue: &JobQueue) -> model::GetJobQueueSnapshotResponse {
    let at = Some(state.latest().as_millis());
    let front = state.front_of_queue(&queue.arn, JOBS_MAX).into_iter().filter_map(|(id, since)| {
        Some(model::FrontOfQueueJobSummary {
            earliest_time_at_position: Some(since.as_millis()),
            job_arn: Some(state.job(id.job)?.arn(id).into()),
        })
    });
    let unit = capacity_unit(state, queue);
    let total = model::QueueSnapshotCapacityUsage {
        capacity_unit: Some(unit.to_owned()),
        quantity: Some(vcpus(state.queue_usage(&queue.arn))),
    };
    model::GetJobQueueSnapshotResponse {
        front_of_queue: Some(model::FrontOfQueueDetail { jobs: Some(front.collect()), last_updated_at: at }),
        front_of_quota_shares: None,
        queue_utilization: Some(model::QueueSnapshotUtilizationDetail {
            fairshare_utilization: queue.scheduling_policy.is_some().then(|| shares(state, &queue.arn, unit)),
            last_updated_at: at,
            quota_share_utilization: None,
            total_capacity_usage: Some(vec![total]),
        }),
    }
}

fn shares(state: &State, queue: &Arn, unit: &str) -> model::FairshareUtilizationDetail {
    let usage = state.share_usage(queue);
    let top = usage.iter().take(SHARES_MAX).map(|share| model::FairshareCapacityUtilization {
        capacity_usage: Some(vec![model::FairshareCapacityUsage {
            capacity_unit: Some(unit.to_owned()),
            quantity: Some(vcpus(share.milli_vcpus)),
        }]),
        share_identifier: Some(share.identifier.clone().into()),
    });
    model::FairshareUtilizationDetail {
        active_share_count: i64::try_from(usage.len()).ok(),
        top_capacity_utilization: Some(top.collect()),
    }
}

/// A queue's environments are all of one kind.
fn capacity_unit(state: &State, queue: &JobQueue) -> &'static str {
    let first = queue.environments.first().and_then(|arn| state.compute_environments().get(arn));
    if first.is_some_and(|ce| ce.platform == Platform::Eks) { "cpu" } else { "VCPU" }
}

#[expect(clippy::cast_precision_loss, reason = "exact below nine million million vCPUs")]
fn vcpus(milli: u64) -> f64 {
    milli as f64 / 1000.0
}
