//! Many streams read as one: ordered by time, then stream name, then position.
//!
//! Streams are read ahead a page at a time. What is read ahead is bounded over all streams: beyond that only the time
//! of a stream's next event is kept, and its page is read again when its turn comes. So merging all streams of a large
//! array job takes time, but not memory.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use fornada_core::text::Text;
use fornada_engine::port::log::{Direction, Error, LogEvent, LogReader, ReadRequest, StreamName};

use super::token::Place;

/// Read ahead in one stream. Large enough that opening its file costs less than reading it.
const AHEAD_BYTES: usize = 64 << 10;
const AHEAD_EVENTS: usize = 1000;
/// Read ahead in all streams together.
const BUFFER_BYTES: usize = 32 << 20;
/// What an event takes besides its message.
const EVENT_BYTES: usize = 100;

/// Which events of each stream take part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// At or after; milliseconds since the epoch.
    pub(super) start: Option<i64>,
    /// Before.
    pub(super) end: Option<i64>,
}

/// The merged stream.
pub(super) struct Merge<'a> {
    reader: &'a dyn LogReader,
    cursors: Vec<Cursor>,
    /// The time of the next event of each stream that has one, and the stream's index in `cursors`.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    buffered: usize,
}

struct Cursor {
    name: StreamName,
    times: Times,
    /// Where to read on when `ahead` is empty.
    from: Option<u64>,
    /// Position of an event that was already handed out.
    done: Option<u64>,
    ahead: VecDeque<LogEvent>,
}

impl<'a> Merge<'a> {
    /// Begins with the first event after `after`. `names` are sorted and unique. Streams that were deleted meanwhile
    /// are empty.
    pub(super) fn open(
        reader: &'a dyn LogReader,
        names: impl IntoIterator<Item = StreamName>,
        times: Times,
        after: Option<&Place>,
    ) -> Result<Merge<'a>, Error> {
        let mut merge = Merge { reader, cursors: Vec::new(), heads: BinaryHeap::new(), buffered: 0 };
        for (index, name) in names.into_iter().enumerate() {
            merge.cursors.push(Cursor::new(name, times, after));
            merge.fill(index)?;
            merge.trim(index);
        }
        Ok(merge)
    }

    /// The next event and its stream.
    pub(super) fn next(&mut self) -> Result<Option<(Text, LogEvent)>, Error> {
        while let Some(Reverse((_, index))) = self.heads.pop() {
            let cursor = &mut self.cursors[index];
            let Some(event) = cursor.ahead.pop_front() else {
                // Trimmed: read it again, and see whether it is still its turn.
                self.fill(index)?;
                continue;
            };
            self.buffered -= size(&event);
            let stream = cursor.name.stream.clone();
            match cursor.ahead.front() {
                Some(next) => self.heads.push(Reverse((next.timestamp, index))),
                None => self.fill(index)?,
            }
            self.trim(index);
            return Ok(Some((stream, event)));
        }
        Ok(None)
    }

    /// Whether there is no event left.
    pub(super) fn is_at_end(&self) -> bool {
        self.heads.is_empty()
    }

    /// Reads a stream ahead, and enters it among the heads if it has an event.
    fn fill(&mut self, index: usize) -> Result<(), Error> {
        let cursor = &mut self.cursors[index];
        while cursor.ahead.is_empty() {
            let request = ReadRequest {
                from: cursor.from,
                direction: Direction::Forward,
                start_time: cursor.times.start,
                end_time: cursor.times.end,
                max_events: AHEAD_EVENTS,
                max_bytes: AHEAD_BYTES,
            };
            let page = match self.reader.read(&cursor.name, &request) {
                Err(Error::NoSuchGroup | Error::NoSuchStream) => return Ok(()),
                page => page?,
            };
            if page.events.is_empty() {
                return Ok(());
            }
            cursor.from = Some(page.next_forward);
            let new = |event: &LogEvent| cursor.done.is_none_or(|done| event.position > done);
            cursor.ahead.extend(page.events.into_iter().filter(new));
        }
        self.buffered += cursor.ahead.iter().map(size).sum::<usize>();
        self.heads.extend(cursor.ahead.front().map(|head| Reverse((head.timestamp, index))));
        Ok(())
    }

    /// Forgets what was read ahead in a stream if all streams together hold too much.
    fn trim(&mut self, index: usize) {
        let cursor = &mut self.cursors[index];
        if self.buffered > BUFFER_BYTES
            && let Some(head) = cursor.ahead.front()
        {
            cursor.from = Some(head.position);
            self.buffered -= cursor.ahead.iter().map(size).sum::<usize>();
            cursor.ahead = VecDeque::new();
        }
    }
}

impl Cursor {
    fn new(name: StreamName, times: Times, after: Option<&Place>) -> Cursor {
        let mut cursor = Cursor { name, times, from: None, done: None, ahead: VecDeque::new() };
        if let Some(after) = after {
            // Of the events at the very time of the place, those of streams with smaller names came before it.
            let start = match cursor.name.stream.as_str().cmp(&after.name) {
                Ordering::Less => after.time.saturating_add(1),
                Ordering::Equal => {
                    (cursor.from, cursor.done) = (Some(after.position), Some(after.position));
                    after.time
                }
                Ordering::Greater => after.time,
            };
            cursor.times.start = Some(times.start.map_or(start, |asked| asked.max(start)));
        }
        cursor
    }
}

fn size(event: &LogEvent) -> usize {
    event.message.len() + EVENT_BYTES
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MemoryLogs, scope};
    use super::*;

    /// Big lines make the merge drop and re-read what it read ahead; the order must not suffer.
    #[test]
    fn the_order_holds_beyond_the_buffer() {
        let (logs, line) = (MemoryLogs::default(), "x".repeat(AHEAD_BYTES / 2));
        let streams = BUFFER_BYTES / AHEAD_BYTES + 50;
        let name = |i: usize| format!("{i:06}");
        for i in 0..streams {
            let at = i64::try_from(i % 7).unwrap();
            logs.append("g", &name(i), &[(at, &line), (at + 3, &line), (at + 3, &line)]);
        }
        let names =
            (0..streams).map(|i| StreamName { scope: scope(), group: "g".into(), stream: name(i).into() });
        let mut merge = Merge::open(&logs, names, Times { start: None, end: None }, None).unwrap();
        let mut seen = vec![];
        while let Some((stream, event)) = merge.next().unwrap() {
            assert!(merge.buffered <= BUFFER_BYTES + AHEAD_BYTES + 2 * EVENT_BYTES);
            seen.push((event.timestamp, stream, event.position));
        }
        assert_eq!(seen.len(), 3 * streams);
        assert!(seen.is_sorted_by(|a, b| a < b));
        assert!(merge.is_at_end() && merge.buffered == 0);
    }
}
