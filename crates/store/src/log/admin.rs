//! Groups and streams as clients make and change them.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use fornada_core::arn::Scope;
use fornada_core::time::Timestamp;
use fornada_engine::port::log::{Error, GroupSettings, LogAdmin, StreamName, StreamWriter as _};

use super::LogDirectory;
use super::directory::{created_at, has_streams};
use super::expiry::{DELETED, remove_deleted};
use super::group::GroupFile;
use super::stream::Stream;
use super::writer::Writer;

impl LogDirectory {
    /// Changes by this process wait for each other, so a stream that is locked all the same is in the node's hands.
    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream_exists(&self, name: &StreamName) -> io::Result<bool> {
        Ok(Stream::list(name, self.stream_path(name))?.created_at()?.is_some())
    }

    fn writer(&self, name: &StreamName) -> Writer {
        Writer::new(self.stream_path(name), name.clone(), self.segment_max, Duration::ZERO)
    }
}

impl LogAdmin for LogDirectory {
    fn create_group(
        &self,
        scope: &Scope,
        group: &str,
        settings: GroupSettings,
        now: Timestamp,
    ) -> Result<(), Error> {
        let _changing = self.changing();
        let folder = self.group_path(scope, group);
        if GroupFile::read(&folder)?.is_some() || has_streams(&folder)? {
            return Err(Error::GroupExists);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(GroupFile::new(group, now.as_millis(), settings).write(&folder)?)
    }

    fn delete_group(&self, scope: &Scope, group: &str) -> Result<(), Error> {
        let folder = self.group_path(scope, group);
        let deleted = folder.with_file_name(format!("{DELETED}{:016x}", RandomState::new().hash_one(group)));
        {
            let _changing = self.changing();
            match fs::rename(&folder, &deleted) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NoSuchGroup),
                result => result?,
            }
        }
        // The group is gone; what is left of its files goes with the next expiry.
        if let Err(error) = remove_deleted(&deleted) {
            tracing::warn!(%error, group, "the files of a deleted log group could not all be deleted");
        }
        Ok(())
    }

    fn set_retention(
        &self,
        scope: &Scope,
        group: &str,
        days: Option<u32>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let folder = self.group_path(scope, group);
        let since = {
            let _changing = self.changing();
            let mut file = match GroupFile::read(&folder)? {
                Some(file) => file,
                None if folder.is_dir() => {
                    GroupFile::new(group, created_at(&folder)?, GroupSettings::default())
                }
                None => return Err(Error::NoSuchGroup),
            };
            file.retention_in_days = days;
            file.write(&folder)?;
            file.settings().retained_since(now)
        };
        // The policy holds; what cannot be deleted now is tried again at the next expiry.
        if let Err(error) = since.map_or(Ok(0), |since| self.expire_group(&folder, since)) {
            tracing::warn!(%error, group, "expired logs could not all be deleted");
        }
        Ok(())
    }

    fn create_stream(&self, name: &StreamName, now: Timestamp) -> Result<(), Error> {
        let _changing = self.changing();
        if !self.group_path(&name.scope, &name.group).is_dir() {
            return Err(Error::NoSuchGroup);
        }
        if self.stream_exists(name)? {
            return Err(Error::StreamExists);
        }
        match self.writer(name).create(now.as_millis()) {
            // An attempt is about to write its first line there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::StreamExists),
            result => Ok(result?),
        }
    }

    fn put(&self, name: &StreamName, events: &[(i64, &[u8])]) -> Result<u64, Error> {
        let _changing = self.changing();
        if !self.stream_exists(name)? {
            return Err(self.missing(name));
        }
        let mut writer = self.writer(name);
        match writer.append(events) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::StreamInUse),
            result => result.map(|()| writer.end()),
        }
    }

    fn expire(&self, now: Timestamp) -> Result<u64, Error> {
        Ok(self.expire_groups(now)?)
    }
}
