//! The output of jobs on disk: one small file a stream, written by the process that runs the attempts and read at the
//! same time by any other process.
//!
//! ```text
//! {dir}/{account}/{region}/{group}/group.json                         what the group was told to be, if it was
//! {dir}/{account}/{region}/{group}/{stream}.log                       the first segment
//! {dir}/{account}/{region}/{group}/{stream}.segments/{base, 20 digits}  the later ones, if the stream outgrows it
//! ```
//!
//! Files lie flat in their group because most streams are a few lines of a short job: such a stream costs one file and
//! a few system calls, and no folder. Later segments have a folder of their own so that a reader of one stream lists
//! its segments, not the 100,000 files of its group, and so that retention can delete any segment, oldest first.
//!
//! What must hold:
//!
//! - A *position* is `base + offset in the segment's file`. The base of a segment is the position at which the one
//!   before it ended, so positions grow over the whole stream and never change.
//! - A file only ever grows, by whole batches of records, each one `write(2)`. Readers and the writer share no lock: a
//!   record counts once its checksum is right, until then the stream ends before it.
//! - A segment with a newer one beside it is never written again.
//! - Bytes that are no record (a torn write, a broken disk) are not cut off. A writer that finds them at the end
//!   of a stream begins a new segment, and a reader that meets them goes on in the next one. Nothing is destroyed, and
//!   no position that a reader holds is given to another event. Unreadable bytes in the middle of the newest segment
//!   end forward reading there until the stream moves on to the next segment; reading backward passes them.
//! - A stream has one writer at a time: whoever has locked (`flock`) its newest segment. The node holds the streams of
//!   its attempts from their first line to their last; the server takes a stream for each batch of PutLogEvents, and is
//!   refused while the node has it. The node waits for the server, but not for long: then the attempt's output is lost. The next segment is locked before it has its name, so no moment is without a holder,
//!   and whoever gets a lock looks again whether the file is still there and still the newest.
//! - A file was modified no earlier than the time of its last event, give or take what the kernel's clock is coarser.
//! - Files are untrusted: whatever they hold, reading ends in events, fewer events or an error. No length in them is
//!   believed before it is compared with a bound.
//!
//! # Expiry
//!
//! Readers leave out what has expired by the clock, so expiry only gives disk space back, in whole files: segments whose
//! last event has expired, oldest first. One with a newer segment beside it may go at any time, since nobody writes it.
//! The newest goes only under its lock, so never while an attempt writes its stream: a silent attempt keeps its stream,
//! and a writer that waited for the lock finds the file gone and begins the stream anew, with positions from 0. What
//! expires within a segment that also holds newer events stays on disk until those have expired, at most 64 MiB a stream.
//! Groups stay. A deleted group first leaves its name, in one step, and then the disk, so that the node can begin a new
//! group of that name at any moment.
//!
//! # Durability
//!
//! Nothing but `group.json` is synced to the disk. The page cache survives the death of every process; after a power failure the
//! last seconds of output may be missing. A sync for each line, or for each of 10,000 short jobs, would cost more than
//! the jobs.

mod admin;
pub mod check;
pub mod copy;
mod directory;
mod expiry;
mod group;
mod name;
mod segment;
mod stream;
mod watch;
mod writer;

#[cfg(test)]
mod admin_tests;
#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod tests;

pub use directory::LogDirectory;
