//! Deleting what has expired. When that is allowed, and what it means for those who write and read: see the module above.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fornada_core::time::Timestamp;

use super::LogDirectory;
use super::directory::{file_names, streams};
use super::group::GroupFile;
use super::segment::Segment;
use super::stream::StreamPath;
use super::writer::lock;

/// Where a group lies between being deleted and being gone.
pub(super) const DELETED: &str = ".deleted-";

impl LogDirectory {
    /// Expires all groups of all accounts and regions, and finishes the deletions that a crash cut short. Goes on after an
    /// error, and returns the last one.
    pub(super) fn expire_groups(&self, now: Timestamp) -> io::Result<u64> {
        let (mut freed, mut result) = (0, Ok(()));
        for account in folders(self.path())? {
            for region in folders(&account)? {
                for group in folders(&region)? {
                    match self.expire_or_remove(&group, now) {
                        Ok(bytes) => freed += bytes,
                        Err(error) => result = Err(error),
                    }
                }
            }
        }
        result.map(|()| freed)
    }

    fn expire_or_remove(&self, group: &Path, now: Timestamp) -> io::Result<u64> {
        if group.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(DELETED.as_bytes())) {
            return remove_deleted(group).map(|()| 0);
        }
        let settings = GroupFile::read(group)?.map(GroupFile::settings);
        let since = settings.and_then(|settings| settings.retained_since(now));
        since.map_or(Ok(0), |since| self.expire_group(group, since))
    }

    /// Deletes the files of a group of which every event is older than `since`; returns their size.
    pub(super) fn expire_group(&self, group: &Path, since: i64) -> io::Result<u64> {
        let mut freed = 0;
        for stream in streams(group)?.unwrap_or_default().into_keys() {
            freed += self.expire_stream(&StreamPath { group: group.to_owned(), stream }, since)?;
        }
        Ok(freed)
    }

    fn expire_stream(&self, path: &StreamPath, since: i64) -> io::Result<u64> {
        let bases = path.bases()?;
        let Some((&newest, older)) = bases.split_last() else { return Ok(0) };
        let mut freed = 0;
        for &base in older {
            if !has_expired(path, base, since)? {
                return Ok(freed);
            }
            freed += delete(&path.segment(base))?;
        }
        // First without the lock, so that no writer waits for nothing.
        if !has_expired(path, newest, since)? {
            return Ok(freed);
        }
        let _changing = self.changing();
        let file = match OpenOptions::new().append(true).open(path.segment(newest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(freed),
            Err(error) => return Err(error),
        };
        match lock(&file, Duration::ZERO) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(freed),
            Err(error) => return Err(error),
        }
        if path.is_end(newest, &file)? && has_expired(path, newest, since)? {
            freed += delete(&path.segment(newest))?;
            // It may not be there, or not be empty.
            drop(fs::remove_dir(path.later()));
        }
        Ok(freed)
    }
}

/// Removes a deleted group from the disk.
pub(super) fn remove_deleted(group: &Path) -> io::Result<()> {
    match fs::remove_dir_all(group) {
        // Somebody else has just done it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Paths of what lies in a folder; nothing if there is none.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let names = file_names(folder)?.unwrap_or_default();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether every event of a segment is older than `since`. Without events its creation counts, and where events cannot be
/// read, the time of the file.
fn has_expired(path: &StreamPath, base: u64, since: i64) -> io::Result<bool> {
    if let Some(mut segment) = Segment::open(&path.segment(base), base)? {
        let end = segment.len;
        if end == segment.first {
            return Ok(segment.header.created_at < since);
        }
        if let Some(last) = segment.record_before(end)? {
            return Ok(last.timestamp < since);
        }
    }
    path.was_left_before(base, since)
}

/// The size of what was deleted.
fn delete(path: &Path) -> io::Result<u64> {
    let deleted = fs::metadata(path).and_then(|metadata| fs::remove_file(path).map(|()| metadata.len()));
    match deleted {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        deleted => deleted,
    }
}
