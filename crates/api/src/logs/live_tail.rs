//! One Live Tail session: what has come into its streams since it looked last.
//!
//! A session remembers where each stream ended, and looks only into streams that have changed. What one update costs is
//! bounded in events, bytes and output looked through, shared fairly among the streams that changed; a stream with more
//! goes on at its end, and the update says that it is a sample.

use std::sync::Arc;

use fornada_core::arn::Scope;
use fornada_core::text::Text;
use fornada_engine::port::log::{Direction, Ends, Error, LogReader, ReadRequest, StreamName, Watch};
use fornada_model::logs::{LiveTailSessionLogEvent, LiveTailSessionMetadata, LiveTailSessionUpdate};

use super::filter_pattern::FilterPattern;
use super::{PAGE_BYTES, group_arn};

/// Events in one update. Source: API reference, StartLiveTail.
const UPDATE_EVENTS: usize = 500;
/// Output that one update looks through; some 30 ms of work.
const SCAN_BYTES: usize = 8 << 20;
/// What an event costs besides its bytes.
const SCAN_EVENT_BYTES: usize = 64;
/// What is read at once.
const READ_EVENTS: usize = 1000;
const READ_BYTES: usize = 64 << 10;

/// Which streams a session is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    All,
    Named(Vec<String>),
    Prefixed(Vec<String>),
}

impl Streams {
    fn contains(&self, stream: &str) -> bool {
        match self {
            Streams::All => true,
            Streams::Named(names) => names.iter().any(|name| name == stream),
            Streams::Prefixed(prefixes) => prefixes.iter().any(|prefix| stream.starts_with(prefix.as_str())),
        }
    }
}

/// A session.
pub(super) struct Session {
    logs: Arc<dyn LogReader>,
    watch: Box<dyn Watch>,
    streams: Streams,
    pattern: FilterPattern,
    /// How far each stream was looked at; one that is not there began after the session.
    ends: Ends,
}

/// What an update has, and the room that is left in it.
struct Update {
    results: Vec<LiveTailSessionLogEvent>,
    bytes_left: usize,
    scan_left: usize,
}

impl Update {
    fn is_full(&self) -> bool {
        self.results.len() == UPDATE_EVENTS || self.bytes_left == 0 || self.scan_left == 0
    }
}

impl Session {
    /// Begins a session on groups of a scope; what is there already is not shown.
    pub(super) fn start(
        logs: Arc<dyn LogReader>,
        scope: &Scope,
        groups: &[Text],
        streams: Streams,
        pattern: FilterPattern,
    ) -> Result<Session, Error> {
        let (watch, mut ends) = logs.watch(scope, groups)?;
        ends.retain(|name, _| streams.contains(&name.stream));
        Ok(Session { logs, watch, streams, pattern, ends })
    }

    /// What has come since the last update.
    pub(super) fn update(&mut self) -> Result<LiveTailSessionUpdate, Error> {
        let changed = self.watch.changed()?.into_iter();
        let mut unread: Vec<_> = changed.filter(|name| self.streams.contains(&name.stream)).collect();
        let mut update = Update { results: Vec::new(), bytes_left: PAGE_BYTES, scan_left: SCAN_BYTES };
        // Each has its share, and what some leave goes to the others.
        while !unread.is_empty() && !update.is_full() {
            let share = (UPDATE_EVENTS - update.results.len()).div_ceil(unread.len());
            let mut not_at_end = Vec::new();
            for name in unread {
                if !self.read_on(&name, share, &mut update)? {
                    not_at_end.push(name);
                }
            }
            unread = not_at_end;
        }
        let sampled = !unread.is_empty();
        for name in unread {
            self.skip(name)?;
        }
        update.results.sort_by_key(|event| event.timestamp);
        Ok(LiveTailSessionUpdate {
            session_metadata: Some(LiveTailSessionMetadata { sampled: Some(sampled) }),
            session_results: Some(update.results),
        })
    }

    /// Takes up to `share` events of a stream; whether that was all.
    fn read_on(&mut self, name: &StreamName, share: usize, update: &mut Update) -> Result<bool, Error> {
        let mut taken = 0;
        loop {
            let request = ReadRequest {
                from: Some(self.ends.get(name).copied().unwrap_or(0)),
                direction: Direction::Forward,
                start_time: None,
                end_time: None,
                max_events: READ_EVENTS,
                max_bytes: READ_BYTES,
            };
            let page = match self.logs.read(name, &request) {
                // Deleted, or not begun yet.
                Err(Error::NoSuchGroup | Error::NoSuchStream) => return Ok(true),
                page => page?,
            };
            let at_end = page.events.is_empty();
            for event in page.events {
                if taken == share || update.is_full() {
                    self.ends.insert(name.clone(), event.position);
                    return Ok(false);
                }
                update.scan_left = update.scan_left.saturating_sub(event.message.len() + SCAN_EVENT_BYTES);
                if self.pattern.matches(&event.message) {
                    taken += 1;
                    update.bytes_left = update.bytes_left.saturating_sub(event.message.len());
                    update.results.push(LiveTailSessionLogEvent {
                        // Lines are stored as they are read.
                        ingestion_time: Some(event.timestamp),
                        log_group_identifier: Some(group_arn(&name.scope, &name.group)),
                        log_stream_name: Some(name.stream.to_string()),
                        message: Some(event.message),
                        timestamp: Some(event.timestamp),
                    });
                }
            }
            self.ends.insert(name.clone(), page.next_forward);
            if at_end {
                return Ok(true);
            }
        }
    }

