//! One file of a stream: its format, and reading it in both directions.
//!
//! ```text
//! header   "fornlog\0" version u32, salt u32, created_at i64, group length u16, stream length u16, group, stream, crc u32
//! record   length u32, crc u32, timestamp i64, message, length u32
//! ```
//!
//! Integers are little-endian, `length` is that of the message, and the second one lets a reader walk backward. A
//! record's checksum covers length, timestamp and message and begins with the salt. The salt is random: without it a
//! job could print what looks like records, and a position in the middle of its line would pass for a boundary.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crc32fast::Hasher;

mod end;

pub(super) use end::End;

/// Longest message of one record. A length above it marks unreadable bytes, not a record.
pub(super) const MESSAGE_MAX: usize = 1 << 20;
/// Longest group or stream name in bytes: 512 characters of UTF-8.
pub(super) const NAME_MAX: usize = 2048;

const MAGIC: &[u8; 8] = b"fornlog\0";
const VERSION: u32 = 1;
const HEADER_MAX: u64 = 28 + 2 * NAME_MAX as u64 + 4;
const BEFORE_MESSAGE: u64 = 16;
const AFTER_MESSAGE: u64 = 4;
/// What is read at once: few calls for long streams, cheap enough for the one line of a short one.
const WINDOW: u64 = 64 * 1024;

/// What the beginning of every segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Where checksums of this segment begin.
    pub(super) salt: u32,
    /// When the *stream* was created, the same in each of its segments; milliseconds since the epoch.
    pub(super) created_at: i64,
    pub(super) group: String,
    pub(super) stream: String,
}

impl Header {
    /// Appends the encoded header; names longer than [`NAME_MAX`] are an error.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let length = |name: &str| match u16::try_from(name.len()) {
            Ok(length) if name.len() <= NAME_MAX => Ok(length.to_le_bytes()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name of a log group or stream is too long",
            )),
        };
        let (group, stream) = (length(&self.group)?, length(&self.stream)?);
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.created_at.to_le_bytes());
        out.extend_from_slice(&group);
        out.extend_from_slice(&stream);
        out.extend_from_slice(self.group.as_bytes());
        out.extend_from_slice(self.stream.as_bytes());
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        Ok(())
    }

    /// The header at the beginning of `bytes` and its size.
    fn decode(bytes: &[u8]) -> Option<(Header, usize)> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let version = u32::from_le_bytes(take(&mut rest)?);
        let salt = u32::from_le_bytes(take(&mut rest)?);
        let created_at = i64::from_le_bytes(take(&mut rest)?);
        let group_length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let stream_length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        if version != VERSION || group_length > NAME_MAX || stream_length > NAME_MAX {
            return None;
        }
        let group = rest.split_off(..group_length)?;
        let stream = rest.split_off(..stream_length)?;
        let covered = bytes.len() - rest.len();
        let crc = u32::from_le_bytes(take(&mut rest)?);
        if crc != crc32fast::hash(&bytes[..covered]) {
            return None;
        }
        let text = |name: &[u8]| String::from_utf8(name.to_vec()).ok();
        Some((
            Header { salt, created_at, group: text(group)?, stream: text(stream)? },
            bytes.len() - rest.len(),
        ))
    }
}

/// One event as it lies in a segment.
pub(super) struct Record<'a> {
    pub(super) timestamp: i64,
    pub(super) message: &'a [u8],
}

impl<'a> Record<'a> {
    /// Bytes of the whole record in the file.
    pub(super) fn size(&self) -> u64 {
        BEFORE_MESSAGE + self.message.len() as u64 + AFTER_MESSAGE
    }

    /// Appends the encoded record. The message is at most [`MESSAGE_MAX`] bytes.
    pub(super) fn encode(&self, salt: u32, out: &mut Vec<u8>) {
        let length =
            u32::try_from(self.message.len()).expect("messages are split at MESSAGE_MAX").to_le_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&checksum(salt, length, self.timestamp, self.message).to_le_bytes());
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.extend_from_slice(self.message);
        out.extend_from_slice(&length);
    }

    /// Reads bytes that should be exactly one record.
    fn decode(salt: u32, mut bytes: &'a [u8]) -> Option<Record<'a>> {
        let length: [u8; 4] = take(&mut bytes)?;
        let crc = u32::from_le_bytes(take(&mut bytes)?);
        let timestamp = i64::from_le_bytes(take(&mut bytes)?);
        let (message, after) = bytes.split_last_chunk::<4>()?;
        let whole = *after == length
            && message.len() as u64 == u64::from(u32::from_le_bytes(length))
            && crc == checksum(salt, length, timestamp, message);
        whole.then_some(Record { timestamp, message })
    }
}

