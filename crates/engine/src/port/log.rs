//! Where the output of jobs goes, how it is read while it grows, and how long it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use fornada_core::arn::Scope;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;

/// One log stream of one account and region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName {
    /// Whose.
    pub scope: Scope,
    /// Log group name, 1..=512 characters.
    pub group: Text,
    /// Log stream name, 1..=512 characters.
    pub stream: Text,
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// When the line was read, milliseconds since the epoch; never decreases within a stream.
    pub timestamp: i64,
    /// The line without its line end; bytes that are not UTF-8 were replaced.
    pub message: String,
    /// Where the event begins in its stream. Grows from event to event; a reading position.
    pub position: u64,
}

/// What is known of a stream without reading its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub stream: Text,
    /// When it was created, milliseconds since the epoch.
    pub created_at: i64,
    /// Time of the first event; `None` while there is none.
    pub first_event_at: Option<i64>,
    /// Time of the last event.
    pub last_event_at: Option<i64>,
    /// Bytes on disk.
    pub stored_bytes: u64,
}

/// What is known of a log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub group: Text,
    /// When it was created, milliseconds since the epoch.
    pub created_at: i64,
    /// Bytes of all its streams.
    pub stored_bytes: u64,
    /// What it was told to be.
    pub settings: GroupSettings,
}

/// What a log group was told to be. The default is that of a group that came into being with its first line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// Events older than this many days are gone; `None` keeps them.
    pub retention_days: Option<u32>,
    /// Its class in the API's own word; `None` is STANDARD.
    pub class: Option<Text>,
}

impl GroupSettings {
    /// Events before this time (milliseconds since the epoch) have expired; `None` if none ever do.
    #[must_use]
    pub fn retained_since(&self, now: Timestamp) -> Option<i64> {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        self.retention_days.map(|days| now.as_millis().saturating_sub(i64::from(days) * DAY_MS))
    }
}

/// Which way a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Events at or after the position.
    Forward,
    /// Events before the position; still returned in ascending order.
    Backward,
}

/// One page of one stream.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// A position from an earlier page; `None` is the head (forward) or the end (backward).
    pub from: Option<u64>,
    /// Which way.
    pub direction: Direction,
    /// Only events at or after this time (milliseconds).
    pub start_time: Option<i64>,
    /// Only events before this time (milliseconds).
    pub end_time: Option<i64>,
    /// At most this many events.
    pub max_events: usize,
    /// At most about this many bytes of messages; at least one event is returned when there is one.
    pub max_bytes: usize,
}

/// What [`ReadRequest`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In ascending order of position.
    pub events: Vec<LogEvent>,
    /// Position to go on forward from: after the last event looked at.
    pub next_forward: u64,
    /// Position to go on backward from: before the first event looked at.
    pub next_backward: u64,
}

/// Why a stream could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such log group.
    #[error("no such log group")]
    NoSuchGroup,
    /// No such log stream.
    #[error("no such log stream")]
    NoSuchStream,
    /// There is such a log group already.
    #[error("the log group exists already")]
    GroupExists,
    /// There is such a log stream already.
    #[error("the log stream exists already")]
    StreamExists,
    /// An attempt writes the stream right now, and a stream has one writer at a time.
    #[error("the log stream is being written by a running job")]
    StreamInUse,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The disk said no.
    #[error("log storage failed")]
    Io(#[from] io::Error),
}

/// The reading side. Methods block on disk; call them off the async threads.
///
/// Whoever reads for clients changes for them too, hence the supertrait.
pub trait LogReader: LogAdmin {
    /// Groups of a scope, ordered by name.
    ///
    /// # Errors
    /// When the disk fails.
    fn groups(&self, scope: &Scope) -> Result<Vec<GroupInfo>, Error>;

    /// What a group was told to be.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], or the disk fails.
    fn settings(&self, scope: &Scope, group: &str) -> Result<GroupSettings, Error>;

    /// Names of the streams of a group that begin with `prefix`, ordered. With `since` (milliseconds since the epoch)
    /// without those that certainly have no event at or after that time, which is told without opening them.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], or the disk fails.
    fn stream_names(
        &self,
        scope: &Scope,
        group: &str,
        prefix: &str,
        since: Option<i64>,
    ) -> Result<Vec<Text>, Error>;

    /// Facts about one stream and its events at or after `since` (milliseconds since the epoch).
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], [`Error::NoSuchStream`], or the disk fails.
    fn stream_info(&self, name: &StreamName, since: Option<i64>) -> Result<StreamInfo, Error>;

    /// Reads a page. A torn event at the end of a stream (a crash while it was written) is not there.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], [`Error::NoSuchStream`], or the disk fails.
    fn read(&self, name: &StreamName, request: &ReadRequest) -> Result<Page, Error>;

    /// Begins to watch groups of a scope for new events. Also returns where each of their streams ends now.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], or the operating system refuses another watch.
    fn watch(&self, scope: &Scope, groups: &[Text]) -> Result<(Box<dyn Watch>, Ends), Error>;

    /// Ends all watches: each fails with [`Error::Stopping`] when it is asked next.
    fn stop_watching(&self);
}

/// The position at which each stream ends.
pub type Ends = BTreeMap<StreamName, u64>;

/// Tells which streams grow.
pub trait Watch: Send {
    /// Streams that may have events that were not there at the last call; costs no look at streams that stay as they are.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`] when a watched group was deleted, [`Error::Stopping`], or the disk fails.
    fn changed(&mut self) -> Result<BTreeSet<StreamName>, Error>;
}

/// Groups and streams as clients make and change them. Methods block on disk; call them off the async threads.
pub trait LogAdmin: Send + Sync {
    /// Makes an empty group.
    ///
    /// # Errors
    /// [`Error::GroupExists`], or the disk fails.
    fn create_group(
        &self,
        scope: &Scope,
        group: &str,
        settings: GroupSettings,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Deletes a group with all its streams. An attempt that writes one of them loses the output it writes from now on.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], or the disk fails.
    fn delete_group(&self, scope: &Scope, group: &str) -> Result<(), Error>;

    /// Sets or lifts the retention of a group; what has expired by it is deleted at once.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], or the disk fails.
    fn set_retention(
        &self,
        scope: &Scope,
        group: &str,
        days: Option<u32>,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Makes an empty stream.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], [`Error::StreamExists`], or the disk fails.
    fn create_stream(&self, name: &StreamName, now: Timestamp) -> Result<(), Error>;

    /// Appends events (time in milliseconds, message) to a stream, and returns the position after them, or 0 if there
    /// are none. May be called at any time by many.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], [`Error::NoSuchStream`], [`Error::StreamInUse`], or the disk fails.
    fn put(&self, name: &StreamName, events: &[(i64, &[u8])]) -> Result<u64, Error>;

    /// Deletes what has expired by `now` in all groups, as far as whole files have, and returns how many bytes that was.
    ///
    /// # Errors
    /// When the disk fails; what could be deleted is deleted all the same.
    fn expire(&self, now: Timestamp) -> Result<u64, Error>;
}

/// The writing side, used by whoever runs attempts.
pub trait LogWriter: Send + Sync {
    /// Opens a stream for appending; nothing appears on disk before the first event.
    fn open(&self, name: StreamName) -> Box<dyn StreamWriter>;
}

/// Appends to one stream. One writer a stream at a time.
pub trait StreamWriter: Send {
    /// Appends events, in order; they are readable when this returns.
    ///
    /// # Errors
    /// When the disk fails; what was appended before stays readable.
    fn append(&mut self, events: &[(i64, &[u8])]) -> Result<(), Error>;
}
