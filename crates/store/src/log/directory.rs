//! The folder of all logs: which groups and streams there are.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use fornada_core::arn::Scope;
use fornada_core::text::Text;
use fornada_engine::port::log::{
    Direction, Error, GroupInfo, LogReader, LogWriter, Page, ReadRequest, StreamInfo, StreamName,
    StreamWriter,
};

use super::name::{decode, encode};
use super::stream::{FIRST, LATER, Stream, StreamPath};
use super::writer::Writer;

/// Size at which a stream goes on in a new file, so that old output of an endless job can be deleted.
const SEGMENT_MAX: u64 = 64 << 20;

/// Logs in a folder. One process writes a stream; any number of others read it.
#[derive(Clone, Debug)]
pub struct LogDirectory {
    dir: PathBuf,
    pub(super) segment_max: u64,
}

impl LogDirectory {
    /// Opens the folder, creating it for its owner only (mode 0700) if need be.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(dir: PathBuf) -> io::Result<LogDirectory> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(LogDirectory { dir, segment_max: SEGMENT_MAX })
    }

    fn scope_path(&self, scope: &Scope) -> PathBuf {
        self.dir.join(encode(&scope.account)).join(encode(&scope.region))
    }

    fn group_path(&self, scope: &Scope, group: &str) -> PathBuf {
        self.scope_path(scope).join(encode(group))
    }

    pub(super) fn stream_path(&self, name: &StreamName) -> StreamPath {
        StreamPath { group: self.group_path(&name.scope, &name.group), stream: encode(&name.stream) }
    }

    /// Which of both is missing when a stream is.
    fn missing(&self, name: &StreamName) -> Error {
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

    fn stream_names(&self, scope: &Scope, group: &str, prefix: &str) -> Result<Vec<Text>, Error> {
        let group = self.group_path(scope, group);
        let mut names = Vec::new();
        for stream in streams(&group)?.ok_or(Error::NoSuchGroup)? {
            let path = StreamPath { group: group.clone(), stream };
            let name = decode(&path.stream, || Some(path.header().ok()??.stream));
            names.extend(name.filter(|name| name.starts_with(prefix)).map(Text::from));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn stream_info(&self, name: &StreamName) -> Result<StreamInfo, Error> {
        let stream = Stream::list(name, self.stream_path(name))?;
        let one = |direction| ReadRequest {
            from: None,
            direction,
            start_time: None,
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
}

impl LogWriter for LogDirectory {
    fn open(&self, name: StreamName) -> Box<dyn StreamWriter> {
        Box::new(Writer::new(self.stream_path(&name), name, self.segment_max))
    }
}

/// `None` for what is no group, or has no stream yet.
fn group_info(path: PathBuf, file_name: &str) -> io::Result<Option<GroupInfo>> {
    let Some(streams) = streams(&path)? else { return Ok(None) };
    // Only the hashed name of a long group needs a stream to tell it.
    let full_name = || {
        let mut paths =
            streams.iter().map(|stream| StreamPath { group: path.clone(), stream: stream.clone() });
        paths.find_map(|path| path.header().ok()?).map(|header| header.group)
    };
    let Some(group) = decode(file_name, full_name).filter(|_| !streams.is_empty()) else { return Ok(None) };
    // Nothing else remembers when a group began; file systems without birth times show its last new stream.
    let metadata = fs::metadata(&path)?;
    let created = metadata.created().or_else(|_| metadata.modified())?;
    let created_at = created.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Ok(Some(GroupInfo {
        group: group.into(),
        created_at: i64::try_from(created_at).unwrap_or(i64::MAX),
        stored_bytes: stored_bytes(&path),
    }))
}

/// Sizes of the files in a folder and the folders right below it. What cannot be looked at (it may just have been
/// deleted) counts nothing.
fn stored_bytes(folder: &Path) -> u64 {
    let sizes = |folder: &Path| -> Vec<(PathBuf, fs::Metadata)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect()
    };
    let size = |(path, metadata): (PathBuf, fs::Metadata)| match metadata.is_dir() {
        true => sizes(&path).iter().map(|(_, metadata)| metadata.len()).sum(),
        false => metadata.len(),
    };
    sizes(folder).into_iter().map(size).sum::<u64>()
}

/// Encoded names of the streams in a group, unordered; `None` when there is no such folder.
fn streams(group: &Path) -> io::Result<Option<BTreeSet<String>>> {
    Ok(file_names(group)?.map(|names| {
        let streams =
            names.iter().filter_map(|name| name.strip_suffix(FIRST).or_else(|| name.strip_suffix(LATER)));
        streams.map(str::to_owned).collect()
    }))
}

/// Names in a folder; those that are not UTF-8 are not ours. `None` when there is no such folder.
fn file_names(folder: &Path) -> io::Result<Option<Vec<String>>> {
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
