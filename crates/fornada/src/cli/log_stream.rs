//! The log of one attempt, read through CloudWatch Logs' GetLogEvents.

use anyhow::Result;
use aws_sdk_batch::types::{JobDetail, LogConfiguration};
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_sdk_cloudwatchlogs::operation::get_log_events::builders::GetLogEventsFluentBuilder;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;

use super::connect::Clients;
use super::{api_error, poll};

const DEFAULT_GROUP: &str = "/aws/batch/job";

/// A log stream and how far it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogStream {
    group: String,
    stream: String,
    next_token: Option<String>,
}

impl LogStream {
    /// The log of attempt `number` (1-based), or of the newest one; `None` if it has written none yet.
    pub(crate) fn of(job: &JobDetail, number: Option<usize>) -> Option<LogStream> {
        let (ended, running) = streams(job);
        let stream = match number {
            Some(number) => ended.into_iter().chain([running]).nth(number.checked_sub(1)?)?,
            None => running.or(ended.last().copied().flatten()),
        };
        Some(LogStream { group: group(job), stream: stream?.to_owned(), next_token: None })
    }

    /// Which attempt of the job wrote this log, counted from 1.
    pub(crate) fn attempt_number(&self, job: &JobDetail) -> usize {
        let (ended, _) = streams(job);
        let same = |stream: &Option<&str>| *stream == Some(self.stream.as_str());
        ended.iter().position(same).unwrap_or(ended.len()) + 1
    }

    /// Whether the other is the same stream, however far either has been read.
    pub(crate) fn is_same(&self, other: &LogStream) -> bool {
        (&self.group, &self.stream) == (&other.group, &other.stream)
    }

    /// Hands over everything that has been written since the last call; returns how many events that was.
    ///
    /// At the end of a stream GetLogEvents returns the token it was given.
    pub(crate) async fn read_on(
        &mut self,
        aws: &Clients,
        mut take: impl FnMut(&OutputLogEvent) -> Result<()>,
    ) -> Result<usize> {
        let mut count = 0;
        loop {
            let request = || self.request(aws).start_from_head(true).set_next_token(self.next_token.clone());
            let Some(page) = poll::patiently(async || send(request()).await).await? else {
                return Ok(count);
            };
            count += page.events().len();
            page.events().iter().try_for_each(&mut take)?;
            let at_end = page.next_forward_token == self.next_token || page.next_forward_token.is_none();
            self.next_token = page.next_forward_token.or(self.next_token.take());
            if at_end {
                return Ok(count);
            }
        }
    }

    /// The last `lines` events, oldest first.
    pub(crate) async fn tail(&self, aws: &Clients, lines: i32) -> Result<Vec<OutputLogEvent>> {
        let page = send(self.request(aws).start_from_head(false).limit(lines)).await?;
        Ok(page.and_then(|page| page.events).unwrap_or_default())
    }

    fn request(&self, aws: &Clients) -> GetLogEventsFluentBuilder {
        aws.logs.get_log_events().log_group_name(&self.group).log_stream_name(&self.stream)
    }
}

/// `None` for a stream or group that does not exist (yet): there is no output.
async fn send(request: GetLogEventsFluentBuilder) -> Result<Option<GetLogEventsOutput>> {
    match request.send().await {
        Ok(page) => Ok(Some(page)),
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            Ok(None)
        }
        Err(error) => Err(api_error::describe(error)),
    }
}

/// The streams of the attempts that ended, and the one of the attempt that runs.
///
/// The container names the newest stream, which belongs to an attempt that ended once that is listed.
fn streams(job: &JobDetail) -> (Vec<Option<&str>>, Option<&str>) {
    let ended: Vec<_> = job.attempts().iter().map(|attempt| attempt.container()?.log_stream_name()).collect();
    let newest = job.container().and_then(|container| container.log_stream_name());
    let running = newest.filter(|stream| !ended.contains(&Some(stream)));
    (ended, running)
}

fn group(job: &JobDetail) -> String {
    job.container()
        .and_then(|container| container.log_configuration())
        .and_then(LogConfiguration::options)
        .and_then(|options| options.get("awslogs-group"))
        .map_or_else(|| DEFAULT_GROUP.to_owned(), Clone::clone)
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{AttemptContainerDetail, AttemptDetail, ContainerDetail};

    use super::*;

    fn job(ended: &[Option<&str>], newest: Option<&str>) -> JobDetail {
        let attempt = |stream: &Option<&str>| {
            let container = AttemptContainerDetail::builder().set_log_stream_name(stream.map(String::from));
            AttemptDetail::builder().container(container.build()).build()
        };
        JobDetail::builder()
            .set_attempts(Some(ended.iter().map(attempt).collect()))
            .container(ContainerDetail::builder().set_log_stream_name(newest.map(String::from)).build())
            .build()
    }

    #[test]
    fn each_attempt_has_its_own_stream() {
        let cases = [
            (job(&[], None), None, None),
            (job(&[], Some("a")), None, Some(("a", 1))),
            (job(&[], Some("a")), Some(1), Some(("a", 1))),
            (job(&[], Some("a")), Some(0), None),
            (job(&[Some("a")], Some("a")), None, Some(("a", 1))),
            (job(&[Some("a")], Some("a")), Some(2), None),
            (job(&[Some("a")], Some("b")), Some(1), Some(("a", 1))),
            (job(&[Some("a")], Some("b")), Some(2), Some(("b", 2))),
            (job(&[Some("a"), Some("b")], Some("b")), None, Some(("b", 2))),
            (job(&[Some("a"), None], None), None, None),
            (job(&[Some("a"), None], None), Some(1), Some(("a", 1))),
        ];
        for (index, (job, number, want)) in cases.into_iter().enumerate() {
            let got = LogStream::of(&job, number);
            let got = got.as_ref().map(|stream| (stream.stream.as_str(), stream.attempt_number(&job)));
            assert_eq!(got, want, "case {index}");
        }
    }

    #[test]
    fn the_group_is_the_jobs_own() {
        let options = LogConfiguration::builder()
            .log_driver(aws_sdk_batch::types::LogDriver::Awslogs)
            .options("awslogs-group", "mine")
            .build();
        let container = ContainerDetail::builder().log_configuration(options).build();
        assert_eq!(group(&JobDetail::builder().container(container).build()), "mine");
        assert_eq!(group(&JobDetail::builder().build()), DEFAULT_GROUP);
    }
}
