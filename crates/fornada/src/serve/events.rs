//! `--events FILE`: a line of JSON for each change of a job's status, in the envelope that Amazon EventBridge puts around AWS
//! Batch's events.
//!
//! Events are acknowledged when their lines are on disk, so each is there at least once, also over crashes. While the file
//! cannot be written they wait: here, and in the store.
//!
//! Source: AWS Batch User Guide, job state change events; Amazon EventBridge User Guide, event structure.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fornada_core::event::{Event, WAITING_MAX};
use fornada_engine::Handle;
use fornada_engine::port::event::EventSink;
use tokio::sync::Notify;

use super::event_json;

/// Lines that are written and made durable together.
const BATCH_MAX: usize = 1000;

/// Between two attempts to write.
const RETRY: Duration = Duration::from_secs(1);

/// Events on their way to the file.
#[derive(Default)]
struct Waiting {
    events: Mutex<VecDeque<Arc<Event>>>,
    more: Notify,
}

impl Waiting {
    fn locked(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next ones, at least one.
    async fn next(&self) -> Vec<Arc<Event>> {
        loop {
            {
                let mut events = self.locked();
                if !events.is_empty() {
                    let count = events.len().min(BATCH_MAX);
                    return events.drain(..count).collect();
                }
            }
            self.more.notified().await;
        }
    }
}

/// What the engine hands events to.
pub(super) struct Inlet(Arc<Waiting>);

impl EventSink for Inlet {
    fn deliver(&mut self, new: Vec<Arc<Event>>) {
        let mut events = self.0.locked();
        let was_full = events.len() == WAITING_MAX;
        events.extend(new);
        // The store has given these up too.
        let too_many = events.len().saturating_sub(WAITING_MAX);
        events.drain(..too_many);
        if too_many > 0 && !was_full {
            tracing::warn!("more than {WAITING_MAX} events wait for their file: the oldest are lost");
        }
        drop(events);
        self.0.more.notify_one();
    }
}

/// The file that events are appended to.
pub(super) struct EventFile {
    path: PathBuf,
    waiting: Arc<Waiting>,
}

impl EventFile {
    /// Creates the file if need be.
    pub(super) fn open(path: &Path) -> Result<EventFile> {
        let cannot = || format!("cannot write events to {} (--events)", path.display());
        let path = std::path::absolute(path).with_context(cannot)?;
        let file = open(&path).with_context(cannot)?;
        let mut first = [b'{'];
        let is_ours = file.metadata()?.is_file() && file.read_at(&mut first, 0).is_ok() && first == *b"{";
        if !is_ours {
            bail!(
                "{} is not a file of events (--events): name another, or one that is not there yet",
                path.display()
            );
        }
        append(&path, b"").with_context(cannot)?;
        Ok(EventFile { path, waiting: Arc::default() })
    }

    pub(super) fn inlet(&self) -> Inlet {
        Inlet(Arc::clone(&self.waiting))
    }

    /// Writes what comes for as long as the process lives, and acknowledges it.
    pub(super) fn write_for(self, engine: Handle) {
        tokio::spawn(async move {
            loop {
                let events = self.waiting.next().await;
                let Some(last) = events.last().map(|event| event.number) else { continue };
                let lines: Arc<[u8]> = events.iter().flat_map(|event| event_json::line(event)).collect();
                self.write(lines).await;
                engine.delivered(last).await;
            }
        });
    }

    /// Tries until it succeeds. The disk may be full, or the directory not there, for a while.
    async fn write(&self, lines: Arc<[u8]>) {
        let mut has_failed = false;
        loop {
            let (path, lines) = (self.path.clone(), Arc::clone(&lines));
            let done = tokio::task::spawn_blocking(move || append(&path, &lines)).await;
            let path = self.path.display();
            match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) if has_failed => return tracing::info!("events are written to {path} again"),
                Ok(()) => return,
                Err(error) if !has_failed => {
                    tracing::warn!(%error, "cannot write events to {path}; they wait, and it is tried again");
                }
                Err(_) => {}
            }
            has_failed = true;
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Adds lines, and returns when they are durable. The file is opened anew each time, so that it may be moved away to begin
/// another.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    let whole = end_of_last_line(&file, length)?;
    if whole < length {
        file.set_len(whole)?;
    }
    if whole == 0
        && let Some(directory) = path.parent()
    {
        File::open(directory)?.sync_all()?; // it may be new
    }
    file.write_all(lines)?;
    file.sync_data()
}

/// Where the last whole line ends: a crash, or a full disk, may have left a part of one. Its event was not acknowledged.
fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut last = [0];
    while end > 0 {
        file.read_exact_at(&mut last, end - 1)?;
        if last == *b"\n" {
            break;
        }
        end -= 1;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_torn_line_is_cut_off_and_the_file_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("events.jsonl");
        drop(EventFile::open(&path).expect("it is created"));
        assert_eq!(path.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
        append(&path, b"{1}\n").expect("it is written");
        std::fs::write(&path, b"{1}\n{2}\n{3").expect("torn");
        append(&path, b"{3}\n{4}\n").expect("it is written");
        assert_eq!(std::fs::read(&path).expect("it is read"), b"{1}\n{2}\n{3}\n{4}\n");
        std::fs::rename(&path, dir.path().join("older")).expect("moved away");
        append(&path, b"{5}\n").expect("it is written");
        assert_eq!(std::fs::read(&path).expect("it is read"), b"{5}\n");
    }

    #[test]
    fn another_file_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "no newline").expect("written");
        assert!(EventFile::open(&path).is_err());
        assert_eq!(std::fs::read(&path).expect("it is read"), b"no newline");
        assert!(EventFile::open(dir.path()).is_err());
    }
}
