//! The folder of all logs: which groups and streams there are.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use fornada_core::arn::Scope;
use fornada_core::text::Text;
use fornada_engine::port::log::{
    Direction, Ends, Error, GroupInfo, GroupSettings, LogReader, LogWriter, Page, ReadRequest, StreamInfo,
    StreamName, StreamWriter, Watch,
};

use super::group::{self, GroupFile};
use super::name::{decode, encode};
use super::stream::{FIRST, LATER, Stream, StreamPath};
use super::watch::Inotify;
use super::writer::{PATIENCE, Writer};

/// Size at which a stream goes on in a new file, so that old output of an endless job can be deleted.
const SEGMENT_MAX: u64 = 64 << 20;

/// Logs in a folder. One process writes a stream; any number of others read it. One process, the server, changes groups and
/// puts events.
#[derive(Clone, Debug)]
pub struct LogDirectory {
    dir: PathBuf,
    pub(super) segment_max: u64,
    /// Held while this process changes a group, or a stream for a client.
    pub(super) changes: Arc<Mutex<()>>,
    stopped: Arc<AtomicBool>,
}

impl LogDirectory {
    /// Opens the folder, creating it for its owner only (mode 0700) if need be.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(dir: PathBuf) -> io::Result<LogDirectory> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(LogDirectory { dir, segment_max: SEGMENT_MAX, changes: Arc::default(), stopped: Arc::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    fn scope_path(&self, scope: &Scope) -> PathBuf {
        self.dir.join(encode(&scope.account)).join(encode(&scope.region))
    }

    pub(super) fn group_path(&self, scope: &Scope, group: &str) -> PathBuf {
        self.scope_path(scope).join(encode(group))
    }

    pub(super) fn stream_path(&self, name: &StreamName) -> StreamPath {
        StreamPath { group: self.group_path(&name.scope, &name.group), stream: encode(&name.stream) }
    }

    /// Which of both is missing when a stream is.
    pub(super) fn missing(&self, name: &StreamName) -> Error {
        if self.group_path(&name.scope, &name.group).is_dir() {
            Error::NoSuchStream
        } else {
            Error::NoSuchGroup
        }
    }
}

impl LogReader for LogDirectory {
    fn groups(&self, scope: &Scope) -> Result<Vec<GroupInfo>, Error> {
        let path = self.scope_path(scope);
        let mut groups = Vec::new();
        for file_name in file_names(&path)?.unwrap_or_default() {
            groups.extend(group_info(path.join(&file_name), &file_name)?);
        }
        groups.sort_unstable_by(|a, b| a.group.cmp(&b.group));
        Ok(groups)
    }

    fn settings(&self, scope: &Scope, group: &str) -> Result<GroupSettings, Error> {
        let folder = self.group_path(scope, group);
        match GroupFile::read(&folder)? {
            Some(file) => Ok(file.settings()),
            None if folder.is_dir() => Ok(GroupSettings::default()),
            None => Err(Error::NoSuchGroup),
        }
    }