fn checksum(salt: u32, length: [u8; 4], timestamp: i64, message: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(&length);
    hasher.update(&timestamp.to_le_bytes());
    hasher.update(message);
    hasher.finalize()
}

/// Takes an array off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}

/// A segment open for reading. It ends where the file ended when it was opened. Offsets are those in the file.
pub(super) struct Segment {
    /// Position in the stream of the file's first byte.
    pub(super) base: u64,
    pub(super) header: Header,
    /// Offset of the first record.
    pub(super) first: u64,
    /// Length of the file.
    pub(super) len: u64,
    bytes: Window,
}

impl Segment {
    /// `None` when there is no file, or not (yet) a whole header in it.
    pub(super) fn open(path: &Path, base: u64) -> io::Result<Option<Segment>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        let mut bytes = Window { file, len, start: 0, bytes: Vec::new() };
        let head = bytes.get(0..len.min(HEADER_MAX), Anchor::Start)?;
        Ok(head.and_then(Header::decode).map(|(header, size)| Segment {
            base,
            header,
            first: size as u64,
            len,
            bytes,
        }))
    }

    /// The record that begins at `offset`; `None` where no whole record does.
    pub(super) fn record_at(&mut self, offset: u64) -> io::Result<Option<Record<'_>>> {
        let Some(length) = self.bytes.length(offset, Anchor::Start)? else { return Ok(None) };
        let end = offset + BEFORE_MESSAGE + length + AFTER_MESSAGE;
        let bytes = self.bytes.get(offset..end, Anchor::Start)?;
        Ok(bytes.and_then(|bytes| Record::decode(self.header.salt, bytes)))
    }

    /// The record that ends at `offset`; `None` where no whole record does.
    pub(super) fn record_before(&mut self, offset: u64) -> io::Result<Option<Record<'_>>> {
        let Some(at) = offset.checked_sub(AFTER_MESSAGE) else { return Ok(None) };
        let Some(length) = self.bytes.length(at, Anchor::End)? else { return Ok(None) };
        let Some(start) = at.checked_sub(length + BEFORE_MESSAGE).filter(|&start| start >= self.first) else {
            return Ok(None);
        };
        let bytes = self.bytes.get(start..offset, Anchor::End)?;
        Ok(bytes.and_then(|bytes| Record::decode(self.header.salt, bytes)))
    }

    /// The last boundary between records at or before `offset`: where the next record begins or will begin.
    ///
    /// One or two records are looked at if `offset` is such a boundary. Otherwise (a position that nobody was given, a
    /// torn write) the segment is walked from its beginning.
    pub(super) fn boundary(&mut self, offset: u64) -> io::Result<u64> {
        let offset = offset.min(self.len);
        if offset > self.first && (self.record_before(offset)?.is_some() || self.record_at(offset)?.is_some())
        {
            return Ok(offset);
        }
        let mut at = self.first;
        while let Some(record) = self.record_at(at)? {
            let end = at + record.size();
            if end > offset {
                break;
            }
            at = end;
        }
        Ok(at)
    }
}

/// Which end of what is asked for the bytes read ahead lie beyond.
#[derive(Clone, Copy)]
enum Anchor {
    /// Read on after it.
    Start,
    /// Read what is before it.
    End,
}

/// The part of a file that is in memory.
struct Window {
    file: File,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The `u32` at `offset`, if it can be the length of a message.
    fn length(&mut self, offset: u64, anchor: Anchor) -> io::Result<Option<u64>> {
        let bytes = self.get(offset..offset.saturating_add(4), anchor)?;
        let length = bytes.and_then(<[u8]>::first_chunk).map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
        Ok(length.filter(|&length| length <= MESSAGE_MAX as u64))
    }

    /// A range of the file; `None` when the file does not reach so far.
    fn get(&mut self, range: Range<u64>, anchor: Anchor) -> io::Result<Option<&[u8]>> {
        if range.end > self.len {
            return Ok(None);
        }
        if self.index(&range).is_none() {
            let ahead = match anchor {
                Anchor::Start => range.start..range.end.max(range.start + WINDOW).min(self.len),
                Anchor::End => range.start.min(range.end.saturating_sub(WINDOW))..range.end,
            };
            self.load(ahead)?;
        }
        Ok(self.index(&range).and_then(|index| self.bytes.get(index)))
    }

    fn index(&self, range: &Range<u64>) -> Option<Range<usize>> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        (end <= self.bytes.len()).then_some(start..end)
    }

    fn load(&mut self, range: Range<u64>) -> io::Result<()> {
        let size = usize::try_from(range.end - range.start).expect("a window is at most a record long");
        self.start = range.start;
        self.bytes.resize(size, 0);
        let mut filled = 0;
        while filled < size {
            match self.file.read_at(&mut self.bytes[filled..], range.start + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