    /// Goes on at the end of a stream.
    fn skip(&mut self, name: StreamName) -> Result<(), Error> {
        let request = ReadRequest {
            from: None,
            direction: Direction::Backward,
            start_time: None,
            end_time: None,
            max_events: 0,
            max_bytes: 0,
        };
        match self.logs.read(&name, &request) {
            Ok(page) => drop(self.ends.insert(name, page.next_forward)),
            Err(Error::NoSuchGroup | Error::NoSuchStream) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MemoryLogs, scope};
    use super::*;

    fn session(logs: &Arc<MemoryLogs>, streams: Streams, pattern: &str) -> Session {
        let pattern = FilterPattern::parse(pattern).unwrap();
        Session::start(Arc::<MemoryLogs>::clone(logs), &scope(), &["g".into()], streams, pattern).unwrap()
    }

    /// Messages, and whether they are a sample.
    fn update(session: &mut Session) -> (Vec<String>, bool) {
        let update = session.update().unwrap();
        let messages = update.session_results.unwrap().into_iter().map(|event| event.message.unwrap());
        (messages.collect(), update.session_metadata.unwrap().sampled.unwrap())
    }

    #[test]
    fn only_what_comes_after_the_start_is_shown_and_once() {
        let logs = Arc::new(MemoryLogs::default());
        logs.append("g", "a", &[(1, "before")]);
        let mut all = session(&logs, Streams::All, "");
        assert_eq!(update(&mut all), (vec![], false));
        logs.append("g", "b", &[(5, "new stream")]);
        logs.append("g", "a", &[(3, "one"), (4, "two")]);
        logs.append("h", "a", &[(3, "other group")]);
        assert_eq!(update(&mut all), (vec!["one".into(), "two".into(), "new stream".into()], false));
        assert_eq!(update(&mut all), (vec![], false));
    }

    #[test]
    fn streams_and_patterns_select() {
        for (streams, pattern, want) in [
            (Streams::Named(vec!["a/1".into()]), "", vec!["a1 ok", "a1 bad"]),
            (Streams::Prefixed(vec!["b".into(), "a/2".into()]), "", vec!["a2 bad", "b bad"]),
            (Streams::All, "bad", vec!["a1 bad", "a2 bad", "b bad"]),
        ] {
            let logs = Arc::new(MemoryLogs::default());
            logs.append("g", "a/1", &[]);
            let mut session = session(&logs, streams, pattern);
            logs.append("g", "a/1", &[(1, "a1 ok"), (2, "a1 bad")]);
            logs.append("g", "a/2", &[(3, "a2 bad")]);
            logs.append("g", "b", &[(4, "b bad")]);
            assert_eq!(update(&mut session).0, want);
        }
    }

    #[test]
    fn a_flood_is_sampled_and_drowns_no_other_stream() {
        let logs = Arc::new(MemoryLogs::default());
        logs.append("g", "a", &[]);
        let mut session = session(&logs, Streams::All, "");
        logs.append("g", "a", &vec![(1, "flood"); 3000]);
        logs.append("g", "b", &vec![(1, "drop"); 10]);
        let (messages, sampled) = update(&mut session);
        assert_eq!((messages.len(), sampled), (UPDATE_EVENTS, true));
        assert_eq!(messages.iter().filter(|message| *message == "drop").count(), 10);
        logs.append("g", "a", &[(2, "after")]);
        assert_eq!(update(&mut session), (vec!["after".into()], false), "the rest of the flood is left out");

        logs.append("g", "a", &vec![(3, "exactly"); UPDATE_EVENTS]);
        let (messages, sampled) = update(&mut session);
        assert_eq!((messages.len(), sampled), (UPDATE_EVENTS, false), "all of them are no sample");
    }

    #[test]
    fn large_lines_and_vain_searches_are_bounded() {
        let line = "x".repeat(PAGE_BYTES / 2);
        for (pattern, want) in [("", 2), ("needle", 0)] {
            let logs = Arc::new(MemoryLogs::default());
            logs.append("g", "a", &[]);
            let mut session = session(&logs, Streams::All, pattern);
            logs.append("g", "a", &vec![(1, line.as_str()); 40]);
            let (messages, sampled) = update(&mut session);
            assert_eq!((messages.len(), sampled), (want, true), "{pattern}");
        }
    }
}
