//! Seeing streams grow without looking at them: the kernel (inotify) says which files of a group were written, by whatever
//! process.
//!
//! What has happened waits in the kernel, in a queue of bounded length, until it is asked for. If that overflows, every
//! stream counts as changed. Folders of later segments are watched too, from the moment they are seen.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fornada_core::arn::Scope;
use fornada_core::text::Text;
use fornada_engine::port::log::{Ends, Error, StreamName, Watch};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::directory::streams;
use super::name::decode;
use super::stream::{FIRST, LATER, StreamPath};

/// Room for some hundred events; one takes at most 272 bytes.
const BUFFER_BYTES: usize = 16 << 10;
/// After so many events the rest waits for the next call: writers may be faster than this reads.
const EVENTS_MAX: usize = 1 << 16;

/// A watch on some groups.
pub(super) struct Inotify {
    fd: OwnedFd,
    scope: Scope,
    /// The folder and the name of each.
    groups: Vec<(PathBuf, Text)>,
    /// What each watch descriptor stands for.
    watched: HashMap<i32, Watched>,
    stopped: Arc<AtomicBool>,
}

/// A folder.
#[derive(Clone)]
enum Watched {
    /// Of the group with this index.
    Group(usize),
    /// Of the later segments of a stream (by its encoded name) in it.
    Later(usize, String),
}

impl Inotify {
    /// Begins to watch these groups: folders and names.
    pub(super) fn open(
        scope: &Scope,
        groups: Vec<(PathBuf, Text)>,
        stopped: Arc<AtomicBool>,
    ) -> Result<Inotify, Error> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let mut watch = Inotify { fd, scope: scope.clone(), groups, watched: HashMap::new(), stopped };
        for group in 0..watch.groups.len() {
            let folder = watch.groups[group].0.clone();
            if !watch.add(&folder, Watched::Group(group))? {
                return Err(Error::NoSuchGroup);
            }
        }
        Ok(watch)
    }

    /// Where all streams end now. Also begins to watch the later segments there are.
    pub(super) fn ends(&mut self) -> Result<Ends, Error> {
        let mut ends = Ends::new();
        for group in 0..self.groups.len() {
            let folder = self.groups[group].0.clone();
            for (stream, has_later) in streams(&folder)?.ok_or(Error::NoSuchGroup)? {
                let path = StreamPath { group: folder.clone(), stream: stream.clone() };
                let mut newest = 0;
                if has_later {
                    self.add(&path.later(), Watched::Later(group, stream))?;
                    newest = path.bases()?.last().copied().unwrap_or(0);
                }
                let len = fs::metadata(path.segment(newest)).map_or(0, |metadata| metadata.len());
                if let Some(name) = self.name(group, path) {
                    ends.insert(name, newest + len);
                }
            }
        }
        Ok(ends)
    }

    /// Watches a folder; `false` if there is none.
    fn add(&mut self, folder: &Path, what: Watched) -> io::Result<bool> {
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.fd, folder, flags) {
            Ok(descriptor) => {
                self.watched.insert(descriptor, what);
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn name(&self, group: usize, path: StreamPath) -> Option<StreamName> {
        let stream = decode(&path.stream, || Some(path.header().ok()??.stream))?;
        Some(StreamName {
            scope: self.scope.clone(),
            group: self.groups[group].1.clone(),
            stream: stream.into(),
        })
    }

    /// Reads what has happened: the encoded names of changed streams by group, or `None` if some of it was lost.
    fn happened(&mut self) -> Result<Option<BTreeSet<(usize, String)>>, Error> {
        let mut happened = BTreeSet::new();
        let mut new_folders = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        for count in 0.. {
            if count >= EVENTS_MAX && reader.is_buffer_empty() {
                break;
            }
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(io::Error::from(error).into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                return Ok(None);
            }
            let gone = event.events().intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF);
            match self.watched.get(&event.wd()) {
                Some(Watched::Group(_)) if gone => return Err(Error::NoSuchGroup),
                Some(Watched::Later(..)) if gone => drop(self.watched.remove(&event.wd())),
                Some(Watched::Group(group)) => {
                    let Some(name) = event.file_name().and_then(|name| name.to_str().ok()) else { continue };
                    if let Some(stream) = name.strip_suffix(FIRST) {
                        happened.insert((*group, stream.to_owned()));
                    } else if let Some(stream) = name.strip_suffix(LATER) {
                        happened.insert((*group, stream.to_owned()));
                        new_folders.push((*group, stream.to_owned()));
                    }
                }
                Some(Watched::Later(group, stream)) => drop(happened.insert((*group, stream.clone()))),
                None => {}
            }
        }
        for (group, stream) in new_folders {
            let path = StreamPath { group: self.groups[group].0.clone(), stream };
            self.add(&path.later(), Watched::Later(group, path.stream))?;
        }
        Ok(Some(happened))
    }
}

impl Watch for Inotify {
    fn changed(&mut self) -> Result<BTreeSet<StreamName>, Error> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(Error::Stopping);
        }
        let Some(happened) = self.happened()? else {
            return Ok(self.ends()?.into_keys().collect());
        };
        let path = |(group, stream): (usize, String)| {
            (group, StreamPath { group: self.groups[group].0.clone(), stream })
        };
        Ok(happened.into_iter().map(path).filter_map(|(group, path)| self.name(group, path)).collect())
    }
}
