//! In which order queues are visited: by descending priority, equal priorities by the age of their first job.
//!
//! Priority is a preference, not a barrier: a queue whose head does not fit now gives way to the next.
//! Source: AWS Batch User Guide, job queue parameters (priority).

use std::cmp::Reverse;

use crate::arn::Arn;
use crate::state::State;

/// Queues that have something RUNNABLE.
pub(super) fn by_priority(state: &State) -> Vec<Arn> {
    let mut queues: Vec<_> = state
        .backlogs
        .iter()
        .filter_map(|(arn, backlog)| {
            let (&oldest, _) = backlog.runnable.first_key_value()?;
            Some((Reverse(state.job_queues.get(arn)?.priority), oldest, arn))
        })
        .collect();
    queues.sort_unstable();
    queues.into_iter().map(|(_, _, arn)| arn.clone()).collect()
}
