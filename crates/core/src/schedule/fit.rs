//! Where a job fits: the first environment of its queue that may take it, and the first instance with room.
//!
//! An environment may take a job while it is ENABLED and VALID and stays below its `maxvCpus`. Every environment draws on
//! the same machines, so the smaller of `maxvCpus` and what the machines have is its capacity.
//! Source: AWS Batch User Guide, compute environment order.

use uuid::Uuid;

use crate::arn::Arn;
use crate::quantity::Resources;
use crate::resource::Status;
use crate::resource::compute_environment::ComputeEnvironment;
use crate::state::State;
use crate::text::Text;

/// The environments' ceilings are too low. Text: AWS Batch User Guide, jobs stuck in RUNNABLE.
const MAX_VCPUS_TOO_LOW: &str = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU requirement of the job.";
/// No machine is large enough. Text: AWS Batch User Guide, jobs stuck in RUNNABLE.
const REQUIREMENT_TOO_HIGH: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.";

/// What can be done with a job now.
pub(super) enum Fit {
    /// It starts here.
    Now { compute_environment: Arn, instance_id: Text },
    /// It could fit when something ends or comes back.
    Later,
    /// Nothing that the queue has could ever take it.
    Never(&'static str),
}

/// Finds a place for one attempt of `job`.
pub(super) fn place(state: &State, queue: &Arn, job: Uuid) -> Fit {
    let need = state.jobs[&job].resources;
    let environments = || {
        let order =
            state.job_queues.get(queue).map(|queue| queue.environments.as_slice()).unwrap_or_default();
        order.iter().filter_map(|arn| state.compute_environments.get(arn))
    };
    for ce in environments().filter(|ce| ce.enabled && ce.status == Status::Valid) {
        let used = state.in_use.get(&ce.arn).copied().unwrap_or_default();
        if used.milli_vcpus + need.milli_vcpus > ceiling(ce) {
            continue;
        }
        let room = state.instances.values().find(|instance| {
            instance.connected && instance.record.capacity.saturating_sub(&instance.used).covers(&need)
        });
        if let Some(instance) = room {
            let (compute_environment, instance_id) = (ce.arn.clone(), instance.record.instance_id.clone());
            return Fit::Now { compute_environment, instance_id };
        }
    }
    if environments().next().is_some() && environments().all(|ce| need.milli_vcpus > ceiling(ce)) {
        return Fit::Never(MAX_VCPUS_TOO_LOW);
    }
    // With no machine connected there is nothing to measure the job against.
    let mut machines = state.instances.values().filter(|instance| instance.connected).peekable();
    let covers = |capacity: &Resources| capacity.covers(&need);
    if machines.peek().is_some() && !machines.any(|instance| covers(&instance.record.capacity)) {
        return Fit::Never(REQUIREMENT_TOO_HIGH);
    }
    Fit::Later
}

/// Thousandths of a vCPU that an environment may use.
fn ceiling(ce: &ComputeEnvironment) -> u64 {
    ce.max_vcpus.map_or(u64::MAX, |vcpus| u64::from(vcpus) * 1000)
}
