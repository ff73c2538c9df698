//! Logs in memory, for the tests of the operations.

use std::collections::BTreeMap;
use std::sync::Mutex;

use fornada_core::arn::Scope;
use fornada_core::text::Text;
use fornada_engine::port::log::{
    Direction, Error, GroupInfo, LogEvent, LogReader, Page, ReadRequest, StreamInfo, StreamName,
};

/// What a stream and each event take besides the message: positions are not indices, as on disk.
const OVERHEAD: u64 = 20;

/// The caller of all tests.
pub(super) fn scope() -> Scope {
    Scope { region: "us-east-1".into(), account: "000000000000".into() }
}

/// Groups and their streams, all of one [`scope`].
#[derive(Default)]
pub(super) struct MemoryLogs {
    groups: Mutex<BTreeMap<Text, BTreeMap<Text, Vec<LogEvent>>>>,
}

impl MemoryLogs {
    /// Appends (time, message) to a stream, and creates it if need be.
    pub(super) fn append(&self, group: &str, stream: &str, events: &[(i64, &str)]) {
        let mut groups = self.groups.lock().unwrap();
        let stream = groups.entry(group.into()).or_default().entry(stream.into()).or_default();
        for &(timestamp, message) in events {
            let position = end(stream);
            stream.push(LogEvent { timestamp, message: message.to_owned(), position });
        }
    }

    fn stream(&self, name: &StreamName) -> Result<Vec<LogEvent>, Error> {
        let groups = self.groups.lock().unwrap();
        let group = groups.get(&name.group).filter(|_| name.scope == scope()).ok_or(Error::NoSuchGroup)?;
        group.get(&name.stream).cloned().ok_or(Error::NoSuchStream)
    }
}

fn end(stream: &[LogEvent]) -> u64 {
    stream.last().map_or(OVERHEAD, |last| last.position + last.message.len() as u64 + OVERHEAD)
}

impl LogReader for MemoryLogs {
    fn groups(&self, _: &Scope) -> Result<Vec<GroupInfo>, Error> {
        let groups = self.groups.lock().unwrap();
        let info = |group: &Text| GroupInfo { group: group.clone(), created_at: 1, stored_bytes: 2 };
        Ok(groups.keys().map(info).collect())
    }

    fn stream_names(&self, _: &Scope, group: &str, prefix: &str) -> Result<Vec<Text>, Error> {
        let groups = self.groups.lock().unwrap();
        let streams = groups.get(group).ok_or(Error::NoSuchGroup)?;
        Ok(streams.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn stream_info(&self, name: &StreamName) -> Result<StreamInfo, Error> {
        let events = self.stream(name)?;
        Ok(StreamInfo {
            stream: name.stream.clone(),
            created_at: 1,
            first_event_at: events.first().map(|event| event.timestamp),
            last_event_at: events.last().map(|event| event.timestamp),
            stored_bytes: end(&events),
        })
    }

    fn read(&self, name: &StreamName, request: &ReadRequest) -> Result<Page, Error> {
        let stream = self.stream(name)?;
        let forward = request.direction == Direction::Forward;
        let from = match request.from {
            Some(from) => stream.iter().map(|event| event.position).find(|&position| position >= from),
            None if forward => stream.first().map(|event| event.position),
            None => None,
        };
        let from = from.unwrap_or(end(&stream));
        let mut candidates: Vec<&LogEvent> =
            stream.iter().filter(|event| (event.position >= from) == forward).collect();
        if !forward {
            candidates.reverse();
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut stopped_at = None;
        for event in candidates {
            let too_early = request.start_time.is_some_and(|start| event.timestamp < start);
            let too_late = request.end_time.is_some_and(|end| event.timestamp >= end);
            let beyond = if forward { too_late } else { too_early };
            bytes += event.message.len();
            let full =
                events.len() == request.max_events || (bytes > request.max_bytes && !events.is_empty());
            if beyond || (full && !too_early && !too_late) {
                stopped_at = Some(event);
                break;
            }
            if !too_early && !too_late {
                events.push(event.clone());
            }
        }
        if forward {
            let next_forward = stopped_at.map_or(end(&stream), |event| event.position);
            return Ok(Page { events, next_forward, next_backward: from });
        }
        events.reverse();
        let after = |event: &LogEvent| event.position + event.message.len() as u64 + OVERHEAD;
        let next_backward = stopped_at.map_or(OVERHEAD, after);
        Ok(Page { events, next_forward: from, next_backward })
    }
}
