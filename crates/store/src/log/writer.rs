//! Appending to a stream, by one writer at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::iter;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fornada_engine::port::log::{Error, StreamName, StreamWriter};

use super::segment::{Header, MESSAGE_MAX, Record, Segment};
use super::stream::StreamPath;

/// What a stream keeps in memory between batches: there may be thousands of open streams.
const BUFFER_KEPT: usize = 16 * 1024;

/// Space that logs leave on their disk, for the store is on it too: a twentieth of the disk, but not more than this.
const ROOM_MAX: u64 = 1 << 30;
/// After how many bytes of output a writer looks whether there is more than that.
const LOOK_EVERY: u64 = 1 << 20;

/// How long the node waits for the server, which only looks whether a stream has expired, or appends one batch to it.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(1);

/// Writes one stream. The file is opened, or created, at the first event, and locked until the writer is dropped.
///
/// Each [`append`](StreamWriter::append) is one `write(2)`, or two where a segment ends. When it fails, the first
/// events of the batch may have been written whole; the next `append` finds out where the stream ends.
pub(super) struct Writer {
    path: StreamPath,
    name: StreamName,
    segment_max: u64,
    /// How long to wait while another process writes the stream, before failing with [`io::ErrorKind::WouldBlock`].
    patience: Duration,
    tail: Option<Tail>,
    buffer: Vec<u8>,
    /// Bytes since the disk was looked at; it is with the first.
    unlooked: u64,
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
    pub(super) fn new(path: StreamPath, name: StreamName, segment_max: u64, patience: Duration) -> Writer {
        Writer { path, name, segment_max, patience, tail: None, buffer: Vec::new(), unlooked: LOOK_EVERY }
    }

    /// Creates the stream without an event, unless it is there.
    pub(super) fn create(&mut self, now: i64) -> io::Result<()> {
        let mut tail = self.open(now)?;
        self.flush(&mut tail)
    }

    /// The position after the last event appended.
    pub(super) fn end(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.base + tail.len)
    }

    /// Takes hold of the end of the stream.
    fn open(&mut self, now: i64) -> io::Result<Tail> {
        loop {
            let bases = self.path.bases()?;
            let newest = bases.last().copied().unwrap_or(0);
            let file = create(&self.path.segment(newest))?;
            lock(&file, self.patience)?;
            if self.path.is_end(newest, &file)? {
                return self.find_tail(&bases, newest, file, now);
            }
        }
    }

    /// Finds the end of the last record, or begins the stream with an event at `now`.
    fn find_tail(&mut self, bases: &[u64], newest: u64, file: File, now: i64) -> io::Result<Tail> {
        let len = file.metadata()?.len();
        let (mut created_at, mut last_at) = (now, i64::MIN);
        if len == 0 && bases.len() == 1 {
            return self.begin(file, newest, created_at, last_at);
        }
        // Nearly always one step: the newest segment is there and ends in a whole record.
        let mut whole = None;
        for &base in bases.iter().rev() {
            let Some(mut segment) = Segment::open(&self.path.segment(base), base)? else { continue };
            created_at = segment.header.created_at;
            let end = segment.boundary(segment.len)?;
            if base == newest && end == len {
                whole = Some((segment.first, segment.header.salt));
            }
            if let Some(last) = segment.record_before(end)? {
                last_at = last.timestamp;
                break;
            }
        }
        match whole {
            Some((first, salt)) => Ok(Tail { file, base: newest, first, len, salt, created_at, last_at }),
            None if len == 0 => self.begin(file, newest, created_at, last_at),
            None => self.begin_next(newest + len, created_at, last_at),
        }
    }

    /// Begins the segment after the one that this writer holds. It is locked before it has its name, so that the stream
    /// is held without a gap.
    fn begin_next(&mut self, base: u64, created_at: i64, last_at: i64) -> io::Result<Tail> {
        let path = self.path.segment(base);
        let nameless = path.with_extension("new");
        let file = create(&nameless)?;
        file.set_len(0)?;
        lock(&file, self.patience)?;
        fs::rename(&nameless, &path)?;
        self.begin(file, base, created_at, last_at)
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
        self.unlooked += self.buffer.len() as u64;
        if self.unlooked >= LOOK_EVERY {
            leave_room(&tail.file)?;
            self.unlooked = 0;
        }
        tail.file.write_all(&self.buffer)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        // Readers skip files that are older than what they look for; the clock was set back, or an event is ahead of it.
        let last_at = u64::try_from(tail.last_at).unwrap_or(0);
        match UNIX_EPOCH.checked_add(Duration::from_millis(last_at)) {
            Some(last_at) if last_at > SystemTime::now() => tail.file.set_modified(last_at),
            _ => Ok(()),
        }
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
                    tail = self.begin_next(tail.base + tail.len, tail.created_at, tail.last_at)?;
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

/// Fails when nothing but the room of the store is left on the disk of `file`.
fn leave_room(file: &File) -> io::Result<()> {
    let disk = rustix::fs::fstatvfs(file)?;
    if disk.f_bavail * disk.f_frsize < room(disk.f_blocks * disk.f_frsize) {
        let message = "the disk is nearly full, and the rest of it is left to the store";
        return Err(io::Error::new(io::ErrorKind::StorageFull, message));
    }
    Ok(())
}

/// What logs leave of a disk of so many bytes.
fn room(disk_bytes: u64) -> u64 {
    (disk_bytes / 20).min(ROOM_MAX)
}

/// A message as those of its records: one, unless it is too long for one. An empty line is a message too.
fn pieces(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (first, rest) = message.split_at(message.len().min(MESSAGE_MAX));
    iter::once(first).chain(rest.chunks(MESSAGE_MAX))
}

/// Locks a segment against other writers, in this process and in others, for as long as the file is open.
pub(super) fn lock(file: &File, patience: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => thread::sleep(TRY_EVERY),
            result => return Ok(result?),
        }
    }
}

impl StreamPath {
    /// Whether `file`, the segment at `base` and just locked, is still the newest one: whoever held it before may have
    /// deleted it, or begun the next.
    pub(super) fn is_end(&self, base: u64, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.nlink() > 0 && self.bases()?.last() == Some(&base))
    }
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
