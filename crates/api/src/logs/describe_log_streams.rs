//! DescribeLogStreams.

use fornada_core::text::Text;
use fornada_engine::port::log::{self, StreamInfo};
use fornada_model::logs::{self as model, OrderBy};

use super::token::{self, Kind, Place};
use super::{Caller, DESCRIBE_LIMIT, group_arn, group_name, invalid, limit};
use crate::error::WireError;

/// Lists the streams of a group, by name or by the time of the last event.
///
/// By name only the streams of the page are looked into; by time all streams of the group.
pub(super) fn describe_log_streams(
    caller: &Caller<'_>,
    request: model::DescribeLogStreamsRequest,
) -> Result<model::DescribeLogStreamsResponse, WireError> {
    let model::DescribeLogStreamsRequest {
        descending,
        limit: page_limit,
        log_group_identifier,
        log_group_name,
        log_stream_name_prefix: prefix,
        next_token,
        order_by,
    } = request;
    let by_time = order_by == Some(OrderBy::LastEventTime);
    if by_time && prefix.is_some() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let group = group_name(caller.scope, log_group_name, log_group_identifier)?;
    let retained_since = caller.retained_since(&group)?;
    let list = Listing {
        descending: descending == Some(true),
        limit: limit(page_limit, DESCRIBE_LIMIT),
        next_token: next_token.as_deref(),
    };
    let info = |stream: Text| {
        match caller.logs.stream_info(&caller.stream(&group, &stream), retained_since) {
            Ok(info) => Some(Ok(info)),
            // Deleted since it was listed.
            Err(log::Error::NoSuchStream) => None,
            Err(error) => Some(Err(error)),
        }
    };
    let names =
        caller.logs.stream_names(caller.scope, &group, prefix.as_deref().unwrap_or_default(), None)?;
    let (streams, next_token) = if by_time {
        let streams = names.into_iter().filter_map(info).collect::<Result<Vec<_>, _>>()?;
        list.page(Kind::StreamsByTime, streams, |stream| Place {
            time: stream.last_event_at.unwrap_or(stream.created_at),
            name: stream.stream.to_string(),
            ..Place::default()
        })?
    } else {
        let (names, next_token) = list
            .page(Kind::StreamsByName, names, |name| Place { name: name.to_string(), ..Place::default() })?;
        (names.into_iter().filter_map(info).collect::<Result<_, _>>()?, next_token)
    };
    let arn = group_arn(caller.scope, &group);
    let log_streams = streams.into_iter().map(|stream| log_stream(&arn, stream)).collect();
    Ok(model::DescribeLogStreamsResponse { log_streams: Some(log_streams), next_token })
}

struct Listing<'a> {
    descending: bool,
    limit: usize,
    next_token: Option<&'a str>,
}

impl Listing<'_> {
    /// Sorts `items` by time and name, and cuts the page out that the token asks for.
    fn page<T>(
        &self,
        kind: Kind,
        items: Vec<T>,
        place: impl Fn(&T) -> Place,
    ) -> Result<(Vec<T>, Option<String>), WireError> {
        let after = Place::decode(kind, self.next_token)?;
        let key = |place: Place| (place.time, place.name);
        let mut items: Vec<_> = items.into_iter().map(|item| (key(place(&item)), item)).collect();
        items.sort_unstable_by(|(a, _), (b, _)| if self.descending { b.cmp(a) } else { a.cmp(b) });
        if let Some(after) = after.map(key) {
            items.retain(|(key, _)| if self.descending { *key < after } else { *key > after });
        }
        Ok(token::page(items.into_iter().map(|(_, item)| item), self.limit, kind, place))
    }
}

fn log_stream(group_arn: &str, stream: StreamInfo) -> model::LogStream {
    let StreamInfo { stream, created_at, first_event_at, last_event_at, stored_bytes } = stream;
    model::LogStream {
        arn: Some(format!("{group_arn}:log-stream:{stream}")),
        creation_time: Some(created_at),
        first_event_timestamp: first_event_at,
        last_event_timestamp: last_event_at,
        // Lines are stored as they are read.
        last_ingestion_time: last_event_at,
        log_stream_name: Some(stream.into()),
        stored_bytes: Some(i64::try_from(stored_bytes).unwrap_or(i64::MAX)),
        // The service ignores sequence tokens.
        upload_sequence_token: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryLogs;
    use super::*;

    fn request() -> model::DescribeLogStreamsRequest {
        model::DescribeLogStreamsRequest { log_group_name: Some("g".into()), ..Default::default() }
    }

    fn names(logs: &MemoryLogs, mut request: model::DescribeLogStreamsRequest) -> Vec<Vec<String>> {
        let mut pages = vec![];
        loop {
            let answer = describe_log_streams(&logs.caller(), request.clone()).unwrap();
            pages.push(answer.log_streams.unwrap().into_iter().map(|s| s.log_stream_name.unwrap()).collect());
            request.next_token = answer.next_token;
            if request.next_token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn streams_are_listed_by_name_or_by_time() {
        let logs = MemoryLogs::default();
        logs.append("g", "a/1", &[(10, "x"), (90, "y")]);
        logs.append("g", "a/2", &[(20, "x")]);
        logs.append("g", "b/1", &[(20, "x")]);
        let by_time = |descending| model::DescribeLogStreamsRequest {
            order_by: Some(OrderBy::LastEventTime),
            descending: Some(descending),
            limit: Some(2),
            ..request()
        };
        assert_eq!(names(&logs, request()), [["a/1", "a/2", "b/1"]]);
        let descending =
            model::DescribeLogStreamsRequest { descending: Some(true), limit: Some(1), ..request() };
        assert_eq!(names(&logs, descending), [["b/1"], ["a/2"], ["a/1"]]);
        let mut prefixed =
            model::DescribeLogStreamsRequest { log_stream_name_prefix: Some("a".into()), ..request() };
        assert_eq!(names(&logs, prefixed.clone()), [["a/1", "a/2"]]);
        assert_eq!(names(&logs, by_time(false)), [vec!["a/2", "b/1"], vec!["a/1"]]);
        assert_eq!(names(&logs, by_time(true)), [vec!["a/1", "b/1"], vec!["a/2"]]);

        prefixed.order_by = Some(OrderBy::LastEventTime);
        let error = describe_log_streams(&logs.caller(), prefixed).unwrap_err();
        assert_eq!(error.message, "Cannot order by LastEventTime with a logStreamNamePrefix.");
        let other_kind = describe_log_streams(&logs.caller(), by_time(false)).unwrap().next_token;
        let error = describe_log_streams(
            &logs.caller(),
            model::DescribeLogStreamsRequest { next_token: other_kind, ..request() },
        );
        assert_eq!(error.unwrap_err().message, "The specified nextToken is invalid.");
        let nowhere =
            model::DescribeLogStreamsRequest { log_group_name: Some("h".into()), ..Default::default() };
        let error = describe_log_streams(&logs.caller(), nowhere).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            ("ResourceNotFoundException", "The specified log group does not exist.")
        );
    }
}
