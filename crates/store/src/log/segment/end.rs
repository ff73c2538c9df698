//! How a segment ends, and whether a crash could have left it so.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::{AFTER_MESSAGE, Anchor, BEFORE_MESSAGE, HEADER_MAX, Header, MAGIC, NAME_MAX, Segment, WINDOW};

/// How the bytes of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum End {
    /// With the last byte of a record.
    Whole,
    /// In the beginning of a write that was cut short.
    Torn,
    /// In something that no writer leaves behind.
    Damaged,
}

impl Segment {
    /// Reads every record: how many there are before the first byte that belongs to none, where that is, and what it means.
    pub(in crate::log) fn walk(&mut self) -> io::Result<(u64, u64, End)> {
        let (mut records, mut at) = (0, self.first);
        while let Some(record) = self.record_at(at)? {
            at += record.size();
            records += 1;
        }
        Ok((records, at, self.end_at(at)?))
    }

    /// What it means that no record begins at `offset`. A write is cut short where it ends, or, after a power failure, leaves
    /// nothing but zeros.
    fn end_at(&mut self, offset: u64) -> io::Result<End> {
        if offset == self.len {
            return Ok(End::Whole);
        }
        if self.is_zero_from(offset)? {
            return Ok(End::Torn);
        }
        // Whole records behind it, or the end of this one where it belongs: the write was not cut.
        if self.record_before(self.len)?.is_some() || self.ends_in_length(offset)? {
            return Ok(End::Damaged);
        }
        let is_cut = match self.bytes.length(offset, Anchor::Start)? {
            Some(length) => offset + BEFORE_MESSAGE + length + AFTER_MESSAGE > self.len,
            None => self.len - offset < 4,
        };
        Ok(if is_cut { End::Torn } else { End::Damaged })
    }

    /// Whether the last bytes say the length of a record that would begin at `offset`.
    fn ends_in_length(&mut self, offset: u64) -> io::Result<bool> {
        let Some(at) = self.len.checked_sub(AFTER_MESSAGE) else { return Ok(false) };
        let length = self.bytes.length(at, Anchor::End)?;
        Ok(length.is_some_and(|length| offset + BEFORE_MESSAGE + length + AFTER_MESSAGE == self.len))
    }

    fn is_zero_from(&mut self, mut offset: u64) -> io::Result<bool> {
        while offset < self.len {
            let end = self.len.min(offset + WINDOW);
            let bytes = self.bytes.get(offset..end, Anchor::Start)?.unwrap_or_default();
            if bytes.is_empty() || bytes.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            offset = end;
        }
        Ok(true)
    }

    /// Whether a file that [`Segment::open`] finds no header in is one whose first write was cut short.
    pub(in crate::log) fn is_torn_header(path: &Path) -> io::Result<bool> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(HEADER_MAX).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        Ok(bytes.iter().all(|&byte| byte == 0) || Header::is_cut(&bytes))
    }
}

impl Header {
    /// Whether `bytes` can be the beginning of a header, and no whole one.
    fn is_cut(bytes: &[u8]) -> bool {
        let length =
            |at: usize| bytes.get(at..)?.first_chunk().map(|two| usize::from(u16::from_le_bytes(*two)));
        let is_longer = match length(24).zip(length(26)) {
            Some((group, stream)) => group.max(stream) <= NAME_MAX && 28 + group + stream + 4 > bytes.len(),
            None => true,
        };
        is_longer && bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())])
    }
}
