//! Where the output of jobs goes, and how it is read while it grows.

use std::io;

use fornada_core::arn::Scope;
use fornada_core::text::Text;

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
    /// The disk said no.
    #[error("log storage failed")]
    Io(#[from] io::Error),
}

/// The reading side. Methods block on disk; call them off the async threads.
pub trait LogReader: Send + Sync {
    /// Groups of a scope, ordered by name.
    ///
    /// # Errors
    /// When the disk fails.
    fn groups(&self, scope: &Scope) -> Result<Vec<GroupInfo>, Error>;

    /// Names of the streams of a group that begin with `prefix`, ordered.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], or the disk fails.
    fn stream_names(&self, scope: &Scope, group: &str, prefix: &str) -> Result<Vec<Text>, Error>;

    /// Facts about one stream.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], [`Error::NoSuchStream`], or the disk fails.
    fn stream_info(&self, name: &StreamName) -> Result<StreamInfo, Error>;

    /// Reads a page. A torn event at the end of a stream (a crash while it was written) is not there.
    ///
    /// # Errors
    /// [`Error::NoSuchGroup`], [`Error::NoSuchStream`], or the disk fails.
    fn read(&self, name: &StreamName, request: &ReadRequest) -> Result<Page, Error>;
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
