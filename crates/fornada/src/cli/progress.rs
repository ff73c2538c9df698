//! A live count of many jobs by state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use aws_sdk_batch::types::{JobDetail, JobStatus};
use indicatif::{ProgressBar, ProgressStyle};

use super::connect::Clients;
use super::poll::{self, Pace};
use super::{duration, outcome};

/// The states in the order in which a job passes through them.
const ORDER: [JobStatus; 7] = [
    JobStatus::Submitted,
    JobStatus::Pending,
    JobStatus::Runnable,
    JobStatus::Starting,
    JobStatus::Running,
    JobStatus::Succeeded,
    JobStatus::Failed,
];

/// How many jobs are in which state; an array counts as its children.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<usize, u64>);

impl Counts {
    pub(crate) fn of<'a>(jobs: impl IntoIterator<Item = &'a JobDetail>) -> Counts {
        let mut counts = Counts::default();
        for job in jobs {
            let array = job.array_properties();
            let size =
                array.and_then(|array| array.size()).map_or(1, |size| u64::try_from(size).unwrap_or(1));
            let mut counted = 0;
            for (status, count) in array.and_then(|array| array.status_summary()).into_iter().flatten() {
                let count = u64::try_from(*count).unwrap_or(0);
                counts.add(&JobStatus::from(status.as_str()), count);
                counted += count;
            }
            // Children that do not exist yet are in their parent's state.
            if let Some(status) = job.status() {
                counts.add(status, size.saturating_sub(counted));
            }
        }
        counts
    }

    fn add(&mut self, status: &JobStatus, count: u64) {
        if let Some(place) = ORDER.iter().position(|other| other == status) {
            *self.0.entry(place).or_default() += count;
        }
    }

    fn get(&self, status: &JobStatus) -> u64 {
        ORDER
            .iter()
            .position(|other| other == status)
            .and_then(|place| self.0.get(&place))
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn over(&self) -> u64 {
        self.get(&JobStatus::Succeeded) + self.get(&JobStatus::Failed)
    }

    /// `3 RUNNING, 5 SUCCEEDED`: the states that have jobs.
    pub(crate) fn text(&self) -> String {
        let counts = self.0.iter().filter(|(_, count)| **count > 0);
        let parts: Vec<String> =
            counts.map(|(place, count)| format!("{count} {}", ORDER[*place].as_str())).collect();
        parts.join(", ")
    }
}

/// Waits until every job has ended, showing the count on a terminal; returns the jobs in the order of `ids` and a line
/// that sums them up.
pub(crate) async fn wait_for_all(aws: &Clients, ids: &[String]) -> Result<(Vec<JobDetail>, String)> {
    let started = Instant::now();
    let bar = progress_bar();
    let mut pace = Pace::new();
    let mut seen: BTreeMap<String, JobDetail> = BTreeMap::new();
    let mut last = Counts::default();
    loop {
        let is_open = |id: &&String| !seen.get(*id).and_then(JobDetail::status).is_some_and(outcome::is_over);
        let open: Vec<String> = ids.iter().filter(is_open).cloned().collect();
        if open.is_empty() {
            break;
        }
        for job in poll::patiently(async || poll::describe_jobs(aws, &open).await).await? {
            seen.insert(job.job_id().unwrap_or_default().to_owned(), job);
        }
        if let Some(unknown) = ids.iter().find(|id| !seen.contains_key(*id)) {
            anyhow::bail!("there is no job {unknown}");
        }
        let counts = Counts::of(seen.values());
        bar.set_length(counts.total());
        bar.set_position(counts.over());
        bar.set_message(counts.text());
        if counts != last {
            pace.hurry();
        }
        last = counts;
        if seen.values().any(|job| !job.status().is_some_and(outcome::is_over)) {
            pace.pause().await;
        }
    }
    bar.finish_and_clear();
    let took = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
    let noun = if last.total() == 1 { "job" } else { "jobs" };
    let summary = format!("{} {noun}: {} in {}", last.total(), last.text(), duration::short(took));
    Ok((ids.iter().filter_map(|id| seen.remove(id)).collect(), summary))
}

/// On stderr, and only where that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─");
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::ArrayPropertiesDetail;

    use super::*;

    fn job(status: JobStatus) -> JobDetail {
        JobDetail::builder().status(status).build()
    }

    fn array(status: JobStatus, size: i32, summary: &[(&str, i32)]) -> JobDetail {
        let mut array = ArrayPropertiesDetail::builder().size(size);
        for (status, count) in summary {
            array = array.status_summary(*status, *count);
        }
        JobDetail::builder().status(status).array_properties(array.build()).build()
    }

    #[test]
    fn arrays_count_as_their_children() {
        let cases = [
            (vec![], "", 0, 0),
            (vec![job(JobStatus::Failed), job(JobStatus::Running)], "1 RUNNING, 1 FAILED", 1, 2),
            (vec![array(JobStatus::Pending, 4, &[])], "4 PENDING", 0, 4),
            (
                vec![
                    array(JobStatus::Pending, 10, &[("RUNNING", 2), ("SUCCEEDED", 7), ("FAILED", 1)]),
                    job(JobStatus::Succeeded),
                ],
                "2 RUNNING, 8 SUCCEEDED, 1 FAILED",
                9,
                11,
            ),
            (vec![array(JobStatus::Pending, 5, &[("RUNNABLE", 3)])], "2 PENDING, 3 RUNNABLE", 0, 5),
        ];
        for (jobs, want, want_over, want_total) in cases {
            let counts = Counts::of(&jobs);
            assert_eq!(
                (counts.text().as_str(), counts.over(), counts.total()),
                (want, want_over, want_total)
            );
        }
    }
}
