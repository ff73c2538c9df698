//! FilterLogEvents: the events of several streams that match a pattern, ordered by time.
//!
//! A call looks at a bounded amount of output, so a page can be empty and yet have a successor; only a missing token
//! is the end. A token is the last event that was looked at: the next page has what comes after it in the order of
//! time, stream name and position. What is appended meanwhile with a later time is found; what is appended with an
//! earlier one belongs to pages that have passed.

use fornada_core::text::Text;
use fornada_engine::port::log::{LogEvent, StreamName};
use fornada_model::logs as model;
use sha2::{Digest as _, Sha256};

use super::filter_pattern::FilterPattern;
use super::merge::{Merge, Times};
use super::token::{Kind, Place};
use super::{Caller, PAGE_BYTES, PAGE_EVENTS, group_name, invalid, limit};
use crate::error::WireError;

/// Output that one call looks through; some 100 ms of work.
const SCAN_BYTES: usize = 32 << 20;
/// What an event costs besides its bytes.
const SCAN_EVENT_BYTES: usize = 64;

/// Reads one page.
pub(super) fn filter_log_events(
    caller: &Caller<'_>,
    request: model::FilterLogEventsRequest,
) -> Result<model::FilterLogEventsResponse, WireError> {
    filter_within(caller, request, SCAN_BYTES)
}

fn filter_within(
    caller: &Caller<'_>,
    request: model::FilterLogEventsRequest,
    scan_bytes: usize,
) -> Result<model::FilterLogEventsResponse, WireError> {
    let model::FilterLogEventsRequest {
        end_time,
        filter_pattern,
        // Always so, as the service itself does it.
        interleaved: _,
        limit: page_limit,
        log_group_identifier,
        log_group_name,
        log_stream_name_prefix,
        log_stream_names,
        next_token,
        start_from_head,
        start_time,
        // Nothing is masked.
        unmask: _,
    } = request;
    if start_from_head == Some(false) {
        return Err(invalid("Fornada returns the earliest events first: startFromHead cannot be false."));
    }
    let group = group_name(caller.scope, log_group_name, log_group_identifier)?;
    let pattern = FilterPattern::parse(filter_pattern.as_deref().unwrap_or_default())
        .map_err(|error| invalid(format!("Invalid filter pattern: {error}")))?;
    let after = Place::decode(Kind::Events, next_token.as_deref())?;
    // Unlike in GetLogEvents, events at the end time belong to the answer.
    let times = Times {
        start: start_time.max(caller.retained_since(&group)?),
        end: end_time.map(|end| end.saturating_add(1)),
    };
    let name = |stream: &str| caller.stream(&group, stream);
    let streams: Vec<StreamName> = match (log_stream_names, log_stream_name_prefix) {
        (Some(_), Some(_)) => {
            return Err(invalid("Specify either logStreamNames or logStreamNamePrefix, not both."));
        }
        (Some(mut names), None) => {
            names.sort_unstable();
            names.dedup();
            let names: Vec<_> = names.iter().map(|stream| name(stream)).collect();
            names.iter().try_for_each(|name| caller.logs.stream_info(name, None).map(drop))?;
            names
        }
        (None, prefix) => {
            // A group may have a hundred thousand streams, and most ended long before what is asked for.
            let since = times.start.max(after.as_ref().map(|after| after.time));
            let prefix = prefix.as_deref().unwrap_or_default();
            let names = caller.logs.stream_names(caller.scope, &group, prefix, since)?;
            names.iter().map(|stream| name(stream)).collect()
        }
    };
    let mut merge = Merge::open(caller.logs, streams, times, after.as_ref())?;
    let (events, last) = fill_page(&mut merge, &pattern, limit(page_limit, PAGE_EVENTS), scan_bytes)?;
    Ok(model::FilterLogEventsResponse {
        events: Some(events),
        next_token: last.map(|place| place.encode(Kind::Events)),
        // Always empty since 2019.
        searched_log_streams: Some(vec![]),
    })
}

/// Matching events, and the last event that was looked at if there are more.
fn fill_page(
    merge: &mut Merge<'_>,
    pattern: &FilterPattern,
    max_events: usize,
    scan_bytes: usize,
) -> Result<(Vec<model::FilteredLogEvent>, Option<Place>), WireError> {
    let (mut events, mut bytes, mut scanned) = (Vec::new(), 0, 0);
    let mut last: Option<Place> = None;
    while let Some((stream, event)) = merge.next()? {
        let size = event.message.len();
        let place = Place { time: event.timestamp, position: event.position, name: stream.to_string() };
        if pattern.matches(&event.message) {
            if bytes + size > PAGE_BYTES && !events.is_empty() {
                return Ok((events, last));
            }
            bytes += size;
            events.push(filtered(stream, event));
        }
        scanned += size + SCAN_EVENT_BYTES;
        if events.len() == max_events || scanned >= scan_bytes {
            return Ok((events, Some(place).filter(|_| !merge.is_at_end())));
        }
        last = Some(place);
    }
    Ok((events, None))
}

fn filtered(stream: Text, event: LogEvent) -> model::FilteredLogEvent {
    model::FilteredLogEvent {
        event_id: Some(event_id(&stream, &event)),
        // Lines are stored as they are read.
        ingestion_time: Some(event.timestamp),
        log_stream_name: Some(stream.into()),
        message: Some(event.message),
        timestamp: Some(event.timestamp),
    }
}

