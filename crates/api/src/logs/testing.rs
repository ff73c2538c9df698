//! Logs in memory, for the tests of the operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use fornada_core::arn::Scope;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::log::{
    Direction, Ends, Error, GroupInfo, GroupSettings, LogAdmin, LogEvent, LogReader, Page, ReadRequest,
    StreamInfo, StreamName, Watch,
};

use super::Caller;

/// What a stream and each event take besides the message: positions are not indices, as on disk.
const OVERHEAD: u64 = 20;

/// When the tests are.
pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// The account and region of all tests.
pub(super) fn scope() -> Scope {
    SCOPE.clone()
}

static SCOPE: LazyLock<Scope> =
    LazyLock::new(|| Scope { region: "us-east-1".into(), account: "000000000000".into() });

/// Groups and their streams, all of one [`scope`].
#[derive(Default)]
pub(super) struct MemoryLogs {
    groups: Mutex<BTreeMap<Text, BTreeMap<Text, Vec<LogEvent>>>>,
    settings: Mutex<BTreeMap<Text, GroupSettings>>,
    changed: Arc<Mutex<BTreeSet<StreamName>>>,
}

impl MemoryLogs {
    /// Somebody who calls at [`NOW`].
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { logs: self, scope: &SCOPE, now: NOW }
    }

    /// Appends (time, message) to a stream, and creates it if need be.
    pub(super) fn append(&self, group: &str, stream: &str, events: &[(i64, &str)]) {
        let name = StreamName { scope: scope(), group: group.into(), stream: stream.into() };
        self.changed.lock().unwrap().insert(name);
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
        let settings = |group: &Text| self.settings.lock().unwrap().get(group).cloned().unwrap_or_default();
        let info = |group: &Text| GroupInfo {
            group: group.clone(),
            created_at: 1,
            stored_bytes: 2,
            settings: settings(group),
        };
        Ok(groups.keys().map(info).collect())
    }

    fn settings(&self, _: &Scope, group: &str) -> Result<GroupSettings, Error> {
        self.groups.lock().unwrap().get(group).ok_or(Error::NoSuchGroup)?;
        Ok(self.settings.lock().unwrap().get(group).cloned().unwrap_or_default())
    }

    fn stream_names(&self, _: &Scope, group: &str, prefix: &str, _: Option<i64>) -> Result<Vec<Text>, Error> {
        let groups = self.groups.lock().unwrap();
        let streams = groups.get(group).ok_or(Error::NoSuchGroup)?;
        Ok(streams.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn stream_info(&self, name: &StreamName, since: Option<i64>) -> Result<StreamInfo, Error> {
        let mut events = self.stream(name)?;
        events.retain(|event| since.is_none_or(|since| event.timestamp >= since));
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

    fn watch(&self, scope: &Scope, groups: &[Text]) -> Result<(Box<dyn Watch>, Ends), Error> {
        let all = self.groups.lock().unwrap();
        let mut ends = Ends::new();
        for group in groups {
            for (stream, events) in all.get(group).ok_or(Error::NoSuchGroup)? {
                let (scope, group, stream) = (scope.clone(), group.clone(), stream.clone());
                ends.insert(StreamName { scope, group, stream }, end(events));
            }
        }
        self.changed.lock().unwrap().clear();
        Ok((Box::new(Changes(groups.to_vec(), Arc::clone(&self.changed))), ends))
    }

    fn stop_watching(&self) {}
}

struct Changes(Vec<Text>, Arc<Mutex<BTreeSet<StreamName>>>);

impl Watch for Changes {
    fn changed(&mut self) -> Result<BTreeSet<StreamName>, Error> {
        let mut changed = std::mem::take(&mut *self.1.lock().unwrap());
        changed.retain(|name| self.0.contains(&name.group));
        Ok(changed)
    }
}

impl LogAdmin for MemoryLogs {
    fn create_group(&self, _: &Scope, group: &str, new: GroupSettings, _: Timestamp) -> Result<(), Error> {
        if self.groups.lock().unwrap().insert(group.into(), BTreeMap::new()).is_some() {
            return Err(Error::GroupExists);
        }
        self.settings.lock().unwrap().insert(group.into(), new);
        Ok(())
    }

    fn delete_group(&self, _: &Scope, group: &str) -> Result<(), Error> {
        self.groups.lock().unwrap().remove(group).map(drop).ok_or(Error::NoSuchGroup)
    }

    fn set_retention(
        &self,
        scope: &Scope,
        group: &str,
        retention_days: Option<u32>,
        _: Timestamp,
    ) -> Result<(), Error> {
        let settings = GroupSettings { retention_days, ..self.settings(scope, group)? };
        self.settings.lock().unwrap().insert(group.into(), settings);
        Ok(())
    }

    fn create_stream(&self, name: &StreamName, _: Timestamp) -> Result<(), Error> {
        self.append(&name.group, &name.stream, &[]);
        Ok(())
    }

    fn put(&self, name: &StreamName, events: &[(i64, &[u8])]) -> Result<u64, Error> {
        self.stream(name)?;
        for &(at, message) in events {
            self.append(&name.group, &name.stream, &[(at, str::from_utf8(message).unwrap())]);
        }
        Ok(end(&self.stream(name)?))
    }

    fn expire(&self, _: Timestamp) -> Result<u64, Error> {
        Ok(0)
    }
}
