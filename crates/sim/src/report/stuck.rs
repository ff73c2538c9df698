//! Jobs that never started, and why.

use std::collections::BTreeMap;

use fornada_core::arn::name_of;
use serde::Serialize;

use crate::journal::Journal;
use crate::workload::Workload;

/// Jobs of one name that never started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stuck {
    /// Name of their queue.
    pub queue: String,
    /// `jobName`.
    pub name: String,
    /// How many, children counted one by one.
    pub count: usize,
    /// What AWS Batch says of them, or what can be said from outside.
    pub reason: String,
}

/// Jobs and children that had not started when the simulation ended.
pub(super) fn stuck(workload: &Workload, journal: &Journal, ready: &[Option<u64>], of: &[u32]) -> Vec<Stuck> {
    let mut found: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for (unit, facts) in journal.units.iter().enumerate() {
        if facts.ended_at.is_some() || facts.attempts > 0 {
            continue;
        }
        let template = of[unit] as usize;
        let span = workload.span(template);
        let job = span.first_job + (unit - span.first_unit) / span.size;
        let reason = match (&journal.jobs[job].reason, journal.jobs[job].submitted_at, ready[unit]) {
            (_, None, _) => "It is submitted after the end of the simulation.",
            (_, Some(_), None) => "It waits for jobs that have not ended.",
            (Some(reason), Some(_), Some(_)) => reason.as_str(),
            (None, Some(_), Some(_)) => "It waits for capacity.",
        };
        let submission = &workload.templates()[template].submission;
        *found.entry((name_of(&submission.queue), &submission.name, reason)).or_default() += 1;
    }
    let stuck = found.into_iter().map(|((queue, name, reason), count)| Stuck {
        queue: queue.to_owned(),
        name: name.to_owned(),
        count,
        reason: reason.to_owned(),
    });
    stuck.collect()
}
