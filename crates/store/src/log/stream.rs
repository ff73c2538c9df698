//! The segments of one stream, and pages across them.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use fornada_engine::port::log::{Direction, LogEvent, Page, ReadRequest, StreamName};

use super::segment::{Header, Record, Segment};

/// Suffix of a stream's first segment.
pub(super) const FIRST: &str = ".log";
/// Suffix of the folder of its later segments.
pub(super) const LATER: &str = ".segments";

/// Positions stay below this, so that sums of them cannot overflow.
const BASE_MAX: u64 = 1 << 62;

/// How much older than its last event the kernel's clock, which ticks in steps of up to 10 ms, may call a file.
const MODIFIED_SLACK_MS: i64 = 1000;

/// Where the files of a stream are.
#[derive(Debug)]
pub(super) struct StreamPath {
    /// Folder of the group.
    pub(super) group: PathBuf,
    /// Encoded name of the stream.
    pub(super) stream: String,
}

impl StreamPath {
    /// What the oldest readable segment says of the stream.
    pub(super) fn header(&self) -> io::Result<Option<Header>> {
        for base in self.bases()? {
            if let Some(segment) = Segment::open(&self.segment(base), base)? {
                return Ok(Some(segment.header));
            }
        }
        Ok(None)
    }

    /// The file of the segment with this base.
    pub(super) fn segment(&self, base: u64) -> PathBuf {
        match base {
            0 => self.group.join(format!("{}{FIRST}", self.stream)),
            _ => self.later().join(format!("{base:020}")),
        }
    }

    /// The folder of the later segments.
    pub(super) fn later(&self) -> PathBuf {
        self.group.join(format!("{}{LATER}", self.stream))
    }

