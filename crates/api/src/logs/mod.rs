//! CloudWatch Logs, as far as jobs and those who watch them need it (awsJson1.1). One file an operation.
//!
//! An operation is a plain function of the caller and the request. It blocks on disk, so `serve` runs it off the async
//! threads. No request reads more than a bounded part of the logs into memory. What has expired by the retention of its
//! group is not there, whether or not it is still on disk.

mod describe_log_groups;
mod describe_log_streams;
mod event_stream;
mod filter_log_events;
mod filter_pattern;
mod get_log_events;
mod json_parser;
mod json_pattern;
mod live_tail;
mod log_groups;
mod log_streams;
mod merge;
mod put_log_events;
mod regex;
mod space_pattern;
mod start_live_tail;
#[cfg(test)]
mod testing;
mod token;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fornada_core::arn::Scope;
use fornada_core::time::Timestamp;
use fornada_engine::port::log::{self, LogReader, StreamName};
use fornada_model::logs::{ErrorCode, Operation};
use fornada_model::{Request, Violations, decode};
use serde::Serialize;
use serde_json::Value;

use crate::app::Call;
use crate::error::WireError;
use crate::front::parse;

/// Bytes of messages in one answer. Source: API reference, GetLogEvents ("up to 1 MB").
const PAGE_BYTES: usize = 1 << 20;
/// Events in one answer. Source: API reference, GetLogEvents and FilterLogEvents (limit).
const PAGE_EVENTS: usize = 10_000;
/// Log groups or streams in one answer. Source: API reference, DescribeLogGroups (limit).
const DESCRIBE_LIMIT: usize = 50;

/// Decodes and runs the operation that `target` (header `X-Amz-Target`) names. Sets `operation` as soon as it is known.
pub(crate) async fn serve(
    call: &Call,
    target: &str,
    body: &Bytes,
    operation: &mut &'static str,
) -> Result<Response, WireError> {
    let named = Operation::from_target(target)
        .ok_or_else(|| unknown_operation(format!("There is no operation {target}.")))?;
    *operation = named.name();
    let body = parse(body)?;
    match named {
        Operation::CreateLogGroup => run(call, body, log_groups::create).await,
        Operation::CreateLogStream => run(call, body, log_streams::create).await,
        Operation::DeleteLogGroup => run(call, body, log_groups::delete).await,
        Operation::DeleteRetentionPolicy => run(call, body, log_groups::delete_retention_policy).await,
        Operation::DescribeLogGroups => run(call, body, describe_log_groups::describe_log_groups).await,
        Operation::DescribeLogStreams => run(call, body, describe_log_streams::describe_log_streams).await,
        Operation::FilterLogEvents => run(call, body, filter_log_events::filter_log_events).await,
        Operation::GetLogEvents => run(call, body, get_log_events::get_log_events).await,
        Operation::PutLogEvents => run(call, body, put_log_events::put_log_events).await,
        Operation::PutRetentionPolicy => run(call, body, log_groups::put_retention_policy).await,
        Operation::StartLiveTail => start_live_tail::start_live_tail(call, decoded(body)?).await,
    }
}

/// On whose behalf an operation works, on what, and when.
#[derive(Clone, Copy)]
struct Caller<'a> {
    logs: &'a dyn LogReader,
    scope: &'a Scope,
    now: Timestamp,
}

impl Caller<'_> {
    /// Events of a group before this time have expired.
    fn retained_since(&self, group: &str) -> Result<Option<i64>, WireError> {
        Ok(self.logs.settings(self.scope, group)?.retained_since(self.now))
    }

    fn stream(&self, group: &str, stream: &str) -> StreamName {
        StreamName { scope: self.scope.clone(), group: group.into(), stream: stream.into() }
    }
}

/// The answer of operations that have none.
#[derive(Debug, Serialize)]
struct Empty {}

