//! One log stream, read through CloudWatch Logs' GetLogEvents.

use std::collections::VecDeque;

use anyhow::Result;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_sdk_cloudwatchlogs::operation::get_log_events::builders::GetLogEventsFluentBuilder;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;

use super::connect::Clients;
use super::containers::Container;
use super::{api_error, poll};

/// A log stream and how far it has been read.
#[derive(Clone, Debug)]
pub(crate) struct LogStream {
    group: String,
    pub(crate) stream: String,
    next_token: Option<String>,
    /// What was read and not yet taken.
    page: VecDeque<OutputLogEvent>,
}

impl LogStream {
    /// The log of a container; `None` if it has not started.
    pub(crate) fn of(container: &Container<'_>) -> Option<LogStream> {
        Some(LogStream {
            group: container.log_group.to_owned(),
            stream: container.log_stream.clone()?,
            next_token: None,
            page: VecDeque::new(),
        })
    }

    /// Whether the other is the same stream, however far either has been read.
    pub(crate) fn is_same(&self, other: &LogStream) -> bool {
        (&self.group, &self.stream) == (&other.group, &other.stream)
    }

    /// The event that [`Self::take`] will return.
    pub(crate) fn head(&self) -> Option<&OutputLogEvent> {
        self.page.front()
    }

    /// Takes the oldest of the events that were read.
    pub(crate) fn take(&mut self) -> Option<OutputLogEvent> {
        self.page.pop_front()
    }

    /// Reads on unless there is still something to take. If there is nothing then, all that has been written was taken.
    ///
    /// At the end of a stream GetLogEvents returns the token it was given.
    pub(crate) async fn fetch(&mut self, aws: &Clients) -> Result<()> {
        while self.page.is_empty() {
            let request = || self.request(aws).start_from_head(true).set_next_token(self.next_token.clone());
            let Some(page) = poll::patiently(async || send(request()).await).await? else {
                break;
            };
            let at_end = page.next_forward_token == self.next_token || page.next_forward_token.is_none();
            self.next_token = page.next_forward_token.or(self.next_token.take());
            self.page = page.events.unwrap_or_default().into();
            if at_end {
                break;
            }
        }
        Ok(())
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
