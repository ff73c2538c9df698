//! The output of jobs on disk: one small file a stream, written by the process that runs the attempts and read at the
//! same time by any other process.
//!
//! ```text
//! {dir}/{account}/{region}/{group}/{stream}.log                       the first segment
//! {dir}/{account}/{region}/{group}/{stream}.segments/{base, 20 digits}  the later ones, if the stream outgrows it
//! ```
//!
//! Files lie flat in their group because most streams are a few lines of a short job: such a stream costs one file and
//! four system calls, and no folder. Later segments have a folder of their own so that a reader of one stream lists
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
//! - Files are untrusted: whatever they hold, reading ends in events, fewer events or an error. No length in them is
//!   believed before it is compared with a bound.
//!
//! Nothing is synced to the disk. The page cache survives the death of every process; after a power failure the
//! last seconds of output may be missing. A sync for each line, or for each of 10,000 short jobs, would cost more than
//! the jobs.

mod directory;
mod name;
mod segment;
mod stream;
mod writer;

#[cfg(test)]
mod tests;

pub use directory::LogDirectory;