    /// Bases of the segments in order. The first is always 0, whether or not its file is (still) there.
    pub(super) fn bases(&self) -> io::Result<Vec<u64>> {
        let mut bases = vec![0];
        match fs::read_dir(self.later()) {
            Ok(entries) => {
                for entry in entries {
                    let base = entry?.file_name().to_str().and_then(|name| name.parse().ok());
                    bases.extend(base.filter(|base| (1..BASE_MAX).contains(base)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        bases.sort_unstable();
        Ok(bases)
    }

    /// Whether the segment at `base` certainly has no event at or after `time`, by the time of its file. One that is not
    /// there has none.
    pub(super) fn was_left_before(&self, base: u64, time: i64) -> io::Result<bool> {
        let modified = match fs::metadata(self.segment(base)) {
            Ok(metadata) => metadata.modified()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        let millis = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        Ok(millis.saturating_add(MODIFIED_SLACK_MS) < time)
    }
}

/// A stream open for reading, with the segments it had at that moment.
///
/// The list is taken before any segment is opened: a segment that has a successor in it is complete.
pub(super) struct Stream<'a> {
    name: &'a StreamName,
    path: StreamPath,
    bases: Vec<u64>,
}

impl<'a> Stream<'a> {
    pub(super) fn list(name: &'a StreamName, path: StreamPath) -> io::Result<Stream<'a>> {
        let bases = path.bases()?;
        Ok(Stream { name, path, bases })
    }

    /// When the stream was created; `None` when there is no such stream.
    pub(super) fn created_at(&self) -> io::Result<Option<i64>> {
        Ok(self.open_first(&self.bases)?.map(|segment| segment.header.created_at))
    }

    /// Sum of the sizes of the files.
    pub(super) fn stored_bytes(&self) -> u64 {
        let size = |base: &u64| fs::metadata(self.path.segment(*base)).map_or(0, |metadata| metadata.len());
        self.bases.iter().map(size).sum()
    }

    /// Reads a page; `None` when there is no such stream.
    ///
    /// A position that is no boundary between events (clients send what they like) counts as the last boundary before
    /// it, one beyond the end as the end.
    pub(super) fn read(&self, request: &ReadRequest) -> io::Result<Option<Page>> {
        let Some((segment, offset)) = self.locate(self.starting_position(request)?)? else { return Ok(None) };
        match request.direction {
            Direction::Forward => self.forward(segment, offset, request),
            Direction::Backward => self.backward(segment, offset, request),
        }
        .map(Some)
    }

    fn forward(&self, mut segment: Segment, mut offset: u64, request: &ReadRequest) -> io::Result<Page> {
        let next_backward = segment.base + offset;
        let mut found = Found::new(request);
        loop {
            let position = segment.base + offset;
            let Some(record) = segment.record_at(offset)? else {
                let Some(next) = self.open_first(self.after(segment.base))? else { break };
                offset = next.first;
                segment = next;
                continue;
            };
            if request.end_time.is_some_and(|end| record.timestamp >= end) {
                break;
            }
            if request.start_time.is_none_or(|start| record.timestamp >= start)
                && !found.add(&record, position)
            {
                break;
            }
            offset += record.size();
        }
        Ok(Page { events: found.events, next_forward: segment.base + offset, next_backward })
    }

    fn backward(&self, mut segment: Segment, mut offset: u64, request: &ReadRequest) -> io::Result<Page> {
        let next_forward = segment.base + offset;
        let mut found = Found::new(request);
        loop {
            let base = segment.base;
            let Some(record) = segment.record_before(offset)? else {
                if offset > segment.first {
                    // Unreadable bytes: go on with what can be reached before them.
                    offset = segment.boundary(offset - 1)?;
                    continue;
                }
                let Some(mut previous) = self.open_last(self.before(base))? else { break };
                offset = previous.boundary(previous.len)?;
                segment = previous;
                continue;
            };
            if request.start_time.is_some_and(|start| record.timestamp < start) {
                break;
            }
            let start = offset - record.size();
            if request.end_time.is_none_or(|end| record.timestamp < end) && !found.add(&record, base + start)
            {
                break;
            }
            offset = start;
        }
        found.events.reverse();
        Ok(Page { events: found.events, next_forward, next_backward: segment.base + offset })
    }

    /// Where to begin: at the request's position, or nearer to the requested times if whole segments lie between.
    fn starting_position(&self, request: &ReadRequest) -> io::Result<u64> {
        let later = &self.bases[1..];
        Ok(match (request.direction, request.start_time, request.end_time) {
            (Direction::Forward, Some(start), _) => {
                // The segment before the first that begins at or after `start` may end with what is asked for.
                let skipped = self.begin_before(later, start, false)?;
                request.from.unwrap_or(0).max(self.bases[skipped])
            }
            (Direction::Backward, _, Some(end)) => {
                let kept = self.begin_before(later, end, true)?;
                request.from.unwrap_or(u64::MAX).min(later.get(kept).copied().unwrap_or(u64::MAX))
            }
            (Direction::Forward, ..) => request.from.unwrap_or(0),
            (Direction::Backward, ..) => request.from.unwrap_or(u64::MAX),
        })
    }

    /// How many of these segments, from the oldest, begin with an event before `time`; by bisection, times never
    /// decrease. `unreadable` is the answer for a segment that does not say: the one that skips less.
    fn begin_before(&self, bases: &[u64], time: i64, unreadable: bool) -> io::Result<usize> {
        let (mut low, mut high) = (0, bases.len());
        while low < high {
            let middle = low.midpoint(high);
            let mut segment = self.open(bases[middle])?;
            let first = match &mut segment {
                Some(segment) => segment.record_at(segment.first)?,
                None => None,
            };
            if first.map_or(unreadable, |first| first.timestamp < time) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The last boundary at or before a position, or the head of the stream if there is none before.
    fn locate(&self, position: u64) -> io::Result<Option<(Segment, u64)>> {
        let (before, after) = self.bases.split_at(self.bases.partition_point(|&base| base <= position));
        if let Some(mut segment) = self.open_last(before)? {
            let offset = segment.boundary(position - segment.base)?;
            return Ok(Some((segment, offset)));
        }
        Ok(self.open_first(after)?.map(|segment| {
            let first = segment.first;
            (segment, first)
        }))
    }

    fn before(&self, base: u64) -> &[u64] {
        &self.bases[..self.bases.partition_point(|&other| other < base)]
    }

    fn after(&self, base: u64) -> &[u64] {
        &self.bases[self.bases.partition_point(|&other| other <= base)..]
    }

    fn open_first(&self, bases: &[u64]) -> io::Result<Option<Segment>> {
        bases.iter().find_map(|&base| self.open(base).transpose()).transpose()
    }

    fn open_last(&self, bases: &[u64]) -> io::Result<Option<Segment>> {
        bases.iter().rev().find_map(|&base| self.open(base).transpose()).transpose()
    }

    /// `None` when the segment is gone, has no header yet, or belongs to another stream.
    fn open(&self, base: u64) -> io::Result<Option<Segment>> {
        let segment = Segment::open(&self.path.segment(base), base)?;
        Ok(segment.filter(|segment| {
            segment.header.group == *self.name.group && segment.header.stream == *self.name.stream
        }))
    }
}

/// The events of a page and the room that is left in it.
struct Found {
    events: Vec<LogEvent>,
    events_left: usize,
    bytes_left: usize,
}

impl Found {
    fn new(request: &ReadRequest) -> Found {
        Found { events: Vec::new(), events_left: request.max_events, bytes_left: request.max_bytes }
    }

    /// Adds an event, or says that there is no room for it.
    fn add(&mut self, record: &Record<'_>, position: u64) -> bool {
        let size = record.message.len();
        if self.events_left == 0 || (size > self.bytes_left && !self.events.is_empty()) {
            return false;
        }
        self.events_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(size);
        let message = String::from_utf8_lossy(record.message).into_owned();
        self.events.push(LogEvent { timestamp: record.timestamp, message, position });
        true
    }
}
