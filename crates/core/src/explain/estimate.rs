//! When a job that waits starts at the latest: the future is played forward, each run taking as long as its timeout allows.

use std::collections::BTreeMap;

use crate::arn::Arn;
use crate::explain::facts::{self, Future};
use crate::id::{JobId, Member};
use crate::job::{Execution, Job};
use crate::quantity::Resources;
use crate::state::State;
use crate::text::Text;
use crate::time::Timestamp;

/// Ends and starts that are looked at before it is given up.
const STEPS_MAX: usize = 10_000;

/// What comes free when a run ends.
type Places = (Arn, Vec<(Text, Resources)>);

/// When the job of `id`, which stands in `front`, starts at the latest. `None` when that is not bounded, when others than
/// those in `front` have a say, or when it would take too long to find out.
pub(super) fn start(state: &State, id: JobId, front: &[JobId], now: Timestamp) -> Option<Timestamp> {
    let queue = &state.jobs[&id.job].queue;
    if !front.contains(&id) || facts::has_rivals(state, queue) || facts::scales(state, queue) {
        return None;
    }
    let mut future = Future::of(state);
    let mut ends = current_ends(state, now);
    let (mut at, mut steps) = (now, 0);
    for next in front {
        let job = &state.jobs[&next.job];
        if !job.held_consumables(Member::Whole).is_empty() {
            return None;
        }
        let (environment, instances) = loop {
            steps += 1;
            if steps > STEPS_MAX {
                return None;
            }
            if let Some(places) = facts::place(state, job, &future) {
                break places;
            }
            let ((end, _), (environment, instances)) = ends.pop_first()?;
            at = at.max(end);
            instances.iter().for_each(|(id, amount)| future.give_back(state, &environment, id, amount));
        };
        if *next == id {
            return Some(at);
        }
        instances.iter().for_each(|(id, amount)| future.take(state, &environment, id, amount));
        // Without a timeout it never makes room.
        if let Some(seconds) = job.timeout_seconds {
            ends.insert((at.plus_seconds(seconds), steps), (environment, instances));
        }
    }
    None
}

/// The ends of what runs now, as far as they are bounded; keyed by time, then by something that differs.
fn current_ends(state: &State, now: Timestamp) -> BTreeMap<(Timestamp, usize), Places> {
    let attempts = state.instances.values().flat_map(|instance| &instance.attempts);
    let ends = attempts.enumerate().filter_map(|(n, attempt)| {
        let (job, execution) = state.find(attempt.job)?;
        let placement = execution.placement.as_ref()?;
        let amount = job.resources_of(attempt.job.member);
        let places = vec![(placement.instance_id.clone(), amount)];
        let end = end_of(&job, &execution, now)?;
        Some(((end, STEPS_MAX + 1 + n), (placement.compute_environment.clone(), places)))
    });
    ends.collect()
}

/// A node ends with its job.
fn end_of(job: &Job, execution: &Execution, now: Timestamp) -> Option<Timestamp> {
    let started_at = match job.nodes {
        Some(_) => job.execution.started_at,
        None => execution.started_at,
    };
    Some(started_at.unwrap_or(now).plus_seconds(job.timeout_seconds?).max(now))
}
