//! Appending to a stream.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::iter;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use fornada_engine::port::log::{Error, StreamName, StreamWriter};

use super::segment::{Header, MESSAGE_MAX, Record, Segment};
use super::stream::StreamPath;

/// What a stream keeps in memory between batches: there may be thousands of open streams.
const BUFFER_KEPT: usize = 16 * 1024;

/// Writes one stream. The file is opened, or created, at the first event.
///
/// Each [`append`](StreamWriter::append) is one `write(2)`, or two where a segment ends. When it fails, the first
/// events of the batch may have been written whole; the next `append` finds out where the stream ends.
pub(super) struct Writer {
    path: StreamPath,
    name: StreamName,
    segment_max: u64,
    tail: Option<Tail>,
    buffer: Vec<u8>,
}

/// The end of the stream.
struct Tail {
    file: File,
    base: u64,
    /// Offset of the first record.
    first: u64,
    /// Length of the file with what is in the buffer.
    len: u64,
    salt: u32,
    created_at: i64,
    last_at: i64,
}

impl Writer {
    pub(super) fn new(path: StreamPath, name: StreamName, segment_max: u64) -> Writer {
        Writer { path, name, segment_max, tail: None, buffer: Vec::new() }
    }

    /// Finds the end of the stream, or begins the stream with an event at `now`.
    fn open(&mut self, now: i64) -> io::Result<Tail> {
        let bases = self.path.bases()?;
        let newest = bases.last().copied().unwrap_or(0);
        let file = create(&self.path.segment(newest))?;
        let len = file.metadata()?.len();
        let (mut created_at, mut last_at) = (now, i64::MIN);
        if len == 0 && bases.len() == 1 {
            return self.begin(file, newest, created_at, last_at);
        }
        // Nearly always one step: the newest segment is there and ends in a whole record.
        for &base in bases.iter().rev() {
            let Some(mut segment) = Segment::open(&self.path.segment(base), base)? else { continue };
            created_at = segment.header.created_at;
            let end = segment.boundary(segment.len)?;
            let Some(last) = segment.record_before(end)? else { continue };
            last_at = last.timestamp;
            if base == newest && end == len {
                let (first, salt) = (segment.first, segment.header.salt);
                return Ok(Tail { file, base, first, len, salt, created_at, last_at });
            }
            break;
        }
        match len {
            0 => self.begin(file, newest, created_at, last_at),
            _ => self.begin(create(&self.path.segment(newest + len))?, newest + len, created_at, last_at),
        }
    }

    /// Begins a segment in an empty file; its header goes to the buffer.
    fn begin(&mut self, file: File, base: u64, created_at: i64, last_at: i64) -> io::Result<Tail> {
        let [a, b, c, d, ..] = RandomState::new().hash_one(base).to_le_bytes();
        let salt = u32::from_le_bytes([a, b, c, d]);
        let StreamName { group, stream, .. } = &self.name;
        let header = Header { salt, created_at, group: group.to_string(), stream: stream.to_string() };
        header.encode(&mut self.buffer)?;
        let first = self.buffer.len() as u64;
        Ok(Tail { file, base, first, len: first, salt, created_at, last_at })
    }

    fn flush(&mut self, tail: &mut Tail) -> io::Result<()> {
        tail.file.write_all(&self.buffer)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        Ok(())
    }
}

impl StreamWriter for Writer {
    fn append(&mut self, events: &[(i64, &[u8])]) -> Result<(), Error> {
        let Some(&(now, _)) = events.first() else { return Ok(()) };
        self.buffer.clear();
        // Put back when all went well; after an error the end of the file is not known.
        let mut tail = match self.tail.take() {
            Some(tail) => tail,
            None => self.open(now)?,
        };
        for &(timestamp, message) in events {
            // Clocks step back; the times of a stream do not, because readers bisect them.
            tail.last_at = tail.last_at.max(timestamp);
            for message in pieces(message) {
                let record = Record { timestamp: tail.last_at, message };
                if tail.len + record.size() > self.segment_max && tail.len > tail.first {
                    self.flush(&mut tail)?;
                    let base = tail.base + tail.len;
                    tail =
                        self.begin(create(&self.path.segment(base))?, base, tail.created_at, tail.last_at)?;
                }
                record.encode(tail.salt, &mut self.buffer);
                tail.len += record.size();
            }
        }
        self.flush(&mut tail)?;
        self.tail = Some(tail);
        Ok(())
    }
}

/// A message as those of its records: one, unless it is too long for one. An empty line is a message too.
fn pieces(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (first, rest) = message.split_at(message.len().min(MESSAGE_MAX));
    iter::once(first).chain(rest.chunks(MESSAGE_MAX))
}

/// Opens a file for appending; creates it, and the folders to it, if need be. Only their owner may read them.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            open()
        }
        (result, _) => result,
    }
}
