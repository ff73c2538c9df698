//! Watching jobs through DescribeJobs, which is all that AWS's API offers a client.
//!
//! The pause starts at 20 ms, so that a short job is seen to end at once, and grows to a second while nothing
//! changes. A server that goes away for a while (a restart or an upgrade; the jobs run on) is waited for.

use std::time::{Duration, Instant};

use anyhow::Result;
use aws_sdk_batch::types::JobDetail;

use super::connect::Clients;
use super::{api_error, note};

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a server may be away before following it is given up.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// DescribeJobs takes at most this many ids.
const IDS_MAX: usize = 100;

/// The pace of one poll loop.
#[derive(Debug)]
pub(crate) struct Pace(Duration);

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace(PAUSE_MIN)
    }

    /// Something happened: look again soon.
    pub(crate) fn hurry(&mut self) {
        self.0 = PAUSE_MIN;
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 3 / 2).min(PAUSE_MAX);
    }
}

/// The jobs with these ids, in any number; unknown ids are left out, as in AWS.
pub(crate) async fn describe_jobs(aws: &Clients, ids: &[String]) -> Result<Vec<JobDetail>> {
    let mut jobs = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS_MAX) {
        let answer = aws.batch.describe_jobs().set_jobs(Some(ids.to_vec())).send().await;
        jobs.extend(answer.map_err(api_error::describe)?.jobs.unwrap_or_default());
    }
    Ok(jobs)
}

/// Asks until the server answers, for as long as it may be away; only for questions that change nothing.
pub(crate) async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut away_since = None;
    loop {
        match ask().await {
            Err(error) if api_error::is_unreachable(&error) => {
                if away_since.is_none() {
                    note("the server does not answer; waiting for it to come back");
                }
                if away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX {
                    return Err(error);
                }
                tokio::time::sleep(PAUSE_MAX).await;
            }
            answer => return answer,
        }
    }
}

/// Does the work until Ctrl-C; `None` says that it was pressed.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    tokio::select! {
        result = work => result.map(Some),
        pressed = tokio::signal::ctrl_c() => {
            pressed?;
            Ok(None)
        }
    }
}
