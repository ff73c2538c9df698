//! Where a job fits: the first environment of its queue that may take it, and the first instance with room.
//!
//! An environment may take a job while it is ENABLED and VALID and stays below its `maxvCpus`. Every environment draws on
//! the same machines, so the smaller of `maxvCpus` and what the machines have is its capacity.
//! Source: AWS Batch User Guide, compute environment order.

use uuid::Uuid;

use crate::arn::Arn;
use crate::job::Job;
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
    Now {
        /// The environment that takes it.
        compute_environment: Arn,
        /// Where the attempt runs; of a multi-node job, where each node does.
        instance_ids: Vec<Text>,
    },
    /// It could fit when something ends or comes back.
    Later,
    /// Nothing that the queue has could ever take it.
    Never(&'static str),
}

/// Finds a place for one attempt of `job`: for all of its nodes, or for none.
pub(super) fn place(state: &State, queue: &Arn, job: Uuid) -> Fit {
    let job = &state.jobs[&job];
    let need = job.resources;
    let environments = || {
        let order =
            state.job_queues.get(queue).map(|queue| queue.environments.as_slice()).unwrap_or_default();
        order.iter().filter_map(|arn| state.compute_environments.get(arn))
    };
    let connected = || state.instances.values().filter(|instance| instance.connected);
    for ce in environments().filter(|ce| ce.enabled && ce.status == Status::Valid) {
        let used = state.in_use.get(&ce.arn).copied().unwrap_or_default();
        if used.milli_vcpus + need.milli_vcpus > ceiling(ce) {
            continue;
        }
        let free = connected().map(|i| (&i.record.instance_id, i.record.capacity.saturating_sub(&i.used)));
        if let Some(instance_ids) = pack(job, free) {
            return Fit::Now { compute_environment: ce.arn.clone(), instance_ids };
        }
    }
    if environments().next().is_some() && environments().all(|ce| need.milli_vcpus > ceiling(ce)) {
        return Fit::Never(MAX_VCPUS_TOO_LOW);
    }
    // With no machine connected there is nothing to measure the job against.
    if connected().next().is_some() && never_fits(job, connected().map(|instance| instance.record.capacity)) {
        return Fit::Never(REQUIREMENT_TOO_HIGH);
    }
    Fit::Later
}

/// Puts each node (or the one attempt) on an instance with room for it, the largest first; `None` when one finds none.
fn pack<'a>(job: &Job, room: impl Iterator<Item = (&'a Text, Resources)>) -> Option<Vec<Text>> {
    let Some(nodes) = &job.nodes else {
        let mut room = room.filter(|(_, free)| free.covers(&job.resources));
        return room.next().map(|(id, _)| vec![id.clone()]);
    };
    let mut room: Vec<(&Text, Resources)> = room.collect();
    let needs = nodes.needs();
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&node| std::cmp::Reverse(needs[node]));
    let mut places = vec![Text::default(); needs.len()];
    for node in order {
        let (id, free) = room.iter_mut().find(|(_, free)| free.covers(&needs[node]))?;
        *free = free.saturating_sub(&needs[node]);
        places[node] = (*id).clone();
    }
    Some(places)
}

/// Whether some part of the job is larger than any machine, or all of it than all of them.
fn never_fits(job: &Job, machines: impl Iterator<Item = Resources>) -> bool {
    let machines: Vec<Resources> = machines.collect();
    let needs = job.nodes.as_ref().map_or_else(|| vec![job.resources], |nodes| nodes.needs());
    let mut all = Resources::default();
    machines.iter().for_each(|machine| all.reserve(machine));
    let fits_somewhere = |need: &Resources| machines.iter().any(|machine| machine.covers(need));
    !needs.iter().all(fits_somewhere) || !all.covers(&job.resources)
}

/// Thousandths of a vCPU that an environment may use.
fn ceiling(ce: &ComputeEnvironment) -> u64 {
    ce.max_vcpus.map_or(u64::MAX, |vcpus| u64::from(vcpus) * 1000)
}