    fn stream_names(
        &self,
        scope: &Scope,
        group: &str,
        prefix: &str,
        since: Option<i64>,
    ) -> Result<Vec<Text>, Error> {
        let group = self.group_path(scope, group);
        let mut names = Vec::new();
        for (stream, has_later) in streams(&group)?.ok_or(Error::NoSuchGroup)? {
            let path = StreamPath { group: group.clone(), stream };
            if let Some(since) = since {
                let newest = if has_later { path.bases()?.last().copied().unwrap_or(0) } else { 0 };
                if path.was_left_before(newest, since)? {
                    continue;
                }
            }
            let name = decode(&path.stream, || Some(path.header().ok()??.stream));
            names.extend(name.filter(|name| name.starts_with(prefix)).map(Text::from));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn stream_info(&self, name: &StreamName, since: Option<i64>) -> Result<StreamInfo, Error> {
        let stream = Stream::list(name, self.stream_path(name))?;
        let one = |direction| ReadRequest {
            from: None,
            direction,
            start_time: since,
            end_time: None,
            max_events: 1,
            max_bytes: 0,
        };
        let created_at = stream.created_at()?.ok_or_else(|| self.missing(name))?;
        let time = |direction| -> io::Result<Option<i64>> {
            Ok(stream.read(&one(direction))?.and_then(|page| Some(page.events.first()?.timestamp)))
        };
        Ok(StreamInfo {
            stream: name.stream.clone(),
            created_at,
            first_event_at: time(Direction::Forward)?,
            last_event_at: time(Direction::Backward)?,
            stored_bytes: stream.stored_bytes(),
        })
    }

    fn read(&self, name: &StreamName, request: &ReadRequest) -> Result<Page, Error> {
        let page = Stream::list(name, self.stream_path(name))?.read(request)?;
        page.ok_or_else(|| self.missing(name))
    }

    fn watch(&self, scope: &Scope, groups: &[Text]) -> Result<(Box<dyn Watch>, Ends), Error> {
        let folders = groups.iter().map(|group| (self.group_path(scope, group), group.clone()));
        let mut watch = Inotify::open(scope, folders.collect(), Arc::clone(&self.stopped))?;
        let ends = watch.ends()?;
        Ok((Box::new(watch), ends))
    }

    fn stop_watching(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

impl LogWriter for LogDirectory {
    fn open(&self, name: StreamName) -> Box<dyn StreamWriter> {
        Box::new(Writer::new(self.stream_path(&name), name, self.segment_max, PATIENCE))
    }
}

/// `None` for what is no group, or has no stream yet and was never made as a group.
fn group_info(path: PathBuf, file_name: &str) -> io::Result<Option<GroupInfo>> {
    let Some(streams) = streams(&path)? else { return Ok(None) };
    let file = GroupFile::read(&path)?;
    if file.is_none() && streams.is_empty() {
        return Ok(None);
    }
    // Only the hashed name of a long group needs a file to tell it.
    let full_name = || {
        let mut paths =
            streams.keys().map(|stream| StreamPath { group: path.clone(), stream: stream.clone() });
        let in_streams = || Some(paths.find_map(|path| path.header().ok()?)?.group);
        file.as_ref().map(|file| file.log_group_name.clone()).or_else(in_streams)
    };
    let Some(group) = decode(file_name, full_name) else { return Ok(None) };
    Ok(Some(GroupInfo {
        group: group.into(),
        created_at: file.as_ref().map_or_else(|| created_at(&path), |file| Ok(file.creation_time))?,
        stored_bytes: stored_bytes(&path),
        settings: file.map(GroupFile::settings).unwrap_or_default(),
    }))
}

/// When a group began, if nothing else remembers it; file systems without birth times show its last new stream.
pub(super) fn created_at(group: &Path) -> io::Result<i64> {
    let metadata = fs::metadata(group)?;
    let created = metadata.created().or_else(|_| metadata.modified())?;
    let created_at = created.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Ok(i64::try_from(created_at).unwrap_or(i64::MAX))
}

/// Sizes of the streams in a group, in its folder and the folders right below it. What cannot be looked at (it may just
/// have been deleted) counts nothing.
fn stored_bytes(group: &Path) -> u64 {
    let files = |folder: &Path| -> Vec<fs::DirEntry> {
        fs::read_dir(folder).into_iter().flatten().flatten().collect()
    };
    let length = |entry: &fs::DirEntry| entry.metadata().map_or(0, |metadata| metadata.len());
    let size = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path()).iter().map(length).sum(),
        _ if entry.file_name() == group::FILE => 0,
        _ => length(&entry),
    };
    files(group).into_iter().map(size).sum::<u64>()
}

/// Encoded names of the streams in a group, and whether there is a folder of later segments; `None` when there is no such
/// group.
pub(super) fn streams(group: &Path) -> io::Result<Option<BTreeMap<String, bool>>> {
    let Some(names) = file_names(group)? else { return Ok(None) };
    let mut streams = BTreeMap::new();
    for name in names {
        if let Some(stream) = name.strip_suffix(LATER) {
            streams.insert(stream.to_owned(), true);
        } else if let Some(stream) = name.strip_suffix(FIRST) {
            streams.entry(stream.to_owned()).or_insert(false);
        }
    }
    Ok(Some(streams))
}

/// Whether a group has any stream, without listing them all.
pub(super) fn has_streams(group: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let name = name.as_encoded_bytes();
        if name.ends_with(FIRST.as_bytes()) || name.ends_with(LATER.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Names in a folder; those that are not UTF-8 are not ours. `None` when there is no such folder.
pub(super) fn file_names(folder: &Path) -> io::Result<Option<Vec<String>>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(Some(names))
}