/// 56 digits, as the service's own ids: time, stream, position. The same event has the same id in every answer, which
/// is how clients that poll tell what they have seen.
fn event_id(stream: &str, event: &LogEvent) -> String {
    let stream = Sha256::digest(stream).first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{:016}{stream:020}{:020}", event.timestamp.max(0), event.position)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::testing::MemoryLogs;
    use super::*;

    fn request() -> model::FilterLogEventsRequest {
        model::FilterLogEventsRequest { log_group_name: Some("g".into()), ..Default::default() }
    }

    /// Messages page by page, until there is no token.
    fn pages(
        logs: &MemoryLogs,
        request: model::FilterLogEventsRequest,
        scan_bytes: usize,
    ) -> Vec<Vec<String>> {
        let (mut pages, mut request, mut ids) = (vec![], request, BTreeSet::new());
        loop {
            let answer = filter_within(&logs.caller(), request.clone(), scan_bytes).unwrap();
            let events = answer.events.unwrap();
            for event in &events {
                assert!(ids.insert(event.event_id.clone().unwrap()), "event ids are unique");
            }
            pages.push(events.into_iter().map(|event| event.message.unwrap()).collect());
            request.next_token = answer.next_token;
            if request.next_token.is_none() {
                return pages;
            }
        }
    }

    proptest! {
        /// Whatever the streams hold and however small the pages are, the pages together are the sorted whole.
        #[test]
        fn pages_neither_skip_nor_repeat(
            streams in prop::collection::vec(prop::collection::vec(0i64..6, 0..12), 1..5),
            limit in 1i32..5,
            scan_bytes in 1usize..400,
        ) {
            let (logs, mut want) = (MemoryLogs::default(), vec![]);
            for (s, times) in streams.into_iter().enumerate() {
                let (stream, mut times) = (format!("s{s}"), times);
                times.sort_unstable();
                logs.append("g", &stream, &[]);
                for (i, time) in times.into_iter().enumerate() {
                    let message = format!("{stream} {i}");
                    logs.append("g", &stream, &[(time, &message)]);
                    want.push((time, s, i, message));
                }
            }
            want.sort();
            let asked = model::FilterLogEventsRequest { limit: Some(limit), ..request() };
            let got = pages(&logs, asked, scan_bytes).concat();
            prop_assert_eq!(got, want.into_iter().map(|(.., message)| message).collect::<Vec<_>>());
        }

        #[test]
        fn no_token_panics(time: i64, position: u64, name: String) {
            let logs = MemoryLogs::default();
            logs.append("g", "s", &[(1, "a"), (2, "b")]);
            let next_token = Some(Place { time, position, name }.encode(Kind::Events));
            let asked = model::FilterLogEventsRequest { next_token, ..request() };
            prop_assert!(filter_log_events(&logs.caller(), asked).is_ok());
        }
    }

    #[test]
    fn streams_times_and_patterns_select() {
        let logs = MemoryLogs::default();
        logs.append("g", "a/1", &[(1, "one ok"), (4, "four bad")]);
        logs.append("g", "a/2", &[(2, "two bad")]);
        logs.append("g", "b/1", &[(3, "three bad")]);
        let all = |request| pages(&logs, request, SCAN_BYTES).concat();
        let bad = model::FilterLogEventsRequest { filter_pattern: Some("bad".into()), ..request() };
        assert_eq!(all(bad), ["two bad", "three bad", "four bad"]);
        let times = model::FilterLogEventsRequest { start_time: Some(2), end_time: Some(3), ..request() };
        assert_eq!(all(times), ["two bad", "three bad"], "both ends are inclusive");
        let prefix = model::FilterLogEventsRequest { log_stream_name_prefix: Some("a".into()), ..request() };
        assert_eq!(all(prefix.clone()), ["one ok", "two bad", "four bad"]);
        let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        let named =
            model::FilterLogEventsRequest { log_stream_names: names(&["b/1", "a/1", "b/1"]), ..request() };
        assert_eq!(all(named), ["one ok", "three bad", "four bad"]);

        let refusal = |request| filter_log_events(&logs.caller(), request).unwrap_err().code;
        let both = model::FilterLogEventsRequest { log_stream_names: names(&["a/1"]), ..prefix };
        assert_eq!(refusal(both), "InvalidParameterException");
        let missing = model::FilterLogEventsRequest { log_stream_names: names(&["c"]), ..request() };
        assert_eq!(refusal(missing), "ResourceNotFoundException");
        let pattern = model::FilterLogEventsRequest { filter_pattern: Some("{".into()), ..request() };
        assert_eq!(refusal(pattern), "InvalidParameterException");
        let token = model::FilterLogEventsRequest { next_token: Some("f/1/s".into()), ..request() };
        assert_eq!(refusal(token), "InvalidParameterException");
    }

    #[test]
    fn a_bounded_scan_gives_empty_pages_and_goes_on() {
        let logs = MemoryLogs::default();
        for second in 0..10 {
            logs.append("g", "s", &[(second, if second == 9 { "needle" } else { "hay" })]);
        }
        let asked = model::FilterLogEventsRequest { filter_pattern: Some("needle".into()), ..request() };
        let found = pages(&logs, asked, 3 * SCAN_EVENT_BYTES);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }

    #[test]
    fn later_events_appear_on_later_pages() {
        let logs = MemoryLogs::default();
        logs.append("g", "a", &[(1, "a1"), (5, "a5")]);
        logs.append("g", "b", &[(2, "b2")]);
        let asked = model::FilterLogEventsRequest { limit: Some(2), ..request() };
        let first = filter_log_events(&logs.caller(), asked.clone()).unwrap();
        logs.append("g", "b", &[(2, "b2 again"), (9, "b9")]);
        logs.append("g", "c", &[(7, "c7")]);
        let rest =
            pages(&logs, model::FilterLogEventsRequest { next_token: first.next_token, ..asked }, SCAN_BYTES);
        assert_eq!(rest.concat(), ["b2 again", "a5", "c7", "b9"]);
    }
}
