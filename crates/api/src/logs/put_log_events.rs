//! PutLogEvents: events that a client writes, into a stream that a client made.
//!
//! Source: API reference, PutLogEvents. Sequence tokens are ignored, as the service does it since 2023.

use std::ops::Range;

use fornada_core::time::Timestamp;
use fornada_model::logs::{self as model, InputLogEvent};

use super::{Caller, invalid};
use crate::error::WireError;

/// Bytes of one batch: of its messages, and 26 for each event.
const BATCH_BYTES: usize = 1 << 20;
const EVENT_BYTES: usize = 26;

const HOUR_MS: i64 = 60 * 60 * 1000;
/// Between the first and the last event of a batch.
const SPAN_MS: i64 = 24 * HOUR_MS;
/// Older events are rejected.
const OLDEST_MS: i64 = 14 * 24 * HOUR_MS;
/// Events further in the future are rejected.
const NEWEST_MS: i64 = 2 * HOUR_MS;

/// Digits of a sequence token; as many as the service's own have.
const TOKEN_DIGITS: usize = 56;

/// Appends what is neither too old nor too new, and says what was left out.
pub(super) fn put_log_events(
    caller: &Caller<'_>,
    request: model::PutLogEventsRequest,
) -> Result<model::PutLogEventsResponse, WireError> {
    let model::PutLogEventsRequest {
        // Who is meant by it is for the console only.
        entity: _,
        log_events,
        log_group_name,
        log_stream_name,
        sequence_token: _,
    } = request;
    check(&log_events)?;
    let (accepted, rejected) = accept(&log_events, caller.now, caller.retained_since(&log_group_name)?);
    let events: Vec<_> =
        log_events[accepted].iter().map(|event| (event.timestamp, event.message.as_bytes())).collect();
    // Even with nothing to append: whether there is such a stream is a part of the answer.
    let end = caller.logs.put(&caller.stream(&log_group_name, &log_stream_name), &events)?;
    Ok(model::PutLogEventsResponse {
        next_sequence_token: Some(format!("{end:0TOKEN_DIGITS$}")),
        rejected_entity_info: None,
        rejected_log_events_info: rejected,
    })
}

/// Refuses a batch that is too large, out of order or spread over too long a time. Observed error texts.
fn check(events: &[InputLogEvent]) -> Result<(), WireError> {
    let size: usize = events.iter().map(|event| event.message.len() + EVENT_BYTES).sum();
    if size > BATCH_BYTES {
        return Err(invalid(format!("Upload too large: {size} bytes exceeds limit of {BATCH_BYTES}")));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    if let (Some(first), Some(last)) = (events.first(), events.last())
        && last.timestamp.saturating_sub(first.timestamp) > SPAN_MS
    {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// Which events of a batch in order are taken, and what is said of the others, if there are any.
fn accept(
    events: &[InputLogEvent],
    now: Timestamp,
    retained_since: Option<i64>,
) -> (Range<usize>, Option<model::RejectedLogEventsInfo>) {
    let before = |time: i64| events.partition_point(|event| event.timestamp < time);
    let too_old = before(now.as_millis().saturating_sub(OLDEST_MS));
    let expired = retained_since.map_or(0, before);
    let too_new = before(now.as_millis().saturating_add(NEWEST_MS + 1));
    let start = too_old.max(expired);
    // A batch has at most 10,000 events.
    let index = |index: usize| i32::try_from(index).ok();
    let rejected = model::RejectedLogEventsInfo {
        too_old_log_event_end_index: index(too_old).filter(|end| *end > 0),
        expired_log_event_end_index: index(expired).filter(|end| *end > 0),
        too_new_log_event_start_index: index(too_new).filter(|_| too_new < events.len()),
    };
    (start..too_new.max(start), Some(rejected).filter(|rejected| *rejected != Default::default()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::NOW;
    use super::*;

    const DAY_MS: i64 = 24 * HOUR_MS;

    fn events(ages: &[i64]) -> Vec<InputLogEvent> {
        let event = |age| InputLogEvent { message: "m".into(), timestamp: NOW.as_millis() - age };
        ages.iter().map(event).collect()
    }

    #[test]
    fn events_are_rejected_by_their_age() {
        struct Case {
            name: &'static str,
            ages: Vec<i64>,
            retention_days: Option<i64>,
            want_taken: Range<usize>,
            /// Too old until, expired until, too new from.
            want_rejected: Option<[Option<i32>; 3]>,
        }
        let case = |name, ages: &[i64], retention_days, want_taken, want_rejected| Case {
            name,
            ages: ages.to_vec(),
            retention_days,
            want_taken,
            want_rejected,
        };
        let cases = [
            case("all taken", &[OLDEST_MS, 0, -NEWEST_MS], None, 0..3, None),
            case("too old", &[OLDEST_MS + 1, OLDEST_MS], None, 1..2, Some([Some(1), None, None])),
            case("too new", &[0, -NEWEST_MS - 1], None, 0..1, Some([None, None, Some(1)])),
            case("all too new", &[-NEWEST_MS - 1], None, 0..0, Some([None, None, Some(0)])),
            case("expired", &[3 * DAY_MS + 1, 3 * DAY_MS], Some(3), 1..2, Some([None, Some(1), None])),
            case(
                "too old is expired too",
                &[20 * DAY_MS, 4 * DAY_MS, DAY_MS],
                Some(3),
                2..3,
                Some([Some(1), Some(2), None]),
            ),
            case("all old", &[20 * DAY_MS, 20 * DAY_MS], None, 2..2, Some([Some(2), None, None])),
        ];
        for Case { name, ages, retention_days, want_taken, want_rejected } in cases {
            let retained_since = retention_days.map(|days| NOW.as_millis() - days * DAY_MS);
            let (taken, rejected) = accept(&events(&ages), NOW, retained_since);
            let rejected = rejected.map(|info| {
                let model::RejectedLogEventsInfo {
                    expired_log_event_end_index,
                    too_new_log_event_start_index,
                    too_old_log_event_end_index,
                } = info;
                [too_old_log_event_end_index, expired_log_event_end_index, too_new_log_event_start_index]
            });
            assert_eq!((taken, rejected), (want_taken, want_rejected), "{name}");
        }
    }

    #[test]
    fn batches_have_bounds() {
        let refusal = |events: &[InputLogEvent]| check(events).map_err(|error| error.message);
        assert_eq!(refusal(&events(&[DAY_MS, 0])), Ok(()));
        assert!(refusal(&events(&[DAY_MS + 1, 0])).unwrap_err().contains("cannot span more than 24 hours"));
        assert!(refusal(&events(&[0, 1])).unwrap_err().contains("chronological order"));
        let extremes = [i64::MIN, i64::MAX].map(|timestamp| InputLogEvent { message: "m".into(), timestamp });
        assert!(refusal(&extremes).is_err());
        let large = |bytes: usize| [InputLogEvent { message: "x".repeat(bytes - EVENT_BYTES), timestamp: 0 }];
        assert_eq!(refusal(&large(BATCH_BYTES)), Ok(()));
        let error = refusal(&large(BATCH_BYTES + 1)).unwrap_err();
        assert_eq!(error, "Upload too large: 1048577 bytes exceeds limit of 1048576");
    }
}
