//! Attempts on this machine: the supervisor process `fornada node`, and the side of it that the server holds.
//!
//! The node owns the processes of jobs with image `host`, so that the server can stop, crash or be upgraded while they
//! run. What must hold:
//! - An attempt starts at most once, and its end is kept until the server says that it is durable (`Forget`).
//! - When an end is reported, nothing of the attempt runs any more and its log is complete.
//! - A node that dies takes its jobs along; what escaped is killed when the next node starts.
//!
//! A way through the code: [`protocol`] is what the two sides say, [`Client`] the server's side, `supervisor` the
//! node's loop, `attempt` the life of one attempt, `task` what follows from what in it, `container` the life of one of its
//! containers, `process`, `cgroup` and `output` what that life is made of.

mod attempt;
mod cgroup;
mod client;
mod connection;
mod container;
mod directory;
mod environment;
mod exec;
mod expansion;
mod host;
mod metadata;
mod output;
mod process;
mod properties;
pub mod protocol;
pub mod secrets;
mod spawner;
mod supervisor;
mod sweep;
mod task;
mod user;

pub use client::{Client, spawn_detached};
pub use directory::Error;
pub use host::Claim;
pub use rustix::process::Rlimit;
pub use supervisor::{Config, raise_open_files, run};

use fornada_core::time::Timestamp;

/// Now, by the wall clock.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
