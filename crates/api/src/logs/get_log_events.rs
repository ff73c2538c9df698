//! GetLogEvents: pages of one stream, in both directions, also while it grows.
//!
//! Both tokens are always there. At the end of the stream the forward token is the one that was passed in, and later it
//! gives what was appended since; at the head the same holds for the backward token.

use fornada_engine::port::log::{Direction, ReadRequest};
use fornada_model::logs as model;

use super::{Caller, PAGE_BYTES, PAGE_EVENTS, group_name, limit, token};
use crate::error::WireError;

/// Reads one page. The token decides the direction; without one, `startFromHead` does.
pub(super) fn get_log_events(
    caller: &Caller<'_>,
    request: model::GetLogEventsRequest,
) -> Result<model::GetLogEventsResponse, WireError> {
    let model::GetLogEventsRequest {
        end_time,
        limit: page_limit,
        log_group_identifier,
        log_group_name,
        log_stream_name,
        next_token,
        start_from_head,
        start_time,
        // Nothing is masked.
        unmask: _,
    } = request;
    let group = group_name(caller.scope, log_group_name, log_group_identifier)?;
    let (direction, from) = match next_token.as_deref().map(token::stream).transpose()? {
        Some((direction, position)) => (direction, Some(position)),
        None if start_from_head == Some(true) => (Direction::Forward, None),
        None => (Direction::Backward, None),
    };
    let page = caller.logs.read(
        &caller.stream(&group, &log_stream_name),
        &ReadRequest {
            from,
            direction,
            start_time: start_time.max(caller.retained_since(&group)?),
            end_time,
            max_events: limit(page_limit, PAGE_EVENTS),
            max_bytes: PAGE_BYTES,
        },
    )?;
    let events = page.events.into_iter().map(|event| model::OutputLogEvent {
        ingestion_time: Some(event.timestamp),
        message: Some(event.message),
        timestamp: Some(event.timestamp),
    });
    Ok(model::GetLogEventsResponse {
        events: Some(events.collect()),
        next_backward_token: Some(token::of_stream(Direction::Backward, page.next_backward)),
        next_forward_token: Some(token::of_stream(Direction::Forward, page.next_forward)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryLogs;
    use super::*;

    fn request() -> model::GetLogEventsRequest {
        model::GetLogEventsRequest {
            log_group_name: Some("g".into()),
            log_stream_name: "s".into(),
            limit: Some(3),
            ..Default::default()
        }
    }

    /// Messages, backward token, forward token.
    fn get(logs: &MemoryLogs, request: model::GetLogEventsRequest) -> (Vec<String>, String, String) {
        let answer = get_log_events(&logs.caller(), request).unwrap();
        (
            answer.events.unwrap().into_iter().map(|event| event.message.unwrap()).collect(),
            answer.next_backward_token.unwrap(),
            answer.next_forward_token.unwrap(),
        )
    }

    fn with_token(token: &str) -> model::GetLogEventsRequest {
        model::GetLogEventsRequest { next_token: Some(token.into()), ..request() }
    }

    #[test]
    fn following_a_growing_stream_neither_skips_nor_repeats() {
        let logs = MemoryLogs::default();
        logs.append("g", "s", &[(1, "a"), (1, "b"), (2, "c"), (3, "d")]);
        let head = model::GetLogEventsRequest { start_from_head: Some(true), ..request() };
        let (events, _, first) = get(&logs, head);
        assert_eq!(events, ["a", "b", "c"]);
        let (events, _, second) = get(&logs, with_token(&first));
        assert_eq!(events, ["d"]);
        for _ in 0..2 {
            let (events, _, end) = get(&logs, with_token(&second));
            assert_eq!((events.len(), &end), (0, &second), "the end gives back the token that was passed in");
        }
        logs.append("g", "s", &[(3, "e"), (9, "f")]);
        let (events, back, _) = get(&logs, with_token(&second));
        assert_eq!(events, ["e", "f"]);
        // Turning round at any page gives the page before it.
        assert_eq!(get(&logs, with_token(&back)).0, ["b", "c", "d"]);
    }

    #[test]
    fn the_newest_page_comes_first_and_backward_tokens_reach_the_head() {
        let logs = MemoryLogs::default();
        logs.append("g", "s", &[(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]);
        let (events, back, forward) = get(&logs, request());
        assert_eq!(events, ["c", "d", "e"]);
        assert_eq!(get(&logs, with_token(&forward)).0, [""; 0]);
        let (events, back, forward) = get(&logs, with_token(&back));
        assert_eq!(events, ["a", "b"]);
        assert_eq!(get(&logs, with_token(&forward)).0, ["c", "d", "e"]);
        let (events, head, _) = get(&logs, with_token(&back));
        assert_eq!((events.len(), head), (0, back));
    }

    #[test]
    fn the_start_is_inclusive_and_the_end_exclusive() {
        let logs = MemoryLogs::default();
        logs.append("g", "s", &[(1, "a"), (2, "b"), (3, "c"), (4, "d")]);
        for start_from_head in [true, false] {
            let range = model::GetLogEventsRequest {
                start_time: Some(2),
                end_time: Some(4),
                start_from_head: Some(start_from_head),
                ..request()
            };
            assert_eq!(get(&logs, range).0, ["b", "c"]);
        }
    }

    #[test]
    fn what_does_not_exist_or_is_no_token_is_refused() {
        let logs = MemoryLogs::default();
        let refusal = |request| {
            let error = get_log_events(&logs.caller(), request).unwrap_err();
            (error.code, error.message)
        };
        let not_found = |text: &str| ("ResourceNotFoundException", text.to_owned());
        assert_eq!(refusal(request()), not_found("The specified log group does not exist."));
        logs.append("g", "other", &[(1, "a")]);
        assert_eq!(refusal(request()), not_found("The specified log stream does not exist."));
        let bad = ("InvalidParameterException", "The specified nextToken is invalid.".to_owned());
        assert_eq!(refusal(with_token("f/1/s")), bad);
        // A place that never was is harmless.
        logs.append("g", "s", &[(1, "a")]);
        let beyond = token::of_stream(Direction::Forward, u64::MAX);
        assert_eq!(get(&logs, with_token(&beyond)).0, [""; 0]);
    }
}
