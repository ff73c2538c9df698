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
        let of_attempt = |index: usize| job.attempts().get(index)?.container()?.log_stream_name();
        let running = || job.container()?.log_stream_name();
        let stream = match number {
            // The attempt that runs now is not among the attempts, which are those that ended.
            Some(number) if number == job.attempts().len() + 1 => running(),
            Some(number) => of_attempt(number.checked_sub(1)?),
            None => running().or_else(|| of_attempt(job.attempts().len().checked_sub(1)?)),
        };
        Some(LogStream { group: group(job), stream: stream?.to_owned(), next_token: None })
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

fn group(job: &JobDetail) -> String {
    job.container()
        .and_then(|container| container.log_configuration())
        .and_then(LogConfiguration::options)
        .and_then(|options| options.get("awslogs-group"))
        .map_or_else(|| DEFAULT_GROUP.to_owned(), Clone::clone)
}
