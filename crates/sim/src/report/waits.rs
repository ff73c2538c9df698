//! How long jobs waited: from when nothing stood in their way but capacity, until they had a place.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::journal::Journal;
use crate::workload::{AfterKind, Workload};

/// Points of a distribution: 0 %, 1 %, … 100 %.
const QUANTILES: usize = 101;

/// Waits of one queue, or of one share of it, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// Name of the queue.
    pub queue: String,
    /// `shareIdentifier`; absent for a queue as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// Jobs and children that had a place.
    pub started: usize,
    /// Jobs and children that still waited in the end.
    pub waiting: usize,
    /// Half of those that started waited no longer.
    pub p50: f64,
    /// 95 of 100 waited no longer.
    pub p95: f64,
    /// The longest.
    pub max: f64,
    /// On average.
    pub mean: f64,
    /// Seconds that so many percent waited at most, from 0 to 100.
    #[serde(skip)]
    pub quantiles: Vec<f64>,
}

/// When a unit had only capacity to wait for; `None` when it never came so far.
pub(super) fn ready_at(workload: &Workload, journal: &Journal, job: usize, index: usize) -> Option<u64> {
    let mut ready = journal.jobs[job].submitted_at?;
    let (template, nth) = workload.template_of(job);
    for after in &workload.templates()[template].after {
        if after.kind == AfterKind::Sequential {
            if index > 0 {
                let span = workload.span(template);
                ready = ready.max(journal.units[span.first_unit + nth * span.size + index - 1].ended_at?);
            }
            continue;
        }
        for target in workload.targets(template, nth, *after) {
            let ended_at = match after.kind {
                AfterKind::NToN => {
                    let (of, nth) = workload.template_of(target);
                    let span = workload.span(of);
                    journal.units[span.first_unit + nth * span.size + index].ended_at
                }
                AfterKind::Success | AfterKind::End | AfterKind::Sequential => journal.jobs[target].ended_at,
            };
            ready = ready.max(ended_at?);
        }
    }
    Some(ready)
}

/// By number of the unit: when it was ready.
pub(super) fn ready(workload: &Workload, journal: &Journal) -> Vec<Option<u64>> {
    let mut all = Vec::with_capacity(journal.units.len());
    for (index, template) in workload.templates().iter().enumerate() {
        let span = workload.span(index);
        for nth in 0..template.arrivals.len() {
            all.extend((0..span.size).map(|index| ready_at(workload, journal, span.first_job + nth, index)));
        }
    }
    all
}

/// By number of the unit: the template that it is of.
pub(super) fn templates(workload: &Workload) -> Vec<u32> {
    let sized = workload.templates().iter().enumerate();
    sized
        .flat_map(|(index, template)| {
            let units = template.arrivals.len() * workload.span(index).size;
            std::iter::repeat_n(u32::try_from(index).expect("fewer than 2^32 templates"), units)
        })
        .collect()
}

/// The waits of each queue, and of each share of a queue that has shares.
pub(super) fn waits(
    workload: &Workload,
    journal: &Journal,
    ready: &[Option<u64>],
    of: &[u32],
) -> (Vec<Waits>, Vec<Waits>) {
    let mut placed: Vec<Option<u64>> = vec![None; journal.units.len()];
    for attempt in journal.attempts.iter().filter(|attempt| attempt.leads) {
        placed[attempt.unit as usize].get_or_insert(attempt.placed_at);
    }
    type Group = (Vec<u64>, usize); // how long those waited that started, and how many still wait
    let mut groups: BTreeMap<(&str, Option<&str>), Group> = BTreeMap::new();
    for (unit, ready) in ready.iter().enumerate() {
        let Some(ready) = *ready else { continue };
        let submission = &workload.templates()[of[unit] as usize].submission;
        let queue = fornada_core::arn::name_of(&submission.queue);
        let share = submission.share_identifier.as_deref();
        for key in std::iter::once((queue, None)).chain(share.map(|share| (queue, Some(share)))) {
            let (waits, waiting) = groups.entry(key).or_default();
            match placed[unit] {
                Some(placed) => waits.push(placed.saturating_sub(ready)),
                None => *waiting += usize::from(journal.units[unit].ended_at.is_none()),
            }
        }
    }
    let all =
        groups.into_iter().map(|((queue, share), (waits, waiting))| summary(queue, share, waits, waiting));
    all.partition(|waits| waits.share.is_none())
}

#[expect(clippy::cast_precision_loss, reason = "waits are for the eye")]
fn summary(queue: &str, share: Option<&str>, mut waits: Vec<u64>, waiting: usize) -> Waits {
    waits.sort_unstable();
    let seconds = |wait: u64| wait as f64 / 1000.0;
    // The least wait that no fewer than so many percent do not exceed.
    let quantile = |percent: usize| {
        let rank = (percent * waits.len()).div_ceil(100).max(1);
        waits.get(rank - 1).copied().map_or(0.0, seconds)
    };
    Waits {
        queue: queue.to_owned(),
        share: share.map(str::to_owned),
        started: waits.len(),
        waiting,
        p50: quantile(50),
        p95: quantile(95),
        max: quantile(100),
        mean: seconds(waits.iter().sum::<u64>()) / waits.len().max(1) as f64,
        quantiles: (0..QUANTILES).map(quantile).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_waits_that_were_waited() {
        for (waits, want) in [
            (vec![], (0.0, 0.0, 0.0, 0.0)),
            (vec![4000], (4.0, 4.0, 4.0, 4.0)),
            (vec![3000, 1000], (1.0, 3.0, 3.0, 2.0)),
            ((1..=100).map(|second| second * 1000).collect(), (50.0, 95.0, 100.0, 50.5)),
        ] {
            let got = summary("q", None, waits.clone(), 0);
            assert_eq!((got.p50, got.p95, got.max, got.mean), want, "{waits:?}");
        }
    }
}
