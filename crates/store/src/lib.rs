//! Adapters that keep things on disk.
//!
//! [`sqlite`]: the records of the state. [`log`]: the output of jobs.

#![forbid(unsafe_code)]

pub mod log;
pub mod sqlite;