async fn run<Q, A>(
    call: &Call,
    body: Value,
    operation: fn(&Caller<'_>, Q) -> Result<A, WireError>,
) -> Result<Response, WireError>
where
    Q: Request + Send + 'static,
    A: Serialize + 'static,
{
    let request = decoded(body)?;
    let scope = call.scope.clone();
    let answer = call
        .blocking(move |app| {
            let caller = Caller { logs: &*app.logs, scope: &scope, now: app.clock.now() };
            serde_json::to_vec(&operation(&caller, request)?).map_err(WireError::server)
        })
        .await?;
    Ok(([("content-type", "application/x-amz-json-1.1")], answer).into_response())
}

fn decoded<Q: Request>(body: Value) -> Result<Q, WireError> {
    decode(body).map_err(|violations| refused(&violations))
}

fn unknown_operation(message: String) -> WireError {
    WireError::new("UnknownOperationException", 400, message)
}

fn refused(violations: &Violations) -> WireError {
    match violations.is_wrong_type() {
        true => WireError::new("SerializationException", 400, violations.to_string()),
        false => invalid(violations.to_string()),
    }
}

fn invalid(message: impl Into<String>) -> WireError {
    WireError::logs(ErrorCode::InvalidParameterException, message)
}

impl From<log::Error> for WireError {
    fn from(error: log::Error) -> Self {
        let (code, message) = match error {
            log::Error::NoSuchGroup => {
                (ErrorCode::ResourceNotFoundException, "The specified log group does not exist.")
            }
            log::Error::NoSuchStream => {
                (ErrorCode::ResourceNotFoundException, "The specified log stream does not exist.")
            }
            log::Error::GroupExists => {
                (ErrorCode::ResourceAlreadyExistsException, "The specified log group already exists")
            }
            log::Error::StreamExists => {
                (ErrorCode::ResourceAlreadyExistsException, "The specified log stream already exists")
            }
            log::Error::StreamInUse => (
                ErrorCode::InvalidParameterException,
                "A running job writes its output to this log stream: create a log stream of your own.",
            ),
            log::Error::Stopping => {
                (ErrorCode::ServiceUnavailableException, "The server is stopping; try again when it is back.")
            }
            log::Error::Io(_) => {
                let message = "The service failed to use its logs. Its own log says why.";
                let internal = Some(error.into());
                return WireError {
                    internal,
                    ..WireError::logs(ErrorCode::ServiceUnavailableException, message)
                };
            }
        };
        WireError::logs(code, message)
    }
}

/// What the ARN of a log group begins with; the name follows.
fn group_arn(scope: &Scope, group: &str) -> String {
    scope.arn("logs", &format!("log-group:{group}")).into()
}

/// The log group that a request is about, given by name or by identifier.
fn group_name(scope: &Scope, name: Option<String>, identifier: Option<String>) -> Result<String, WireError> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => identified(scope, &identifier),
        (Some(_), Some(_)) => Err(invalid("Specify either logGroupName or logGroupIdentifier, not both.")),
        (None, None) => Err(invalid("Specify either logGroupName or logGroupIdentifier.")),
    }
}

/// The name of the log group with this identifier: a name or an ARN, which the model forbids to end in `:*`. Groups of
/// other accounts and regions do not exist for the caller.
fn identified(scope: &Scope, identifier: &str) -> Result<String, WireError> {
    match identifier.strip_prefix(&group_arn(scope, "")) {
        Some(name) => Ok(name.to_owned()),
        None if identifier.starts_with("arn:") => Err(log::Error::NoSuchGroup.into()),
        None => Ok(identifier.to_owned()),
    }
}

/// A limit that the model has checked, or the most there can be.
fn limit(limit: Option<i32>, max: usize) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).map_or(max, |limit| limit.clamp(1, max))
}

#[cfg(test)]
mod tests {
    use super::testing::scope;
    use super::*;

    #[test]
    fn groups_are_named_by_name_or_by_an_arn_of_the_caller() {
        let id = |identifier: &str| {
            group_name(&scope(), None, Some(identifier.into())).map_err(|error| error.code)
        };
        assert_eq!(id("g").unwrap(), "g");
        assert_eq!(
            id("arn:aws:logs:us-east-1:000000000000:log-group:/aws/batch/job").unwrap(),
            "/aws/batch/job"
        );
        for foreign in [
            "arn:aws:logs:us-east-1:111111111111:log-group:g",
            "arn:aws:logs:eu-west-1:000000000000:log-group:g",
            "arn:aws:batch:us-east-1:000000000000:job-queue/q",
        ] {
            assert_eq!(id(foreign), Err("ResourceNotFoundException"), "{foreign}");
        }
        let both = group_name(&scope(), Some("g".into()), Some("g".into()));
        for wrong in [both, group_name(&scope(), None, None)] {
            assert_eq!(wrong.unwrap_err().code, "InvalidParameterException");
        }
    }
}
